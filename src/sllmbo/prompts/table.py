"""
The table of a study: one row per trial, all of them while they fit, else the best, the latest and some between.

A row costs a chat model about three tokens for each parameter, so nothing stands in it that its place says already.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sllmbo.history import Observation
from sllmbo.prompts import words
from sllmbo.prompts.privacy import AGGREGATES
from sllmbo.prompts.standing import Standing, digits_of

_MIN_ROWS = 3
_MAX_ROWS = 40
_N_RUNNING = 2
_N_BEST = 5
_N_LATEST = 3
_N_FAILED = 2
_NAMES = {"llm": "you"}
_DETAIL_DIGITS = 3


def trial_table(
    study: Standing,
    limit: int,
    *,
    at_least: int = _MIN_ROWS,
    refused: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> str:
    """
    Return the trials as comma-separated rows, best first, then those without a value.

    Args:
        study: The study; it has at least one trial.
        limit: Tokens that the table should not exceed.
        at_least: How many rows the most important trials have anyway.
        refused: Configurations that were turned down, by the names of their rows, which are at the end.
    """
    train = any("train_value" in o.details for o in study.ranked)
    spread = [o.details["std"] for o in study.ranked if "std" in o.details]
    measured = tuple(dict.fromkeys(name for o in study.history for name in o.details if name not in AGGREGATES))
    columns = ["trial", "value", *(["train_value"] if train else []), *map(words.name, (*measured, *study.space))]
    details = (*(["train_value"] if train else []), *measured)
    last = [_row(study, name, "turned down", dict.fromkeys(details), params) for name, params in refused.items()]
    ranked = set(map(id, study.ranked))
    ordered = [*study.ranked, *(o for o in study.history if id(o) not in ranked)]
    rows = {id(o): _trial(study, o, details) for o in ordered}
    legend = ["*: proposed by you"] if any(row.partition(",")[0].endswith("*") for row in rows.values()) else []
    legend += ["-: inactive or unknown"] if any(",-" in row for row in rows.values()) or last else []
    legend += [f"spread over folds about {words.number(statistics.median(spread), 2)}"] if spread else []
    told = f" ({'; '.join(legend)})" if legend else ""
    head = [f"TRIALS, best first{told}", ",".join(columns)]
    size = {key: words.tokens(row) + 1 for key, row in rows.items()}
    room = limit - sum(words.tokens(line) + 1 for line in (*head, *last))
    if len(rows) <= _MAX_ROWS and sum(size.values()) <= room:
        return "\n".join([*head, *rows.values(), *last])
    shown: set[int] = set()
    room -= words.tokens(_left_out(study, len(rows)))
    for key in dict.fromkeys(map(id, _by_importance(study, ordered))):
        room -= size[key]
        if len(shown) == _MAX_ROWS or (room < 0 and len(shown) >= at_least):
            break
        shown.add(key)
    left_out = [_left_out(study, len(rows) - len(shown))] if len(shown) < len(rows) else []
    return "\n".join([*head, *(row for key, row in rows.items() if key in shown), *last, *left_out])


def author(source: str) -> str:
    """Return who proposed a trial, in the words of the digest."""
    return words.name(_NAMES.get(source, source)) if source else "-"


def _by_importance(study: Standing, ordered: Sequence[Observation]) -> Iterator[Observation]:
    """Yield every trial, some more than once, those first that must not be missing."""
    ranked, latest = study.ranked, study.history.observations[::-1]
    yield from ranked[:3]
    yield from [o for o in latest if o.state == "running"][:_N_RUNNING]
    yield from ranked[:_N_BEST]
    yield from [o for o in latest if o.state == "complete"][:_N_LATEST]
    yield from [o for o in latest if o.state == "failed"][:_N_FAILED]
    yield from [o for o in ranked if o.source == "default"][:1]
    yield from study.collapsed[:1]
    yield from (ranked[len(ranked) * quarter // 4] for quarter in (1, 2, 3) if ranked)
    yield from [o for o in latest if o.state == "pruned"][:1]
    yield from ordered


def _trial(study: Standing, o: Observation, details: Sequence[str]) -> str:
    told = "" if o.value is None else words.bare(study.value(o.value))
    what = (told or o.state) if o.state == "complete" else f"{o.state} {told}".strip()
    star = "*" if author(o.source) == "you" else ""
    return _row(study, f"{o.number}{star}", what, {name: o.details.get(name) for name in details}, o.params)


def _row(study: Standing, first: str, what: str, details: Mapping[str, float | None], params: Mapping[str, Any]) -> str:
    measured = ("-" if v is None else words.bare(words.number(v, _DETAIL_DIGITS)) for v in details.values())
    values = (
        words.bare(words.value(params[name], digits_of(parameter))) if name in params else "-"
        for name, parameter in study.space.items()
    )
    return ",".join([first, what, *measured, *values])


def _left_out(study: Standing, n: int) -> str:
    return f"{n} of {len(study.history)} trials are left out."
