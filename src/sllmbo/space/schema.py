"""
A search space as a JSON Schema, for chat models that are asked for structured replies.
"""

from __future__ import annotations

from typing import Any

from sllmbo.space.parameters import Categorical, Int, Parameter
from sllmbo.space.search_space import SearchSpace

_EXACT = 2**53


def json_schema(space: SearchSpace) -> dict[str, Any]:
    """
    Return the JSON Schema of one configuration of *space*.

    Categories travel as text (`Categorical.labels`), because enums that mix types or hold null are refused by many
    servers. Steps and conditions are said in words; `SearchSpace.repair` enforces them.
    """
    return {
        "type": "object",
        "properties": {name: _property(parameter) for name, parameter in space.items()},
        "required": [name for name, parameter in space.items() if parameter.condition is None],
        "additionalProperties": False,
    }


def _short(bound: float) -> float:
    """Return *bound* as an integer where it is a whole one: what is sent is paid for, and 1.0 is longer than 1."""
    return int(bound) if abs(bound) < _EXACT and bound == int(bound) else bound


def _property(parameter: Parameter) -> dict[str, Any]:
    entry: dict[str, Any]
    if isinstance(parameter, Categorical):
        entry = {"type": "string", "enum": list(parameter.labels())}
    else:
        kind = "integer" if isinstance(parameter, Int) else "number"
        entry = {"type": kind, "minimum": _short(parameter.low), "maximum": _short(parameter.high)}
    notes = [parameter.description] if parameter.description else []
    if not isinstance(parameter, Categorical) and parameter.step not in (None, 1):
        notes.append(f"in steps of {parameter.step} from {parameter.low}")
    if parameter.condition is not None:
        values = " or ".join(map(repr, parameter.condition.values))
        notes.append(f"only when {parameter.condition.parameter} is {values}")
    if notes:
        entry["description"] = "; ".join(notes)
    return entry
