"""
A trial between its start and its end, as a sampler knows it in this process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from sllmbo.errors import ConfigError
from sllmbo.samplers._edits import Box, Edits
from sllmbo.samplers._record import Decision

Init: TypeAlias = Literal["llm", "random", "default"]
Role: TypeAlias = Literal["user", "anchor", "first", "opening", "repeat", "advisor", "partner"]


@dataclass(slots=True)
class Open:
    """A trial between its start and its end, in this process."""

    turn: int | None
    """None where the user gave the parameters."""
    stream: int | str
    """The partner's stream of random numbers: the turn, or which request of the user's it is."""
    decision: Decision | None = None
    role: Role | None = None
    """Who serves it, once that was asked; None until then, and where the user gave the parameters."""
    trials: Sequence[FrozenTrial] = ()
    standing: str = ""
    """What the mixing policy read off the study."""
    box: Box | None = None
    """Where the turn searches, once it is known."""
    joint: dict[str, BaseDistribution] | None = None
    """What the partner samples jointly, once it is known."""
    again: Decision | None = None
    """What a turn that repeats a configuration evaluates."""

    @property
    def is_undecided(self) -> bool:
        """Tell whether nothing came of deciding: the advisor failed, and *on_failure* or the error says to raise."""
        return self.role is not None and self.decision is None


def check_arguments(*, init: str, on_failure: str, edits: str, n_opening: int, n_candidates: int) -> None:
    """
    Check the arguments of a sampler that have few values.

    Raises:
        ConfigError: If one breaks a rule.
    """
    if init not in ("llm", "random", "default"):
        raise ConfigError(f"init={init!r} must be 'llm', 'random' or 'default'.")
    if on_failure not in ("partner", "raise"):
        raise ConfigError(f"on_failure={on_failure!r} must be 'partner' or 'raise'.")
    if edits not in get_args(Edits):
        raise ConfigError(f"edits={edits!r} must be 'none', 'narrow' or 'all'.")
    if n_opening < 1 or n_candidates < 1:
        raise ConfigError(f"n_opening={n_opening!r} and n_candidates={n_candidates!r} must be at least 1.")
