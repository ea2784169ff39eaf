"""Facts about folds and the value of a configuration."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score

from sllmbo.errors import TaskError
from sllmbo.tuner.data import from_arrays
from sllmbo.tuner.estimators import resolve_estimator
from sllmbo.tuner.evaluation import evaluate, fit, make_splits, score_on
from sllmbo.tuner.metrics import resolve_metric


def _diabetes(**arguments):
    return from_arrays(*load_diabetes(return_X_y=True), kind="regression", **arguments)


def test_value_is_scikit_learns():
    """The folds and their values are those of scikit-learn with the same seed."""
    X, y = load_diabetes(return_X_y=True)
    dataset = _diabetes()
    expected = cross_val_score(
        Ridge(alpha=0.1), X, y, cv=KFold(5, shuffle=True, random_state=7), scoring="neg_mean_absolute_error"
    )
    metric = resolve_metric("neg_mean_absolute_error", "regression")
    spec = resolve_estimator(Ridge(), "regression")
    result = evaluate(spec, {"alpha": 0.1}, dataset, make_splits(dataset, seed=7), metric, seed=0)
    assert pytest.approx(tuple(expected), rel=1e-9) == result.fold_values
    assert (pytest.approx(expected.mean()), pytest.approx(expected.std())) == (result.value, result.std)
    assert result.value < result.train_value < 0 < result.seconds


def test_folds_are_stratified():
    """The folds of classes are scikit-learn's stratified ones."""
    X, y = load_iris(return_X_y=True)
    expected = StratifiedKFold(5, shuffle=True, random_state=1).split(X, y)
    splits = make_splits(from_arrays(X, y), seed=1)
    assert [list(test) for _, test in expected] == [list(test) for _, test in splits]


@given(n=st.integers(12, 60), n_splits=st.integers(2, 6), seed=st.integers(0, 2**31))
@settings(max_examples=20)
def test_ordered_rows_never_leak(n, n_splits, seed):
    """With ordered rows every training row comes before every test row."""
    dataset = from_arrays(np.arange(n, dtype=float)[:, None], np.arange(n) / 7, ordered=True)
    for train, test in make_splits(dataset, n_splits=n_splits, seed=seed):
        assert train.max() < test.min()


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_groups_never_leak(kind):
    """With groups no group is on both sides of a fold."""
    y = np.arange(60) % 2 if kind == "classification" else np.arange(60) / 7
    dataset = from_arrays(np.arange(60.0)[:, None], y, kind=kind, groups=np.arange(60) % 12)
    splits = make_splits(dataset, seed=0)
    assert 5 == len(splits)
    for train, test in splits:
        assert set() == set(dataset.groups[train]) & set(dataset.groups[test])


def test_own_splitter():
    """A splitter and a list of splits are taken as given."""
    dataset = _diabetes()
    splits = make_splits(dataset, seed=0, splitter=KFold(3))
    again = make_splits(dataset, seed=0, splitter=splits)
    assert [list(test) for _, test in splits] == [list(test) for _, test in again]


@pytest.mark.parametrize(
    ("y", "arguments", "n_splits", "words"),
    [
        (["a"] * 18 + ["b"] * 2, {}, 5, "The class 'b' of 'target' has 2 rows, fewer than the 5 folds"),
        (np.arange(20) / 7, {}, 1, "1 folds are too few"),
        (np.arange(20) / 7, {}, 20, "20 rows are too few"),
        (np.arange(20) / 7, {"groups": [0, 1] * 10}, 5, "2 groups are too few"),
    ],
)
def test_impossible_folds_are_refused(y, arguments, n_splits, words):
    """Folds that the rows, groups or classes do not give are refused."""
    dataset = from_arrays(np.arange(20.0)[:, None], y, **arguments)
    with pytest.raises(TaskError, match=words):
        make_splits(dataset, n_splits=n_splits, seed=0)


def test_report_sees_running_means_and_may_stop():
    """The report gets the mean after each fold, and what it raises passes through."""
    dataset, metric = _diabetes(), resolve_metric("mae", "regression")
    spec, seen = resolve_estimator("ridge", "regression"), []

    def report(step, mean):
        seen.append((step, mean))
        if step == 2:
            raise KeyError("enough")

    splits = make_splits(dataset, seed=0)
    values = evaluate(spec, {}, dataset, splits, metric, seed=0).fold_values
    with pytest.raises(KeyError, match="enough"):
        evaluate(spec, {}, dataset, splits, metric, seed=0, report=report)
    assert [(i, pytest.approx(np.mean(values[: i + 1]))) for i in range(3)] == seen


def test_non_finite_values_are_errors():
    """A metric that is not a finite number fails the evaluation with its fold."""
    dataset = _diabetes()
    metric = resolve_metric(lambda estimator, X, y: float("nan"), "regression", direction="minimize")
    with pytest.raises(FloatingPointError, match="nan in fold 0"):
        evaluate(resolve_estimator("ridge", "regression"), {}, dataset, make_splits(dataset, seed=0), metric, seed=0)


def test_errors_of_the_estimator_pass_through():
    """What the estimator raises for bad values is what the caller sees."""
    dataset = _diabetes()
    with pytest.raises(ValueError, match="alpha"):
        evaluate(
            resolve_estimator("ridge", "regression"),
            {"alpha": -1.0},
            dataset,
            make_splits(dataset, seed=0),
            resolve_metric("mae", "regression"),
            seed=0,
        )


def test_training_rows_are_sampled():
    """The training value is computed on at most 2,000 rows."""
    sizes = []
    dataset = from_arrays(np.arange(5000.0)[:, None] % 97, np.arange(5000) / 7)

    def counting(estimator, X, y):
        sizes.append(len(y))
        return 0.0

    metric = resolve_metric(counting, "regression", direction="minimize")
    evaluate(resolve_estimator("ridge", "regression"), {}, dataset, make_splits(dataset, seed=0), metric, seed=0)
    assert [1000, 2000] * 5 == sizes


def test_warnings_are_silent():
    """An estimator that does not converge is no noise, in fitting and in scoring."""
    X, y = load_iris(return_X_y=True)
    dataset = from_arrays(X, y)
    metric = resolve_metric(None, "classification", 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = fit(resolve_estimator(LogisticRegression(max_iter=1), "classification"), {}, dataset, seed=0)
        assert 0 < score_on(fitted, dataset, metric) <= 1


def test_evaluation_repeats_itself():
    """The same seed gives the same bits, another one other bits."""
    dataset, metric = _diabetes(), resolve_metric("mae", "regression")
    spec, splits = resolve_estimator("random_forest", "regression"), make_splits(dataset, n_splits=2, seed=0)
    values = [evaluate(spec, {"n_estimators": 8}, dataset, splits, metric, seed=seed).value for seed in (1, 1, 2)]
    assert values[0] == values[1] != values[2]
