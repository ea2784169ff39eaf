"""
Documented knowledge of common estimators: what to tune, over which ranges, from where to start, and who says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sllmbo.advisors.knowledge._entry import KnownEstimator, StartingPoint, StartRule
from sllmbo.advisors.knowledge.boosting import HIST_GRADIENT_BOOSTING, LIGHTGBM
from sllmbo.advisors.knowledge.boosting_by_depth import CATBOOST, XGBOOST
from sllmbo.advisors.knowledge.others import ELASTIC_NET, KNN, LOGISTIC_REGRESSION, MLP, RIDGE, SVM
from sllmbo.advisors.knowledge.trees import EXTRA_TREES, RANDOM_FOREST
from sllmbo.errors import TaskError
from sllmbo.space import SearchSpace
from sllmbo.space.branches import joined
from sllmbo.task import Task

__all__ = ["KnownEstimator", "StartRule", "StartingPoint", "find_estimator", "joint_space", "known_estimators"]


def known_estimators() -> tuple[KnownEstimator, ...]:
    """Return every estimator that is known."""
    return (
        LIGHTGBM,
        XGBOOST,
        CATBOOST,
        RANDOM_FOREST,
        EXTRA_TREES,
        HIST_GRADIENT_BOOSTING,
        SVM,
        LOGISTIC_REGRESSION,
        RIDGE,
        ELASTIC_NET,
        KNN,
        MLP,
    )


def joint_space(names: Sequence[str], task: Task) -> SearchSpace:
    """
    Return one space over the documented spaces of the estimators *names*, the first of which is the default.

    Raises:
        TaskError: If one is not known, or does not solve the task's kind of problem.
    """
    known = {estimator.name: estimator for estimator in known_estimators()}
    kind = task.data.kind if task.data is not None else "classification"
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise TaskError(f"The estimator {unknown!r} has no documented space; use {', '.join(known)}.")
    return joined({name: known[name].space(kind, task.data) for name in names})


def find_estimator(text: str) -> KnownEstimator | None:
    """
    Return the estimator that *text* names, or None.

    Args:
        text: A name ("lightgbm"), an import path, of which only the last part counts ("lightgbm.LGBMClassifier"), or a
            description. The longest alias found as a whole word wins.

    Example:
        >>> find_estimator("LightGBM on census income").name
        'lightgbm'
    """
    last_parts = re.sub(r"[\w.]+", lambda match: match[0].strip(".").rpartition(".")[2], text)
    words = f" {_plain(last_parts)} "
    found = [
        (len(alias), estimator)
        for estimator in known_estimators()
        for alias in map(_plain, (estimator.name, *estimator.aliases))
        if f" {alias} " in words
    ]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def _plain(text: str) -> str:
    """Lower case, with anything but letters and digits as one space."""
    return " ".join(re.sub(r"[\W_]+", " ", text.casefold()).split())
