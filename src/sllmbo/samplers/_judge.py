"""
Judging: an advisor's candidates are ranked by the partner's acquisition, and confidently bad ones turned down.

The acquisition is TPE's density ratio (Bergstra et al. 2011, section 4): how much likelier a configuration is among the
good trials than among the others. That a surrogate may veto a language model within a shrinking margin is "justify" of
LLINBO (arXiv 2505.14756).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.sampler import _split_trials, default_gamma
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from sllmbo._random import generator
from sllmbo.samplers._convert import to_distributions
from sllmbo.samplers._edits import Box

_ENOUGH = 12
"""With fewer complete trials the densities know too little to veto anything."""

_STRICTEST = 0.5
"""The share of the space that is turned down after very many trials."""

_N_REFERENCE = 128


def margin(n_complete: int) -> float:
    """
    Return which share of the space, the worst by the partner's acquisition, is turned down after *n_complete* trials.

    Nothing before 12 trials, a quarter at 24, two fifths at 60, a half in the end.
    """
    return _STRICTEST * max(0.0, 1.0 - _ENOUGH / n_complete) if n_complete else 0.0


def turned_down(
    sampler: TPESampler,
    study: Study,
    trial: FrozenTrial,
    box: Box,
    candidates: Sequence[Mapping[str, Any]],
    *,
    seed: int,
    turn: int,
) -> list[str]:
    """
    Return, for each candidate, why it is turned down, or "" where it is not.

    Args:
        sampler: The partner whose acquisition judges.
        study: The study.
        trial: The trial that is decided on; it is no evidence.
        box: Where the turn searches; what only exists under a condition is not judged.
        candidates: Configurations of the present space.
        seed: With *turn*, where the reference points come from.
        turn: The turn that is decided on.
    """
    complete = study._get_trials(deepcopy=False, states=(TrialState.COMPLETE,), use_cache=True)
    share = margin(len(complete))
    joint = {name: dist for name, dist in to_distributions(box.whole).items() if box.whole[name].condition is None}
    if share == 0.0 or not joint or not candidates:
        return ["" for _ in candidates]
    rng = generator(seed, "judging", turn)
    reference = [box.present.sample(rng) for _ in range(_N_REFERENCE)]
    points = [*candidates, *reference]
    columns = {name: np.array([dist.to_internal_repr(point[name]) for point in points]) for name, dist in joint.items()}
    scores = acquisition(sampler, study, trial, joint, columns)
    among, others = scores[: len(candidates)], scores[len(candidates) :]
    ranks = [float((others < score).mean()) for score in among]
    return [
        "" if rank >= share else f"TPE prefers {1 - rank:.0%} of the space to it; the worst {share:.0%} are turned down"
        for rank in ranks
    ]


def acquisition(
    sampler: TPESampler,
    study: Study,
    trial: FrozenTrial,
    space: dict[str, BaseDistribution],
    columns: Mapping[str, NDArray[Any]],
) -> NDArray[np.float64]:
    """Return TPE's log density ratio at points that are given in Optuna's internal values, by parameter."""
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
