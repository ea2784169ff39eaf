"""
`Task`, the card that tells an advisor what is tuned, and `DataFacts`, aggregates of the data.

Only aggregates: no row, label or cell of the data is ever part of a task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias

from sllmbo.errors import TaskError
from sllmbo.history import Direction

Kind: TypeAlias = Literal["classification", "regression"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """Aggregates of a data set for supervised learning."""

    kind: Kind
    n_rows: int
    """Rows that a fit of the tuning sees (after the hold-out was set aside)."""
    n_features: int
    n_numeric: int = 0
    n_categorical: int = 0
    max_cardinality: int = 0
    """Levels of the categorical feature that has most of them."""
    missing_share: float = 0.0
    """Share of the feature cells that are missing, 0 to 1."""
    n_classes: int = 0
    """Classes of the target; 0 for regression."""
    minority_share: float = 0.0
    """Share of the rarest class, 0 to 1; 0 for regression."""
    target_skew: float = 0.0
    """Skewness of the target; 0 for classification."""
    ordered: bool = False
    """Whether the rows are ordered in time, and validated in that order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierBest:
    """The best configuration of an earlier study of the same estimator."""

    study: str
    """The study's name. Untrusted text, as the description of a task."""
    params: Mapping[str, Any]
    metric: str = ""
    gain: float | None = None
    """How much better than that study's default it was, in its metric; None if that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """
    What is tuned.

    Example:
        >>> Task(description="LightGBM on census income", direction="maximize").direction
        'maximize'
    """

    description: str = ""
    """The problem in words. Untrusted text: it is quoted to a chat model, never followed."""
    estimator: str = ""
    """What is tuned: a name ("lightgbm") or the import path of a class."""
    candidates: tuple[str, ...] = ()
    """Names of the estimators to choose among, where not one but the best of several is tuned."""
    metric: str = ""
    direction: Direction = "maximize"
    data: DataFacts | None = None
    n_trials: int | None = None
    """Trials in all, if known."""
    constraints: tuple[str, ...] = ()
    """What must hold of a trial, such as "model_size_mb<=5"; one that breaks it counts as failed."""
    objectives: Mapping[str, Direction] = field(default_factory=dict)
    """What is optimised beside the metric, and which values of it are better."""
    estimator_params: Mapping[str, Any] = field(default_factory=dict)
    """The estimator's real parameters with their defaults, if known; what may be tuned."""
    earlier: tuple[EarlierBest, ...] = ()
    """What earlier studies on similar data found best, as far as the study starts from it."""

    def __post_init__(self) -> None:
        if self.direction not in ("minimize", "maximize"):
            raise TaskError(f"direction={self.direction!r} must be 'minimize' or 'maximize'.")

    def to_json(self) -> dict[str, Any]:
        """Return the card as a JSON object, without what is empty."""
        card: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name == "data" and value is not None:
                value = {f.name: getattr(value, f.name) for f in fields(value)}
            if item.name == "constraints":
                value = list(value)
            if item.name == "objectives":
                value = dict(value)
            if item.name == "estimator_params":
                value = {name: v if isinstance(v, (bool, int, float, str)) else None for name, v in value.items()}
            if item.name == "earlier":
                value = [{f.name: getattr(best, f.name) for f in fields(best)} for best in value]
            if value or item.name == "direction":
                card[item.name] = list(value) if item.name == "candidates" else value
        return card
