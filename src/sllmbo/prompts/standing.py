"""
`Standing`: a history seen through a search space, with what every part of the digest needs of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sllmbo.history import History, Observation
from sllmbo.prompts import words
from sllmbo.space import Categorical, Parameter, SearchSpace

_TOLD_APART = 8
_DIGITS = (4, 5)
_ENOUGH_FOR_COLLAPSES = 6
_FAR = 5  # times as far beyond the median as the best is from the third quartile


@dataclass(frozen=True, slots=True)
class Standing:
    """A history seen through a space."""

    space: SearchSpace
    history: History
    ranked: tuple[Observation, ...]
    """The complete trials whose value is a number, best first."""
    collapsed: tuple[Observation, ...]
    """Those of them that are far worse than the others, the worst first."""
    digits: int
    """With how many digits values are told, so that the best can be told apart."""

    def value(self, given: float) -> str:
        """Return an objective's value in words."""
        return words.number(float(given), self.digits)

    @property
    def good(self) -> tuple[Observation, ...]:
        """The best quarter of the complete trials."""
        return self.ranked[: math.ceil(len(self.ranked) / 4)]

    @property
    def rest(self) -> tuple[Observation, ...]:
        """The other complete trials."""
        return self.ranked[len(self.good) :]

    def having(self, name: str, observations: Iterable[Observation]) -> list[Observation]:
        """Return those of *observations* in which parameter *name* had a value of its type."""
        parameter = self.space[name]
        return [o for o in observations if name in o.params and is_usable(parameter, o.params[name])]

    def values(self, name: str, observations: Iterable[Observation]) -> list[Any]:
        """Return the values that parameter *name* had in *observations*, as far as they are of its type."""
        return [o.params[name] for o in self.having(name, observations)]


def standing(space: SearchSpace, history: History) -> Standing:
    """Return *history* seen through *space*, which need not be the one that its trials came from."""
    sane = tuple(o for o in history if o.value is None or not math.isnan(o.value))
    ranked = History(history.direction, sane).ranked()
    few, many = (len({words.number(float(o.value or 0.0), d) for o in ranked[:_TOLD_APART]}) for d in _DIGITS)
    return Standing(space, history, ranked, _collapsed(ranked, history.direction), _DIGITS[few < many])


def _collapsed(ranked: tuple[Observation, ...], direction: str) -> tuple[Observation, ...]:
    sign = 1.0 if direction == "minimize" else -1.0
    losses = [sign * float(o.value or 0.0) for o in ranked]
    if len(losses) < _ENOUGH_FOR_COLLAPSES:
        return ()
    low, middle, high = (losses[len(losses) * quarter // 4] for quarter in (1, 2, 3))
    far = middle + _FAR * (high - losses[0])
    if not low < high:  # most trials are equal: no measure of what is far
        return ()
    return tuple(o for o, loss in zip(reversed(ranked), reversed(losses), strict=True) if loss > far)


def is_usable(parameter: Parameter, given: object) -> bool:
    """Tell whether *given* is of the parameter's type, inside its range or not."""
    if isinstance(parameter, Categorical):
        return parameter.contains(given)
    return isinstance(given, (int, float)) and not isinstance(given, bool) and abs(given) < 1e300


def digits_of(parameter: Parameter) -> int:
    """Return how many significant digits tell 100 values of the parameter's range apart, or any choice; at least 3."""
    if isinstance(parameter, Categorical):
        numbers = [c for c in parameter.choices if isinstance(c, (int, float)) and not isinstance(c, bool)]
        return next((d for d in range(3, 17) if all(float(words.number(c, d)) == c for c in numbers)), 17)
    if parameter.low == parameter.high:
        return 3
    low, high = float(parameter.low), float(parameter.high)
    size = max(abs(low), abs(high))
    span = math.log(high) - math.log(low) if parameter.log else high / size - low / size
    finest = parameter.step / size if parameter.step and isinstance(parameter.step, float) else span / 100
    return 3 if finest <= 0 else min(max(3, math.ceil(-math.log10(finest))), 10)
