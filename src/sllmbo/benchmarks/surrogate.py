"""
`PaperSurrogate`: the paper's tasks as statistical models of the trials that its authors recorded.

About 200 trainings per task were recorded, by TPE and by chat models. A Gaussian process and a forest of extra trees
are fitted on the distinct configurations of all of them, and the value of a configuration is the mean of the two
predictions: deterministic, and there in a millisecond, so that hundreds of studies cost minutes.

Good for ranking methods over many seeds, not for quoting values of the metric. The record is dense near good regions
and thin elsewhere, and the models are smoother than reality. Of the 14 tasks, three are left out where the recorded
values hardly differ (adult_census) or cannot be predicted well enough (m5 with LightGBM). In five-fold cross-validation
the rank correlation of prediction and record is 0.94 to 0.99 on those in `CREDIBLE` and 0.86 to 0.94 on those in
`SECONDARY`: rank by the former first.

The best value is the best prediction that is found, among 20,000 uniform points, the recorded configurations and what
random steps from the leaders lead to; the median is that of the uniform points. So regret is 0 where the surrogate is
best. The best recorded value lies within 0.08 of that, in units of regret.

The defaults lie in a corner of the spaces (few trees, every row and feature drawn) where little was recorded.
Trained for real, they differ from the prediction by 0.01 to 0.85 in units of regret (most with LightGBM on energy,
where they are as good as the best): what a default is worth as a first trial is not to be learnt here.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np

from sllmbo._random import derive_seed, generator
from sllmbo.benchmarks.paper_tasks import SPACES, find_problem, recorded_trials
from sllmbo.benchmarks.problem import Problem
from sllmbo.history import Direction
from sllmbo.space import Float, Int, SearchSpace

CREDIBLE = (
    "concrete_strength-xgboost",
    "gas_drift-xgboost",
    "gas_drift-lightgbm",
    "concrete_strength-lightgbm",
    "m5-xgboost",
    "cover_type-xgboost",
)
SECONDARY = (
    "bike_sharing-xgboost",
    "cover_type-lightgbm",
    "energy-xgboost",
    "energy-lightgbm",
    "bike_sharing-lightgbm",
)

N_TREES = 300
N_SAMPLE = 20_000
"""Uniform points of the space by which the best and the median value are found."""

_WORST = 0.05
"""Share of the recorded values, the worst ones, that are drawn in to the best of them: some are twice the median."""

_LOG = ("learning_rate", "num_leaves", "n_estimators", "min_child_samples")

Matrix: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


class PaperSurrogate:
    """Surrogates of the paper's tasks, fitted on the recorded trials in the folder SLLMBO_DATA."""

    name = "paper-surrogate"
    extra: str | None = None

    def problems(self) -> tuple[str, ...]:
        """Return the names of the problems, the credible ones first."""
        return CREDIBLE + SECONDARY

    def load(self, problem: str) -> Problem:
        """
        Return a problem by name; the first time in a process its surrogate is fitted, which takes some seconds.

        Raises:
            ConfigError: If there is none of that name, or the recorded trials are not in the data folder.
        """
        task, estimator = find_problem(problem, suite=self.name, names=self.problems())
        fitted = _fitted(problem)
        more = f" It is predicted from {fitted.n_recorded} recorded trainings."
        return Problem(
            suite=self.name,
            name=problem,
            task=task.card(estimator, data=task.data, more=more),
            space=SPACES[estimator],
            evaluate=fitted.surrogate.value,
            truth=fitted.surrogate.truth,
            best=fitted.best,
            median=fitted.median,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Surrogate:
    """The mean of a Gaussian process and of extra trees, over the inputs that have an effect."""

    space: SearchSpace
    process: Any
    trees: tuple[Any, ...]

    def truth(self, params: Mapping[str, Any]) -> float:
        """Return the prediction for one configuration."""
        return float(self.predict([params])[0])

    def value(self, params: Mapping[str, Any], repeat: int) -> float:  # noqa: ARG002  # every repeat is the same
        """Return the prediction for one configuration."""
        return self.truth(params)

    def predict(self, configurations: Sequence[Mapping[str, Any]]) -> Matrix:
        """Return the predictions for several configurations."""
        inputs = to_inputs(self.space, configurations)
        single = inputs.astype(np.float32)  # what trees compare with
        forest = np.zeros(len(inputs))
        for tree in self.trees:  # one by one they are ten times faster than their ensemble
            forest += tree.tree_.predict(single).ravel()
        return np.asarray((forest / len(self.trees) + self.process.predict(inputs)) / 2.0)


def fit_surrogate(
    space: SearchSpace, trials: Sequence[tuple[Mapping[str, Any], float]], direction: Direction
) -> Surrogate:
    """Return the surrogate of *trials*: configurations with their values. The same trials give the same surrogate."""
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has none

    inputs = to_inputs(space, [params for params, _ in trials])
    values = _winsorised(np.array([value for _, value in trials]), direction)
    kernel = ConstantKernel() * Matern(np.ones(inputs.shape[1]), (1e-2, 1e3), nu=2.5) + WhiteKernel(1e-2)
    process = GaussianProcessRegressor(kernel, normalize_y=True)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # an input without effect has no best length
        process.fit(inputs, values)
    forest = ExtraTreesRegressor(N_TREES, random_state=0, n_jobs=1).fit(inputs, values)
    return Surrogate(space, process, tuple(forest.estimators_))


def to_inputs(space: SearchSpace, configurations: Sequence[Mapping[str, Any]]) -> Matrix:
    """
    Return one row per configuration: each parameter between 0 and 1, those that act by their order on a log scale.

    What has no effect in LightGBM is taken out: `subsample`, and leaves beyond the 2^max_depth that there can be.
    """
    columns = []
    for name, parameter in space.items():
        assert isinstance(parameter, (Int, Float))
        column = np.array([float(params[name]) for params in configurations])
        low, high = float(parameter.low), float(parameter.high)
        if "num_leaves" in space and name == "subsample":
            continue
        if name == "num_leaves":
            column = np.minimum(column, 2.0 ** np.array([params["max_depth"] for params in configurations]))
            low = 2.0 ** space["max_depth"].low  # type: ignore[union-attr]  # an Int, as asserted for each
        if name in _LOG:
            column, low, high = np.log(column), math.log(low), math.log(high)
        columns.append((column - low) / (high - low))
    return np.column_stack(columns)


def _winsorised(values: Matrix, direction: Direction) -> Matrix:
    if direction == "minimize":
        return np.minimum(values, np.quantile(values, 1.0 - _WORST))
    return np.maximum(values, np.quantile(values, _WORST))


@dataclass(frozen=True, slots=True)
class _Fitted:
    surrogate: Surrogate
    n_recorded: int
    best: float
    median: float


@cache
def _fitted(problem: str) -> _Fitted:
    task, estimator = find_problem(problem, suite=PaperSurrogate.name, names=CREDIBLE + SECONDARY)
    space, trials = SPACES[estimator], recorded_trials(task, estimator)
    surrogate = fit_surrogate(space, trials, task.direction)
    rng = generator(derive_seed(0, problem))
    uniform = [space.sample(rng) for _ in range(N_SAMPLE)]
    predicted = surrogate.predict(uniform)
    best = _climb(surrogate, [*uniform, *(params for params, _ in trials)], task.direction, rng)
    return _Fitted(surrogate, len(trials), best, float(np.median(predicted)))


def _climb(
    surrogate: Surrogate, starts: Sequence[Mapping[str, Any]], direction: Direction, rng: np.random.Generator
) -> float:
    """Return the best prediction among *starts* and what random steps from the leaders lead to, ever shorter ones."""
    sign = 1.0 if direction == "maximize" else -1.0
    space, points = surrogate.space, list(starts)
    scores = sign * surrogate.predict(points)
    for width in (0.2, 0.1, 0.05, 0.025, 0.0125):
        leaders = [points[i] for i in np.argsort(-scores, kind="stable")[:20]]
        points = leaders + [_step(space, leader, width, rng) for leader in leaders for _ in range(50)]
        scores = sign * surrogate.predict(points)
    return float(sign * scores.max())


def _step(space: SearchSpace, params: Mapping[str, Any], width: float, rng: np.random.Generator) -> dict[str, Any]:
    return {
        name: parameter.from_unit(parameter.to_unit(params[name]) + rng.normal(0.0, width))
        for name, parameter in space.items()
    }
