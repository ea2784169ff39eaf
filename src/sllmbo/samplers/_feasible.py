"""
Where trials fail: an estimate from the failed and the other trials that steers both sides.

A failed trial is evidence about feasibility and never a value in a density: told as a penalty, the failures of one side
drag the other into the failing region (arXiv 2603.24647).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution

from sllmbo._random import generator
from sllmbo.history import History, Observation
from sllmbo.space import Categorical, SearchSpace

FEASIBLE = 0.9
"""A configuration that works with this probability is as good as one that works for sure.

Or with the median odds of the trials that worked: where trials fail by chance, none has more.
"""

_CAUTION = 60.0
_LEAST_CAUTION = 2.0
_RECENT = 20
"""The power of the odds by which a density ratio is multiplied: 60 x the failed share of the latest 20, at least 2."""

_FEWEST = 2
"""So many failed and so many other trials are needed for an estimate."""
_LATEST = 200
"""So many trials are looked at."""

_PRIOR = 0.3
"""What even odds count for beside a trial with the same configuration: far from all trials, the odds are even."""
_NEARNESSES = (100.0, 30.0, 6.0, 0.0)
"""Inverse squares of bandwidths, as a share of a parameter's scale; the last one leaves the parameter out."""
_MISMATCHES = (4.0, 1.5, 0.0)
"""What another category takes from the logarithm of a trial's weight."""

_Columns = Mapping[str, NDArray[np.float64]]

_N_POOL = 128
_N_GOOD = 5
_REACHES = (0.03, 0.1, 0.3)
"""How far from a good trial to look, as a share of each scale."""


def is_known(history: Iterable[Observation]) -> bool:
    """Tell whether there is evidence of where trials fail; one that failed before it had parameters is none."""
    counts = Counter(o.state for o in history if o.state != "failed" or o.params)
    return counts["failed"] >= _FEWEST and counts["complete"] + counts["pruned"] >= _FEWEST


class Feasibility:
    """
    The probability that a configuration does not fail, by a kernel estimate over the trials of a study.

    Each parameter's bandwidth is the likeliest one with each trial left out, so that parameters which have no part in
    failing are left out and a clear edge is a sharp one.

    Args:
        space: The parameters that are looked at; a trial may lack some.
        history: The trials so far; pruned ones did not fail.
        branch: The categories that are fixed already.
    """

    def __init__(
        self, space: Mapping[str, BaseDistribution], history: History, *, branch: Mapping[str, Any] | None = None
    ) -> None:
        self._space = {name: distribution for name, distribution in space.items() if not distribution.single()}
        told = [o for o in history if o.state != "failed" or not self._space.keys().isdisjoint(o.params)]
        ended = [o for o in told if o.state != "running"][-_LATEST:]
        self._works = np.array([o.state != "failed" for o in ended], dtype=bool)
        self._known = is_known(told)
        self.enough = FEASIBLE
        """A configuration with these odds is taken for one that works."""
        if self._known:
            self._places = self._placed(internal(self._space, [o.params for o in ended]))
            self._nearness = self._fitted()
        self._caution = _LEAST_CAUTION
        likes = [o.params for o in ended if all(o.params.get(name) == value for name, value in (branch or {}).items())]
        if not any(
            space.keys() < params.keys() for params in likes
        ):  # else what is drawn later can still avoid failing
            self._caution = max(_LEAST_CAUTION, _CAUTION * float(np.mean(~self._works[-_RECENT:])))

    def of(self, points: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        """Return the probability of each point not to fail; 1 without evidence."""
        return self.odds(internal(self._space, points)) if points else np.ones(0)

    def odds(self, columns: _Columns) -> NDArray[np.float64]:
        """Return the same of points as `internal` gives them."""
        n = len(next(iter(columns.values()), ()))
        if not self._known:
            return np.ones(n)
        log = np.zeros((n, len(self._works)))
        for name, places in self._placed({name: columns[name] for name in self._space}).items():
            if self._nearness[name]:
                log += self._nearness[name] * self._likeness(name, places, self._places[name])
        return self._smoothed(np.exp(log))

    def worth(self, columns: _Columns) -> NDArray[np.float64]:
        """Return what to add to the logarithm of a density ratio at each point."""
        return np.asarray(self._caution * np.log(np.minimum(self.odds(columns), self.enough)))

    def _fitted(self) -> dict[str, float]:
        choices = {
            name: _MISMATCHES if isinstance(self._space[name], CategoricalDistribution) else _NEARNESSES
            for name in self._places
        }
        chosen = {name: options[1] for name, options in choices.items()}
        log = np.zeros(2 * self._works.shape)
        for name, places in self._places.items():
            log += chosen[name] * self._likeness(name, places, places)
        np.fill_diagonal(log, -np.inf)
        best = self._likelihood(log)
        for name, places in self._places.items():
            likeness = self._likeness(name, places, places)  # twice is faster than to keep all of them
            log -= chosen[name] * likeness
            for option in [other for other in choices[name] if other != chosen[name]]:
                likelihood = self._likelihood(log + option * likeness)
                if likelihood > best:
                    best, chosen[name] = likelihood, option
            log += chosen[name] * likeness
        odds = self._smoothed(np.exp(log))[self._works]
        self.enough = min(FEASIBLE, float(np.median(odds)))
        return chosen

    def _likelihood(self, log: NDArray[np.float64]) -> float:
        odds = self._smoothed(np.exp(log))
        return float(np.log(np.where(self._works, odds, 1.0 - odds)).sum())

    def _smoothed(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((weights @ self._works + _PRIOR / 2.0) / (weights.sum(axis=1) + _PRIOR))

    def _likeness(self, name: str, one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return at most 0, and 0 where a parameter does not exist on one side: its condition tells them apart."""
        apart = one[:, None] - other[None, :]
        apart[np.isnan(apart)] = 0.0
        if isinstance(self._space[name], CategoricalDistribution):
            return np.asarray(-(apart != 0.0).astype(np.float64))
        return np.asarray(-0.5 * apart**2)

    def _placed(self, columns: _Columns) -> dict[str, NDArray[np.float64]]:
        """Return *columns* on each parameter's unit scale."""
        return {name: _places(self._space[name], column) for name, column in columns.items()}


def internal(
    space: Mapping[str, BaseDistribution], points: Sequence[Mapping[str, Any]]
) -> dict[str, NDArray[np.float64]]:
    """Return Optuna's internal values by parameter; not a number where a point has none."""
    return {
        name: np.array([_internal(d, point[name]) if name in point else np.nan for point in points])  # None is a choice
        for name, d in space.items()
    }


def pool(space: SearchSpace, history: History, *, seed: int, turn: int | str) -> list[dict[str, Any]]:
    """Return points across *space* and around the good trials, to choose from in *turn*."""
    rng = generator(seed, "feasible", turn)
    best = [o.params for o in history.ranked()[:_N_GOOD]]
    points: list[dict[str, Any]] = [dict(space.sample(rng)) for _ in range(_N_POOL)]
    for index in range(_N_POOL if best else 0):
        good, reach = best[index % len(best)], float(rng.choice(_REACHES))
        points.append({name: _beside(parameter, name, good, reach, rng) for name, parameter in space.items()})
    return points


def _beside(parameter: Any, name: str, good: Mapping[str, Any], reach: float, rng: np.random.Generator) -> Any:
    try:
        place = float(parameter.to_unit(good[name]))
    except (KeyError, TypeError, ValueError, StopIteration):
        place = -1.0
    if place < 0.0 or (isinstance(parameter, Categorical) and rng.random() < reach):
        return parameter.from_unit(float(rng.random()))
    if isinstance(parameter, Categorical):
        return good[name]
    return parameter.from_unit(float(np.clip(place + reach * rng.standard_normal(), 0.0, 1.0)))


def _internal(distribution: BaseDistribution, value: Any) -> float:
    try:
        return float(distribution.to_internal_repr(value))
    except (TypeError, ValueError):
        return np.nan


def _places(distribution: Any, column: NDArray[np.float64]) -> NDArray[np.float64]:
    if isinstance(distribution, CategoricalDistribution):
        return column
    low, high = float(distribution.low), float(distribution.high)
    if distribution.log:
        low, high, column = np.log(low), np.log(high), np.log(np.where(column > 0.0, column, np.nan))
    return np.clip((column - low) / (high - low), -1.0, 2.0)  # of other ranges
