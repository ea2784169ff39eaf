"""
Find the JSON in the text of a reply: alone, in a code fence, amid prose, or what is whole of one that was cut off.
"""

from __future__ import annotations

import json
from typing import Any

from sllmbo.errors import ReplyError

_MAX_CHARS = 200_000
_MAX_STARTS = 50


def read_json(text: str) -> Any:
    """
    Return the largest JSON object, or list of objects, in *text*.

    Raises:
        ReplyError: If there is none; its words can be sent back.
    """
    text = text[:_MAX_CHARS]
    if not text.strip():
        raise ReplyError("The reply is empty; give the JSON object that was asked for.")
    best, size = None, 0
    reason = "it has no opening brace"
    start = _next_start(text, 0)
    for attempt in range(_MAX_STARTS):
        if start < 0:
            break
        try:
            value, end = json.JSONDecoder().raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            if attempt == 0:
                reason = f"{str(error)[:120]}, near {text[start : start + 40]!r}"
            end = start + 1
        else:
            if _is_structured(value) and end - start > size:
                best, size = value, end - start
        start = _next_start(text, end)
    if best is None:
        raise ReplyError(f"The reply holds no valid JSON object: {reason}; give one JSON object and nothing else.")
    return best


def _next_start(text: str, start: int) -> int:
    places = [place for place in (text.find("{", start), text.find("[", start)) if place >= 0]
    return min(places, default=-1)


def _is_structured(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, dict) for item in value)
    return isinstance(value, dict)
