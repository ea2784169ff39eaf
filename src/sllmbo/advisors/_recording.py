"""
The file of a recording: which lines it has, how they are written, and how they are read.

A file has one JSON object per line. Each question has a line with its answer:

    {"schema": 2, "hash": "...", "question": {"purpose": "next", "turn": 7, "seed": 0, "n": 1, ...}, "parts": {...},
     "seconds": 2.1, "advice": [{...}]}     or "design": {...}, or "error": {...}, instead of "advice"

Task card, search space and trials are the parts of a question. Each is written once, when it is first met, and named by
its hash afterwards, so that a recording grows with the study and not with its square. `sllmbo tune --record` adds what
it was told to do, and each finished trial, by which `sllmbo replay` repeats the study:

    {"schema": 2, "settings": {...}}
    {"schema": 2, "trial": {...}}

Since schema 2, "raw" also has the replies that were no JSON, and a trial the decision behind it. Schema 1 is read too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from sllmbo import errors
from sllmbo.advisors.advisor import Advice, AdviceRequest, Memo, SpaceDesign
from sllmbo.errors import AdviceError, ConfigError
from sllmbo.history import Observation
from sllmbo.space import SearchSpace, SpaceEdit
from sllmbo.task import Task
from sllmbo.usage import Usage

SCHEMA = 2
BEGIN = b'{"schema"'
"""How a recording begins."""
_READABLE = (1, 2)
MISSING = "nothing"
_TIMED = ("seconds", "fit_seconds", "predict_ms")
"""What the clock measured of a trial, no two runs alike."""
_ERRORS: dict[str, type[AdviceError]] = {
    name: cls for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, AdviceError)
}


def space_question(task: Task) -> dict[str, Any]:
    """Return the question for a search space, as JSON."""
    return {"purpose": "space", "task": task.to_json()}


def advice_question(request: AdviceRequest) -> dict[str, Any]:
    """Return the question what to try, as JSON; without the importance of parameters, which follows from the rest."""
    memo = {} if request.memo is None else {"memo": asdict(request.memo)}
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
        **memo,
        **({"leeways": {name: asdict(leeway) for name, leeway in request.leeways.items()}} if request.leeways else {}),
    }


def _told(observation: Observation) -> dict[str, Any]:
    told = {item.name: getattr(observation, item.name) for item in fields(observation)}
    # How long a trial took differs from run to run.
    told["details"] = {name: value for name, value in observation.details.items() if name not in _TIMED}
    del told["turned_down"]  # it follows from the answers before
    if not told["curve"]:
        del told["curve"]  # recordings from before there were curves are still answered from
    return told | {"params": dict(observation.params)}


def place(question: Mapping[str, Any]) -> tuple[str, int | None]:
    """Return what the question was for and in which turn; the search space has none."""
    return question["purpose"], question.get("turn")


def split(question: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Replace the parts of *question* by their hashes; return it and the parts by hash."""
    parts: dict[str, Any] = {}

    def name(part: Any) -> str:
        ref = digest(part)[:16]
        parts[ref] = part
        return ref

    named = {**question, "task": name(question["task"])}
    if "space" in question:
        named |= {"space": name(question["space"]), "history": [name(part) for part in question["history"]]}
    return named, parts


def joined(named: dict[str, Any], parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole question that `split` took apart."""

    def part(ref: str) -> Any:
        return parts.get(ref, MISSING)

    whole = {**named, "task": part(named["task"])}
    if "space" in named:
        whole |= {"space": part(named["space"]), "history": [part(ref) for ref in named["history"]]}
    return whole


def space_of(entries: list[dict[str, Any]]) -> SearchSpace:
    """Return the search space of a question."""
    return SearchSpace.from_json({entry["name"]: {k: v for k, v in entry.items() if k != "name"} for entry in entries})


def advice_to_json(advice: Advice) -> dict[str, Any]:
    """Return *advice* as a JSON object; what breaks the rules is written all the same."""
    params = advice.params
    named = {str(name): value for name, value in params.items()} if isinstance(params, Mapping) else params
    return {**_fields(advice), "params": named}


def design_to_json(design: SpaceDesign) -> dict[str, Any]:
    """Return *design* as a JSON object."""
    return {**_fields(design), "space": design.space.to_json()}


def _fields(answer: Advice | SpaceDesign) -> dict[str, Any]:
    """Return the fields that differ from their defaults; usage, memo and edits as objects."""
    entry = {item.name: (getattr(answer, item.name), item.default) for item in fields(answer)}
    given = {name: value for name, (value, default) in entry.items() if value != default}
    return {name: _plain_field(value) for name, value in given.items()}


def _plain_field(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain_field(item) for item in value]
    return asdict(value) if isinstance(value, (Usage, Memo, SpaceEdit)) else value


def error_to_json(error: Exception) -> dict[str, Any]:
    """Return *error* as a JSON object: by the nearest class of ours, a foreign one in words."""
    known = next((cls.__name__ for cls in type(error).__mro__ if _ERRORS.get(cls.__name__) is cls), None)
    message = str(error) if known else f"{type(error).__name__}: {error}"
    entry = {"class": known or "AdviceError", "message": message}
    return {**entry, "usage": asdict(error.usage), "raw": error.raw} if isinstance(error, AdviceError) else entry


def advice_from_json(entry: Mapping[str, Any]) -> Advice:
    """Return the advice that was recorded."""
    return Advice(**_read(entry))


def design_from_json(entry: Mapping[str, Any]) -> SpaceDesign:
    """Return the design that was recorded."""
    shortlist = tuple((name, reason) for name, reason in entry.get("shortlist", ()))
    return SpaceDesign(**{**_read(entry), "space": SearchSpace.from_json(entry["space"]), "shortlist": shortlist})


def _read(entry: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {"usage": Usage, "memo": Memo}
    read_ = {
        name: kinds[name](**value) if name in kinds and isinstance(value, dict) else value
        for name, value in entry.items()
    }
    return read_ | {"edits": tuple(SpaceEdit(**edit) for edit in entry["edits"])} if "edits" in entry else read_


def error_from_json(entry: Mapping[str, Any]) -> AdviceError:
    """Return the error that was recorded."""
    error = _ERRORS[entry["class"]](entry["message"], usage=Usage(**entry.get("usage", {})))
    error.raw = entry.get("raw", "")
    return error


def append(path: Path, line: Mapping[str, Any]) -> None:
    """
    Append *line*, and hand it to the operating system.

    Raises:
        ConfigError: If the file cannot be written.
    """
    text = json.dumps({"schema": SCHEMA, **line}, default=_plain)
    try:
        with path.open("ab+") as file:
            if file.tell():
                file.seek(-1, 2)
                if file.read(1) != b"\n":
                    text = "\n" + text  # the line before was cut short by a kill
            file.write(text.encode() + b"\n")
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> ConfigError:
    """Return the error to raise for a recording that cannot be written."""
    return ConfigError(
        f"The recording {str(path)!r} cannot be written: {error.strerror}; give a file in a folder that exists."
    )


def read(path: Path) -> Iterator[dict[str, Any]]:
    """
    Yield the lines of a recording, without what was cut short.

    Raises:
        ConfigError: If the file cannot be read or is no recording.
    """
    try:
        texts = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    except OSError as error:
        raise ConfigError(f"The recording {str(path)!r} cannot be read: {error.strerror}; check the path.") from error
    found = False
    for text in texts:
        line = _parsed(text)
        if line is None:
            continue
        if line["schema"] not in _READABLE:
            raise ConfigError(
                f"The recording {str(path)!r} has schema {line['schema']!r}, not {' or '.join(map(str, _READABLE))}: "
                "record it again, or read it with the sllmbo that wrote it."
            )
        found = True
        yield line
    if not found and any(text.endswith("\n") for text in texts):
        raise ConfigError(
            f"The file {str(path)!r} is no recording; give one that `sllmbo tune --record` or a RecordingAdvisor wrote."
        )


def _parsed(text: str) -> dict[str, Any] | None:
    """Return the line, or None if it was cut short."""
    try:
        line = json.loads(text)
    except json.JSONDecodeError:
        return None
    return line if isinstance(line, dict) and "schema" in line else None


def first_difference(now: Any, then: Any) -> str | None:
    """Return in words where a value first differs from a recorded one, or None if it does not."""
    now = json.loads(json.dumps(now, default=_plain))
    return None if _canonical(now) == _canonical(then) else _difference(now, then, "")


def _difference(now: Any, then: Any, path: str) -> str:
    pairs: list[tuple[str, Any, Any]] = []
    if isinstance(now, dict) and isinstance(then, dict):
        names = list(dict.fromkeys([*now, *then]))
        pairs = [
            (f"{path}.{name}" if path else name, now.get(name, MISSING), then.get(name, MISSING)) for name in names
        ]
    elif isinstance(now, list) and isinstance(then, list):
        for index in range(max(len(now), len(then))):
            items = [values[index] if index < len(values) else MISSING for values in (now, then)]
            pairs.append((f"{path}[{index}]", items[0], items[1]))
    for where, one, other in pairs:
        if _canonical(one) != _canonical(other):
            return _difference(one, other, where)
    return f"{path} is {_brief(now)}, recorded was {_brief(then)}"


def _brief(value: Any) -> str:
    text = value if value == MISSING else json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


def digest(value: Any) -> str:
    """Return the hash of a JSON value."""
    return hashlib.sha256(_canonical(value).encode()).hexdigest()


def _canonical(value: Any) -> str:
    """Return one text per value: sorted keys, no blanks, floats by their shortest exact text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    """Return what JSON can hold for *value*: numpy's scalars as Python's, anything else as its text."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "shape", None) == () else repr(value)
