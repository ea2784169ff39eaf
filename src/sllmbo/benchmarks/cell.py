"""
One cell of a benchmark: a method on a problem with a seed, as the records of its trials.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from sllmbo._random import derive_seed
from sllmbo.benchmarks.advisors import read_advisor
from sllmbo.benchmarks.methods import read_method
from sllmbo.benchmarks.problem import Problem
from sllmbo.benchmarks.suites import load_suite
from sllmbo.errors import SllmboError
from sllmbo.samplers import chosen
from sllmbo.samplers._convert import to_distributions
from sllmbo.samplers._failure import describe_error
from sllmbo.samplers._record import FAILURE, FALLBACK, MIXING, SOURCE, USAGE
from sllmbo.usage import Usage


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """A study of a benchmark."""

    suite: str
    problem: str
    method: str
    advisor: str
    """Who is asked; "" for a method that asks nobody."""
    seed: int
    trials: int


def run_cell(cell: Cell) -> dict[str, Any]:
    """
    Run a study, and return the cell, what is known of its problem, and the records of its trials as a JSON object.

    The study's seed is derived from suite, problem and seed, so that studies on several problems are independent and
    those of several methods on one problem are paired.

    Raises:
        SllmboError: If the method, the advisor or the problem cannot be had. What a failing configuration raises is
            recorded.
    """
    problem = load_suite(cell.suite).load(cell.problem)
    known = {
        "direction": problem.task.direction,
        "best": problem.best,
        "median": problem.median,
        "noisy": problem.noisy,
    }
    return {"cell": asdict(cell), "known": known, "trials": _Study(cell, problem).run()}


def study_seed(suite: str, problem: str, seed: int) -> int:
    """Return the seed of the studies of *problem* in the runs of *seed*."""
    return derive_seed(seed, "benchmark", suite, problem)


class _Study:
    def __init__(self, cell: Cell, problem: Problem) -> None:
        self._cell = cell
        self._problem = replace(problem, task=replace(problem.task, n_trials=cell.trials))
        self._method = read_method(cell.method)
        self._seed = study_seed(cell.suite, cell.problem, cell.seed)
        self._evaluate = problem.evaluate if problem.in_study is None else problem.in_study(self._seed)
        advisor = read_advisor(cell.advisor).make(self._problem, self._method) if self._method.advised else None
        sampler = self._method.sampler(self._problem, seed=self._seed, advisor=advisor)
        self._study = optuna.create_study(direction=problem.task.direction, sampler=sampler)
        first = self._method.first_params(problem)
        if first is not None:
            self._study.enqueue_trial(first, user_attrs={SOURCE: "default"})
        self._distributions = to_distributions(problem.space)
        self._repeats: dict[str, int] = {}

    def run(self) -> list[dict[str, Any]]:
        return [self._run_trial() for _ in range(self._cell.trials)]

    def _run_trial(self) -> dict[str, Any]:
        began = time.perf_counter()
        trial = self._study.ask()
        self._suggest(trial)
        asked = time.perf_counter()
        value, failure = self._value(trial)
        told = time.perf_counter()
        if failure:
            trial.set_user_attr(FAILURE, failure)
        ended = self._study.tell(trial, value, state=TrialState.FAIL if failure else None)
        seconds = asked - began + time.perf_counter() - told
        return self._record(ended, value, failure, seconds) | self._chosen()

    def _suggest(self, trial: Trial) -> None:
        for name, distribution in self._distributions.items():
            if self._problem.space.is_active(name, trial.params):
                trial._suggest(name, distribution)

    def _value(self, trial: Trial) -> tuple[float | None, str]:
        key = repr(sorted(trial.params.items()))
        repeat = self._repeats.get(key, 0)
        self._repeats[key] = repeat + 1
        try:
            value = float(self._evaluate(trial.params, repeat))
        except SllmboError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever a failing configuration raises
            return None, describe_error(error)
        return (value, "") if math.isfinite(value) else (None, f"FloatingPointError: the value was {value}")

    def _chosen(self) -> dict[str, int]:
        """Return the trial whose configuration would be chosen now, where that is not the one with the best value."""
        choice = chosen(self._study) if self._method.repeats else None
        return {} if choice is None else {"chosen": choice.trial}

    def _record(self, trial: FrozenTrial, value: float | None, failure: str, seconds: float) -> dict[str, Any]:
        truth = None
        if value is not None:
            truth = value if self._problem.truth is None else float(self._problem.truth(trial.params))
        attrs = trial.user_attrs
        usage = Usage.from_json(attrs[USAGE]) if USAGE in attrs else Usage()
        return {
            "trial": trial.number,
            "value": value,
            "truth": truth,
            "source": attrs.get(SOURCE, self._method.base),
            "failed": int(bool(failure)),
            "tokens": usage.tokens,
            "seconds": round(seconds, 6),
            "params": dict(trial.params),
            "failure": failure,
            "fallback": attrs.get(FALLBACK),
            "mixing": attrs.get(MIXING, ""),
        }
