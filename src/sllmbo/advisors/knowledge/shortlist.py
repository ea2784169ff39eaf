"""
Which estimators are worth a try on given data, and why: rules over aggregates of the data.

What they rest on: boosted trees lead on most tables, and on few rows the differences to averaged trees, kernels and
networks are small (Grinsztajn, Oyallon and Varoquaux 2022, arXiv 2207.08815; McElfresh et al. 2023, arXiv 2305.02997).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from sllmbo.errors import TaskError
from sllmbo.task import DataFacts, Task

Choice: TypeAlias = tuple[str, str]
"""The name of an estimator, and why it is on the list."""

MOST = 4
"""Estimators on a list at most: each costs trials before it is known what it is worth."""

TRIALS_EACH = 5
"""So many trials there should be for each estimator on the list."""

MOST_ROWS: Mapping[str, int] = {
    "svm": 10_000,
    "knn": 50_000,
    "mlp": 50_000,
    "catboost": 200_000,
    "random_forest": 200_000,
    "extra_trees": 200_000,
}
"""Rows of a trial beyond which an estimator takes too long to be tried many times."""


def most_estimators(n_trials: int | None) -> int:
    """Return how many estimators a study of *n_trials* should try: one for each 5 trials, 2 to 4."""
    return MOST if n_trials is None else max(2, min(MOST, n_trials // TRIALS_EACH))


def too_slow(name: str, n_rows: int) -> str:
    """Return why *name* is too slow for trials of *n_rows* rows, or "" where it is not."""
    limit = MOST_ROWS.get(name)
    if limit is None or n_rows <= limit:
        return ""
    return f"{n_rows} rows are too many to fit it many times (more than {limit}); fewer rows per trial would let it in"


def shortlist(task: Task) -> tuple[Choice, ...]:
    """
    Return which of the task's candidates are worth a try, the most promising first.

    Raises:
        TaskError: If there are no candidates.
    """
    if not task.candidates:
        raise TaskError("The task names no candidates to choose estimators from.")
    facts = task.data
    ranked = []
    for place, name in enumerate(task.candidates):
        if _BETTER.get(name) in task.candidates:
            continue
        weight, reason = (0, "the data are not known") if facts is None else _RULES[name](facts)
        ranked.append((-weight, place, name, reason))
    most = most_estimators(task.n_trials)
    ranked.sort()
    kept = [entry for entry in ranked if entry[0] < 0][:most]
    return tuple((name, reason) for _, _, name, reason in kept or ranked[:most])


_BETTER: Mapping[str, str] = {"hist_gradient_boosting": "lightgbm"}
"""Estimators that do the same as another one, which is preferred."""

_Rule: TypeAlias = Callable[[DataFacts], tuple[int, str]]
"""From aggregates of the data to how promising an estimator is (0: not at all), and why."""


def _boosting(facts: DataFacts) -> tuple[int, str]:
    own = " and takes categories and missing values as they are" if facts.n_categorical or facts.missing_share else ""
    return 10, f"boosted trees lead on most tables, and it is the fastest of them{own}"


def _catboost(facts: DataFacts) -> tuple[int, str]:
    if facts.n_categorical:
        return 9, f"{facts.n_categorical} of {facts.n_features} features are categories, which it encodes by the target"
    if facts.n_rows <= 20_000:
        return 7, f"its symmetric trees do well untuned, and {facts.n_rows} rows are few enough for its slower fits"
    return 3, "boosted trees lead on most tables, and its symmetric trees differ from the others'"


def _extra_trees(facts: DataFacts) -> tuple[int, str]:
    weight = 8 if facts.n_rows <= 50_000 else 4
    return weight, f"averaged random trees resist noise, and err otherwise than boosted ones ({facts.n_rows} rows)"


def _random_forest(facts: DataFacts) -> tuple[int, str]:
    if 0 < facts.minority_share < 0.05:
        return 6, f"its classes can be weighted, and the rarest has {facts.minority_share:.1%} of the rows"
    return 2, "averaged trees need little tuning"


def _svm(facts: DataFacts) -> tuple[int, str]:
    mostly_numbers = facts.n_numeric * 2 >= facts.n_features
    if facts.n_rows <= 3_000 and mostly_numbers:
        return 6, f"a kernel fits smooth shapes in {facts.n_rows} rows of mostly numbers"
    return 1, "a kernel fits smooth shapes"


def _mlp(facts: DataFacts) -> tuple[int, str]:
    if facts.n_rows >= 3_000 and facts.n_numeric * 4 >= 3 * facts.n_features and facts.missing_share < 0.05:
        return 6, f"{facts.n_rows} rows of mostly numbers can feed a network, which fits smooth shapes"
    return 1, "a network fits smooth shapes"


def _linear(facts: DataFacts) -> tuple[int, str]:
    if facts.n_features * 10 > facts.n_rows:
        return 9, f"{facts.n_features} features for {facts.n_rows} rows: a penalised linear fit can be all they carry"
    if facts.n_rows < 500:
        return 6, f"{facts.n_rows} rows are few: a linear fit is hard to beat"
    return 3, "a linear fit is fast, hard to overfit, and errs otherwise than trees"


def _elastic_net(facts: DataFacts) -> tuple[int, str]:
    if facts.n_features * 2 > facts.n_rows:
        return 7, f"{facts.n_features} features for {facts.n_rows} rows: many must be dropped"
    return 0, "a linear fit that drops features"


_RULES: Mapping[str, _Rule] = {
    "lightgbm": _boosting,
    "hist_gradient_boosting": lambda _: (
        4,
        "boosted trees lead on most tables; scikit-learn's need no further package",
    ),
    "catboost": _catboost,
    "xgboost": lambda _: (5, "boosted trees that grow by depth, where LightGBM's grow leaf by leaf"),
    "extra_trees": _extra_trees,
    "random_forest": _random_forest,
    "svm": _svm,
    "mlp": _mlp,
    "logistic_regression": _linear,
    "ridge": _linear,
    "elastic_net": _elastic_net,
    "knn": lambda _: (0, "neighbours are rarely the best"),
}
