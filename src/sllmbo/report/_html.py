"""
Pieces of HTML. All text is escaped where it enters: what is given as text cannot become markup.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sllmbo.prompts.words import number
from sllmbo.report._draw import plain

SYMBOLS = {"supported": "\u2713", "contradicted": "\u2717", "unverifiable": "?"}


def text(given: object) -> str:
    """Return *given* as text of a page."""
    return html.escape(plain(given))


def code(given: object) -> str:
    """Return *given* as code within a line."""
    return f"<code>{text(given)}</code>"


def value(given: Any, digits: int = 5) -> str:
    """Return a value of a parameter or metric."""
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return text(number(given, digits))
    return text("" if given is None else given)


def setting(params: Mapping[str, Any], name: str) -> str:
    """Return the value of parameter *name* in *params*, None too; nothing where it has none."""
    return value("None" if params[name] is None else params[name]) if name in params else ""


def paragraph(given: str, style: str = "") -> str:
    """Return a paragraph of text; nothing of empty text."""
    return f"<p{_class(style)}>{text(given)}</p>" if given else ""


def block(given: str) -> str:
    """Return several lines of code."""
    return f"<pre><code>{html.escape(given)}</code></pre>"


def section(name: str, heading: str, *parts: str) -> str:
    """Return a section, or nothing where it has no content."""
    body = "\n".join(filter(None, parts))
    if not body:
        return ""
    return f'<section id="{name}" aria-labelledby="{name}-h"><h2 id="{name}-h">{text(heading)}</h2>\n{body}\n</section>'


def table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = (), wide: int = -1
) -> str:
    """
    Return a table whose first column names the row; it scrolls by itself where it is wide.

    Args:
        caption: What it shows, as text.
        head: Names of the columns, as text.
        rows: Cells, as HTML.
        right: Columns of numbers.
        wide: A column of longer text.
    """
    styles = [' class="n"' if i in right else ' class="wide"' if i == wide else "" for i in range(len(head))]
    heads = "".join(
        f'<th scope="col"{style.replace("wide", "")}>{text(name)}</th>'
        for name, style in zip(head, styles, strict=True)
    )
    lines = []
    for first, *rest in rows:
        cells = "".join(f"<td{style}>{cell}</td>" for cell, style in zip(rest, styles[1:], strict=True))
        lines.append(f'<tr><th scope="row"{styles[0]}>{first}</th>{cells}</tr>')
    if not lines:
        return ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}"><table><caption>{text(caption)}'
        f"</caption><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def details(summary: str, *parts: str) -> str:
    """Return what is shown when it is asked for; nothing where there is no content."""
    body = "\n".join(filter(None, parts))
    return f"<details><summary>{text(summary)}</summary>\n{body}\n</details>" if body else ""


def verdict(given: str) -> str:
    """Return a verdict, in words, a sign and a colour."""
    return f'<span class="verdict {text(given)}"><span aria-hidden="true">{SYMBOLS[given]}</span> {text(given)}</span>'


def in_script(given: str) -> str:
    """Return JSON as it may stand in a script element: nothing in it can end that."""
    return given.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _class(style: str) -> str:
    return f' class="{style}"' if style else ""
