"""
What a long-running command owes its caller: quiet libraries, Ctrl-C, and errors in one sentence with an exit code.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import TextIO

from sllmbo.cli.progress import Progress
from sllmbo.errors import SllmboError

DONE, BROKEN, WRONG, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
"""
Exit codes: done, an unexpected error, a mistake in what was asked for, interrupted without a result, ended by SIGTERM.
"""


@dataclass(frozen=True, slots=True)
class Streams:
    """Where standard output and standard error were before the libraries were silenced."""

    out: TextIO
    err: TextIO


def take_over(*, keep_chatter: bool) -> Streams:
    """
    Take standard output and standard error away from everybody else in this process, and return them.

    What estimators print, from Python or from C, goes nowhere, or to standard error with *keep_chatter*. It stays so
    until the process ends: C libraries may flush what they printed as late as then.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    encoding = sys.stderr.encoding
    out = os.fdopen(os.dup(1), "w", encoding=sys.stdout.encoding)
    err = os.fdopen(os.dup(2), "w", encoding=encoding, errors="backslashreplace")
    sink = os.dup(2) if keep_chatter else os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    os.close(sink)
    return Streams(out, err)


class Interrupts:
    """
    The first Ctrl-C or SIGTERM ends what runs and lets the rest be finished; the second leaves at once.

    Args:
        err: Where the first one is answered.
    """

    def __init__(self, err: TextIO) -> None:
        self.happened = False
        self.terminated = False
        """Whether it was SIGTERM, as of a scheduler or a container that is stopped."""
        self._err = err.fileno()
        self._process = os.getpid()
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # a job in the background is not interrupted
                signal.signal(number, self._interrupt)

    def _interrupt(self, number: int, _: FrameType | None) -> None:
        if self.happened or os.getpid() != self._process:  # what an estimator forks is ended as if nothing were here
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.happened = True
        self.terminated = number == signal.SIGTERM
        # Past the buffers: what is interrupted may be in the middle of printing.
        os.write(self._err, b"\nInterrupted: what there is will be written; a second time leaves at once.\n")
        raise KeyboardInterrupt

    def check(self, *_: object) -> None:
        """Raise again where the first Ctrl-C was lost, as in a destructor; a callback after each trial."""
        if self.happened:
            raise KeyboardInterrupt


def run_session(work: Callable[[], None], progress: Progress, interrupts: Interrupts, *, debug: bool) -> int:
    """Do *work* and return the exit code; tell an error in one sentence, and what is kept nevertheless."""
    try:
        work()
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001  # nobody above can tell it better
        code, sentence = _told(error, interrupted=interrupts.happened, debug=debug)
        if debug:
            progress.line("".join(traceback.format_exception(error)))
        progress.error(sentence)
        progress.say_what_is_kept()
        return TERMINATED if interrupts.terminated else code
    return TERMINATED if interrupts.terminated else DONE


def _told(error: BaseException, *, interrupted: bool, debug: bool) -> tuple[int, str]:
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "Interrupted before there was a result."
    if isinstance(error, SllmboError):
        return (INTERRUPTED if interrupted else WRONG), str(error)
    remedy = "" if debug else "; run with --debug for the traceback"
    return BROKEN, f"Unexpected {type(error).__name__}: {' '.join(str(error).split()).rstrip('.')}{remedy}."
