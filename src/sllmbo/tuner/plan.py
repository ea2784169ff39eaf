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
from sllmbo.tuner.sampling import MANY_ROWS, sample_rows
from sllmbo.tuner.several import is_auto, resolve_several, tuning_preparation


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is tuned, and on which rows."""

    spec: EstimatorSpec
    metric: Metric
    train: Dataset
    """The rows that the trials see."""
    full: Dataset
    """The rows that are not set aside: those, and more where trials see a sample."""
    test: Dataset | None
    """The rows that are set aside, if any."""
    task: Task
    notes: tuple[str, ...] = ()
    """What was done to the data and left out of the estimators, one sentence each."""


def make_plan(
    estimator: Any,
    dataset: Dataset,
    *,
    metric: str | Scorer | None = None,
    direction: Direction | None = None,
    n_trials: int | None = None,
    holdout_share: float = 0.2,
    max_rows: int | None = None,
    preprocessing: bool = False,
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
    measure = resolve_metric(metric, dataset.kind, dataset.n_classes, direction=direction)
    full, test = holdout(dataset, share=holdout_share, seed=seed) if holdout_share else (dataset, None)
    train = full if max_rows is None else sample_rows(full, max_rows, seed=seed)
    notes = [*dataset.notes, *_on_rows(train, full, max_rows)]
    candidates: tuple[str, ...] = ()
    if is_auto(estimator):
        spec: EstimatorSpec = (several := resolve_several(estimator, dataset.kind, len(train)))
        candidates, notes = tuple(several.among), [*notes, *several.left_out]
    else:
        spec = resolve_estimator(estimator, dataset.kind)
    task = Task(
        description=description,
        estimator=spec.name,
        candidates=candidates,
        metric=measure.name,
        direction=measure.direction,
        data=facts(train),
        n_trials=n_trials,
        estimator_params=spec.parameters(),
    )
    if preprocessing:  # after the card: nobody designs what has few choices that are known
        spec = tuning_preparation(spec, train)
    return Plan(spec, measure, train, full, test, task, tuple(notes))


def _on_rows(train: Dataset, full: Dataset, max_rows: int | None) -> list[str]:
    if len(train) < len(full):
        drawn = "latest" if full.ordered else "rows of random groups," if full.groups is not None else "random"
        return [
            f"Trials see {len(train)} {drawn} rows of {len(full)} (max_rows={max_rows}); the held-out check and the "
            "final fit use all."
        ]
    if len(full) > MANY_ROWS:
        return [f"Every trial fits on {len(full)} rows; max_rows=100000 would try configurations on a sample."]
    return []
