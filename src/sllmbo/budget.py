"""
What a study may spend.
"""

from __future__ import annotations

from dataclasses import dataclass

from sllmbo.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """
    What a study may spend. None means no limit.

    Raises:
        ConfigError: If a limit is not positive.
    """

    trials: int | None = None
    """Trials of the study in all, whoever runs them; those of earlier runs count, abandoned ones do not."""

    seconds: float | None = None
    """Wall time of this run. The running trial is finished."""

    calls: int | None = None
    """Requests to a chat model, over the whole study and all its workers."""

    tokens: int | None = None
    """Tokens sent to and received from chat models, likewise."""

    cost_usd: float | None = None
    """US dollars paid for chat models, likewise. Kept only where the price is known: no question is asked else."""

    @property
    def limits_advice(self) -> bool:
        """Whether questions to an advisor are limited."""
        return any(limit is not None for limit in (self.calls, self.tokens, self.cost_usd))

    def __post_init__(self) -> None:
        for name in ("trials", "seconds", "calls", "tokens", "cost_usd"):
            limit = getattr(self, name)
            if limit is not None and not limit > 0:
                raise ConfigError(f"Budget {name}={limit!r} must be positive; leave it out for no limit.")
