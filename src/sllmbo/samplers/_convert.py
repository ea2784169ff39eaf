"""
The bridge between values and Optuna: parameters and distributions, trials and observations. Nowhere else.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from sllmbo.errors import SpaceError
from sllmbo.goals import INFEASIBLE
from sllmbo.history import Observation, Refusal, State
from sllmbo.samplers._record import (
    DETAILS,
    FAILURE,
    FALLBACK,
    FOLDS,
    PARAMS,
    RATIONALE,
    SOURCE,
    TURNED_DOWN,
    refused_of,
)
from sllmbo.space import Categorical, Float, Int, Parameter, SearchSpace

_REPEATS = re.compile(r"repeats (?:trial \d+|another candidate)")

_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


def to_distribution(parameter: Parameter) -> BaseDistribution:
    """Return Optuna's distribution of *parameter*."""
    if isinstance(parameter, Categorical):
        return CategoricalDistribution(parameter.choices)
    if isinstance(parameter, Int):
        return IntDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)


def to_distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Return Optuna's distributions of *space*, by name."""
    return {name: to_distribution(parameter) for name, parameter in space.items()}


def from_distribution(distribution: BaseDistribution) -> Parameter | None:
    """Return the parameter of *distribution*, or None where none can express it: choices that are no scalars, say."""
    try:
        if isinstance(distribution, FloatDistribution):
            return Float(distribution.low, distribution.high, log=distribution.log, step=distribution.step)
        if isinstance(distribution, IntDistribution):
            return Int(distribution.low, distribution.high, log=distribution.log, step=distribution.step)
        return Categorical(distribution.choices) if isinstance(distribution, CategoricalDistribution) else None
    except SpaceError:
        return None


def from_distributions(distributions: Mapping[str, BaseDistribution]) -> SearchSpace:
    """Return the search space of *distributions*, without those that no parameter can express."""
    parameters = {name: from_distribution(distribution) for name, distribution in distributions.items()}
    return SearchSpace({name: parameter for name, parameter in parameters.items() if name and parameter is not None})


def contains(distribution: BaseDistribution, value: object) -> bool:
    """Tell whether Optuna accepts *value* for *distribution*."""
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except (ValueError, TypeError):
        return False


def mismatches(space: SearchSpace, trial: FrozenTrial) -> Iterator[tuple[str, str]]:
    """Yield what of *space* the objective of *trial* does not suggest, as name and sentence."""
    for name, parameter in space.items():
        declared, suggested = to_distribution(parameter), trial.distributions.get(name)
        if suggested is None:
            if space.is_active(name, trial.params) and not declared.single():
                yield name, "does not suggest it; leave it out, or give it a condition."
        elif not _within(declared, suggested):
            yield name, f"suggests it from {suggested}, and values are moved there; declare what it suggests."


def _within(one: BaseDistribution, other: BaseDistribution) -> bool:
    if isinstance(one, CategoricalDistribution):
        return all(contains(other, choice) for choice in one.choices)
    if isinstance(other, CategoricalDistribution):
        return False
    low, high, least, most = (getattr(d, end) for d in (one, other) for end in ("low", "high"))
    return bool(least <= low and high <= most)


def repair_into(distribution: BaseDistribution, value: object) -> Any:
    """
    Return the value of *distribution* that is nearest to *value*.

    Raises:
        SpaceError: If *value* has no meaning for it.
    """
    if contains(distribution, value) and not isinstance(distribution, (IntDistribution, FloatDistribution)):
        return distribution.to_external_repr(distribution.to_internal_repr(value))
    parameter = from_distribution(distribution)
    if parameter is None:
        raise SpaceError(f"{value!r} cannot be moved into {distribution}.")
    repaired = parameter.repair(value)
    if not contains(distribution, repaired):
        raise SpaceError(f"{value!r} cannot be moved into {distribution}.")
    return repaired


def cut(distribution: BaseDistribution, parameter: Parameter) -> BaseDistribution:
    """Return *distribution* within the bounds of *parameter*, on its own steps; as it is where they share nothing."""
    given = from_distribution(distribution)
    if not isinstance(given, (Float, Int)) or isinstance(parameter, Categorical):
        return distribution
    low, high = max(given.low, parameter.low), min(given.high, parameter.high)
    if given.step is not None:
        on_grid = given.repair(low)
        low = on_grid if on_grid >= low else given.repair(on_grid + given.step)
    return to_distribution(replace(given, low=low, high=high)) if low < high else distribution  # type: ignore[arg-type]


def to_observation(trial: FrozenTrial, number: int) -> Observation:
    """
    Return *trial* as it is told to an advisor.

    One that is running, or failed, has the parameters that were decided on, also those not suggested yet.

    Args:
        trial: A trial that is not waiting.
        number: Its number among the trials that were not abandoned.
    """
    state, value, reason = _STATES[trial.state], None, str(trial.user_attrs.get(FAILURE, ""))
    if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and trial.values:
        value = trial.values[0]
    if state == "pruned":
        reason = "pruned" if trial.last_step is None else f"pruned at step {trial.last_step}"
    if state == "complete" and value is not None and not math.isfinite(value):
        state, reason = "failed", f"the value was {value}"
    broken = broken_constraints(trial)
    if state == "complete" and broken:
        state, reason = "failed", broken
    details: Mapping[str, float] = trial.user_attrs.get(DETAILS, {})
    if len(trial.values or ()) > 1:
        details = {**details, **{objective(i): told for i, told in enumerate(trial.values)}}
    decided = {} if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) else trial.user_attrs.get(PARAMS, {})
    return Observation(
        number,
        {**decided, **trial.params},
        state=state,
        value=value if state in ("complete", "pruned") else None,
        reason=reason,
        source=str(trial.user_attrs.get(SOURCE, "")),
        rationale=str(trial.user_attrs.get(RATIONALE, "")),
        details=details,
        curve=() if FOLDS in trial.user_attrs else tuple(sorted(trial.intermediate_values.items())),
        turned_down=_turned_down(trial),
    )


def _turned_down(trial: FrozenTrial) -> tuple[Refusal, ...]:
    """Return what was turned down for *trial*: by judging, or for repeating a trial, also where nothing else came."""
    told = "; ".join((*trial.user_attrs.get(TURNED_DOWN, ()), trial.user_attrs.get(FALLBACK, {}).get("reason", "")))
    return (*refused_of(trial.user_attrs), *(Refusal({}, reason) for reason in _REPEATS.findall(told)))


def objective(index: int) -> str:
    """Return how the objective at *index* of several is called where the study has no names for them."""
    return f"objective_{index}"


def broken_constraints(trial: FrozenTrial) -> str:
    """Return which constraints *trial* breaks, in words; "" if none."""
    broken = {name: excess for name, excess in trial.constraints.items() if excess > 0}
    if not broken:
        return ""
    told = str(trial.user_attrs.get(FAILURE, ""))
    return told or f"{INFEASIBLE}: {', '.join(f'{name} is {excess:.4g} over' for name, excess in broken.items())}"


def told_with(trial: FrozenTrial, values: Mapping[str, Any]) -> FrozenTrial:
    """Return *trial*, which begins to run, as it is told with the values that it will suggest."""
    told = copy.copy(trial)
    told.user_attrs = {**trial.user_attrs, PARAMS: {**values, **trial.user_attrs.get(PARAMS, {})}}
    return told


def python_scalar(value: Any) -> Any:
    """Return *value* as the Python scalar that it holds; NumPy's become Python's."""
    return value.item() if hasattr(value, "item") else value
