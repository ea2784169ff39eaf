"""
`Tuner`: ask and tell over one study, the engine behind every door.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._heartbeat import BaseHeartbeatThread, get_heartbeat_thread
from optuna.trial import Trial, TrialState

from sllmbo.advisors import Advisor, SpaceDesign, choose_advisor
from sllmbo.budget import Budget
from sllmbo.errors import (
    AdviceError,
    AuthenticationFailed,
    BudgetExceeded,
    ConfigError,
    ProviderError,
    ReplyError,
    StudyError,
)
from sllmbo.goals import INFEASIBLE, Constraint
from sllmbo.history import Direction
from sllmbo.llm import ReplyMode
from sllmbo.llm.meter import metered
from sllmbo.prompts import MemoryName, Privacy
from sllmbo.samplers import AdvisedSampler, MixingPolicy
from sllmbo.samplers._edits import Edits, edits_before, whole_space
from sllmbo.samplers._failure import describe_error
from sllmbo.samplers._ledger import StudyMeter
from sllmbo.samplers._open import Init
from sllmbo.samplers._record import DETAILS, FAILURE
from sllmbo.samplers._turns import abandon, all_trials
from sllmbo.space import Categorical, Int, SearchSpace
from sllmbo.task import EarlierBest, Task
from sllmbo.tuner.methods import ADVISED, branch_defaults, check_method, check_together, make_sampler, tuned_anchors
from sllmbo.tuner.own import Adapt, adapted
from sllmbo.tuner.transfer import CARD, FACTS, earlier_of, starts_of

_logger = logging.getLogger("sllmbo")

SPACE = "sllmbo:space"
"""User attribute of a study: its search space."""
_TUNED = ("estimator", "metric", "direction", "constraints", "objectives")


class Tuner:
    """
    Asks for trials and is told their values, over one Optuna study.

    Args:
        space: What is tuned. None: the space that the study has, else the one that the advisor designs for *task*.
        task: What is tuned, in words or as a `Task`; the direction is taken from it.
        constraints: What must hold of a trial, such as "model_size_mb<=5"; `tell` is told what was measured. A trial
            that breaks one is kept with its value, never the best, and told to the advisor as failed.
        objectives: What is optimised beside the value, by name, and which values of it are better. The study then has
            several directions, and what `sllmbo.goals.pareto_ranks` makes of a trial stands for its value.
        method: "llm-tpe", "llm", "tpe", "random", "gp" or "cma".
        llm: "offline", "provider:model", "replay:FILE" or an `Advisor`; None reads SLLMBO_LLM, else "offline".
        base_url: An OpenAI-compatible server that has the chat model.
        reply_mode: How the chat model is asked for replies: "tool", "native", "prompted", or "auto" for what works.
        privacy: What a chat model is told at most: "none" (the search space and the trials), "schema" (and the kind of
            the task), "statistics" (and aggregates of the data), "description" (and what was written in words).
        mask_names: Whether a chat model is told x1, c1 and so on instead of names.
        memory: What of the trials a chat model is told: "digest" (a compact digest of all), or one of the paper's two:
            "summary" (the chat model condenses them now and then) and "chat" (the whole conversation).
        init: What opens the study: "llm", "random" or "default".
        mixing: Who serves which turn, for "llm-tpe".
        storage: An Optuna storage or its URL; None keeps the study in memory.
        study_name: A study of this name in the storage is gone on with.
        pruner: Stops unpromising trials; none by default.
        seed: Seed of everything that is drawn.
        derive: Makes the space where the advisor has none and the estimator is not documented.
        adapt: Makes of a space that is not given the one that is tuned.
        budget: What the questions of the study may cost (calls, tokens, US dollars), whoever asks them.
        prefetch: Whether the advisor is asked while trials run: nobody waits for it, and a turn for which no answer is
            ready is the partner's. What is tried then depends on the clock as well as on *seed* (docs/adr/0015).
        fixed_space: Whether the advisor may not edit the space during the study. It may narrow ranges, and widen those
            that nobody gave, on evidence; what does not pay within 8 trials is undone (docs/adr/0012).
        repeats: Whether the last two fifths of the task's *n_trials* may evaluate leaders again, if the first show that
            the objective is noisy; `sllmbo.samplers.chosen` tells the winner then (docs/adr/0016).
        transfer: Whether a study that begins starts from the best configurations of earlier studies in *storage*, of
            the same estimator on similar data, if an advisor opens it; or what it starts from in any case.

    Raises:
        ConfigError: If an argument breaks a rule or the storage cannot be opened.
        StudyError: If the stored study tunes something else.
        AdviceError: If the advisor is needed for a space and gives none.

    Example:
        >>> from sllmbo import Float, SearchSpace, Tuner
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> tuner = Tuner(SearchSpace({"x": Float(-5, 5, default=1.0)}), task=Task(direction="minimize"), seed=0)
        >>> for _ in range(10):
        ...     trial = tuner.ask()
        ...     tuner.tell(trial, trial.params["x"] ** 2)
        >>> tuner.study.trials[0].params
        {'x': 1.0}
    """

    def __init__(
        self,
        space: SearchSpace | None = None,
        *,
        task: Task | str | None = None,
        constraints: Sequence[str | Constraint] = (),
        objectives: Mapping[str, Direction] | None = None,
        method: str = "llm-tpe",
        llm: str | Advisor | None = None,
        base_url: str | None = None,
        reply_mode: ReplyMode = "auto",
        privacy: Privacy = "description",
        mask_names: bool = False,
        memory: MemoryName = "digest",
        init: Init = "llm",
        mixing: MixingPolicy | None = None,
        storage: str | BaseStorage | None = None,
        study_name: str | None = None,
        pruner: BasePruner | None = None,
        seed: int | None = None,
        derive: Callable[[], SearchSpace] | None = None,
        adapt: Adapt | None = None,
        budget: Budget | None = None,
        prefetch: bool = False,
        fixed_space: bool = False,
        repeats: bool = False,
        transfer: bool | Sequence[EarlierBest] = True,
    ) -> None:
        check_method(method)
        self.constraints = tuple(c if isinstance(c, Constraint) else Constraint.parse(c) for c in constraints)
        self.objectives = dict(objectives or {})
        task = Task(description=task) if isinstance(task, str) else task or Task()
        self.task = replace(task, constraints=tuple(map(str, self.constraints)), objectives=self.objectives)
        check_together(method, several=bool(self.objectives), is_pruned=pruner is not None, repeats=repeats)
        self.advisor: Advisor | None = None
        if method in ADVISED:
            self.advisor = choose_advisor(
                llm, base_url=base_url, reply_mode=reply_mode, privacy=privacy, mask_names=mask_names, memory=memory
            )
        self.budget = budget
        self.study = _open_study(storage, study_name, self.task, pruner)
        self.space = self._settle_space(space, derive, adapt)
        is_opened = self.advisor is not None and init == "llm"  # the other methods differ in nothing but who proposes
        anchors = [*branch_defaults(self.space), *(tuned_anchors(self.task, self.space) if is_opened else ())]
        if isinstance(transfer, bool):
            transfer = transfer and is_opened
        anchors += starts_of(self.study, self.task, self.space, transfer, but=[a.params or {} for a in anchors])
        self.task = replace(self.task, earlier=earlier_of(self.study))
        self.study.sampler = make_sampler(
            method,
            advisor=self.advisor,
            task=self.task,
            space=self.space,
            anchors=anchors,
            init=init,
            mixing=mixing,
            seed=seed,
            budget=budget,
            edits=allowed_edits(self.study, fixed_space=fixed_space),
            prefetch=prefetch,
            repeats=repeats,
        )

    def _settle_space(
        self, given: SearchSpace | None, derive: Callable[[], SearchSpace] | None, adapt: Adapt | None
    ) -> SearchSpace:
        stored = self.study.user_attrs.get(SPACE)
        if stored is not None:
            space = SearchSpace.from_json(stored["space"])
            if given is not None and given != space:
                raise StudyError(
                    f"The study {self.study.study_name!r} has another search space than the one given; "
                    "leave the space out to go on with it, or name a new study with study_name= or --study."
                )
            return space
        if given is not None:
            record: dict[str, Any] = {"source": "user"}
        else:
            design = adapted(self._design_space(derive), adapt)
            given = design.space
            record = {"source": design.source, "origin": design.origin, "rationale": design.rationale}
            record |= {"prompt_version": design.prompt_version, "usage": design.usage.to_json()}
            record |= {"shortlist": [list(choice) for choice in design.shortlist]} if design.shortlist else {}
        self.study.set_user_attr(SPACE, {**record, "space": given.to_json()})
        return given

    def _design_space(self, derive: Callable[[], SearchSpace] | None) -> SpaceDesign:
        """Ask the advisor; use the documented space where it answers, but not usably. Where it is mute, raise."""
        if self.advisor is None:
            return self._documented_space(derive)
        try:
            with metered(StudyMeter(self.study, self.budget, "design", None)):
                return self.advisor.design_space(self.task)
        except AdviceError as error:
            # Which estimators to try can be told without a chat model; a space, that it was to design, is missed.
            is_mute = isinstance(error, ProviderError)
            if is_mute and (not self.task.candidates or isinstance(error, AuthenticationFailed)):
                raise
            design = replace(self._documented_space(derive), usage=error.usage)
            if self.task.candidates:
                design = replace(design, rationale=f"{design.rationale} Not by {type(self.advisor).__name__}: {error}")
            if is_mute or isinstance(error, (ReplyError, BudgetExceeded)):
                _logger.warning(
                    "%s designed no usable search space (%s), so the documented space of %s is used; pass space= to "
                    "use your own, or raise the level of the logger 'sllmbo' to silence this.",
                    type(self.advisor).__name__,
                    error,
                    self.task.estimator or self.task.description,
                )
            return design

    def _documented_space(self, derive: Callable[[], SearchSpace] | None) -> SpaceDesign:
        try:
            return choose_advisor("offline").design_space(self.task)
        except AdviceError:
            if derive is None:
                raise
            return SpaceDesign(space=derive(), source="derived", rationale="A range around each of its defaults.")

    def ask(self) -> Trial:
        """Return the next trial, with all its parameters in `trial.params`."""
        with warnings.catch_warnings():
            # Optuna expects heartbeats from `Study.optimize` alone; `running` keeps them here.
            warnings.filterwarnings("ignore", message="Heartbeat of storage")
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(self.study)
            trial = self.study.ask()
        try:
            self._suggest(trial)
        except BaseException:
            abandon(self.study, trial._trial_id)
            raise
        return trial

    def _suggest(self, trial: Trial) -> None:
        space = self.space
        if isinstance(self.study.sampler, AdvisedSampler) and self.study.sampler.edits == "all":
            space = whole_space(space, edits_before(all_trials(self.study), trial.number))
        for name, parameter in space.items():
            if not space.is_active(name, trial.params):
                continue
            if isinstance(parameter, Categorical):
                trial.suggest_categorical(name, parameter.choices)
            elif isinstance(parameter, Int):
                trial.suggest_int(name, parameter.low, parameter.high, log=parameter.log, step=parameter.step)
            else:
                trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log, step=parameter.step)

    def running(self, trial: Trial) -> AbstractContextManager[BaseHeartbeatThread | None]:
        """Return a context that shows other hosts that *trial* is alive, where the storage keeps heartbeats."""
        return get_heartbeat_thread(trial._trial_id, self.study._storage)  # type: ignore[return-value]

    def tell(
        self,
        trial: Trial,
        value: float | None = None,
        *,
        failure: BaseException | str | None = None,
        pruned: bool = False,
        details: Mapping[str, float] | None = None,
    ) -> None:
        """
        End *trial*: with a value, as pruned, or as failed.

        Args:
            trial: A trial that `ask` returned.
            value: The objective's value. A value that is not finite is a failure.
            failure: Why there is no value.
            pruned: Whether the trial was stopped early; its last reported value stands for it.
            details: What else was measured: "train_value", "std", and what constraints and objectives are about.

        Raises:
            ConfigError: If something that a constraint or an objective is about was not measured.
        """
        details = details or {}
        if details:
            trial.set_user_attr(DETAILS, {name: float(number) for name, number in details.items()})
        if failure is not None:
            trial.set_user_attr(FAILURE, failure if isinstance(failure, str) else describe_error(failure))
            self.study.tell(trial, state=TrialState.FAIL)
        elif pruned:
            self.study.tell(trial, state=TrialState.PRUNED)
        elif value is None or value != value or value in (float("inf"), float("-inf")):
            trial.set_user_attr(FAILURE, f"FloatingPointError: the value was {value}")
            self.study.tell(trial, state=TrialState.FAIL)
        else:
            self._tell_values(trial, value, details)

    def _tell_values(self, trial: Trial, value: float, details: Mapping[str, float]) -> None:
        missing = {*(c.name for c in self.constraints), *self.objectives} - details.keys()
        if missing:
            raise ConfigError(f"{sorted(missing)[0]!r} was not measured; tell it as one of the trial's details.")
        unknown = [
            name for name in (*(c.name for c in self.constraints), *self.objectives) if details[name] != details[name]
        ]
        if unknown:
            self.tell(trial, failure=f"FloatingPointError: {unknown[0]} was not a number")
            return
        broken = [c for c in self.constraints if not c.violation(details[c.name]) <= 0.0]
        if broken:
            told = ", ".join(f"{c.name} is {details[c.name]:.4g}, not {c.relation} {c.bound:g}" for c in broken)
            trial.set_user_attr(FAILURE, f"{INFEASIBLE}: {told}")
        for constraint in self.constraints:
            trial.set_constraint(str(constraint), constraint.violation(details[constraint.name]))
        self.study.tell(trial, [value, *(details[name] for name in self.objectives)])

    def abandon(self, trial: Trial) -> None:
        """Give *trial* up as if it had never been asked for: the next one takes its place."""
        abandon(self.study, trial._trial_id, interrupted=True)


def open_storage(storage: str | BaseStorage | None, *, tries: int = 5) -> BaseStorage | None:
    """
    Return the storage at a URL; try again where another process makes its tables at the same time.

    SQLite waits for its lock; other databases keep heartbeats, so that a worker that died on another host is noticed.

    Raises:
        ConfigError: If the storage cannot be opened.
    """
    if storage is None or isinstance(storage, BaseStorage):
        return storage
    if "://" not in storage:
        raise ConfigError(f"storage={storage!r} is no storage URL; write for example 'sqlite:///study.db'.")
    try:
        if storage.startswith("sqlite"):
            return RDBStorage(storage, engine_kwargs={"connect_args": {"timeout": 60}})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return RDBStorage(storage, heartbeat_interval=30, grace_period=120)
    except Exception as error:  # SQLAlchemy and the drivers raise classes of their own
        if tries > 1 and (type(error).__name__ == "IntegrityError" or "already exists" in str(error)):
            time.sleep(0.2)
            return open_storage(storage, tries=tries - 1)
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()
        raise ConfigError(
            f"The storage {without_password(storage)!r} cannot be opened ({reason[0] if reason else error!r}); "
            "check the URL, the server and the driver."
        ) from error


def without_password(url: str) -> str:
    """Return *url* as it may be shown."""
    scheme, _, rest = url.partition("://")
    login, at, host = rest.rpartition("@")
    return f"{scheme}://{login.partition(':')[0]}{at}{host}"


def allowed_edits(study: optuna.Study, *, fixed_space: bool) -> Edits:
    """Return which edits an advisor may make: nobody but the user moves bounds that the user gave outwards."""
    if fixed_space:
        return "none"
    return "narrow" if study.user_attrs.get(SPACE, {}).get("source") == "user" else "all"


def _open_study(
    storage: str | BaseStorage | None, study_name: str | None, task: Task, pruner: BasePruner | None
) -> optuna.Study:
    study = optuna.create_study(
        storage=open_storage(storage),
        study_name=study_name,
        directions=[task.direction, *task.objectives.values()],
        pruner=pruner if pruner is not None else NopPruner(),
        load_if_exists=True,
    )
    card = {name: value for name, value in task.to_json().items() if name in _TUNED}
    stored = study.user_attrs.get(CARD)
    if stored is not None and stored != card:
        differing = next(name for name in {**stored, **card} if stored.get(name) != card.get(name))
        raise StudyError(
            f"The study {study.study_name!r} has {differing} {stored.get(differing)!r}, not {card.get(differing)!r}; "
            "name another study with study_name= or --study, or go on with what it has."
        )
    wanted, found = [task.direction, *task.objectives.values()], [d.name.lower() for d in study.directions]
    if found != wanted:
        raise StudyError(
            f"The study {study.study_name!r} is to {', '.join(found)}, not to {', '.join(wanted)}; name another study "
            "with study_name= or --study."
        )
    if task.objectives and stored is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([task.metric or "value", *task.objectives])
    if stored is None:
        study.set_user_attr(CARD, card)
    if task.data is not None and FACTS not in study.user_attrs:
        study.set_user_attr(FACTS, task.to_json()["data"])
    return study
