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

from sllmbo._random import derive_seed, generator
from sllmbo.history import History
from sllmbo.space import Categorical, SearchSpace

FEASIBLE = 0.8
"""A configuration that is likelier to fail than this leaves over is avoided: estimates at the edge are even odds."""

_N_POOL = 128
_N_GOOD = 5
_REACHES = (0.03, 0.1, 0.3)
"""How far from a good trial to look, as a share of each scale."""

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
        self._seed = seed
        self._good = [o.params for o in history.ranked()[:_N_GOOD]]
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

    def accepts(self, point: Mapping[str, Any]) -> bool:
        """Tell whether *point* lies in the space and is likely not to fail."""
        inside = all(parameter.contains(point[name]) for name, parameter in self._space.items())
        return inside and bool(self.of([point])[0] >= FEASIBLE)

    def pool(self, turn: int) -> list[dict[str, Any]]:
        """Return points across the space and around the good trials, to choose from in *turn*."""
        rng = generator(self._seed, "feasible", turn)
        pool: list[dict[str, Any]] = [dict(self._space.sample(rng)) for _ in range(_N_POOL)]
        for index in range(_N_POOL if self._good else 0):
            good, reach = self._good[index % len(self._good)], float(rng.choice(_REACHES))
            pool.append({name: self._beside(name, good, reach, rng) for name in self._space})
        return pool

    def _beside(self, name: str, good: Mapping[str, Any], reach: float, rng: np.random.Generator) -> Any:
        parameter = self._space[name]
        place = _place(parameter, good[name]) if name in good else -1.0
        if place < 0.0 or (isinstance(parameter, Categorical) and rng.random() < reach):
            return parameter.from_unit(float(rng.random()))
        if isinstance(parameter, Categorical):
            return good[name]
        return parameter.from_unit(float(np.clip(place + reach * rng.standard_normal(), 0.0, 1.0)))

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
