"""
The three kinds of parameter: `Float`, `Int` and `Categorical`, with Optuna's argument words.

They add to Optuna's distributions what an advisor needs: a default, a description, a condition, and `repair`, which
turns a nearly right value into a right one. They know neither Optuna nor each other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, TypeAlias

from sllmbo.errors import SpaceError

Scalar: TypeAlias = bool | int | float | str | None
"""What a parameter value can be."""

_FINEST = 1e7
"""A bound may hold so many steps at most: beyond, rounding moves grid points by more than Optuna tolerates (1e-8)."""


@dataclass(frozen=True, slots=True)
class When:
    """The condition of a parameter that exists only while another one has one of some values."""

    parameter: str
    """Name of the other parameter, which comes earlier in the search space."""

    values: tuple[Scalar, ...]
    """The values for which the conditioned parameter exists."""

    def __init__(self, parameter: str, values: Sequence[Scalar]) -> None:
        object.__setattr__(self, "parameter", parameter)
        object.__setattr__(self, "values", tuple(values))
        if not self.values:
            raise SpaceError(f"The condition on {parameter!r} has no values; name at least one.")

    def holds(self, value: object) -> bool:
        """Tell whether *value* is one of the condition's; True is not 1."""
        return any(_identity(value) == _identity(wanted) for wanted in self.values)


def _number(value: object) -> float:
    """Read a number out of *value*: a number, or the text of one."""
    if isinstance(value, str):
        try:
            value = float(value.strip().strip("'\""))
        except ValueError:
            raise SpaceError(f"{value!r} is not a number; give a plain number.") from None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise SpaceError(f"{value!r} is not a number; give a plain number.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise SpaceError(f"{value!r} is not finite; give a finite number.")
    return number


def _check_bounds(parameter: Float | Int) -> None:
    name = type(parameter).__name__
    low, high = parameter.low, parameter.high
    if low > high:
        raise SpaceError(f"{name}(low={low!r}, high={high!r}): low must not exceed high; swap them.")
    if not math.isfinite(float(high) - float(low)):
        raise SpaceError(f"{name}(low={low!r}, high={high!r}): the range is too wide for numbers; narrow it.")
    if parameter.log and low <= 0:
        raise SpaceError(f"{name}(low={low!r}, log=True): a log scale needs low > 0; raise low or drop log.")
    if parameter.step is not None and parameter.step <= 0:
        raise SpaceError(f"{name}(step={parameter.step!r}): step must be positive; drop it for none.")


@dataclass(frozen=True, slots=True)
class Float:
    """
    A real-valued parameter in [*low*, *high*].

    Raises:
        SpaceError: If low > high, a log scale does not start above zero, log and step are combined, a step is not
            positive or too fine, or the default lies outside.

    Example:
        >>> Float(1e-3, 0.3, log=True).repair("0.5")
        0.3
    """

    low: float
    high: float
    _: KW_ONLY
    log: bool = False
    step: float | None = None
    """Spacing of the allowed values, counted from *low*. *high* is lowered to the last of them."""
    default: float | None = None
    description: str = ""
    condition: When | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", _number(self.low))
        object.__setattr__(self, "high", _number(self.high))
        if self.step is not None:
            object.__setattr__(self, "step", _number(self.step))
        _check_bounds(self)
        if self.step is not None:
            if self.log:
                raise SpaceError(f"Float(log=True, step={self.step!r}): log and step exclude each other; drop one.")
            if max(abs(self.low), abs(self.high)) > _FINEST * self.step:
                raise SpaceError(
                    f"Float(low={self.low!r}, high={self.high!r}, step={self.step!r}): the step is too fine for "
                    "numbers of this size; drop it or make it larger."
                )
            object.__setattr__(self, "high", self._on_grid(math.floor((self.high - self.low) / self.step + 1e-8)))
        if self.default is not None:
            object.__setattr__(self, "default", _check_default(self, self.default))

    @property
    def has_default(self) -> bool:
        """Whether a default is known."""
        return self.default is not None

    def _on_grid(self, index: int) -> float:
        assert self.step is not None
        # Decimals keep 0.1 * 3 from becoming 0.30000000000000004.
        return float(Decimal(repr(self.low)) + index * Decimal(repr(self.step)))

    def contains(self, value: object) -> bool:
        """Tell whether *value* is a number in range and on the grid."""
        if isinstance(value, bool) or not isinstance(value, Real):
            return False
        if not self.low <= value <= self.high:  # type: ignore[operator]  # typeshed's Real has no comparison with float
            return False
        if self.step is None:
            return True
        index = (float(value) - self.low) / self.step
        return abs(index - round(index)) < 1e-8

    def repair(self, value: object) -> float:
        """
        Return the value nearest to *value* that `contains` accepts.

        Raises:
            SpaceError: If *value* is no finite number.
        """
        return self._nearest(_number(value))

    def _nearest(self, number: float) -> float:
        number = min(max(number, self.low), self.high)
        if self.step is None:
            return number
        return min(self._on_grid(round((number - self.low) / self.step)), self.high)

    def to_unit(self, value: float) -> float:
        """Return the position of *value* between *low* (0) and *high* (1), on the parameter's scale."""
        return _to_unit(float(value), self.low, self.high, self.log)

    def from_unit(self, position: float) -> float:
        """Return the value at *position* in [0, 1]; the inverse of `to_unit`."""
        return self._nearest(_from_unit(position, self.low, self.high, self.log))


@dataclass(frozen=True, slots=True)
class Int:
    """
    An integer parameter in [*low*, *high*].

    Raises:
        SpaceError: As for `Float`, and if a bound is not an integer.

    Example:
        >>> Int(2, 10).repair(7.6)
        8
    """

    low: int
    high: int
    _: KW_ONLY
    log: bool = False
    step: int = 1
    """Spacing of the allowed values, counted from *low*. *high* is lowered to the last of them."""
    default: int | None = None
    description: str = ""
    condition: When | None = None
    limit: int | None = None
    """What *high* may not exceed where the space is edited during a study, such as the rows of a fold."""

    def __post_init__(self) -> None:
        for name in ("low", "high", "step", *(["limit"] if self.limit is not None else [])):
            bound = getattr(self, name)
            if _number(bound) != int(_number(bound)):
                raise SpaceError(f"Int({name}={bound!r}): an integer is needed; use Float for real values.")
            object.__setattr__(self, name, int(bound) if isinstance(bound, Integral) else int(_number(bound)))
        _check_bounds(self)
        if self.log and self.step != 1:
            raise SpaceError(f"Int(log=True, step={self.step!r}): log and step exclude each other; drop one.")
        if self.limit is not None and self.limit < self.high:
            raise SpaceError(f"Int(high={self.high!r}, limit={self.limit!r}): high must not exceed limit; lower high.")
        object.__setattr__(self, "high", self.low + (self.high - self.low) // self.step * self.step)
        if self.default is not None:
            object.__setattr__(self, "default", _check_default(self, self.default))

    @property
    def has_default(self) -> bool:
        """Whether a default is known."""
        return self.default is not None

    def contains(self, value: object) -> bool:
        """Tell whether *value* is an integer in range and on the grid."""
        if isinstance(value, bool) or not isinstance(value, Integral):
            return False
        return self.low <= int(value) <= self.high and (int(value) - self.low) % self.step == 0

    def repair(self, value: object) -> int:
        """
        Return the integer nearest to *value* that `contains` accepts.

        Raises:
            SpaceError: If *value* is no finite number.
        """
        if isinstance(value, Integral) and self.contains(value):
            return int(value)  # not by way of a float, which is exact up to 2**53 only
        return self._nearest(_number(value))

    def _nearest(self, number: float) -> int:
        number = min(max(number, self.low), self.high)
        return min(self.low + round((number - self.low) / self.step) * self.step, self.high)

    def to_unit(self, value: float) -> float:
        """Return the position of *value* between *low* (0) and *high* (1), on the parameter's scale."""
        return _to_unit(float(value), self.low, self.high, self.log)

    def from_unit(self, position: float) -> int:
        """Return the integer at *position* in [0, 1]; the inverse of `to_unit` up to rounding."""
        return self._nearest(_from_unit(position, self.low, self.high, self.log))


@dataclass(frozen=True, slots=True)
class Categorical:
    """
    One of several *choices*: text, numbers, booleans or None. They have no order.

    Raises:
        SpaceError: If there are no choices, a choice appears twice or is no scalar, or the default is none of them.

    Example:
        >>> Categorical(["gini", "entropy", None]).repair("Entropy")
        'entropy'
    """

    choices: tuple[Scalar, ...]
    _: KW_ONLY
    default: Scalar = None
    """The estimator's own choice. None means the choice None where that is one, else that no default is known."""
    description: str = ""
    condition: When | None = None

    def __init__(
        self,
        choices: Sequence[Scalar],
        *,
        default: Scalar = None,
        description: str = "",
        condition: When | None = None,
    ) -> None:
        object.__setattr__(self, "choices", tuple(choices))
        object.__setattr__(self, "default", default)
        object.__setattr__(self, "description", description)
        object.__setattr__(self, "condition", condition)
        if not self.choices:
            raise SpaceError("Categorical(choices=()): at least one choice is needed.")
        for choice in self.choices:
            if not (choice is None or isinstance(choice, (bool, int, float, str))) or choice != choice:
                raise SpaceError(f"The choice {choice!r} is not text, a number, a boolean or None.")
        if len({_identity(choice) for choice in self.choices}) < len(self.choices):
            raise SpaceError(f"Categorical(choices={self.choices!r}): a choice appears twice.")
        if self.default is not None and not self.contains(self.default):
            raise SpaceError(f"The default {self.default!r} is none of the choices {self.choices!r}.")

    @property
    def has_default(self) -> bool:
        """Whether a default is known."""
        return self.contains(self.default)

    def contains(self, value: object) -> bool:
        """Tell whether *value* is one of the choices; True is not 1, and "1" is not 1."""
        return any(_identity(value) == _identity(choice) for choice in self.choices)

    def labels(self) -> tuple[str, ...]:
        """
        Return one text per choice: text as it is, anything else as its JSON text.

        `repair` reads each back: where the JSON text of a choice is another choice, its type is added ('1 (int)').
        """
        return tuple(choice if isinstance(choice, str) else self._label(choice) for choice in self.choices)

    def _label(self, choice: Scalar) -> str:
        text = json.dumps(choice)
        return f"{text} ({type(choice).__name__})" if text in self.choices else text

    def repair(self, value: object) -> Scalar:
        """
        Return the choice that *value* means: itself, its label, a number of another spelling, or text in other case.

        Raises:
            SpaceError: If *value* is none of the choices in any of these ways.
        """
        for choice in self.choices:
            if _identity(value) == _identity(choice):
                return choice
        for choice, label in zip(self.choices, self.labels(), strict=True):
            if value == label and isinstance(value, str):
                return choice
        if isinstance(value, str):
            for choice in self.choices:
                if isinstance(choice, (int, float)) and not isinstance(choice, bool) and _reads_as(value, choice):
                    return choice
        alike = [choice for choice in self.choices if _spelling(choice) == _spelling(value)]
        if len(alike) == 1:
            return alike[0]
        raise SpaceError(f"{value!r} is none of the choices {', '.join(map(repr, self.choices))}.")

    def to_unit(self, value: Scalar) -> float:
        """Return the middle of the slot that *value* has in [0, 1]."""
        index = next(i for i, choice in enumerate(self.choices) if _identity(choice) == _identity(value))
        return (index + 0.5) / len(self.choices)

    def from_unit(self, position: float) -> Scalar:
        """Return the choice whose slot holds *position*."""
        return self.choices[min(max(int(position * len(self.choices)), 0), len(self.choices) - 1)]


Parameter: TypeAlias = Float | Int | Categorical


def _check_default(parameter: Float | Int, default: float) -> Any:
    if not parameter.contains(default):
        grid = f" in steps of {parameter.step!r}" if parameter.step not in (None, 1) else ""
        raise SpaceError(
            f"The default {default!r} lies outside [{parameter.low!r}, {parameter.high!r}]{grid}; "
            "move the default or widen the range."
        )
    return parameter.repair(default)


def _identity(value: object) -> tuple[str, object]:
    """Equal for what Optuna stores as the same choice: 1 and 1.0, but not 1 and True or 1 and "1"."""
    if isinstance(value, (list, dict, set)):
        return ("unhashable", repr(value))
    if isinstance(value, Real) and not isinstance(value, bool):
        return ("number", value)
    return (type(value).__name__, value)


def _reads_as(text: str, number: float) -> bool:
    try:
        return _number(text) == number
    except SpaceError:
        return False


def _spelling(value: object) -> str:
    return str(value).strip().strip("'\"").casefold().replace("null", "none").replace("-", "_").replace(" ", "_")


def _to_unit(value: float, low: float, high: float, log: bool) -> float:
    if log:
        value, low, high = math.log(max(value, low)), math.log(low), math.log(high)
    if low == high:  # also two neighbouring numbers whose logarithms are the same
        return 0.0
    return min(max((value - low) / (high - low), 0.0), 1.0)


def _from_unit(position: float, low: float, high: float, log: bool) -> float:
    position = min(max(position, 0.0), 1.0)
    if log:
        return math.exp(math.log(low) + position * (math.log(high) - math.log(low)))
    return low + position * (high - low)
