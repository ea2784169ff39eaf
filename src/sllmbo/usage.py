"""
What questions to an advisor have cost.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """What one or more questions to an advisor have cost."""

    calls: int = 0
    """Requests that were sent to a chat model."""

    input_tokens: int = 0
    output_tokens: int = 0

    cost_usd: float | None = None
    """Price in US dollars; None where the price is unknown, which is not the same as zero."""

    seconds: float = 0.0
    """Wall time spent waiting for the answers."""

    cached_tokens: int = 0
    """Of the input tokens, those that the provider read from its cache, mostly at a lower price."""

    unseen: int = 0
    """Of the calls, those whose cost was not seen: their tokens and price are the most that they may have cost."""

    @property
    def tokens(self) -> int:
        """Tokens in both directions."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        costs = [cost for cost in (self.cost_usd, other.cost_usd) if cost is not None]
        unknown = any(usage.calls and usage.cost_usd is None for usage in (self, other))
        return Usage(
            calls=self.calls + other.calls,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost_usd=None if unknown or not costs else sum(costs),
            seconds=self.seconds + other.seconds,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            unseen=self.unseen + other.unseen,
        )

    def to_json(self) -> dict[str, int | float | None]:
        """Return the usage as a JSON object."""
        return {**asdict(self), "seconds": round(self.seconds, 3)}

    @classmethod
    def from_json(cls, data: dict[str, int | float | None]) -> Usage:
        """Return the usage that *to_json()* wrote."""
        return cls(
            calls=int(data.get("calls") or 0),
            input_tokens=int(data.get("input_tokens") or 0),
            output_tokens=int(data.get("output_tokens") or 0),
            cost_usd=data.get("cost_usd"),
            seconds=float(data.get("seconds") or 0.0),
            cached_tokens=int(data.get("cached_tokens") or 0),
            unseen=int(data.get("unseen") or 0),
        )
