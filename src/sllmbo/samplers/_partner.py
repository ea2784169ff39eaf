"""
The classical sampler beside the advisor, made a function of (seed, turn).

An Optuna sampler draws from a running stream of random numbers, so a study that is cut and resumed goes on with other
numbers. Here the stream is set anew before each use: the same turn always draws the same numbers.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.samplers._lazy_random_state import LazyRandomState
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.study import Study
from optuna.trial import FrozenTrial

from sllmbo._random import derive_seed
from sllmbo.history import History
from sllmbo.samplers._convert import from_distributions, python_scalar, to_distribution, to_distributions
from sllmbo.samplers._density import Density
from sllmbo.samplers._edits import Box
from sllmbo.samplers._feasible import Feasibility, internal, pool
from sllmbo.samplers._judge import turned_down
from sllmbo.samplers._ratio import density_ratio, good_draws
from sllmbo.worth import PARTNERS

_PENDING = "tpe:relative_params"
"""Where Optuna's TPE looks for the values of running trials (its constant liar), in pieces."""
_PIECE = 2045

_N_CANDIDATES = 96
"""How many of TPE's draws are ranked where its own choice is likely to fail."""


def reseed(sampler: BaseSampler, seed: int) -> None:
    """Set every random stream of *sampler*, and of the samplers inside it, from *seed*."""
    for name, value in vars(sampler).items():
        if isinstance(value, LazyRandomState):
            value.rng.seed(derive_seed(seed, name))
        elif isinstance(value, BaseSampler):
            reseed(value, derive_seed(seed, name))


def source_of(sampler: BaseSampler) -> str:
    """Return the source of the trials that *sampler* serves: "tpe", "random", ..., "partner" for samplers of others."""
    name = type(sampler).__name__.removesuffix("Sampler").lower()
    name = {"cmaes": "cma"}.get(name, name)
    return name if name in PARTNERS else "partner"


class Partner:
    """
    An Optuna sampler whose draws depend on (seed, turn) and the study alone.

    Threads use it one after another; it keeps only what the sampler itself caches.
    """

    def __init__(self, sampler: BaseSampler, seed: int) -> None:
        self.sampler = sampler
        self.seed = seed
        self._lock = threading.Lock()
        if isinstance(sampler, TPESampler) and sampler._parzen_estimator_cls is _ParzenEstimator:
            sampler._parzen_estimator_cls = Density

    def __getstate__(self) -> dict[str, Any]:
        return {"sampler": self.sampler, "seed": self.seed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # the same arguments

    @property
    def name(self) -> str:
        """The sampler's name as a source of trials."""
        return source_of(self.sampler)

    def space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return what the sampler would sample jointly."""
        with self._lock:
            return self.sampler.infer_relative_search_space(study, trial)

    def announce(self, study: Study, trial: FrozenTrial, values: Mapping[str, Any]) -> None:
        """Let TPE, in any process, see that *values* are being tried."""
        if not values or not isinstance(self.sampler, TPESampler) or not self.sampler._constant_liar:
            return
        text = json.dumps(values)
        for piece, start in enumerate(range(0, len(text), _PIECE)):
            study._storage.set_trial_system_attr(trial._trial_id, f"{_PENDING}:{piece}", text[start : start + _PIECE])

    def relative(
        self, study: Study, trial: FrozenTrial, space: dict[str, BaseDistribution], *, turn: int | str
    ) -> dict[str, Any]:
        """Sample *space* jointly."""
        with self._lock:
            reseed(self.sampler, derive_seed(self.seed, "partner", turn))
            return self.sampler.sample_relative(study, trial, space)

    def feasible(
        self,
        study: Study,
        trial: FrozenTrial,
        space: dict[str, BaseDistribution],
        history: History,
        box: Box,
        *,
        turn: int | str,
    ) -> dict[str, Any]:
        """
        Sample *space* for a configuration within *box* that is likely not to fail, beside what *trial* has already.

        What TPE itself draws is taken if it is one. Else many draws from its density of the good trials, or points of
        the box, are ranked by TPE's density ratio and their odds not to fail.
        """
        given = {name: value for name, value in trial.params.items() if name not in space}
        branch = {
            name: v for name, v in given.items() if isinstance(trial.distributions[name], CategoricalDistribution)
        }
        feasibility = Feasibility({**trial.distributions, **space}, history, branch=branch)
        drawn = self._draw(study, trial, space, turn=turn)
        inside = all(box.present[name].contains(value) for name, value in drawn.items() if name in box.present)
        if inside and feasibility.of([{**given, **drawn}])[0] >= feasibility.enough:
            return drawn
        ratios = np.zeros(1)
        with self._lock:
            if isinstance(self.sampler, TPESampler) and not box.is_edited:
                columns, ratios = good_draws(self.sampler, study, trial, space, _N_CANDIDATES)
            else:
                inner = {name: to_distribution(box.present[name]) for name in space if name in box.present}
                points = pool(from_distributions({**space, **inner}), history, seed=self.seed, turn=turn)
                columns = internal(space, [{**drawn, **point} for point in points])
                if isinstance(self.sampler, TPESampler):
                    ratios = density_ratio(self.sampler, study, trial, space, columns)
        n = len(next(iter(columns.values())))
        fixed = {name: np.repeat(column, n) for name, column in internal(trial.distributions, [given]).items()}
        best = int(np.argmax(ratios + feasibility.worth({**fixed, **columns})))
        return {name: python_scalar(d.to_external_repr(columns[name][best])) for name, d in space.items()}

    def _draw(
        self, study: Study, trial: FrozenTrial, space: dict[str, BaseDistribution], *, turn: int | str
    ) -> dict[str, Any]:
        drawn = self.relative(study, trial, space, turn=turn)
        for name, distribution in space.items():  # before a sampler has seen enough it leaves the joint space alone
            if name not in drawn:
                drawn[name] = self.independent(study, trial, name, distribution, turn=turn)
        return drawn

    def judge(self, box: Box, history: History, candidates: Sequence[Mapping[str, Any]], *, turn: int) -> list[str]:
        """Return, for each candidate of an advisor, why it is turned down, or "" where it is not."""
        feasibility = Feasibility(to_distributions(box.present), history)
        reasons = turned_down(box, history, candidates, seed=self.seed, turn=turn)
        return [
            reason if odds >= feasibility.enough else f"likely to fail, by where trials failed (odds {1 - odds:.0%})"
            for reason, odds in zip(reasons, feasibility.of(candidates), strict=True)
        ]

    def independent(
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution, *, turn: int | str
    ) -> Any:
        """Sample parameter *name*."""
        with self._lock:
            reseed(self.sampler, derive_seed(self.seed, "partner", turn, name))
            return python_scalar(self.sampler.sample_independent(study, trial, name, distribution))
