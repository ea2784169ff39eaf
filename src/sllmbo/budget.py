"""
What a study may spend.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """
    What a study may spend. None means no limit.

    Raises:
        ValueError: If a limit is not positive.
    """

    trials: int | None = None
    """Trials of the study in all, whoever runs them; those of earlier sessions count, abandoned ones do not."""

    seconds: float | None = None
    """Wall time of this session. The running trial is finished."""

    def __post_init__(self) -> None:
        for name in ("trials", "seconds"):
            limit = getattr(self, name)
            if limit is not None and not limit > 0:
                raise ValueError(f"Budget {name}={limit!r} must be positive; leave it out for no limit.")
