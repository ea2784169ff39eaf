"""
Goals beside the metric: constraints on what is measured of a trial, and the ranks of trials with several objectives.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sllmbo.errors import ConfigError

_CONSTRAINT = re.compile(r"\s*([A-Za-z_][\w.-]*)\s*(<=|>=)\s*(\S+)\s*")

INFEASIBLE = "infeasible"
"""The class of the failure of a trial that breaks a constraint."""

_AUGMENT = 0.1
"""The weight of the sum beside the maximum in Tchebycheff's distance."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """
    A bound on something that is measured of a trial.

    Example:
        >>> constraint = Constraint.parse("model_size_mb <= 5")
        >>> constraint.violation(6.0)
        0.2
        >>> str(constraint)
        'model_size_mb<=5'
    """

    name: str
    """What is measured."""
    relation: str
    """"<=" or ">="."""
    bound: float

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """
        Return the constraint that *text* states: a name, "<=" or ">=", and a number.

        Raises:
            ConfigError: If *text* states none.
        """
        match = _CONSTRAINT.fullmatch(text)
        try:
            bound = float(match.group(3)) if match else math.nan
        except ValueError:
            bound = math.nan
        if match is None or not math.isfinite(bound):
            raise ConfigError(
                f"The constraint {text!r} is none; write a name, <= or >=, and a number, such as 'model_size_mb<=5'."
            )
        return cls(match.group(1), match.group(2), bound)

    def violation(self, measured: float) -> float:
        """Return by which share of the bound *measured* is beyond it (by how much, if that is 0); above 0: broken."""
        excess = measured - self.bound if self.relation == "<=" else self.bound - measured
        return excess / (abs(self.bound) or 1.0)

    def __str__(self) -> str:
        return f"{self.name}{self.relation}{self.bound:g}"


def on_front(losses: Sequence[Sequence[float]]) -> list[bool]:
    """Tell of each row of *losses* (less is better in each column) whether no other row is better all in all."""
    return [rank == 0 for rank in _fronts(np.asarray(losses, dtype=float))]


def pareto_ranks(losses: Sequence[Sequence[float]]) -> list[float]:
    """
    Return one number per row of *losses*, less for better ones: the number of its front, and within it a compromise.

    The first front, those that no other row dominates, has 0 to 1, the next one 1 to 2, and so on (non-dominated
    sorting; Deb et al. 2002). Within a front rows are ordered by the augmented Tchebycheff distance (Knowles 2006, with
    equal weights) of their ranks in each column, so that the best compromise comes first.
    """
    rows = np.asarray(losses, dtype=float)
    if not len(rows):
        return []
    below = (rows[None, :, :] < rows[:, None, :]).mean(axis=1)
    distance = below.max(axis=1) + _AUGMENT * below.mean(axis=1)
    return [float(front + far / (1.0 + _AUGMENT)) for front, far in zip(_fronts(rows), distance, strict=True)]


def improvements_of_front(known: Mapping[int, tuple[str, Sequence[float]]]) -> frozenset[int]:
    """
    Return which trials were on the Pareto front when they came, the default configuration being there from the start.

    Args:
        known: By number, in order, the source of each trial and its losses (less is better). Without a trial of the
            source "default" the first one is what is to be bettered.
    """
    losses = {number: tuple(row) for number, (_, row) in known.items()}
    start = next((number for number, (source, _) in known.items() if source == "default"), next(iter(known), None))
    front = [losses[start]] if start is not None else []
    found = set()
    for number, row in losses.items():
        if not any(_is_as_good(other, row) for other in front):
            front = [other for other in front if not _is_as_good(row, other)] + [row]
            found.add(number)
    return frozenset(found)


def _is_as_good(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True))


def _fronts(rows: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the number of each row's front, from 0."""
    no_worse = np.all(rows[:, None, :] <= rows[None, :, :], axis=2)
    better = np.any(rows[:, None, :] < rows[None, :, :], axis=2)
    dominates = no_worse & better
    dominators = dominates.sum(axis=0)  # of those that have no front yet
    fronts = np.full(len(rows), -1)
    front = 0
    while np.any(fronts < 0):
        now = (fronts < 0) & (dominators == 0)
        fronts[now] = front
        dominators -= dominates[now].sum(axis=0)
        front += 1
    return fronts
