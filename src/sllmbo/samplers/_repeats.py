"""
Repeats: the last turns of a study evaluate its leaders again, and the study's winner is chosen by all values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from optuna.study import Study

from sllmbo.choosing import Choice, best_of, choose, count, next_repeat
from sllmbo.history import History
from sllmbo.samplers._reader import Reader, counts
from sllmbo.samplers._record import Decision
from sllmbo.samplers._turns import all_trials

REPEAT = "repeat"
"""The source of a trial that evaluates a configuration again: neither the advisor's nor the partner's."""

SHARE = 0.4
"""The share of a study's trials that repeats may take, its last ones."""


def repeat_due(history: History, *, n_trials: int) -> Decision | None:
    """Return the decision to evaluate a configuration of *history* again, or None while that is not of use."""
    if n_trials - len(history) > SHARE * n_trials:
        return None
    again = next_repeat(history)
    if again is None:
        return None
    return Decision(source=REPEAT, params=dict(again.params), rationale=f"Trial {again.number} once more.")


def evaluations(study: Study, params: Mapping[str, Any], *, before: int) -> int:
    """Return how many trials with a lower number than *before* had the configuration *params*."""
    return count(Reader(None).history(study, all_trials(study), before=before), params)


def chosen(study: Study) -> Choice | None:
    """
    Return the configuration that *study* recommends, or None if no trial is complete.

    Where configurations of it, a study of one objective, were evaluated more than once and not to the same value, it is
    chosen by all their values, with the interval of what is to be expected of it; else it is the best trial's.

    Example:
        >>> import optuna
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        >>> study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=10)
        >>> chosen(study).params == study.best_params
        True
    """
    trials = all_trials(study)
    history = Reader(None).history(study, trials)
    choice = choose(history) if len(study.directions) == 1 else best_of(history)
    return choice and replace(choice, trial=[trial.number for trial in trials if counts(trial)][choice.trial])
