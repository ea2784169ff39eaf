"""
TPE's density: the same numbers as Optuna's, worked out by arrays.
"""

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator

from sllmbo.samplers import AdvisedSampler
from sllmbo.samplers._density import Density

SPACE = {
    "float": FloatDistribution(-2.0, 3.0),
    "log": FloatDistribution(1e-6, 10.0, log=True),
    "step": FloatDistribution(0.0, 1.0, step=0.05),
    "int": IntDistribution(3, 16),
    "tens": IntDistribution(50, 1000, step=10),
    "log int": IntDistribution(8, 256, log=True),
    "category": CategoricalDistribution(["a", "b", None]),
}


def objective(trial):
    params = {name: trial._suggest(name, distribution) for name, distribution in SPACE.items()}
    if params["tens"] > 700:
        raise MemoryError
    return params["float"] ** 2 + abs(np.log(params["log"])) + params["int"] / 16 + (params["category"] != "b")


def points(n, seed):
    """Random points in Optuna's internal values, by parameter."""
    study = optuna.create_study(sampler=RandomSampler(seed=seed))
    trials = [study.ask(SPACE) for _ in range(n)]
    return {name: np.array([d.to_internal_repr(t.params[name]) for t in trials]) for name, d in SPACE.items()}


@pytest.mark.parametrize("n_trials", [0, 1, 2, 40, 400])
@pytest.mark.parametrize(
    "changes",
    [{}, {"consider_magic_clip": False, "consider_endpoints": True}, {"prior_weight": 1e-3}, {"prior_weight": 0.0}],
    ids=["default", "narrow kernels", "light prior", "no prior"],
)
def test_the_density_is_optunas(n_trials, changes):
    """Whatever the parameters are, the logarithm of the density is Optuna's, down to where nothing is left of it."""
    parameters = TPESampler()._parzen_estimator_parameters._replace(**changes)
    observations, at = points(n_trials, seed=1), points(100, seed=2)
    with np.errstate(divide="ignore"):  # as Optuna's does without a prior
        ours, theirs = (cls(observations, SPACE, parameters).log_pdf(at) for cls in (Density, _ParzenEstimator))
    assert not np.isnan(ours).any()
    np.testing.assert_allclose(np.maximum(ours, -500.0), np.maximum(theirs, -500.0), rtol=0.0, atol=1e-9)


def test_a_study_without_an_advisor_is_tpe_draw_for_draw():
    """TPE with Optuna's own way of working its density out draws the same 60 trials, failures among them."""

    class Own(_ParzenEstimator):
        pass

    theirs = TPESampler()
    theirs._parzen_estimator_cls = Own
    studies = []
    for partner in (TPESampler(), theirs):
        studies.append(optuna.create_study(sampler=AdvisedSampler(None, partner=partner, seed=0)))
        studies[-1].optimize(objective, n_trials=60, catch=MemoryError)
    assert theirs._parzen_estimator_cls is Own
    ours, theirs = ([(trial.params, trial.state) for trial in study.trials] for study in studies)
    assert ours == theirs
