"""
What an instance sets itself: it begins the search, and what no search space can hold stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from sllmbo.advisors import SpaceDesign
from sllmbo.errors import SpaceError
from sllmbo.space import Categorical, Parameter, SearchSpace

Adapt: TypeAlias = Callable[[SearchSpace], SearchSpace]
_MISSING = object()


def adapted(design: SpaceDesign, adapt: Adapt | None) -> SpaceDesign:
    """Return *design* with its space adapted, and what was left out told."""
    if adapt is None:
        return design
    space = adapt(design.space)
    kept = ", ".join(name for name in design.space if name not in space)
    told = f" Not tuned, as the estimator sets it: {kept}." if kept else ""
    return replace(design, space=space, rationale=f"{design.rationale}{told}")


def set_by_user(estimator: Any) -> dict[str, Any]:
    """Return the parameters of *estimator*, and of the estimators in it, that differ from what their classes have."""
    return {name: value for name, value in estimator.get_params().items() if not _is_usual(estimator, name, value)}


def keep_own(space: SearchSpace, own: Mapping[str, Any]) -> SearchSpace:
    """
    Return *space* with the values of *own* as defaults.

    A range is widened to hold its value, and a choice is added. A parameter whose value is neither a number nor a text,
    or fits no range, is left out, with those that depend on it: the estimator keeps it.
    """
    kept: dict[str, Parameter] = {}
    for name, parameter in space.items():
        begun = _from(parameter, own[name]) if name in own else parameter
        if begun is not None and (parameter.condition is None or parameter.condition.parameter in kept):
            kept[name] = begun
    return SearchSpace(kept) if kept else space


def _is_usual(estimator: Any, name: str, value: Any) -> bool:
    owner, _, leaf = name.rpartition("__")
    try:
        usual = type(estimator.get_params()[owner] if owner else estimator)().get_params(deep=False)
    except (KeyError, TypeError, ValueError):  # it cannot be made without arguments
        return True
    other = usual.get(leaf, _MISSING)
    return value is other or other is _MISSING or repr(value) == repr(other)


def _from(parameter: Parameter, value: Any) -> Parameter | None:
    if isinstance(value, (list, tuple)) and len(value) == 1:  # sizes of one layer
        value = value[0]
    try:
        if parameter.contains(value):
            return replace(parameter, default=value)
        if isinstance(parameter, Categorical):
            return replace(parameter, choices=(*parameter.choices, value), default=value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        bounds: dict[str, Any] = {"low": min(parameter.low, value), "high": max(parameter.high, value)}
        wider: Any = replace(parameter, **bounds, default=None)
        return replace(wider, default=value) if wider.contains(value) else None
    except (SpaceError, TypeError):
        return None
