"""
Privacy: what of a task, its search space and its trials leaves the machine. Pure.

    level           what is sent, beyond the level before
    none            the search space (names, ranges, choices, defaults, conditions); of the trials number, state,
                    parameters, value (also those on the way), what constraints and further objectives are about, who
                    proposed each, and what follows from these, such as which parameters matter;
                    the class of an error; the names of estimator and metric, the direction, how many trials there are
    schema          the kind of the target, whether the rows are ordered, the estimator's parameters with their defaults
    statistics      `DataFacts`; of each trial the spread over folds and the value on the rows it was fitted on; by how
                    much the earlier studies that this one starts from beat their defaults
    description     what was written in words: the description of the task, notes on parameters, messages of errors, the
                    reasons of earlier proposals, the names of earlier studies

Rows, labels and names of columns are on no level. Messages of errors may hold them: what is quoted there is cut out.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from typing import Literal, TypeAlias, get_args

from sllmbo.errors import ConfigError
from sllmbo.history import History, Observation
from sllmbo.space import Categorical, SearchSpace
from sllmbo.task import DataFacts, Task

Privacy: TypeAlias = Literal["none", "schema", "statistics", "description"]
LEVELS: tuple[str, ...] = get_args(Privacy)

AGGREGATES = ("std", "train_value", "seconds")
"""What a trial tells of the data or the machine beside its values."""

_ERROR_CLASS = re.compile(r"([A-Za-z_][A-Za-z0-9_.]{0,60}(?:Error|Exception|Warning|Interrupt|Exit|Pruned))(?:$|:)")
_QUOTED = re.compile(
    r"""(?!(?<=\w)'(?:t|s|re|ve|ll|d|m)\b)  # an apostrophe opens nothing
    (['"`]) ((?:\\.|.)*?) (?:\1(?!\w)|\Z)  # to the end where a cut took the closing quote""",
    re.DOTALL | re.VERBOSE,
)


def check_privacy(privacy: str) -> None:
    """
    Check that *privacy* is a level.

    Raises:
        ConfigError: If it is none.
    """
    if privacy not in LEVELS:
        raise ConfigError(f"privacy={privacy!r} must be one of {', '.join(LEVELS)}.")


def visible(task: Task, privacy: Privacy) -> Task:
    """Return what may be told of *task*."""
    if _reaches(privacy, "description"):
        return task
    if _reaches(privacy, "statistics"):
        return replace(task, description="", earlier=tuple(replace(best, study="") for best in task.earlier))
    told = replace(task, description="", earlier=())
    if not _reaches(privacy, "schema"):
        return replace(told, data=None, estimator_params={})
    if task.data is None:
        return told
    return replace(told, data=DataFacts(kind=task.data.kind, ordered=task.data.ordered, n_rows=0, n_features=0))


def visible_space(space: SearchSpace, privacy: Privacy) -> SearchSpace:
    """Return what may be told of *space*."""
    if _reaches(privacy, "description"):
        return space
    return SearchSpace({name: replace(parameter, description="") for name, parameter in space.items()})


def visible_history(history: History, privacy: Privacy, space: SearchSpace) -> History:
    """Return what may be told of *history*; of quoted words in its errors only names and categories of *space*."""
    if _reaches(privacy, "description"):
        known = {*space, *(str(c) for p in space.values() if isinstance(p, Categorical) for c in p.choices)}
        trials = tuple(replace(o, reason=_without_quoted(o.reason, known)) if o.reason else o for o in history)
    else:
        trials = tuple(_visible_trial(o, privacy) for o in history)
    return replace(history, observations=trials)


def error_class(reason: str) -> str:
    """Return the class of the error that *reason* begins with; "Error" where that is free text."""
    match = _ERROR_CLASS.match(reason)
    return match.group(1) if match else "Error" if reason else ""


def _without_quoted(text: str, known: Collection[str]) -> str:
    """Errors may quote a cell of the data: return *text* with dots for all that it quotes, but *known* words."""

    def cut(found: re.Match[str]) -> str:
        return found.group() if found.group(2) in known else f"{found.group(1)}...{found.group(1)}"

    return _QUOTED.sub(cut, text)


def _visible_trial(o: Observation, privacy: Privacy) -> Observation:
    details = o.details
    if not _reaches(privacy, "statistics"):
        details = {name: measured for name, measured in details.items() if name not in AGGREGATES}
    return replace(o, reason=error_class(o.reason), rationale="", details=details)


def _reaches(privacy: Privacy, level: Privacy) -> bool:
    return LEVELS.index(privacy) >= LEVELS.index(level)
