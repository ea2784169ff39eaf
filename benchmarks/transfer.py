"""
What it is worth to start from earlier studies: each table of HPOBench-NN after studies of the seven others.

    python benchmarks/transfer.py [SEEDS]

SEEDS is a range such as 0-19. Per table and seed, studies of 50 trials by LLM-TPE with the built-in rules: without
transfer; with transfer, in a storage with such studies of the other seven tables; and with transfer where the values of
those seven were turned round, so that what they found best is their worst. Prints Markdown tables of the true regret of
the configuration with the best value, with the mean of the paired differences and its interval of 95 %.
"""

import sys
import warnings
from dataclasses import replace

import numpy as np
import optuna

from sllmbo import Tuner
from sllmbo.benchmarks.cell import study_seed
from sllmbo.benchmarks.problem import Problem
from sllmbo.benchmarks.statistics import Array, interval, stratified_weights
from sllmbo.benchmarks.suites import load_suite
from sllmbo.samplers import study_history

N_TRIALS = 50
AT = (5, 12, 25, 50)
WITHOUT, WITH, MISLED = "without transfer", "transfer", "transfer, misled"


def run(problem: Problem, seed: int, *, storage: optuna.storages.BaseStorage, transfer: bool) -> optuna.Study:
    """Run a study in *storage*."""
    seed = study_seed("tables", problem.name, seed)
    tuner = Tuner(
        problem.space,
        task=replace(problem.task, n_trials=N_TRIALS),
        llm="offline",
        storage=storage,
        study_name=problem.name,
        seed=seed,
        fixed_space=True,
        transfer=transfer,
    )
    evaluate, repeats = problem.in_study(seed), {}
    for _ in range(N_TRIALS):
        trial = tuner.ask()
        key = repr(sorted(trial.params.items()))
        tuner.tell(trial, evaluate(trial.params, repeats.get(key, 0)))
        repeats[key] = repeats.get(key, 0) + 1
    return tuner.study


def copied(study: optuna.Study, storage: optuna.storages.BaseStorage, *, turned: bool) -> None:
    """Copy a study into *storage*, where wanted with its values turned round."""
    copy = optuna.create_study(storage=storage, study_name=study.study_name, direction="maximize")
    for name, value in study.user_attrs.items():
        copy.set_user_attr(name, value)
    trials = study.get_trials()
    for trial in trials:
        trial.values = [-trial.value if turned else trial.value]
    copy.add_trials(trials)


def regrets(problem: Problem, study: optuna.Study) -> list[float]:
    """Return the true regret of the configuration with the best value, after so many trials."""
    best = [max(study_history(study)[:n], key=lambda o: o.value) for n in AT]
    return [problem.regret(problem.truth(o.params)) for o in best]


def measure(problems: list[Problem], seeds: list[int]) -> dict[str, Array]:
    """Return the regrets by arm: table x seed x checkpoint."""
    found = {arm: np.zeros((len(problems), len(seeds), len(AT))) for arm in (WITHOUT, WITH, MISLED)}
    for column, seed in enumerate(seeds):
        memory = optuna.storages.InMemoryStorage
        alone = {p.name: run(p, seed, storage=memory(), transfer=False) for p in problems}
        for row, problem in enumerate(problems):
            found[WITHOUT][row, column] = regrets(problem, alone[problem.name])
            for arm in (WITH, MISLED):
                storage = memory()
                for other in alone.values():
                    if other is not alone[problem.name]:
                        copied(other, storage, turned=arm == MISLED)
                found[arm][row, column] = regrets(problem, run(problem, seed, storage=storage, transfer=True))
        print(f"seed {seed} is done", file=sys.stderr, flush=True)
    return found


def told(problems: list[Problem], found: dict[str, Array]) -> str:
    """Return the tables of means and of differences."""
    lines = [f"| arm |{''.join(f' at {n} |' for n in AT)}{''.join(f' difference at {n} |' for n in AT)}"]
    lines.append("| --- " * (1 + 2 * len(AT)) + "|")
    n_tables, n_seeds, _ = found[WITHOUT].shape
    weights = stratified_weights(n_tables, n_seeds)
    for arm, values in found.items():
        means = "".join(f" {value:.3f} |" for value in values.mean(axis=(0, 1)))
        gaps = np.moveaxis(values - found[WITHOUT], 2, 0)
        told = [(gap.mean(), *interval(weights, gap)) for gap in gaps] if arm != WITHOUT else []
        cells = [f" {mean:+.3f} [{low:+.3f}, {high:+.3f}] |" for mean, low, high in told] or ["  |"] * len(AT)
        lines.append(f"| {arm} |{means}{''.join(cells)}")
    lines += ["", f"| table |{''.join(f' {arm} at {AT[1]}, {AT[-1]} |' for arm in found)}", "| --- " * 4 + "|"]
    for row, problem in enumerate(problems):
        cells = (" {:.3f}, {:.3f} |".format(*values[row].mean(axis=0)[[1, -1]]) for values in found.values())
        lines.append(f"| {problem.name.partition(':')[2]} |{''.join(cells)}")
    return "\n".join(lines)


def main(seeds: str = "0-19") -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    suite = load_suite("tables")
    problems = [suite.load(name) for name in suite.problems() if name.startswith("hpobench:")]
    first, _, last = seeds.partition("-")
    print(told(problems, measure(problems, list(range(int(first), int(last or first) + 1)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
