"""
The reasons that advisors gave, and whether the trials support them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial

from sllmbo.history import History
from sllmbo.report._view import View, source_of
from sllmbo.report.checks import Check, Evidence, Verdict, check, overall
from sllmbo.report.claims import Claim, Vague, parse
from sllmbo.samplers._record import ASKED, ORIGIN, RATIONALE, batch_of
from sllmbo.samplers._turns import turn_of
from sllmbo.worth import NEITHER, PARTNERS, improvements


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why an advisor proposed a trial, and what the trials say of it."""

    trial: int
    source: str
    origin: str
    """Which chat model or rule."""
    rationale: str
    value: float | None
    """The trial's value; None of one that is not complete."""
    state: str
    improved: bool
    """Whether it bettered the incumbent."""
    verdict: Verdict
    checks: tuple[Check, ...]
    """Of each claim that was found; none where nothing is claimed."""


def reasons_of(view: View, history: History) -> Iterator[Reason]:
    """Yield the reason of each trial that an advisor served, in order; not those of classical samplers."""
    steps = improvements(history) if len(view.directions) == 1 else {}
    askers = _askers(view.trials)
    parsed: dict[str, list[Claim]] = {}
    for place, trial in enumerate(view.trials):
        rationale, source = str(trial.user_attrs.get(RATIONALE, "")), source_of(trial)
        if not rationale or source in PARTNERS or source in NEITHER:
            continue
        own = history[place]
        claims = parsed.setdefault(rationale, parse(rationale, view.space))
        if len(view.directions) > 1:
            checks = [
                check(Vague(claim.text, "the study has several objectives"), _nothing(history, own)) for claim in claims
            ]
        else:
            known = _known(view, history, trial, askers.get(turn_of(trial), place))
            checks = [check(claim, Evidence(history, known, own)) for claim in claims]
        yield Reason(
            trial=trial.number,
            source=source,
            origin=str(trial.user_attrs.get(ORIGIN, "")),
            rationale=rationale,
            value=own.value if own.state == "complete" else None,
            state=own.state,
            improved=place in steps,
            verdict=overall(checks),
            checks=tuple(checks),
        )


def _nothing(history: History, own: Any) -> Evidence:
    return Evidence(history, history, own)


def _askers(trials: Sequence[FrozenTrial]) -> dict[int | None, int]:
    """Return, by the turn of each trial whose advice came in a batch, the place of the trial for which it was asked."""
    found: dict[int | None, int] = {}
    for place, trial in enumerate(trials):
        turn = turn_of(trial)
        if turn is not None:
            found.update((turn + position, place) for position in range(1, len(batch_of(trial.user_attrs)) + 1))
    return found


def _known(view: View, history: History, trial: FrozenTrial, place: int) -> History:
    """Return the trials that had ended when the advice for *trial* was asked for, which was that at *place*'s turn."""
    start = view.trials[place].datetime_start
    ended = [
        o
        for o, other in zip(history, view.trials, strict=True)
        if o.number < place
        and other.state.is_finished()
        and (start is None or other.datetime_complete is None or other.datetime_complete <= start)
    ]
    missed = trial.user_attrs.get(ASKED, {}).get("missed", 0)  # asked for ahead: so many had not ended yet
    if missed:
        in_order = sorted(ended, key=lambda o: (view.trials[o.number].datetime_complete or start, o.number))
        late = {o.number for o in in_order[-int(missed) :]}
        ended = [o for o in ended if o.number not in late]
    return History(history.direction, tuple(ended))
