"""
Who serves a turn: `MixingPolicy` and its implementations.

A policy is a pure function of the seed, the turn and the history, so that every hook of a trial, every process and
every resumed study gets the same answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

from sllmbo._random import derive_seed
from sllmbo.errors import ConfigError
from sllmbo.history import History
from sllmbo.worth import NEITHER, PARTNERS, latest_percentiles


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
        return _coin(seed, turn) < self.p


@dataclass(frozen=True, slots=True)
class Alternating:
    """The advisor serves every second turn, the odd ones."""

    def advisor_serves(self, *, seed: int, turn: int, history: History) -> bool:  # noqa: ARG002
        """Tell whether *turn* is odd."""
        return turn % 2 == 1


_NOTHING = 1e-9
"""A trial that counts less than this is too old to matter."""

_SPREAD = math.sqrt(1 / 12)
"""Standard deviation of a percentile when nobody is better than anybody."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a study has shown so far of advisor and partner."""

    share: float
    """The probability with which the advisor serves the next turn; 0 where it was switched off."""
    advisor: float
    """Mean percentile of the advisor's trials among all, recent ones counting more; 0.5 is no evidence."""
    partner: float
    n_advisor: float
    """How many recent trials that mean is worth."""
    n_partner: float

    def advisor_serves(self, *, seed: int, turn: int) -> bool:
        """Throw the coin of *turn*, weighted by the share."""
        return _coin(seed, turn) < self.share

    def __str__(self) -> str:
        found = f"advisor at percentile {self.advisor:.0%} (n {self.n_advisor:.1f}), "
        found += f"partner at {self.partner:.0%} (n {self.n_partner:.1f})"
        return f"switched off: {found}" if self.share == 0.0 else f"share {self.share:.0%}: {found}"


@dataclass(frozen=True, slots=True)
class Adaptive:
    """
    The advisor serves as often as the study so far makes it likely that its trials are better than the partner's.

    Each trial of either side counts by its percentile among all trials of the study (a failed or pruned one by 0), and
    one that is a trial older by *decay* less. The share is the probability that the advisor's mean is the higher one,
    by a normal approximation: probability matching (Thompson 1933). It starts at one half, never exceeds
    1 - *partner_floor*, and is 0 where that probability is below *switch_off*. As evidence fades while the advisor is
    off, it is tried again by itself: about 15 turns after it has clearly failed.

    Raises:
        ConfigError: If a number is no probability.
    """

    partner: str = "tpe"
    """The source of the partner's trials; `LLMTPESampler` puts that of its own here."""
    partner_floor: float = 0.25
    decay: float = 0.95
    switch_off: float = 0.05

    def __post_init__(self) -> None:
        for name in ("partner_floor", "decay", "switch_off"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"Adaptive({name}={getattr(self, name)!r}): it must lie between 0 and 1.")

    def advisor_serves(self, *, seed: int, turn: int, history: History) -> bool:
        """Throw the coin of this turn, weighted by what the study has shown."""
        return self.standing(history).advisor_serves(seed=seed, turn=turn)

    def standing(self, history: History) -> Standing:
        """Return what *history* shows, and the share that follows."""
        sums = {"advisor": 0.0, "partner": 0.0}
        weights = {"advisor": 0.0, "partner": 0.0}
        weight = 1.0
        bystanders = (NEITHER | PARTNERS) - {self.partner}  # other samplers opened the study, or began it
        for o, percentile in latest_percentiles(history):
            if weight < _NOTHING:
                break
            if o.source not in bystanders:
                side = "partner" if o.source == self.partner else "advisor"
                sums[side] += weight * percentile
                weights[side] += weight
            weight *= self.decay
        means = {side: (sums[side] + 0.5) / (weights[side] + 1.0) for side in sums}  # one trial in the middle, a priori
        error = _SPREAD * math.sqrt(sum(1.0 / (n + 1.0) for n in weights.values()))
        likely = NormalDist().cdf((means["advisor"] - means["partner"]) / error)
        share = 0.0 if likely < self.switch_off else min(likely, 1.0 - self.partner_floor)
        return Standing(share, means["advisor"], means["partner"], weights["advisor"], weights["partner"])


def _coin(seed: int, turn: int) -> float:
    return derive_seed(seed, "mixing", turn) / 2**32
