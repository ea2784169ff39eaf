"""
What is told on standard error while a study runs: coloured and fitted to a terminal, plain lines elsewhere.
"""

from __future__ import annotations

import logging
import os
import textwrap
from collections.abc import Mapping
from typing import Any, TextIO

from rich.cells import set_cell_size
from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

from sllmbo.space.branches import ROOT

_LABEL = 10
_PLAIN_WIDTH = 200
"""Columns that a line of a trial has where there is no terminal."""
_CLEAR = Control((ControlType.CARRIAGE_RETURN,), (ControlType.ERASE_IN_LINE, 2))
_BY_STATE = {"fail": "failed", "pruned": "pruned"}

HEADINGS = f"{'trial':>5}  {'value':>10}    {'best':>10}  {'source':<13}  reason"


class Progress:
    """
    Lines for people. Text from outside is shown without its control characters.

    Args:
        stream: Where the lines go.
        plain: Never use colours or a status line, also in a terminal.
    """

    def __init__(self, stream: TextIO, *, plain: bool = False) -> None:
        plain = plain or not stream.isatty() or os.environ.get("TERM") in ("dumb", "unknown")
        self._stream = stream
        self._console = Console(
            file=stream,
            force_terminal=not plain,
            color_system=None if plain else "auto",
            width=_PLAIN_WIDTH,
            highlight=False,
            markup=False,
            emoji=False,
        )
        self._plain = plain
        self._kept = ""

    @property
    def width(self) -> int:
        """Columns of the terminal as it is now; many where there is none."""
        if self._plain:
            return _PLAIN_WIDTH
        try:
            return max(os.get_terminal_size(self._stream.fileno()).columns, 40)
        except OSError:
            return 80

    def status(self, text: str) -> None:
        """Show what happens now, until the next line; only in a terminal."""
        if not self._plain:
            self._console.control(_CLEAR)
            line = Text(printable(text), style="dim")
            line.truncate(self.width - 1, overflow="ellipsis")
            self._print(line, end="")

    def line(self, text: str | Text = "", style: str = "") -> None:
        """Print one line of our own, as long as it is."""
        self._clear()
        self._print(text if isinstance(text, Text) else Text(text, style=style))

    def fact(self, label: str, text: str, style: str = "") -> None:
        """Print *text* beside *label*, wrapped under itself in a terminal."""
        self._clear()
        room = max(self.width - _LABEL - 1, 20)
        text = printable(text)
        wrapped = textwrap.wrap(text, room, break_on_hyphens=False) if not self._plain else [text]
        for position, part in enumerate(wrapped or [""]):
            line = Text().append(f"{label if position == 0 else '':<{_LABEL}} ", "bold")
            self._print(line.append(part, style))

    def error(self, sentence: str) -> None:
        """Print what went wrong."""
        self.line(printable(sentence), "bold red")

    def keep(self, sentence: str) -> None:
        """Remember what to say of trials that are kept should the command end early."""
        self._kept = printable(sentence)

    def say_what_is_kept(self) -> None:
        """Print it."""
        if self._kept:
            self.line(self._kept)

    def trial(self, record: Mapping[str, Any], best: float | None) -> None:
        """Print the line of one finished trial, cut to the width."""
        self.line(trial_line(record, best, self.width))
        if record["edits"]:
            self.fact("", f"search space: {record['edits']}", "yellow")

    def _clear(self) -> None:
        if not self._plain:
            self._console.control(_CLEAR)

    def _print(self, text: Text, end: str = "\n") -> None:
        self._console.print(text, end=end, soft_wrap=True)
        self._stream.flush()


class _ProgressHandler(logging.Handler):
    """Shows each warning of the package once, between the trials."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(logging.WARNING)
        self._progress = progress
        self._seen: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print the warning, unless it was there before or stands on the line of its trial."""
        message = record.getMessage()
        if message in self._seen or hasattr(record, "trial"):
            return
        self._seen.add(message)
        self._progress.fact("Warning", message, "yellow")


def listen(progress: Progress) -> None:
    """Show the warnings of the package in *progress*, and nowhere else."""
    logger = logging.getLogger("sllmbo")
    logger.addHandler(_ProgressHandler(progress))
    logger.propagate = False


def trial_line(record: Mapping[str, Any], best: float | None, width: int) -> Text:
    """Return the line of a trial from its record, one of `TuneResult.trials`, at most *width* columns long."""
    value = _BY_STATE.get(record["state"]) or number(record["value"])
    reason, style = _reason(record)
    value_style = "bold green" if record["improved"] else style
    line = Text(f"{record['number']:>5}  ")
    line.append(f"{value:>10} {'*' if record['improved'] else ' '}", value_style)
    line.append(f"  {number(best):>10}  ")
    line.append(set_cell_size(printable(record["source"]), 13), "cyan")
    line.append(f"  {reason}", style)
    line.truncate(width, overflow="ellipsis")
    line.rstrip()
    return line


def _reason(record: Mapping[str, Any]) -> tuple[str, str]:
    if record["failure"]:
        return printable(record["failure"]), "red"
    if record["fallback"]:
        return f"no advice: {printable(record['fallback'])}", "yellow"
    if record["rationale"]:
        of = f"{record['params'][ROOT]}: " if ROOT in record["params"] else ""
        return printable(f"{of}{record['rationale']}"), "dim"
    return ", ".join(f"{name}={short(value)}" for name, value in record["params"].items()), "dim"


def number(value: float | None) -> str:
    """Return *value* with six significant digits; "-" for none."""
    return "-" if value is None else f"{value:#.6g}".rstrip(".")


def short(value: object) -> str:
    """Return a parameter's value with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else printable(value)


def duration(seconds: float) -> str:
    """Return *seconds* in words, as coarse as people want it."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def printable(text: object) -> str:
    """Return *text* in one line, without anything that steers a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
