"""Facts about estimators made ready for raw rows."""

import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import AdaBoostClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from sllmbo import Task, tune
from sllmbo.advisors.knowledge import known_estimators
from sllmbo.advisors.rules import RuleAdvisor
from sllmbo.errors import MissingExtra, TaskError
from sllmbo.tuner.data import from_arrays, from_frame
from sllmbo.tuner.estimators import estimator_names, resolve_estimator
from sllmbo.tuner.evaluation import fit
from sllmbo.tuner.own import keep_own, set_by_user

NAMES = [known.name for known in known_estimators()]
FEW = {
    "lightgbm": {"n_estimators": 5},
    "xgboost": {"n_estimators": 5},
    "catboost": {"iterations": 5},
    "random_forest": {"n_estimators": 5},
    "extra_trees": {"n_estimators": 5},
    "hist_gradient_boosting": {"max_iter": 5},
    "mlp": {"max_iter": 5},
}


def _frame(n=90):
    """Text with missing values, numbers with missing values, booleans, dates, and names that libraries refuse."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            'odd {"name"}:[1],<2>': rng.normal(size=n),
            "odd {'name'}:[1],<2>": np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n)),
            "farbe, größe": rng.choice(["red", "green", None], size=n),
            "flag": rng.integers(0, 2, n).astype(bool),
            "day": pd.date_range("2024-01-01", periods=n),
        }
    )


def _dataset(kind):
    frame = _frame()
    target = ["low", "mid", "top"] * 30 if kind == "classification" else np.arange(90.0) % 11
    return from_frame(frame.assign(y=target), "y", kind=kind)


CASES = [(known.name, kind) for known in known_estimators() for kind in known.kinds]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_name_takes_raw_rows(name, kind, tmp_path, monkeypatch, capfd):
    """Every known estimator learns mixed columns, predicts unknown levels, stays quiet, repeats itself and clones."""
    monkeypatch.chdir(tmp_path)
    dataset, spec = _dataset(kind), resolve_estimator(name, kind)
    fitted, again = (fit(spec, FEW.get(name, {}), dataset, seed=3) for _ in range(2))
    new = dataset.X.iloc[:6].assign(**{"farbe, größe": ["purple", None, "red", "green", "", "red"]})
    predicted = fitted.predict(new)
    assert (6,) == np.shape(predicted)
    assert list(fitted.predict(dataset.X)) == list(again.predict(dataset.X))
    if kind == "classification":
        assert is_classifier(fitted)
        assert ["low", "mid", "top"] == list(fitted.classes_)
        assert set(predicted) <= {"low", "mid", "top"}
        if hasattr(fitted, "predict_proba"):
            best = fitted.classes_[fitted.predict_proba(new).argmax(axis=1)]
            assert list(predicted) == list(best) or name == "svm"
    clone(fitted)
    assert ("", "", []) == (*capfd.readouterr(), list(tmp_path.iterdir()))


@pytest.mark.parametrize("labels", [[0, 5], [False, True], ["b", "a"]])
@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "catboost", "logistic_regression"])
def test_labels_of_any_type(name, labels):
    """Predictions speak the labels that were given: integers, booleans or text."""
    rng = np.random.default_rng(0)
    y = np.array(labels)[rng.integers(0, 2, 60)]
    fitted = fit(resolve_estimator(name, "classification"), FEW.get(name, {}), from_arrays(rng.random((60, 2)), y), 0)
    assert sorted(labels) == list(fitted.classes_)
    assert set(fitted.predict(rng.random((50, 2)))) <= set(labels)


def test_fitted_estimators_load_in_a_new_process(tmp_path):
    """A fitted estimator that was dumped predicts the same in another process."""
    dataset = _dataset("classification")
    dataset.X.to_pickle(tmp_path / "rows.pkl")
    expected = []
    for name in ("lightgbm", "xgboost", "catboost", "svm"):
        fitted = fit(resolve_estimator(name, "classification"), FEW.get(name, {}), dataset, seed=0)
        joblib.dump(fitted, tmp_path / f"{name}.joblib")
        expected += list(fitted.predict(dataset.X))
    code = (
        "import joblib, pandas; rows = pandas.read_pickle('rows.pkl');"
        "names = ('lightgbm', 'xgboost', 'catboost', 'svm');"
        "print(*[label for name in names for label in joblib.load(f'{name}.joblib').predict(rows)])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert expected == run.stdout.split()


def test_paths_and_classes():
    """An import path in both spellings and a class mean the same estimator."""
    path = "sklearn.ensemble.AdaBoostClassifier"
    specs = [
        resolve_estimator(estimator, "classification")
        for estimator in (path, "sklearn.ensemble:AdaBoostClassifier", AdaBoostClassifier)
    ]
    assert {"AdaBoostClassifier"} == {spec.name for spec in specs}
    assert (path, path) == tuple(spec.import_path for spec in specs[:2])
    assert set(fit(specs[0], {"n_estimators": 2}, _dataset("classification"), 0).classes_) == {"low", "mid", "top"}


def test_path_of_a_known_class_is_known():
    """The import path of a class that the knowledge base has gets its name."""
    assert "lightgbm" == resolve_estimator("lightgbm.LGBMRegressor", "regression").name


def test_instance_gets_plain_rows_as_they_are():
    """An instance is fitted on numeric rows without preprocessing and keeps its own parameters."""
    X, y = np.random.default_rng(0).random((40, 3)), np.arange(40.0)
    fitted = fit(resolve_estimator(Ridge(alpha=7.0), "regression"), {"fit_intercept": False}, from_arrays(X, y), 0)
    expected = Ridge(alpha=7.0, fit_intercept=False).fit(X, y).coef_
    assert Ridge is type(fitted)
    assert pytest.approx(expected) == fitted.coef_


def test_instance_is_prepared_where_it_must_be():
    """An instance that cannot take text is fitted behind the generic preprocessing, with its own parameters."""
    spec = resolve_estimator(RandomForestRegressor(n_estimators=3, random_state=9), "regression")
    fitted = fit(spec, {"max_depth": 2}, _dataset("regression"), seed=1)
    inner = fitted[-1]
    assert (3, 2, 9) == (inner.n_estimators, inner.max_depth, inner.random_state)


def test_pipeline_is_left_alone():
    """A pipeline gets the raw rows, and its nested parameters can be set."""
    pipeline = make_pipeline(SimpleImputer(), LogisticRegression(C=3.0))
    spec = resolve_estimator(pipeline, "classification")
    dataset = from_arrays(np.random.default_rng(0).random((30, 2)), [0, 1] * 15)
    fitted = fit(spec, {"logisticregression__C": 0.5}, dataset, seed=0)
    assert ["simpleimputer", "logisticregression"] == list(fitted.named_steps)
    assert (0.5, 3.0) == (fitted[-1].C, spec.parameters()["logisticregression__C"])
    assert "steps" not in spec.parameters()


def test_parameters_with_defaults():
    """The parameters are the real ones, with their defaults."""
    assert 31 == resolve_estimator("lightgbm", "regression").parameters()["num_leaves"]
    assert "l2_leaf_reg" in resolve_estimator("catboost", "regression").parameters()


@pytest.mark.parametrize("name", NAMES)
def test_known_spaces_fit_the_estimators(name):
    """Every parameter of a known space, and every fixed one, exists."""
    known = next(known for known in known_estimators() if known.name == name)
    for kind in known.kinds:
        assert {*known.space(kind), *known.fixed} <= set(resolve_estimator(name, kind).parameters())


def test_fixed_parameters_yield_to_own_ones():
    """What the knowledge base fixes is set, except where an instance says otherwise."""
    from lightgbm import LGBMRegressor

    dataset = from_arrays(np.random.default_rng(0).random((40, 2)), np.arange(40.0))
    for own, expected in ((LGBMRegressor(), 1), (LGBMRegressor(subsample_freq=4), 4)):
        built = resolve_estimator(own, "regression").build({"subsample": 0.5}, dataset, 0)
        assert expected == built.get_params()["subsample_freq"]


def test_catboost_synonyms():
    """A tuned parameter replaces the instance's value under its other name."""
    from catboost import CatBoostRegressor

    spec = resolve_estimator(CatBoostRegressor(n_estimators=500, silent=True), "regression")
    built = spec.build({"iterations": 5}, from_arrays(np.random.default_rng(0).random((40, 2)), np.arange(40.0)), 0)
    params = built.get_params()
    assert (5, False) == (params["iterations"], "n_estimators" in params)


@pytest.mark.parametrize(
    ("estimator", "kind", "words"),
    [
        ("lightgmb", "regression", "did you mean 'lightgbm'"),
        ("logistic_regression", "regression", "does classification"),
        ("elastic_net", "classification", "does regression"),
        ("sklearn.ensemble.NoSuch", "classification", "cannot be imported"),
        ("no_such_package.Class", "classification", "cannot be imported"),
        ("sklearn.linear_model.Ridge", "classification", "does regression and the data is for classification"),
        ("sklearn.ensemble.VotingClassifier", "classification", "give an instance"),
        ("sklearn.preprocessing.StandardScaler", "classification", "is no estimator"),
        (42, "classification", "is no estimator"),
    ],
)
def test_unusable_estimators_are_refused(estimator, kind, words):
    """An estimator that is unknown, none, or for other data is refused with the reason."""
    with pytest.raises(TaskError, match=words):
        resolve_estimator(estimator, kind)


def test_unknown_parameter_is_refused():
    """A parameter that the estimator does not have is refused with the close ones."""
    dataset = from_arrays(np.random.default_rng(0).random((40, 2)), np.arange(40.0))
    with pytest.raises(TaskError, match="no parameter 'num_leafs'; did you mean 'num_leaves'"):
        resolve_estimator("lightgbm", "regression").build({"num_leafs": 3}, dataset, 0)


def test_missing_library_names_the_extra(monkeypatch):
    """Where the library of a name is not installed, the extra that brings it is named."""
    monkeypatch.setitem(sys.modules, "catboost", None)
    with pytest.raises(MissingExtra, match=r"sllmbo\[boosting\]"):
        resolve_estimator("catboost", "regression")


def test_names_are_listed():
    """The list has every name, its kinds, and whether it can be used."""
    listed = {entry.name: entry for entry in estimator_names()}
    assert set(NAMES) == set(listed)
    assert (("regression",), True, "") == (
        listed["elastic_net"].kinds,
        listed["elastic_net"].available,
        listed["elastic_net"].install,
    )
    assert "boosting" in listed["xgboost"].install


def test_many_levels():
    """More levels than bins are no obstacle for histogram gradient boosting."""
    frame = pd.DataFrame({"city": [f"c{i % 400}" for i in range(1200)], "x": np.arange(1200.0) % 7})
    dataset = from_frame(frame.assign(y=np.arange(1200.0) % 13 / 3), "y")
    fitted = fit(resolve_estimator("hist_gradient_boosting", "regression"), {"max_iter": 3}, dataset, 0)
    assert 1200 == len(fitted.predict(dataset.X))


# What an instance sets itself.


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("name", NAMES)
def test_a_name_sets_nothing_itself(name, kind):
    """The documented space of an estimator by name is tuned as it is."""
    try:
        spec = resolve_estimator(name, kind)
    except (MissingExtra, TaskError):
        pytest.skip(f"{name} does no {kind}, or is not installed.")
    task = Task(description=kind, estimator=name, estimator_params=spec.parameters())
    space = RuleAdvisor().design_space(task).space
    assert space == spec.adapted(space) == keep_own(space, set_by_user(spec.prototype))


@pytest.mark.parametrize(
    ("estimator", "first", "kept"),
    [
        (RandomForestClassifier(n_estimators=900), {"n_estimators": 900}, {}),
        (RandomForestClassifier(max_features=None), {"max_features": None}, {}),
        (LogisticRegression(C=1e5, class_weight={0: 1, 1: 20}), {"C": 1e5}, {"class_weight": {0: 1, 1: 20}}),
        (SVC(gamma="auto"), {"gamma": "auto", "C": 1.0}, {}),
        (MLPClassifier(hidden_layer_sizes=(20,), max_iter=9), {"hidden_layer_sizes": 20}, {"max_iter": 9}),
        (MLPClassifier(hidden_layer_sizes=(8, 4), max_iter=9), {}, {"hidden_layer_sizes": (8, 4)}),
    ],
)
def test_the_search_begins_with_what_an_instance_sets(estimator, first, kept):
    """Its own values are the default configuration; what no range or choice can hold is not tuned, and told."""
    X, y = load_breast_cancer(return_X_y=True)
    result = tune(estimator, X[:120], y[:120], n_trials=1, cv=2, llm="offline", seed=0)
    (trial,) = result.trials
    assert "default" == trial["source"]
    assert first.items() <= trial["params"].items()
    own = {name.rpartition("__")[2]: value for name, value in result.estimator.get_params().items()}
    for name, value in kept.items():
        assert own[name] == value
        assert name not in trial["params"] or trial["params"][name] == value
