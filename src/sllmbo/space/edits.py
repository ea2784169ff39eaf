"""
Edits of a search space during a study: which bounds may move, how far, and on what evidence. Pure.

The paper (arXiv 2410.20302) lets the language model give new ranges in every iteration, without limits. Here an edit
needs evidence in the trials, moves a bound by a limited step, and keeps the best trials inside.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sllmbo.errors import SpaceError
from sllmbo.history import History
from sllmbo.space.parameters import Categorical, Float, Int
from sllmbo.space.search_space import SearchSpace

_ENOUGH_TO_WIDEN = 8
_ENOUGH_TO_NARROW = 12
_EDGE = 0.05
"""Nearer to a bound than this share of the scale, a trial lies at it."""
_AT_EDGE = 2
"""So many of the best quarter must lie at a bound before it may move outwards."""
_OUTWARDS = 0.25
"""A bound moves outwards by this share of the scale at most."""
_KEPT = 0.25
"""A narrowed parameter keeps this share of its scale at least."""
_MARGIN = 0.1
"""A narrowed parameter keeps this share of its scale on both sides of the best trials."""
_WORTH_NARROWING = 0.6
_MOST = 3
_NATURAL = {Float: (0, 1), Int: (0, 1, 2)}
"""What shares, probabilities and counts end at: no bound moves across these."""


@dataclass(frozen=True, slots=True)
class SpaceEdit:
    """New bounds for a parameter, and why."""

    parameter: str
    low: float
    high: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Leeway:
    """Between which values the bounds of a parameter may be put, and what the trials show."""

    low: tuple[float, float]
    """The lowest and the highest that the low bound may become."""
    high: tuple[float, float]
    """The lowest and the highest that the high bound may become."""
    evidence: str


def leeways(space: SearchSpace, history: History, *, widen: bool, closed: Collection[str] = ()) -> dict[str, Leeway]:
    """
    Return the numeric parameters whose bounds may be edited, at most three, those first that may be widened.

    A bound may move outwards by a quarter of the scale if two of the best quarter of at least 8 complete trials lie
    within 5 % of it; never across 0 or 1, nor 2 if integer, nor the limit. Where the best quarter of at least 12
    complete trials lies close together, both bounds may move inwards, down to a quarter of the scale and not next to
    those trials.

    Args:
        space: The present search space.
        history: All trials.
        widen: Whether bounds may move outwards at all.
        closed: Parameters that may not be edited any more.
    """
    open_: dict[str, Leeway] = {}
    widened: list[str] = []
    ranked = history.ranked()
    for name, parameter in space.items():
        if name in closed or isinstance(parameter, Categorical) or parameter.low == parameter.high:
            continue
        if parameter.step not in (None, 1):
            continue
        tried = [float(o.params[name]) for o in ranked if _is_number(o.params.get(name))]
        if len(tried) < _ENOUGH_TO_WIDEN:
            continue
        best = tried[: max(2, math.ceil(len(tried) / 4))]
        leeway = _leeway(parameter, best, widen=widen, narrow=len(tried) >= _ENOUGH_TO_NARROW)
        if leeway is not None:
            open_[name] = leeway
            if leeway.low[0] < parameter.low or leeway.high[1] > parameter.high:
                widened.append(name)
    first = [*widened, *(name for name in open_ if name not in widened)][:_MOST]
    return {name: open_[name] for name in first}


def settled(edit: SpaceEdit, space: SearchSpace, open_: Mapping[str, Leeway]) -> SpaceEdit:
    """
    Return *edit* with its bounds moved to where they may lie.

    Raises:
        SpaceError: If the parameter is not open to edits, a bound is no number, or nothing is changed.
    """
    name = edit.parameter
    if name not in open_:
        raise SpaceError(f"The bounds of {str(name)[:60]!r} may not be edited now; the trials give no evidence for it.")
    parameter, leeway = space[name], open_[name]
    assert not isinstance(parameter, Categorical)
    bounds = []
    for given, (least, most) in ((edit.low, leeway.low), (edit.high, leeway.high)):
        if not _is_number(given):
            raise SpaceError(f"The bound {str(given)[:60]!r} for {name!r} is no finite number.")
        bounds.append(min(max(float(given), least), most))
    if isinstance(parameter, Int):
        bounds = [math.floor(bounds[0]), math.ceil(bounds[1])]
    if bounds == [parameter.low, parameter.high]:
        raise SpaceError(f"The bounds {edit.low!r} and {edit.high!r} for {name!r} change nothing that may be changed.")
    return replace(edit, low=bounds[0], high=bounds[1])


def with_bounds(space: SearchSpace, name: str, low: float, high: float) -> SearchSpace:
    """Return *space* with other bounds for a numeric parameter; a default that they leave out is dropped."""
    parameter = space[name]
    assert not isinstance(parameter, Categorical)
    default = parameter.default if parameter.default is not None and low <= parameter.default <= high else None
    bounds: dict[str, Any] = {"low": low, "high": high, "default": default}
    return SearchSpace({**space, name: replace(parameter, **bounds)})


def _leeway(parameter: Float | Int, best: list[float], *, widen: bool, narrow: bool) -> Leeway | None:
    places = [parameter.to_unit(value) for value in best]
    at_low = sum(place <= _EDGE for place in places)
    at_high = sum(place >= 1 - _EDGE for place in places)
    lowest, highest = parameter.low, parameter.high
    told = []
    if widen and at_low >= _AT_EDGE:
        lowest = _outside(parameter, -_OUTWARDS)
    if widen and at_high >= _AT_EDGE:
        highest = _outside(parameter, 1 + _OUTWARDS)
    told += [f"{at_low} of the best {len(best)} at the low bound"] if lowest < parameter.low else []
    told += [f"{at_high} of the best {len(best)} at the high bound"] if highest > parameter.high else []
    innermost_low, innermost_high = parameter.low, parameter.high
    if narrow:
        start, end = max(min(places) - _MARGIN, 0.0), min(max(places) + _MARGIN, 1.0)
        lacking = max(_KEPT - (end - start), 0.0)
        start = min(max(start - lacking / 2, 0.0), 1.0 - max(end - start, _KEPT))
        end = max(end, start + _KEPT)
        if end - start <= _WORTH_NARROWING:
            inner = parameter.from_unit(start), parameter.from_unit(min(end, 1.0))
            innermost_low, innermost_high = min(inner[0], *best), max(inner[1], *best)
            innermost_low, innermost_high = max(innermost_low, parameter.low), min(innermost_high, parameter.high)
            told.append(f"best {len(best)} in {min(best):.4g} to {max(best):.4g}")
    if not told:
        return None
    return Leeway((lowest, innermost_low), (innermost_high, highest), "; ".join(told))


def _outside(parameter: Float | Int, place: float) -> float:
    """Return the value at *place*, outside [0, 1], of the parameter's scale, stopped at a natural bound or limit."""
    low, high = float(parameter.low), float(parameter.high)
    if parameter.log:
        value = math.exp(math.log(low) + place * (math.log(high) - math.log(low)))
    else:
        value = low + place * (high - low)
    for natural in _NATURAL[type(parameter)]:
        if value < natural <= low:
            value = max(value, natural)
        if high <= natural < value:
            value = min(value, natural)
    if isinstance(parameter, Int):
        return round(value) if parameter.limit is None else min(round(value), parameter.limit)
    return float(f"{value:.4g}")  # a bound that can be read


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
