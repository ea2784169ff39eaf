"""
Whether `retune()` decides rightly: real data that drifted, and the same data where nothing can have drifted.

    SLLMBO_DATA=DIR python benchmarks/retune.py [N_SEEDS]

Old and new rows are drawn at random, by the seed: both from one period, so that nothing has changed and the champion is
to be kept; or the new ones from a later period. Two data sets: the rented bikes of 2011 and 2012 (mean absolute error)
and gas sensors in their first two batches and in batches 3 to 6, months later (weighted F1). Prints Markdown tables:
the decisions, also where nothing has changed and it is tuned all the same; and how often a decay is found where only a
share of the new rows is from the later period (at 0 each is a false alarm).
"""

import logging
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import optuna
import pandas as pd

from sllmbo import Float, Int, SearchSpace, TuneResult, tune
from sllmbo.benchmarks._data import data_file
from sllmbo.tuner.retuning import RetuneResult, retune

Data: TypeAlias = tuple[pd.DataFrame, pd.DataFrame, str, str, int]
"""Rows of the first period, rows of the later one, target, metric, and how many rows are drawn."""
LATER = "of a later period"
CASES = {"of the same period": (0.0, False), LATER: (1.0, False), "of the same period, tuned all the same": (0.0, True)}
SHARES = (0.0, 0.05, 0.1, 0.2, 0.5)
BEFORE, AFTER = 8, 8
KINDS = {"mae": "regression", "f1_weighted": "classification"}
SPACE = SearchSpace(
    {
        "learning_rate": Float(0.01, 0.3, log=True, default=0.1),
        "num_leaves": Int(4, 128, log=True, default=31),
        "min_child_samples": Int(2, 100, log=True, default=20),
    }
)
QUICK: dict[str, Any] = {"cv": 2, "llm": "offline", "space": SPACE}


def bikes() -> Data:
    """Return the hours of 2011, and those of 2012."""
    frame = pd.read_parquet(data_file("bike_sharing.parquet"))
    left_out = ["instant", "dteday", "casual", "registered", "yr"]
    first = frame["yr"] == 0
    return frame[first].drop(columns=left_out), frame[~first].drop(columns=left_out), "cnt", "mae", 1_000


def gas() -> Data:
    """Return batches 1 and 2, and batches 3 to 6; the rows are in the order of the batches."""
    frame = pd.read_parquet(data_file("gas_drift.parquet"))
    first, later = frame[: 445 + 1244], frame[445 + 1244 : 445 + 1244 + 1586 + 161 + 197 + 2300]
    return first, later[later["Class"].isin(first["Class"].unique())], "Class", "f1_weighted", 600


def tuned(data: Data, seed: int) -> tuple[TuneResult, pd.Index]:
    """Return a champion that was tuned on rows of the first period, and the rows that are left."""
    first, _, target, metric, n = data
    drawn = np.random.default_rng(seed).permutation(len(first))
    old = first.iloc[drawn[:n]]
    about = {"metric": metric, "kind": KINDS[metric], "seed": seed, **QUICK}
    return tune("lightgbm", old.drop(columns=target), old[target], n_trials=BEFORE, **about), drawn[n:]


def ask(data: Data, champion: TuneResult, left: Any, share: float, seed: int, **options: Any) -> RetuneResult:
    """Ask about new rows, of which *share* is of the later period."""
    first, later, target, _, n = data
    n_later = round(share * n)
    new = pd.concat([first.iloc[left[: n - n_later]], later.sample(n_later, random_state=seed)])
    new = new.sample(frac=1.0, random_state=seed)
    return retune(champion, new.drop(columns=target), new[target], seed=seed, **options, **QUICK)


def table(*rows: Iterable[Any]) -> None:
    for number, row in enumerate(rows):
        print(f"| {' | '.join(map(str, row))} |", flush=True)
        if number == 0:
            print("| --- " * len(list(row)) + "|")


def main(n_seeds: int = 20) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("sllmbo").setLevel(logging.ERROR)
    decisions = [("data", "new rows", "right", "decayed", "verdicts", "decided rightly")]
    curve = [("decay found, of later rows", *(f"{share:.0%}" for share in SHARES))]
    for name, data in (("bikes", bikes()), ("gas", gas())):
        answers: dict[str, list[RetuneResult]] = {case: [] for case in CASES}
        found = dict.fromkeys(SHARES, 0)
        for seed in range(n_seeds):
            champion, left = tuned(data, seed)
            for case, (share, force) in CASES.items():
                answers[case].append(ask(data, champion, left, share, seed, n_trials=AFTER, force=force))
            for share in SHARES:
                found[share] += ask(data, champion, left, share, seed, n_trials=0).decayed
            print(f"{name}: seed {seed} is done", file=sys.stderr, flush=True)
        for case, given in answers.items():
            right = [a.replaces == (case == LATER) for a in given]
            told = ", ".join(f"{verdict} {n}" for verdict, n in Counter(a.verdict for a in given).items())
            decayed, wanted = sum(a.decayed for a in given), "replace" if case == LATER else "keep"
            decisions.append((name, case, wanted, decayed, told, f"{sum(right)} of {len(right)}"))
        curve.append((name, *(f"{count} of {n_seeds}" for count in found.values())))
    table(*decisions)
    print()
    table(*curve)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
