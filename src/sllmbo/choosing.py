"""
Choosing the winner under noise: which configuration is best, how good it is, and which one to evaluate again.

The best of many single values is mostly a lucky one. Here the belief about a configuration is the mean of its values,
drawn towards the mean of the better half of all configurations, the more the noisier and the fewer its values:
empirical Bayes (Efron and Morris 1973), with the noise measured by the repeats. The next repeat goes where it is
expected to better the choice most: the knowledge gradient (Frazier, Powell and Dayanik 2008).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sllmbo.history import Direction, History, Observation

Array = NDArray[np.float64]

_PRIOR_WEIGHT = 2
"""A prior guess, that all the better half differs by is noise, is worth so many repeats."""
_LEAST_SHARE = 0.25
"""At least this share of what the better half differs by is taken for true differences."""
_HUGE = 1e100
"""Values beyond are none to reckon with."""
_QUIET = 0.01
"""Noise below this share of the standard deviation within either half of the configurations counts as none."""
_SURE = 2
"""So many repeats that all came out as before mean that the objective is deterministic; one may be equal by chance."""
_WORTH = 0.01
"""A repeat that is expected to better the choice by less than this share of the true differences is of no use."""
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


def choose(history: History) -> Choice | None:
    """
    Return the best configuration of *history*, or None if no trial is complete.

    Where none was evaluated again, or all came out as before, it is the one with the best value.
    """
    best = history.best
    if best is None or best.value is None:
        return None
    tried = _configurations(history)
    repeats = _repeats(tried)
    if not _noise(tried):
        return Choice(trial=best.number, params=best.params, value=best.value, interval=None, repeats=repeats)
    belief = _Belief(tried, direction=history.direction)
    index = int(np.argmax(belief.mean))
    value, half = belief.sign * float(belief.mean[index]), _Z * float(belief.error[index])
    first = tried[index][0]
    return Choice(
        trial=first.number, params=first.params, value=value, interval=(value - half, value + half), repeats=repeats
    )


def next_repeat(history: History) -> Observation | None:
    """
    Return the first observation of the configuration that is best evaluated again now.

    None where a repeat is of no use: there are fewer than two configurations, two repeats came out as before, or none
    is likely to change the choice. What runs or has failed before is not repeated.
    """
    tried = _configurations(history)
    unsure = _repeats(tried) < _SURE
    if len(tried) < 2 or not (unsure or _noise(tried)):
        return None
    belief = _Belief(tried, direction=history.direction)
    running = {_key(o.params) for o in history if o.state == "running"}
    gains = belief.gains() * [_key(again[0].params) not in running for again in tried]
    index = int(np.argmax(gains))
    return tried[index][0] if gains[index] > (0.0 if unsure else _WORTH * math.sqrt(belief.spread)) else None


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


def _repeats(tried: Sequence[Sequence[Observation]]) -> int:
    return sum(len(again) - 1 for again in tried)


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
    degrees = _repeats(tried)
    if not degrees or len(tried) < 2:
        return None
    variance = float(sum(((values - values.mean()) ** 2).sum() for values in map(_values, tried))) / degrees
    means = np.sort([np.median(_values(again)) for again in tried])
    return variance if variance > _QUIET**2 * min(np.var(half) for half in np.array_split(means, 2)) else 0.0


class _Belief:
    """What is believed of each configuration; better is higher."""

    def __init__(self, tried: Sequence[Sequence[Observation]], *, direction: Direction) -> None:
        self.sign = -1.0 if direction == "minimize" else 1.0
        counts = np.array([len(again) for again in tried], dtype=float)
        means = self.sign * np.array([_values(again).mean() for again in tried])
        top = means >= np.median(means)
        differences = float(np.var(means[top])) or 1.0
        repeats = _repeats(tried)
        self.noise = (_PRIOR_WEIGHT * differences + repeats * (_noise(tried) or 0.0)) / (_PRIOR_WEIGHT + repeats)
        noise = self.noise * float(np.mean(1.0 / counts[top]))
        self.spread = max(differences - noise, _LEAST_SHARE * differences)
        precision = 1.0 / self.spread + counts / self.noise
        self.mean: Array = (means[top].mean() / self.spread + counts * means / self.noise) / precision
        self.error: Array = np.sqrt(1.0 / precision)

    def gains(self) -> Array:
        """Return by how much one more value of each configuration is expected to better that of the chosen one."""
        moves = self.error**2 / np.sqrt(self.error**2 + self.noise)  # deviation of the mean that comes next
        first = int(np.argmax(self.mean))
        rivals = np.full(len(self.mean), self.mean[first])
        rivals[first] = np.max(np.delete(self.mean, first))
        z = -np.abs(self.mean - rivals) / moves
        normal = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        tail = np.array([math.erfc(-value / math.sqrt(2)) / 2 for value in z])
        return np.asarray(moves * (z * tail + normal), dtype=float)
