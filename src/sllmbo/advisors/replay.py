"""
Advice written down and read back: `RecordingAdvisor` wraps an advisor, `ReplayAdvisor` answers from the file.

What is recorded is advice, not HTTP: a recording is independent of the provider, covers advisors without a chat model,
and holds no key. `read_recording` returns what a file holds, for whoever wants to look at it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sllmbo.advisors import _recording
from sllmbo.advisors._recording import first_difference
from sllmbo.advisors.advisor import Advice, AdviceRequest, Advisor, SpaceDesign
from sllmbo.errors import AdviceError, ConfigError, ReplayMismatch, SllmboError, SpaceError
from sllmbo.space import SearchSpace
from sllmbo.task import Task
from sllmbo.usage import Usage

__all__ = [
    "ELSEWHERE",
    "RecordedQuestion",
    "Recording",
    "RecordingAdvisor",
    "ReplayAdvisor",
    "Run",
    "first_difference",
    "read_recording",
]

ELSEWHERE = " (recorded for another question)"
"""Ends the origin of advice that a lenient replay gives although the question differs."""


class RecordingAdvisor:
    """
    Ask another advisor, and append each question with its answer to a file.

    Safe from several threads. A line is handed to the operating system before the answer is returned, so that only the
    last one can be lost to a kill. An existing file is continued.

    Args:
        advisor: Who is asked.
        path: The recording, as JSON lines.

    Raises:
        ConfigError: If the file cannot be written, or holds something else.
    """

    def __init__(self, advisor: Advisor, path: str | Path) -> None:
        self.advisor = advisor
        self.path = Path(path)
        self._written: set[str] = set()
        self._lock = threading.Lock()
        try:
            with self.path.open("ab+") as file:
                file.seek(0)
                begin = file.read(len(_recording.BEGIN))
        except OSError as error:
            raise _recording.unwritable(self.path, error) from error
        if begin and begin != _recording.BEGIN:
            raise ConfigError(
                f"The file {str(self.path)!r} is not a recording, which would be added to it; name a new file."
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.advisor, self.path)  # a copy has a lock of its own

    def design_space(self, task: Task) -> SpaceDesign:
        """Return the wrapped advisor's search space for *task*, and record it."""
        question, start = _recording.space_question(task), time.monotonic()
        try:
            design = self.advisor.design_space(task)
        except Exception as error:
            self._record_error(question, start, error)
            raise
        self._record(question, start, {"design": _recording.design_to_json(design)})
        return design

    def suggest(self, request: AdviceRequest) -> Sequence[Advice]:
        """Return the wrapped advisor's advice, and record it."""
        question, start = _recording.advice_question(request), time.monotonic()
        try:
            advice = tuple(self.advisor.suggest(request))
        except Exception as error:
            self._record_error(question, start, error)
            raise
        self._record(question, start, {"advice": [_recording.advice_to_json(item) for item in advice]})
        return advice

    def begin_run(self, settings: Mapping[str, Any]) -> None:
        """Record what a run is told to do, as JSON; the questions and trials that follow are its own."""
        self._append({"settings": settings})

    def add_trial(self, trial: Mapping[str, Any]) -> None:
        """Record a finished trial, as JSON."""
        self._append({"trial": trial})

    def _record_error(self, question: dict[str, Any], start: float, error: Exception) -> None:
        if isinstance(error, AdviceError) or not isinstance(error, SllmboError):
            self._record(question, start, {"error": _recording.error_to_json(error)})
        # A mistake in the set-up is no answer.

    def _record(self, question: dict[str, Any], start: float, answer: dict[str, Any]) -> None:
        seconds = round(time.monotonic() - start, 3)
        named, parts = _recording.split(question)
        with self._lock:
            new = {ref: part for ref, part in parts.items() if ref not in self._written}
            line = {"hash": _recording.digest(named), "question": named, "parts": new, "seconds": seconds, **answer}
            _recording.append(self.path, line)
            self._written.update(new)

    def _append(self, line: Mapping[str, Any]) -> None:
        with self._lock:
            _recording.append(self.path, line)


class ReplayAdvisor:
    """
    Answer from a recording, without network or key.

    Advice comes back as it was given, with its source, origin and usage; recorded errors are raised again. Where the
    same question was recorded more than once, the last answer counts: an earlier one was lost with its worker.

    Args:
        path: What a `RecordingAdvisor` wrote. A last line that was cut short is left out.
        lenient: Whether a question that differs from the recorded one of the same turn is answered all the same. Such
            advice says so at the end of its origin. Otherwise every question that is not in the recording is refused.

    Raises:
        ConfigError: If the file cannot be read or is no recording.
    """

    def __init__(self, path: str | Path, *, lenient: bool = False) -> None:
        self.path = Path(path)
        self.lenient = lenient
        self._lines: dict[str, dict[str, Any]] = {}
        self._parts: dict[str, Any] = {}
        for line in _recording.read(self.path):
            if "question" in line:
                self._parts.update(line["parts"])
                self._lines.pop(line["hash"], None)
                self._lines[line["hash"]] = line

    def design_space(self, task: Task) -> SpaceDesign:
        """
        Return the search space that was recorded for *task*.

        Raises:
            AdviceError: If an error was recorded: the same class with the same message and usage. In a lenient replay
                also if no search space was recorded.
            ReplayMismatch: If the recording has no such question.
        """
        question = _recording.space_question(task)
        line = self._recorded(question)
        if line is not None:
            return _recording.design_from_json(_answer(line)["design"])
        recorded = self._at(_recording.place(question))
        if not self.lenient:
            raise ReplayMismatch(self._mismatch(question, recorded))
        if not recorded:
            raise AdviceError(self._absence(question))
        design = _recording.design_from_json(_answer(recorded[-1])["design"])
        return replace(design, origin=f"{design.origin}{ELSEWHERE}")

    def suggest(self, request: AdviceRequest) -> Sequence[Advice]:
        """
        Return the advice that was recorded for *request*.

        Raises:
            AdviceError: If an error was recorded: the same class with the same message and usage. In a lenient replay
                also if nothing was recorded for the turn.
            ReplayMismatch: If the recording has no such question.
        """
        question = _recording.advice_question(request)
        line = self._recorded(question)
        if line is not None:
            return tuple(_recording.advice_from_json(item) for item in _answer(line)["advice"])
        if not self.lenient:
            raise ReplayMismatch(self._mismatch(question, self._at(_recording.place(question))))
        advice = self._opening(request) if request.purpose == "opening" else self._next(request)
        if not advice:
            raise AdviceError(self._absence(question))
        return tuple(replace(item, origin=f"{item.origin}{ELSEWHERE}") for item in advice[: request.n])

    def _recorded(self, question: dict[str, Any]) -> dict[str, Any] | None:
        return self._lines.get(_recording.digest(_recording.split(question)[0]))

    def _at(self, place: tuple[str, int | None]) -> list[dict[str, Any]]:
        return [line for line in self._lines.values() if _recording.place(line["question"]) == place]

    def _next(self, request: AdviceRequest) -> list[Advice]:
        recorded = self._at((request.purpose, request.turn))
        return [_recording.advice_from_json(item) for item in _answer(recorded[-1])["advice"]] if recorded else []

    def _opening(self, request: AdviceRequest) -> list[Advice]:
        """
        Return the advice for the turns from the request's on, of all recorded openings.

        An opening's answer serves its turn and those after it. Of parallel workers any may have asked, for some.
        """
        for line in self._at(("opening", request.turn))[-1:]:
            _answer(line)
        by_turn: dict[int, dict[str, Any]] = {}
        for line in self._lines.values():
            purpose, turn = _recording.place(line["question"])
            if purpose == "opening" and turn is not None:
                by_turn |= {turn + position: item for position, item in enumerate(line.get("advice", ()))}
        wanted = range(request.turn, request.turn + request.n)
        return [_recording.advice_from_json(by_turn[turn]) for turn in wanted if turn in by_turn]

    def _mismatch(self, question: dict[str, Any], recorded: list[dict[str, Any]]) -> str:
        if not recorded:
            return self._absence(question)
        then = _recording.joined(recorded[-1]["question"], self._parts)
        clock = " (predict_ms is measured by a clock, and may differ)" * ("predict_ms" in str(question))
        return (
            f"{_title(question)} differs from the recording {str(self.path)!r}: "
            f"{first_difference(question, then)}; replay with the data, seed and settings of the recording{clock}."
        )

    def _absence(self, question: dict[str, Any]) -> str:
        return (
            f"{_title(question)} is not in the recording {str(self.path)!r}, which holds {len(self._lines)} questions; "
            "record the study again or for longer."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedQuestion:
    """One question of a recording, and what came of it: advice, the design of a space, or an error."""

    purpose: str
    """"space", "opening" or "next"."""
    turn: int | None
    """None for a space."""
    question: Mapping[str, Any]
    """All that was told: task card, search space, trials, ..."""
    advice: tuple[Advice, ...] = ()
    design: SpaceDesign | None = None
    error: AdviceError | None = None
    seconds: float = 0.0
    """Wall time from the question to the answer."""

    @property
    def usage(self) -> Usage:
        """What the question has cost."""
        one = self.error or self.design
        return one.usage if one is not None else sum((advice.usage for advice in self.advice), Usage())

    @property
    def repairs(self) -> int | None:
        """Values of the advice that its search space changes; None where there is nothing to repair."""
        entries = self.question.get("space")
        if not self.advice or not isinstance(entries, list):  # lost where the file is damaged
            return None
        space = _recording.space_of(entries)
        return sum(_count_repairs(space, advice) for advice in self.advice)

    def row(self) -> dict[str, Any]:
        """Return the question as a row of a table."""
        answers: Sequence[Advice | SpaceDesign] = self.advice or ([self.design] if self.design is not None else [])
        usage = self.usage
        return {
            "turn": self.turn,
            "purpose": self.purpose,
            "chat_model": answers[0].origin if answers and answers[0].source == "llm" else "",
            "source": answers[0].source if answers else "",
            "prompt": answers[0].prompt_version if answers else "",
            "candidates": len(answers),
            "repairs": self.repairs,
            "calls": usage.calls,
            "tokens": usage.input_tokens + usage.output_tokens,
            "cost_usd": usage.cost_usd,
            "seconds": self.seconds,
            "error": f"{type(self.error).__name__}: {self.error}" if self.error is not None else "",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of `sllmbo tune --record`: what it was told to do, and the trials that came of it."""

    settings: Mapping[str, Any]
    trials: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a recording holds, in the order of the file."""

    questions: tuple[RecordedQuestion, ...]
    runs: tuple[Run, ...]
    """Empty where the recording was not made by `sllmbo tune`."""


def read_recording(path: str | Path) -> Recording:
    """
    Return what the recording in a file holds.

    Raises:
        ConfigError: If the file cannot be read or is no recording.
    """
    questions: list[RecordedQuestion] = []
    runs: list[Run] = []
    parts: dict[str, Any] = {}
    for line in _recording.read(Path(path)):
        if "settings" in line:
            runs.append(Run(settings=line["settings"]))
        elif "trial" in line and runs:
            runs[-1] = replace(runs[-1], trials=(*runs[-1].trials, line["trial"]))
        elif "question" in line:
            parts.update(line["parts"])
            questions.append(_question_of(line, parts))
    return Recording(questions=tuple(questions), runs=tuple(runs))


def _question_of(line: Mapping[str, Any], parts: Mapping[str, Any]) -> RecordedQuestion:
    purpose, turn = _recording.place(line["question"])
    return RecordedQuestion(
        purpose=purpose,
        turn=turn,
        question=_recording.joined(line["question"], parts),
        advice=tuple(_recording.advice_from_json(item) for item in line.get("advice", ())),
        design=_read(_recording.design_from_json, line.get("design")),
        error=_read(_recording.error_from_json, line.get("error")),
        seconds=line.get("seconds", 0.0),
    )


def _read(reader: Callable[[Mapping[str, Any]], Any], entry: Mapping[str, Any] | None) -> Any:
    return None if entry is None else reader(entry)


def _count_repairs(space: SearchSpace, advice: Advice) -> int:
    try:
        return len(space.repair(dict(advice.params))[1])
    except (SpaceError, TypeError, ValueError):
        return 1  # the whole configuration was unusable


def _answer(line: dict[str, Any]) -> dict[str, Any]:
    if "error" in line:
        raise _recording.error_from_json(line["error"])
    return line


def _title(question: Mapping[str, Any]) -> str:
    purpose, turn = _recording.place(question)
    return "The search space" if purpose == "space" else f"Turn {turn} ({purpose})"
