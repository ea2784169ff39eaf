"""
Masking: a search space and its trials under other names, and a reply back under the true ones. Pure.

Two uses: names that say nothing (x1, c1), to see what a chat model knows of a data set by its names; and short names
for those that cannot be sent as they are, being long or holding characters that servers refuse.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from sllmbo.history import History, Observation
from sllmbo.prompts.privacy import error_class
from sllmbo.prompts.standing import is_usable
from sllmbo.prompts.words import MAX_TEXT, is_plain, quoted
from sllmbo.space import Categorical, Parameter, Scalar, SearchSpace, SpaceEdit, When
from sllmbo.task import Task

_EXCERPT = 24  # so that with its number it is told whole
_LONGEST_NOTE = 200


@dataclass(frozen=True, slots=True)
class Masking:
    """
    Other names for parameters and categories. Made by `mask_all` and `mask_awkward`.

    Example:
        >>> masking = mask_all(SearchSpace({"kernel": Categorical(["rbf", "poly"])}))
        >>> masking.masked
        SearchSpace({'x1': Categorical(choices=('c1', 'c2'), default=None, description='', condition=None)})
        >>> masking.unmask({"x1": "c2"})
        {'kernel': 'poly'}
    """

    space: SearchSpace
    """The true space."""

    masked: SearchSpace
    """The same under the other names."""

    names: Mapping[str, str]
    """The other name by the true one, for every parameter."""

    everything: bool
    """Whether all names are others, so that nothing may be told that has true ones."""

    def task(self, task: Task) -> Task:
        """Return the card without what names the task, if everything is masked."""
        if not self.everything:
            return task
        earlier = tuple(replace(best, study="", metric="") for best in task.earlier)
        nameless = replace(task, description="", estimator="an estimator", metric="a metric", estimator_params={})
        return replace(nameless, earlier=earlier)

    def history(self, history: History) -> History:
        """Return the trials under the other names; values that the space cannot have had are left out."""
        if self.masked is self.space:
            return history
        return replace(history, observations=tuple(map(self._trial, history)))

    def _trial(self, o: Observation) -> Observation:
        turned_down = tuple(replace(refusal, params=self.mask(refusal.params)) for refusal in o.turned_down)
        o = replace(o, params=self.mask(o.params), turned_down=turned_down)
        return replace(o, reason=error_class(o.reason), rationale="") if self.everything else o

    def mask(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return *params* under the other names, without parameters and values that are none of the space's."""
        return {
            self.names[name]: self._choice(name, value)
            for name, value in params.items()
            if name in self.space and is_usable(self.space[name], value)
        }

    def _choice(self, name: str, value: Any) -> Any:
        there, here = self.space[name], self.masked[self.names[name]]
        if isinstance(there, Categorical) and isinstance(here, Categorical):
            return here.from_unit(there.to_unit(value))
        return value

    def unmask(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of a reply under the true names; what has no meaning is left as it is."""
        true = {other: name for name, other in self.names.items()}
        return {
            true.get(name, name): self._true_choice(name, value)
            for name, value in params.items()
            if name in true or name not in self.space
        }

    def _true_choice(self, other: str, value: Any) -> Any:
        here = self.masked.get(other)
        if not isinstance(here, Categorical):
            return value
        there = next(self.space[name] for name, called in self.names.items() if called == other)
        assert isinstance(there, Categorical)
        try:
            return there.from_unit(here.to_unit(here.repair(value)))
        except ValueError:
            return value

    def unmask_edit(self, edit: SpaceEdit) -> SpaceEdit:
        """Return an edit of a reply under the true name of its parameter."""
        true = {other: name for name, other in self.names.items()}
        return replace(edit, parameter=true.get(edit.parameter, edit.parameter), reason=self.unmask_text(edit.reason))

    def unmask_text(self, text: str) -> str:
        """Return a rationale with the true names in place of the others."""
        true = {other: name for name, other in self.names.items() if name != other}
        for name, other in self.names.items():
            there, here = self.space[name], self.masked[other]
            if isinstance(there, Categorical) and isinstance(here, Categorical):
                true |= {
                    masked.partition(":")[0]: label
                    for masked, label in zip(here.labels(), there.labels(), strict=True)
                    if masked != label
                }
        return re.sub(r"\b[xc][0-9]+\b", lambda found: true.get(found.group(), found.group()), text)


def mask_all(space: SearchSpace) -> Masking:
    """Return the masking that calls the parameters x1, x2, ... and the categories c1, c2, ..., without notes."""
    names = {name: f"x{number}" for number, name in enumerate(space, start=1)}
    fresh = (f"c{number}" for number in count(1))
    return _masking(space, names, lambda _: next(fresh), everything=True)


def mask_awkward(space: SearchSpace) -> Masking:
    """
    Return the masking that replaces only what is awkward to send.

    Awkward are names that are no plain words, or long, and categories that are long, hold characters that are not seen
    or differ from others in white space alone. The true name becomes a part of the note on the parameter, which is
    quoted; a category has a number, and how it begins ("c1: A long text ...").
    """
    taken = {*space, *(label for p in space.values() if isinstance(p, Categorical) for label in p.labels())}
    fresh_names = (name for number in count(1) if (name := f"x{number}") not in taken)
    fresh = (choice for number in count(1) if (choice := f"c{number}") not in taken)
    names = {name: name if is_plain(name) else next(fresh_names) for name in space}

    def short(choice: Scalar) -> Scalar:
        if isinstance(choice, str) and _is_awkward(choice):
            return f"{next(fresh)}: {quoted(choice, _EXCERPT)[1:-1]}"
        return choice

    return _masking(space, names, short, everything=False)


def _is_awkward(choice: str) -> bool:
    is_seen = choice == " ".join(choice.split()) and not any(unicodedata.category(c).startswith("C") for c in choice)
    return len(choice) > MAX_TEXT or not is_seen


def _masking(
    space: SearchSpace, names: Mapping[str, str], choice: Callable[[Scalar], Scalar], *, everything: bool
) -> Masking:
    choices = {
        name: tuple(map(choice, parameter.choices))
        for name, parameter in space.items()
        if isinstance(parameter, Categorical)
    }
    if all(names[name] == name for name in space) and all(
        choices[name] == parameter.choices for name, parameter in _categoricals(space)
    ):
        return Masking(space, space, names, everything)
    masked = {}
    for name, parameter in space.items():
        about: dict[str, Any] = {
            "description": "" if everything else _note(name, names[name], parameter.description),
            "condition": _condition(parameter.condition, space, names, choices),
        }
        masked[names[name]] = _renamed(parameter, choices.get(name, ()), about)
    return Masking(space, SearchSpace(masked), names, everything)


def _categoricals(space: SearchSpace) -> Iterator[tuple[str, Categorical]]:
    yield from ((name, p) for name, p in space.items() if isinstance(p, Categorical))


def _note(name: str, other: str, description: str) -> str:
    if name == other:
        return description
    return f"{quoted(name, _LONGEST_NOTE)[1:-1]}: {description}" if description else quoted(name, _LONGEST_NOTE)[1:-1]


def _renamed(parameter: Parameter, choices: tuple[Scalar, ...], about: dict[str, Any]) -> Parameter:
    if not isinstance(parameter, Categorical):
        return replace(parameter, **about)
    default = _at(parameter, choices, parameter.default) if parameter.has_default else None
    return Categorical(choices, default=default, **about)


def _condition(
    condition: When | None,
    space: SearchSpace,
    names: Mapping[str, str],
    choices: Mapping[str, tuple[Scalar, ...]],
) -> When | None:
    if condition is None:
        return None
    other = space[condition.parameter]
    if isinstance(other, Categorical):
        values = [_at(other, choices[condition.parameter], value) for value in condition.values]
    else:
        values = list(condition.values)
    return When(names[condition.parameter], values)


def _at(parameter: Categorical, choices: tuple[Scalar, ...], value: Scalar) -> Scalar:
    """Return which of *choices* stands where *value* does in *parameter*."""
    return choices[round(parameter.to_unit(value) * len(choices) - 0.5)]
