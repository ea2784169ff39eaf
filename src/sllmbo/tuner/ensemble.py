"""
An ensemble of the best configurations, by greedy selection with replacement (Caruana, Niculescu-Mizil, Crew and
Ksikes, Ensemble Selection from Libraries of Models, ICML 2004, sections 2.1 and 2.2).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sllmbo.errors import ConfigError
from sllmbo.history import History
from sllmbo.samplers._failure import describe_error
from sllmbo.space.branches import ROOT
from sllmbo.tuner.data import Dataset
from sllmbo.tuner.estimators import EstimatorSpec
from sllmbo.tuner.evaluation import Split, fit, score_on
from sllmbo.tuner.metrics import Metric

_logger = logging.getLogger("sllmbo")

Predictions: TypeAlias = list[NDArray[Any]]
"""Of the test rows of each fold: one number per row, or one probability per row and class."""

ROUNDS = 30
"""How often a configuration is added, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """Configurations whose predictions are averaged."""

    members: tuple[tuple[Mapping[str, Any], int], ...]
    """Each configuration with its weight, the heaviest first."""
    value: float
    """Mean of the metric over the folds of cross-validation. It was selected by it, and is optimistic as it is."""

    def build(self, spec: EstimatorSpec, dataset: Dataset, seed: int) -> Any:
        """Return the unfitted ensemble for raw rows: the members vote, with their weights."""
        from sklearn.ensemble import VotingRegressor

        from sllmbo.tuner.voting import LabelVoting

        named = [(f"m{i}", spec.build(params, dataset, seed)) for i, (params, _) in enumerate(self.members)]
        weights = [weight for _, weight in self.members]
        if dataset.kind == "classification":
            return LabelVoting(named, voting="soft", weights=weights)
        return VotingRegressor(named, weights=weights)


def check_ensemble(n: int | None) -> None:
    """
    Check how many configurations an ensemble may have.

    Raises:
        ConfigError: If they are fewer than two.
    """
    if n is not None and n < 2:
        raise ConfigError(f"ensemble={n!r} must be at least 2 configurations; leave it out for the best one alone.")


def best_distinct(history: History, n: int) -> list[Mapping[str, Any]]:
    """Return the *n* best different configurations; of several estimators the best of each comes before the others."""
    found: dict[str, Mapping[str, Any]] = {}
    for observation in history.ranked():
        found.setdefault(repr(sorted(observation.params.items())), observation.params)
    distinct = list(found.values())
    of_each = {params.get(ROOT): params for params in reversed(distinct)}
    first = [params for params in distinct if of_each[params.get(ROOT)] is params]
    return [*first, *(params for params in distinct if params not in first)][:n]


def select_ensemble(
    spec: EstimatorSpec,
    configurations: Sequence[Mapping[str, Any]],
    dataset: Dataset,
    splits: Sequence[Split],
    metric: Metric,
    *,
    seed: int,
) -> Ensemble | None:
    """
    Return the weights with which the configurations do best together, by predictions of rows they were not fitted on.

    Every configuration is fitted once more in each fold. One that fails, or gives no probabilities of classes, is left
    out; None is returned where fewer than two are left.
    """
    classes = np.unique(dataset.y.to_numpy()) if dataset.kind == "classification" else None
    usable: list[tuple[Mapping[str, Any], Predictions]] = []
    for params in configurations:
        try:
            usable.append((params, _out_of_fold(spec, params, dataset, splits, classes, seed)))
        except Exception as error:  # noqa: BLE001  # an estimator may raise anything
            _logger.info("A configuration is no part of the ensemble: %s", describe_error(error))
    if len(usable) < 2:
        return None
    tests = [dataset.take(test) for _, test in splits]
    counts, value = _greedy([predictions for _, predictions in usable], tests, classes, metric)
    weighted = [(params, int(count)) for (params, _), count in zip(usable, counts, strict=True) if count]
    return Ensemble(members=tuple(sorted(weighted, key=lambda member: -member[1])), value=value)


def _out_of_fold(
    spec: EstimatorSpec,
    params: Mapping[str, Any],
    dataset: Dataset,
    splits: Sequence[Split],
    classes: NDArray[Any] | None,
    seed: int,
) -> Predictions:
    predictions = []
    for train, test in splits:
        estimator, X = fit(spec, params, dataset.take(train), seed), dataset.take(test).X
        if classes is None:
            predictions.append(np.asarray(estimator.predict(X), dtype=float))
        else:
            probabilities = np.zeros((len(X), len(classes)))
            probabilities[:, np.searchsorted(classes, estimator.classes_)] = estimator.predict_proba(X)
            predictions.append(probabilities)
    if not all(np.isfinite(part).all() for part in predictions):
        raise FloatingPointError("its predictions are not finite")
    return predictions


def _greedy(
    library: Sequence[Predictions], tests: Sequence[Dataset], classes: NDArray[Any] | None, metric: Metric
) -> tuple[NDArray[np.int64], float]:
    """Return how often each member of *library* was added until more brought nothing, and the value then."""
    from sllmbo.tuner.predicted import PredictedNumbers, PredictedProbabilities

    sign = -1.0 if metric.direction == "minimize" else 1.0

    def value_of(sums: Predictions, n: int) -> float:
        parts = (
            PredictedNumbers(total / n) if classes is None else PredictedProbabilities(total / n, classes)
            for total in sums
        )
        return float(np.mean([score_on(said, test, metric) for said, test in zip(parts, tests, strict=True)]))

    counts = np.zeros(len(library), dtype=np.int64)
    best_counts, best = counts, -np.inf
    sums: Predictions = [np.zeros_like(part) for part in library[0]]
    for n in range(1, ROUNDS + 1):
        added = [[total + part for total, part in zip(sums, member, strict=True)] for member in library]
        values = [sign * value_of(candidate, n) for candidate in added]
        chosen = int(np.argmax(values))
        sums, counts = added[chosen], counts + (np.arange(len(library)) == chosen)
        if values[chosen] > best:
            best, best_counts = values[chosen], counts
    return best_counts, sign * best
