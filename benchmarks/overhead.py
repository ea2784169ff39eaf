"""
What the sampler costs beside Optuna's TPE: CPU time of whole studies with an instant advisor, paired in one run.

    python benchmarks/overhead.py [TRIALS] [PAIRS]

Prints the ratio LLMTPESampler / TPESampler of each pair, and their mean with a 95 % interval (Student's t).
"""

import sys
import time

import numpy as np
import optuna
from scipy import stats

import sllmbo
from sllmbo.advisors import Advice, AdviceRequest, SpaceDesign
from sllmbo.errors import AdviceError


class Instant:
    """Draws at random, at once."""

    def design_space(self, task: sllmbo.Task) -> SpaceDesign:
        raise AdviceError("no space")

    def suggest(self, request: AdviceRequest) -> list[Advice]:
        rng = np.random.default_rng(request.turn)
        return [Advice(params=request.space.sample(rng), source="instant") for _ in range(request.n)]


def objective(trial: optuna.Trial) -> float:
    leaves = trial.suggest_int("num_leaves", 8, 256, log=True)
    depth = trial.suggest_int("max_depth", 3, 16)
    rate = trial.suggest_float("learning_rate", 1e-3, 0.3, log=True)
    trees = trial.suggest_int("n_estimators", 50, 1000, step=10)
    child = trial.suggest_int("min_child_samples", 5, 100)
    rows = trial.suggest_float("subsample", 0.5, 1)
    columns = trial.suggest_float("colsample_bytree", 0.5, 1)
    alpha = trial.suggest_float("reg_alpha", 1e-8, 10, log=True)
    boosting = trial.suggest_categorical("boosting", ["gbdt", "dart", "goss"])
    return leaves / 256 + depth / 16 + rate + trees / 1000 + child / 100 + rows + columns + alpha / 10 + len(boosting)


def seconds(sampler: optuna.samplers.BaseSampler, n_trials: int) -> float:
    study = optuna.create_study(sampler=sampler)
    start = time.process_time()
    study.optimize(objective, n_trials=n_trials)
    return time.process_time() - start


def main(n_trials: int = 100, pairs: int = 8) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seconds(sllmbo.LLMTPESampler(Instant(), seed=0), 20)
    ratios = []
    for seed in range(pairs):
        ours, theirs = sllmbo.LLMTPESampler(Instant(), seed=seed), optuna.samplers.TPESampler(seed=seed)
        if seed % 2:
            theirs_s, ours_s = seconds(theirs, n_trials), seconds(ours, n_trials)
        else:
            ours_s, theirs_s = seconds(ours, n_trials), seconds(theirs, n_trials)
        ratios.append(ours_s / theirs_s)
        print(f"{n_trials} trials, seed {seed}: {ours_s:.2f} s / {theirs_s:.2f} s = {ratios[-1]:.2f}", flush=True)
    half = stats.sem(ratios) * stats.t.ppf(0.975, len(ratios) - 1)
    print(
        f"{n_trials} trials: ratio {np.mean(ratios):.2f} [{np.mean(ratios) - half:.2f}, {np.mean(ratios) + half:.2f}]"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
