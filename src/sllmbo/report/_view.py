"""
A study as the report reads it: its trials that count, its space, and a history per objective.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sllmbo.errors import SpaceError
from sllmbo.history import Direction, History, Observation
from sllmbo.samplers._convert import broken_constraints, to_observation
from sllmbo.samplers._edits import edits_before, whole_space
from sllmbo.samplers._reader import Reader, objective_names
from sllmbo.samplers._record import SOURCE
from sllmbo.samplers._turns import all_trials, is_abandoned
from sllmbo.space import SearchSpace
from sllmbo.tuner.storage import SPACE
from sllmbo.tuner.transfer import CARD


@dataclass(frozen=True, slots=True)
class View:
    """What of a study is reported."""

    study: Study
    trials: tuple[FrozenTrial, ...]
    """Running and finished trials, without the abandoned ones; an observation's number is its place here."""
    running: int
    """Trials that have not ended, whoever runs them."""
    space: SearchSpace

    @classmethod
    def of(cls, study: Study) -> View:
        """Return the view of *study*, whoever made it."""
        found = all_trials(study)
        counted = tuple(trial for trial in found if trial.state != TrialState.WAITING and not is_abandoned(trial))
        running = sum(trial.state == TrialState.RUNNING for trial in found)
        return cls(study, counted, running, _space(study, found))

    @property
    def finished(self) -> tuple[FrozenTrial, ...]:
        """The trials that have ended."""
        return tuple(trial for trial in self.trials if trial.state.is_finished())

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Which way each objective is better."""
        return tuple("minimize" if d == StudyDirection.MINIMIZE else "maximize" for d in self.study.directions)

    @property
    def metrics(self) -> tuple[str, ...]:
        """What each objective is called."""
        if len(self.directions) > 1:
            return tuple(map(str, objective_names(self.study)))
        return (str((self.study.metric_names or [self.card.get("metric") or "value"])[0]),)

    @property
    def card(self) -> Mapping[str, Any]:
        """What is tuned, if the study says so."""
        card = self.study.user_attrs.get(CARD)
        return card if isinstance(card, dict) else {}

    def history(self, objective: int = 0) -> History:
        """Return the trials as observations of one objective, numbered by their place in `trials`."""
        observations = (
            _seen(to_observation(trial, place), trial, objective) for place, trial in enumerate(self.trials)
        )
        return History(self.directions[objective], tuple(observations))


def source_of(trial: FrozenTrial) -> str:
    """Return who served *trial*; "user" where nothing is written on it."""
    return str(trial.user_attrs.get(SOURCE) or "user")


def ended_as(trial: FrozenTrial, observation: Observation) -> str:
    """Return how *trial* has ended, seen as *observation*: as its state, or "infeasible"."""
    is_complete = observation.state == "failed" and trial.state == TrialState.COMPLETE
    return "infeasible" if is_complete and broken_constraints(trial) else observation.state


def _seen(observation: Observation, trial: FrozenTrial, objective: int) -> Observation:
    if objective and observation.state == "complete":
        return replace(observation, value=trial.values[objective])
    return observation


def _space(study: Study, trials: list[FrozenTrial]) -> SearchSpace:
    """Return the study's declared space, as wide as it ever was; without one, what the trials suggested."""
    written = study.user_attrs.get(SPACE)
    if isinstance(written, dict) and "space" in written:
        try:
            return whole_space(SearchSpace.from_json(written["space"]), edits_before(trials, len(trials)))
        except SpaceError:
            pass
    return Reader(None).space(trials)
