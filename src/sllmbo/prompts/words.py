"""
Small words: numbers, quoted text and values, short and always the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

_PLAIN = 10_000_000


def number(value: float, digits: int = 4) -> str:
    """Return a number with *digits* significant digits; integer parts up to ten million in full."""
    if isinstance(value, int):
        if abs(value) < _PLAIN:
            return str(value)
        return _short(f"{Decimal(value):.{digits}g}")  # also where a float cannot hold it
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text and abs(value) < _PLAIN else _short(text)


def _short(text: str) -> str:
    """Return a number's text without the sign and zeros that an exponent does not need."""
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else text


def value(given: Any, digits: int = 4) -> str:
    """Return a parameter value: numbers compact, the rest as JSON without quotes around plain words."""
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return number(given, digits)
    if isinstance(given, str):
        return given if given.isidentifier() and len(given) <= 40 else quoted(given, 40)
    return quoted(repr(given), 40) if isinstance(given, (list, dict, tuple, set)) else json.dumps(given, default=repr)


def name(given: str) -> str:
    """Return a parameter name, in quotes if it is not a plain word."""
    return given if given.replace("-", "_").isidentifier() and len(given) <= 60 else quoted(given, 60)


def quoted(text: str, limit: int) -> str:
    """Return *text* in double quotes on one line, at most *limit* characters of it: untrusted, it cannot break out."""
    words = " ".join(str(text).split()).encode("utf-8", "replace").decode()  # lone surrogates cannot be sent
    return json.dumps(words if len(words) <= limit else words[: limit - 3] + "...", ensure_ascii=False)


def some(items: Iterable[str], limit: int) -> str:
    """Return at most *limit* items, and how many there are in all if there are more."""
    listed = list(items)
    if len(listed) <= limit:
        return ", ".join(listed)
    return ", ".join(listed[:limit]) + f", ... ({len(listed)} in all)"
