"""
Where trials fail: an estimate from the failed and the complete trials that steers both sides.

A failed trial is evidence about feasibility and never a value in a density: told as a penalty, the failures of one side
drag the other into the failing region (arXiv 2603.24647).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sllmbo._random import derive_seed
from sllmbo.history import History
from sllmbo.space import SearchSpace

FEASIBLE = 0.5
"""A configuration that is likelier to fail than not is avoided."""

_FEWEST = 2
"""So many failed and so many other trials are needed for an estimate."""


class Feasibility:
    """
    The probability that a configuration does not fail, by a forest over the trials of a study.

    Extremely randomised trees (Geurts et al. 2006) cut along single parameters, as memory limits and invalid
    combinations do, and need no scale.

    Args:
        space: The search space.
        history: The trials so far; pruned ones did not fail.
        seed: Seed of the forest.
    """

    def __init__(self, space: SearchSpace, history: History, *, seed: int) -> None:
        self._space = space
        ended = [o for o in history if o.state != "running"]
        failed = [o.state == "failed" for o in ended]
        self._forest: Any = None
        if sum(failed) >= _FEWEST and len(failed) - sum(failed) >= _FEWEST:
            from sklearn.ensemble import ExtraTreesClassifier

            self._forest = ExtraTreesClassifier(100, min_samples_leaf=2, random_state=derive_seed(seed, "feasible"))
            self._forest.fit(self._places([o.params for o in ended]), np.array(failed))

    @property
    def known(self) -> bool:
        """Whether there is evidence of where trials fail."""
        return self._forest is not None

    def of(self, candidates: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        """Return the probability of each candidate not to fail; 1 without evidence."""
        if self._forest is None or not candidates:
            return np.ones(len(candidates))
        return np.asarray(self._forest.predict_proba(self._places(candidates))[:, 0], dtype=np.float64)

    def _places(self, points: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        rows = [
            [_place(parameter, point[name]) if name in point else -1.0 for name, parameter in self._space.items()]
            for point in points
        ]
        return np.array(rows, dtype=np.float64)


def _place(parameter: Any, value: Any) -> float:
    """Return where *value* lies on the parameter's unit scale; values of other spaces lie outside it."""
    try:
        return float(parameter.to_unit(value))
    except (TypeError, ValueError):
        return -1.0
