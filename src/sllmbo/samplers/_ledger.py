"""
The ledger of a study: every question to an advisor, what it has cost, and a budget that is never passed.

One attribute of the study per question, so that threads and processes on one storage share it without overwriting each
other. A question is entered with the most that it may cost before it is asked. Whoever enters reads all entries
afterwards: of several that enter at once and do not fit together, each sees the others and none is asked too many.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from optuna.study import Study

from sllmbo.budget import Budget
from sllmbo.errors import AdviceError, BudgetExceeded
from sllmbo.usage import Usage

ENTRY = "sllmbo:question:"
"""System attributes of a study: {"purpose", "turn", "state", "usage", "origin", "prompt_version"}."""


@dataclass(slots=True)
class Question:
    """A question that may be asked; told what it has cost once it is answered."""

    bound: Usage
    usage: Usage | None = None
    origin: str = ""
    prompt_version: str = ""

    def settle(self, usage: Usage | None, origin: str, prompt_version: str) -> None:
        """Note what it has cost, who answered, and which words were sent."""
        self.usage, self.origin, self.prompt_version = usage, origin, prompt_version


@contextmanager
def entered(study: Study, budget: Budget | None, *, bound: Usage, purpose: str, turn: int | None) -> Iterator[Question]:
    """
    Enter a question into the ledger of *study*, and settle it afterwards.

    Args:
        study: The study on whose behalf it is asked.
        budget: What its questions may cost in all.
        bound: The most that this question may cost.
        purpose: "design", "opening" or "next".
        turn: The turn that it is asked for, if any.

    Raises:
        BudgetExceeded: If it might pass the budget. It is then not asked.
    """
    question = Question(bound)
    entry = {"purpose": purpose, "turn": turn, "state": "open", "usage": bound.to_json()}
    key = f"{ENTRY}{uuid.uuid4()}"
    limited = budget is not None and budget.limits_advice
    if limited:
        assert budget is not None
        _write(study, key, entry)
        reason = _passed(budget, bound, spent(study))
        if reason:
            _write(study, key, {**entry, "state": "refused", "usage": Usage().to_json()})
            raise BudgetExceeded(reason)
    try:
        yield question
    except AdviceError as error:
        question.usage = error.usage
        raise
    finally:
        usage = question.usage if question.usage is not None else Usage()
        if limited and usage.calls == 0 < bound.calls:  # it may have been charged without our seeing an answer
            cost = bound.cost_usd / bound.calls if bound.cost_usd is not None else None
            usage = usage + Usage(calls=1, input_tokens=bound.input_tokens // bound.calls, cost_usd=cost)
        if limited or usage != Usage():
            said = {"origin": question.origin, "prompt_version": question.prompt_version}
            _write(study, key, {**entry, **said, "state": "settled", "usage": usage.to_json()})


def entries(study: Study) -> list[dict[str, Any]]:
    """Return the entries of the ledger of *study*."""
    attrs = study._storage.get_study_system_attrs(study._study_id)
    return [attrs[key] for key in sorted(attrs) if key.startswith(ENTRY)]


def spent(study: Study) -> Usage:
    """Return what all questions of *study* have cost, open ones at their bound."""
    return sum((Usage.from_json(entry["usage"]) for entry in entries(study)), Usage())


def _write(study: Study, key: str, entry: dict[str, Any]) -> None:
    study._storage.set_study_system_attr(study._study_id, key, entry)


def _passed(budget: Budget, bound: Usage, total: Usage) -> str:
    """Return why a question of at most *bound*, which *total* contains, may pass *budget*; empty if it cannot."""
    if budget.calls is not None and total.calls > budget.calls:
        before = total.calls - bound.calls
        return f"{before} of {budget.calls} calls are spent or under way, and this question may take {bound.calls}"
    if budget.tokens is not None and total.tokens > budget.tokens:
        before = total.tokens - bound.tokens
        return f"{before} of {budget.tokens} tokens are spent or under way, and this question may take {bound.tokens}"
    if budget.cost_usd is None or bound.calls == 0:
        return ""
    if bound.cost_usd is None or total.cost_usd is None:
        return f"the chat model's price is unknown, so a budget of {budget.cost_usd} USD cannot be kept"
    if total.cost_usd > budget.cost_usd:
        before_usd = total.cost_usd - bound.cost_usd
        return (
            f"{before_usd:.4f} of {budget.cost_usd} USD are spent or under way, and this question may take "
            f"{bound.cost_usd:.4f}"
        )
    return ""
