"""
A search space for an estimator that nobody has documented: derived from its own defaults and their stated limits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from sllmbo.errors import SpaceError
from sllmbo.space import Categorical, Float, Int, Parameter, SearchSpace
from sllmbo.tuner.estimators import EstimatorSpec

_NOT_TUNED = (
    *("random_state", "n_jobs", "verbose", "warm_start", "copy", "cache", "tol", "n_iter_no_change", "thread", "seed"),
    *("validation_fraction", "early_stopping", "max_iter", "store", "return", "precompute", "memory", "oob"),
    "probability",
)
"""What a parameter's name holds that steers the run, not the fit."""

_FACTOR = 8.0
"""How far a range reaches below and above the default."""


def derive_space(spec: EstimatorSpec) -> SearchSpace:
    """
    Return a space around the defaults of *spec*: numbers within a factor of 8, on a log scale, and named choices.

    Limits and choices are those that scikit-learn's estimators state of their parameters; of other estimators only
    numbers can be told.

    Raises:
        SpaceError: If no parameter can be told how to tune.
    """
    limits = getattr(spec.prototype, "_parameter_constraints", {}) or {}
    parameters: dict[str, Parameter] = {}
    for name, default in spec.parameters().items():
        if "__" in name or any(word in name for word in _NOT_TUNED):
            continue
        parameter = _around(default, limits.get(name, ()))
        if parameter is not None:
            parameters[name] = parameter
    if not parameters:
        raise SpaceError(f"No search space can be derived for {spec.name!r}; give one with space= or --space.")
    return SearchSpace(parameters)


def _around(default: object, constraints: Any) -> Parameter | None:
    constraints = constraints if isinstance(constraints, Iterable) else ()
    if isinstance(default, str):
        options: set[str] = next((c.options for c in constraints if type(c).__name__ == "StrOptions"), set())
        return Categorical(tuple(sorted(options)), default=default) if {default} < options else None
    if isinstance(default, bool) or not isinstance(default, (int, float)) or not default > 0:
        return None
    if not math.isfinite(default):
        return None
    low, high = _limits(default, constraints)
    if isinstance(default, int):
        low_int, high_int = max(math.ceil(low), 1), math.floor(high)
        return Int(low_int, high_int, log=True, default=default) if low_int < high_int else None
    return Float(low, high, log=True, default=default) if low < high else None


def _limits(default: float, constraints: Iterable[Any]) -> tuple[float, float]:
    low, high = default / _FACTOR, default * _FACTOR
    for constraint in constraints:
        left, right = getattr(constraint, "left", None), getattr(constraint, "right", None)
        if type(constraint).__name__ != "Interval" or not _lies_in(default, left, right):
            continue
        low = max(low, left) if left is not None else low
        high = min(high, right) if right is not None else high
        if constraint.closed in ("left", "neither") and right == high:  # the end itself is not allowed
            high = default + 0.99 * (high - default)
    return low, high


def _lies_in(value: float, left: Any, right: Any) -> bool:
    return (left is None or left <= value) and (right is None or value <= right)
