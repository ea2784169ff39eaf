"""
What a sampler writes on a trial: who served it, why, and what it cost.

The study is the only memory: a decision is written before the trial runs, and read back from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial

from sllmbo.advisors import Advice, Memo
from sllmbo.history import Refusal
from sllmbo.space import Repair
from sllmbo.usage import Usage

SOURCE = "sllmbo:source"
"""Who served the trial: "default", "llm", "rules", "tpe", "user", ..."""
RATIONALE = "sllmbo:rationale"
ORIGIN = "sllmbo:origin"
PROMPT_VERSION = "sllmbo:prompt_version"
USAGE = "sllmbo:usage"
REPAIRS = "sllmbo:repairs"
FALLBACK = "sllmbo:fallback"
"""Why the partner served a trial that was the advisor's: {"kind", "reason"}."""
TURNED_DOWN = "sllmbo:turned_down"
"""Candidates of the advisor that were not used, with the reason, for people."""
REFUSED = "sllmbo:refused"
"""Those of them that judging turned down, as the advisor is told them: [{"params", "reason"}]."""
PARAMS = "sllmbo:params"
"""The configuration that was decided on, before the objective asked for it."""
ASKED = "sllmbo:asked"
"""Of advice that was asked for ahead: {"turn" that it was meant for, "missed": trials that have ended since}."""
BATCH = "sllmbo:batch"
"""The rest of an opening batch, for the turns that follow."""
MIXING = "sllmbo:mixing"
"""The advisor's share of this turn, and the evidence that it follows from."""
MEMO = "sllmbo:memo"
"""What the advisor wrote down for itself with this trial: {"text", "after"}."""
EDITS = "sllmbo:edits"
"""Edits of the search space that hold from the next trial on, and those that are undone from this trial on."""
FAILURE = "sllmbo:failure"
"""Class and message of the error that made the trial fail."""
DETAILS = "sllmbo:details"
"""What else the objective measured: {"train_value", "std"}."""
FOLDS = "sllmbo:folds"
"""That the steps at which the trial reported are folds, so that its values are no learning curve."""

_RATIONALE_LENGTH = 1000
_TEXT_LENGTH = 200
_MEMO_LENGTH = 4000
_REASON_LENGTH = 300
_MOST = 20
"""How many repairs and reasons are kept: storages hold attributes of some thousand characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedEdit:
    """An edit of the search space as it was applied, or undone."""

    parameter: str
    low: float
    high: float
    old_low: float
    old_high: float
    reason: str
    source: str
    """Who asked for it."""
    undoes: bool = False
    """Whether it takes an earlier edit back, which did not pay."""

    def __str__(self) -> str:
        what = "back to" if self.undoes else "to"
        old = f"{self.old_low:.4g} .. {self.old_high:.4g}"
        who = "" if self.undoes else f"{self.source}: "
        return f"{self.parameter} from {old} {what} {self.low:.4g} .. {self.high:.4g} ({who}{self.reason})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Who serves a trial, with which values, and why. Params None: the partner samples."""

    source: str
    params: Mapping[str, Any] | None = None
    rationale: str = ""
    origin: str = ""
    prompt_version: str = ""
    usage: Usage | None = None
    repairs: tuple[Repair, ...] = ()
    fallback: Mapping[str, str] | None = None
    turned_down: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()
    asked: Mapping[str, int] | None = None
    batch: tuple[Advice, ...] = ()
    memo: Memo | None = None
    edits: tuple[AppliedEdit, ...] = ()

    def to_attrs(self) -> dict[str, Any]:
        """
        Return the user attributes that record the decision; what is empty is left out.

        The source comes last: where it is written, all is.
        """
        attrs: dict[str, Any] = {
            PARAMS: dict(self.params) if self.params is not None else None,
            RATIONALE: _cut(self.rationale, _RATIONALE_LENGTH),
            ORIGIN: _cut(self.origin),
            PROMPT_VERSION: _cut(self.prompt_version),
            USAGE: self.usage.to_json() if self.usage is not None and self.usage != Usage() else None,
            REPAIRS: [_repair_to_json(repair) for repair in self.repairs[:_MOST]],
            FALLBACK: dict(self.fallback) if self.fallback else None,
            TURNED_DOWN: [_cut(reason, _REASON_LENGTH) for reason in self.turned_down[:_MOST]],
            REFUSED: [{"params": dict(r.params), "reason": r.reason} for r in self.refused],
            ASKED: dict(self.asked) if self.asked else None,
            BATCH: [_advice_to_json(advice) for advice in self.batch],
            MEMO: {"text": self.memo.text[:_MEMO_LENGTH], "after": self.memo.after} if self.memo else None,
            EDITS: [asdict(edit) for edit in self.edits],
            SOURCE: _cut(self.source) or "advisor",
        }
        return {key: value for key, value in attrs.items() if value not in (None, "", [], {})}

    @classmethod
    def from_attrs(cls, attrs: Mapping[str, Any]) -> Decision | None:
        """Return the decision that *attrs* record, or None if they record none."""
        if SOURCE not in attrs:
            return None
        usage = attrs.get(USAGE)
        return cls(
            source=attrs[SOURCE],
            params=attrs.get(PARAMS),
            rationale=attrs.get(RATIONALE, ""),
            origin=attrs.get(ORIGIN, ""),
            prompt_version=attrs.get(PROMPT_VERSION, ""),
            usage=Usage.from_json(usage) if usage else None,
            repairs=tuple(Repair(**repair) for repair in attrs.get(REPAIRS, ())),
            fallback=attrs.get(FALLBACK),
            turned_down=tuple(attrs.get(TURNED_DOWN, ())),
            refused=refused_of(attrs),
            asked=attrs.get(ASKED),
            batch=batch_of(attrs),
            memo=Memo(**attrs[MEMO]) if MEMO in attrs else None,
            edits=edits_of(attrs),
        )


def write(study: Study, trial: FrozenTrial, decision: Decision) -> None:
    """Write *decision* on *trial*."""
    for key, value in decision.to_attrs().items():
        write_attr(study, trial, key, value)


def write_attr(study: Study, trial: FrozenTrial, key: str, value: Any) -> None:
    """Write a user attribute on *trial*."""
    study._storage.set_trial_user_attr(trial._trial_id, key, value)


def edits_of(attrs: Mapping[str, Any]) -> tuple[AppliedEdit, ...]:
    """Return the edits of the search space that *attrs* record."""
    return tuple(AppliedEdit(**edit) for edit in attrs.get(EDITS, ()))


def refused_of(attrs: Mapping[str, Any]) -> tuple[Refusal, ...]:
    """Return what judging turned down, as *attrs* record it."""
    return tuple(Refusal(**refusal) for refusal in attrs.get(REFUSED, ()))


def batch_of(attrs: Mapping[str, Any]) -> tuple[Advice, ...]:
    """Return the opening batch that *attrs* record."""
    return tuple(Advice(**advice) for advice in attrs.get(BATCH, ()))


def _advice_to_json(advice: Advice) -> dict[str, Any]:
    return {
        "params": dict(advice.params),
        "rationale": _cut(advice.rationale, _RATIONALE_LENGTH),
        "source": _cut(advice.source),
        "origin": _cut(advice.origin),
        "prompt_version": _cut(advice.prompt_version),
    }


def _repair_to_json(repair: Repair) -> dict[str, object]:
    return {**repair.to_json(), "parameter": _cut(repair.parameter)}


def _cut(text: object, length: int = _TEXT_LENGTH) -> str:
    """Return *text*, which may come from anybody's advisor, as text of at most *length* characters."""
    return "" if text is None else str(text)[:length]
