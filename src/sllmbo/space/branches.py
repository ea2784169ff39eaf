"""
Spaces of several estimators: a categorical parameter `estimator`, and the parameters of each under the name of its own.

`lightgbm.num_leaves` exists only while `estimator` is `lightgbm`. Each estimator is a branch: a search space in itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sllmbo.space.parameters import Categorical, Parameter, When
from sllmbo.space.search_space import SearchSpace

ROOT = "estimator"
"""The parameter that says which branch a configuration lies in."""


def joined(spaces: Mapping[str, SearchSpace]) -> SearchSpace:
    """
    Return one space over the branches *spaces*; the first one is the default.

    Example:
        >>> from sllmbo.space import Float
        >>> space = joined({"ridge": SearchSpace({"alpha": Float(0.1, 10, default=1.0)}), "mean": SearchSpace({})})
        >>> space.default_params()
        {'estimator': 'ridge', 'ridge.alpha': 1.0}
    """
    names = tuple(spaces)
    parameters: dict[str, Parameter] = {
        ROOT: Categorical(names, default=names[0], description="Which estimator is fitted.")
    }
    for branch_name, space in spaces.items():
        for name, parameter in space.items():
            condition = parameter.condition
            when = When(ROOT, (branch_name,))
            if condition is not None:
                when = When(f"{branch_name}.{condition.parameter}", condition.values)
            parameters[f"{branch_name}.{name}"] = replace(parameter, condition=when)
    return SearchSpace(parameters)


def branches(space: SearchSpace) -> tuple[str, ...]:
    """Return the names of the branches of *space*; none if it is no space of several estimators."""
    root = space.get(ROOT)
    if not isinstance(root, Categorical):
        return ()
    names = tuple(str(choice) for choice in root.choices)
    others = (name for name in space if name != ROOT)
    return names if all(name.startswith(tuple(f"{branch_name}." for branch_name in names)) for name in others) else ()


def branch(space: SearchSpace, name: str) -> SearchSpace:
    """Return the branch *name* of *space*, its parameters under their own names."""
    return SearchSpace(
        {
            given.removeprefix(f"{name}."): replace(parameter, condition=_own(parameter.condition, name))
            for given, parameter in space.items()
            if given.startswith(f"{name}.")
        }
    )


def only(space: SearchSpace, names: tuple[str, ...]) -> SearchSpace:
    """Return *space* without the parameters of other branches than *names*; all branches can still be chosen."""
    if set(names) == set(branches(space)):
        return space
    root = replace(space[ROOT], description="parameters of the leading ones only")
    prefixes = tuple(f"{name}." for name in names)
    return SearchSpace({ROOT: root, **{name: p for name, p in space.items() if name.startswith(prefixes)}})


def inside(params: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the values of *params* that belong to the branch *name*, under the names they have there."""
    prefix = f"{name}."
    return {given.removeprefix(prefix): value for given, value in params.items() if given.startswith(prefix)}


def outside(params: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what *params* of the branch *name* are in the whole space."""
    return {ROOT: name, **{f"{name}.{given}": value for given, value in params.items()}}


def extended(space: SearchSpace, more: Mapping[str, Parameter]) -> SearchSpace:
    """Return *space* with *more* parameters, but those that depend on a parameter or a value that it has not."""

    def fits(condition: When | None) -> bool:
        other = None if condition is None else space.get(condition.parameter)
        return condition is None or (other is not None and all(map(other.contains, condition.values)))

    fitting = {name: parameter for name, parameter in more.items() if fits(parameter.condition)}
    return SearchSpace({**space, **fitting}) if fitting else space


def _own(condition: When | None, name: str) -> When | None:
    if condition is None or condition.parameter == ROOT:
        return None
    return When(condition.parameter.removeprefix(f"{name}."), condition.values)
