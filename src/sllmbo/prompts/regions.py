"""
The regions of a study: per parameter where its good trials lie, which parts are untried and what larger values did.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from sllmbo.history import Observation
from sllmbo.prompts import words
from sllmbo.prompts.standing import Standing, digits_of
from sllmbo.space import Categorical, Float, Int

_ENOUGH_FOR_QUARTILES = 10
_ENOUGH_FOR_TREND = 15
_WORTH_A_WORD = 0.2  # a weaker rank correlation is not told, nor one that chance alone often makes
_EDGE = 0.03  # of the parameter's scale
_GAP = 0.2
_N_GAPS = 3
_N_CHOICES = 8


def regions(study: Standing, limit: int) -> str:
    """
    Return what cannot be read off the table at a glance: one line for each parameter that has any of it.

    Args:
        study: The study.
        limit: Tokens to keep within; the last parameters go untold where there are too many.
    """
    if not study.ranked:
        return ""
    good: Sequence[Observation] = ()
    head = "PARAMETERS (categories: best value, trials"
    if len(study.ranked) >= _ENOUGH_FOR_QUARTILES:
        good = study.ranked[: math.ceil(len(study.ranked) / 4)]
        head += f"; numbers: quartiles of the best {len(good)}"
    if len(study.ranked) >= _ENOUGH_FOR_TREND:
        head += "; trend: + where larger is better"
    lines = [f"{words.name(name)}: {told}" for name in study.space if (told := _parameter(study, name, good))]
    kept, room = [f"{head})"], limit - words.tokens(head)
    for line in lines:
        room -= words.tokens(line) + 1
        if room >= 0:
            kept.append(line)
    return "\n".join(kept) if kept[1:] else ""


def span(values: Sequence[Any]) -> str:
    """Return the range of *values*, which are numbers."""
    low, high = words.number(min(values)), words.number(max(values))
    return low if low == high else f"{low} to {high}"


def _parameter(study: Standing, name: str, good: Sequence[Observation]) -> str:
    parameter = study.space[name]
    if isinstance(parameter, Categorical):
        return _categories(study, name, parameter)
    if not good:
        return ""
    visited = study.values(name, study.history)
    if not visited:
        return "never tried"
    best = study.values(name, good)
    facts = _quartiles(parameter, best) + _edges(parameter, best) + _untried(parameter, visited) + _trend(study, name)
    return "; ".join(facts)


def _categories(study: Standing, name: str, parameter: Categorical) -> str:
    tried: dict[Any, list[float]] = {}
    for o in study.ranked:
        if name in o.params and parameter.contains(o.params[name]):
            # By position, as True and 1 are the same key.
            tried.setdefault(parameter.to_unit(o.params[name]), []).append(o.value or 0.0)
    positions = {parameter.to_unit(choice): words.value(choice) for choice in parameter.choices}
    told = [f"{positions[position]} {study.value(values[0])} of {len(values)}" for position, values in tried.items()]
    untried = [choice for position, choice in positions.items() if position not in tried]
    facts = [words.some(told, _N_CHOICES)] if told else []
    return "; ".join(facts + ([f"untried {words.some(untried, _N_CHOICES)}"] if untried else []))


def _quartiles(parameter: Float | Int, best: list[Any]) -> list[str]:
    if not best:
        return []
    positions = np.quantile([parameter.to_unit(v) for v in best], [0.25, 0.5, 0.75])
    told = [words.number(parameter.from_unit(float(p)), digits_of(parameter)) for p in positions]
    return [told[0] if len(set(told)) == 1 else ", ".join(told)]


def _edges(parameter: Float | Int, best: list[Any]) -> list[str]:
    if parameter.low == parameter.high:
        return []
    positions = [parameter.to_unit(v) for v in best]
    low = sum(position <= _EDGE for position in positions)
    high = sum(position >= 1 - _EDGE for position in positions)
    many = max(2, len(best) / 5)
    return [f"{n} of {len(best)} at the {edge} edge" for n, edge in ((low, "low"), (high, "high")) if n >= many]


def _untried(parameter: Float | Int, visited: list[Any]) -> list[str]:
    """Return the widest stretches of the parameter's scale without any trial, in order, if they are wide."""
    inside = sorted({v for v in visited if parameter.low <= v <= parameter.high})
    if parameter.low == parameter.high:
        return []
    if not inside:
        return ["untried in this range"]
    digits = digits_of(parameter)
    first, last = words.number(inside[0], digits), words.number(inside[-1], digits)
    step = parameter.step or 0  # neighbours on the grid leave nothing between them
    stretches = [
        (0.0, parameter.to_unit(inside[0]), f"below {first}"),
        *(
            (parameter.to_unit(a), parameter.to_unit(b), f"{words.number(a, digits)} to {words.number(b, digits)}")
            for a, b in pairwise(inside)
            if b - a > step
        ),
        (parameter.to_unit(inside[-1]), 1.0, f"above {last}"),
    ]
    wide = sorted((s for s in stretches if s[1] - s[0] >= _GAP), key=lambda s: s[0] - s[1])[:_N_GAPS]
    return [f"untried {', '.join(told for *_, told in sorted(wide))}"] if wide else []


def _trend(study: Standing, name: str) -> list[str]:
    pairs = [(study.values(name, [o]), -rank) for rank, o in enumerate(study.ranked)]
    known = [(float(values[0]), rank) for values, rank in pairs if values]
    if len(known) < _ENOUGH_FOR_TREND or len({x for x, _ in known}) < 2:
        return []
    trend = float(np.corrcoef(_ranks([x for x, _ in known]), [y for _, y in known])[0, 1])
    return [f"trend {trend:+.2f}"] if abs(trend) >= max(_WORTH_A_WORD, 2 / len(known) ** 0.5) else []


def _ranks(values: list[float]) -> list[float]:
    ordered = sorted(values)
    first = {v: i for i, v in reversed(list(enumerate(ordered)))}
    counts = Counter(values)
    return [first[v] + (counts[v] - 1) / 2 for v in values]
