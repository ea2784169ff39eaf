"""
Who serves a turn: `MixingPolicy` and its implementations.

A policy is a pure function of the seed, the turn and the history, so that every hook of a trial, every process and
every resumed study gets the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sllmbo._random import derive_seed
from sllmbo.errors import ConfigError
from sllmbo.history import History


class MixingPolicy(Protocol):
    """Decides who serves a turn once the anchors and the opening are through."""

    def advisor_serves(self, *, seed: int, turn: int, history: History) -> bool:
        """
        Tell whether the advisor serves *turn*; else the partner does.

        Args:
            seed: The study's seed.
            turn: The trial's number, not counting abandoned trials.
            history: The trials so far.
        """
        ...


@dataclass(frozen=True, slots=True)
class Bernoulli:
    """
    One coin per trial: the advisor with probability *p*; 0.5 is the paper's LLM-TPE (arXiv 2410.20302).

    Raises:
        ConfigError: If *p* is no probability.
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.p <= 1.0:
            raise ConfigError(f"Bernoulli(p={self.p!r}): p must lie between 0 and 1.")

    def advisor_serves(self, *, seed: int, turn: int, history: History) -> bool:  # noqa: ARG002
        """Throw the coin of this turn."""
        return derive_seed(seed, "mixing", turn) / 2**32 < self.p


@dataclass(frozen=True, slots=True)
class Alternating:
    """The advisor serves every second turn, the odd ones."""

    def advisor_serves(self, *, seed: int, turn: int, history: History) -> bool:  # noqa: ARG002
        """Tell whether *turn* is odd."""
        return turn % 2 == 1
