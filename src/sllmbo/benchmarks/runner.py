"""
Methods x problems x seeds, each cell kept in a file of its own, so that an interrupted run goes on where it was.

A folder holds `run.json` (what all its cells have in common), `cells/` (one file for each finished cell, written at
once), and `results.csv`, made of the cells. More methods, problems and seeds may be run into the same folder later.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sllmbo.benchmarks.advisors import read_advisor
from sllmbo.benchmarks.cell import Cell, run_cell
from sllmbo.benchmarks.folder import cell_path, keep_cell, open_folder, write_results
from sllmbo.benchmarks.methods import read_method
from sllmbo.benchmarks.results import arm_of
from sllmbo.benchmarks.suites import choose_problems, load_suite
from sllmbo.errors import ConfigError

OnCell = Callable[[Cell, dict[str, Any], int, int], None]
"""Told of each finished cell: the cell, its record, how many are done, of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be run. Made by `make_plan`."""

    suite: str
    problems: tuple[str, ...]
    methods: tuple[str, ...]
    advisors: tuple[str, ...]
    seeds: tuple[int, ...]
    trials: int

    def arms(self) -> tuple[str, ...]:
        """Return the methods with their advisors, as they are called in results."""
        return tuple(dict.fromkeys(arm_of(cell.method, cell.advisor) for cell in self.cells()))

    def cells(self) -> tuple[Cell, ...]:
        """Return the cells; those of one problem and seed lie together."""
        return tuple(
            Cell(self.suite, problem, method, advisor, seed, self.trials)
            for problem in self.problems
            for seed in self.seeds
            for method in self.methods
            for advisor in (self.advisors if read_method(method).advised else ("",))
        )


def make_plan(
    suite: str,
    *,
    methods: Sequence[str],
    problems: Sequence[str] | None = None,
    advisors: Sequence[str] = ("rules",),
    seeds: Sequence[int],
    trials: int,
) -> Plan:
    """
    Return the plan, checked as far as it can be before anything is run.

    Args:
        suite: One of `SUITES`.
        methods: Names of methods, see `read_method`.
        problems: Names of problems of the suite, or what they begin with; all if None.
        advisors: Whom the advised methods ask, each of them; see `read_advisor`.
        seeds: One study of each method on each problem for each seed.
        trials: Trials of each study.

    Raises:
        ConfigError: If a name means nothing, or a number is not positive.
        MissingExtra: If something that is needed is not installed.
    """
    if trials < 1:
        raise ConfigError(f"trials={trials!r} must be at least 1.")
    for what, given in (("methods", methods), ("seeds", seeds), ("advisors", advisors)):
        if not given:
            raise ConfigError(f"{what}={given!r} must name at least one.")
    chosen = choose_problems(load_suite(suite), problems)
    specs = [read_advisor(text) for text in advisors]
    called: dict[str, str] = {}
    for spec in specs:
        other = called.setdefault(arm_of("", spec.text), spec.text)
        if other != spec.text:
            raise ConfigError(f"The advisors {other!r} and {spec.text!r} would be called the same; rename a file.")
    for name in methods:
        method = read_method(name)
        for spec in specs if method.advised else ():
            spec.check(method)
    return Plan(
        suite=suite,
        problems=chosen,
        methods=tuple(dict.fromkeys(methods)),
        advisors=tuple(dict.fromkeys(spec.text for spec in specs)),
        seeds=tuple(dict.fromkeys(seeds)),
        trials=trials,
    )


def run_plan(plan: Plan, folder: Path, *, jobs: int = 1, on_cell: OnCell | None = None) -> None:
    """
    Run the cells of *plan* that *folder* does not hold yet, and write `results.csv`.

    Args:
        plan: What is to be run.
        folder: Where all is kept. Made if missing.
        jobs: Worker processes; with 1 the cells run in this process.
        on_cell: Told of each finished cell.

    Raises:
        ConfigError: If *folder* holds cells that were run otherwise.
    """
    if jobs < 1:
        raise ConfigError(f"jobs={jobs!r} must be at least 1.")
    files = [spec.file for spec in map(read_advisor, plan.advisors) if spec.file is not None]
    open_folder(folder, suite=plan.suite, trials=plan.trials, files=files)
    cells = plan.cells()
    missing = [cell for cell in cells if not cell_path(folder, cell).exists()]
    done = len(cells) - len(missing)
    try:
        for cell, record in _run_here(missing, folder) if jobs == 1 else _run_there(missing, folder, jobs):
            done += 1
            if on_cell is not None:
                on_cell(cell, record, done, len(cells))
    finally:
        write_results(folder)


def _run_here(cells: Iterable[Cell], folder: Path) -> Iterator[tuple[Cell, dict[str, Any]]]:
    for cell in cells:
        yield cell, _run_and_keep(cell, folder)


def _run_there(cells: Sequence[Cell], folder: Path, jobs: int) -> Iterator[tuple[Cell, dict[str, Any]]]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(jobs, max(len(cells), 1)), mp_context=context, initializer=_be_worker)
    running: dict[Future[dict[str, Any]], Cell] = {}
    waiting = iter(cells)
    try:
        while True:
            for cell in waiting:
                running[pool.submit(_run_and_keep, cell, folder)] = cell
                if len(running) >= 2 * jobs:
                    break
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    finally:  # what runs is finished and kept; what waits is not begun
        pool.shutdown(wait=True, cancel_futures=True)


def _be_worker() -> None:
    """Leave Ctrl-C and signals to the group to the parent, and end with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _run_and_keep(cell: Cell, folder: Path) -> dict[str, Any]:
    with _quiet():
        record = run_cell(cell)
    keep_cell(folder, cell, record)
    return record


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Say nothing of fallbacks and the like, for each is on record; in this process all is as before afterwards."""
    import optuna

    logger, verbosity = logging.getLogger("sllmbo"), optuna.logging.get_verbosity()
    level = logger.level
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        optuna.logging.set_verbosity(verbosity)
