"""
What a rule says: a configuration and why it is worth a trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sllmbo.space import Scalar


@dataclass(frozen=True, slots=True)
class Proposal:
    """A configuration of the space that a rule proposes."""

    rule: str
    """The rule's name, as reports count it."""

    params: Mapping[str, Scalar]
    rationale: str

    weight: float = 1.0
    """How much more than its outlook says the rule's author trusts it."""
