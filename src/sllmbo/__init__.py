"""
Hyperparameter optimisation by a language model and the Tree-structured Parzen Estimator together.

    >>> import sllmbo
    >>> sllmbo.SearchSpace({"C": sllmbo.Float(1e-3, 1e3, log=True, default=1.0)}).default_params()
    {'C': 1.0}
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from sllmbo.budget import Budget
from sllmbo.errors import SllmboError
from sllmbo.space import Categorical, Float, Int, SearchSpace
from sllmbo.task import Task

if TYPE_CHECKING:
    from sllmbo.samplers import LLMSampler, LLMTPESampler
    from sllmbo.tuner import Command, Tuner, TuneResult, tune, tune_objective

__version__ = version("sllmbo")

__all__ = [
    "Budget",
    "Categorical",
    "Command",
    "Float",
    "Int",
    "LLMSampler",
    "LLMTPESampler",
    "SearchSpace",
    "SllmboError",
    "Task",
    "TuneResult",
    "Tuner",
    "tune",
    "tune_objective",
]

_LAZY = {
    "Command": "sllmbo.tuner",
    "LLMSampler": "sllmbo.samplers",
    "LLMTPESampler": "sllmbo.samplers",
    "TuneResult": "sllmbo.tuner",
    "Tuner": "sllmbo.tuner",
    "tune": "sllmbo.tuner",
    "tune_objective": "sllmbo.tuner",
}
"""What is imported when it is first used: it needs Optuna."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'sllmbo' has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
