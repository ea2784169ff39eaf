"""
How sure a score on held-out rows is: the bootstrap, for any metric, over rows that may be ordered or grouped.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sllmbo._random import generator
from sllmbo.errors import TaskError
from sllmbo.tuner.data import Dataset
from sllmbo.tuner.metrics import Metric

Array = NDArray[np.float64]

RESAMPLES = 500
_RESPONSES = ("predict", "predict_proba", "decision_function", "predict_log_proba")


def bootstrap(
    estimators: Sequence[Any], dataset: Dataset, metric: Metric, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Array, Array]:
    """
    Return the metric of fitted *estimators* on the rows of *dataset*, and on resamples of these rows.

    Rows are drawn with replacement (Efron 1979): single rows, or whole groups where there are groups, or blocks of
    sqrt(n) successive rows where they are ordered in time, since neighbours resemble each other (moving blocks, closed
    to a circle: Politis and Romano 1992). All estimators see the same resamples, so that differences are paired.
    Each predicts once.

    Args:
        estimators: They predict from raw rows.
        dataset: The rows.
        metric: What is computed.
        resamples: How many resamples are drawn. One on which the metric is not defined, as where a class is missing,
            is left out.
        seed: Which rows are drawn.

    Returns:
        The values, one per estimator, and those on the resamples: resample x estimator.

    Raises:
        TaskError: If an estimator cannot be scored on the rows, or on most resamples.
    """
    told = [_Remembered(estimator, dataset.X) for estimator in estimators]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            values = [metric.score(each, dataset.X, dataset.y) for each in told]
        except Exception as error:
            raise TaskError(
                f"The estimator cannot be scored on the new rows ({type(error).__name__}: {error}); give rows with the "
                "columns and classes that it was fitted on."
            ) from error
        drawn = [_scores(told, dataset, metric, rows) for rows in _draws(dataset, resamples, seed)]
    defined = [scores for scores in drawn if all(map(math.isfinite, scores))]
    if 2 * len(defined) < resamples:
        raise TaskError(
            f"The metric {metric.name!r} is not defined on most resamples of the {len(dataset)} held-out rows; "
            "give more rows, or use another metric."
        )
    return np.array(values), np.array(defined)


def standard_error(
    estimator: Any, dataset: Dataset, metric: Metric, *, resamples: int = RESAMPLES, seed: int = 0
) -> float:
    """Return the standard error of the metric of a fitted *estimator* on *dataset*; for the errors see `bootstrap`."""
    return float(bootstrap([estimator], dataset, metric, resamples=resamples, seed=seed)[1].std())


def _scores(told: Sequence[_Remembered], dataset: Dataset, metric: Metric, rows: NDArray[np.intp]) -> list[float]:
    X, y = dataset.X.iloc[rows], dataset.y.to_numpy()[rows]
    try:
        return [metric.score(each, X, y) for each in told]
    except ValueError:
        return [math.nan]


def _draws(dataset: Dataset, resamples: int, seed: int) -> Iterator[NDArray[np.intp]]:
    rng, n = generator(seed, "bootstrap"), len(dataset)
    if dataset.groups is not None:
        members = list(dataset.groups.groupby(dataset.groups).indices.values())
        for _ in range(resamples):
            yield np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        return
    length = math.isqrt(n) if dataset.ordered else 1
    for _ in range(resamples):
        begins = rng.integers(n, size=math.ceil(n / length))
        yield ((begins[:, None] + np.arange(length)) % n).ravel()[:n]


class _Remembered:
    """A fitted estimator that has predicted all rows, and answers for any of them by their numbers."""

    def __init__(self, estimator: Any, X: Any) -> None:
        self._estimator, self._X = estimator, X
        self._answers: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._estimator, name)
        if name not in _RESPONSES:
            return found
        if name not in self._answers:
            self._answers[name] = np.asarray(found(self._X))
        answers = self._answers[name]

        def answer(X: Any) -> Any:
            return answers[X.index]

        answer.__name__ = name  # scikit-learn's scorers go by it
        return answer
