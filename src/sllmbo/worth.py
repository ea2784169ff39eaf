"""
What each source of trials has earned, and whether the advisor was worth its price; without Optuna.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import KW_ONLY, asdict, dataclass, field
from typing import Any

import numpy as np

from sllmbo.history import History, Observation
from sllmbo.usage import Usage

PARTNERS = frozenset({"partner"}).union(
    ("tpe", "random", "gp", "cma", "qmc", "grid", "bruteforce", "nsgaii", "nsgaiii", "auto", "hyperopt", "smac")
)
"""Sources that are classical samplers, as `sllmbo.samplers` names them."""

NEITHER = frozenset(("", "default", "tuned-default", "transfer", "user", "repeat"))
"""Sources that are neither the advisor nor its partner: what is known or asked for beforehand, and repeats."""

ENOUGH = 5
"""With fewer trials of the advisor nothing is said about whether it pays."""

_Z = 1.959964
"""Of the normal distribution, for intervals of 95 %."""


@dataclass(frozen=True, slots=True)
class SourceWorth:
    """What one source has earned and cost."""

    trials: int
    """Its finished trials, failed and pruned ones included."""
    improvements: int
    """How many of them bettered the incumbent, which is the default configuration at first."""
    gain: float
    """Sum of the steps by which they bettered it, in units of the metric; never negative."""
    usage: Usage = field(default_factory=Usage)
    """What its answers have cost."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What each source of a study has earned, and the verdict on the advisor."""

    sources: Mapping[str, SourceWorth]
    """By source, in order of appearance."""
    _: KW_ONLY
    improvements: int
    """Of all sources; the default configuration is none."""
    gain: float
    """How much better the best value is than the default's (or the first, without a default); the sources' gains."""
    advisor_trials: int
    advisor_improvements: int
    advisor_gain: float
    difference: float | None
    """
    Share of the advisor's trials that were improvements less that of the partner's, from where both had begun, as the
    first trials of a study improve most easily. None if one of them served no trial there.
    """
    interval: tuple[float, float] | None
    """Of 95 % for the difference (Newcombe's, from Wilson's score intervals)."""
    noisy: bool = False
    """Whether repeats have shown that values are noisy: gains are of single values, and partly luck."""
    usage: Usage
    """What all questions to the advisor have cost, also those that brought no trial."""

    @property
    def verdict(self) -> str:
        """Whether the advisor was worth its price, in one sentence."""
        n, found = self.advisor_trials, self.advisor_improvements
        if not n:
            nothing = "no trial came from an advisor"
            return f"the advisor did not pay: {nothing}{self._cost()}" if self.usage.calls else nothing
        score = f"{found} of {_counted(self.improvements, 'improvement')}"
        if n < ENOUGH:
            return f"too few trials to tell (n={n}): the advisor found {score}{self._cost()}"
        if not found:
            return f"the advisor did not pay: {score} in {n} trials{self._cost()}"
        noisy = " in single noisy values" if self.noisy else ""
        worth = f"worth {self.advisor_gain:.3g} (of {self.gain:.3g}){noisy}"
        return f"the advisor found {score}, {worth}{self._cost()}{self._compared()}"

    def _cost(self) -> str:
        if not self.usage.calls:
            return ""
        most = "at most " if self.usage.unseen else ""
        if self.usage.cost_usd is None:
            return f" for {most}{self.usage.tokens} tokens"
        return f" for {most}{self.usage.cost_usd:.2g} USD"

    def _compared(self) -> str:
        if self.interval is None:
            return ""
        low, high = self.interval
        if low > 0:
            return ", and improved more often than its partner"
        if high < 0:
            return ", but improved less often than its partner"
        return "; how often it improved cannot be told from its partner"

    def to_json(self) -> dict[str, Any]:
        """Return the worth as a JSON object, with the verdict."""
        return {"verdict": self.verdict, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Worth:
        """Return the worth that *to_json()* wrote."""
        fields = {name: value for name, value in data.items() if name != "verdict"}
        fields["interval"] = tuple(data["interval"]) if data["interval"] is not None else None
        fields["usage"] = Usage.from_json(data["usage"])
        fields["sources"] = {
            name: SourceWorth(**{**source, "usage": Usage.from_json(source["usage"])})
            for name, source in data["sources"].items()
        }
        return cls(**fields)


def measure_worth(
    history: History,
    usage: Usage | None = None,
    *,
    usage_by_source: Mapping[str, Usage] | None = None,
    partners: Collection[str] = PARTNERS,
    noisy: bool = False,
) -> Worth:
    """
    Return what each source of *history* has earned.

    Args:
        history: The trials; running ones do not count.
        usage: What all questions to the advisor have cost.
        usage_by_source: What the answers behind the trials of a source have cost.
        partners: Sources that are classical samplers; any other that is not in `NEITHER` is the advisor.
        noisy: Whether repeats have shown that values are noisy.
    """
    finished = [o for o in history if o.state != "running"]
    steps = improvements(history)
    sources: dict[str, SourceWorth] = {}
    for name in dict.fromkeys(_source(o) for o in finished):
        own = [o.number for o in finished if _source(o) == name]
        gains = [steps[number] for number in own if number in steps]
        sources[name] = SourceWorth(len(own), len(gains), math.fsum(gains), (usage_by_source or {}).get(name, Usage()))
    advisors = [source for name, source in sources.items() if name not in partners and name not in NEITHER]
    difference, interval = _difference(finished, steps, partners)
    return Worth(
        sources,
        improvements=len(steps),
        gain=math.fsum(steps.values()),
        advisor_trials=sum(source.trials for source in advisors),
        advisor_improvements=sum(source.improvements for source in advisors),
        advisor_gain=math.fsum(source.gain for source in advisors),
        difference=difference,
        interval=interval,
        noisy=noisy,
        usage=usage if usage is not None else Usage(),
    )


def percentiles(history: History) -> list[tuple[Observation, float]]:
    """Return each finished trial but repeats with its percentile, in order; 1 is best, failed ones have 0."""
    return list(latest_percentiles(history))[::-1]


def latest_percentiles(history: History) -> Iterator[tuple[Observation, float]]:
    """Yield what `percentiles` returns, the latest trial first; for those who need only the last ones."""
    first = [o for o in history.observations if o.source != "repeat"]
    ordered = np.sort(np.array([o.value for o in first if o.state == "complete" and o.value is not None], dtype=float))
    for o in reversed(first):
        if o.state == "complete" and o.value is not None:
            below = ordered.searchsorted(o.value, "left") + ordered.searchsorted(o.value, "right")
            rank = float(below) / (2.0 * len(ordered))
            yield o, 1.0 - rank if history.direction == "minimize" else rank
        elif o.state != "running":
            yield o, 0.0


def _source(observation: Observation) -> str:
    return observation.source or "user"


def improvements(history: History) -> dict[int, float]:
    """Return by trial number by how much it bettered the incumbent; the default's value is where it starts."""
    complete = [o for o in history.complete() if o.source != "repeat"]  # a luckier value is no better configuration
    start = next((o for o in complete if o.source == "default"), complete[0] if complete else None)
    steps: dict[int, float] = {}
    if start is None or start.value is None:
        return steps
    incumbent = start.value
    for observation in complete:
        value = observation.value
        if value is not None and observation is not start and history.is_better(value, incumbent):
            steps[observation.number] = abs(value - incumbent)
            incumbent = value
    return steps


def _difference(
    finished: list[Observation], steps: Mapping[int, float], partners: Collection[str]
) -> tuple[float | None, tuple[float, float] | None]:
    sides: tuple[list[int], list[int]] = ([], [])
    for observation in finished:
        if observation.source not in NEITHER:
            sides[observation.source in partners].append(observation.number)
    if not all(sides):
        return None, None
    begin = max(side[0] for side in sides)
    counts = [(sum(n in steps for n in side if n >= begin), sum(n >= begin for n in side)) for side in sides]
    if not all(n for _, n in counts):
        return None, None
    (ours, n_ours), (theirs, n_theirs) = counts
    p, q = ours / n_ours, theirs / n_theirs
    (p_low, p_high), (q_low, q_high) = _wilson(ours, n_ours), _wilson(theirs, n_theirs)
    low = p - q - math.hypot(p - p_low, q_high - q)
    high = p - q + math.hypot(p_high - p, q - q_low)
    return p - q, (max(low, -1.0), min(high, 1.0))


def _wilson(found: int, n: int) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion."""
    p, z2 = found / n, _Z**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return centre - half, centre + half


def _counted(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"
