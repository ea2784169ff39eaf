"""
`Plan`: estimator, metric and rows of a tuning, checked, with the task card that is made of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sllmbo.errors import TaskError
from sllmbo.history import Direction
from sllmbo.task import Task
from sllmbo.tuner.data import Dataset, facts, holdout
from sllmbo.tuner.estimators import EstimatorSpec, resolve_estimator
from sllmbo.tuner.metrics import Metric, Scorer, resolve_metric


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is tuned, and on which rows."""

    spec: EstimatorSpec
    metric: Metric
    train: Dataset
    """The rows that the trials see."""
    test: Dataset | None
    """The rows that are set aside, if any."""
    task: Task


def make_plan(
    estimator: Any,
    dataset: Dataset,
    *,
    metric: str | Scorer | None = None,
    direction: Direction | None = None,
    n_trials: int | None = None,
    holdout_share: float = 0.2,
    seed: int = 0,
    description: str = "",
) -> Plan:
    """
    Return the plan; for the arguments see `tune`.

    Raises:
        TaskError: If the data, the metric or the estimator cannot be used.
    """
    if not 0 <= holdout_share < 1:
        raise TaskError(f"The hold-out share {holdout_share!r} must lie between 0 and 1; 0 sets nothing aside.")
    spec = resolve_estimator(estimator, dataset.kind)
    measure = resolve_metric(metric, dataset.kind, dataset.n_classes, direction=direction)
    train, test = holdout(dataset, share=holdout_share, seed=seed) if holdout_share else (dataset, None)
    task = Task(
        description=description,
        estimator=spec.name,
        metric=measure.name,
        direction=measure.direction,
        data=facts(train),
        n_trials=n_trials,
        estimator_params=spec.parameters(),
    )
    return Plan(spec, measure, train, test, task)
