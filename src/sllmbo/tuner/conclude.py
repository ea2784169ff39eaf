"""
The end of a tuning: the winner, scored on the rows set aside and fitted on all rows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from optuna.storages import BaseStorage

from sllmbo.advisors.rules import RuleAdvisor
from sllmbo.choosing import Choice, best_of, choose
from sllmbo.errors import TaskError
from sllmbo.goals import INFEASIBLE
from sllmbo.history import History, Observation
from sllmbo.samplers import study_history
from sllmbo.samplers._failure import describe_error
from sllmbo.space.branches import ROOT
from sllmbo.tuner.data import Dataset
from sllmbo.tuner.ensemble import best_distinct, select_ensemble
from sllmbo.tuner.estimators import EstimatorSpec
from sllmbo.tuner.evaluation import Split, fit, fitted, score_on
from sllmbo.tuner.measures import Goals
from sllmbo.tuner.metrics import Metric
from sllmbo.tuner.plan import Plan
from sllmbo.tuner.resampling import standard_error
from sllmbo.tuner.result import (
    TuneResult,
    count_sources,
    pareto_front,
    shortlist_records,
    study_worth,
    total_usage,
    trial_records,
)
from sllmbo.tuner.storage import without_password
from sllmbo.tuner.tuner import Tuner

_logger = logging.getLogger("sllmbo")

T = TypeVar("T")

_RESAMPLES = 40
"""For the standard error of the held-out score: it is then known to about a tenth, at the price of 40 scores."""


def conclude(
    tuner: Tuner,
    plan: Plan,
    dataset: Dataset,
    goals: Goals,
    *,
    seed: int,
    stop_reason: str,
    storage: str | BaseStorage | None,
    splits: Sequence[Split] = (),
    ensemble: int | None = None,
) -> TuneResult:
    """
    Return what the study found, with the held-out scores and the fitted estimator.

    Raises:
        TaskError: If no trial is complete.
    """
    spec, metric, full, test = plan.spec, plan.metric, plan.full, plan.test
    found = conclude_study(tuner, stop_reason=stop_reason, storage=storage)
    default_params = next((o.params for o in study_history(tuner.study).complete() if o.source == "default"), None)
    together = None
    if ensemble is not None:
        chosen = best_distinct(study_history(tuner.study), ensemble)
        together = _or_warn("ensemble", lambda: select_ensemble(spec, chosen, plan.train, splits, metric, seed=seed))

    def final(rows: Dataset) -> Any:
        if together is None:
            return fit(spec, found.best_params, rows, seed)
        return fitted(together.build(spec, rows, seed), rows)

    heldout_best = heldout_error = heldout_default = heldout_ensemble = None
    if test is not None:
        heldout_best, heldout_error = _heldout(spec, found.best_params, full, test, metric, seed, resamples=_RESAMPLES)
        if default_params:
            heldout_default, _ = _heldout(spec, default_params, full, test, metric, seed)
        if together is not None:
            heldout_ensemble = _or_warn("held-out score", lambda: score_on(final(full), test, metric))
    last = _or_warn("fitted estimator", lambda: final(dataset))
    _check_fitted(last, goals, dataset)
    return replace(
        found,
        heldout_best=heldout_best,
        heldout_error=heldout_error,
        heldout_default=heldout_default,
        ensemble=() if together is None else tuple({"weight": n, "params": dict(p)} for p, n in together.members),
        ensemble_value=None if together is None else together.value,
        heldout_ensemble=heldout_ensemble,
        estimator_name=str(found.best_params.get(ROOT)) if plan.task.candidates else spec.name,
        shortlist=shortlist_records(tuner.study, found.trials),
        notes=plan.notes,
        estimator=last,
    )


def conclude_study(tuner: Tuner, *, stop_reason: str, storage: str | BaseStorage | None) -> TuneResult:
    """
    Return what the study of *tuner* found, whatever its objective was.

    Raises:
        TaskError: If no trial is complete.
    """
    records = trial_records(tuner.study)
    history = study_history(tuner.study)
    best = _winner(tuner, history)
    if best is None:
        raise TaskError(_nothing_found(history, stop_reason))
    default = next((o for o in history.complete() if o.source == "default"), None)
    value = _value(tuner, history[best.trial]) if tuner.objectives else best.value
    default_value = _value(tuner, default) if default is not None else None
    if default is not None and default.params == best.params:  # its expected value, not its first one
        default_value = value
    measured = (*(constraint.name for constraint in tuner.constraints), *tuner.objectives)
    return TuneResult(
        metric=tuner.task.metric,
        direction=tuner.task.direction,
        best_value=value,
        best_interval=best.interval,
        n_repeats=best.repeats,
        best_params=dict(best.params),
        default_value=default_value,
        measures={name: history[best.trial].details[name] for name in measured},
        constraints=tuple(map(str, tuner.constraints)),
        objectives=dict(tuner.objectives),
        pareto=pareto_front(tuner.study),
        n_trials=len(records),
        n_failed=sum(record["state"] == "fail" for record in records),
        n_pruned=sum(record["state"] == "pruned" for record in records),
        n_infeasible=sum(record["state"] == INFEASIBLE for record in records),
        sources=count_sources(records),
        usage=total_usage(tuner.study),
        worth=study_worth(tuner.study) if not tuner.objectives else None,
        stop_reason=stop_reason,
        study=tuner.study.study_name,
        storage=without_password(storage) if isinstance(storage, str) else None,
        advisor=_advisor_of(tuner, records),
        trials=tuple(records),
    )


def _winner(tuner: Tuner, history: History) -> Choice | None:
    return choose(history) if len(tuner.study.directions) == 1 else best_of(history)


def _value(tuner: Tuner, observation: Observation) -> float:
    """Return the metric of a complete trial; the value of an observation is its rank where there are several."""
    value = observation.details[tuner.task.metric] if tuner.objectives else observation.value
    assert value is not None
    return value


def _nothing_found(history: History, stop_reason: str) -> str:
    broken = [o for o in history.failures() if o.reason.startswith(INFEASIBLE)]
    if history.failures() and not broken:
        last = history.failures()[-1].reason
        failed = f"{len(history.failures())} of {len(history)} trials failed, the last one with {last!r}"
        return f"No trial was completed: {failed}; check what is tuned and the search space."
    if not broken:
        remedy = "" if stop_reason == "interrupted" else "; allow more trials or seconds"
        return f"No trial was completed before the end ({stop_reason}){remedy}."
    _, _, why = broken[-1].reason.partition(": ")
    return (
        f"None of {len(history)} trials keeps the constraints (in the last one {why}); "
        "loosen a constraint, widen the search space or allow more trials."
    )


def _check_fitted(estimator: Any, goals: Goals, dataset: Dataset) -> None:
    """Warn where the estimator that was fitted on all rows breaks a constraint that it kept on the folds."""
    for constraint in goals.constraints if estimator is not None else ():
        if constraint.name in ("model_size_mb", "predict_ms"):
            measured = goals.measure(estimator, dataset, 0.0)[constraint.name]
            if constraint.violation(measured) > 0.0:
                _logger.warning(
                    "Fitted on all rows, the best configuration has %s %.4g, which breaks %s: it kept it on the folds, "
                    "which have fewer rows. Bound it lower to leave room.",
                    *(constraint.name, measured, constraint),
                )


def _heldout(
    spec: EstimatorSpec,
    params: Mapping[str, Any],
    full: Dataset,
    test: Dataset,
    metric: Metric,
    seed: int,
    *,
    resamples: int = 0,
) -> tuple[float | None, float | None]:
    """Return the score of a configuration on the rows set aside and, where wanted, its standard error."""
    one = _or_warn("held-out score", lambda: fit(spec, params, full, seed))
    value = None if one is None else _or_warn("held-out score", lambda: score_on(one, test, metric))
    if value is None or not resamples:
        return value, None
    try:
        return value, standard_error(one, test, metric, resamples=resamples, seed=seed)
    except TaskError:  # too few rows to draw from
        return value, None


def _or_warn(what: str, make: Callable[[], T]) -> T | None:
    """Return what *make* makes, or None and a warning: all trials are done, and nothing may lose them now."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001  # an estimator may raise anything
        _logger.warning("The result has no %s: %s", what, describe_error(error))
        return None


def _advisor_of(tuner: Tuner, records: Sequence[Mapping[str, Any]]) -> str:
    if tuner.advisor is None:
        return ""
    origins = {record["source"]: record["origin"] for record in records}
    if "llm" in origins:
        return str(origins["llm"])
    if "rules" in origins or isinstance(tuner.advisor, RuleAdvisor):
        return "rules (no chat model)"
    return "none that gave usable advice"
