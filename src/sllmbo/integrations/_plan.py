"""
What `LLMSearchCV` searches for an estimator, and what a point of it means for `set_params`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from sklearn.base import is_classifier

from sllmbo.advisors.knowledge import find_estimator
from sllmbo.errors import SpaceError
from sllmbo.samplers._convert import from_distribution
from sllmbo.space import Categorical, Float, Int, Parameter, SearchSpace
from sllmbo.task import DataFacts
from sllmbo.tuner.derive import derive_space
from sllmbo.tuner.estimators import EstimatorSpec, resolve_estimator

_SCALARS = (bool, int, float, str, type(None))


class Plan:
    """What is searched for an estimator, and what a point of it means for `set_params`."""

    def __init__(self, estimator: Any, given: Any, facts: DataFacts | None) -> None:
        self._choices: dict[str, dict[str, Any]] = {}
        self._prefix, inner = "", estimator
        if given is None:
            self._prefix, inner = _last_step(estimator)
        kind = facts.kind if facts is not None else "classification" if is_classifier(inner) else "regression"
        known = find_estimator(type(inner).__name__)
        self.name = known.name if known is not None else type(inner).__name__
        self.space: SearchSpace | None = None
        self._fixed: dict[str, Any] = {}
        if given is None:
            self._spec: EstimatorSpec = resolve_estimator(inner, kind)
            self.parameters = self._spec.parameters()
            own = inner.get_params(deep=False)
            self._fixed = {
                name: value
                for name, value in self._spec.prototype.get_params(deep=False).items()
                if value is not own[name]
            }
        else:
            self.parameters = {}
            self.space = self._read(given, estimator.get_params())

    def derive(self) -> SearchSpace:
        """Return a space around the defaults of an estimator that nobody has documented."""
        return derive_space(self._spec)

    def adapted(self, space: SearchSpace) -> SearchSpace:
        """Return a designed *space* with what the estimator sets itself."""
        return self._spec.adapted(space)

    def decoded(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return what `set_params` is given for a point of the space."""
        chosen = {name: self._choices.get(name, {}).get(value, value) for name, value in params.items()}
        return {f"{self._prefix}{name}": value for name, value in {**self._fixed, **chosen}.items()}

    def _read(self, given: Any, own: Mapping[str, Any]) -> SearchSpace:
        if not given:
            raise SpaceError(
                "param_distributions is empty; give a parameter, or leave it out for the documented space."
            )
        parameters: dict[str, Parameter] = {}
        for name, entry in given.items():
            parameter = self._parameter(name, entry)
            is_said = parameter is entry and parameter.has_default  # not so of lists and distributions
            parameters[name] = parameter if is_said else self._with_default(name, parameter, own.get(name))
        return SearchSpace(parameters)

    def _parameter(self, name: str, entry: Any) -> Parameter:
        if isinstance(entry, (Float, Int, Categorical)):
            return entry
        if isinstance(entry, BaseDistribution):
            parameter = from_distribution(entry)
            if parameter is not None:
                return parameter
        if hasattr(entry, "dist") and hasattr(entry, "support"):
            return _from_scipy(name, entry)
        if isinstance(entry, (str, bytes)) or not isinstance(entry, (Sequence, np.ndarray)) or len(entry) == 0:
            raise SpaceError(
                f"The distribution {str(entry)[:100]!r} of {name!r} cannot be searched; give a list of choices, Float, "
                "Int, Categorical, a distribution of Optuna's, or scipy's uniform, loguniform or randint."
            )
        choices = [item.item() if isinstance(item, np.generic) else item for item in entry]
        if all(isinstance(choice, _SCALARS) for choice in choices):
            return Categorical(choices)
        labels = [f"{position}: {' '.join(str(choice).split())[:60]}" for position, choice in enumerate(choices)]
        self._choices[name] = dict(zip(labels, choices, strict=True))
        return Categorical(labels)

    def _with_default(self, name: str, parameter: Parameter, own: Any) -> Parameter:
        if isinstance(parameter, Categorical):
            labels = {label for label, choice in self._choices.get(name, {}).items() if str(choice) == str(own)}
            own = labels.pop() if labels else own
        if isinstance(own, _SCALARS) and parameter.contains(own):
            return replace(parameter, default=own)  # type: ignore[arg-type]  # it is contained
        return parameter


def _from_scipy(name: str, frozen: Any) -> Parameter:
    kind, (low, high) = frozen.dist.name, map(float, frozen.support())
    if kind == "uniform":
        return Float(low, high)
    if kind in ("loguniform", "reciprocal"):
        return Float(low, high, log=True)
    if kind == "randint":
        return Int(int(low), int(high))
    raise SpaceError(
        f"scipy's distribution {kind!r} of {name!r} has no bounds to search in; use uniform, loguniform or randint."
    )


def _last_step(estimator: Any) -> tuple[str, Any]:
    """Return the estimator inside pipelines and target transformers, and what its parameters' names begin with."""
    prefix = ""
    while True:
        if hasattr(estimator, "steps"):
            name, estimator = estimator.steps[-1]
        elif (
            hasattr(estimator, "regressor") and estimator.regressor is not None and not hasattr(estimator, "estimator")
        ):
            name, estimator = "regressor", estimator.regressor
        else:
            return prefix, estimator
        prefix += f"{name}__"
