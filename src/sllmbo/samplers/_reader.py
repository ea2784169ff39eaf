"""
The study in an advisor's words: its history and its search space.
"""

from __future__ import annotations

from collections.abc import Sequence

from optuna.distributions import BaseDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sllmbo.advisors import Memo
from sllmbo.history import History, Observation
from sllmbo.samplers._convert import from_distributions, to_observation
from sllmbo.samplers._record import MEMO
from sllmbo.samplers._turns import all_trials, is_abandoned
from sllmbo.space import SearchSpace


class Reader:
    """Reads studies. Keeps nothing but observations of finished trials, which never change."""

    def __init__(self, space: SearchSpace | None) -> None:
        self._space = space
        self._observations: dict[int, tuple[FrozenTrial, Observation]] = {}
        self._last: tuple[Sequence[FrozenTrial], int | None, History | None] = ((), None, None)

    def space(self, trials: Sequence[FrozenTrial]) -> SearchSpace:
        """Return the declared space; without one, what finished trials suggested, each parameter as it was last."""
        if self._space is not None:
            return self._space
        latest: dict[str, BaseDistribution] = {}
        for trial in reversed(trials):
            if trial.distributions.keys() <= latest.keys() or not trial.state.is_finished() or is_abandoned(trial):
                continue
            for name, distribution in trial.distributions.items():
                latest.setdefault(name, distribution)
        return from_distributions({name: latest[name] for name in sorted(latest) if not latest[name].single()})

    def history(self, study: Study, trials: Sequence[FrozenTrial], *, before: int | None = None) -> History:
        """
        Return the trials, or those with lower numbers than *before*.

        Observations are numbered without abandoned trials, so that a resumed study tells what an uncut one tells.
        """
        seen, until, known = self._last
        if seen is trials and until == before and known is not None:  # who serves and what is told are asked in turn
            return known
        earlier = trials if before is None else [trial for trial in trials if trial.number < before]
        counted = [trial for trial in earlier if trial.state != TrialState.WAITING and not is_abandoned(trial)]
        observations = tuple(self._observe(trial, number) for number, trial in enumerate(counted))
        history = History("minimize" if study.direction == StudyDirection.MINIMIZE else "maximize", observations)
        self._last = (trials, before, history)
        return history

    def _observe(self, trial: FrozenTrial, number: int) -> Observation:
        if not trial.state.is_finished():
            return to_observation(trial, number)
        known, observation = self._observations.get(trial._trial_id, (None, None))
        if observation is None or known is not trial or observation.number != number:  # ids repeat between studies
            observation = to_observation(trial, number)
            self._observations[trial._trial_id] = trial, observation
        return observation


def memo_of(trials: Sequence[FrozenTrial], *, before: int) -> Memo | None:
    """Return what the advisor last wrote down for itself in a trial with a lower number than *before*."""
    for trial in reversed(trials):
        if trial.number < before and MEMO in trial.user_attrs and not is_abandoned(trial):
            return Memo(**trial.user_attrs[MEMO])
    return None


def study_history(study: Study) -> History:
    """Return all trials of *study* that are running or finished, without the abandoned ones."""
    return Reader(None).history(study, all_trials(study))
