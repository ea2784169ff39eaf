"""
The study in an advisor's words: its history and its search space.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from optuna.distributions import BaseDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sllmbo.advisors import Memo
from sllmbo.history import History, Observation
from sllmbo.samplers._convert import from_distributions, to_observation
from sllmbo.samplers._record import MEMO
from sllmbo.samplers._turns import TURN, all_trials, free_turn, is_abandoned
from sllmbo.space import SearchSpace


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

        Observations are numbered without abandoned trials, so that a resumed study tells what an uncut one tells.
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
            if (before is None or trial.number < before) and _counts(trial):
                observations.append(to_observation(trial, len(observations)))
        history = History("minimize" if study.direction == StudyDirection.MINIMIZE else "maximize", tuple(observations))
        self._last = (trials, before, history)
        return history

    def free_turn(self, trials: Sequence[FrozenTrial], number: int) -> int:
        """Return the turn of trial *number*, which is running: the lowest that no earlier trial has."""
        with self._lock:
            n_read = self._settle(trials)
            return free_turn(trials[n_read:], number, self._turns)

    def _settle(self, trials: Sequence[FrozenTrial]) -> int:
        """Read on up to the first unfinished trial, from the start where *trials* are another study's."""
        n_read = len(self._read)
        if n_read and (len(trials) < n_read or trials[n_read - 1] is not self._read[-1]):
            self._read, self._observations, self._latest, self._turns = [], [], {}, set()
        for trial in trials[len(self._read) :]:
            if not trial.state.is_finished():
                break
            self._read.append(trial)
            _note_distributions(self._latest, trial)
            if _counts(trial):
                self._observations.append(to_observation(trial, len(self._observations)))
                self._turns.add(trial.system_attrs.get(TURN, {}).get("turn"))
        return len(self._read)


def _counts(trial: FrozenTrial) -> bool:
    return trial.state != TrialState.WAITING and not is_abandoned(trial)


def _note_distributions(latest: dict[str, BaseDistribution], trial: FrozenTrial) -> None:
    if trial.state.is_finished() and not is_abandoned(trial):
        latest.update(trial.distributions)


def memo_of(trials: Sequence[FrozenTrial], *, before: int) -> Memo | None:
    """Return what the advisor last wrote down for itself in a trial with a lower number than *before*."""
    for trial in reversed(trials):
        if trial.number < before and MEMO in trial.user_attrs and not is_abandoned(trial):
            return Memo(**trial.user_attrs[MEMO])
    return None


def study_history(study: Study) -> History:
    """Return all trials of *study* that are running or finished, without the abandoned ones."""
    return Reader(None).history(study, all_trials(study))
