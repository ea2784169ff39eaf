"""Facts about metrics."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.metrics import get_scorer, get_scorer_names, mean_absolute_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sllmbo.errors import TaskError
from sllmbo.tuner.metrics import _OTHER, metric_names, resolve_metric


@pytest.fixture(scope="module")
def binary():
    """A fitted classifier of two classes with its data."""
    X, y = load_breast_cancer(return_X_y=True)
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(X[::2], y[::2]), X[1::2], y[1::2]


@pytest.fixture(scope="module")
def regression():
    """A fitted regressor with its data."""
    X, y = load_diabetes(return_X_y=True)
    return LinearRegression().fit(X[::2], y[::2]), X[1::2], y[1::2]


@pytest.mark.filterwarnings("ignore")
def test_scorers_are_valued_as_scikit_learn_values_them(binary, regression):
    """Every scorer that suits the data has scikit-learn's value and is maximised."""
    for kind, (estimator, X, y) in (("classification", binary), ("regression", regression)):
        names = [name for name in metric_names(kind) if name in get_scorer_names()]
        for name in names:
            metric = resolve_metric(name, kind, 2)
            assert (get_scorer(name)(estimator, X, y), "maximize") == (metric.score(estimator, X, y), metric.direction)


def test_every_scorer_has_a_place():
    """Each of scikit-learn's scorers is for classes, for numbers, or left out on purpose."""
    listed = set(metric_names("classification")) | set(metric_names("regression")) | _OTHER
    assert set(get_scorer_names()) <= listed
    assert set(metric_names()) == listed - _OTHER


def test_plain_names_are_positive_and_minimised(regression):
    """The plain names of errors give the positive error."""
    estimator, X, y = regression
    metric = resolve_metric("MAE", "regression")
    assert ("mae", "minimize") == (metric.name, metric.direction)
    assert mean_absolute_error(y, estimator.predict(X)) == metric.score(estimator, X, y)


@pytest.mark.parametrize(
    ("plain", "scorer"), [("logloss", "neg_log_loss"), ("rmse", "neg_root_mean_squared_error"), ("auc", "roc_auc")]
)
def test_plain_names_agree_with_scorers(binary, regression, plain, scorer):
    """A plain name and its scorer differ in sign at most."""
    kind, (estimator, X, y) = ("regression", regression) if plain == "rmse" else ("classification", binary)
    sign = -1 if scorer.startswith("neg_") else 1
    value = resolve_metric(plain, kind, 2).score(estimator, X, y)
    assert pytest.approx(sign * get_scorer(scorer)(estimator, X, y), abs=1e-15) == value


@pytest.mark.parametrize("name", ["f1", "precision", "recall", "jaccard", "average_precision", "neg_brier_score"])
def test_positive_class_of_text_labels(binary, name):
    """With text labels the last class in sorted order is the positive one, and the value that of the labels 0 and 1."""
    _, X, y = binary
    text = np.array(["bad", "good"])[y]
    coded = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    spelled = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, text)
    metric = resolve_metric(name, "classification", 2)
    assert pytest.approx(metric.score(coded, X, y)) == metric.score(spelled, X, text)


def test_auc_of_more_classes():
    """With more than two classes auc is the weighted one-versus-rest area."""
    X, y = load_iris(return_X_y=True)
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    expected = get_scorer("roc_auc_ovr_weighted")(estimator, X, y)
    assert expected == resolve_metric("auc", "classification", 3).score(estimator, X, y)


def test_logloss_where_a_fold_lacks_a_class():
    """The log loss knows the classes that the test rows lack."""
    X, y = load_iris(return_X_y=True)
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    assert resolve_metric("logloss", "classification", 3).score(estimator, X[:100], y[:100]) > 0


def test_defaults():
    """Without a name the metric is the weighted F1 or the mean absolute error."""
    assert "f1_weighted" == resolve_metric(None, "classification", 2).name
    assert "mae" == resolve_metric(None, "regression").name


@pytest.mark.parametrize(
    ("name", "kind", "n_classes", "words"),
    [
        ("f1_wieghted", "classification", 2, "did you mean 'f1_weighted'.*--list"),
        ("zzz", "classification", 2, "'zzz' is unknown; `sllmbo tune --list`"),
        ("accuracy", "regression", 0, "not for regression; use mae"),
        ("r2", "classification", 2, "not for classification"),
        ("f1", "classification", 3, "has 3; use 'f1_weighted'"),
        ("adjusted_rand_score", "classification", 2, "unknown"),
    ],
)
def test_unsuitable_metrics_are_refused(name, kind, n_classes, words):
    """An unknown or unsuitable metric is refused with what to use."""
    with pytest.raises(TaskError, match=words):
        resolve_metric(name, kind, n_classes)


def test_metric_that_the_estimator_cannot_give(binary):
    """A metric of probabilities is refused for a classifier without them."""
    _, X, y = binary
    with pytest.raises(TaskError, match="'logloss' cannot be computed"):
        resolve_metric("logloss", "classification", 2).score(RidgeClassifier().fit(X, y), X, y)


def test_function_as_metric(regression):
    """A function is a metric once its direction is said."""

    def worst(estimator, X, y):
        return abs(estimator.predict(X) - y).max()

    metric = resolve_metric(worst, "regression", direction="minimize")
    assert ("worst", worst(*regression)) == (metric.name, metric.score(*regression))
    with pytest.raises(TaskError, match="say direction"):
        resolve_metric(worst, "regression")


def test_direction_of_a_name_is_fixed():
    """A direction that contradicts the name is refused."""
    with pytest.raises(TaskError, match="minimize, not to maximize"):
        resolve_metric("mae", "regression", direction="maximize")
