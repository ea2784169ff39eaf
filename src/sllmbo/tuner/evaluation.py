"""
The value of a configuration: cross-validation over fixed folds, the refit, and the hold-out.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from sllmbo._random import generator
from sllmbo.errors import TaskError
from sllmbo.tuner.data import Dataset
from sllmbo.tuner.estimators import EstimatorSpec, threads_for
from sllmbo.tuner.metrics import Metric

Rows: TypeAlias = np.ndarray[Any, np.dtype[np.intp]]
Split: TypeAlias = tuple[Rows, Rows]
"""Positions of the training rows and of the test rows."""

MAX_TRAIN_ROWS = 2_000
"""The training value is computed on at most so many rows of a fold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What came out of the folds."""

    value: float
    """Mean of the metric over the folds."""
    fold_values: tuple[float, ...]
    std: float
    """Standard deviation over the folds (divided by their number); 0 for one fold."""
    train_value: float
    """Mean of the metric on (a sample of) the training rows; NaN where it cannot be computed."""
    seconds: float
    measures: Mapping[str, float] = field(default_factory=dict)
    """What else was measured, as a mean over the folds."""


def make_splits(dataset: Dataset, *, n_splits: int = 5, seed: int, splitter: Any = None) -> list[Split]:
    """
    Return the folds, made once so that every trial sees the same.

    Ordered rows are validated on what comes after the training rows, without shuffling. Groups are kept together,
    classes in proportion, the rest is shuffled.

    Args:
        dataset: The data.
        n_splits: Number of folds.
        seed: How the rows are shuffled.
        splitter: A splitter of scikit-learn, or an iterable of splits, to be used instead.

    Raises:
        TaskError: If rows, groups or the rows of a class are too few for the folds.
    """
    if splitter is None:
        _check_folds(dataset, n_splits)
        splitter = _splitter(dataset, n_splits, seed)
    pairs = splitter.split(dataset.X, dataset.y, dataset.groups) if hasattr(splitter, "split") else splitter
    try:
        splits = [(np.asarray(train), np.asarray(test)) for train, test in pairs]
    except ValueError as error:
        raise TaskError(f"The rows cannot be split into folds: {error}") from error
    if not splits or any(len(train) == 0 or len(test) == 0 for train, test in splits):
        raise TaskError(f"The splitter {splitter!r} gives no fold or an empty one; give another.")
    return splits


def _splitter(dataset: Dataset, n_splits: int, seed: int) -> Any:
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold, TimeSeriesSplit

    if dataset.ordered:
        return TimeSeriesSplit(n_splits)
    classification = dataset.kind == "classification"
    if dataset.groups is None:
        cls = StratifiedKFold if classification else KFold
    else:
        cls = StratifiedGroupKFold if classification else GroupKFold
    return cls(n_splits, shuffle=True, random_state=seed)


def _check_folds(dataset: Dataset, n_splits: int) -> None:
    if n_splits < 2:
        raise TaskError(f"{n_splits} folds are too few; at least 2 are needed.")
    if len(dataset) <= n_splits:
        raise TaskError(f"{len(dataset)} rows are too few for {n_splits} folds; use fewer folds.")
    if dataset.groups is not None and dataset.groups.nunique() < n_splits:
        raise TaskError(f"{dataset.groups.nunique()} groups are too few for {n_splits} folds; use fewer folds.")
    if dataset.kind == "classification" and not dataset.ordered:
        counts = dataset.y.value_counts()
        if counts.min() < n_splits:
            raise TaskError(
                f"The class {counts.idxmin()!r} of {dataset.target!r} has {counts.min()} rows, fewer than the "
                f"{n_splits} folds; use fewer folds, drop the class or join it with another."
            )


def evaluate(
    spec: EstimatorSpec,
    params: Mapping[str, Any],
    dataset: Dataset,
    splits: Sequence[Split],
    metric: Metric,
    *,
    seed: int,
    report: Callable[[int, float], None] | None = None,
    measure: Callable[[Any, Dataset, float], Mapping[str, float]] | None = None,
) -> Evaluation:
    """
    Return the value of one configuration by cross-validation.

    Args:
        spec: The estimator.
        params: The configuration.
        dataset: The data; every fold fits on a part of it and is scored on another.
        splits: The folds.
        metric: What is computed.
        seed: Seeds the estimator, in every fold alike.
        report: Called after each fold with its number and the mean so far; what it raises ends the evaluation.
        measure: From a fitted estimator, the rows that it is scored on and the seconds of its fit to what else is
            measured.

    Raises:
        FloatingPointError: If the metric of a fold is not finite.
        TaskError: If the estimator does not have a parameter or cannot give what the metric needs.
        Exception: Whatever the estimator raises.
    """
    started = time.perf_counter()
    values: list[float] = []
    train_values: list[float] = []
    measured: list[Mapping[str, float]] = []
    for step, (train, test) in enumerate(splits):
        begun = time.perf_counter()
        estimator = fit(spec, params, dataset.take(train), seed)
        fit_seconds, unseen = time.perf_counter() - begun, dataset.take(test)
        values.append(_finite(score_on(estimator, unseen, metric), metric, step))
        if measure is not None:
            with _calm(dataset):
                measured.append(measure(estimator, unseen, fit_seconds))
        train_values.append(_train_value(estimator, dataset, train, metric, step, seed))
        if report is not None:
            report(step, float(np.mean(values)))
    return Evaluation(
        value=float(np.mean(values)),
        fold_values=tuple(values),
        std=float(np.std(values)),
        train_value=float(np.mean(train_values)),
        seconds=time.perf_counter() - started,
        measures={
            name: float(np.mean([fold[name] for fold in measured])) for name in (measured[0] if measured else ())
        },
    )


def fit(spec: EstimatorSpec, params: Mapping[str, Any], dataset: Dataset, seed: int) -> Any:
    """Return the estimator fitted on *dataset*, ready for raw rows; its warnings are silenced."""
    return fitted(spec.build(params, dataset, seed), dataset)


def fitted(estimator: Any, dataset: Dataset) -> Any:
    """Return *estimator* fitted on *dataset*; its warnings are silenced."""
    with _calm(dataset):
        return estimator.fit(dataset.X, dataset.y)


def score_on(estimator: Any, dataset: Dataset, metric: Metric) -> float:
    """Return the metric of a fitted estimator on *dataset*; warnings are silenced."""
    with _calm(dataset):
        return metric.score(estimator, dataset.X, dataset.y)


@contextmanager
def _calm(dataset: Dataset) -> Iterator[None]:
    """Silence warnings, and limit the threads of libraries that have no parameter for them."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has none

    with warnings.catch_warnings(), threadpool_limits(threads_for(dataset)):
        warnings.simplefilter("ignore")
        yield


def _finite(value: float, metric: Metric, step: int) -> float:
    if not math.isfinite(value):
        raise FloatingPointError(
            f"{metric.name} is {value} in fold {step}; the predictions are not finite, or the fold lacks a class."
        )
    return value


def _train_value(estimator: Any, dataset: Dataset, train: Rows, metric: Metric, step: int, seed: int) -> float:
    if len(train) > MAX_TRAIN_ROWS:
        train = np.sort(generator(seed, "train rows", step).choice(train, MAX_TRAIN_ROWS, replace=False))
    try:
        return score_on(estimator, dataset.take(train), metric)
    except ValueError:  # the sample may lack a class; the value is only a diagnosis
        return math.nan
