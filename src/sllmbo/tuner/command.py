"""
`Command`: a program as an objective. Each trial runs it once, without a shell, and reads off it what it measured.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import Trial

from sllmbo.errors import ConfigError, SpaceError
from sllmbo.samplers._repeats import evaluations
from sllmbo.space import SearchSpace
from sllmbo.tuner._output import Output

_logger = logging.getLogger("sllmbo")

TRIAL, SEED = "trial", "seed"
"""Placeholders beside those of the parameters."""

_PLACEHOLDER = re.compile(r"\{\{([\w.-]+)\}\}|\{([A-Za-z_][\w.-]*)\}")
_REPORT = re.compile(r"\s*sllmbo:\s+(?:step=(\d+)\s+)?value=(\S+)\s*")
_RESULT = re.compile(r"(?:\s*([A-Za-z_][\w./-]*)\s*[=:])?\s*(\S+)\s*")
_OUT_OF_MEMORY = re.compile(
    r"MemoryError\b|out of memory|OutOfMemory|std::bad_alloc|Cannot allocate memory|^\s*Killed\s*$", re.IGNORECASE
)
_TRACEBACK = re.compile(r"(?:\w+\.)*(_?[A-Z]\w*(?:Error|Exception))(?:: (.*))?")
_GRACE = 3.0
"""Seconds between the request to end and the kill."""


@dataclass(frozen=True, slots=True)
class Command:
    """
    An objective that runs a program: `sllmbo.tune_objective(Command("python train.py --lr {lr}"), space)`.

    The command is split into words as a shell would, and then each `{name}` is replaced by the parameter's value, so
    that a value is never more than a part of its word. A word with a parameter that the configuration does not have (by
    its condition) is left out, and with it the option before it, where that stands alone. `{trial}` is the number of
    the trial, also in the environment as SLLMBO_TRIAL, and `{seed}` is *seed* plus the number of earlier runs of the
    same configuration. `{{name}}` stands for `{name}` itself.

    While it runs, a line `sllmbo: step=3 value=0.41` on its standard output reports a value, by which a pruner may end
    it early. Its value is read from *value_file*, else from a line `sllmbo: value=0.41`, else from the last line of its
    standard output: a number, `name=0.41`, `name: 0.41`, or a report.

    Args:
        text: The command, with a placeholder for each parameter.
        value_file: `FILE` or `FILE:KEY`: a JSON file that each run writes, and where in it the value lies ("a.b" is b
            in a). The name of the file may have placeholders.
        metric: What the name in the last line must be, if it has one; "" for any.
        time_limit: Seconds after which a run is ended; None for no limit.
        seed: Of `{seed}`.
        logs: Folder for the last lines that each run printed, one file per trial; None for none.

    Raises:
        ConfigError: If the command is empty, cannot be split, or names a program that is not there.
    """

    text: str
    value_file: str | None = None
    metric: str = ""
    time_limit: float | None = None
    seed: int = 0
    logs: Path | None = None

    def __post_init__(self) -> None:
        if os.name != "posix":
            raise ConfigError("A command is run in a process group, which this system has not; give a function.")
        if self.time_limit is not None and not self.time_limit > 0:
            raise ConfigError(f"The time limit {self.time_limit!r} must be positive; leave it out for no limit.")
        program = _words(self.text)[0]
        if not _PLACEHOLDER.search(program) and shutil.which(program) is None:
            raise ConfigError(f"The program {program!r} of the command is not there; check its name and the PATH.")

    def check(self, space: SearchSpace) -> None:
        """
        Check that the placeholders are the parameters of *space*.

        Raises:
            SpaceError: If one is no parameter, or a parameter has none.
        """
        named = _names(self.text)
        for name in space:
            if name in (TRIAL, SEED):
                raise SpaceError(f"The parameter {name!r} has the name of a placeholder of each command; rename it.")
            if name not in named:
                raise SpaceError(
                    f"The command has no placeholder {{{name}}} for the parameter {name!r}; add it to the command, or "
                    "take the parameter out of the search space."
                )
        for name in sorted((named | _names(self.value_file or "")) - {TRIAL, SEED, *space}):
            raise SpaceError(
                f"The placeholder {{{name}}} of the command is no parameter of the search space; add the parameter, or "
                f"write {{{{{name}}}}} for the braces themselves."
            )

    def __call__(self, trial: Trial) -> float:
        """
        Run the command with the parameters of *trial* and return the value.

        Raises:
            MemoryError: If the run was out of memory.
            TimeoutError: If it took longer than the time limit.
            ChildProcessError: If it ended with another exit code than 0; a subclass with the name of the error where
                its standard error ends with that of a Python program.
            FloatingPointError: If the value is not finite.
            ValueError: If it left no value.
            TrialPruned: If a pruner ended it.
            ConfigError: If the program cannot be started at all.
        """
        fills = self._fills(trial)
        words = list(_filled(_words(self.text), fills))
        path, key = self._place(fills)
        before = _stamp(path)
        output = Output()
        try:
            code = self._run(words, trial, output)
        finally:
            if self.logs is not None:
                _keep(output, self.logs / f"{trial.number}.txt")
        if code != 0:
            raise _error_of(code, output)
        if path is None:
            value = _read_output(output, self.metric)
        elif _stamp(path) == before:
            raise ValueError(f"the run did not write the file {path.name}")
        else:
            value = _read_file(path, key)
        if not math.isfinite(value):
            raise FloatingPointError(f"the value was {value}")
        return value

    def _fills(self, trial: Trial) -> dict[str, str]:
        fills = {name: str(value) for name, value in trial.params.items()}
        if SEED in _names(f"{self.text} {self.value_file or ''}"):
            fills[SEED] = str(self.seed + evaluations(trial.study, trial.params, before=trial.number))
        return {**fills, TRIAL: str(trial.number)}

    def _place(self, fills: dict[str, str]) -> tuple[Path | None, str]:
        if self.value_file is None:
            return None, ""
        name, _, key = self.value_file.rpartition(":") if ":" in self.value_file else (self.value_file, "", "")
        return Path(_PLACEHOLDER.sub(lambda match: _fill(match, fills), name)), key

    def _run(self, words: list[str], trial: Trial, output: Output) -> int:
        """Run *words*, telling *trial* what is reported; return the exit code. Nothing of the run outlives the call."""
        environment = {**os.environ, "SLLMBO_TRIAL": str(trial.number), "PYTHONUNBUFFERED": "1"}
        try:
            process = subprocess.Popen(  # noqa: S603  # the command is the user's own, and no shell reads it
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise ConfigError(f"The program {words[0]!r} cannot be started ({error.strerror}); check it.") from error
        steps: set[int] = set()
        with process:
            try:
                for line in output.lines_of(process, self.time_limit):
                    _report(trial, line, steps)
                    if (match := _REPORT.fullmatch(line)) is not None and match.group(1) is None:
                        output.value = line
            finally:
                _end(process)
        return process.returncode


def _words(text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"The command {text!r} cannot be split into words ({error}); check its quotes.") from error
    if not words:
        raise ConfigError("The command is empty; give a program and its options.")
    return words


def _names(text: str) -> set[str]:
    """Return the names of the placeholders in *text*."""
    return {match.group(2) for match in _PLACEHOLDER.finditer(text) if match.group(2)}


def _filled(words: list[str], fills: dict[str, str]) -> Iterator[str]:
    """Yield *words* with their placeholders filled in, without those that lack a value and the options before them."""
    kept: list[str] = []
    for word in words:
        if _names(word) <= fills.keys():
            kept.append(_PLACEHOLDER.sub(lambda match: _fill(match, fills), word))
        elif word.startswith("{") and kept and kept[-1].startswith("-") and "=" not in kept[-1]:
            kept.pop()
    yield from kept


def _fill(match: re.Match[str], fills: dict[str, str]) -> str:
    literal, name = match.groups()
    return f"{{{literal}}}" if literal else fills.get(name, match.group())


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the process group: at once where its leader is done, else after a request."""
    if process.poll() is None:
        _signal_group(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
    _signal_group(process, signal.SIGKILL)


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left; macOS says it the second way
        os.killpg(process.pid, number)


def _report(trial: Trial, line: str, steps: set[int]) -> None:
    match = _REPORT.fullmatch(line)
    if match is None or match.group(1) is None or int(match.group(1)) in steps:
        return
    value = _number(match.group(2))
    if value is None:
        return
    steps.add(int(match.group(1)))
    trial.report(value, int(match.group(1)))
    if trial.should_prune():
        raise optuna.TrialPruned


def _error_of(code: int, output: Output) -> Exception:
    lines = [*output.errors, *output.lines]
    said = next((line for line in reversed(lines) if _OUT_OF_MEMORY.search(line)), "")
    if said:
        named = _TRACEBACK.fullmatch(said.strip())
        told = named.group(2) if named and named.group(1).endswith("MemoryError") and named.group(2) else said.strip()
        return MemoryError(f"{told} ({_ending(code)})")
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return MemoryError(f"the run was killed, as it is when memory is short ({_ending(code)})")
    last = output.last_error or output.last_line
    match = _TRACEBACK.fullmatch(last)
    if match is None:
        return ChildProcessError(f"{_ending(code)}{': ' * bool(last)}{last}")
    kind = type(match.group(1), (ChildProcessError,), {})  # failures are counted by class: that which the run has told
    error: Exception = kind(f"{match.group(2) or ''} ({_ending(code)})".strip())
    return error


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def _read_output(output: Output, metric: str) -> float:
    last = output.value or output.last_line
    if not last:
        raise ValueError("the run printed no value on its standard output")
    report = _REPORT.fullmatch(last)
    if report is not None:
        return _float(report.group(2), last)
    match = _RESULT.fullmatch(last)
    if match is None:
        raise ValueError(f"the last line of the standard output is no value: {last}")
    name, told = match.groups()
    if name and metric and name != metric:
        raise ValueError(f"the last line of the standard output is about {name}, not about {metric}: {last}")
    return _float(told, last)


def _float(text: str, line: str) -> float:
    value = _number(text)
    if value is None:
        raise ValueError(f"the last line of the standard output is no value: {line}")
    return value


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _stamp(path: Path | None) -> tuple[int, ...] | None:
    """Return what changes when the file is written; None where there is none."""
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return None if found is None else (found.st_ino, found.st_mtime_ns, found.st_size)


def _read_file(path: Path, key: str) -> float:
    try:
        found: Any = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"the file {path.name} is no JSON: {error}") from error
    for name in [key] if isinstance(found, dict) and key in found else key.split(".") if key else []:
        if not isinstance(found, dict) or name not in found:
            raise ValueError(f"the file {path.name} has no {key}")
        found = found[name]
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise ValueError(f"what the file {path.name} has{f' at {key}' * bool(key)} is no number: {found!r}")
    return float(found)


def _keep(output: Output, path: Path) -> None:
    """Write what a run printed; a disk that is full or a folder in the way costs the log, not the value."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(output.text(), encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        _logger.warning(
            "The output of a trial cannot be kept in %r (%s); the study goes on.", str(path), error.strerror
        )
