"""
Choosing the winner under noise: which configuration is best, how good it is, and which one to evaluate again.

The best of many single values is mostly a lucky one. Here the belief about a configuration is the mean of its values,
drawn towards the mean of the better half of all configurations, the more the noisier and the fewer its values:
empirical Bayes (Efron and Morris 1973), with the noise measured by the repeats. What the k-th values of all
configurations have in common, such as folds and seed, is believed to be an effect of its own, and taken off. The next
repeat goes where it is expected to better the choice most: the knowledge gradient (Frazier, Powell and Dayanik 2008).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sllmbo.history import Direction, History, Observation

Array = NDArray[np.float64]
_Again: TypeAlias = dict[int, Observation]
"""The complete observations of one configuration, by how many observations of it came before."""

_PRIOR_WEIGHT = 2
"""A prior guess, that all the better half differs by is noise, is worth so many repeats."""
_NO_EFFECT = 1
"""A prior guess, that the k-th values of all configurations have no effect in common, is worth so many of them."""
_PASSES = 5
"""How often variances and effects are estimated in turn; more change nothing that matters."""
_LEAST_SHARE = 0.25
"""At least this share of what the better half differs by is taken for true differences."""
_TIED = 1e-9
"""A better half that differs by less than this share of the noise is tied: its true differences are then a guess."""
_HUGE = 1e100
"""Larger values are left out of estimates: sums of their squares could overflow."""
_QUIET = 0.01
"""Noise below this share of the standard deviation within either half of the configurations counts as none."""
_SURE = 2
"""So many repeats that all came out as before mean that the objective is deterministic; one may be equal by chance."""
_WORTH = 0.01
"""A repeat that is expected to better the choice by less than this share of the true differences is of no use."""
_DOUBT = 0.5
"""The winner is the best by its mean less this many deviations: noise may be larger than at its neighbours."""
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

    Where none was evaluated again, or all came out as before, it is the one with the best value, however large.
    """
    best = history.best
    if best is None or best.value is None:
        return None
    tried = _configurations(history)
    repeats = _repeats(tried)
    if not _noise(tried, _sign(history.direction)):
        return Choice(trial=best.number, params=best.params, value=best.value, interval=None, repeats=repeats)
    belief = _Belief(tried, direction=history.direction)
    index = int(np.argmax(belief.mean - _DOUBT * belief.error))
    value, half = belief.sign * float(belief.mean[index]), _Z * float(belief.error[index])
    first = _first(tried[index])
    return Choice(
        trial=first.number, params=first.params, value=value, interval=(value - half, value + half), repeats=repeats
    )


def best_of(history: History) -> Choice | None:
    """Return the best trial of *history* as it is, or None if none is complete: for ranks, which no repeat betters."""
    best = history.best
    if best is None or best.value is None:
        return None
    return Choice(trial=best.number, params=best.params, value=best.value, interval=None, repeats=0)


def next_repeat(history: History) -> Observation | None:
    """
    Return the first observation of the configuration that is best evaluated again now.

    None where a repeat is of no use: there are fewer than two configurations, two repeats came out as before, a pruner
    stopped one, so that only lucky ones would count, or none is likely to change the choice. What runs or has failed
    before is not repeated.
    """
    tried = _configurations(history)
    pruned = {_key(o.params) for o in history if o.state == "pruned"}
    unsure = _repeats(tried) < _SURE
    if len(tried) < 2 or any(_key(_first(again).params) in pruned for again in tried):
        return None
    if not (unsure or _noise(tried, _sign(history.direction))):
        return None
    belief = _Belief(tried, direction=history.direction)
    running = {_key(o.params) for o in history if o.state == "running"}
    gains = belief.gains() * [_key(_first(again).params) not in running for again in tried]
    index = int(np.argmax(gains))
    return _first(tried[index]) if gains[index] > (0.0 if unsure else _WORTH * math.sqrt(belief.spread)) else None


def expected_excess(z: Array, deviation: Array) -> Array:
    """Return the mean of max(0, x) for normal variables x with this *deviation* and the means z * deviation."""
    tail = np.array([math.erfc(-value / math.sqrt(2)) / 2 for value in z])
    return np.asarray(deviation * (z * tail + np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)), dtype=float)


def _key(params: Mapping[str, Any]) -> str:
    return repr(sorted(params.items()))


def count(history: History, params: Mapping[str, Any]) -> int:
    """Return how many observations of *history* are of the configuration *params*."""
    return sum(_key(o.params) == _key(params) for o in history)


def _configurations(history: History) -> list[_Again]:
    """
    Return the complete observations by configuration, in order.

    Without configurations that have also failed, and without values that are too large to reckon with.
    """
    failed = {_key(o.params) for o in history.failures()}
    found: dict[str, _Again] = {}
    before: Counter[str] = Counter()
    for observation in history:
        key = _key(observation.params)
        value = observation.value
        if observation.state == "complete" and value is not None and abs(value) < _HUGE and key not in failed:
            found.setdefault(key, {})[before[key]] = observation
        before[key] += 1
    return list(found.values())


def _first(again: _Again) -> Observation:
    return next(iter(again.values()))


def _repeats(tried: Sequence[_Again]) -> int:
    return sum(len(again) - 1 for again in tried)


def noise(history: History) -> float | None:
    """
    Return the standard deviation of the values of one configuration; None where none was evaluated again.

    0 where it is too small to matter beside the differences between configurations.
    """
    variance = _noise(_configurations(history), _sign(history.direction))
    return None if variance is None else math.sqrt(variance)


def _values(again: _Again) -> Array:
    return np.array([o.value for o in again.values()], dtype=float)


def _sign(direction: Direction) -> float:
    return -1.0 if direction == "minimize" else 1.0


def _noise(tried: Sequence[_Again], sign: float) -> float | None:
    """
    Return the variance of the values of one configuration, pooled over all; None where none was evaluated again.

    0 where it is too small to matter beside the differences among the better and among the worse half of them.
    """
    degrees = _repeats(tried)
    if not degrees or len(tried) < 2:
        return None
    variance = float(sum(((values - values.mean()) ** 2).sum() for values in map(_values, tried))) / degrees
    means = np.sort([sign * np.median(_values(again)) for again in tried])  # the worse half has the odd one
    return variance if variance > _QUIET**2 * min(np.var(half) for half in np.array_split(means, 2)) else 0.0


class _Belief:
    """
    What is believed of each configuration; better is higher.

    The k-th value of configuration i is m_i + f_k + noise. The variances of noise and effects f are those that explain
    their estimates best, each with the degrees of freedom that it has left (MacKay 1992, "Bayesian interpolation").
    """

    def __init__(self, tried: Sequence[_Again], *, direction: Direction) -> None:
        self.sign = _sign(direction)
        seen = np.zeros((len(tried), 1 + max(max(again) for again in tried)))
        values = np.zeros_like(seen)
        for i, again in enumerate(tried):
            seen[i, list(again)] = 1.0
            values[i, list(again)] = self.sign * _values(again)
        counts, repeats = seen.sum(axis=1), _repeats(tried)
        effects, free, variance = np.zeros(seen.shape[1]), 0.0, math.nan
        scale = _noise(tried, self.sign) or float(np.var([_values(again).mean() for again in tried])) or 1.0
        for _ in range(_PASSES):
            rest = seen * (values - effects)
            means = rest.sum(axis=1) / counts
            top = means >= np.median(means)
            differences = float(np.var(means[top]))
            differences = differences if differences > _TIED * scale else scale
            squares = float(((rest - seen * means[:, None]) ** 2).sum())
            self.noise = (_PRIOR_WEIGHT * differences + squares) / (_PRIOR_WEIGHT + repeats - free)
            noise = self.noise * float(np.mean(1.0 / counts[top]))
            self.spread = max(differences - noise, _LEAST_SHARE * differences)
            variance = differences + self.noise if math.isnan(variance) else variance
            effects, covariance, free = self._effects(values[top], seen[top], variance)
            variance = float(effects @ effects) / (free + _NO_EFFECT)
        means = (seen * (values - effects)).sum(axis=1) / counts
        precision = 1.0 / self.spread + counts / self.noise
        self.mean: Array = (means[top].mean() / self.spread + counts * means / self.noise) / precision
        self._known: Array = np.sqrt(1.0 / precision)  # were the effects known
        prior = (seen[top] / counts[top, None]).mean(axis=0) / self.spread
        by_effects = (prior + seen / self.noise) / precision[:, None]
        self.error: Array = np.sqrt(1.0 / precision + ((by_effects @ covariance) * by_effects).sum(axis=1))

    def _effects(self, values: Array, seen: Array, variance: float) -> tuple[Array, Array, float]:
        """Return the effects, their covariance, and how many of them the data determine."""
        share = self.spread / (self.noise + seen.sum(axis=1) * self.spread)
        weight = (np.diag(seen.sum(axis=0)) - (seen.T * share) @ seen) / self.noise
        told = (values.sum(axis=0) - seen.T @ (share * values.sum(axis=1))) / self.noise
        level = weight.sum(axis=0) / weight.sum()  # the mean of all configurations may be anything
        told = told - level * told.sum()
        weight = weight - np.outer(level, level) * weight.sum()
        left = np.linalg.inv(np.eye(len(told)) + variance * weight)
        return variance * left @ told, variance * left, len(told) - float(np.trace(left))

    def gains(self) -> Array:
        """Return by how much one more value of each configuration is expected to better that of the chosen one."""
        moves = self._known**2 / np.sqrt(self._known**2 + self.noise)  # deviation of the mean that comes next
        first = int(np.argmax(self.mean))
        rivals = np.full(len(self.mean), self.mean[first])
        rivals[first] = np.max(np.delete(self.mean, first))
        return expected_excess(-np.abs(self.mean - rivals) / moves, moves)
