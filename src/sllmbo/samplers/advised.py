"""
`AdvisedSampler`: an Optuna sampler whose trials are served whole by an advisor or by its partner.
"""

from __future__ import annotations

import contextlib
import copy
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from sllmbo.advisors import Advisor
from sllmbo.budget import Budget
from sllmbo.errors import ConfigError, SpaceError
from sllmbo.history import History
from sllmbo.samplers import _turns
from sllmbo.samplers._ahead import LOOKAHEAD
from sllmbo.samplers._convert import (
    contains,
    cut,
    from_distributions,
    mismatches,
    repair_into,
    to_distribution,
    to_distributions,
    told_with,
)
from sllmbo.samplers._counsel import Counsel, OnFailure
from sllmbo.samplers._default import anchor_of, default_decision, request_of, with_documented_defaults
from sllmbo.samplers._edits import Box, Edits, box_of
from sllmbo.samplers._failure import describe_error, error_in_optimize, warn_of_mismatch
from sllmbo.samplers._feasible import is_known
from sllmbo.samplers._open import Init, Open, Role, check_arguments
from sllmbo.samplers._partner import Partner
from sllmbo.samplers._record import FAILURE, MIXING, REPAIRS, Decision, write, write_attr
from sllmbo.samplers._repeats import repeat_due
from sllmbo.samplers.mixing import Adaptive, MixingPolicy
from sllmbo.space import Repair, SearchSpace
from sllmbo.task import Task


class AdvisedSampler(BaseSampler):
    """
    An Optuna sampler whose trials are served whole by an advisor or by its partner.

    In order: the anchors (the default configuration first), the opening, then whom the mixing policy names. What was
    decided, by whom and why is written on the trial under ``sllmbo:`` before it runs; the sampler itself remembers
    nothing. Use `LLMTPESampler` or `LLMSampler`; with no advisor it is its partner with the default configuration as
    first trial.

    Args:
        advisor: Who is asked; None asks nobody.
        task: The card that the advisor is told. Its direction is the study's.
        space: The search space, ours or Optuna's distributions by name. Without one it is what earlier trials
            suggested, and the first trial takes the defaults of the space that the advisor designs for the task.
        anchors: Decisions for the turns after the default configuration of *space*.
        partner: Any Optuna sampler, TPE if None. Its random streams are set from (*seed*, turn).
        mixing: Who serves a turn after the opening. None: the partner.
        init: What opens the study: a batch of the advisor's ("llm"), random points ("random"), or nothing but the
            anchors ("default").
        n_opening: Turns of the opening.
        n_candidates: Configurations asked for in one question after the opening; the first usable one is taken.
        seed: Seed of everything that is drawn. None draws one.
        on_failure: "partner" lets the partner serve the trial when the advisor fails; "raise" raises.
        budget: What the questions of the study may cost, whoever asks them; the partner serves once it is spent.
        judging: Whether the advisor's candidates are judged by what the trials promise of them and by where trials
            failed (docs/adr/0019); the partner serves where all are turned down.
        failure_aware: Whether the partner draws again where trials are likely to fail, by those that failed before.
        edits: Which edits of the search space the advisor may make on evidence: "none", "narrow", or "all" where the
            objective takes its ranges from the study (`Tuner` does). Only with TPE as the partner.
        prefetch: Whether the advisor is asked while trials run (docs/adr/0015). A turn for which no answer is ready is
            the partner's, so that what is tried depends on the clock as well as on *seed*.
        repeats: Whether the last two fifths of the task's *n_trials* may evaluate the leaders again, where that shows
            noise.

    Raises:
        ConfigError: If an argument breaks a rule.
    """

    def __init__(
        self,
        advisor: Advisor | None,
        *,
        task: Task | str | None = None,
        space: SearchSpace | Mapping[str, BaseDistribution] | None = None,
        anchors: Sequence[Decision] = (),
        partner: BaseSampler | None = None,
        mixing: MixingPolicy | None = None,
        init: Init = "llm",
        n_opening: int = 5,
        n_candidates: int = 3,
        seed: int | None = None,
        on_failure: OnFailure = "partner",
        budget: Budget | None = None,
        judging: bool = False,
        failure_aware: bool = True,
        edits: Edits = "none",
        prefetch: bool = False,
        repeats: bool = False,
    ) -> None:
        check_arguments(init=init, on_failure=on_failure, edits=edits, n_opening=n_opening, n_candidates=n_candidates)
        self._advisor = advisor
        task = Task(description=task) if isinstance(task, str) else task or Task()
        declared = isinstance(space, SearchSpace)
        space = space if space is None or isinstance(space, SearchSpace) else from_distributions(space)
        self._space = None if space is None else with_documented_defaults(space, task, declared=declared)
        default = default_decision(self._space) if self._space is not None else None
        self._anchors = (*((default,) if default is not None else ()), *anchors)
        self._init = init
        self._n_opening = n_opening if init == "random" or (init == "llm" and advisor is not None) else 0
        self._seed = secrets.randbits(32) if seed is None else seed
        self._partner = Partner(partner if partner is not None else TPESampler(), self._seed)
        self._mixing = replace(mixing, partner=self._partner.name) if isinstance(mixing, Adaptive) else mixing
        self._random = Partner(RandomSampler(), self._seed)
        is_editable = advisor is not None and isinstance(self._partner.sampler, TPESampler)
        self.edits: Edits = edits if is_editable else "none"
        if repeats and task.n_trials is None:
            raise ConfigError("repeats=True needs to know how many trials there are; give Task(n_trials=...).")
        self._repeats, self._n_trials = repeats, task.n_trials or 0
        self._counsel = Counsel(
            advisor,
            task=task,
            space=self._space,
            partner=self._partner,
            seed=self._seed,
            n_candidates=n_candidates,
            on_failure=on_failure,
            budget=budget,
            judging=judging,
            edits=self.edits,
            prefetch=prefetch,
        )
        self._failure_aware = failure_aware
        self._forget()

    def _forget(self) -> None:
        self._open: dict[tuple[str, int], Open] = {}
        self._told: set[str] = set()
        self._reader = self._counsel.reader

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_open", "_told", "_reader")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def reseed_rng(self) -> None:
        """Forward to the partner. Turns have streams of their own, so parallel workers never draw alike anyway."""
        self._partner.sampler.reseed_rng()

    # The hooks, in the order in which Optuna calls them for a trial.

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Give the trial its turn, and close the trials of workers that are gone."""
        if self._repeats and len(study.directions) > 1:
            raise ConfigError("A study of several objectives cannot have repeats; leave repeats=True out.")
        _turns.close_dead(study)
        trials = _turns.all_trials(study)
        if self._open:  # told by another sampler object
            for other in trials:
                if other.state.is_finished():
                    self._open.pop((study.study_name, other._trial_id), None)
        enqueued = _turns.is_enqueued(trial)
        repeated = None if enqueued else _turns.pending_request(trials, trial.number)
        turn = None if enqueued or repeated else self._reader.free_turn(trials, trial.number)
        record: dict[str, Any] = {"number": trial.number, "turn": turn, "worker": _turns.worker_of(study)}
        decision = None
        if turn is None:
            given = repeated or trial
            decision = request_of(_turns.fixed_params(given), self._anchors)
            record["request"] = _turns.request_index(trials, given.number)
            record["for"] = repeated.number if repeated else None
        study._storage.set_trial_system_attr(trial._trial_id, _turns.TURN, record)
        if decision is not None:
            write(study, trial, decision)
        self._open[study.study_name, trial._trial_id] = Open(turn, _turns.stream(record), decision)
        self._partner.sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Find out who serves the trial, and return what the partner samples jointly and what the advisor is told."""
        opened = self._opened(study, trial)
        if opened.decision is None:
            opened.trials = _turns.all_trials(study)
            opened.role = self._role(study, trial, opened)
        joint = self._joint(study, trial, opened)
        if opened.role in (None, "partner"):
            return joint
        known = to_distributions(self._box(study, trial, opened).whole)
        return {**joint, **{name: known[name] for name in known if not known[name].single()}}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Decide on the trial, the only place where an advisor is waited for, and return the joint values."""
        opened = self._opened(study, trial)
        if opened.decision is None:
            with contextlib.ExitStack() as until_written:
                if opened.role == "opening":
                    # Of several threads that open a study, the first asks and the others find its batch.
                    until_written.enter_context(self._counsel.opening_lock)
                opened.decision = self._decide(study, trial, opened, until_written)
                if opened.standing:
                    write_attr(study, trial, MIXING, opened.standing)
                write(study, trial, opened.decision)
        params = opened.decision.params
        if params is None:
            values = self._sample_by_partner(study, trial, search_space, opened)
        else:
            values = {name: params[name] for name in search_space if name in params}
            values = {name: value for name, value in values.items() if contains(search_space[name], value)}
            self._partner.announce(study, trial, values)
        if self._counsel.wants_question(study):
            self._ask_ahead(study, trial, values)
        return values

    def _ask_ahead(self, study: Study, trial: FrozenTrial, values: Mapping[str, Any]) -> None:
        """Ask in the background for the first of the coming turns that is the advisor's by what is known now."""
        trials = [told_with(t, values) if t.number == trial.number else t for t in _turns.all_trials(study)]
        coming = copy.copy(trial)
        coming.number = len(trials)
        turn = _turns.free_turn(trials, coming.number)
        for later in range(LOOKAHEAD):
            opened = Open(turn + later, turn + later, trials=trials)
            role = self._role(study, coming, opened)
            opens = later == 0 and self._init == "llm" and role == "opening" and turn == len(self._anchors)
            if role == "advisor" or opens:
                n_opening = self._n_opening if opens else None
                box = self._box(study, coming, opened)
                self._counsel.ask_ahead(study, trials, box=box, turn=turn + later, later=later, n_opening=n_opening)
                return

    def _sample_by_partner(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution], opened: Open
    ) -> dict[str, Any]:
        assert opened.decision is not None
        if opened.decision.source == "random" or opened.turn is None:
            return {}
        joint = self._joint(study, trial, opened)
        joint = {name: distribution for name, distribution in joint.items() if name in search_space}
        box = self._box(study, trial, opened)
        if joint and (box.is_edited or self._steers(study, trial, opened)):
            history = self._history(study, trial, opened)
            values = self._partner.feasible(study, trial, joint, history, box, turn=opened.turn)
            self._partner.announce(study, trial, values)
            return values
        return self._partner.relative(study, trial, joint, turn=opened.turn)

    def _steers(self, study: Study, trial: FrozenTrial, opened: Open) -> bool:
        """Tell whether the partner is to stay away from where trials fail."""
        return self._failure_aware and is_known(self._history(study, trial, opened))

    def _joint(self, study: Study, trial: FrozenTrial, opened: Open) -> dict[str, BaseDistribution]:
        """Return what the partner samples jointly; a parameter whose range was widened remains in it."""
        if opened.joint is None:
            opened.joint = self._partner.space(study, trial)
            box = self._box(study, trial, opened)
            if box.is_widened and opened.joint:
                whole = {name: to_distribution(p) for name, p in box.whole.items() if p.condition is None}
                opened.joint = dict(sorted({**opened.joint, **whole}.items()))
        return opened.joint

    def _box(self, study: Study, trial: FrozenTrial, opened: Open) -> Box:
        if opened.box is None:
            trials = opened.trials or _turns.all_trials(study)
            declared = self._reader.space(trials)
            if self.edits == "none":
                opened.box = Box(declared, declared)
            else:
                history = self._history(study, trial, opened)
                opened.box = box_of(declared, trials, history, before=trial.number, edits=self.edits)
        return opened.box

    def _history(self, study: Study, trial: FrozenTrial, opened: Open) -> History:
        return self._reader.history(study, opened.trials or _turns.all_trials(study), before=trial.number)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the decided value, repaired into the distribution as it is now; without one, ask the partner."""
        opened = self._opened(study, trial)
        decision = opened.decision
        if decision is not None and decision.params is not None and param_name in decision.params:
            try:
                value = repair_into(param_distribution, decision.params[param_name])
            except SpaceError:
                pass  # a categorical parameter whose choices have changed
            else:
                opened.decision = _noted(study, trial, decision, param_name, value)
                return value
        partner = self._random if decision is not None and decision.source == "random" else self._partner
        box = self._box(study, trial, opened)
        if box.is_edited and param_name in box.present:
            param_distribution = cut(param_distribution, box.present[param_name])
        if partner is self._partner and not param_distribution.single() and self._steers(study, trial, opened):
            history = self._history(study, trial, opened)
            alone = {param_name: param_distribution}
            return partner.feasible(study, trial, alone, history, box, turn=opened.stream)[param_name]
        return partner.independent(study, trial, param_name, param_distribution, turn=opened.stream)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Record why a trial failed. One that was interrupted or never decided is abandoned: its turn is free again."""
        opened = self._open.pop((study.study_name, trial._trial_id), None)
        if self._space is not None and state == TrialState.COMPLETE and self.edits != "all":
            for name, sentence in mismatches(self._space, trial):
                if name not in self._told:
                    self._told.add(name)
                    warn_of_mismatch(name, sentence)
        error = error_in_optimize() if state == TrialState.FAIL else None
        if isinstance(error, KeyboardInterrupt) or (error and opened and opened.is_undecided):
            study._storage.set_trial_system_attr(trial._trial_id, _turns.INTERRUPTED, True)
        elif state == TrialState.FAIL:
            if FAILURE not in trial.user_attrs:
                reason = "no finite number was told as its value" if error is None else describe_error(error)
                write_attr(study, trial, FAILURE, reason)
            study._storage.set_trial_system_attr(trial._trial_id, _turns.TOLD, True)
        self._partner.sampler.after_trial(study, trial, state, values)

    # Deciding.

    def _opened(self, study: Study, trial: FrozenTrial) -> Open:
        opened = self._open.get((study.study_name, trial._trial_id))
        if opened is None:  # started by another sampler object
            stored = study._storage.get_trial(trial._trial_id)
            record = stored.system_attrs.get(_turns.TURN)
            if record is None:
                record = {"turn": _turns.free_turn(_turns.all_trials(study), trial.number)}
            opened = Open(record["turn"], _turns.stream(record), Decision.from_attrs(stored.user_attrs))
            self._open[study.study_name, trial._trial_id] = opened
        return opened

    def _role(self, study: Study, trial: FrozenTrial, opened: Open) -> Role:
        """Return who serves the turn; a pure function of seed, turn and history."""
        turn = opened.turn
        if turn is None:
            return "user"
        if turn < len(self._anchors):
            return "anchor"
        if self._space is None and not self._reader.space(opened.trials):
            return "first" if turn == 0 else "partner"
        if turn < len(self._anchors) + self._n_opening:
            return "opening"
        history = self._history(study, trial, opened)
        if self._repeats:
            opened.again = repeat_due(history, n_trials=self._n_trials)
            if opened.again is not None:
                return "repeat"
        if self._advisor is None or self._mixing is None:
            return "partner"
        if isinstance(self._mixing, Adaptive):
            standing = self._mixing.standing(history)
            opened.standing = str(standing)
            serves = standing.advisor_serves(seed=self._seed, turn=turn)
        else:
            serves = self._mixing.advisor_serves(seed=self._seed, turn=turn, history=history)
        return "advisor" if serves else "partner"

    def _decide(self, study: Study, trial: FrozenTrial, opened: Open, until_written: contextlib.ExitStack) -> Decision:
        turn = opened.turn
        assert turn is not None
        cut_off = _turns.predecessor(opened.trials, turn=turn)
        taken_over = Decision.from_attrs(cut_off.user_attrs) if cut_off is not None else None
        if taken_over is not None:
            return replace(taken_over, usage=None)  # what the answer cost stays on the trial that asked
        if opened.again is not None:
            return opened.again
        if opened.role == "anchor":
            return anchor_of(self._anchors[turn], self._history(study, trial, opened), partner=self._partner.name)
        if opened.role == "first":
            return self._counsel.first_of_unknown_space(study, trial)
        box = self._box(study, trial, opened)
        if opened.role == "opening":
            if self._init == "random":
                return Decision(source="random")
            end = len(self._anchors) + self._n_opening
            return self._counsel.opening(study, trial, box=box, turn=turn, end=end, until_written=until_written)
        decision = Decision(source=self._partner.name)
        if opened.role == "advisor":
            decision = self._counsel.next(study, trial, opened.trials, box=box, turn=turn, until_written=until_written)
        return replace(decision, edits=(*box.undone, *decision.edits)) if box.undone else decision


def _noted(study: Study, trial: FrozenTrial, decision: Decision, name: str, value: Any) -> Decision:
    """Return *decision* with the record that *value* is used for parameter *name*, where it says something else."""
    given = (decision.params or {})[name]
    repair = Repair(name, given, value, "moved into the distribution as the objective gives it")
    if value != given and repair not in decision.repairs:
        decision = replace(decision, repairs=(*decision.repairs, repair))
        write_attr(study, trial, REPAIRS, decision.to_attrs()[REPAIRS])
    return decision
