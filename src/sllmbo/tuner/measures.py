"""
What is measured of a fitted estimator beside the metric: its size, its speed, and other metrics.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sllmbo.errors import TaskError
from sllmbo.goals import Constraint
from sllmbo.history import Direction
from sllmbo.tuner.data import Dataset
from sllmbo.tuner.metrics import Metric, resolve_metric

MEASURES: Mapping[str, str] = {
    "model_size_mb": "megabytes that the fitted estimator takes as a file",
    "predict_ms": "milliseconds to predict one row, the fastest of several times",
    "fit_seconds": "seconds that a fit takes",
}
"""What can be measured of any estimator, and what it is; less is better."""

_TIMES = 7


@dataclass(frozen=True, slots=True)
class Goals:
    """What a tuning wants beside its metric."""

    constraints: tuple[Constraint, ...] = ()
    objectives: Mapping[str, Direction] | None = None
    """Further objectives, and which values of them are better."""
    metrics: tuple[Metric, ...] = ()
    """The metrics among them."""

    @property
    def names(self) -> tuple[str, ...]:
        """What is measured."""
        return tuple(dict.fromkeys([*(c.name for c in self.constraints), *(self.objectives or {})]))

    def measure(self, estimator: Any, dataset: Dataset, fit_seconds: float) -> dict[str, float]:
        """Return what is measured of a fitted *estimator* on *dataset*, by name."""
        known = {metric.name: metric for metric in self.metrics}
        return {
            name: known[name].score(estimator, dataset.X, dataset.y)
            if name in known
            else _MEASURED[name](estimator, dataset, fit_seconds)
            for name in self.names
        }


def resolve_goals(
    constraints: Sequence[str | Constraint], objectives: Sequence[str], dataset: Dataset, metric: Metric
) -> Goals:
    """
    Return the goals that are meant.

    Args:
        constraints: Such as "model_size_mb<=5"; what is bounded is a measure (`MEASURES`) or a metric.
        objectives: Names of measures or metrics.
        dataset: The data that metrics must suit.
        metric: The first objective.

    Raises:
        ConfigError: If a constraint is none.
        TaskError: If a name is unknown, the metric's own, or not for the data.
    """
    parsed = tuple(c if isinstance(c, Constraint) else Constraint.parse(c) for c in constraints)
    names = dict.fromkeys([*(c.name for c in parsed), *objectives])
    metrics = {name: _metric(name, dataset) for name in names if name not in MEASURES}
    for name in objectives:
        if name == metric.name or (name in metrics and metrics[name].name == metric.name):
            raise TaskError(f"The objective {name!r} is the metric itself; name another, or leave it out.")
    return Goals(
        tuple(Constraint(metrics[c.name].name if c.name in metrics else c.name, c.relation, c.bound) for c in parsed),
        {
            metrics[n].name if n in metrics else n: metrics[n].direction if n in metrics else "minimize"
            for n in objectives
        },
        tuple(metrics.values()),
    )


def _metric(name: str, dataset: Dataset) -> Metric:
    try:
        return resolve_metric(name, dataset.kind, dataset.n_classes)
    except TaskError as error:
        raise TaskError(f"{error} Beside metrics, {', '.join(MEASURES)} can be measured.") from error


def _size(estimator: Any, dataset: Dataset, fit_seconds: float) -> float:  # noqa: ARG001  # all have these arguments
    import joblib

    file = io.BytesIO()
    joblib.dump(estimator, file)
    return file.tell() / 1e6


def _speed(estimator: Any, dataset: Dataset, fit_seconds: float) -> float:  # noqa: ARG001  # all have these arguments
    row = dataset.X.iloc[:1]
    times = []
    for _ in range(_TIMES):
        started = time.perf_counter()
        estimator.predict(row)
        times.append(time.perf_counter() - started)
    return 1000.0 * min(times)


def _duration(estimator: Any, dataset: Dataset, fit_seconds: float) -> float:  # noqa: ARG001  # all have these arguments
    return fit_seconds


_MEASURED = {"model_size_mb": _size, "predict_ms": _speed, "fit_seconds": _duration}
