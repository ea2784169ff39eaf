"""
`LLMSearchCV`: a search of scikit-learn whose candidates come from a language model and from TPE in turns.
"""

from __future__ import annotations

import copy
import inspect
import time
from collections.abc import Mapping
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.model_selection import check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import check_random_state

from sllmbo._random import derive_seed
from sllmbo.budget import Budget
from sllmbo.errors import ConfigError, SllmboError
from sllmbo.integrations._plan import Plan
from sllmbo.samplers import chosen
from sllmbo.samplers._record import ORIGIN, RATIONALE, SOURCE
from sllmbo.samplers._repeats import evaluations
from sllmbo.space import SearchSpace
from sllmbo.stopping import PatienceCallback, is_exhausted
from sllmbo.task import DataFacts, Kind, Task
from sllmbo.tuner.data import facts, from_arrays
from sllmbo.tuner.result import total_usage
from sllmbo.tuner.tuner import Tuner


class LLMSearchCV(BaseSearchCV):  # type: ignore[misc]  # scikit-learn has no types
    """
    Hyperparameter search by a language model and TPE, with scikit-learn's own cross-validation and refit.

    Used like `RandomizedSearchCV`. The first candidate is the estimator as it was given; each further one comes from
    the advisor or from TPE, whoever serves its turn, and is told with its source and reason. Without a chat model the
    built-in rules advise, and nothing leaves the machine.

    Args:
        estimator: An estimator or a pipeline.
        param_distributions: What is searched: a `SearchSpace`; or by parameter name (``step__name`` in a pipeline) our
            parameters, Optuna's distributions, scipy's `uniform`, `loguniform` and `randint`, or lists of choices,
            which may be any objects. None: the documented space of the estimator, or of the last step of a pipeline,
            or the one that the chat model designs.
        n_trials: Candidates in all; fewer where a finite space has no more, unless *repeats* evaluates them again.
        timeout: Seconds after which no further candidate is begun.
        patience: Candidates without improvement after which to stop.
        method: "llm-tpe", "llm", "tpe", "random", "gp" or "cma".
        llm: "offline", "provider:model", "replay:FILE" or an `Advisor`; None reads SLLMBO_LLM, else "offline".
        base_url: An OpenAI-compatible server that has the chat model.
        budget: What the questions to a chat model may cost.
        repeats: Whether the last two fifths of the candidates may evaluate leaders again, on other folds, and the best
            configuration is chosen by all its scores. All folds are shuffled then, and *cv* must allow it.
        description: The problem in words, for the chat model.
        storage: An Optuna storage or its URL; None keeps the study in memory.
        scoring: As in scikit-learn; always maximised. With several metrics, *refit* names the one that is searched by.
        n_jobs: Folds that are fitted at once, as in scikit-learn.
        refit: As in scikit-learn.
        cv: As in scikit-learn. A splitter that shuffles without a seed gets one, so that all candidates are judged on
            the same folds.
        verbose: As in scikit-learn.
        pre_dispatch: As in scikit-learn.
        random_state: Seeds the search, not the estimator.
        error_score: As in scikit-learn. A candidate whose every fit fails is a failed trial of the study, told to the
            advisor with its reason, and has no row in `cv_results_`.
        return_train_score: As in scikit-learn.

    Attributes:
        study_: The Optuna study, with a trial for each candidate.
        usage_: What the advice has cost.
        reasons_: One text for each candidate in `cv_results_`: who proposed it and why.
        space_: What was searched.
        best_interval_: Of 95 % for the expected score of the best candidate, where repeats have shown noise; else None.
            `best_score_` is the expected score then.
        cv_results_, best_estimator_, best_score_, best_params_, best_index_, scorer_, n_splits_, refit_time_: As in
            scikit-learn; `cv_results_` also has "source" and "reason".

    Raises:
        ValueError: From `fit`, as in scikit-learn, if a distribution is none that can be searched, and if *repeats* is
            asked for where folds cannot be drawn anew.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.svm import SVC
        >>> X, y = load_iris(return_X_y=True)
        >>> search = LLMSearchCV(SVC(), n_trials=6, llm="offline", random_state=0).fit(X, y)
        >>> bool(search.best_score_ >= search.cv_results_["mean_test_score"][0])
        True
        >>> str(search.cv_results_["source"][0])
        'default'
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseSearchCV._parameter_constraints,
        "param_distributions": [dict, SearchSpace, None],
        "n_trials": [int],
        "timeout": [int, float, None],
        "patience": [int, None],
        "method": [str],
        "llm": "no_validation",
        "base_url": [str, None],
        "budget": [Budget, None],
        "repeats": ["boolean"],
        "description": [str],
        "storage": "no_validation",
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any,
        param_distributions: SearchSpace | Mapping[str, Any] | None = None,
        *,
        n_trials: int = 30,
        timeout: float | None = None,
        patience: int | None = None,
        method: str = "llm-tpe",
        llm: Any = None,
        base_url: str | None = None,
        budget: Budget | None = None,
        repeats: bool = False,
        description: str = "",
        storage: Any = None,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: Any = "2*n_jobs",
        random_state: Any = None,
        error_score: Any = np.nan,
        return_train_score: bool = False,
    ) -> None:
        super().__init__(
            estimator=estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.param_distributions = param_distributions
        self.n_trials = n_trials
        self.timeout = timeout
        self.patience = patience
        self.method = method
        self.llm = llm
        self.base_url = base_url
        self.budget = budget
        self.repeats = repeats
        self.description = description
        self.storage = storage
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, **params: Any) -> LLMSearchCV:
        """
        Search, and refit the best candidate on all rows.

        Args:
            X: Rows of features.
            y: The target, if there is one.
            **params: Passed on to the fits, and routed, as in scikit-learn.

        Returns:
            The search itself.
        """
        facts = _facts(self.estimator, X, y)
        drawn_anew = check_cv(self.cv, y, classifier=is_classifier(self.estimator)) if self.repeats else None
        if drawn_anew is not None:
            _shuffled(drawn_anew, 0)  # or refuses it before a study is made
        self._facts, self._splitter = facts, drawn_anew
        self.best_interval_: tuple[float, float] | None = None
        try:
            super().fit(X, y, **params)
        finally:
            del self._facts, self._splitter
        choice = chosen(self.study_) if self.repeats else None
        if choice is not None and choice.interval is not None and hasattr(self, "best_score_"):
            self.best_score_, self.best_interval_ = choice.value, choice.interval
        return self

    def _select_best_index(self, refit: Any, refit_metric: str, results: Mapping[str, Any]) -> int:
        choice = chosen(self.study_) if self.repeats and not callable(refit) else None
        if choice is not None:
            return self._rows.index(choice.trial)
        return int(super()._select_best_index(refit, refit_metric, results))

    def _run_search(self, evaluate_candidates: Any) -> None:
        seed = int(check_random_state(self.random_state).randint(2**31))
        plan = Plan(self.estimator, self.param_distributions, self._facts)
        metric = self._searched_metric()
        task = Task(
            description=self.description,
            estimator=plan.name,
            metric=metric,
            direction="maximize",
            data=self._facts,
            n_trials=self.n_trials,
            estimator_params=plan.parameters,
        )
        tuner = Tuner(
            plan.space,
            task=task,
            method=self.method,
            llm=self.llm,
            base_url=self.base_url,
            budget=self.budget,
            repeats=self.repeats,
            storage=self.storage,
            seed=seed,
            derive=plan.derive,
            adapt=plan.adapted,
        )
        self.study_, self.space_ = tuner.study, tuner.space
        self.reasons_: list[str] = []
        self._rows: list[int] = []
        folds = _seeded(self.cv, seed)
        until = time.monotonic() + (np.inf if self.timeout is None else self.timeout)
        waiting = PatienceCallback(self.patience) if self.patience is not None else None
        failed: BaseException | None = None
        for done in range(self.n_trials):
            is_over = time.monotonic() >= until or (waiting is not None and waiting.is_exhausted(tuner.study))
            if done and (is_over or (not self.repeats and is_exhausted(tuner.study, tuner.space))):
                break
            with tuner.trial() as trial:
                told = tuner.study._storage.get_trial(trial._trial_id).user_attrs
                source, reason = str(told.get(SOURCE, "")), str(told.get(RATIONALE, ""))
                more = {"source": [source], "reason": [reason]}
                if self.repeats:
                    again = evaluations(tuner.study, trial.params, before=trial.number)
                    folds = _shuffled(self._splitter, derive_seed(seed, "folds", again) % 2**32)
                try:
                    results = evaluate_candidates([plan.decoded(trial.params)], cv=folds, more_results=more)
                except ValueError as error:
                    if self.error_score == "raise" or "fits failed" not in str(error):
                        raise
                    # All fits of one candidate failed, which scikit-learn takes for a failure of the whole search.
                    tuner.tell(trial, failure=_last_line(error))
                    failed = error
                    continue
                self._rows.append(trial.number)
                self.reasons_.append(": ".join(filter(None, (source, reason, str(told.get(ORIGIN, ""))))))
                score = float(results[f"mean_test_{self._column(results)}"][-1])
                if np.isfinite(score):
                    tuner.tell(trial, score, details={"std": float(results[f"std_test_{self._column(results)}"][-1])})
                else:
                    tuner.tell(trial, failure=f"the score was {score}")
        if failed is not None and not self.reasons_:
            raise failed
        self.usage_ = total_usage(tuner.study)

    def _searched_metric(self) -> str:
        if isinstance(self.refit, str):
            return self.refit
        return self.scoring if isinstance(self.scoring, str) else "score"

    def _column(self, results: Mapping[str, Any]) -> str:
        if "mean_test_score" in results:
            return "score"
        if isinstance(self.refit, str) and f"mean_test_{self.refit}" in results:
            return self.refit
        raise ValueError(
            f"With several metrics refit={self.refit!r} must be the name of the one to search by; name it, also where "
            "nothing is to be refitted: the search needs one."
        )


def _last_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[-1].strip()


def _seeded(cv: Any, seed: int) -> Any:
    """Return a splitter that gives the same folds each time; None where *cv* does so anyway."""
    is_seeded = isinstance(getattr(cv, "random_state", 0), Integral)
    if hasattr(cv, "split") and getattr(cv, "shuffle", True) and not is_seeded:
        fixed = copy.copy(cv)
        fixed.random_state = seed
        return fixed
    return None


def _shuffled(cv: Any, seed: int) -> Any:
    """Return a splitter like *cv* with the folds of *seed*."""
    if "random_state" not in inspect.signature(type(cv)).parameters:
        raise ConfigError(
            f"repeats=True needs folds that can be drawn anew, and cv={cv!r} has always the same; give a number of "
            "folds or a splitter with a random_state, such as KFold, or leave repeats out."
        )
    other = copy.copy(cv)
    other.random_state = seed
    if hasattr(other, "shuffle"):
        other.shuffle = True
    return other


def _facts(estimator: Any, X: Any, y: Any) -> DataFacts | None:
    """Return what may be told of the data; None where it is no table with one target."""
    if y is None or not (is_classifier(estimator) or is_regressor(estimator)):
        return None
    kind: Kind = "classification" if is_classifier(estimator) else "regression"
    try:
        return facts(from_arrays(X, y, kind=kind))
    except (SllmboError, TypeError, ValueError):
        shape = np.shape(X)
        return DataFacts(kind=kind, n_rows=shape[0], n_features=shape[1]) if len(shape) == 2 else None
