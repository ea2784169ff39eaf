"""
Advice written down and read back: `RecordingAdvisor` wraps an advisor, `ReplayAdvisor` answers from the file.

What is recorded is advice, not HTTP: a recording is independent of the provider, covers advisors without a chat model,
and holds no key. The file has one JSON object per line and question:

    {"schema": 1, "hash": "...", "question": {"purpose": "next", "turn": 7, "seed": 0, "n": 1, ...}, "parts": {...},
     "advice": [{...}]}                     or "design": {...}, or "error": {...}, instead of "advice"

Task card, search space and trials are the parts of a question. Each is written once, when it is first met, and named by
its hash afterwards, so that a recording grows with the study and not with its square.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from sllmbo.advisors.advisor import Advice, AdviceRequest, Advisor, SpaceDesign
from sllmbo.errors import (
    AdviceError,
    AuthenticationFailed,
    ConfigError,
    ProviderError,
    RateLimited,
    Refused,
    ReplayMismatch,
    ReplyError,
    SllmboError,
    Unavailable,
)
from sllmbo.history import Observation
from sllmbo.space import SearchSpace
from sllmbo.task import Task
from sllmbo.usage import Usage

_SCHEMA = 1
_MISSING = "nothing"
_ERRORS: dict[str, type[AdviceError]] = {
    cls.__name__: cls
    for cls in (AdviceError, ReplyError, ProviderError, AuthenticationFailed, RateLimited, Refused, Unavailable)
}


class RecordingAdvisor:
    """
    Ask another advisor, and append each question with its answer to a file.

    Safe from several threads. A line is handed to the operating system before the answer is returned, so that only the
    last one can be lost to a kill. An existing file is continued.

    Args:
        advisor: Who is asked.
        path: The recording, as JSON lines.

    Raises:
        ConfigError: If the file cannot be written.
    """

    def __init__(self, advisor: Advisor, path: str | Path) -> None:
        self.advisor = advisor
        self.path = Path(path)
        self._written: set[str] = set()
        self._lock = threading.Lock()
        try:
            self.path.open("ab").close()
        except OSError as error:
            raise ConfigError(
                f"The recording {str(self.path)!r} cannot be written: {error.strerror}; give a file in a folder that "
                "exists."
            ) from error

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.advisor, self.path)  # a copy has a lock of its own

    def design_space(self, task: Task) -> SpaceDesign:
        """Return the wrapped advisor's search space for *task*, and record it."""
        question = _space_question(task)
        try:
            design = self.advisor.design_space(task)
        except Exception as error:
            self._record_error(question, error)
            raise
        self._record(question, {"design": _to_json(design)})
        return design

    def suggest(self, request: AdviceRequest) -> Sequence[Advice]:
        """Return the wrapped advisor's advice, and record it."""
        question = _question(request)
        try:
            advice = tuple(self.advisor.suggest(request))
        except Exception as error:
            self._record_error(question, error)
            raise
        self._record(question, {"advice": [_to_json(item) for item in advice]})
        return advice

    def _record_error(self, question: dict[str, Any], error: Exception) -> None:
        if isinstance(error, SllmboError) and not isinstance(error, AdviceError):
            return  # a mistake in the set-up is no answer
        known = next((cls.__name__ for cls in type(error).__mro__ if _ERRORS.get(cls.__name__) is cls), None)
        message = str(error) if known else f"{type(error).__name__}: {error}"
        usage = error.usage if isinstance(error, AdviceError) else Usage()
        self._record(question, {"error": {"class": known or "AdviceError", "message": message, "usage": asdict(usage)}})

    def _record(self, question: dict[str, Any], answer: dict[str, Any]) -> None:
        named, parts = _split(question)
        with self._lock:
            new = {ref: part for ref, part in parts.items() if ref not in self._written}
            line = {"schema": _SCHEMA, "hash": _hash(named), "question": named, "parts": new, **answer}
            _append(self.path, json.dumps(line, default=_plain))
            self._written.update(new)


class ReplayAdvisor:
    """
    Answer from a recording, without network or key; refuse every question that is not in it.

    Advice comes back as it was given, with its source, origin and usage; recorded errors are raised again. Where the
    same question was recorded more than once, the last answer counts: an earlier one was lost with its worker.

    Args:
        path: What a `RecordingAdvisor` wrote. A last line that was cut short is left out.

    Raises:
        ConfigError: If the file cannot be read or is no recording.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lines: dict[str, dict[str, Any]] = {}
        self._parts: dict[str, Any] = {}
        for line in _read(self.path):
            self._parts.update(line["parts"])
            self._lines.pop(line["hash"], None)
            self._lines[line["hash"]] = line

    def design_space(self, task: Task) -> SpaceDesign:
        """
        Return the search space that was recorded for *task*.

        Raises:
            AdviceError: If an error was recorded: the same class with the same message and usage.
            ReplayMismatch: If the recording has no such question.
        """
        design: Mapping[str, Any] = self._answer(_space_question(task))["design"]
        return SpaceDesign(
            **{**design, "space": SearchSpace.from_json(design["space"]), "usage": Usage(**design["usage"])}
        )

    def suggest(self, request: AdviceRequest) -> Sequence[Advice]:
        """
        Return the advice that was recorded for *request*.

        Raises:
            AdviceError: If an error was recorded: the same class with the same message and usage.
            ReplayMismatch: If the recording has no such question.
        """
        answer = self._answer(_question(request))
        return tuple(Advice(**{**item, "usage": Usage(**item["usage"])}) for item in answer["advice"])

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        line = self._lines.get(_hash(_split(question)[0]))
        if line is None:
            raise ReplayMismatch(self._mismatch(question))
        if "error" in line:
            error = line["error"]
            raise _ERRORS[error["class"]](error["message"], usage=Usage(**error["usage"]))
        return line

    def _mismatch(self, question: dict[str, Any]) -> str:
        place = _place(question)
        title = "The search space" if place[0] == "space" else f"Turn {place[1]} ({place[0]})"
        recorded = [line["question"] for line in self._lines.values() if _place(line["question"]) == place]
        if not recorded:
            return (
                f"{title} is not in the recording {str(self.path)!r}, which holds {len(self._lines)} questions; "
                "record the study again or for longer."
            )
        path, now, then = _first_difference(_as_read(question), self._joined(recorded[-1]))
        return (
            f"{title} differs from the recording {str(self.path)!r}: {path} is {now}, recorded was {then}; "
            "replay with the data, seed and settings of the recording."
        )

    def _joined(self, named: dict[str, Any]) -> dict[str, Any]:
        def part(ref: str) -> Any:
            return self._parts.get(ref, _MISSING)

        whole = {**named, "task": part(named["task"])}
        if "space" in named:
            whole |= {"space": part(named["space"]), "history": [part(ref) for ref in named["history"]]}
        return whole


def _space_question(task: Task) -> dict[str, Any]:
    return {"purpose": "space", "task": task.to_json()}


def _question(request: AdviceRequest) -> dict[str, Any]:
    return {
        "purpose": request.purpose,
        "turn": request.turn,
        "seed": request.seed,
        "n": request.n,
        "direction": request.history.direction,
        "task": request.task.to_json(),
        # The order of parameters is part of a space, and of what is told.
        "space": [{"name": name, **entry} for name, entry in request.space.to_json().items()],
        "history": [_told(observation) for observation in request.history],
    }


def _told(observation: Observation) -> dict[str, Any]:
    told = {item.name: getattr(observation, item.name) for item in fields(observation)}
    # How long a trial took differs from run to run.
    told["details"] = {name: value for name, value in observation.details.items() if name != "seconds"}
    return told | {"params": dict(observation.params)}


def _place(question: Mapping[str, Any]) -> tuple[str, int | None]:
    return question["purpose"], question.get("turn")


def _split(question: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Replace the parts of *question* by their hashes; return it and the parts by hash."""
    parts: dict[str, Any] = {}

    def name(part: Any) -> str:
        ref = _hash(part)[:16]
        parts[ref] = part
        return ref

    named = {**question, "task": name(question["task"])}
    if "space" in question:
        named |= {"space": name(question["space"]), "history": [name(part) for part in question["history"]]}
    return named, parts


def _to_json(answer: Advice | SpaceDesign) -> dict[str, Any]:
    entry = {item.name: getattr(answer, item.name) for item in fields(answer)} | {"usage": asdict(answer.usage)}
    if isinstance(answer, SpaceDesign):
        return entry | {"space": answer.space.to_json()}
    return entry | {"params": {str(name): value for name, value in answer.params.items()}}


def _canonical(value: Any) -> str:
    """Return one text per value: sorted keys, no blanks, floats by their shortest exact text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)


def _hash(value: Any) -> str:
    return hashlib.sha256(_canonical(value).encode()).hexdigest()


def _as_read(value: Any) -> Any:
    return json.loads(json.dumps(value, default=_plain))


def _plain(value: Any) -> Any:
    """Return what JSON can hold for *value*: numpy's scalars as Python's, anything else as its text."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "shape", None) == () else repr(value)


def _append(path: Path, line: str) -> None:
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                line = "\n" + line  # the line before was cut short by a kill
        file.write(line.encode() + b"\n")


def _read(path: Path) -> Iterator[dict[str, Any]]:
    try:
        texts = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    except OSError as error:
        raise ConfigError(f"The recording {str(path)!r} cannot be read: {error.strerror}; check the path.") from error
    found = False
    for text in texts:
        line = _parse(text)
        if line is None:
            continue
        if line["schema"] != _SCHEMA:
            raise ConfigError(
                f"The recording {str(path)!r} has schema {line['schema']!r}, not {_SCHEMA}: record it again."
            )
        found = True
        yield line
    if not found and any(text.endswith("\n") for text in texts):
        raise ConfigError(f"The file {str(path)!r} is no recording; give one that was written with a RecordingAdvisor.")


def _parse(text: str) -> dict[str, Any] | None:
    """Return the line, or None if it was cut short."""
    try:
        line = json.loads(text)
    except json.JSONDecodeError:
        return None
    return line if isinstance(line, dict) and "schema" in line else None


def _first_difference(now: Any, then: Any, path: str = "") -> tuple[str, str, str]:
    """Return where two JSON values first differ, and the two values there."""
    pairs: list[tuple[str, Any, Any]] = []
    if isinstance(now, dict) and isinstance(then, dict):
        names = list(dict.fromkeys([*now, *then]))
        pairs = [
            (f"{path}.{name}" if path else name, now.get(name, _MISSING), then.get(name, _MISSING)) for name in names
        ]
    elif isinstance(now, list) and isinstance(then, list):
        for index in range(max(len(now), len(then))):
            items = [values[index] if index < len(values) else _MISSING for values in (now, then)]
            pairs.append((f"{path}[{index}]", items[0], items[1]))
    for place, one, other in pairs:
        if _canonical(one) != _canonical(other):
            return _first_difference(one, other, place)
    return path, _brief(now), _brief(then)


def _brief(value: Any) -> str:
    text = value if value == _MISSING else json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."
