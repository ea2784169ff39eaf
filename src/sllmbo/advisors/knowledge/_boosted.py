"""
What boosted ensembles share: how large they should be for the data, and published tuned defaults.

The published ones were found with 1000 trees and early stopping. Tuning here has no early stopping, so they are given
with a number of trees that suits their learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sllmbo.advisors.knowledge._entry import FEW_ROWS, StartingPoint
from sllmbo.space import Scalar
from sllmbo.task import DataFacts

BETTER_BY_DEFAULT = "Holzmüller et al., Better by Default, arXiv 2407.04491 (pytabkit, DefaultParams)"
TUNABILITY = "Probst, Boulesteix and Bischl, Tunability, JMLR 20 (2019), table of optimal defaults"
TUNABILITY_UNCHECKED = f"{TUNABILITY} (the values were not checked against it)"
FRIEDMAN = "Friedman, Greedy Function Approximation (2001) and Stochastic Gradient Boosting (2002)"


@dataclass(frozen=True, slots=True)
class Size:
    """How a boosted ensemble should be sized for the data."""

    name: str
    leaves: int
    depth: int
    rows_per_leaf: int
    learning_rate: float
    trees: int
    columns: float
    l2: float
    why: str


def size_for(facts: DataFacts) -> Size:
    """Small data: small trees and more regularisation; large data: larger trees and leaves that hold more rows."""
    columns = 0.4 if facts.n_features > 100 else 0.8
    if facts.n_rows < FEW_ROWS:
        why = f"{facts.n_rows} rows are few: small trees, a small learning rate and an L2 penalty guard against noise."
        return Size("small data", 6, 3, max(5, min(40, facts.n_rows // 20)), 0.05, 200, columns, 2.0, why)
    if facts.n_rows < 20_000:
        why = f"{facts.n_rows} rows: a smaller learning rate with more trees, on samples of rows and features."
        return Size("medium data", 31, 6, 20, 0.05, 300, columns, 1.0, why)
    why = f"{facts.n_rows} rows carry larger trees, whose leaves should hold more rows each."
    return Size("large data", 127, 8, 100, 0.08, 500, columns, 1.0, why)


def many_small_trees(names: Mapping[str, str], facts: DataFacts) -> StartingPoint | None:
    """Small trees, small steps, many of them: the thorough choice where data are few enough to afford it."""
    if facts.n_rows >= 20_000:
        return None
    values = {"rate": 0.05, "trees": 600, "leaves": 12, "depth": 4, "rows": 5, "subsample": 0.7, "columns": 0.6}
    return StartingPoint(
        "many small trees",
        {name: values[meaning] for name, meaning in names.items()},
        rationale="Many small trees with small steps fit closely without single large ones, where the noise is low.",
        source=FRIEDMAN,
    )


def meta_tuned(preset: str, params: Mapping[str, Scalar], *, note: str = "") -> StartingPoint:
    """Return a published tuned default, with what was changed of it."""
    trees = next(params[name] for name in ("n_estimators", "iterations", "max_iter") if name in params)
    return StartingPoint(
        "tuned default",
        params,
        rationale=f"{preset}, tuned over many data sets; {trees} trees instead of 1000 with early stopping.{note}",
        source=BETTER_BY_DEFAULT,
    )
