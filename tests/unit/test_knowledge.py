"""
The documented knowledge of estimators, checked against the installed libraries.
"""

import importlib
import inspect
import json
import warnings

import numpy as np
import pytest

from sllmbo.advisors.knowledge import KnownEstimator, find_estimator, known_estimators
from sllmbo.errors import TaskError
from sllmbo.space import Categorical, SearchSpace
from sllmbo.task import DataFacts

EACH = [(known, kind) for known in known_estimators() for kind in known.kinds]
FACTS = [
    DataFacts(kind=kind, n_rows=rows, n_features=features, n_classes=classes, minority_share=share)
    for kind, classes in (("classification", 3), ("regression", 0))
    for rows in (1, 50, 1_999, 7_000, 500_000)
    for features in (1, 12, 3_000)
    for share in ((0.0, 0.004, 0.3) if classes else (0.0,))
]

NUMERIC_MEANING_OF_DEFAULT = {
    # The library's default is no number, but means this one.
    ("random_forest", "max_samples"): (None, 1.0),
    ("extra_trees", "max_samples"): (None, 1.0),
    ("mlp", "hidden_layer_sizes"): ((100,), 100),
    ("mlp", "batch_size"): ("auto", 200),
}


def _class_of(known: KnownEstimator, kind: str) -> type:
    module, _, name = known.class_path(kind).rpartition(".")
    return getattr(importlib.import_module(module), name)


def _data(kind: str) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).normal(size=(120, 4))
    signal = X[:, 0] + X[:, 1] ** 2
    return X, (signal > 0.5).astype(int) if kind == "classification" else signal


def _library_defaults(known: KnownEstimator, kind: str) -> dict[str, object]:
    """The defaults in force: the constructor's, and for the two libraries that hide theirs, what a fit reports."""
    cls = _class_of(known, kind)
    X, y = _data(kind)
    if known.name == "xgboost":
        booster = cls(n_estimators=1).fit(X, y).get_booster()
        config = json.loads(booster.save_config())["learner"]["gradient_booster"]["tree_train_param"]
        reported = {name: float(value) for name, value in config.items() if name in known.space(kind)}
        return {**reported, "n_estimators": cls().get_num_boosting_rounds()}
    if known.name == "catboost":
        silent = {"verbose": False, "allow_writing_files": False}
        params = cls(iterations=1, l2_leaf_reg=3.0, **silent).fit(X, y).get_all_params()
        # A fit with all its trees tells how many there are by default.
        trees = cls(depth=1, **silent).fit(X, y).get_all_params()["iterations"]
        return {**params, "colsample_bylevel": params["rsm"], "iterations": trees}
    return cls().get_params()


@pytest.mark.parametrize(("known", "kind"), EACH, ids=lambda value: getattr(value, "name", value))
def test_space_parameters_are_constructor_parameters(known, kind):
    """Everything that is tuned or fixed is accepted by the class, and everything tuned is described."""
    accepted = inspect.signature(_class_of(known, kind)).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values())

    assert set() == set(known.space(kind)) - set(_class_of(known, kind)().get_params()) - set(accepted)
    assert open_ended or set(known.fixed) <= set(accepted)
    assert all(parameter.description.endswith(".") for parameter in known.space(kind).values())


@pytest.mark.parametrize(("known", "kind"), EACH, ids=lambda value: getattr(value, "name", value))
def test_defaults_are_the_librarys_own(known, kind):
    """Each default of a space is the library's default, or the number that it means."""
    real = _library_defaults(known, kind)

    for name, parameter in known.space(kind).items():
        given, meant = NUMERIC_MEANING_OF_DEFAULT.get((known.name, name), (real[name], real[name]))
        assert given == real[name], name
        numeric = isinstance(meant, float)
        assert (pytest.approx(meant, rel=1e-6) if numeric else meant) == parameter.default, name


@pytest.mark.parametrize(("known", "kind"), EACH, ids=lambda value: getattr(value, "name", value))
def test_default_with_fixed_predicts_as_the_library_does(known, kind):
    """The default configuration beside the fixed parameters fits and predicts as the bare class does."""
    cls = _class_of(known, kind)
    X, y = _data(kind)
    seed = {"random_state": 0} if "random_state" in inspect.signature(cls).parameters else {}
    few = {name: 20 for name in ("iterations", "max_iter") if name in known.space(kind) and known.name == "catboost"}
    quiet = {name: value for name, value in known.fixed.items() if name != "subsample_freq"}
    # CatBoost chooses its learning rate by itself unless a penalty is given; see the parameter's description.
    bare = {"l2_leaf_reg": 3.0} if known.name == "catboost" else {}

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # small data: no convergence, clipped batches
        ours = cls(**{**known.space(kind).default_params(), **known.fixed, **seed, **few}).fit(X, y).predict(X)
        theirs = cls(**bare, **quiet, **seed, **few).fit(X, y).predict(X)

    assert np.allclose(theirs, ours)


@pytest.mark.parametrize(("known", "kind"), EACH, ids=lambda value: getattr(value, "name", value))
def test_starting_points_lie_in_the_space(known, kind):
    """Every tuned default and derived starting point is a configuration of the space that differs from the default."""
    space = known.space(kind)

    for facts in [facts for facts in FACTS if facts.kind == kind]:
        for point in known.starting_points(kind, facts):
            base = {name: value for name, value in space.default_params().items() if name not in point.params}
            params, repairs = space.repair({**base, **point.params})
            assert all(repair.rule.startswith(("missing", "dropped: exists only")) for repair in repairs)
            assert space.contains(params)
            assert params != space.default_params()
            assert point.rationale.endswith(".")
            assert point.source


@pytest.mark.parametrize(
    ("rows", "ordered", "high", "limit"),
    [(400, False, 100, 200), (120, False, 60, 60), (120, True, 20, 20), (10, True, 5, 5)],
)
def test_neighbours_stay_within_the_rows_of_a_fold(rows, ordered, high, limit):
    """Neither the documented range nor a widened one asks for more neighbours than a fold has rows."""
    facts = DataFacts(kind="regression", n_rows=rows, n_features=3, ordered=ordered)
    space = find_estimator("knn").space("regression", facts)
    assert (high, limit) == (space["n_neighbors"].high, space["n_neighbors"].limit)
    assert space == SearchSpace.from_json(space.to_json())
    assert 5 == space["n_neighbors"].default


def test_number_of_parameters_and_kinds():
    """Spaces stay small, and each kind has a class."""
    for known in known_estimators():
        assert tuple(known.class_paths) == known.kinds
        assert known.source
        for kind in known.kinds:
            assert 3 <= len(known.space(kind)) <= 9


def test_conditions_of_lightgbm_hold_in_the_library():
    """Without subsample_freq, LightGBM's subsample changes nothing; beside the fixed parameters it does."""
    known = find_estimator("lightgbm")
    cls = _class_of(known, "regression")
    X, y = _data("regression")
    plain = cls(verbosity=-1, random_state=0).fit(X, y).predict(X)

    assert np.array_equal(plain, cls(subsample=0.5, verbosity=-1, random_state=0).fit(X, y).predict(X))
    assert not np.allclose(plain, cls(subsample=0.5, **known.fixed, random_state=0).fit(X, y).predict(X))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("lightgbm", "lightgbm"),
        ("lightgbm.LGBMClassifier", "lightgbm"),
        ("LightGBM on census income", "lightgbm"),
        ("tune an LGBM, please", "lightgbm"),
        ("xgboost.XGBRegressor", "xgboost"),
        ("hist_gradient_boosting", "hist_gradient_boosting"),
        ("sklearn.ensemble.HistGradientBoostingRegressor", "hist_gradient_boosting"),
        ("Random Forest for churn.csv", "random_forest"),
        ("sklearn.svm.SVC", "svm"),
        ("sklearn.svm.LinearSVC", None),
        ("sklearn.linear_model.RidgeCV", None),
        ("ridge regression", "ridge"),
        ("logistic regression, elastic", "logistic_regression"),
        ("k-NN on digits", "knn"),
        ("a bridge over water", None),
        ("", None),
        ("....", None),
    ],
)
def test_find_estimator(text, name):
    """An estimator is found by name, by the last part of an import path, and as a whole word of a description."""
    found = find_estimator(text)

    assert name == (None if found is None else found.name)


def test_every_name_and_class_path_is_found():
    """Each entry is found by its name, each of its aliases and its classes."""
    for known in known_estimators():
        for text in (known.name, *known.aliases, *known.class_paths.values()):
            assert known is find_estimator(text), text


def test_a_kind_that_is_not_solved_is_refused():
    """Asking elastic net for classification raises and says what it does."""
    elastic_net = find_estimator("elastic_net")

    with pytest.raises(TaskError, match="'elastic_net' does regression, not 'classification'"):
        elastic_net.space("classification")
    with pytest.raises(TaskError, match="choose another estimator"):
        elastic_net.class_path("classification")


def test_categories_that_mix_types_keep_their_default():
    """The forests' categorical max_features holds the library's own word as the default."""
    parameter = find_estimator("random_forest").space("classification")["max_features"]

    assert isinstance(parameter, Categorical)
    assert parameter.default == "sqrt"
