"""
What was tried and what came back: `Observation` and `History`, immutable, without Optuna.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, TypeAlias

Direction: TypeAlias = Literal["minimize", "maximize"]
State: TypeAlias = Literal["complete", "pruned", "failed", "running"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A proposal of the advisor that was turned down."""

    params: Mapping[str, Any]
    """Its values by name; empty where the reason names a trial that it repeats."""

    reason: str
    """Why, in our own words: they quote nothing, and name trials by number and no parameter."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One trial, as it is told to an advisor."""

    number: int
    """The trial's number in the study."""

    params: Mapping[str, Any]
    """Parameter values by name; may hold fewer or other names than the present search space."""

    _: KW_ONLY
    state: State
    value: float | None = None
    """The objective's value if complete (its rank, if there are several), the last reported if pruned, else None."""

    reason: str = ""
    """Why it failed or was pruned, class first ("MemoryError: ...")."""

    source: str = ""
    """Who proposed it: "default", "llm", "rules", "tpe", ..."""

    rationale: str = ""
    """Why it was proposed, in the words of who did."""

    details: Mapping[str, float] = field(default_factory=dict)
    """What else was measured: "train_value", "std" (over folds), "seconds"."""

    curve: tuple[tuple[int, float], ...] = ()
    """Steps and the values that were reported at them while it ran, in order."""

    turned_down: tuple[Refusal, ...] = ()
    """What the advisor proposed for its turn and was not run."""


@dataclass(frozen=True, slots=True)
class History(Sequence[Observation]):
    """The trials of a study in order of their numbers, and which direction is better."""

    direction: Direction
    observations: tuple[Observation, ...] = ()
    improved: frozenset[int] | None = None
    """With several objectives: who was on the Pareto front when it came. Else None: the values say who improved."""

    def __getitem__(self, index: Any) -> Any:
        return self.observations[index]

    def __len__(self) -> int:
        return len(self.observations)

    def __iter__(self) -> Iterator[Observation]:
        return iter(self.observations)

    def is_better(self, value: float, than: float) -> bool:
        """Tell whether *value* is strictly better than *than*."""
        return value < than if self.direction == "minimize" else value > than

    def complete(self) -> tuple[Observation, ...]:
        """Return the complete trials, in order."""
        return tuple(o for o in self.observations if o.state == "complete" and o.value is not None)

    def ranked(self) -> tuple[Observation, ...]:
        """Return the complete trials, best first; of equal ones the earlier first."""
        sign = 1.0 if self.direction == "minimize" else -1.0
        return tuple(sorted(self.complete(), key=lambda o: (sign * (o.value or 0.0), o.number)))

    def failures(self) -> tuple[Observation, ...]:
        """Return the failed trials, in order."""
        return tuple(o for o in self.observations if o.state == "failed")

    @property
    def best(self) -> Observation | None:
        """The incumbent: the best complete trial, or None."""
        ranked = self.ranked()
        return ranked[0] if ranked else None

    def since_improvement(self) -> int:
        """Return how many finished trials came after the last improvement; all of them where nothing is complete."""
        latest = -1 if self.best is None else self.best.number
        if self.improved is not None:
            first = next((o.number for o in self.complete()), -1)
            latest = max(self.improved, default=first)
        return sum(o.number > latest for o in self.observations if o.state != "running")
