"""
Find the JSON in the text of a reply: alone, in a code fence, amid prose, after thinking, slightly wrong, or cut off.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

from sllmbo.errors import ReplyError

_MAX_CHARS = 200_000
_MAX_STARTS = 50
_MAX_REPAIRED = 20_000  # characters; repairing takes more than linear time
_MAX_DEPTH = 20
_ENDS_OF_THINKING = ("</think>", "</thinking>", "</thought>", "</reasoning>", "[/THINK]", "<|message|>")
_ARITHMETIC = re.compile(
    r'"(?:[^"\\]|\\.)*"|(:\s*)([-+]?\d[\d.eE+-]*\s*(?:[\^%\u00d7]|\*+|/(?![/*])|\s\d)[^,}\]\n"]*)(?=[,}\]\n])'
)
"""A text, or what is no number after a colon, but begins as one: of 10^-2 a repair would leave 10."""


def read_json(text: str, keys: Collection[str] = ()) -> Any:
    """
    Return the JSON object, or list of objects, that *text* means to give.

    Of several the last that is valid JSON and has all *keys* is taken, as drafts and quotations come before an answer;
    then what can be repaired (quotes, commas, comments, a missing end). If none has them, the largest valid one.

    Raises:
        ReplyError: If there is none; its words can be sent back.
    """
    text = text[:_MAX_CHARS]
    if not text.strip():
        raise ReplyError("The reply is empty; give the JSON object that was asked for.")
    answer = _after_thinking(text)
    value, reason = _meant(answer, keys)
    if value is None and answer is not text:
        value, reason = _meant(text, keys)
    if not has(value, keys) or value is None:
        repaired = _repaired(answer)
        if has(repaired, keys) or value is None:
            value = repaired
    if value is None:
        raise ReplyError(f"The reply holds no valid JSON object: {reason}; give one JSON object and nothing else.")
    return value


def _after_thinking(text: str) -> str:
    start = max((text.rfind(end) + len(end) for end in _ENDS_OF_THINKING if end in text), default=0)
    return text[start:] if "{" in text[start:] else text


def _meant(text: str, keys: Collection[str]) -> tuple[Any, str]:
    """Return the valid JSON that *text* means, or None and what was wrong with the first that looked like one."""
    best, size = None, 0
    reasons: list[str] = []
    start = _next_start(text, 0)
    while start >= 0 and len(reasons) < _MAX_STARTS:
        try:
            value, end = json.JSONDecoder().raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            reasons.append(f"{str(error)[:120]}, near {text[start : start + 40]!r}")
            end = start + 1
        else:
            if has(value, keys) or (_is_structured(value) and end - start > size and not has(best, keys)):
                best, size = value, end - start
        start = _next_start(text, end)
    return best, next(iter(reasons), "it has no opening brace")


def _repaired(text: str) -> Any:
    """Return what the text from the first bracket to the last may mean, or None. A cut-off value at its end is lost."""
    from json_repair import repair_json

    start = _next_start(text, 0)
    span = text[start : max(text.rfind("}"), text.rfind("]")) + 1] if start >= 0 else ""
    if not span or len(span) > _MAX_REPAIRED or _depth(span) > _MAX_DEPTH:
        return None
    span = _ARITHMETIC.sub(lambda match: f'{match[1]}"{match[2].strip()}"' if match[1] else match[0], span)
    try:
        value = repair_json(span, return_objects=True, skip_json_loads=True)
    except (ValueError, RecursionError):
        return None
    return value if _is_structured(value) else None


def _depth(text: str) -> int:
    depth = deepest = 0
    for char in text:
        depth += (char in "{[") - (char in "}]")
        deepest = max(deepest, depth)
    return deepest


def _next_start(text: str, start: int) -> int:
    places = [place for place in (text.find("{", start), text.find("[", start)) if place >= 0]
    return min(places, default=-1)


def has(value: Any, keys: Collection[str]) -> bool:
    """Tell whether *value* is an object with all *keys*."""
    return isinstance(value, dict) and all(key in value for key in keys)


def _is_structured(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, dict) for item in value)
    return isinstance(value, dict)
