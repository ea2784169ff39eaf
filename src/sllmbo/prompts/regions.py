"""
The regions of a study, as its classical optimiser sees them: per parameter how much it matters, where its good trials
lie and where the others, how many of the good ones are at an edge, and what is untried.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from sllmbo.prompts import words
from sllmbo.prompts.standing import Standing, digits_of
from sllmbo.space import Categorical, Float, Int

_ENOUGH_FOR_QUARTILES = 10
_EDGE = 0.03  # of the parameter's scale
_GAP = 0.2
_N_GAPS = 3
_N_CHOICES = 8


def regions(study: Standing, importance: Mapping[str, float], limit: int) -> str:
    """
    Return what cannot be read off the table at a glance: one line for each parameter that has any of it.

    Args:
        study: The study.
        importance: How much each parameter matters, if that is known: the most important come first.
        limit: Tokens to keep within; where there are too many parameters, what comes last and is long goes untold.
    """
    if not study.ranked:
        return ""
    order = " by importance" if importance else ""
    told = f"good: best {len(study.good)} trials, rest: the others; numbers: middle half; categories: good:rest"
    kept = [f"PARAMETERS{order} ({told})"]
    room = limit - words.tokens(kept[0])
    for name in sorted(study.space, key=lambda name: -importance.get(name, 0.0)):
        share = f" {importance.get(name, 0.0):.0%}" if importance else ""
        line = f"{words.name(name)}{share}: {'; '.join(facts)}" if (facts := _facts(study, name)) else ""
        size = words.tokens(line) + 1
        if line and size <= room:
            kept.append(line)
            room -= size
    return "\n".join(kept) if kept[1:] else ""


def _facts(study: Standing, name: str) -> list[str]:
    parameter = study.space[name]
    if isinstance(parameter, Categorical):
        return _odds(study, name, parameter)
    if len(study.ranked) < _ENOUGH_FOR_QUARTILES:
        return []
    visited = study.values(name, study.history)
    if not visited:
        return ["never tried"]
    good, rest = study.values(name, study.good), study.values(name, study.rest)
    halves = [f"{what} {_half(parameter, v)}" for what, v in (("good", good), ("rest", rest)) if v]
    return halves + _edges(parameter, good) + _untried(parameter, visited, good)


def _odds(study: Standing, name: str, parameter: Categorical) -> list[str]:
    # By position, as True and 1 are the same key.
    good, rest, failed, visited = (
        Counter(map(parameter.to_unit, study.values(name, trials)))
        for trials in (study.good, study.rest, study.history.failures(), study.history)
    )
    places = {parameter.to_unit(choice): words.value(choice, digits_of(parameter)) for choice in parameter.choices}
    tried = sorted((p for p in places if visited[p]), key=lambda p: (-good[p], not good[p] + rest[p], rest[p]))
    odds = (f"{places[p]} {good[p]}:{rest[p]}" + (f" ({failed[p]} failed)" if failed[p] else "") for p in tried)
    untried = [choice for place, choice in places.items() if not visited[place]]
    told = [words.some(odds, _N_CHOICES)] if tried else []
    return told + ([f"untried {words.some(untried, _N_CHOICES)}"] if untried else [])


def _half(parameter: Float | Int, values: list[Any]) -> str:
    """Return between which values the middle half of *values* lies, of which some may be outside the present range."""
    is_log = parameter.log and min(values) > 0
    quartiles = np.quantile([math.log(v) if is_log else float(v) for v in values], [0.25, 0.75])
    edges = [math.exp(edge) if is_log else float(edge) for edge in quartiles]
    low, high = map(round, edges) if isinstance(parameter, Int) else edges
    return _range(low, high, digits_of(parameter) - 1)


def _range(low: float, high: float, digits: int) -> str:
    told = [words.bare(words.number(value, digits)) for value in (low, high)]
    return " to ".join(dict.fromkeys(told))


def _edges(parameter: Float | Int, good: list[Any]) -> list[str]:
    if parameter.low == parameter.high:
        return []
    positions = [parameter.to_unit(v) for v in good if parameter.low <= v <= parameter.high]
    low = sum(position <= _EDGE for position in positions)
    high = sum(position >= 1 - _EDGE for position in positions)
    many = max(2, len(good) / 5)
    return [
        f"{n} of {len(good)} good trials at the {edge} limit" for n, edge in ((low, "low"), (high, "high")) if n >= many
    ]


def _untried(parameter: Float | Int, visited: list[Any], good: list[Any]) -> list[str]:
    """
    Return the widest stretches of the parameter's scale without any trial, in order, if they are wide.

    A stretch inside is told where a good trial is at an end of it: between bad ones there is little to look for.
    """
    inside = sorted({v for v in visited if parameter.low <= v <= parameter.high})
    if parameter.low == parameter.high:
        return []
    if not inside:
        return ["untried in this range"]
    digits = digits_of(parameter) - 1
    first, last = (words.bare(words.number(edge, digits)) for edge in (inside[0], inside[-1]))
    step = parameter.step or 0  # neighbours on the grid leave nothing between them
    stretches = [
        (0.0, parameter.to_unit(inside[0]), f"below {first}"),
        *(
            (parameter.to_unit(a), parameter.to_unit(b), _range(a, b, digits))
            for a, b in pairwise(inside)
            if b - a > step and (a in good or b in good)
        ),
        (parameter.to_unit(inside[-1]), 1.0, f"above {last}"),
    ]
    wide = sorted((s for s in stretches if s[1] - s[0] >= _GAP), key=lambda s: s[0] - s[1])[:_N_GAPS]
    return [f"untried {', '.join(told for *_, told in sorted(wide))}"] if wide else []
