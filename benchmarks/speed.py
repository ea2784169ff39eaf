"""
What LLM-TPE's sampler takes per trial beside Optuna's TPE, with an instant advisor, at several lengths of a study.

    python benchmarks/speed.py [REPEATS]

Both samplers go on with the same trials, one trial each in turns, in one process; what the advisor itself takes is not
counted. Prints medians and their ratio as a Markdown table; "half fails" is a study in which every second trial failed.
"""

import statistics
import sys
import time

import numpy as np
import optuna
from optuna.trial import TrialState
from overhead import Instant, objective

import sllmbo
from sllmbo.samplers._record import PARAMS, SOURCE
from sllmbo.samplers._turns import TOLD, TURN
from sllmbo.samplers._worker import this_worker


class Clocked(Instant):
    """Notes what it takes itself."""

    seconds = 0.0

    def suggest(self, request):
        began = time.process_time()
        try:
            return super().suggest(request)
        finally:
            self.seconds += time.process_time() - began


def earlier_trials(n_trials: int, *, half_fails: bool) -> list[optuna.trial.FrozenTrial]:
    """Random trials as LLM-TPE records them, of either side in turns."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=n_trials)
    trials = []
    for trial in study.trials:
        failed = half_fails and trial.params["num_leaves"] > 45
        by_advisor = trial.number % 2 == 0
        record = {"number": trial.number, "turn": trial.number, "worker": this_worker()}
        trials.append(
            optuna.trial.create_trial(
                state=TrialState.FAIL if failed else TrialState.COMPLETE,
                params=trial.params,
                distributions=trial.distributions,
                value=None if failed else trial.value,
                user_attrs={SOURCE: "instant", PARAMS: trial.params} if by_advisor else {SOURCE: "tpe"},
                system_attrs={TURN: record, **({TOLD: True} if failed else {})},
            )
        )
    return trials


def milliseconds(study: optuna.Study, advisor: Clocked) -> float:
    """Run one trial of *study*."""
    advisor.seconds = 0.0
    began = time.process_time()
    trial = study.ask()
    study.tell(trial, objective(trial))
    return 1e3 * (time.process_time() - began - advisor.seconds)


def main(repeats: int = 30) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print("| trials before | | LLM-TPE, ms | TPE, ms | ratio of medians | ratio of means |\n|---|---|---|---|---|---|")
    for n_trials, half_fails in [(50, False), (100, False), (1000, False), (5000, False), (50, True), (1000, True)]:
        advisor = Clocked()
        samplers = sllmbo.LLMTPESampler(advisor, seed=0), optuna.samplers.TPESampler(seed=0)
        studies = [optuna.create_study(sampler=sampler) for sampler in samplers]
        for study in studies:
            study.add_trials(earlier_trials(n_trials, half_fails=half_fails))
        times = np.array([[milliseconds(study, advisor) for study in studies] for _ in range(repeats + 2)])[2:]
        ours, theirs = (statistics.median(column) for column in times.T)
        means = times.mean(axis=0)
        what = "half fails" if half_fails else ""
        print(
            f"| {n_trials} | {what} | {ours:.1f} | {theirs:.1f} | {ours / theirs:.2f} | {means[0] / means[1]:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
