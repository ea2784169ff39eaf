"""
TPE's density ratio (Bergstra et al. 2011, section 4): how much likelier a configuration is among the good trials than
among the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.sampler import _split_trials, default_gamma
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState


def density_ratio(
    sampler: TPESampler,
    study: Study,
    trial: FrozenTrial,
    space: dict[str, BaseDistribution],
    columns: Mapping[str, NDArray[Any]],
) -> NDArray[np.float64]:
    """Return the logarithm of TPE's density ratio at points in Optuna's internal values, by parameter."""
    good, rest = _densities(sampler, study, trial, space)
    return np.asarray(sampler._compute_acquisition_func(dict(columns), good, rest), dtype=np.float64)


def good_draws(
    sampler: TPESampler, study: Study, trial: FrozenTrial, space: dict[str, BaseDistribution], n: int
) -> tuple[dict[str, NDArray[Any]], NDArray[np.float64]]:
    """Return *n* draws from TPE's density of the good trials, in Optuna's internal values, and their log ratios."""
    good, rest = _densities(sampler, study, trial, space)
    columns = good.sample(sampler._rng.rng, n)
    return columns, np.asarray(sampler._compute_acquisition_func(columns, good, rest), dtype=np.float64)


def _densities(
    sampler: TPESampler, study: Study, trial: FrozenTrial, space: dict[str, BaseDistribution]
) -> tuple[_ParzenEstimator, _ParzenEstimator]:
    """Return TPE's densities of the good trials and of the others, as its own `_sample` builds them."""
    states = [TrialState.COMPLETE, TrialState.PRUNED]
    if sampler._constant_liar:
        states.append(TrialState.RUNNING)
    known = study._get_trials(deepcopy=False, states=states, use_cache=not sampler._constant_liar)
    trials = [other for other in known if other.number != trial.number]
    n = sum(other.state != TrialState.RUNNING for other in trials)
    below, above = _split_trials(study, trials, (sampler._gamma or default_gamma)(n))
    good = sampler._build_parzen_estimator(study, space, below, handle_below=True)
    return good, sampler._build_parzen_estimator(study, space, above, handle_below=False)
