"""
`Tuner`: ask and tell over one study, the engine behind every door.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.storages import BaseStorage
from optuna.storages._heartbeat import get_heartbeat_thread
from optuna.study._constrained_optimization import _CONSTRAINTS_KEY
from optuna.trial import FrozenTrial, Trial, TrialState

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
from sllmbo.samplers._edits import edits_before, whole_space
from sllmbo.samplers._failure import describe_error
from sllmbo.samplers._ledger import StudyMeter
from sllmbo.samplers._open import Init
from sllmbo.samplers._record import DETAILS, FAILURE
from sllmbo.samplers._turns import abandon, all_trials, is_abandoned
from sllmbo.space import Categorical, Int, SearchSpace
from sllmbo.task import EarlierBest, Task
from sllmbo.tuner.methods import ADVISED, branch_defaults, check_method, check_together, make_sampler, tuned_anchors
from sllmbo.tuner.own import Adapt, adapted
from sllmbo.tuner.storage import SPACE, allowed_edits, open_study
from sllmbo.tuner.transfer import earlier_of, starts_of

_logger = logging.getLogger("sllmbo")


class _GivenUp(StudyError):
    pass


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
        self.study = open_study(storage, study_name, self.task, pruner)
        self.space = self._settle_space(None if space is None else SearchSpace(space), derive, adapt)
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
        """
        Return the next trial, with all its parameters in `trial.params`.

        It runs until it is told how it ended: here, or in any other process by its number (`study.tell`).
        """
        return self._ask(evaluates=False)

    @contextmanager
    def trial(self) -> Iterator[Trial]:
        """
        Ask for a trial that this process evaluates, and tells, before the context ends.

        If the process or the context ends without it, by an error or by Ctrl-C, the trial is abandoned: the next one
        takes its configuration (docs/adr/0008). Processes on the same machine notice that at once, others where the
        storage keeps heartbeats.

        Example:
            >>> from sllmbo import Float, SearchSpace, Tuner
            >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
            >>> tuner = Tuner(SearchSpace({"x": Float(-5, 5, default=1.0)}), task=Task(direction="minimize"), seed=0)
            >>> with tuner.trial() as trial:
            ...     tuner.tell(trial, trial.params["x"] ** 2)
        """
        trial = self._ask(evaluates=True)
        try:
            with get_heartbeat_thread(trial._trial_id, self.study._storage), self._evaluating(True):
                yield trial
        except _GivenUp as error:  # by others, as this process did not move for longer than the grace period
            _logger.warning("%s The study goes on.", error)
        except (KeyboardInterrupt, Exception):
            abandon(self.study, trial._trial_id)
            raise
        if not self.study._storage.get_trial(trial._trial_id).state.is_finished():
            abandon(self.study, trial._trial_id)
            _logger.warning("Trial %d was not told in its context, and is given up.", trial.number)

    @contextmanager
    def _evaluating(self, evaluates: bool) -> Iterator[None]:
        """Say to Optuna, and to the sampler, whether this process evaluates what is asked for."""
        local = self.study._thread_local
        before, local.in_optimize_loop = local.in_optimize_loop, evaluates
        try:
            yield
        finally:
            local.in_optimize_loop = before

    def _ask(self, *, evaluates: bool) -> Trial:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Heartbeat of storage")
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(self.study)
            with self._evaluating(evaluates):
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

    def tell(
        self,
        trial: Trial | int,
        value: float | None = None,
        *,
        failure: BaseException | str | None = None,
        pruned: bool = False,
        details: Mapping[str, float] | None = None,
    ) -> None:
        """
        End *trial*: with a value, as pruned, or as failed.

        Args:
            trial: A trial that `ask` returned, or its number where another process asked for it.
            value: The objective's value. A value that is not finite is a failure.
            failure: Why there is no value.
            pruned: Whether the trial was stopped early; its last reported value stands for it.
            details: What else was measured: "train_value", "std", and what constraints and objectives are about.

        Raises:
            ConfigError: If the value is not a number, or something that a constraint or an objective is about was not
                measured.
            StudyError: If there is no such trial, or it has ended.
        """
        told = self._running(trial)
        details = details or {}
        if value is not None:
            try:
                value = float(value)
            except (TypeError, ValueError, OverflowError):
                raise ConfigError(
                    f"The value {str(value)[:100]!r} is not a number; tell a number, or failure=."
                ) from None
        if details:
            self._write(told, DETAILS, {name: float(number) for name, number in details.items()})
        if failure is not None:
            self._write(told, FAILURE, failure if isinstance(failure, str) else describe_error(failure))
            self.study.tell(told.number, state=TrialState.FAIL)
        elif pruned:
            self.study.tell(told.number, state=TrialState.PRUNED)
        elif value is None or value != value or value in (float("inf"), float("-inf")):
            self._write(told, FAILURE, f"FloatingPointError: the value was {value}")
            self.study.tell(told.number, state=TrialState.FAIL)
        else:
            self._tell_values(told, value, details)

    def _tell_values(self, trial: FrozenTrial, value: float, details: Mapping[str, float]) -> None:
        missing = {*(c.name for c in self.constraints), *self.objectives} - details.keys()
        if missing:
            raise ConfigError(f"{sorted(missing)[0]!r} was not measured; tell it as one of the trial's details.")
        unknown = [
            name for name in (*(c.name for c in self.constraints), *self.objectives) if details[name] != details[name]
        ]
        if unknown:
            self.tell(trial.number, failure=f"FloatingPointError: {unknown[0]} was not a number")
            return
        broken = [c for c in self.constraints if not c.violation(details[c.name]) <= 0.0]
        if broken:
            told = ", ".join(f"{c.name} is {details[c.name]:.4g}, not {c.relation} {c.bound:g}" for c in broken)
            self._write(trial, FAILURE, f"{INFEASIBLE}: {told}")
        for c in self.constraints:
            key, violation = f"{_CONSTRAINTS_KEY}:{c}", c.violation(details[c.name])  # as `Trial.set_constraint` does
            self.study._storage.set_trial_system_attr(trial._trial_id, key, violation)
        self.study.tell(trial.number, [value, *(details[name] for name in self.objectives)])

    def abandon(self, trial: Trial | int) -> None:
        """
        Give *trial* up as if it had never been asked for: the next one takes its place.

        Args:
            trial: A trial that `ask` returned, or its number.

        Raises:
            StudyError: If there is no such trial, or it has ended.
        """
        abandon(self.study, self._running(trial)._trial_id)

    def _running(self, trial: Trial | int) -> FrozenTrial:
        number = getattr(trial, "number", trial)
        known = next((t for t in self.study.get_trials(deepcopy=False) if t.number == number), None)
        if known is None:
            raise StudyError(
                f"The study {self.study.study_name!r} has no trial {number!r}; give one that was asked for."
            )
        if known.state.is_finished() and is_abandoned(known):
            raise _GivenUp(
                f"Trial {number} was given up, by `abandon` or as its heartbeat stopped; its value is not kept."
            )
        if known.state.is_finished():
            raise StudyError(f"Trial {number} has ended as {known.state.name}; a trial is told once.")
        return known

    def _write(self, trial: FrozenTrial, name: str, told: Any) -> None:
        self.study._storage.set_trial_user_attr(trial._trial_id, name, told)
