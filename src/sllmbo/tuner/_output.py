"""
What a process prints, read as it comes; the last lines are kept.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import selectors
import subprocess
import time
from collections import deque
from collections.abc import Iterator

_N_LINES = 200
_LONGEST = 10_000
_PIPE = 1 << 20
"""Bytes read at once: no less than a pipe holds."""
_LOOK = 0.2
"""Seconds between two looks at the clock, and at whether the process has ended."""


class Output:
    """The last lines of both streams of a process."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=_N_LINES)
        """Of standard output."""
        self.errors: deque[str] = deque(maxlen=_N_LINES)
        """Of standard error."""
        self.value = ""
        """The last line that says the value, for whoever reads the lines to keep."""

    @property
    def last_line(self) -> str:
        """The last line of standard output that is not empty."""
        return next((line.strip() for line in reversed(self.lines) if line.strip()), "")

    @property
    def last_error(self) -> str:
        """The last line of standard error that is not empty."""
        return next((line.strip() for line in reversed(self.errors) if line.strip()), "")

    def text(self) -> str:
        """Return what is kept, for people."""
        parts = (("standard output", self.lines), ("standard error", self.errors))
        return "".join(f"--- {name}\n" + "".join(f"{line}\n" for line in lines) for name, lines in parts)

    def lines_of(self, process: subprocess.Popen[bytes], time_limit: float | None) -> Iterator[str]:
        """
        Yield the lines of standard output as they come, until the process has ended.

        Args:
            process: It has a pipe for each of its streams.
            time_limit: Seconds from now in which it must end.

        Raises:
            TimeoutError: If it has not.
        """
        assert process.stdout is not None
        assert process.stderr is not None
        started = time.monotonic()
        readers = {process.stdout: (_Lines(), self.lines), process.stderr: (_Lines(), self.errors)}
        with selectors.DefaultSelector() as selector:
            for stream, data in readers.items():
                selector.register(stream, selectors.EVENT_READ, data)
            while selector.get_map():
                has_ended = process.poll() is not None  # what it started may still hold its streams, and write to them
                _check_time(process, started, time_limit)
                chunks = [(key, os.read(key.fd, _PIPE)) for key, _ in selector.select(_LOOK)]
                if has_ended:  # all that it wrote is in the pipes, and read now
                    chunks += [(key, b"") for key in selector.get_map().values()]
                for key, chunk in chunks:
                    reader, kept = key.data
                    lines = reader.add(chunk)
                    kept.extend(lines)
                    if kept is self.lines:
                        yield from lines
                for closed in {key.fileobj for key, chunk in chunks if not chunk}:
                    selector.unregister(closed)
        while process.poll() is None:
            _check_time(process, started, time_limit)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK)


def _check_time(process: subprocess.Popen[bytes], started: float, time_limit: float | None) -> None:
    if time_limit is not None and time.monotonic() >= started + time_limit and process.poll() is None:
        raise TimeoutError(f"the run took longer than {time_limit:g} s")


class _Lines:
    """Bytes in, whole lines out."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def add(self, chunk: bytes) -> list[str]:
        """Return the lines that *chunk* ends; an empty one is the end, which ends the last line."""
        text = self._rest + self._decoder.decode(chunk, final=not chunk)
        *lines, self._rest = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        if self._rest and (not chunk or len(self._rest) > _LONGEST):
            lines, self._rest = [*lines, self._rest], ""
        return [line[:_LONGEST] for line in lines]
