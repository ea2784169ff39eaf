"""
The table of a study: one row per trial, all of them while they fit, else the best, the latest and some between.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

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
_TRAIN_DIGITS = 4


def trial_table(study: Standing, limit: int) -> str:
    """
    Return the trials as comma-separated rows, best first, then those without a value.

    Args:
        study: The study; it has at least one trial.
        limit: Tokens that the table should not exceed. The most important few have their rows anyway.
    """
    train = any("train_value" in o.details for o in study.ranked)
    spread = [o.details["std"] for o in study.ranked if "std" in o.details]
    authors = any(o.source for o in study.history)
    columns = ["rank", "trial", *(["by"] if authors else []), "value", *(["train_value"] if train else [])]
    measured = tuple(dict.fromkeys(name for o in study.history for name in o.details if name not in AGGREGATES))
    columns += map(words.name, (*measured, *study.space))
    legend = f"TRIALS, best first ({'by: its proposer; ' if authors else ''}-: inactive or unknown)"
    noise = f"Spread over folds: about {words.number(statistics.median(spread), 2)}." if spread else ""
    head = [legend, *([noise] if noise else []), ",".join(columns)]
    ranks = {id(o): str(rank) for rank, o in enumerate(study.ranked, start=1)}
    ordered = [*study.ranked, *(o for o in study.history if id(o) not in ranks)]
    rows = {
        id(o): _row(study, o, ranks.get(id(o), "-"), train=train, authors=authors, measured=measured) for o in ordered
    }
    size = {key: words.tokens(row) + 1 for key, row in rows.items()}
    room = limit - sum(words.tokens(line) + 1 for line in head)
    if len(rows) <= _MAX_ROWS and sum(size.values()) <= room:
        return "\n".join([*head, *rows.values()])
    shown: set[int] = set()
    room -= words.tokens(_left_out(study, len(rows)))
    for key in dict.fromkeys(map(id, _by_importance(study, ordered))):
        room -= size[key]
        if len(shown) == _MAX_ROWS or (room < 0 and len(shown) >= _MIN_ROWS):
            break
        shown.add(key)
    left_out = [_left_out(study, len(rows) - len(shown))] if len(shown) < len(rows) else []
    return "\n".join([*head, *(row for key, row in rows.items() if key in shown), *left_out])


def author(source: str) -> str:
    """Return who proposed a trial, in the words of the table."""
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


def _row(study: Standing, o: Observation, rank: str, *, train: bool, authors: bool, measured: Sequence[str]) -> str:
    told = "" if o.value is None else study.value(o.value)
    cells = [rank, f"#{o.number}", *([author(o.source)] if authors else [])]
    cells.append((told or o.state) if o.state == "complete" else f"{o.state} {told}".strip())
    if train:
        told = "-" if "train_value" not in o.details else words.number(float(o.details["train_value"]), _TRAIN_DIGITS)
        cells.append(told)
    cells += [words.number(o.details[name], _TRAIN_DIGITS) if name in o.details else "-" for name in measured]
    cells += [
        words.value(o.params[name], digits_of(parameter)) if name in o.params else "-"
        for name, parameter in study.space.items()
    ]
    return ",".join(cells)


def _left_out(study: Standing, n: int) -> str:
    return f"{n} of {len(study.history)} trials are left out."
