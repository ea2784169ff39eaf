"""
The search space of a study that is edited while it runs: a function of the declared space and of the trials.

Edits are written on the trials with which they came, so any process reads the same space from the same trials. An edit
is on trial for 8 trials and is undone if it did not pay.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from optuna.trial import FrozenTrial, TrialState

from sllmbo.advisors import Advice
from sllmbo.errors import SpaceError
from sllmbo.history import History, Observation
from sllmbo.samplers._record import EDITS, AppliedEdit, edits_of
from sllmbo.samplers._turns import is_abandoned, record_of
from sllmbo.space import Categorical, Leeway, SearchSpace
from sllmbo.space.edits import leeways, settled, with_bounds

Edits: TypeAlias = Literal["none", "narrow", "all"]
"""Which edits of the search space an advisor may make."""

ON_TRIAL = 8
"""After so many finished trials it is decided whether an edit has paid; until then there is no other one."""
_PER_PARAMETER = 2
_MAX_REASON = 200


@dataclass(frozen=True, slots=True)
class Box:
    """Where a turn searches."""

    present: SearchSpace
    """The declared space with the edits in force."""

    whole: SearchSpace
    """The declared space, and as much more as any trial may have used."""

    undone: tuple[AppliedEdit, ...] = ()
    """Edits that are taken back from this turn on."""

    is_widened: bool = False
    """Whether a range was ever widened, so that trials have differing ones."""

    @property
    def is_edited(self) -> bool:
        """Whether less is searched than the whole."""
        return self.present is not self.whole


@dataclass(frozen=True, slots=True)
class _Entry:
    edit: AppliedEdit
    number: int
    """The number of its trial among those that were not abandoned."""


def box_of(declared: SearchSpace, trials: Sequence[FrozenTrial], history: History, *, before: int, edits: Edits) -> Box:
    """
    Return where the trial with the number *before* searches.

    Args:
        declared: The space that was given, or what the objective suggests.
        trials: All trials.
        history: Those with a lower number than *before*.
        before: The trial's number.
        edits: Which edits are allowed; widening ones need an objective that takes its ranges from `whole_space`.
    """
    entries = [] if edits == "none" else list(_entries(trials, before))
    if not entries:
        return Box(declared, declared)
    undone = tuple(_due(entries, history))
    applied = [*(entry.edit for entry in entries), *undone]
    present = _edited(declared, applied, widen=edits == "all")
    whole = whole_space(declared, applied) if edits == "all" else declared
    return Box(whole if present == whole else present, whole, undone, is_widened=whole is not declared)


def whole_space(declared: SearchSpace, applied: Sequence[AppliedEdit]) -> SearchSpace:
    """Return *declared*, widened to hold every range that was ever in force: its trials can all be compared."""
    space = declared
    for edit in applied:
        parameter = space.get(edit.parameter)
        if parameter is None or isinstance(parameter, Categorical):
            continue
        low, high = min(parameter.low, edit.low), max(parameter.high, edit.high)
        if (low, high) != (parameter.low, parameter.high):
            space = with_bounds(space, edit.parameter, low, high)
    return space


def edits_before(trials: Sequence[FrozenTrial], before: int) -> list[AppliedEdit]:
    """Return the edits that trials with lower numbers than *before* came with, in order."""
    return [entry.edit for entry in _entries(trials, before)]


def open_leeways(
    box: Box, trials: Sequence[FrozenTrial], history: History, *, before: int, edits: Edits, remaining: int | None
) -> dict[str, Leeway]:
    """
    Return which bounds an advisor may edit in the turn of the trial with the number *before*.

    None while an edit is on trial, or when it could not be any more; no parameter twice over, nor one of which an edit
    was undone.
    """
    if edits == "none" or (remaining is not None and remaining <= ON_TRIAL):
        return {}
    entries = list(_entries(trials, before))
    last = max((entry.number for entry in entries if not entry.edit.undoes), default=None)
    if last is not None and len(_since(history, last)) < ON_TRIAL:
        return {}
    applied = [*(entry.edit for entry in entries), *box.undone]
    closed = {edit.parameter for edit in applied if edit.undoes}
    names = [edit.parameter for edit in applied]
    closed |= {name for name in names if names.count(name) >= _PER_PARAMETER}
    return leeways(box.present, history, widen=edits == "all", closed=closed)


def applied_edits(
    answer: Sequence[Advice], space: SearchSpace, open_: Mapping[str, Leeway]
) -> tuple[tuple[AppliedEdit, ...], list[str]]:
    """Return the edits of an answer as they are applied, and why others are not."""
    applied: dict[str, AppliedEdit] = {}
    refused: list[str] = []
    for advice in answer[:1]:
        for edit in advice.edits:
            try:
                moved = settled(edit, space, open_)
            except SpaceError as error:
                refused.append(f"edit of the space: {error}")
                continue
            parameter = space[moved.parameter]
            assert not isinstance(parameter, Categorical)
            applied[moved.parameter] = AppliedEdit(
                parameter=moved.parameter,
                low=moved.low,
                high=moved.high,
                old_low=parameter.low,
                old_high=parameter.high,
                reason=str(moved.reason)[:_MAX_REASON] or open_[moved.parameter].evidence,
                source=advice.source,
            )
    return tuple(applied.values()), refused


def _entries(trials: Sequence[FrozenTrial], before: int) -> Iterator[_Entry]:
    """Yield the edits that count: of workers that edit at the same time it is the one with the lowest number."""
    if not [trial for trial in trials if EDITS in trial.user_attrs and record_of(trial)]:  # as in most studies
        return
    number, last = -1, -ON_TRIAL - 1
    for trial in trials:
        if trial.number >= before or trial.state == TrialState.WAITING or is_abandoned(trial):
            continue
        number += 1
        if EDITS in trial.user_attrs and record_of(trial):
            edits, is_free = edits_of(trial.user_attrs), number - last > ON_TRIAL
            yield from (_Entry(edit, number) for edit in edits if edit.undoes or is_free)
            if is_free and not all(edit.undoes for edit in edits):
                last = number


def _edited(declared: SearchSpace, applied: Sequence[AppliedEdit], *, widen: bool) -> SearchSpace:
    space = declared
    for edit in applied:
        parameter = space.get(edit.parameter)
        if parameter is None or isinstance(parameter, Categorical):
            continue
        low, high = edit.low, edit.high
        if not widen:  # the objective has the last word on its ranges
            given = declared[edit.parameter]
            assert not isinstance(given, Categorical)
            low, high = max(low, given.low), min(high, given.high)
        if low < high:
            space = with_bounds(space, edit.parameter, low, high)
            space = _with_default(space, edit.parameter, declared)
    return space


def _with_default(space: SearchSpace, name: str, declared: SearchSpace) -> SearchSpace:
    """Give parameter *name* its default back where its bounds hold it again."""
    default = declared[name].default
    if default is None or not space[name].contains(default):
        return space
    return SearchSpace({**space, name: replace(space[name], default=default)})  # type: ignore[arg-type]


def _due(entries: Sequence[_Entry], history: History) -> Iterator[AppliedEdit]:
    """Yield what takes back the edits that were on trial long enough and have not paid."""
    for position, entry in enumerate(entries):
        edit = entry.edit
        later = [other.edit for other in entries[position + 1 :]]
        if edit.undoes or any(other.undoes and other.parameter == edit.parameter for other in later):
            continue
        since = _since(history, entry.number)
        if len(since) < ON_TRIAL:
            continue
        until = [o for o in history if o.number <= since[ON_TRIAL - 1].number]
        if not _pays(edit, history, until, entry.number):
            yield AppliedEdit(
                parameter=edit.parameter,
                low=edit.old_low,
                high=edit.old_high,
                old_low=edit.low,
                old_high=edit.high,
                reason=f"it brought nothing within {ON_TRIAL} trials",
                source=edit.source,
                undoes=True,
            )


def _since(history: History, number: int) -> list[Observation]:
    return [o for o in history.observations[number + 1 :] if o.state != "running"]


def _pays(edit: AppliedEdit, history: History, until: Sequence[Observation], number: int) -> bool:
    """
    Tell whether an edit has paid by the end of its time on trial.

    A narrowed range pays by a new best trial, or by trials that are better than those before it, by the median. A
    widened one by a trial beyond the old bounds among the best quarter.
    """
    ranked = History(history.direction, tuple(until)).ranked()
    if edit.low < edit.old_low or edit.high > edit.old_high:
        best = ranked[: max(2, -(-len(ranked) // 4))]
        beyond = [o for o in best if not edit.old_low <= o.params.get(edit.parameter, edit.old_low) <= edit.old_high]
        return any(o.number > number for o in beyond)
    places = {o.number: place for place, o in enumerate(ranked)}
    after = [place for n, place in places.items() if n > number]
    if not after or min(after) == 0:
        return bool(after)
    earlier = [places[o.number] for o in until if o.number <= number and o.number in places][-ON_TRIAL:]
    return not earlier or statistics.median(after) < statistics.median(earlier)
