"""
What choosing the estimator is worth: three tables, AutoML against each of its estimators alone, with as many trials.

    SLLMBO_DATA=FOLDER python benchmarks/automl.py RESULTS.jsonl [SEEDS] [FIRST_SEED]

Each seed draws rows, hold-out, folds and search. Trials see about 600 rows, so that held-out scores on 1,800 (412 for
concrete) are sharp; 25 trials, 3 folds, the rule advisor, no CatBoost, whose fits take too long here. An ensemble of up
to 6 is made of the trials of AutoML and of LightGBM. One line of JSON a run, appended; what is there is not run again.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import optuna
import pandas as pd

import sllmbo

TABLES = {
    # file, target, dropped, rows, share held out, what is run: AutoML and LightGBM first, then the others on its list
    "concrete": (
        "concrete_strength",
        "strength",
        [],
        1_030,
        0.4,
        ("auto", "lightgbm", "extra_trees", "svm", "xgboost"),
    ),
    "adult": (
        *("adult_census", "class", [], 2_400, 0.75),
        ("auto", "lightgbm", "extra_trees", "xgboost", "logistic_regression"),
    ),
    "energy": ("energy", "Appliances", ["date"], 2_400, 0.75, ("auto", "lightgbm", "extra_trees", "svm", "xgboost")),
}
AMONG = {
    "regression": "auto:lightgbm,xgboost,random_forest,extra_trees,svm,ridge,elastic_net,knn,mlp",
    "classification": "auto:lightgbm,xgboost,random_forest,extra_trees,svm,logistic_regression,ridge,knn,mlp",
}


def run(name: str, arm: str, seed: int) -> dict[str, Any]:
    """Return what came of one tuning."""
    file, target, dropped, rows, share, _ = TABLES[name]
    frame = pd.read_parquet(Path(os.environ["SLLMBO_DATA"]) / f"{file}.parquet").drop(columns=dropped)
    frame = frame.sample(min(rows, len(frame)), random_state=seed).reset_index(drop=True)
    kind = "classification" if name == "adult" else "regression"
    result = sllmbo.tune(
        AMONG[kind] if arm == "auto" else arm,
        frame.drop(columns=target),
        frame[target],
        n_trials=25,
        cv=3,
        llm="offline",
        seed=seed,
        holdout_share=share,
        ensemble=6 if arm in ("auto", "lightgbm") else None,
    )
    return {
        "table": name,
        "arm": arm,
        "seed": seed,
        "value": result.best_value,
        "default": result.default_value,
        "heldout": result.heldout_best,
        "heldout_default": result.heldout_default,
        "heldout_ensemble": result.heldout_ensemble,
        "won": result.estimator_name,
        "shortlist": [dict(entry) for entry in result.shortlist],
    }


def main(path: Path, n_seeds: int, first: int) -> None:
    """Run what is not in *path* yet: for each seed and table the two main arms, then the other estimators."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    lines = path.read_text().splitlines() if path.exists() else []
    done = {(line["table"], line["arm"], line["seed"]) for line in map(json.loads, lines)}
    for arms in (slice(0, 2), slice(2, None)):
        for seed in range(first, first + n_seeds):
            for name in TABLES:
                for arm in TABLES[name][-1][arms]:
                    if (name, arm, seed) in done:
                        continue
                    found = run(name, arm, seed)
                    with path.open("a") as file:
                        file.write(json.dumps(found) + "\n")
                    print(name, arm, seed, found["value"], found["heldout"], found["heldout_ensemble"], found["won"])


if __name__ == "__main__":
    given = dict(enumerate(map(int, sys.argv[2:])))
    main(Path(sys.argv[1]), given.get(0, 3), given.get(1, 21))
