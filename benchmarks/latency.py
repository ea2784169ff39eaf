"""
What waiting for the advisor costs a study, and what is left of it with prefetch: wall time with real sleeps.

    python benchmarks/latency.py [TRIALS] [SCALE]

Trials take 3 s and answers 2 s (and 8 s, slower than trials), all divided by SCALE. A coin gives half of the turns to
the advisor, the same ones in each row. Prints a table; with the defaults it takes about a minute.
"""

import statistics
import sys
import time

import numpy as np
import optuna

import sllmbo
from sllmbo.advisors import Advice, AdviceRequest, SpaceDesign
from sllmbo.errors import AdviceError
from sllmbo.samplers import Bernoulli

TRIAL, ANSWER, SLOW_ANSWER = 3.0, 2.0, 8.0
SPACE = sllmbo.SearchSpace({name: sllmbo.Float(-5.0, 5.0, default=3.0) for name in "abcd"})


class Slow:
    """Takes its time, and steps from the best trial."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked = 0

    def design_space(self, task: sllmbo.Task) -> SpaceDesign:
        raise AdviceError("no space")

    def suggest(self, request: AdviceRequest) -> list[Advice]:
        time.sleep(self.seconds)
        self.asked += 1
        rng = np.random.default_rng(request.turn)
        best = request.history.best
        centre = best.params if best is not None else request.space.default_params() or {}
        points = [
            {name: float(np.clip(centre[name] + rng.normal(), -5, 5)) for name in SPACE} for _ in range(request.n)
        ]
        return [Advice(params=point, source="stepper") for point in points]


def run(answer: float, trial_seconds: float, n_trials: int, *, prefetch: bool) -> dict[str, float | str]:
    """Return what a study of *n_trials* has taken, and who served its trials."""

    def objective(trial: optuna.Trial) -> float:
        value = sum(trial.suggest_float(name, -5.0, 5.0) ** 2 for name in SPACE)
        time.sleep(trial_seconds)
        return value

    advisor = Slow(answer)
    task = sllmbo.Task(n_trials=n_trials)
    mixing = Bernoulli(0.5)
    sampler = sllmbo.LLMTPESampler(advisor, space=SPACE, task=task, mixing=mixing, seed=0, prefetch=prefetch)
    study = optuna.create_study(sampler=sampler)
    start = time.monotonic()
    study.optimize(objective, n_trials=n_trials)
    seconds = time.monotonic() - start
    attrs = [trial.user_attrs for trial in study.trials]
    kinds = [found["sllmbo:fallback"]["kind"] for found in attrs if "sllmbo:fallback" in found]
    ages = [found["sllmbo:asked"]["missed"] for found in attrs if "sllmbo:asked" in found and "sllmbo:params" in found]
    return {
        "seconds": seconds,
        "advised": sum(found["sllmbo:source"] == "stepper" for found in attrs),
        "late": kinds.count("Late"),
        "stale": kinds.count("Stale"),
        "age": f"{statistics.mean(ages):.1f} (at most {max(ages)})" if ages else "0",
        "asked": advisor.asked,
    }


def main(n_trials: int = 25, scale: float = 10.0) -> None:
    """Print the table."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    run(0.0, 0.0, n_trials, prefetch=True)  # imports and caches
    arms = [("instant", 0.0, False), ("2 s, waited for", ANSWER, False), ("2 s, prefetch", ANSWER, True)]
    arms += [("8 s, waited for", SLOW_ANSWER, False), ("8 s, prefetch", SLOW_ANSWER, True)]
    print(f"{n_trials} trials of {TRIAL:g} s; all times are divided by {scale:g}.\n", flush=True)
    print("| advisor | wall time, s | of instant | advised trials | late turns | stale | age in trials | questions |")
    print("|---|---|---|---|---|---|---|---|")
    instant = 0.0
    for name, answer, prefetch in arms:
        found = run(answer / scale, TRIAL / scale, n_trials, prefetch=prefetch)
        instant = instant or float(found["seconds"])
        shares = f"{found['seconds']:.2f} | {float(found['seconds']) / instant:.3f}"
        counts = " | ".join(str(found[key]) for key in ("advised", "late", "stale", "age", "asked"))
        print(f"| {name} | {shares} | {counts} |", flush=True)


if __name__ == "__main__":
    main(*[kind(word) for kind, word in zip((int, float), sys.argv[1:], strict=False)])
