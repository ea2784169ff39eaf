"""
Small words: numbers, quoted text and values, short and always the same.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

MAX_TEXT = 40
"""Characters of a value that is text which are told; longer categories go by other names."""

_PLAIN = 10_000_000
_SPELLED = ("true", "false", "null")
"""What values that are no text look like."""
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_BELOW_ONE = re.compile(r"(-?)0(\.[0-9]+)")
_HEADING = re.compile(r"[A-Z]{3,}")
_PIECE = re.compile(r"_?[A-Za-z]+|[0-9]{1,3}| (?=[0-9])|[^\sA-Za-z0-9]+|\n+")


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
        return given if is_plain(given, MAX_TEXT) and given not in _SPELLED else quoted(given, MAX_TEXT)
    return (
        quoted(repr(given), MAX_TEXT)
        if isinstance(given, (list, dict, tuple, set))
        else json.dumps(given, default=repr)
    )


def bare(text: str) -> str:
    """Return the text of a number below one without its leading zero, which is a token of its own: 0.5 as .5."""
    found = _BELOW_ONE.fullmatch(text)
    return "".join(found.groups()) if found else text


def name(given: str) -> str:
    """Return a parameter name, in quotes if it is not a plain word, or looks like a heading."""
    return given if is_plain(given) and not _HEADING.fullmatch(given) else quoted(given, 60)


def is_plain(given: str, limit: int = 60) -> bool:
    """Tell whether *given* is a short word of ASCII letters, digits and ``_.-``, which needs no quotes."""
    return len(given) <= limit and _WORD.fullmatch(given) is not None


def quoted(text: str, limit: int) -> str:
    """
    Return *text* in double quotes on one line, at most *limit* characters of it: untrusted, it cannot break out.

    Characters that are not seen, such as those that turn the direction of reading, are escaped.
    """
    words = " ".join(str(text).split()).encode("utf-8", "replace").decode()  # no lone surrogates
    words = words if len(words) <= limit else words[: limit - 3] + "..."
    return "".join(_visible(c) for c in json.dumps(words, ensure_ascii=False))


def _visible(character: str) -> str:
    hidden = unicodedata.category(character).startswith("C")
    return json.dumps(character)[1:-1] if (hidden and not character.isascii()) or character == "\x7f" else character


def tokens(text: str) -> int:
    """
    Return about how many tokens *text* has.

    Within a tenth of what OpenAI's o200k vocabulary makes of prompts like these; other vocabularies take up to a third
    more of numbers, because they split them into digits.
    """
    return sum(map(_tokens_of, _PIECE.findall(text)))


def _tokens_of(piece: str) -> int:
    if not piece.isascii():
        return math.ceil(len(piece) / 2)
    return math.ceil(len(piece) / 10) if piece[-1].isalpha() else 1


def some(items: Iterable[str], limit: int) -> str:
    """Return at most *limit* items, and how many there are in all if there are more."""
    listed = list(items)
    if len(listed) <= limit:
        return ", ".join(listed)
    return ", ".join(listed[:limit]) + f", ... ({len(listed)} in all)"
