"""
Prints the values themselves of a run of the suites with real training, as docs/results.md has them.

    python benchmarks/values.py DIR

DIR is a folder of `sllmbo bench`. Per problem and method, means over seeds: the best value after 5, 12 and all trials,
the held-out score of the best, and the differences to tpe+default with 95 % bootstrap intervals over common seeds.
"""

import sys
from pathlib import Path

import numpy as np

from sllmbo.benchmarks.folder import read_cells
from sllmbo.benchmarks.results import arm_of

BASELINE = "tpe+default"
RESAMPLES = 10_000


def at(record: dict, trials: int) -> tuple[float, float]:
    """Return the best value of the first *trials* trials, and the held-out score of that trial."""
    sign = 1.0 if record["known"]["direction"] == "minimize" else -1.0
    worked = [trial for trial in record["trials"][:trials] if trial["value"] is not None]
    best = min(worked, key=lambda trial: sign * trial["value"])
    return best["value"], best["truth"] if best["truth"] is not None else np.nan


def difference(studies: dict, base: dict, trials: int, which: int) -> str:
    common = sorted(studies.keys() & base.keys())
    apart = np.array([at(studies[seed], trials)[which] - at(base[seed], trials)[which] for seed in common])
    means = np.random.default_rng(0).choice(apart, (RESAMPLES, len(apart))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{apart.mean():+.5f} [{low:+.5f}, {high:+.5f}]"


def main(folder: Path) -> None:
    studies: dict[str, dict[str, dict[int, dict]]] = {}
    for record in read_cells(folder):
        cell = record["cell"]
        arm = arm_of(cell["method"], cell["advisor"])
        studies.setdefault(cell["problem"], {}).setdefault(arm, {})[cell["seed"]] = record
    for problem, arms in studies.items():
        trials = len(next(iter(arms[BASELINE].values()))["trials"])
        for arm, of_arm in arms.items():
            means = [np.mean([at(record, n)[0] for record in of_arm.values()]) for n in (5, 12, trials)]
            held_out = np.mean([at(record, trials)[1] for record in of_arm.values()])
            print(f"{problem}  {arm}  seeds {len(of_arm)}  ", "  ".join(f"{mean:.5f}" for mean in (*means, held_out)))
            if arm != BASELINE:
                base = arms[BASELINE]
                told = [f"at {n} {difference(of_arm, base, n, 0)}" for n in (12, trials)]
                print("    ", *told, f"held out {difference(of_arm, base, trials, 1)}", sep="  ")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
