"""
Choosing the winner under noise: which configuration is best, how good it is, and which one to evaluate again.

The best of many single values is mostly a lucky one. Here the belief about a configuration is the mean of its values,
drawn towards what a model of all trials says of its place, the more the noisier and the fewer its values: empirical
Bayes (Efron and Morris 1973). The model is a forest of extremely randomised trees (Geurts et al. 2006) on the first
value of each configuration, asked out of the bag; the noise is measured by the repeats. The next repeat goes to the
leader or to its strongest challenger, whichever is known less well, as in LUCB (Kalyanakrishnan et al. 2012), until
none is left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sllmbo._random import derive_seed
from sllmbo.history import History, Observation
from sllmbo.space import Categorical, Parameter, SearchSpace

Array = NDArray[np.float64]

_N_TREES = 64
_LEAF = 3
_BAD = 0.25
"""Values below this quantile count as that: how bad the bad ones are says nothing about the best."""
_PRIOR_WEIGHT = 4
"""Before repeats have measured the noise, all that the model leaves is taken for it: worth so many repeats."""
_LEAST_SHARE = 0.25
"""At least this share of what the model leaves is taken for true differences."""
_HUGE = 1e100
"""Values beyond are none to reckon with."""
_QUIET = 0.01
"""Noise below this share of the standard deviation within either half of the configurations counts as none."""
_Z = 1.959964
"""Of the normal distribution, for intervals of 95 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The configuration that a study recommends."""

    trial: int
    """Number of the first observation of it."""
    params: Mapping[str, Any]
    value: float
    """What is to be expected of it: the estimate where repeats have shown noise, else its value."""
    interval: tuple[float, float] | None
    """Of 95 % for the expected value; None where no repeat has shown noise."""
    repeats: int
    """Evaluations in the study, of this and other configurations, beyond the first of each."""


def choose(space: SearchSpace, history: History, *, seed: int = 0) -> Choice | None:
    """
    Return the best configuration of *history*, or None if no trial is complete.

    Where none was evaluated again, or all came out as before, it is the one with the best value.

    Args:
        space: The search space; it may have other parameters than the trials.
        history: The trials.
        seed: Seed of the trees.
    """
    best = history.best
    if best is None or best.value is None:
        return None
    tried = _configurations(history)
    repeats = sum(len(again) - 1 for again in tried)
    if not _noise(tried):
        return Choice(trial=best.number, params=best.params, value=best.value, interval=None, repeats=repeats)
    belief = _Belief(space, history, tried, seed=seed)
    index = int(np.argmax(belief.mean))
    value, half = belief.sign * float(belief.mean[index]), _Z * float(belief.error[index])
    first = tried[index][0]
    return Choice(
        trial=first.number, params=first.params, value=value, interval=(value - half, value + half), repeats=repeats
    )


def next_repeat(space: SearchSpace, history: History, *, seed: int = 0) -> Observation | None:
    """
    Return the first observation of the configuration that is best evaluated again now.

    None where a repeat is of no use: there are fewer than two configurations, one was evaluated again and came out as
    before, or no other is likely to be better than the leader. What runs or has failed before is not repeated.
    """
    tried = _configurations(history)
    if len(tried) < 2 or _noise(tried) == 0.0:
        return None
    belief = _Belief(space, history, tried, seed=seed)
    running = {_key(o.params) for o in history if o.state == "running"}
    order = [int(i) for i in np.argsort(-belief.mean) if _key(tried[i][0].params) not in running]
    if len(order) < 2:
        return None
    leader, *others = order
    gaps = [(belief.mean[leader] - belief.mean[i]) / math.hypot(belief.error[leader], belief.error[i]) for i in others]
    challenger = others[int(np.argmin(gaps))]
    if min(gaps) > _Z:
        return None
    return tried[leader if belief.error[leader] >= belief.error[challenger] else challenger][0]


def _key(params: Mapping[str, Any]) -> str:
    return repr(sorted(params.items()))


def count(history: History, params: Mapping[str, Any]) -> int:
    """Return how many observations of *history* are of the configuration *params*."""
    return sum(_key(o.params) == _key(params) for o in history)


def _configurations(history: History) -> list[list[Observation]]:
    """Return the complete observations by configuration, in order, without configurations that have also failed."""
    failed = {_key(o.params) for o in history.failures()}
    found: dict[str, list[Observation]] = {}
    for observation in history.complete():
        if _key(observation.params) not in failed:
            found.setdefault(_key(observation.params), []).append(observation)
    return list(found.values())


def noise(history: History) -> float | None:
    """
    Return the standard deviation of the values of one configuration; None where none was evaluated again.

    0 where it is too small to matter beside the differences between configurations.
    """
    sane = tuple(o for o in history if o.value is None or abs(o.value) < _HUGE)
    variance = _noise(_configurations(History(history.direction, sane)))
    return None if variance is None else math.sqrt(variance)


def _values(again: Sequence[Observation]) -> Array:
    return np.array([o.value for o in again], dtype=float)


def _noise(tried: Sequence[Sequence[Observation]]) -> float | None:
    """
    Return the variance of the values of one configuration, pooled over all; None where none was evaluated again.

    0 where it is too small to matter beside the differences among the better and among the worse half of them.
    """
    degrees = sum(len(again) - 1 for again in tried)
    if not degrees or len(tried) < 2:
        return None
    variance = float(sum(((values - values.mean()) ** 2).sum() for values in map(_values, tried))) / degrees
    means = np.sort([np.median(_values(again)) for again in tried])
    return variance if variance > _QUIET**2 * min(np.var(half) for half in np.array_split(means, 2)) else 0.0


class _Belief:
    """What is believed of each configuration; better is higher."""

    def __init__(
        self, space: SearchSpace, history: History, tried: Sequence[Sequence[Observation]], *, seed: int
    ) -> None:
        from sklearn.ensemble import ExtraTreesRegressor

        self.sign = -1.0 if history.direction == "minimize" else 1.0
        counts = np.array([len(again) for again in tried], dtype=float)
        means = self.sign * np.array([_values(again).mean() for again in tried])
        forest = ExtraTreesRegressor(
            _N_TREES, min_samples_leaf=_LEAF, bootstrap=True, oob_score=True, random_state=derive_seed(seed, "choosing")
        )
        places, first = _places(space, [again[0].params for again in tried]), self.sign * _values([a[0] for a in tried])
        forest.fit(places, np.maximum(first, np.quantile(first, _BAD)))
        told = np.asarray(forest.oob_prediction_, dtype=float)
        top = means >= np.median(means)
        left = float(np.mean((means[top] - told[top]) ** 2)) or 1.0
        degrees = float((counts - 1).sum())
        noise = (_PRIOR_WEIGHT * left + degrees * (_noise(tried) or 0.0)) / (_PRIOR_WEIGHT + degrees)
        spread = max(left - noise, _LEAST_SHARE * left)
        precision = 1.0 / spread + counts / noise
        self.mean = (told / spread + counts * means / noise) / precision
        self.error = np.sqrt(1.0 / precision)


def _places(space: SearchSpace, points: Sequence[Mapping[str, Any]]) -> Array:
    """Return *points* on the unit scales of *space*, each category as a column of its own; -1 where there is none."""
    columns = []
    for name, parameter in space.items():
        if isinstance(parameter, Categorical):
            columns += [
                [float(_is(point.get(name, _places), choice)) for point in points] for choice in parameter.choices
            ]
        else:
            columns.append([_place(parameter, point.get(name)) for point in points])
    return np.array(columns, dtype=float).T


def _is(value: Any, choice: Any) -> bool:
    return type(value) is type(choice) and bool(value == choice)


def _place(parameter: Parameter, value: Any) -> float:
    try:
        return float(parameter.to_unit(value))
    except (TypeError, ValueError):
        return -1.0
