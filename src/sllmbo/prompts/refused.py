"""
What was turned down of the advisor's latest answer: how much of it, why, and what ran instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sllmbo.prompts.standing import Standing
from sllmbo.prompts.table import author

_NAMES_A_TRIAL = re.compile(r"\btrial [0-9]")


def refused(study: Standing, most: int) -> tuple[str, Mapping[str, Mapping[str, Any]]]:
    """
    Return it in a sentence, "" where nothing is to be told, and the configurations that need a row of the table.

    Nothing is to be told any more once a later proposal of the advisor was run.

    Args:
        study: The study.
        most: How many rows and reasons there may be. What repeats a trial needs no row: the reason names the trial.
    """
    last = next((o for o in reversed(study.history) if o.turned_down or author(o.source) == "you"), None)
    if last is None or not last.turned_down:
        return "", {}
    told = [refusal for refusal in last.turned_down if refusal.params and not _NAMES_A_TRIAL.search(refusal.reason)]
    names = ["x"] if len(told[:most]) == 1 else [f"x{place}" for place in range(1, len(told[:most]) + 1)]
    places = dict(zip(map(id, told), names, strict=False))
    reasons: dict[str, list[str]] = {}
    for refusal in last.turned_down:
        rows = reasons.setdefault(refusal.reason.partition(";")[0], [])
        rows += [places[id(refusal)]] if id(refusal) in places else []
    why = "; ".join(reason + _rows(rows) for reason, rows in [*reasons.items()][:most])
    n = len(last.turned_down)
    if author(last.source) == "you":
        told_of = f"{n} of your last proposals {'was' if n == 1 else 'were'} turned down"
        sentence = f"{told_of}: {why}. Another of them ran as #{last.number}."
    else:
        told_of = "Your last proposal was turned down" if n == 1 else f"All {n} of your last proposals were turned down"
        sentence = f"{told_of}: {why}. {author(last.source)} ran #{last.number} instead."
    return sentence, {name: refusal.params for name, refusal in zip(names, told, strict=False)}


def _rows(names: list[str]) -> str:
    return f" ({'row' if len(names) == 1 else 'rows'} {', '.join(names)})" if names else ""
