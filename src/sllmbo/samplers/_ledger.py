"""
The ledger of a study: every request to a chat model, what it has cost, and the budget that they keep to.

One attribute of the study per request, so that threads and processes on one storage share it without overwriting each
other. A request is entered with the most that it may cost before it is sent. Whoever enters reads all entries
afterwards: of several that enter at once and do not fit together, each sees the others, and none is sent too many.
The most is an estimate: input is counted at 2 bytes a token, the reply at its token limit.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from optuna.study import Study

from sllmbo.budget import Budget
from sllmbo.errors import BudgetExceeded
from sllmbo.llm.meter import Call
from sllmbo.usage import Usage

ENTRY = "sllmbo:call:"
"""System attributes of a study: {"purpose", "turn", "state", "chat_model", "usage"}."""


@dataclass(frozen=True, slots=True)
class StudyMeter:
    """Counts the requests that are made on behalf of a study."""

    study: Study
    budget: Budget | None
    """What all requests of the study may cost."""
    purpose: str
    """What is asked: "design", "opening" or "next"."""
    turn: int | None
    """The turn that it is asked for, if any."""

    @property
    def limited(self) -> bool:
        """Whether calls, tokens or money are limited."""
        return self.budget is not None and self.budget.limits_advice

    @contextmanager
    def call(self, bound: Usage, chat_model: str) -> Iterator[Call]:
        """
        Enter one request of at most *bound* to *chat_model*, and settle it at the end.

        Raises:
            BudgetExceeded: If it might pass the budget.
        """
        call = Call(bound, chat_model=chat_model)
        bound = replace(bound, unseen=bound.calls)
        key = f"{ENTRY}{uuid.uuid4()}"
        if self.limited:
            assert self.budget is not None
            reason = _passed(self.budget, bound, spent(self.study) + bound)
            if reason:  # known before anything is written
                raise BudgetExceeded(reason)
            self._write(key, call, "open", bound)
            reason = _passed(self.budget, bound, spent(self.study))
            if reason:
                self._write(key, call, "refused", Usage())
                raise BudgetExceeded(reason)
        begun = time.monotonic()
        try:
            yield call
        finally:
            # What was not seen may have been answered and charged all the same.
            usage = call.usage if call.usage is not None else bound
            self._write(key, call, "settled", replace(usage, seconds=time.monotonic() - begun))

    def _write(self, key: str, call: Call, state: str, usage: Usage) -> None:
        entry = {
            "purpose": self.purpose,
            "turn": self.turn,
            "state": state,
            "chat_model": call.chat_model,
            "usage": usage.to_json(),
        }
        self.study._storage.set_study_system_attr(self.study._study_id, key, entry)


def entries(study: Study) -> list[dict[str, Any]]:
    """Return the entries of the ledger of *study*."""
    attrs = study._storage.get_study_system_attrs(study._study_id)
    return [attrs[key] for key in sorted(attrs) if key.startswith(ENTRY)]


def spent(study: Study) -> Usage:
    """Return what all requests of *study* have cost, those under way at their bound."""
    return sum((Usage.from_json(entry["usage"]) for entry in entries(study)), Usage())


def _passed(budget: Budget, bound: Usage, total: Usage) -> str:
    """Return why a request of at most *bound*, which *total* contains, may pass *budget*; empty if it cannot."""
    if budget.calls is not None and total.calls > budget.calls:
        return f"all {budget.calls} calls of the budget are spent or under way"
    if budget.tokens is not None and total.tokens > budget.tokens:
        return (
            f"{total.tokens - bound.tokens} of {budget.tokens} tokens are spent or under way, and a request may take "
            f"{bound.tokens}"
        )
    if budget.cost_usd is None:
        return ""
    if bound.cost_usd is None or total.cost_usd is None:
        return f"the chat model's price is unknown, so a budget of {budget.cost_usd} USD cannot be kept"
    if total.cost_usd > budget.cost_usd:
        return (
            f"{total.cost_usd - bound.cost_usd:.4f} of {budget.cost_usd} USD are spent or under way, and a request may "
            f"cost {bound.cost_usd:.4f}"
        )
    return ""
