"""
`SearchSpace`: named parameters in a fixed order, as one immutable value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

import numpy as np

from sllmbo.errors import SpaceError
from sllmbo.space.parameters import Categorical, Float, Int, Parameter, Scalar, When

_KINDS: dict[str, type[Parameter]] = {"float": Float, "int": Int, "categorical": Categorical}


@dataclass(frozen=True, slots=True)
class Repair:
    """One change that `SearchSpace.repair` made."""

    parameter: str
    given: object
    """What was proposed; None where the parameter was missing."""
    used: Scalar
    """What it became; None where the parameter was dropped."""
    rule: str
    """Which rule was applied."""

    def to_json(self) -> dict[str, object]:
        """Return the repair as a JSON object; what is no JSON scalar is given by its text."""
        given = self.given
        is_scalar = given is None or isinstance(given, (bool, int, float, str))
        if not is_scalar or (isinstance(given, float) and not math.isfinite(given)):
            given = repr(given)
        if isinstance(given, str):
            given = given[:200]
        return {"parameter": self.parameter, "given": given, "used": self.used, "rule": self.rule}

    def __str__(self) -> str:
        return f"{self.parameter}: {self.given!r} became {self.used!r} ({self.rule})"


class SearchSpace(Mapping[str, Parameter]):
    """
    Parameters by name, in order. Immutable; equal by value.

    Args:
        parameters: Name to parameter. A parameter with a condition comes after the one that it depends on.

    Raises:
        SpaceError: If a name is empty or no text, a value is no parameter, or a condition names an unknown or later
            parameter or a value that this one cannot have.

    Example:
        >>> space = SearchSpace({"C": Float(1e-3, 1e3, log=True), "kernel": Categorical(["rbf", "linear"])})
        >>> params, repairs = space.repair({"C": 1e9, "kernel": "RBF"})
        >>> params
        {'C': 1000.0, 'kernel': 'rbf'}
        >>> [repair.parameter for repair in repairs]
        ['C', 'kernel']
    """

    __slots__ = ("_parameters",)

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        self._parameters = dict(parameters)
        for name, parameter in self._parameters.items():
            if not isinstance(name, str) or not name:
                raise SpaceError(f"The parameter name {name!r} must be text that is not empty.")
            if not isinstance(parameter, (Float, Int, Categorical)):
                raise SpaceError(f"Parameter {name!r} is {parameter!r}; use Float, Int or Categorical.")
            self._check_condition(name, parameter.condition)

    def _check_condition(self, name: str, condition: When | None) -> None:
        if condition is None:
            return
        earlier = list(self._parameters)[: list(self._parameters).index(name)]
        if condition.parameter not in earlier:
            raise SpaceError(
                f"Parameter {name!r} depends on {condition.parameter!r}, which does not come before it; put it first."
            )
        for value in condition.values:
            if not self._parameters[condition.parameter].contains(value):
                raise SpaceError(
                    f"Parameter {name!r} depends on {condition.parameter!r} being {value!r}, which it can never be."
                )

    def __getitem__(self, name: str) -> Parameter:
        return self._parameters[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)

    def __hash__(self) -> int:
        return hash(frozenset(self._parameters.items()))  # equality is that of mappings, without order

    def __repr__(self) -> str:
        return f"SearchSpace({self._parameters!r})"

    def is_active(self, name: str, params: Mapping[str, Any]) -> bool:
        """Tell whether parameter *name* exists beside the values in *params*."""
        condition = self._parameters[name].condition
        if condition is None:
            return True
        if not self.is_active(condition.parameter, params) or condition.parameter not in params:
            return False
        other = self._parameters[condition.parameter]
        value = params[condition.parameter]
        return other.contains(value) and condition.holds(other.repair(value))

    def contains(self, params: Mapping[str, Any]) -> bool:
        """Tell whether *params* has exactly the active parameters, each with a value that it can have."""
        active = [name for name in self if self.is_active(name, params)]
        return set(params) == set(active) and all(self[name].contains(params[name]) for name in active)

    def repair(self, params: Mapping[str, Any]) -> tuple[dict[str, Scalar], tuple[Repair, ...]]:
        """
        Return the configuration of this space that *params* means, and what was changed.

        Types are converted, values snapped to the step and clipped to the bounds, categories matched by spelling,
        unknown and inactive parameters dropped, and missing ones filled with their defaults. Idempotent.

        Raises:
            SpaceError: If a value has no meaning for its parameter, or one without a default is missing.
        """
        if not isinstance(params, Mapping):
            raise SpaceError(f"{params!r} is no configuration; give values by parameter name.")
        fixed: dict[str, Scalar] = {}
        repairs: list[Repair] = []
        for name, parameter in self.items():
            if not self.is_active(name, fixed):
                if name in params:
                    repairs.append(Repair(name, params[name], None, f"dropped: {_rule_of(parameter.condition)}"))
                continue
            if name not in params:
                fixed[name] = self._default_of(name)
                repairs.append(Repair(name, None, fixed[name], "missing: its default is used"))
                continue
            given = params[name]
            try:
                fixed[name] = parameter.repair(given)
            except SpaceError as error:
                raise SpaceError(f"Parameter {name!r}: {error}") from None
            is_label = isinstance(parameter, Categorical) and isinstance(given, str) and given in parameter.labels()
            if not parameter.contains(given) and not is_label:
                repairs.append(Repair(name, given, fixed[name], _rule_broken(parameter, given)))
        repairs.extend(
            Repair(str(name), value, None, "dropped: no such parameter")
            for name, value in params.items()
            if name not in self
        )
        return fixed, tuple(repairs)

    def _default_of(self, name: str) -> Scalar:
        parameter = self[name]
        if not parameter.has_default:
            raise SpaceError(f"Parameter {name!r} is missing and has no default; give it a value.")
        return parameter.default

    def default_params(self) -> dict[str, Scalar] | None:
        """Return the default configuration, or None if an active parameter has no default."""
        try:
            return self.repair({})[0]
        except SpaceError:
            return None

    def sample(self, rng: np.random.Generator) -> dict[str, Scalar]:
        """Draw a configuration, each active parameter uniform on its scale."""
        drawn: dict[str, Scalar] = {}
        for name, parameter in self.items():
            position = float(rng.random())  # drawn also when inactive, so that the later ones do not shift
            if self.is_active(name, drawn):
                drawn[name] = parameter.from_unit(position)
        return drawn

    def to_json(self) -> dict[str, Any]:
        """Return the space as a JSON object; `from_json` reads it back."""
        return {name: _parameter_to_json(parameter) for name, parameter in self.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SearchSpace:
        """
        Return the space that `to_json` wrote.

        Raises:
            SpaceError: If *data* does not describe a search space.
        """
        if not isinstance(data, Mapping):
            raise SpaceError(f"{data!r} is no search space; give parameters by name.")
        return cls({name: _parameter_from_json(name, entry) for name, entry in data.items()})


def _parameter_to_json(parameter: Parameter) -> dict[str, Any]:
    kind = next(kind for kind, cls in _KINDS.items() if isinstance(parameter, cls))
    entry: dict[str, Any] = {"type": kind}
    for field in fields(parameter):
        value = getattr(parameter, field.name)
        if field.default is not MISSING and value == field.default:
            continue
        if isinstance(value, When):
            value = {"parameter": value.parameter, "values": list(value.values)}
        entry[field.name] = list(value) if isinstance(value, tuple) else value
    return entry


def _parameter_from_json(name: str, entry: Any) -> Parameter:
    try:
        arguments = dict(entry)
        kind = _KINDS[arguments.pop("type")]
        condition = arguments.pop("condition", None)
        if condition is not None:
            arguments["condition"] = When(condition["parameter"], condition["values"])
        return kind(**arguments)
    except SpaceError as error:
        raise SpaceError(f"Parameter {name!r}: {error}") from None
    except (TypeError, KeyError, ValueError) as error:
        raise SpaceError(
            f"Parameter {name!r} is described by {entry!r}, which is not a float, int or categorical parameter "
            f"({type(error).__name__}: {error})."
        ) from None


def _rule_of(condition: When | None) -> str:
    assert condition is not None
    return f"exists only when {condition.parameter} is " + " or ".join(map(repr, condition.values))


def _rule_broken(parameter: Parameter, given: object) -> str:
    if isinstance(parameter, Categorical):
        return "spelled otherwise"
    if isinstance(given, str):
        return "text read as a number"
    if isinstance(given, (int, float)):
        if given < parameter.low:
            return f"below low={parameter.low!r}"
        if given > parameter.high:
            return f"above high={parameter.high!r}"
    return f"moved to the nearest step of {parameter.step!r}" if parameter.step not in (None, 1) else "made an integer"
