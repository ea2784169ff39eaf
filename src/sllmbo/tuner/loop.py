"""
The loop of a tuning: ask, evaluate and tell until something is spent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

from sllmbo.budget import Budget
from sllmbo.errors import SllmboError, TaskError
from sllmbo.goals import INFEASIBLE
from sllmbo.samplers import study_history
from sllmbo.stopping import BudgetCallback, PatienceCallback, is_exhausted
from sllmbo.tuner.evaluation import Evaluation
from sllmbo.tuner.tuner import Tuner

Callback: TypeAlias = Callable[[Study, FrozenTrial], None]

_HOPELESS = 5
"""So many failed trials without a complete one end the tuning."""


def run(
    tuner: Tuner,
    objective: Callable[[Trial], Evaluation],
    *,
    budget: Budget,
    patience: int | None = None,
    on_start: Callable[[Study], None] | None = None,
    callbacks: Sequence[Callback] = (),
    repeats: bool = False,
    suspects: str = "the estimator and the data",
) -> str:
    """
    Ask, evaluate and tell until something is spent; return what: "trials", "seconds", "patience", "exhausted" (every
    configuration of a finite space was tried, unless *repeats* may evaluate it again), "stopped" (by `Study.stop`) or
    "interrupted".

    An error of *objective* makes its trial fail; a mistake of the user's (`SllmboError`) ends the run.
    """
    spending = BudgetCallback(budget)
    waiting = PatienceCallback(patience) if patience is not None else None
    tuner.study._stop_flag = False
    if on_start is not None:
        on_start(tuner.study)
    try:
        while True:
            if not repeats and is_exhausted(tuner.study, tuner.space):
                return "exhausted"
            reason = spending.spent(tuner.study)
            if reason is not None:
                return reason
            if waiting is not None and waiting.is_exhausted(tuner.study):
                return "patience"
            _run_trial(tuner, objective, callbacks)
            if tuner.study._stop_flag:
                return "stopped"
            _check_hope(tuner.study, suspects)
    except KeyboardInterrupt:
        return "interrupted"


def _run_trial(tuner: Tuner, objective: Callable[[Trial], Evaluation], callbacks: Sequence[Callback]) -> None:
    with tuner.trial() as trial:
        tuner.tell(trial, **_evaluated(objective, trial))
        frozen = tuner.study._storage.get_trial(trial._trial_id)
        for callback in callbacks:
            callback(tuner.study, frozen)


def _evaluated(objective: Callable[[Trial], Evaluation], trial: Trial) -> dict[str, Any]:
    """Return what is to be told of *trial*, as arguments of `Tuner.tell`."""
    try:
        evaluation = objective(trial)
    except optuna.TrialPruned:
        return {"pruned": True}
    except SllmboError:
        raise
    except Exception as error:  # noqa: BLE001  # an estimator may raise anything; the trial keeps class and reason
        return {"failure": error}
    details = {"std": evaluation.std, "train_value": evaluation.train_value}
    known = {name: v for name, v in details.items() if v == v}
    return {"value": evaluation.value, "details": {**known, **evaluation.measures}}


def _check_hope(study: Study, suspects: str) -> None:
    history = study_history(study)
    failures = [o for o in history.failures() if not o.reason.startswith(INFEASIBLE)]
    if len(history) >= _HOPELESS and len(failures) == len(history):
        raise TaskError(
            f"The first {len(history)} trials all failed, the last one with {history[-1].reason!r}; check {suspects}."
        )


def joined(budget: Budget | None, n_trials: int | None, timeout: float | None) -> Budget:
    """Return *budget* with the trials and seconds that are named beside it; 50 trials where nobody names any."""
    budget = budget or Budget()
    trials = n_trials if n_trials is not None else budget.trials
    seconds = timeout if timeout is not None else budget.seconds
    return replace(budget, trials=50 if trials is None else trials, seconds=seconds)
