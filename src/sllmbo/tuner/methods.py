"""
The methods that a study can be tuned by, each as a sampler that starts from the default configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler

from sllmbo._optional import require
from sllmbo.advisors import Advisor
from sllmbo.advisors.knowledge import find_estimator
from sllmbo.budget import Budget
from sllmbo.errors import ConfigError, SpaceError
from sllmbo.samplers import Adaptive, AdvisedSampler, Bernoulli, MixingPolicy
from sllmbo.samplers._edits import Edits
from sllmbo.samplers._open import Init
from sllmbo.samplers._record import Decision
from sllmbo.space import SearchSpace
from sllmbo.space.branches import branch, branches, outside
from sllmbo.task import Task

Method: TypeAlias = Literal["llm-tpe", "llm", "tpe", "random", "gp", "cma"]
METHODS: tuple[str, ...] = get_args(Method)
ADVISED = ("llm-tpe", "llm")
"""The methods that ask an advisor."""


def make_sampler(
    method: str,
    *,
    advisor: Advisor | None,
    task: Task,
    space: SearchSpace,
    anchors: Sequence[Decision] = (),
    init: Init = "llm",
    mixing: MixingPolicy | None = None,
    seed: int | None = None,
    budget: Budget | None = None,
    edits: Edits = "none",
    prefetch: bool = False,
    repeats: bool = False,
) -> AdvisedSampler:
    """
    Return the sampler of *method*.

    All methods evaluate the default configuration first, then *anchors*, and derive their random numbers from (seed,
    turn), so that they differ in nothing but who proposes. Methods without an advisor are not opened by one.

    Raises:
        ConfigError: If there is no such method.
        MissingExtra: If the method's package is not installed.
    """
    check_method(method)
    partner = _partner(method)
    if method not in ADVISED:
        return AdvisedSampler(
            None, task=task, space=space, anchors=anchors, partner=partner, init="default", seed=seed, repeats=repeats
        )
    assert advisor is not None
    return AdvisedSampler(
        advisor,
        task=task,
        space=space,
        anchors=anchors,
        partner=partner,
        mixing=Bernoulli(1.0) if method == "llm" else mixing or Adaptive(),
        judging=method == "llm-tpe",
        init=init,
        seed=seed,
        budget=budget,
        edits=edits,
        prefetch=prefetch,
        repeats=repeats,
    )


def check_method(method: str) -> None:
    """
    Check that *method* is one that can be used.

    Raises:
        ConfigError: If there is no such method.
        MissingExtra: If its package is not installed.
    """
    if method not in METHODS:
        raise ConfigError(f"method={method!r} must be one of {', '.join(METHODS)}.")
    needed = {"gp": "torch", "cma": "cmaes"}.get(method)
    if needed is not None:
        require(needed, extra=method, purpose=f"The method {method!r}")


def _partner(method: str) -> BaseSampler:
    samplers: dict[str, type[BaseSampler]] = {"random": RandomSampler, "gp": GPSampler, "cma": CmaEsSampler}
    return samplers.get(method, TPESampler)()


def branch_defaults(space: SearchSpace) -> Sequence[Decision]:
    """Return the default configuration of each estimator of *space* but the first, which is the default of all."""
    usual = space.default_params()
    defaults = []
    for name in branches(space):
        params = branch(space, name).default_params()
        if params is not None and (whole := outside(params, name)) != usual:
            said = f"The default configuration of {name}."
            defaults.append(Decision(source="default", params=whole, rationale=said))
    return tuple(defaults)


def tuned_anchors(task: Task, space: SearchSpace) -> Sequence[Decision]:
    """Return the published tuned defaults of the task's estimator, as far as *space* has their parameters."""
    known = None if task.candidates else find_estimator(task.estimator or task.description)
    if known is None or task.data is None:
        return ()
    anchors = []
    for point in known.tuned_defaults.get(task.data.kind, ()):
        try:
            params, repairs = space.repair({name: value for name, value in point.params.items() if name in space})
        except SpaceError:
            continue
        if params != space.default_params():
            repairs = tuple(repair for repair in repairs if repair.given is not None)
            anchors.append(
                Decision(
                    source="tuned-default",
                    params=params,
                    rationale=point.rationale,
                    origin=point.source,
                    repairs=repairs,
                )
            )
    return anchors[:1]


def check_together(method: str, *, several: bool, is_pruned: bool, repeats: bool) -> None:
    """
    Refuse what excludes each other.

    Raises:
        ConfigError: If a study of several objectives has a pruner, repeats or CMA-ES, or one has repeats and a pruner.
    """
    refused = {"method 'cma'": method == "cma", "a pruner": is_pruned, "repeats": repeats}
    for name, is_wanted in refused.items():
        if several and is_wanted:
            raise ConfigError(f"A study of several objectives cannot have {name}; leave it out, or use a constraint.")
    if is_pruned and repeats:
        raise ConfigError("A study with a pruner cannot have repeats, which are whole evaluations; leave one out.")
