"""
A study as the rules see it: every trial repaired into the space and placed as a point.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sllmbo.errors import SpaceError
from sllmbo.history import History, Observation
from sllmbo.space import Categorical, Parameter, Scalar, SearchSpace
from sllmbo.task import Task

Key: TypeAlias = tuple[tuple[str, bool, Scalar], ...]

_CATEGORY_STEP = 0.5
"""How far apart two categories lie, where a numeric parameter's range is 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A trial that has a place in the space."""

    observation: Observation
    params: Mapping[str, Scalar]
    position: NDArray[np.float64]

    @property
    def number(self) -> int:
        """The trial's number in the study."""
        return self.observation.number

    @property
    def value(self) -> float:
        """The objective's value of a complete trial."""
        assert self.observation.value is not None
        return self.observation.value


@dataclass(frozen=True, slots=True)
class View:
    """What the rules know: the trials of one state or another, each with its place in the space."""

    task: Task
    space: SearchSpace
    history: History
    ranked: tuple[Trial, ...]
    """Complete trials with a finite value, best first."""
    failed: tuple[Trial, ...]
    others: tuple[Trial, ...]
    """Running and pruned trials, and complete ones without a finite value."""

    @property
    def tried(self) -> tuple[Trial, ...]:
        """All trials that have a place."""
        return self.ranked + self.failed + self.others

    @property
    def sign(self) -> float:
        """1 if smaller values are better, -1 if larger ones are."""
        return 1.0 if self.history.direction == "minimize" else -1.0


def look(task: Task, space: SearchSpace, history: History) -> View:
    """Place the trials of *history* in *space*; those that have no meaning there are left out."""
    placed = [
        Trial(observation, params, position(space, params))
        for observation in history
        if (params := _meaning(space, observation.params)) is not None
    ]
    sign = 1.0 if history.direction == "minimize" else -1.0
    judged = [trial for trial in placed if trial.observation.state == "complete" and _has_value(trial)]
    failed = [trial for trial in placed if trial.observation.state == "failed"]
    others = [trial for trial in placed if trial not in judged and trial not in failed]
    ranked = sorted(judged, key=lambda trial: (sign * trial.value, trial.number))
    return View(task, space, history, tuple(ranked), tuple(failed), tuple(others))


def key(params: Mapping[str, Scalar]) -> Key:
    """Return what two configurations share if and only if they are the same; True is not 1."""
    return tuple((name, isinstance(params[name], bool), params[name]) for name in sorted(params))


def position(space: SearchSpace, params: Mapping[str, Scalar]) -> NDArray[np.float64]:
    """Return the place of a configuration: numbers on their unit scale, categories as corners, absent ones centred."""
    place: list[float] = []
    for name, parameter in space.items():
        if isinstance(parameter, Categorical):
            corners = [0.0] * len(parameter.choices)
            if name in params:
                corners[_index(parameter, params[name])] = _CATEGORY_STEP / math.sqrt(2)
            place.extend(corners)
        else:
            place.append(unit(parameter, params[name]) if name in params else 0.5)
    return np.array(place, dtype=np.float64)


def unit(parameter: Parameter, value: Scalar) -> float:
    """Return the position of *value* in [0, 1]."""
    return parameter.to_unit(value)  # type: ignore[arg-type]  # the value was repaired by this parameter


def completed(space: SearchSpace, values: Mapping[str, Any]) -> dict[str, Scalar]:
    """
    Return the configuration of *space* that has *values* where they apply.

    Missing values and those without meaning get their default, or the middle of the range.
    """
    params: dict[str, Scalar] = {}
    for name, parameter in space.items():
        if not space.is_active(name, params):
            continue
        try:
            params[name] = parameter.repair(values[name])
        except (KeyError, SpaceError):
            params[name] = default_of(parameter)
    return params


def default_of(parameter: Parameter) -> Scalar:
    """Return the default, or the middle of the range where none is known."""
    return parameter.default if parameter.has_default else parameter.from_unit(0.5)


def show(value: Scalar) -> str:
    """Return *value* as a rationale says it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _meaning(space: SearchSpace, params: Mapping[str, Any]) -> dict[str, Scalar] | None:
    try:
        return space.repair(params)[0]
    except SpaceError:
        return None


def _has_value(trial: Trial) -> bool:
    return trial.observation.value is not None and math.isfinite(trial.observation.value)


def _index(parameter: Categorical, value: Scalar) -> int:
    return min(int(unit(parameter, value) * len(parameter.choices)), len(parameter.choices) - 1)
