"""
The methods by name: whose sampler runs a study, and whether it starts from the default configuration.

A name is a method, then "+default" for a classical one whose first trial is to be the default configuration, then the
variants of an advised one, each after a colon: "tpe+default", "llm-tpe:coin:no-judging", "tpe+default:repeats".
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler

from sllmbo._optional import require
from sllmbo.advisors import Advisor
from sllmbo.advisors.paper import PaperAdvisor
from sllmbo.benchmarks.problem import Problem
from sllmbo.benchmarks.rivals import HyperoptSampler, SmacSampler
from sllmbo.errors import ConfigError
from sllmbo.prompts import MemoryName
from sllmbo.samplers import Adaptive, AdvisedSampler, Alternating, Bernoulli, MixingPolicy
from sllmbo.samplers._open import Init
from sllmbo.space import Categorical, SearchSpace
from sllmbo.tuner.methods import tuned_anchors

REPEATS = "repeats"
"""The variant that tpe and tpe+default have too."""

CLASSICAL: Mapping[str, str] = {
    "random": "uniform on each parameter's scale",
    "tpe": "TPE as Optuna 5 has it, with random numbers from (seed, trial): the partner of llm-tpe",
    "optuna-tpe": "the same with Optuna's own stream of random numbers",
    "tpe-paper": "TPE as in the paper: univariate, without a constant liar, ten random trials first",
    "gp": "Optuna's Gaussian process (needs torch)",
    "cma": "Optuna's CMA-ES (needs cmaes); categories are drawn at random",
    "hyperopt": "Hyperopt's TPE (needs hyperopt)",
    "smac": "SMAC3's random forest (needs smac)",
}
ADVISED: Mapping[str, str] = {
    "llm-tpe": "advisor and TPE in turns, as sllmbo.tune() has it",
    "llm": "the advisor alone",
    "llm-summary": "the paper's: the advisor alone, a chat model that condenses its trials every ten",
    "llm-chat": "the paper's: the advisor alone, a chat model that keeps the whole conversation",
    "paper-reference": "a model of the paper's own code, a coin per parameter; asks paper:FILE:MODEL alone",
}
VARIANTS: Mapping[str, str] = {
    "coin": "a fair coin decides who serves a trial, as in the paper",
    "share-P": "a coin that falls on the advisor with probability P, such as share-0.25",
    "alternating": "advisor and TPE by turns",
    "init-random": "opens with random trials, the paper's other mode",
    "init-default": "opens with nothing but the default",
    "no-default": "neither the default configuration nor published tuned ones first",
    "no-judging": "TPE does not judge the advisor's candidates",
    "failures-hidden": "failed trials are not told to the advisor, and TPE does not stay away from where they are",
    "masked": "a chat model is told x1, c1 and so on instead of names",
    "no-digest": "a chat model is told nothing of the trials",
    "no-state": "a chat model is told the trials, without what they come to",
    REPEATS: "the last two fifths of the trials may repeat leaders, and the winner is chosen by all values of each",
}
"""What an advised method can be varied in."""

_NEEDS: Mapping[str, tuple[str, str]] = {
    "gp": ("torch", "gp"),
    "cma": ("cmaes", "cma"),
    "hyperopt": ("hyperopt", "bench"),
    "smac": ("smac", "smac"),
}
_PLAIN: Mapping[str, Callable[[int, Problem], BaseSampler]] = {
    "random": lambda seed, _: RandomSampler(seed),
    "optuna-tpe": lambda seed, _: TPESampler(seed=seed),
    "tpe-paper": lambda seed, _: TPESampler(seed=seed, n_startup_trials=10, multivariate=False, constant_liar=False),
    "gp": lambda seed, _: GPSampler(seed=seed),
    "cma": lambda seed, _: CmaEsSampler(seed=seed, warn_independent_sampling=False),
    "hyperopt": lambda seed, problem: HyperoptSampler(problem.space, seed=seed),
    "smac": lambda seed, problem: SmacSampler(problem.space, seed=seed, n_trials=problem.task.n_trials or 100),
}
_ALIKE: Mapping[str, tuple[str, ...]] = {
    "who serves a trial": ("coin", "alternating", "share-"),
    "what opens a study": ("init-",),
    "what is told of the trials": ("no-digest", "no-state"),
}
"""Variants that exclude each other."""
_MIXING: Mapping[str, MixingPolicy] = {"coin": Bernoulli(0.5), "alternating": Alternating()}
_MEMORY: Mapping[str, MemoryName] = {"llm-summary": "summary", "llm-chat": "chat"}
_INIT: Mapping[str, Init] = {"init-random": "random", "init-default": "default"}


@dataclass(frozen=True, slots=True)
class Method:
    """A method, as its name says it."""

    name: str
    base: str
    with_default: bool
    """Whether the first trial is the problem's default configuration."""
    mixing: MixingPolicy = field(default_factory=Adaptive)
    init: Init = "llm"
    judging: bool = True
    failures_hidden: bool = False
    masked: bool = False
    memory: MemoryName = "digest"
    """What of the trials a chat model is told."""
    repeats: bool = False
    """Whether leaders are evaluated again, and the winner is chosen by all their values."""

    @property
    def advised(self) -> bool:
        """Whether it asks an advisor."""
        return self.base in ADVISED

    def first_params(self, problem: Problem) -> dict[str, Any] | None:
        """Return the configuration that is enqueued as first trial, if the sampler does not see to it itself."""
        return problem.space.default_params() if self.with_default and self.base in _PLAIN else None

    def sampler(self, problem: Problem, *, seed: int, advisor: Advisor | None) -> BaseSampler:
        """Return the sampler of a study on *problem*."""
        if self.base in _PLAIN:
            return _PLAIN[self.base](seed, problem)
        if self.base == "paper-reference":
            assert isinstance(advisor, PaperAdvisor)
            made: BaseSampler = _reference()([*advisor.proposals.values()], seed=seed)
            return made
        space = problem.space if self.with_default else without_defaults(problem.space)
        if not self.advised:
            return AdvisedSampler(
                None,
                task=problem.task,
                space=space,
                init="default",
                seed=seed,
                failure_aware=False,
                repeats=self.repeats,
            )
        opened = self.init == "llm" and self.with_default
        return AdvisedSampler(
            advisor,
            task=problem.task,
            space=space,
            anchors=tuned_anchors(problem.task, space) if opened else (),
            mixing=self.mixing,
            init=self.init,
            seed=seed,
            judging=self.judging,
            failure_aware=not self.failures_hidden,
            repeats=self.repeats,
        )


def read_method(name: str) -> Method:
    """
    Return the method of this name.

    Raises:
        ConfigError: If there is none.
        MissingExtra: If its package is not installed.

    Example:
        >>> read_method("llm-tpe:share-0.25:no-judging").mixing
        Bernoulli(p=0.25)
    """
    head, *variants = name.split(":")
    base, plus, wish = head.partition("+")
    if base not in CLASSICAL and base not in ADVISED:
        raise ConfigError(f"The method {name!r} must begin with one of {', '.join([*CLASSICAL, *ADVISED])}.")
    if base in CLASSICAL:
        if (plus and wish != "default") or any(variant != REPEATS or base != "tpe" for variant in variants):
            raise ConfigError(
                f"The method {name!r} must be {base!r} or '{base}+default'; only advised ones vary, "
                f"but for 'tpe:{REPEATS}'."
            )
        if base in _NEEDS:
            module, extra = _NEEDS[base]
            require(module, extra=extra, purpose=f"The method {base!r}")
        return Method(name, base, with_default=bool(plus), repeats=bool(variants))
    if plus:
        raise ConfigError(
            f"The method {name!r} starts from the default anyway; write {base!r}, or '{base}:no-default'."
        )
    if base == "paper-reference":
        if variants:
            raise ConfigError(f"The method {name!r} has no variants; write {base!r}.")
        _reference()
        return Method(name, base, with_default=False)
    alone = base != "llm-tpe"
    method = Method(
        name,
        base,
        with_default=True,
        mixing=Bernoulli(1.0) if alone else Adaptive(),
        judging=not alone,
        memory=_MEMORY.get(base, "digest"),
    )
    decided: dict[str, int] = {}
    for place, variant in enumerate(variants):
        method = _varied(method, variant)
        what = next((what for what, alike in _ALIKE.items() if variant.startswith(alike)), "")
        first = decided.setdefault(what or variant, place)
        if first != place:
            both = f"{variants[first]!r} and {variant!r}, which both say {what or 'the same'}"
            raise ConfigError(f"The method {name!r} has {both}; keep one.")
    return method


def _varied(method: Method, variant: str) -> Method:
    share = re.fullmatch(r"share-(\d*\.?\d+)", variant)
    if share:
        if float(share[1]) > 1.0:
            raise ConfigError(f"The method {method.name!r} has {variant!r}, whose share must lie between 0 and 1.")
        return replace(method, mixing=Bernoulli(float(share[1])))
    if variant in _MIXING:
        return replace(method, mixing=_MIXING[variant])
    if variant in _INIT:
        return replace(method, init=_INIT[variant])
    switches: dict[str, dict[str, Any]] = {
        "no-default": {"with_default": False},
        "no-judging": {"judging": False},
        "failures-hidden": {"failures_hidden": True},
        "masked": {"masked": True},
        "no-digest": {"memory": "none"},
        "no-state": {"memory": "table"},
        REPEATS: {"repeats": True},
    }
    if variant not in switches:
        raise ConfigError(f"The method {method.name!r} has the variant {variant!r}, not one of {', '.join(VARIANTS)}.")
    if "memory" in switches[variant] and method.memory != "digest":
        raise ConfigError(f"The method {method.name!r} has the variant {variant!r}, but tells no digest to begin with.")
    return replace(method, **switches[variant])


def _reference() -> Any:
    try:
        return importlib.import_module("sllmbo.benchmarks.reference_sampler").ReferenceSampler
    except ModuleNotFoundError:
        raise ConfigError("The method 'paper-reference' is not in this version of sllmbo; leave it out.") from None


def without_defaults(space: SearchSpace) -> SearchSpace:
    """Return *space* without a default configuration."""
    return SearchSpace(
        {
            name: Categorical(parameter.choices, description=parameter.description, condition=parameter.condition)
            if isinstance(parameter, Categorical)
            else replace(parameter, default=None)
            for name, parameter in space.items()
        }
    )
