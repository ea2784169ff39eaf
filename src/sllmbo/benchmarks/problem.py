"""
`Problem`, a tuning problem as a benchmark sees it, and `Suite`, a named set of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from sllmbo.space import SearchSpace
from sllmbo.task import Task

Evaluate: TypeAlias = Callable[[Mapping[str, Any], int], float]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A tuning problem: what is told about it, how a configuration is valued, and what is known of its answers."""

    suite: str
    name: str
    task: Task
    space: SearchSpace
    """With defaults, if the problem has a default configuration."""
    evaluate: Evaluate
    """`evaluate(params, repeat)` values a configuration; *repeat* counts its earlier evaluations in the study (a noisy
    problem gives another draw for each). Raises where the configuration fails."""
    truth: Callable[[Mapping[str, Any]], float] | None = None
    """The noise-free value of a configuration that regret is taken of, or its held-out one, where it is known."""
    best: float | None = None
    """The best true value there is, if known."""
    median: float | None = None
    """The median true value over the space, if known."""
    noisy: bool = False
    """Whether the same configuration may have several values."""
    in_study: Callable[[int], Evaluate] | None = None
    """`in_study(seed)` is *evaluate* with draws that belong to the study of this seed, so that studies of other seeds
    see other noise and all methods of one seed the same. None where *evaluate* serves all studies."""

    def regret(self, value: float) -> float | None:
        """Return (best - value) / (best - median): 0 at the best, 1 at the median; None where they are not known."""
        if self.best is None or self.median is None:
            return None
        return (self.best - value) / (self.best - self.median)


class Suite(Protocol):
    """A named set of problems, each made when it is asked for, in the process that runs it."""

    name: str
    extra: str | None
    """The optional extra of this package that it needs, if any."""

    def problems(self) -> tuple[str, ...]:
        """Return the names of the problems, without loading them."""

    def load(self, problem: str) -> Problem:
        """Return a problem by name."""
