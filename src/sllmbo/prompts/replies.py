"""
The replies that a chat model must give: their JSON Schemas, and how each becomes a value.

Replies are untrusted: any JSON value gives a value or a `ReplyError`, whose words can be sent back.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias

from sllmbo.errors import ReplyError
from sllmbo.prompts import words
from sllmbo.prompts.memory import MAX_SUMMARY
from sllmbo.space import Categorical, Float, Int, Parameter, Scalar, SearchSpace, SpaceEdit, When, json_schema
from sllmbo.task import Task

Suggestion: TypeAlias = tuple[dict[str, Any], str]
"""Values by parameter name as the chat model gave them, and its rationale."""

INTENTS = ("explore", "exploit", "repair")
_MAX_RATIONALE = 400
_MAX_EDITS = 10
_MAX_PARAMETERS = 30
_MAX_CHOICES = 50
_MAX_ABSOLUTE = 1e12
_MAX_DECADES = 20


def suggestions_schema(space: SearchSpace, n: int, *, leeways: Collection[str] = ()) -> dict[str, Any]:
    """Return the JSON Schema of a reply with up to *n* configurations of *space*, and edits of those in *leeways*."""
    candidate = {
        "intent": {"type": "string", "enum": list(INTENTS)},
        "rationale": {"type": "string"},
        "params": _without_descriptions(json_schema(space)),
    }
    listed = {"type": "array", "maxItems": n, "items": _object(candidate)}
    if not leeways:
        return _object({"candidates": listed})
    edit = {
        "parameter": {"type": "string", "enum": list(leeways)},
        "low": {"type": "number"},
        "high": {"type": "number"},
        "reason": {"type": "string"},
    }
    edits = {"type": "array", "maxItems": len(leeways), "items": _object(edit)}
    return _object({"candidates": listed, "space": edits}, required=["candidates"])


def _without_descriptions(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave out the words on parameters: the prompt holds them, quoted as untrusted and cut to length."""
    bare = {
        name: {key: value for key, value in entry.items() if key != "description"}
        for name, entry in schema["properties"].items()
    }
    return {**schema, "properties": bare}


def parse_suggestions(reply: Any, space: SearchSpace, n: int) -> tuple[Suggestion, ...]:
    """
    Return the usable configurations in *reply*, at most *n*, in its order and without repeats.

    Usable is what `SearchSpace.repair` accepts and that names at least one parameter of the space.

    Raises:
        ReplyError: If none is usable.
    """
    usable: list[Suggestion] = []
    seen: list[dict[str, Scalar]] = []
    reasons: list[str] = []
    for number, candidate in enumerate(_candidates(reply), start=1):
        given = _params_of(candidate)
        params = {_called(name, space): value for name, value in given.items() if name not in space}
        params |= {name: _numbered(space[name], value) for name, value in given.items() if name in space}
        try:
            if not any(name in space for name in params):
                raise ReplyError(f"it names no parameter of the search space ({words.some(space, 20)})")
            meant, _ = space.repair(params)
        except (ReplyError, ValueError, RecursionError) as error:
            reasons.append(f"candidate {number}: {str(error)[:200]}")
            continue
        if meant not in seen:
            seen.append(meant)
            usable.append((params, _rationale_of(candidate)))
    if not usable:
        told = "; ".join(reasons[:3]) or '"candidates" is empty'
        raise ReplyError(f"No candidate is usable ({told}); give every parameter a value inside its range.")
    return tuple(usable[:n])


def parse_edits(reply: Any) -> tuple[SpaceEdit, ...]:
    """Return the edits of the search space in *reply*, at most ten; whoever applies them checks them."""
    reply = unwrapped(reply, "candidates")
    entries = _decoded(reply.get("space")) if isinstance(reply, Mapping) else None
    if isinstance(entries, Mapping):
        entries = [{"parameter": name, **entry} for name, entry in entries.items() if isinstance(entry, Mapping)]
    return tuple(
        SpaceEdit(
            _text(entry.get("parameter")), _number(entry["low"]), _number(entry["high"]), _text(entry.get("reason"))
        )
        for entry in (entries if isinstance(entries, list) else [])[:_MAX_EDITS]
        if isinstance(entry, Mapping) and "low" in entry and "high" in entry
    )


def design_schema() -> dict[str, Any]:
    """Return the JSON Schema of a reply that describes a search space."""
    parameter = {
        "name": {"type": "string"},
        "type": {"type": "string", "enum": ["float", "int", "categorical"]},
        "low": {"type": "number"},
        "high": {"type": "number"},
        "log": {"type": "boolean"},
        "choices": {
            "type": "array",
            "items": {"type": "string"},
            "description": "text as it is; true, false, null, numbers as JSON",
        },
        "default": {"type": "string", "description": "a value inside the range, as text"},
        "reason": {"type": "string"},
        "when": _object({"parameter": {"type": "string"}, "values": {"type": "array", "items": {"type": "string"}}}),
    }
    listed = {"type": "array", "minItems": 1, "items": _object(parameter, required=["name", "type"])}
    return _object({"rationale": {"type": "string"}, "parameters": listed})


def parse_design(reply: Any, task: Task, *, shown: Task | None = None, strict: bool = False) -> tuple[SearchSpace, str]:
    """
    Return the search space that *reply* describes, and its rationale with what was left out.

    Errors, which are sent back, name no parameter of the estimator that is not in *shown*, by default *task*.

    A parameter is left out when the estimator does not have it or its range is inverted, empty or absurd. Defaults are
    the estimator's own, moved into the range, else the reply's, else the middle of the range.

    Raises:
        ReplyError: If no parameter is usable, or, being *strict*, if any is not.
    """
    reply = unwrapped(reply, "parameters")
    parameters: dict[str, Parameter] = {}
    left_out: list[str] = []
    for entry in _parameter_entries(reply)[:_MAX_PARAMETERS]:
        name = entry.get("name")
        try:
            if not isinstance(name, str) or not name.strip() or name in parameters:
                raise ReplyError("each parameter needs a name of its own")
            _check_name(name, task, task if shown is None else shown)
            parameters[name] = _parameter(entry, task.estimator_params.get(name), parameters)
        except (ReplyError, ValueError, RecursionError) as error:
            left_out.append(f"{words.quoted(str(name), 60)}: {str(error)[:200]}")
    if not parameters:
        told = "; ".join(left_out[:3]) or '"parameters" is empty'
        raise ReplyError(f"No parameter of the search space is usable ({told}); correct names and ranges.")
    if strict and left_out:
        raise ReplyError(f"Not all parameters are usable ({'; '.join(left_out[:5])}); correct names and ranges.")
    rationale = _text(reply.get("rationale")) if isinstance(reply, Mapping) else ""
    notes = f"Left out: {'; '.join(left_out[:5])}." if left_out else ""
    return SearchSpace(parameters), f"{rationale} {notes}".strip()


def _object(properties: dict[str, Any], required: Sequence[str] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties if required is None else required),
        "additionalProperties": False,
    }


def _text(given: Any) -> str:
    text = _line(given) if isinstance(given, str) else ""
    return text if len(text) <= _MAX_RATIONALE else text[: _MAX_RATIONALE - 3] + "..."


def _line(text: str) -> str:
    """Return *text* in one line that a terminal, a table and a storage take as text and nothing else."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def unwrapped(reply: Any, key: str) -> Any:
    """Return the answer that *reply* is or has under its only key: an object with *key*."""
    reply = _decoded(reply)
    if isinstance(reply, Mapping) and key not in reply and len(reply) == 1:
        (inner,) = map(_decoded, reply.values())
        return inner if isinstance(inner, Mapping) and key in inner else reply
    return reply


def _decoded(given: Any) -> Any:
    """Return the list or object that *given*, being text, spells in JSON; anything else as it is."""
    try:
        value = json.loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError):
        return given
    return value if isinstance(value, (list, dict)) else given


def _candidates(reply: Any) -> list[Mapping[str, Any]]:
    """Return the candidates of a reply; a bare list and a single one are taken as meant."""
    reply = unwrapped(reply, "candidates")
    if isinstance(reply, Mapping):
        reply = _decoded(reply.get("candidates", [reply]))
    if isinstance(reply, Mapping):
        reply = [reply]
    if not isinstance(reply, list):
        raise ReplyError('The reply has no list "candidates"; give one.')
    return [candidate for candidate in map(_decoded, reply) if isinstance(candidate, Mapping)]


def _params_of(candidate: Mapping[str, Any]) -> dict[str, Any]:
    params = _decoded(candidate.get("params"))
    if isinstance(params, Mapping):
        return {str(name): value for name, value in params.items()}
    return {str(name): value for name, value in candidate.items() if name not in ("intent", "rationale")}


def _called(name: str, space: SearchSpace) -> str:
    """Return the parameter of *space* that *name* is but for its case, if just one is; else *name*."""
    alike = [other for other in space if other.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else name


def _numbered(parameter: Parameter, value: Any) -> Any:
    """Return the choice whose number *value* is, as "c1" is of "c1: A long text ..."; else *value*."""
    if not isinstance(parameter, Categorical) or not isinstance(value, str) or value in parameter.choices:
        return value
    return next((c for c in parameter.choices if isinstance(c, str) and c.startswith(f"{value.strip()}: ")), value)


def _rationale_of(candidate: Mapping[str, Any]) -> str:
    intent = candidate.get("intent")
    return (f"{intent}: " if intent in INTENTS else "") + _text(candidate.get("rationale"))


def _parameter_entries(reply: Any) -> list[dict[str, Any]]:
    """Return the described parameters; a list, or a mapping from name to description."""
    if isinstance(reply, Mapping):
        reply = _decoded(reply.get("parameters"))
    if isinstance(reply, Mapping):
        reply = [{"name": name, **entry} for name, entry in reply.items() if isinstance(entry, Mapping)]
    if not isinstance(reply, list):
        raise ReplyError('The reply has no list "parameters"; give one.')
    return [dict(entry) for entry in map(_decoded, reply) if isinstance(entry, Mapping)]


def _check_name(name: str, task: Task, told: Task) -> None:
    if task.estimator_params and name not in task.estimator_params:
        near = difflib.get_close_matches(name, told.estimator_params, n=3)
        meant = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ReplyError(f"the estimator has no such parameter{meant}")


def _parameter(entry: Mapping[str, Any], own_default: Any, earlier: Mapping[str, Parameter]) -> Parameter:
    kind = entry.get("type")
    about: dict[str, Any] = {"description": _text(entry.get("reason")), "condition": _condition(entry, earlier)}
    if kind == "categorical" or (kind not in ("float", "int") and entry.get("choices")):
        choices = _choices(_decoded(entry.get("choices")))
        plain = Categorical(choices)
        return Categorical(choices, default=_default(plain, own_default, entry.get("default")), **about)
    if kind not in ("float", "int"):
        raise ReplyError(f"the type {words.quoted(str(kind), 30)} is none of float, int, categorical")
    low, high = _bound(entry, "low"), _bound(entry, "high")
    if low >= high:
        raise ReplyError(f"low={words.number(low)} must be below high={words.number(high)}")
    log = str(entry.get("log")).strip().lower() in ("true", "yes", "1") and low > 0
    if log and math.log10(high / low) > _MAX_DECADES:
        raise ReplyError(f"the range spans more than {_MAX_DECADES} powers of ten")
    if kind == "int":
        whole = Int(math.ceil(low), math.floor(high), log=log)
        return Int(whole.low, whole.high, log=log, default=_default(whole, own_default, entry.get("default")), **about)
    real = Float(low, high, log=log)
    return Float(low, high, log=log, default=_default(real, own_default, entry.get("default")), **about)


def _number(given: Any) -> float:
    """Return the number that *given* is or spells, not-a-number for anything else."""
    try:
        return float(given) if isinstance(given, (int, float, str)) and not isinstance(given, bool) else math.nan
    except (ValueError, OverflowError):
        return math.nan


def _bound(entry: Mapping[str, Any], name: str) -> float:
    given = entry.get(name)
    number = _number(given)
    if not abs(number) <= _MAX_ABSOLUTE:
        raise ReplyError(f"{name}={words.quoted(str(given), 30)} is no number of sane size")
    return number


def _choices(given: Any) -> tuple[Scalar, ...]:
    if not isinstance(given, list) or not 2 <= len(given) <= _MAX_CHOICES:
        raise ReplyError(f"a categorical parameter needs 2 to {_MAX_CHOICES} choices")
    return tuple(_scalar(choice) for choice in given)


def _scalar(given: Any) -> Scalar:
    """Return the scalar that *given* is or, being text, spells in JSON or Python."""
    if not isinstance(given, str):
        if given is None or isinstance(given, (bool, int, float)):
            return given
        raise ReplyError(f"the choice {words.quoted(str(given), 30)} is no text, number or boolean")
    spelled = {"None": None, "True": True, "False": False}
    if given in spelled:
        return spelled[given]
    try:
        value = json.loads(given)
    except (ValueError, RecursionError):
        return given
    return value if value is None or isinstance(value, (bool, int, float, str)) else given


def _condition(entry: Mapping[str, Any], earlier: Mapping[str, Parameter]) -> When | None:
    """Return the condition of a parameter, or None where it has none that can be met: then it always exists."""
    when = _decoded(entry.get("when"))
    wanted = _decoded(when.get("values")) if isinstance(when, Mapping) else None
    if not isinstance(wanted, list):
        return None
    other = earlier.get(str(when.get("parameter")))
    if not isinstance(other, Categorical):
        return None
    values = [value for value in map(_scalar, wanted) if other.contains(value)]
    return When(str(when["parameter"]), values) if values else None


def _default(parameter: Parameter, own: Any, given: Any) -> Any:
    if isinstance(parameter, Categorical):
        candidates = [own, *([_scalar(given)] if given is not None else []), parameter.choices[0]]
        return next(c for c in candidates if parameter.contains(c))
    for candidate in (own, given):
        if candidate is None or isinstance(candidate, bool):
            continue
        try:
            return parameter.repair(candidate)
        except ValueError:
            continue
    return parameter.from_unit(0.5)


def condense_schema() -> dict[str, Any]:
    """Return the JSON Schema of a reply that condenses trials."""
    return {
        "type": "object",
        "properties": {"summary": {"type": "string", "description": "at most 200 words"}},
        "required": ["summary"],
        "additionalProperties": False,
    }


def parse_condense(reply: Any) -> str:
    """
    Read a summary, cut to `MAX_SUMMARY` characters.

    Raises:
        ReplyError: If there is none.
    """
    reply = unwrapped(reply, "summary")
    summary = reply.get("summary") if isinstance(reply, dict) else None
    if not isinstance(summary, str) or not summary.strip():
        raise ReplyError('The reply has no "summary" that is text; write the notes there.')
    return _line(summary)[:MAX_SUMMARY]
