"""
Metrics by name: scikit-learn's scorers, valued as scikit-learn values them, and the plain names people say.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Any, TypeAlias

from sllmbo.errors import TaskError
from sllmbo.history import Direction
from sllmbo.task import Kind

Scorer: TypeAlias = Callable[[Any, Any, Any], float]
"""From a fitted estimator, X and y to a value."""

_PLAIN_REGRESSION: dict[str, str] = {
    "mae": "mean_absolute_error",
    "mse": "mean_squared_error",
    "rmse": "root_mean_squared_error",
    "rmsle": "root_mean_squared_log_error",
    "medae": "median_absolute_error",
    "mape": "mean_absolute_percentage_error",
}

_REGRESSION = frozenset(
    {"d2_absolute_error_score", "explained_variance", "r2", "neg_max_error", "neg_median_absolute_error"}
)
_REGRESSION_PREFIXES = ("neg_mean_", "neg_root_mean_")
_OTHER = frozenset(  # of clusterings, and of several labels per row
    {
        *("adjusted_mutual_info_score", "adjusted_rand_score", "completeness_score", "fowlkes_mallows_score"),
        *("homogeneity_score", "mutual_info_score", "normalized_mutual_info_score", "rand_score", "v_measure_score"),
        *("f1_samples", "jaccard_samples", "precision_samples", "recall_samples"),
    }
)

_TWO_CLASSES_ONLY = {
    "f1": "f1_weighted",
    "jaccard": "jaccard_weighted",
    "precision": "precision_weighted",
    "recall": "recall_weighted",
    "roc_auc": "roc_auc_ovr_weighted",
    "positive_likelihood_ratio": "balanced_accuracy",
    "neg_negative_likelihood_ratio": "balanced_accuracy",
}
"""Metrics for two classes, and what to use for more."""

_THRESHOLDS = ("decision_function", "predict_proba")
_POSITIVE_CLASS: dict[str, tuple[str, str | tuple[str, ...], bool]] = {
    "f1": ("f1_score", "predict", True),
    "jaccard": ("jaccard_score", "predict", True),
    "precision": ("precision_score", "predict", True),
    "recall": ("recall_score", "predict", True),
    "average_precision": ("average_precision_score", _THRESHOLDS, True),
    "neg_brier_score": ("brier_score_loss", "predict_proba", False),
    "d2_brier_score": ("d2_brier_score", "predict_proba", True),
}
"""Metrics of the positive class: function, what it is computed from, whether greater is better."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What is optimised."""

    name: str
    direction: Direction
    _: KW_ONLY
    scorer: Scorer = field(compare=False, repr=False)

    def score(self, estimator: Any, X: Any, y: Any) -> float:
        """
        Return the value of the fitted *estimator* on X and y.

        Raises:
            TaskError: If the estimator cannot give what the metric is computed from.
        """
        try:
            return float(self.scorer(estimator, X, y))
        except AttributeError as error:
            raise TaskError(
                f"The metric {self.name!r} cannot be computed for this estimator ({error}); "
                "use a metric of predicted values or another estimator."
            ) from error


def resolve_metric(
    metric: str | Scorer | None, kind: Kind, n_classes: int = 0, *, direction: Direction | None = None
) -> Metric:
    """
    Return the metric that is meant.

    Metrics of the positive class (f1, precision, ...) take the class 1 as positive and, where there is none, the last
    one in sorted order, as scikit-learn's ROC AUC does.

    Args:
        metric: A name of scikit-learn's or a plain one, a function of (estimator, X, y) or where it lies
            ("module:function"), or None for `f1_weighted` or `mae`.
        kind: The kind of the data.
        n_classes: Its classes.
        direction: Which values are better. Needed for a function; a name has its own.

    Raises:
        TaskError: If the name is unknown or the metric does not suit the data.
    """
    if callable(metric):
        if direction is None:
            raise TaskError("A metric that is a function has no direction; say direction='maximize' or 'minimize'.")
        return Metric(getattr(metric, "__name__", type(metric).__name__), direction, scorer=metric)
    if metric and ":" in metric:
        return _own_metric(metric, direction)
    name = _spelled(metric) if metric else ("f1_weighted" if kind == "classification" else "mae")
    known = metric_names()
    if name not in known:
        raise TaskError(_unknown_metric(str(metric), known))
    if name not in metric_names(kind):
        raise TaskError(
            f"The metric {name!r} is not for {kind}; use {', '.join(_SUGGESTED[kind])}, or see `sllmbo tune --list`."
        )
    if name in _TWO_CLASSES_ONLY and n_classes > 2:
        raise TaskError(
            f"The metric {name!r} is for two classes and the target has {n_classes}; use {_TWO_CLASSES_ONLY[name]!r}."
        )
    if direction not in (None, known[name]):
        raise TaskError(f"The metric {name!r} is to {known[name]}, not to {direction}; leave the direction out.")
    return Metric(name, known[name], scorer=_scorer(name, n_classes))


def _own_metric(path: str, direction: Direction | None) -> Metric:
    """Return the metric of a function "module:function"; of scikit-learn's own scorers more is better."""
    module_name, _, name = path.partition(":")
    try:
        scorer = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise TaskError(f"The metric {path!r} cannot be imported ({error}); check module and function.") from error
    if not callable(scorer):
        raise TaskError(f"The metric {path!r} is {scorer!r}, no function of (estimator, X, y); name one.")
    if direction is None and type(scorer).__module__ == "sklearn.metrics._scorer":
        direction = "maximize"
    if direction is None:
        raise TaskError(f"The metric {path!r} has no direction; say 'maximize' or 'minimize' (--direction).")
    return Metric(path, direction, scorer=scorer)


_SUGGESTED: dict[Kind, tuple[str, ...]] = {
    "classification": ("f1_weighted", "accuracy", "auc", "logloss"),
    "regression": ("mae", "rmse", "r2"),
}


def metric_names(kind: Kind | None = None) -> dict[str, Direction]:
    """Return the names of the metrics (for data of *kind*), each with its direction; plain names first."""
    from sklearn.metrics import get_scorer_names

    names: dict[str, Direction] = {}
    if kind != "regression":
        names |= {"auc": "maximize", "logloss": "minimize"}
    if kind != "classification":
        names |= dict.fromkeys(_PLAIN_REGRESSION, "minimize")
    for name in get_scorer_names():
        if name not in _OTHER and kind in (None, _kind_of(name)):
            names[name] = "maximize"
    return names


def _kind_of(name: str) -> Kind:
    regression = name in _REGRESSION or name.startswith(_REGRESSION_PREFIXES)
    return "regression" if regression else "classification"


def _spelled(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def _unknown_metric(name: str, known: dict[str, Direction]) -> str:
    close = difflib.get_close_matches(_spelled(name), known, n=3, cutoff=0.5)
    meant = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return f"The metric {name!r} is unknown; {meant}`sllmbo tune --list` names them all."


def _scorer(name: str, n_classes: int) -> Scorer:
    from sklearn.metrics import get_scorer

    if name in _PLAIN_REGRESSION:
        return partial(_error, _PLAIN_REGRESSION[name])
    if name == "logloss":
        return _log_loss
    if name in _POSITIVE_CLASS and n_classes <= 2:
        return partial(_of_positive_class, name)
    if name == "auc":
        name = "roc_auc" if n_classes <= 2 else "roc_auc_ovr_weighted"
    scorer: Scorer = get_scorer(name)
    return scorer


def _error(function: str, estimator: Any, X: Any, y: Any) -> float:
    from sklearn import metrics

    return float(getattr(metrics, function)(y, estimator.predict(X)))


def _log_loss(estimator: Any, X: Any, y: Any) -> float:
    from sklearn.metrics import log_loss

    # The labels are named because a fold may lack a class.
    return float(log_loss(y, estimator.predict_proba(X), labels=estimator.classes_))


def _of_positive_class(name: str, estimator: Any, X: Any, y: Any) -> float:
    from sklearn import metrics

    function, response, greater = _POSITIVE_CLASS[name]
    if 1 in list(estimator.classes_):
        return float(metrics.get_scorer(name)(estimator, X, y))
    scorer = metrics.make_scorer(
        getattr(metrics, function),
        response_method=response,
        greater_is_better=greater,
        pos_label=estimator.classes_[-1],
    )
    return float(scorer(estimator, X, y))
