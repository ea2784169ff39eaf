"""
Judging: an advisor's candidate is turned down where the trials promise less of it than of most of the space.

What they promise is the expected improvement (Mockus 1978; Jones, Schonlau and Welch 1998) under a Gaussian process
whose parameters are fixed, on the ranks of the trials: nothing is fitted, and no metric's scale matters. That a
surrogate may veto a language model within a shrinking margin is "justify" of LLINBO (arXiv 2505.14756).

TPE's density ratio is no such judge: it is low wherever trials crowd that are good but not the best, which is where a
good advisor refines (docs/adr/0019).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sllmbo._random import generator
from sllmbo.choosing import expected_excess
from sllmbo.history import History
from sllmbo.samplers._edits import Box
from sllmbo.space import Categorical, Parameter, SearchSpace

Array = NDArray[np.float64]

_ENOUGH = 12
"""With fewer complete trials too little is known to veto anything."""

_STRICTEST = 0.5
"""The share of the space that is turned down after very many trials."""

_N_REFERENCE = 128

_MOST = 200
"""So many trials are looked at: half of them the best, half the latest."""
_REACH = 0.3
"""The process's length scale, as a share of the diagonal of the unit cube."""
_NOISE = 0.2
"""The variance of its noise, of ranks that have the variance 1."""
_ABSENT = 0.5
"""The place of a parameter that does not exist beside the others."""


def margin(n_complete: int) -> float:
    """
    Return which share of the space, the least promising, is turned down after *n_complete* trials.

    Nothing before 12 trials, a quarter at 24, two fifths at 60, a half in the end.
    """
    return _STRICTEST * max(0.0, 1.0 - _ENOUGH / n_complete) if n_complete else 0.0


def turned_down(
    box: Box, history: History, candidates: Sequence[Mapping[str, Any]], *, seed: int, turn: int
) -> list[str]:
    """
    Return, for each candidate, why it is turned down, or "" where it is not.

    The share is one of the whole space: of a branch that is searched through more may be turned down, of others less.

    Args:
        box: Where the turn searches.
        history: The trials that judge.
        candidates: Configurations of the present space.
        seed: With *turn*, where the points of the space come from that they are compared with.
        turn: The turn that is decided on.
    """
    ranked = history.ranked()
    share = margin(len(ranked))
    if share == 0.0 or not box.whole or not candidates:
        return ["" for _ in candidates]
    if len(ranked) > _MOST:
        latest = sorted(ranked[_MOST // 2 :], key=lambda o: o.number)[-_MOST // 2 :]
        ranked = (*ranked[: _MOST // 2], *latest)
    rng = generator(seed, "judging", turn)
    values = np.array([o.value for o in ranked], dtype=float) * (1.0 if history.direction == "maximize" else -1.0)
    across, active = _reference(box, rng)
    points = np.vstack([_places(box.whole, candidates), across])
    promise = expected_improvement(_places(box.whole, [o.params for o in ranked]), values, points, active=active)
    among, others = promise[: len(candidates)], promise[len(candidates) :]
    ranks = [float((others < gain).mean()) for gain in among]
    return [
        ""
        if rank >= share
        else f"the trials promise more of {1 - rank:.0%} of the space; the last {share:.0%} are turned down"
        for rank in ranks
    ]


def expected_improvement(places: Array, values: Array, points: Array, *, active: float) -> Array:
    """
    Return how much each point is expected to better the best trial, in standard deviations of the trials' ranks.

    Args:
        places: The trials, n x d in the unit cube.
        values: Their values, n, larger is better.
        points: m x d.
        active: How many of the d columns exist at a point, on average; the others stand for what does not.
    """
    better = (values[:, None] > values).sum(axis=1) + ((values[:, None] == values).sum(axis=1) - 1) / 2
    scores = np.array([NormalDist().inv_cdf((rank + 0.5) / len(values)) for rank in better])
    reach = _REACH * math.sqrt(active)
    known, across = _covariance(places, places, reach), _covariance(points, places, reach)
    solved = np.linalg.solve(known + _NOISE * np.eye(len(values)), np.column_stack([scores, across.T]))
    mean = across @ solved[:, 0]
    deviation = np.sqrt(np.maximum(1.0 - (across * solved[:, 1:].T).sum(axis=1), 1e-12))
    z = (mean - (known @ solved[:, 0]).max()) / deviation
    return expected_excess(z, deviation)


def _covariance(one: Array, other: Array, reach: float) -> Array:
    """Matern 5/2, of variance 1."""
    apart = ((one[:, None, :] - other[None, :, :]) ** 2).sum(axis=2)
    scaled = np.sqrt(5.0 * apart) / reach
    return np.asarray((1.0 + scaled + scaled**2 / 3.0) * np.exp(-scaled))


def _places(space: SearchSpace, points: Sequence[Mapping[str, Any]]) -> Array:
    """Return *points* on unit scales, n x d; another category is as far as the ends of a scale."""
    columns: list[list[float]] = []
    for name, parameter in space.items():
        if isinstance(parameter, Categorical):
            columns += [
                [float(name in p and _is(p[name], choice)) / math.sqrt(2) for p in points]
                for choice in parameter.choices
            ]
        else:
            columns.append([_place(parameter, p[name]) if name in p else _ABSENT for p in points])
    return np.array(columns, dtype=float).T


def _reference(box: Box, rng: np.random.Generator) -> tuple[Array, float]:
    """Return the places of points across what is searched now, and how many columns exist at one of them on average."""
    columns: list[Array] = []
    drawn: list[dict[str, Any]] = [{} for _ in range(_N_REFERENCE)]
    decisive = {parameter.condition.parameter for parameter in box.whole.values() if parameter.condition}
    exist: dict[str, Array] = {}
    n_active = 0.0
    for name, parameter in box.whole.items():
        condition = repr(parameter.condition)  # True is not 1
        if condition not in exist:
            exist[condition] = np.array([box.whole.is_active(name, point) for point in drawn])
        here = exist[condition]
        if isinstance(parameter, Categorical):
            indices = rng.integers(len(parameter.choices), size=_N_REFERENCE)
            columns += [here * (indices == index) / math.sqrt(2) for index in range(len(parameter.choices))]
            values = [parameter.choices[index] for index in indices] if name in decisive else []
            n_active += len(parameter.choices) * float(here.mean())
        else:
            present = box.present[name]
            assert not isinstance(present, Categorical)
            low, high = _place(parameter, present.low), _place(parameter, present.high)
            places = low + (high - low) * rng.random(_N_REFERENCE)
            columns.append(np.where(here, places, _ABSENT))
            values = [parameter.from_unit(place) for place in places] if name in decisive else []
            n_active += float(here.mean())
        for point, value, exists in zip(drawn, values, here, strict=False):
            if exists:
                point[name] = value
    return np.array(columns).T, n_active


def _is(value: Any, choice: Any) -> bool:
    return type(value) is type(choice) and bool(value == choice)


def _place(parameter: Parameter, value: Any) -> float:
    """Return the place of *value*; the middle where it is of another kind."""
    try:
        return min(max(float(parameter.to_unit(value)), -1.0), 2.0)
    except (TypeError, ValueError):
        return _ABSENT
