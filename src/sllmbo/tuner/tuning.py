"""
`tune()`: tune an estimator on data by cross-validation, in one call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import Trial

from sllmbo._random import derive_seed
from sllmbo.advisors import Advisor
from sllmbo.budget import Budget
from sllmbo.errors import SpaceError, StudyError
from sllmbo.goals import Constraint
from sllmbo.history import Direction
from sllmbo.llm import ReplyMode
from sllmbo.prompts import MemoryName, Privacy
from sllmbo.samplers import MixingPolicy
from sllmbo.samplers._open import Init
from sllmbo.samplers._record import FOLDS
from sllmbo.samplers._repeats import evaluations
from sllmbo.space import SearchSpace
from sllmbo.task import EarlierBest, Kind
from sllmbo.tuner.conclude import conclude
from sllmbo.tuner.data import Dataset, from_arrays
from sllmbo.tuner.derive import derive_space
from sllmbo.tuner.ensemble import check_ensemble
from sllmbo.tuner.estimators import EstimatorSpec
from sllmbo.tuner.evaluation import Evaluation, Split, evaluate, make_splits
from sllmbo.tuner.loop import Callback, joined, run
from sllmbo.tuner.measures import resolve_goals
from sllmbo.tuner.metrics import Scorer
from sllmbo.tuner.plan import make_plan
from sllmbo.tuner.result import TuneResult
from sllmbo.tuner.tuner import Tuner

DATA = "sllmbo:data"
"""User attribute of a study: a digest of the data that it is about."""

TARGET = "sllmbo:target"
"""User attribute of a study: the name of what is predicted."""

NOTES = "sllmbo:notes"
"""User attribute of a study: what was done to the data and left out of the estimators, one sentence each."""


def tune(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    metric: str | Scorer | None = None,
    direction: Direction | None = None,
    kind: Kind | None = None,
    groups: Any = None,
    ordered: bool = False,
    constraints: Sequence[str | Constraint] = (),
    objectives: Sequence[str] = (),
    space: SearchSpace | None = None,
    n_trials: int | None = None,
    timeout: float | None = None,
    budget: Budget | None = None,
    patience: int | None = None,
    method: str = "llm-tpe",
    llm: str | Advisor | None = None,
    base_url: str | None = None,
    reply_mode: ReplyMode = "auto",
    privacy: Privacy = "description",
    mask_names: bool = False,
    memory: MemoryName = "digest",
    init: Init = "llm",
    mixing: MixingPolicy | None = None,
    cv: Any = 5,
    holdout_share: float = 0.2,
    max_rows: int | None = None,
    pruner: BasePruner | None = None,
    prefetch: bool = False,
    fixed_space: bool = False,
    repeats: bool = False,
    transfer: bool | Sequence[EarlierBest] = True,
    ensemble: int | None = None,
    preprocessing: bool = False,
    storage: str | BaseStorage | None = None,
    study_name: str | None = None,
    seed: int = 0,
    description: str = "",
    on_start: Callable[[Study], None] | None = None,
    callbacks: Sequence[Callback] = (),
) -> TuneResult:
    """
    Tune *estimator* on X and y.

    A share of the rows is set aside. The other rows judge each configuration by cross-validation, the default
    configuration first. Then the best and the default one are scored on the rows set aside, and the best one is fitted
    on all rows. Interrupting (Ctrl-C) ends the tuning with what there is.

    Args:
        estimator: A name ("lightgbm"; `sllmbo tune --list` has all), "auto" (or "auto:NAME,NAME")
            for the best of several, the import path of a class that is compatible with
            scikit-learn, or an instance, whose own parameters are kept.
        X: Rows of features: a DataFrame or a two-dimensional array. Text, categories, dates and missing values are
            prepared as the estimator needs. Or a `Dataset`, checked before, with its target, kind, groups and order.
        y: The target, one entry per row.
        metric: A name of scikit-learn's scorers or a plain one (mae, rmse, logloss, ...), or a function of
            (estimator, X, y), or "module:function", with *direction*. None: f1_weighted for classes, mae for numbers.
        direction: Which values of a function are better.
        kind: "classification" or "regression"; found out if None.
        groups: One label per row; rows of one label stay together in every split.
        ordered: Whether the rows are in the order of time. They are then validated on later rows than they are fitted
            on, and the last ones are set aside.
        constraints: What must hold, such as "model_size_mb<=5" or "recall>=0.9": bounds on what is measured of each
            trial, as a mean over the folds. The names are those of `sllmbo.tuner.measures.MEASURES` and of metrics.
        objectives: What is optimised beside the metric, by the same names. The result then has a Pareto front, and its
            best configuration is a compromise.
        space: What is tuned. None: what the advisor designs, or the documented space of the estimator.
        n_trials: Trials of the study in all; those of a study that is gone on with count. None: those of *budget*,
            else 50. Fewer where every configuration of a finite space was tried, unless *repeats* evaluates some again.
        timeout: Seconds after which no further trial is begun. None: those of *budget*.
        budget: Trials and seconds, and what questions to the chat model may cost over the whole study: calls, tokens,
            US dollars. Once that is spent, the study goes on without advice.
        patience: Trials without improvement after which to stop.
        method: "llm-tpe", "llm", "tpe", "random", "gp" or "cma".
        llm: "offline" (documented rules, no chat model), "provider:model", "replay:FILE" or an `Advisor`; None reads
            SLLMBO_LLM, else "offline".
        base_url: An OpenAI-compatible server that has the chat model.
        reply_mode: How the chat model is asked for replies: "tool", "native", "prompted", or "auto" for what works.
        privacy: What a chat model is told at most: "none" (the search space and the trials), "schema" (and the kind of
            the task), "statistics" (and aggregates of the data), "description" (and what was written in words).
        mask_names: Whether a chat model is told x1, c1 and so on instead of names.
        memory: What of the trials a chat model is told: "digest" (a compact digest of all), or one of the paper's two:
            "summary" (the chat model condenses them now and then) and "chat" (the whole conversation).
        init: What opens the study: "llm", "random" or "default".
        mixing: Who serves which turn, for "llm-tpe"; `Adaptive` if None.
        cv: Number of folds, or a splitter of scikit-learn.
        holdout_share: Share of the rows that is set aside; 0 for none.
        max_rows: Trials see a sample of at most so many rows, of ordered ones the latest; the held-out check and the
            final fit use all. None: all rows.
        pruner: An Optuna pruner; it is told the mean over the folds so far after each fold.
        prefetch: Whether the advisor is asked while trials run: nobody waits for it, and a trial for which no answer is
            ready is served without. What is tried then depends on the clock as well as on *seed* (docs/adr/0015).
        fixed_space: Whether the advisor may not edit the search space during the study. It may narrow ranges, and widen
            those that nobody gave, on evidence; what does not pay within 8 trials is undone.
        repeats: Whether the last two fifths of the trials may evaluate leaders again, on other folds and with another
            seed, and the best configuration is chosen by all its values (docs/adr/0016). Not beside a pruner.
        transfer: Whether a study that begins starts from the best configurations of earlier studies in *storage*, of
            the same estimator on similar data, if an advisor opens it; or what it starts from in any case.
        ensemble: Average the best of so many different configurations, at the price of as many further trials: which
            of them, and with which weights, is found on rows they were not fitted on. None: the best one alone.
        preprocessing: Whether scaling, encoding and filling in of features are tuned, too, where the estimator does not
            take them as they are and *space* is None.
        storage: An Optuna storage or its URL; None keeps the study in memory.
        study_name: A study of this name in the storage is gone on with.
        seed: Seed of the splits, the estimator and the search.
        description: The problem in words, for the chat model.
        on_start: Called with the study, once everything is checked and before the first trial.
        callbacks: Called after each trial with the study and the trial, as Optuna calls them.

    Returns:
        The best configuration, what it gained over the default, and the fitted estimator.

    Raises:
        TaskError: If the data, the metric or the estimator cannot be used.
        ConfigError: If an argument breaks a rule.
        StudyError: If the stored study is about something else.
        AdviceError: If the chat model cannot be reached before the first trial.

    Example:
        >>> from sklearn.datasets import load_diabetes
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> X, y = load_diabetes(return_X_y=True)
        >>> result = tune("ridge", X, y, n_trials=5, seed=0)
        >>> result.best_value <= result.default_value
        True
    """
    dataset = X if isinstance(X, Dataset) else from_arrays(X, y, kind=kind, groups=groups, ordered=ordered)
    check_ensemble(ensemble)
    budget = joined(budget, n_trials, timeout)
    plan = make_plan(
        estimator,
        dataset,
        metric=metric,
        direction=direction,
        n_trials=budget.trials,
        holdout_share=holdout_share,
        max_rows=max_rows,
        preprocessing=preprocessing,
        seed=seed,
        description=description,
    )
    spec, train = plan.spec, plan.train
    goals = resolve_goals(constraints, objectives, train, plan.metric)
    folds = {"n_splits": cv} if isinstance(cv, int) else {"splitter": cv}
    splits = make_splits(train, seed=seed, **folds)
    if space is not None:
        _check_space(space, spec)  # before a study is made that could never be gone on with
    tuner = Tuner(
        space,
        task=plan.task,
        constraints=goals.constraints,
        objectives=goals.objectives,
        method=method,
        llm=llm,
        base_url=base_url,
        reply_mode=reply_mode,
        privacy=privacy,
        mask_names=mask_names,
        memory=memory,
        init=init,
        mixing=mixing,
        storage=storage,
        study_name=study_name,
        pruner=pruner,
        seed=seed,
        derive=lambda: derive_space(spec),
        adapt=spec.adapted,
        budget=budget,
        prefetch=prefetch,
        fixed_space=fixed_space,
        repeats=repeats,
        transfer=transfer,
    )
    _check_space(tuner.space, spec)
    _check_data(tuner.study, train, splits)
    tuner.study.set_user_attr(NOTES, plan.notes)

    def objective(trial: Trial) -> Evaluation:
        def report(step: int, value: float) -> None:
            if step == 0:
                trial.set_user_attr(FOLDS, True)
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned

        again = evaluations(tuner.study, trial.params, before=trial.number) if repeats else 0
        own = derive_seed(seed, "repeat", again) if again else seed
        fresh = make_splits(train, seed=own, n_splits=cv) if again and isinstance(cv, int) else splits
        return evaluate(
            *(spec, trial.params, train, fresh, plan.metric),
            seed=own,
            report=None if goals.objectives else report,
            measure=goals.measure if goals.names else None,
        )

    stop_reason = run(
        tuner,
        objective,
        budget=budget,
        patience=patience,
        on_start=on_start,
        callbacks=callbacks,
        repeats=repeats,
    )
    return conclude(
        *(tuner, plan, dataset, goals),
        seed=seed,
        stop_reason=stop_reason,
        storage=storage,
        splits=splits,
        ensemble=ensemble,
    )


def _check_space(space: SearchSpace, spec: EstimatorSpec) -> None:
    known = spec.parameters()
    for name in space:
        if name not in known:
            raise SpaceError(f"The search space has {name!r}, which {spec.name!r} has not; remove or rename it.")


def _check_data(study: Study, dataset: Dataset, splits: Sequence[Split]) -> None:
    """Remember which data and folds the study is about, and refuse to mix two."""
    import pandas as pd

    rows = pd.util.hash_pandas_object(dataset.X.assign(**{"\0target": dataset.y}), index=False)
    folds = [part.astype("int64").tobytes() for split in splits for part in split]
    digest = hashlib.sha256(b"".join([rows.to_numpy().tobytes(), *folds])).hexdigest()[:16]
    stored, target = study.user_attrs.get(DATA), study.user_attrs.get(TARGET, dataset.target)
    if stored is None:
        study.set_user_attr(DATA, digest)
        study.set_user_attr(TARGET, dataset.target)
    elif stored != digest:
        other = "is about other data, or about other folds, hold-out or seed of the same data"
        if target != dataset.target:
            other = f"predicts {target!r}, not {dataset.target!r}"
        raise StudyError(f"The study {study.study_name!r} {other}; name another study with study_name= or --study.")
