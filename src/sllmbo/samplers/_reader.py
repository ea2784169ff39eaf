"""
The study in an advisor's words: its history and its search space.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from optuna.distributions import BaseDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sllmbo.advisors import Memo
from sllmbo.goals import improvements_of_front, pareto_ranks
from sllmbo.history import Direction, History, Observation
from sllmbo.samplers._convert import from_distributions, objective, to_observation
from sllmbo.samplers._record import MEMO
from sllmbo.samplers._turns import all_trials, deaths, free_turn, is_abandoned, record_of, turn_of
from sllmbo.space import SearchSpace
from sllmbo.task import Task


class Reader:
    """
    Reads studies.

    Keeps nothing but what it has read of the trials up to the first unfinished one: those never change.
    """

    def __init__(self, space: SearchSpace | None) -> None:
        self._space = space
        self._last: tuple[Sequence[FrozenTrial], int | None, History | None] = ((), None, None)
        self._last_space: tuple[Sequence[FrozenTrial], SearchSpace] | None = None
        self._read: list[FrozenTrial] = []
        self._observations: list[Observation] = []
        self._latest: dict[str, BaseDistribution] = {}
        self._turns: set[int | None] = set()
        self._died: Counter[int | str] = Counter()
        self._lock = threading.Lock()

    def space(self, trials: Sequence[FrozenTrial]) -> SearchSpace:
        """Return the declared space; without one, what finished trials suggested, each parameter as it was last."""
        if self._space is not None:
            return self._space
        known = self._last_space
        if known is not None and known[0] is trials:
            return known[1]
        with self._lock:
            n_read = self._settle(trials)
            latest = dict(self._latest)
        for trial in trials[n_read:]:
            _note_distributions(latest, trial)
        space = from_distributions({name: latest[name] for name in sorted(latest) if not latest[name].single()})
        self._last_space = trials, space
        return space

    def history(self, study: Study, trials: Sequence[FrozenTrial], *, before: int | None = None) -> History:
        """
        Return the trials, or those with lower numbers than *before*.

        Observations are numbered without abandoned trials, so that a resumed study tells what an uncut one tells. In a
        study of several objectives an observation's value is its rank (`sllmbo.goals.pareto_ranks`, less is better),
        and its details have the value of each objective.
        """
        seen, until, known = self._last
        if seen is trials and until == before and known is not None:  # who serves and what is told are asked in turn
            return known
        with self._lock:
            n_read = self._settle(trials)
            observations = list(self._observations)
        if before is not None and n_read and trials[n_read - 1].number >= before:
            n_read, observations = 0, []
        for trial in trials[n_read:]:
            if (before is None or trial.number < before) and counts(trial):
                observations.append(to_observation(trial, len(observations)))
        if len(study.directions) > 1:
            history = _by_rank(study, observations)
        else:
            history = History(_direction(study.direction), tuple(observations))
        self._last = (trials, before, history)
        return history

    def free_turn(self, trials: Sequence[FrozenTrial], number: int) -> int:
        """Return the turn of trial *number*, which is running: the lowest that no earlier trial has."""
        with self._lock:
            n_read = self._settle(trials)
            return free_turn(trials[n_read:], number, self._turns, self._died)

    def _settle(self, trials: Sequence[FrozenTrial]) -> int:
        """Read on up to the first unfinished trial, from the start where *trials* are another study's."""
        n_read = len(self._read)
        if n_read and (len(trials) < n_read or trials[n_read - 1] is not self._read[-1]):
            self._read, self._observations, self._latest = [], [], {}
            self._turns, self._died = set(), Counter()
        n_known = len(self._read)
        for trial in trials[n_known:]:
            if not trial.state.is_finished():
                break
            self._read.append(trial)
            _note_distributions(self._latest, trial)
            if counts(trial):
                self._observations.append(to_observation(trial, len(self._observations)))
                self._turns.add(turn_of(trial))
        self._died += deaths(self._read[n_known:])
        return len(self._read)


def told_task(task: Task, study: Study) -> Task:
    """Return *task* with the direction and the further objectives of *study*."""
    first, *others = (_direction(direction) for direction in study.directions)
    objectives = task.objectives
    if others and not objectives:
        objectives = dict(zip(objective_names(study)[1:], others, strict=True))
    return replace(task, direction=first, objectives=objectives)


def objective_names(study: Study) -> list[str]:
    """Return the names of the several objectives of *study*."""
    return study.metric_names or [objective(i) for i in range(len(study.directions))]


def _direction(direction: StudyDirection) -> Direction:
    return "minimize" if direction == StudyDirection.MINIMIZE else "maximize"


def _by_rank(study: Study, observations: Sequence[Observation]) -> History:
    """Return *observations* valued by their ranks, with which no training value can be compared."""
    names = objective_names(study)
    signs = [1.0 if direction == StudyDirection.MINIMIZE else -1.0 for direction in study.directions]
    losses = {
        o.number: [sign * o.details[objective(i)] for i, sign in enumerate(signs)]
        for o in observations
        if o.state == "complete"
    }
    ranks = dict(zip(losses, pareto_ranks(list(losses.values())), strict=True))
    renamed = {objective(i): name for i, name in enumerate(names)}
    ranked = (
        replace(
            o,
            value=ranks.get(o.number),
            details={renamed.get(name, name): told for name, told in o.details.items() if name != "train_value"},
        )
        for o in observations
    )
    improved = improvements_of_front({n: (observations[n].source, row) for n, row in losses.items()})
    return History("minimize", tuple(ranked), improved)


def counts(trial: FrozenTrial) -> bool:
    """Tell whether *trial* is an observation: it runs or has ended, and was not abandoned."""
    return trial.state != TrialState.WAITING and not is_abandoned(trial)


def _note_distributions(latest: dict[str, BaseDistribution], trial: FrozenTrial) -> None:
    if trial.state.is_finished() and not is_abandoned(trial):
        latest.update(trial.distributions)


def memo_of(trials: Sequence[FrozenTrial], *, before: int) -> Memo | None:
    """Return what the advisor last wrote down for itself in a trial with a lower number than *before*."""
    for trial in reversed(trials):
        if trial.number < before and MEMO in trial.user_attrs and record_of(trial) and not is_abandoned(trial):
            return Memo(**trial.user_attrs[MEMO])
    return None


def study_history(study: Study) -> History:
    """Return all trials of *study* that are running or finished, without the abandoned ones."""
    return Reader(None).history(study, all_trials(study))
