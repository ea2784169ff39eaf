"""
The meter: asked before each request to a chat model, told afterwards what it has cost.

Whoever keeps a budget installs one around the questions that are asked on its behalf. The gateway does not know what it
counts against.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from sllmbo.usage import Usage


@dataclass(slots=True)
class Call:
    """A request that is under way."""

    bound: Usage
    """The most that it may cost."""
    usage: Usage | None = None
    """What it has cost; None if that was not seen."""
    chat_model: str = ""
    """Who answered."""


class Meter(Protocol):
    """Counts requests."""

    @property
    def limited(self) -> bool:
        """Whether a budget is in force, so that each request must have a bound."""
        ...

    def call(self, bound: Usage, chat_model: str) -> AbstractContextManager[Call]:
        """
        Enter one request of at most *bound* to *chat_model*, and settle it at the end.

        Raises:
            BudgetExceeded: If it might pass the budget. It must then not be sent.
        """
        ...


_METER: ContextVar[Meter | None] = ContextVar("sllmbo_meter", default=None)


@contextmanager
def metered(meter: Meter) -> Iterator[None]:
    """Let *meter* count the requests that this thread makes meanwhile."""
    token = _METER.set(meter)
    try:
        yield
    finally:
        _METER.reset(token)


def is_limited() -> bool:
    """Tell whether the meter of this thread, if there is one, keeps a budget."""
    meter = _METER.get()
    return meter is not None and meter.limited


@contextmanager
def counted(bound: Usage, chat_model: str) -> Iterator[Call]:
    """Enter a request into the meter of this thread, if there is one."""
    meter = _METER.get()
    if meter is None:
        yield Call(bound)
        return
    with meter.call(bound, chat_model) as call:
        yield call
