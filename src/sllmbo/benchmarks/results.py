"""
The results of a benchmark as arrays of regret: arm x problem x seed x trial.

Two regrets are kept of each trial. *regret* is that of the best configuration evaluated so far, by true values (by the
values themselves where these are exact): what the search has found. *chosen_regret* is the true regret of the
configuration with the best single value so far: what somebody gets who believes the values; of a method that repeats
its leaders, that of the configuration that it chooses by all values. They differ on noisy problems, and where the true
value is a held-out score.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sllmbo.benchmarks.folder import RESULTS, read_cells
from sllmbo.errors import ConfigError

Array = NDArray[np.float64]
MEASURES = ("regret", "chosen_regret")

NOTHING_YET = 1.0
"""The regret of a study in which no trial has succeeded so far: that of the median configuration."""


@dataclass(frozen=True, slots=True)
class Results:
    """Regrets of the studies that all arms have in common, so that every comparison is paired."""

    suite: str
    arms: tuple[str, ...]
    """Methods, with their advisor in brackets."""
    problems: tuple[str, ...]
    seeds: tuple[int, ...]
    regrets: Mapping[str, Array]
    """By measure: arm x problem x seed x trial."""
    failed: Array
    """Share of failed trials: arm."""
    failed_late: Array
    """The same from two fifths of the trials on, such as from trial 20 of 50."""
    tokens: Array
    """Tokens of a study: arm."""
    seconds: Array
    """Seconds of the sampler for one trial: arm."""
    left_out: int
    """Studies of problems or seeds that some arm lacks."""

    @property
    def trials(self) -> int:
        """Trials of each study."""
        return int(self.regrets["regret"].shape[-1])


def arm_of(method: str, advisor: str) -> str:
    """Return how a method with its advisor is called: "llm-tpe [rules]", files without their folders."""
    if not advisor:
        return method
    kind, colon, rest = advisor.partition(":")
    parts = [
        Path(part).name if "/" in part and kind in ("openings", "paper", "replay") else part for part in rest.split(":")
    ]
    return f"{method} [{kind}{colon}{':'.join(parts)}]"


def arms_in(folder: Path) -> tuple[str, ...]:
    """Return the arms of the finished studies in *folder*."""
    cells = [record["cell"] for record in read_cells(folder)]
    return tuple(dict.fromkeys(arm_of(cell["method"], cell["advisor"]) for cell in cells))


def read_results(folder: Path) -> Results:
    """
    Return what `results.csv` in *folder* says.

    Raises:
        ConfigError: If there is none, or the arms have no study in common.
    """
    try:
        with (folder / RESULTS).open(newline="", encoding="utf-8") as file:
            return tabulate(csv.DictReader(file))
    except OSError as error:
        raise ConfigError(f"There is no {RESULTS} in {str(folder)!r}; run `sllmbo bench` first.") from error


def tabulate(rows: Iterable[Mapping[str, Any]]) -> Results:
    """
    Return *rows*, lines of `results.csv`, as arrays, without the studies that some arm lacks.

    Raises:
        ConfigError: If the arms have no study in common.
    """
    studies: dict[tuple[str, str, int], list[Mapping[str, Any]]] = {}
    suite = ""
    for row in rows:
        suite = row["suite"]
        key = (arm_of(row["method"], row["advisor"]), row["problem"], int(row["seed"]))
        studies.setdefault(key, []).append(row)
    arms = tuple(dict.fromkeys(arm for arm, _, _ in studies))
    seeds = tuple(sorted({seed for _, _, seed in studies}))
    seeds_of = {
        problem: {seed for seed in seeds if all((arm, problem, seed) in studies for arm in arms)}
        for problem in dict.fromkeys(problem for _, problem, _ in studies)
    }
    problems = tuple(problem for problem, there in seeds_of.items() if there)
    common = set.intersection(*(seeds_of[problem] for problem in problems)) if problems else set()
    seeds = tuple(seed for seed in seeds if seed in common)
    if not seeds:
        what = "problems have no seed" if problems else "methods have no problem and seed"
        raise ConfigError(f"The {what} in common; run all methods with the same seeds on the same problems.")
    grid = [[[studies[arm, problem, seed] for seed in seeds] for problem in problems] for arm in arms]
    n_trials = len(grid[0][0][0])
    return Results(
        suite=suite,
        arms=arms,
        problems=problems,
        seeds=seeds,
        regrets={measure: _regrets(grid, measure) for measure in MEASURES},
        failed=_over_trials(grid, "failed").mean(axis=1),
        failed_late=_over_trials(grid, "failed")[:, 2 * n_trials // 5 :].mean(axis=1),
        tokens=_over_trials(grid, "tokens").sum(axis=1),
        seconds=_over_trials(grid, "seconds").mean(axis=1),
        left_out=len(studies) - len(arms) * len(problems) * len(seeds),
    )


_Study = Sequence[Mapping[str, Any]]
_Grid = Sequence[Sequence[Sequence[_Study]]]


def _over_trials(grid: _Grid, column: str) -> Array:
    """Return a column as means over problems and seeds: arm x trial."""
    values = [[[[float(row[column]) for row in study] for study in p] for p in arm] for arm in grid]
    return np.asarray(np.array(values).mean(axis=(1, 2)), dtype=float)


def _regrets(grid: _Grid, measure: str) -> Array:
    return np.array(
        [
            [[[_regret(row[measure]) for row in study] for study in on_problem] for on_problem in on_arm]
            for on_arm in grid
        ]
    )


def _regret(text: Any) -> float:
    return NOTHING_YET if text in ("", None) else float(text)
