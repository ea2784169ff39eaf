"""
TPE's density, worked out faster: what Optuna evaluates number by number in Python is done here by arrays.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator

_Array = NDArray[np.float64]

_TINY = np.finfo(np.float64).tiny
_LOWEST = np.finfo(np.float64).min
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


class Density(_ParzenEstimator):
    """
    Optuna's mixture of kernels, one for each trial and one for the whole space, each a product over the parameters.

    Only `log_pdf` is ours, and equals Optuna's up to rounding: which point of a sample has the highest density ratio is
    the same unless two are as good.
    """

    def log_pdf(self, samples_dict: dict[str, NDArray[Any]]) -> _Array:
        """Return the logarithm of the density at points that are given in Optuna's internal values, by parameter."""
        mixture = self._mixture_distribution
        with np.errstate(divide="ignore"):  # without a prior, weights may be 0
            log: Any = np.log(mixture.weights)
            for name, kernels in zip(self._search_space, mixture.distributions, strict=True):
                log = log + _log_kernels(kernels, np.asarray(samples_dict[name]))
            highest = np.maximum(log.max(axis=1, keepdims=True), _LOWEST)
            return np.asarray(np.log(np.exp(log - highest).sum(axis=1)) + highest[:, 0])


def _log_kernels(kernels: Any, column: NDArray[Any]) -> _Array:
    """Return the logarithm of one parameter's kernels: a row for each value, a column for each kernel."""
    if not hasattr(kernels, "mu"):  # categories
        return np.asarray(np.log(kernels.weights.T)[column.astype(np.int64)])
    whole = np.array([[kernels.adapted_low], [kernels.adapted_high]])
    if not kernels.step:
        values = np.log(column) if kernels.is_log else column
        places = (values[:, None] - kernels.mu) / kernels.sigma
        scale = np.log(kernels.sigma) + _log_masses((whole - kernels.mu) / kernels.sigma) + _HALF_LOG_2PI
        return np.asarray(-0.5 * places * places - scale)
    alike, back = np.unique(kernels.mu + 1j * kernels.sigma, return_inverse=True)
    values, place = np.unique(column, return_inverse=True)
    edges = np.concatenate([values - kernels.step / 2, values + kernels.step / 2])[:, None]
    edges = np.log(edges) if kernels.is_log else edges
    log = _log_masses((edges - alike.real) / alike.imag) - _log_masses((whole - alike.real) / alike.imag)
    return np.asarray(log[place[:, None], back])


def _log_masses(edges: _Array) -> _Array:
    """Return the logarithm of the standard normal's mass between the first half of *edges* and the second."""
    from scipy.special import erfc  # not with sllmbo: it takes long to load

    beyond = 0.5 * erfc(np.abs(edges) / math.sqrt(2.0))
    n = len(edges) // 2
    one_sided = (edges[:n] > 0) == (edges[n:] > 0)
    mass = np.where(one_sided, np.abs(beyond[:n] - beyond[n:]), 1.0 - beyond[:n] - beyond[n:])
    return np.asarray(np.log(np.maximum(mass, _TINY)))
