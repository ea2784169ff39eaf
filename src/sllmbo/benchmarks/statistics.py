"""
What may be concluded from paired regrets: intervals, tests, ranks. Pure functions of arrays.

A difference is negative where the method has less regret than the baseline. It is a mean over problems and seeds. Two
bootstrap intervals (percentile, 10,000 resamples) say how sure it is:

- *stratified*: seeds are drawn anew within each problem. It is about other seeds of these problems.
- *hierarchical*: problems are drawn anew, then seeds within each. It is about other problems of this kind too, and
  wider.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RESAMPLES = 10_000
CONFIDENCE = 0.95
_USUAL = (5, 12, 25, 50)


def checkpoints(trials: int) -> tuple[int, ...]:
    """
    Return after how many trials results are told: 5, 12, 25, 50 and all, or quarters of less than 50.

    Example:
        >>> checkpoints(50), checkpoints(100), checkpoints(30)
        ((5, 12, 25, 50), (5, 12, 25, 50, 100), (8, 15, 23, 30))
    """
    if trials >= max(_USUAL):
        return tuple(sorted({*_USUAL, trials}))
    return tuple(sorted({math.ceil(trials * quarter / 4) for quarter in (1, 2, 3, 4)}))


def stratified_weights(n_problems: int, n_seeds: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """Return the weights of the studies in resamples of the seeds within each problem: resample x (problem, seed)."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(n_seeds, np.full(n_seeds, 1.0 / n_seeds), size=(resamples, n_problems))
    return np.asarray(counts.reshape(resamples, -1) / (n_problems * n_seeds), dtype=float)


def hierarchical_weights(n_problems: int, n_seeds: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """Return the weights of the studies in resamples of problems, and of the seeds within each that was drawn."""
    rng = np.random.default_rng(seed)
    problems = rng.multinomial(n_problems, np.full(n_problems, 1.0 / n_problems), size=resamples)
    counts = rng.multinomial(problems * n_seeds, np.full(n_seeds, 1.0 / n_seeds))
    return np.asarray(counts.reshape(resamples, -1) / (n_problems * n_seeds), dtype=float)


def interval(weights: Array, differences: Array) -> tuple[float, float]:
    """Return the percentile interval of the mean of *differences*, problem x seed, under *weights*."""
    return _percentiles(weights @ differences.ravel())


def ratio_interval(weights: Array, regrets: Array, of_base: Array) -> tuple[float, float] | None:
    """Return that of the mean of *regrets* over the mean *of_base*; None where the baseline may be without regret."""
    bases = weights @ of_base.ravel()
    return _percentiles(weights @ regrets.ravel() / bases) if np.all(bases > 0.0) else None


def _percentiles(values: Array) -> tuple[float, float]:
    tail = 50.0 * (1.0 - CONFIDENCE)
    low, high = np.percentile(values, [tail, 100.0 - tail])
    return float(low), float(high)


def wilcoxon(differences: Array) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test of paired *differences*; 1 if all are zero."""
    flat = differences.ravel()
    if not np.any(flat):
        return 1.0
    return float(_stats().wilcoxon(flat).pvalue)


def win_tie_loss(differences: Array, tolerance: float) -> tuple[int, int, int]:
    """Return how many *differences* are below -*tolerance*, within it, and above it."""
    wins, losses = int(np.sum(differences < -tolerance)), int(np.sum(differences > tolerance))
    return wins, differences.size - wins - losses, losses


def mean_ranks(regrets: Array) -> Array:
    """Return the mean rank of each arm over the problems, 1 is best; *regrets* are arm x problem, ties share ranks."""
    return np.asarray(_stats().rankdata(regrets, axis=0).mean(axis=1), dtype=float)


def critical_difference(n_arms: int, n_problems: int, alpha: float = 0.05) -> float:
    """
    Return Nemenyi's critical difference of mean ranks (Demsar 2006): arms that are nearer are not told apart.

    Example:
        >>> round(critical_difference(4, 14), 3)
        1.254
    """
    if n_arms < 2:
        return 0.0
    quantile = float(_stats().studentized_range.ppf(1.0 - alpha, n_arms, np.inf)) / math.sqrt(2.0)
    return quantile * math.sqrt(n_arms * (n_arms + 1) / (6.0 * n_problems))


def friedman(regrets: Array) -> float | None:
    """Return the p-value of Friedman's test that all arms rank alike; None for fewer than three arms or problems."""
    if min(regrets.shape) < 3:
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        p_value = float(_stats().friedmanchisquare(*regrets).pvalue)
    return p_value if math.isfinite(p_value) else 1.0


def _stats() -> Any:
    from scipy import stats  # not with the module: it takes long to load

    return stats
