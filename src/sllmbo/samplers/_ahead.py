"""
Questions that are asked ahead of their turn: in the background, while trials run.
"""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Literal

from optuna.storages import BaseStorage
from optuna.study import Study

from sllmbo.advisors import Advice, AdviceRequest
from sllmbo.history import History

LOOKAHEAD = 2
"""How many coming turns are looked at. One is enough where an answer takes less than a trial; two also serve one that
takes as long as two, and a turn that goes to the advisor where, by one trial less, it was not expected to."""

FRESH = 4
"""Advice is stale once more trials have ended than these, those not counted of which the question told, be it as
running. The last place of an opening of five is tried with as many trials unseen."""

LATE = "Late"
"""The kind of a fallback in a turn of the advisor's for which no answer was ready."""
STALE = "Stale"
"""The kind of a fallback in a turn of the advisor's for which only a stale answer was ready."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question under way, or answered."""

    request: AdviceRequest
    answer: Future[Sequence[Advice]] = field(default_factory=Future)
    process: int = field(default_factory=os.getpid)

    def result(self, _: AdviceRequest) -> Sequence[Advice]:
        """Return the answer, or raise the error, whatever would be asked now."""
        return self.answer.result()

    def record(self, now: History) -> dict[str, int]:
        """Return for which turn it was asked, and how many trials have ended since."""
        return {"turn": self.request.turn, "missed": _ended(now) - _ended(self.request.history)}

    def is_stale(self, now: History) -> bool:
        """Tell whether too much has happened since for the answer to be used. An error is never stale."""
        return self.answer.exception() is None and _ended(now) - len(self.request.history) > FRESH


class Ahead:
    """
    The questions that this process has asked ahead, at most one for each study.

    Their threads are daemons and end with the answer: no study and no exit waits for them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._questions: dict[tuple[BaseStorage, int], Question] = {}

    def of(self, study: Study) -> Question | None:
        """Return the question of *study* that was asked ahead and not taken yet."""
        question = self._questions.get((study._storage, study._study_id))
        return question if question is not None and question.process == os.getpid() else None  # no thread was forked

    def take(self, study: Study, purpose: Literal["opening", "next"]) -> Question | None:
        """
        Return the question of *study* for *purpose* if it is answered, and forget it.

        An opening is waited for; where another process was faster with one, the answer will do for a later turn.
        """
        question = self.of(study)
        if question is not None and purpose == "opening" == question.request.purpose:
            wait([question.answer])
        with self._lock:
            question = self.of(study)
            if question is None or not question.answer.done():
                return None
            if purpose == "opening" != question.request.purpose:
                return None
            return self._questions.pop((study._storage, study._study_id))

    def ask(self, study: Study, request: AdviceRequest, suggest: Callable[[], Sequence[Advice]]) -> None:
        """Ask *request* by *suggest* in the background, unless there is a question of *study*."""
        with self._lock:
            if self.of(study) is not None:
                return
            question = self._questions[study._storage, study._study_id] = Question(request)

        def run() -> None:
            try:
                advice = suggest()
            except BaseException as error:  # noqa: BLE001  # whoever takes the answer sees it
                question.answer.set_exception(error)
            else:
                question.answer.set_result(advice)

        context = contextvars.copy_context()  # where tracing keeps its spans
        threading.Thread(target=context.run, args=(run,), name="sllmbo-ahead", daemon=True).start()


def _ended(history: History) -> int:
    return sum(observation.state != "running" for observation in history)
