"""
Optimisers of other packages as Optuna samplers, so that they run in the same studies.

Each is asked for whole configurations and told every trial, that of the default configuration too. What it needs is
kept in the sampler: these are for benchmarks, where a study runs in one process from its start to its end.
"""

from __future__ import annotations

import math
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sllmbo._random import derive_seed
from sllmbo.samplers._convert import to_distributions
from sllmbo.space import Categorical, Float, Int, Parameter, Scalar, SearchSpace


class _Rival(BaseSampler):
    """Proposes all parameters at once. Numbers are proposed on the parameter's scale, and repaired into its range."""

    def __init__(self, space: SearchSpace, *, seed: int) -> None:
        self._space = space
        self._seed = seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the whole space."""
        del study, trial
        return to_distributions(self._space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the next proposal."""
        del study, search_space
        return {name: self._space[name].repair(value) for name, value in self._propose(trial.number).items()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the default of a parameter that the proposal left out, else its middle."""
        del study, trial, param_distribution
        parameter = self._space[param_name]
        return parameter.default if parameter.default is not None else parameter.from_unit(0.5)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Tell the value as a loss; None for a failed trial."""
        loss = None
        if state == TrialState.COMPLETE and values:
            loss = values[0] if study.direction == StudyDirection.MINIMIZE else -values[0]
        self._learn(trial.number, trial.params, loss)

    def _propose(self, number: int) -> Mapping[str, Any]:
        raise NotImplementedError

    def _learn(self, number: int, params: Mapping[str, Any], loss: float | None) -> None:
        raise NotImplementedError


class HyperoptSampler(_Rival):
    """Hyperopt's TPE with its own defaults, twenty random trials first. Conditions are not told to it."""

    def __init__(self, space: SearchSpace, *, seed: int) -> None:
        super().__init__(space, seed=seed)
        import hyperopt
        from hyperopt import base, tpe

        self._module, self._suggest = hyperopt, tpe.suggest
        expressions = {name: self._expression(name, parameter) for name, parameter in space.items()}
        self._domain = base.Domain(lambda _: 0.0, expressions)
        self._trials = hyperopt.Trials()

    def _expression(self, name: str, parameter: Parameter) -> Any:
        hp = self._module.hp
        if isinstance(parameter, Categorical):
            return hp.choice(name, range(len(parameter.choices)))
        half = 0.5 if isinstance(parameter, Int) else 0.0
        low, high = parameter.low - half, parameter.high + half
        return hp.loguniform(name, math.log(low), math.log(high)) if parameter.log else hp.uniform(name, low, high)

    def _propose(self, number: int) -> Mapping[str, Any]:
        seed = derive_seed(self._seed, "hyperopt", number)
        (document,) = self._suggest([number], self._domain, self._trials, seed, verbose=False)
        drawn = {name: values[0] for name, values in document["misc"]["vals"].items()}
        return {name: _choice(self._space[name], value) for name, value in drawn.items()}

    def _learn(self, number: int, params: Mapping[str, Any], loss: float | None) -> None:
        told = {name: [_index(self._space[name], value)] for name, value in params.items()}
        misc = {
            "tid": number,
            "cmd": ("domain_attachment", "FMinIter_Domain"),
            "idxs": {name: [number] if name in told else [] for name in self._space},
            "vals": {name: told.get(name, []) for name in self._space},
        }
        result = {"status": self._module.STATUS_FAIL} if loss is None else {"status": "ok", "loss": loss}
        (document,) = self._trials.new_trial_docs([number], [None], [result], [misc])
        document["state"] = self._module.JOB_STATE_DONE
        self._trials.insert_trial_docs([document])
        self._trials.refresh()


def _choice(parameter: Parameter, value: Any) -> Scalar:
    return parameter.choices[int(value)] if isinstance(parameter, Categorical) else float(value)


def _index(parameter: Parameter, value: Any) -> Any:
    return parameter.choices.index(value) if isinstance(parameter, Categorical) else value


class SmacSampler(_Rival):
    """SMAC3's facade for hyperparameters. It is told that values are exact, so that no trial is a repeat of another."""

    def __init__(self, space: SearchSpace, *, seed: int, n_trials: int) -> None:
        super().__init__(space, seed=seed)
        from ConfigSpace import ConfigurationSpace, InCondition
        from smac import HyperparameterOptimizationFacade, Scenario

        self._configurations = ConfigurationSpace(seed=seed)
        made = {name: _hyperparameter(name, parameter) for name, parameter in space.items()}
        self._configurations.add(list(made.values()))
        conditions = {name: parameter.condition for name, parameter in space.items() if parameter.condition is not None}
        self._configurations.add(
            [InCondition(made[name], made[c.parameter], [*map(_told, c.values)]) for name, c in conditions.items()]
        )
        folder = tempfile.mkdtemp()  # it writes files; they go with the sampler
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        scenario = Scenario(
            self._configurations,
            output_directory=Path(folder),
            deterministic=True,
            n_trials=n_trials,
            seed=seed % 2**31,
        )
        self._smac = HyperparameterOptimizationFacade(scenario, _unused, logging_level=False, overwrite=True)
        self._asked: dict[int, Any] = {}
        self._worst = 0.0

    def _propose(self, number: int) -> Mapping[str, Any]:
        self._asked[number] = self._smac.ask()
        drawn = dict(self._asked[number].config)
        return {name: _read(self._space[name], value) for name, value in drawn.items()}

    def _learn(self, number: int, params: Mapping[str, Any], loss: float | None) -> None:
        from ConfigSpace import Configuration
        from smac.runhistory.dataclasses import TrialInfo, TrialValue
        from smac.runhistory.enumerations import StatusType

        told = Configuration(self._configurations, values={name: _told(value) for name, value in params.items()})
        asked = self._asked.pop(number, None)
        info = asked if asked is not None and asked.config == told else TrialInfo(told, seed=0)
        self._worst = max(self._worst, self._worst if loss is None else loss)
        value = TrialValue(cost=self._worst, status=StatusType.CRASHED) if loss is None else TrialValue(cost=loss)
        self._smac.tell(info, value, save=False)


def _unused(config: Any, seed: int = 0) -> float:
    """Stand for the target, which SMAC wants to have although it is asked and told."""
    raise NotImplementedError(config, seed)


def _hyperparameter(name: str, parameter: Parameter) -> Any:
    from ConfigSpace import CategoricalHyperparameter, UniformFloatHyperparameter, UniformIntegerHyperparameter

    if isinstance(parameter, Categorical):
        return CategoricalHyperparameter(name, [*map(_told, parameter.choices)])
    kind = UniformFloatHyperparameter if isinstance(parameter, Float) else UniformIntegerHyperparameter
    return kind(name, lower=parameter.low, upper=parameter.high, log=parameter.log)


def _told(value: Any) -> Any:
    """Return a category as its text, for ConfigSpace has no None, and a number as it is."""
    return repr(value) if value is None or isinstance(value, bool) else value


def _read(parameter: Parameter, value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(parameter, Categorical):
        return next(choice for choice in parameter.choices if _told(choice) == value)
    return value
