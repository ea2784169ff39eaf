"""
Whether `retune()` decides rightly: real data that drifted, and the same data where nothing can have drifted.

    SLLMBO_DATA=DIR python benchmarks/retune.py [N_SEEDS]

Old and new rows are drawn at random, by the seed: both from one period, so that nothing has changed and the champion is
to be kept; or the new ones from a later period. Two data sets: the rented bikes of 2011 and 2012 (mean absolute error)
and gas sensors in their first two batches and in batches 3 to 6, months later (accuracy). Prints Markdown tables:
the decisions, also where nothing has changed and it is tuned all the same; and how often a decay is found where only a
share of the new rows is from the later period.
"""

import logging
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import optuna
import pandas as pd

from sllmbo import Float, Int, SearchSpace, TuneResult, tune
from sllmbo.benchmarks._data import data_file
from sllmbo.tuner.retuning import RetuneResult, retune

Row: TypeAlias = tuple[Any, ...]
Data: TypeAlias = tuple[pd.DataFrame, pd.DataFrame, str, dict[str, Any], int]
"""Rows of the first period, rows of the later one, target, what is tuned, and how many rows are drawn."""
LATER = "of a later period"
CASES = {"of the same period": (0.0, False), LATER: (1.0, False), "of the same period, tuned all the same": (0.0, True)}
SHARES = (0.05, 0.1, 0.2, 0.5)
N_TRIALS = 6
TREES = SearchSpace(
    {
        "learning_rate": Float(0.01, 0.3, log=True, default=0.1),
        "num_leaves": Int(4, 128, log=True, default=31),
        "min_child_samples": Int(2, 100, log=True, default=20),
    }
)
"""For LightGBM with its 100 trees, so that a fit is quick."""
QUICK: dict[str, Any] = {"cv": 2, "llm": "offline"}


def bikes(**about: Any) -> Data:
    """Return the hours of 2011, and those of 2012."""
    about |= {"kind": "regression", "metric": "mae"}
    frame = pd.read_parquet(data_file("bike_sharing.parquet"))
    left_out = ["instant", "dteday", "casual", "registered", "yr"]
    first = frame["yr"] == 0
    return frame[first].drop(columns=left_out), frame[~first].drop(columns=left_out), "cnt", about, 1_000


def gas(**about: Any) -> Data:
    """Return batches 1 and 2, and batches 3 to 6; the rows are in the order of the batches."""
    about |= {"kind": "classification", "metric": "accuracy"}
    frame = pd.read_parquet(data_file("gas_drift.parquet"))
    first, later = frame[: 445 + 1244], frame[445 + 1244 : 445 + 1244 + 1586 + 161 + 197 + 2300]
    return first, later[later["Class"].isin(first["Class"].unique())], "Class", about, 600


def cases() -> dict[str, Data]:
    """Return the data by name."""
    return {
        "bikes, LightGBM": bikes(estimator="lightgbm", space=TREES),
        "bikes, neighbours": bikes(estimator="knn"),
        "gas, neighbours": gas(estimator="knn"),
    }


def tuned(data: Data, seed: int) -> tuple[TuneResult, pd.Index]:
    """Return a champion that was tuned on rows of the first period, and the rows that are left."""
    first, _, target, about, n = data
    drawn = np.random.default_rng(seed).permutation(len(first))
    old = first.iloc[drawn[:n]]
    about = {"n_trials": N_TRIALS, "seed": seed, **about, **QUICK}
    return tune(X=old.drop(columns=target), y=old[target], **about), drawn[n:]


def ask(data: Data, champion: TuneResult, left: Any, share: float, seed: int, **options: Any) -> RetuneResult:
    """Ask about new rows, of which *share* is of the later period."""
    first, later, target, about, n = data
    n_later = round(share * n)
    new = pd.concat([first.iloc[left[: n - n_later]], later.sample(n_later, random_state=seed)])
    new = new.sample(frac=1.0, random_state=seed)
    return retune(champion, new.drop(columns=target), new[target], seed=seed, **options, **about, **QUICK)


def table(*rows: Iterable[Any]) -> None:
    for number, row in enumerate(rows):
        print(f"| {' | '.join(map(str, row))} |", flush=True)
        if number == 0:
            print("| --- " * len(list(row)) + "|")


def measure(data: Data, seed: int) -> tuple[dict[str, RetuneResult], dict[float, bool]]:
    """Return the answers by case, and by share of later rows whether a decay is found."""
    champion, left = tuned(data, seed)
    answers = {
        case: ask(data, champion, left, share, seed, n_trials=N_TRIALS, force=force)
        for case, (share, force) in CASES.items()
    }
    return answers, {share: ask(data, champion, left, share, seed, n_trials=0).decayed for share in SHARES}


def told(name: str, measured: Sequence[tuple[dict[str, RetuneResult], dict[float, bool]]]) -> tuple[list[Row], Row]:
    """Return the rows of the two tables."""
    decisions: list[Row] = []
    for case in CASES:
        given = [answers[case] for answers, _ in measured]
        right = sum(answer.replaces == (case == LATER) for answer in given)
        verdicts = ", ".join(f"{verdict} {n}" for verdict, n in Counter(a.verdict for a in given).items())
        wanted, decayed = "replace" if case == LATER else "keep", sum(a.decayed for a in given)
        decisions.append((name, case, wanted, decayed, verdicts, f"{right} of {len(given)}"))
    found = (sum(by_share[share] for _, by_share in measured) for share in SHARES)
    return decisions, (name, *(f"{count} of {len(measured)}" for count in found))


def main(n_seeds: int = 20) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("sllmbo").setLevel(logging.ERROR)
    rows = [told(name, [measure(data, seed) for seed in range(n_seeds)]) for name, data in cases().items()]
    table(
        ("data", "new rows", "right", "decayed", "verdicts", "decided rightly"),
        *(row for more, _ in rows for row in more),
    )
    print()
    table(("decay found, of later rows", *(f"{share:.0%}" for share in SHARES)), *(row for _, row in rows))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
