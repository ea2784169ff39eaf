"""
How promising a configuration is, judged from the trials: expected improvement of a Gaussian process, and feasibility.

The rules say what is worth a try and why; this only orders what they say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sllmbo.advisors.rules.view import Trial, View
from sllmbo.choosing import expected_excess

Matrix = NDArray[np.float64]

_MOST_TRIALS = 200
_NOISE = 0.02


def expected_improvement(view: View, candidates: Matrix) -> Matrix:
    """
    Return the expected improvement over the incumbent at each candidate position.

    In units of the distance between the median and the best value. The reach of the kernel is the one of a few that
    explains the values best (Rasmussen and Williams, Gaussian Processes for Machine Learning, equation 2.30).
    """
    trials = view.ranked[:_MOST_TRIALS]
    places = np.stack([trial.position for trial in trials])
    values = _standardised(np.array([trial.value for trial in trials]) * view.sign)
    mean, spread = max(
        (_posterior(places, values, candidates, reach * math.sqrt(places.shape[1])) for reach in (0.15, 0.3, 0.6)),
        key=lambda fit: fit[0],
    )[1:]
    return np.maximum(expected_excess((values.min() - mean) / spread, spread), 1e-12)


def feasibility(view: View, candidates: Matrix) -> Matrix:
    """Return the share of what lies around each candidate that did not fail, 1 where nothing is near."""
    if not view.failed:
        return np.ones(len(candidates))
    reach = 0.12 * math.sqrt(candidates.shape[1])
    failed = _kernel(candidates, _places(view.failed), reach).sum(axis=1)
    fine = _kernel(candidates, _places(view.ranked), reach).sum(axis=1) if view.ranked else np.zeros(len(candidates))
    prior = 0.2
    share = (fine + prior) / (fine + failed + prior)
    return np.asarray(np.where(_on_failing_side(view, candidates), 0.4 * share, share), dtype=np.float64)


def _on_failing_side(view: View, candidates: Matrix) -> NDArray[np.bool_]:
    """Tell which candidates lie, in some parameter, where every trial failed while all on the other side went well."""
    if len(view.failed) < 2 or len(view.ranked) < 4:
        return np.zeros(len(candidates), dtype=np.bool_)
    failed, fine = _places(view.failed), _places(view.ranked)
    above = (failed.min(axis=0) > fine.max(axis=0)) & (candidates >= failed.min(axis=0))
    below = (failed.max(axis=0) < fine.min(axis=0)) & (candidates <= failed.max(axis=0))
    return np.asarray((above | below).any(axis=1), dtype=np.bool_)


def nearest(places: Matrix, candidates: Matrix) -> Matrix:
    """Return how far each candidate is from the nearest of *places*."""
    return np.asarray(np.sqrt(_squared_distances(candidates, places)).min(axis=1), dtype=np.float64)


def _places(trials: Sequence[Trial]) -> Matrix:
    return np.stack([trial.position for trial in trials])


def _standardised(values: Matrix) -> Matrix:
    """The best is -1, the median 0; what is worse than the median by more than that counts as 1.5 at most."""
    middle = float(np.median(values))
    scale = middle - float(values.min())
    if scale <= 0.0 or not math.isfinite(scale):
        return np.zeros_like(values)
    return np.asarray(np.clip((values - middle) / scale, -1.0, 1.5), dtype=np.float64)


def _posterior(places: Matrix, values: Matrix, candidates: Matrix, reach: float) -> tuple[float, Matrix, Matrix]:
    """Return the log marginal likelihood of *values*, and the mean and standard deviation at the candidates."""
    gram = _kernel(places, places, reach) + _NOISE * np.eye(len(places))
    factor = np.linalg.cholesky(gram)
    centre = float(values.mean())
    weights = np.linalg.solve(factor.T, np.linalg.solve(factor, values - centre))
    across = _kernel(candidates, places, reach)
    explained = np.linalg.solve(factor, across.T)
    spread = np.sqrt(np.maximum(1.0 - (explained**2).sum(axis=0), 1e-9))
    likelihood = -0.5 * float((values - centre) @ weights) - float(np.log(np.diag(factor)).sum())
    return likelihood, centre + across @ weights, spread


def _kernel(left: Matrix, right: Matrix, reach: float) -> Matrix:
    return np.asarray(np.exp(-0.5 * _squared_distances(left, right) / reach**2), dtype=np.float64)


def _squared_distances(left: Matrix, right: Matrix) -> Matrix:
    return np.asarray(((left[:, None, :] - right[None, :, :]) ** 2).sum(axis=2), dtype=np.float64)
