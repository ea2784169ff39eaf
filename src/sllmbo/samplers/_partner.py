"""
The classical sampler beside the advisor, made a function of (seed, turn).

An Optuna sampler draws from a running stream of random numbers, so a study that is cut and resumed goes on with other
numbers. Here the stream is set anew before each use: the same turn always draws the same numbers.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.samplers._lazy_random_state import LazyRandomState
from optuna.study import Study
from optuna.trial import FrozenTrial

from sllmbo._random import derive_seed
from sllmbo.samplers._convert import python_scalar

_PENDING = "tpe:relative_params"
"""Where Optuna's TPE looks for the values of running trials (its constant liar), in pieces."""
_PIECE = 2045


def reseed(sampler: BaseSampler, seed: int) -> None:
    """Set every random stream of *sampler*, and of the samplers inside it, from *seed*."""
    for name, value in vars(sampler).items():
        if isinstance(value, LazyRandomState):
            value.rng.seed(derive_seed(seed, name))
        elif isinstance(value, BaseSampler):
            reseed(value, derive_seed(seed, name))


class Partner:
    """
    An Optuna sampler whose draws depend on (seed, turn) and the study alone.

    Threads use it one after another; it keeps only what the sampler itself caches.
    """

    def __init__(self, sampler: BaseSampler, seed: int) -> None:
        self.sampler = sampler
        self.seed = seed
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"sampler": self.sampler, "seed": self.seed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # the same arguments

    @property
    def name(self) -> str:
        """The sampler's name as a source of trials: "tpe", "random", "gp", ..."""
        name = type(self.sampler).__name__.removesuffix("Sampler").lower()
        return {"cmaes": "cma"}.get(name, name)

    def space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return what the sampler would sample jointly."""
        with self._lock:
            return self.sampler.infer_relative_search_space(study, trial)

    def announce(self, study: Study, trial: FrozenTrial, values: Mapping[str, Any]) -> None:
        """Let TPE, in any process, see that *values* are being tried."""
        if not values or not isinstance(self.sampler, TPESampler):
            return
        text = json.dumps(values)
        for piece, start in enumerate(range(0, len(text), _PIECE)):
            study._storage.set_trial_system_attr(trial._trial_id, f"{_PENDING}:{piece}", text[start : start + _PIECE])

    def relative(
        self, study: Study, trial: FrozenTrial, space: dict[str, BaseDistribution], *, turn: int
    ) -> dict[str, Any]:
        """Sample *space* jointly."""
        with self._lock:
            reseed(self.sampler, derive_seed(self.seed, "partner", turn))
            return self.sampler.sample_relative(study, trial, space)

    def independent(
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution, *, turn: int | str
    ) -> Any:
        """Sample parameter *name*."""
        with self._lock:
            reseed(self.sampler, derive_seed(self.seed, "partner", turn, name))
            return python_scalar(self.sampler.sample_independent(study, trial, name, distribution))
