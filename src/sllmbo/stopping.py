"""
When a study has gone on long enough.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from optuna.study import Study
from optuna.trial import FrozenTrial

from sllmbo.budget import Budget
from sllmbo.errors import ConfigError
from sllmbo.samplers import study_history
from sllmbo.space import Categorical, Parameter, SearchSpace


@dataclass(frozen=True, slots=True)
class PatienceCallback:
    """
    Stops a study when *patience* trials in a row have brought no better value.

    Failed and pruned trials count, abandoned ones do not; an equal value is no improvement. What is counted lies in the
    study, so a resumed study goes on counting.

    Args:
        patience: Trials without improvement after which the study stops; the paper uses 15 and 5.

    Raises:
        ConfigError: If *patience* is not positive.

    Example:
        >>> import optuna
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        >>> study.optimize(lambda trial: 1.0, n_trials=50, callbacks=[PatienceCallback(5)])
        >>> len(study.trials)
        6
    """

    patience: int

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise ConfigError(f"patience={self.patience!r} must be at least 1; leave it out for no limit.")

    def __call__(self, study: Study, trial: FrozenTrial) -> None:  # noqa: ARG002  # Optuna's signature
        """Stop *study* if patience is exhausted; called by `Study.optimize` after each trial."""
        if self.is_exhausted(study):
            study.stop()

    def is_exhausted(self, study: Study) -> bool:
        """Tell whether *study* has gone without improvement for too long."""
        return study_history(study).since_improvement() >= self.patience


@dataclass(frozen=True, slots=True)
class BudgetCallback:
    """
    Stops a study when its budget is spent.

    Trials are those of the whole study, whichever process ran them; seconds count from the callback's creation.
    """

    budget: Budget
    _started: float = field(default_factory=time.monotonic, init=False, repr=False)

    def __call__(self, study: Study, trial: FrozenTrial) -> None:  # noqa: ARG002  # Optuna's signature
        """Stop *study* if the budget is spent; called by `Study.optimize` after each trial."""
        if self.spent(study) is not None:
            study.stop()

    def spent(self, study: Study) -> str | None:
        """Return which part of the budget is spent ("trials" or "seconds"), or None. Running trials count."""
        if self.budget.trials is not None and len(study_history(study)) >= self.budget.trials:
            return "trials"
        if self.budget.seconds is not None and time.monotonic() - self._started >= self.budget.seconds:
            return "seconds"
        return None


def is_exhausted(study: Study, space: SearchSpace) -> bool:
    """Tell whether *study* has tried every configuration of *space*, as far as they can be counted: no conditions."""
    size = math.inf if any(p.condition for p in space.values()) else math.prod(map(_values, space.values()))
    if size > len(study.get_trials(deepcopy=False)):
        return False
    tried = (o.params for o in study_history(study) if space.contains(o.params))
    return len({tuple(p.repair(params[name]) for name, p in space.items()) for params in tried}) >= size


def _values(parameter: Parameter) -> float:
    """Return how many values *parameter* has."""
    if isinstance(parameter, Categorical):
        return len(parameter.choices)
    if parameter.low == parameter.high:
        return 1
    return math.inf if parameter.step is None else round((parameter.high - parameter.low) / parameter.step) + 1
