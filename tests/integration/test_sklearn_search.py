"""
`LLMSearchCV` is a scikit-learn search: its checks, its attributes, its pipelines, and what is ours beside them.
"""

from __future__ import annotations

import pickle

import numpy as np
import optuna
import pandas as pd
import pytest
from scipy.stats import loguniform, norm, randint, uniform
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris, make_classification
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, PredefinedSplit, RandomizedSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from sllmbo import Budget, Float, Int, SearchSpace
from sllmbo.errors import ConfigError, SpaceError
from sllmbo.integrations.sklearn import LLMSearchCV
from sllmbo.samplers import chosen
from sllmbo.testing import ScriptedAdvisor, always_raising

X, Y = load_iris(return_X_y=True)
C = {"C": loguniform(1e-2, 1e2)}
WITHOUT_ADDRESS = {"C": Float(1e-2, 1e2, log=True)}  # its text is in the ids of tests, which must not change

SEARCHES = [
    LLMSearchCV(LogisticRegression(), WITHOUT_ADDRESS, n_trials=2, cv=2, llm="offline", random_state=0),
    LLMSearchCV(Ridge(), n_trials=2, cv=2, llm="offline", random_state=0),
]


def expected_failures(search):
    """The checks that scikit-learn's own searches fail, for the same reasons (sklearn.utils._test_common)."""
    if not isinstance(search.estimator, Ridge):
        return {}
    return {
        "check_supervised_y_2d": "DataConversionWarning not caught",  # it takes several targets
        "check_requires_y_none": "Doesn't fail gracefully",
    }


@pytest.mark.filterwarnings("ignore")  # the checks fit nonsense on purpose
@parametrize_with_checks(SEARCHES, expected_failed_checks=expected_failures)
def test_scikit_learns_checks_pass(estimator, check):
    """What scikit-learn asks of every estimator, and of its own searches."""
    check(estimator)


def searched(estimator=None, given=None, **arguments):
    options = {"n_trials": 6, "cv": 3, "llm": "offline", "random_state": 0} | arguments
    return LLMSearchCV(estimator if estimator is not None else SVC(), given, **options).fit(X, Y)


def test_it_has_what_other_searches_have():
    """The keys of cv_results_ and the attributes are those of a RandomizedSearchCV, and some of ours."""
    ours = searched(given={"C": loguniform(1e-2, 1e2)}, return_train_score=True)
    theirs = RandomizedSearchCV(SVC(), C, n_iter=2, cv=3, return_train_score=True, random_state=0).fit(X, Y)
    assert set(theirs.cv_results_) | {"source", "reason"} == set(ours.cv_results_)
    assert set(dir(theirs)) - set(dir(ours)) <= {"n_iter"}
    assert {"study_", "usage_", "reasons_", "space_"} <= set(dir(ours))
    assert len(ours.reasons_) == len(ours.study_.trials) == len(ours.cv_results_["params"]) == 6


def test_the_first_candidate_is_the_estimator_as_given():
    """Its score is that of a plain cross-validation, and what is best is no worse."""
    given = SVC(C=3.0)
    search = searched(given, {"C": loguniform(1e-2, 1e2)})
    assert search.cv_results_["source"][0] == "default"
    assert search.cv_results_["params"][0] == {"C": 3.0}
    assert search.cv_results_["mean_test_score"][0] == pytest.approx(cross_val_score(given, X, Y, cv=3).mean())
    assert search.best_score_ == max(search.cv_results_["mean_test_score"])
    assert search.best_estimator_.get_params()["C"] == search.best_params_["C"]


def test_the_study_has_the_scores_and_reasons():
    """Each candidate is a trial of an ordinary Optuna study, with the same value, source and reason."""
    search = searched()
    assert [t.value for t in search.study_.trials] == pytest.approx(list(search.cv_results_["mean_test_score"]))
    assert [t.user_attrs["sllmbo:source"] for t in search.study_.trials] == list(search.cv_results_["source"])
    assert search.study_.direction == optuna.study.StudyDirection.MAXIMIZE
    assert "rules" in search.cv_results_["source"]


def test_fit_starts_anew_and_the_same_seed_gives_the_same():
    """A second fit has a study of its own; seed and data decide, also after clone and pickle."""
    search = searched(given=C)
    first = search.cv_results_["params"]
    assert search.fit(X, Y).cv_results_["params"] == first == clone(search).fit(X, Y).cv_results_["params"]
    assert len(search.study_.trials) == 6
    revived = pickle.loads(pickle.dumps(search))
    assert revived.best_params_ == search.best_params_
    assert np.array_equal(revived.predict(X), search.predict(X))


def test_pipelines_are_searched_by_their_last_step():
    """Without a space, names are those of the last step, with its prefix; with one, any step's."""
    search = searched(make_pipeline(StandardScaler(), SVC()))
    assert all(name.startswith("svc__") for name in search.best_params_)
    steps = {"standardscaler": [StandardScaler(), MinMaxScaler(), "passthrough"], "svc__C": uniform(0.1, 9.9)}
    search = searched(make_pipeline(StandardScaler(), SVC()), steps, n_trials=10)
    kinds = {type(params["standardscaler"]).__name__ for params in search.cv_results_["params"]}
    assert kinds <= {"StandardScaler", "MinMaxScaler", "str"}
    assert len(kinds) > 1
    assert isinstance(search.cv_results_["params"][0]["standardscaler"], StandardScaler)


def test_a_transformed_target_is_searched_by_its_regressor():
    """The prefix of what is inside is added."""
    data, target = load_diabetes(return_X_y=True)
    search = LLMSearchCV(TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1), n_trials=3, cv=2)
    assert "regressor__alpha" in search.fit(data, target).best_params_


def test_every_kind_of_distribution_is_understood():
    """Ours, Optuna's, scipy's and lists; values have the types that they should."""
    tree = {
        "max_depth": [2, 3, None],
        "min_samples_leaf": randint(1, 10),
        "ccp_alpha": optuna.distributions.FloatDistribution(0.0, 0.1),
        "min_impurity_decrease": Float(0.0, 0.01),
        "max_leaf_nodes": Int(2, 50),
    }
    search = searched(DecisionTreeClassifier(random_state=0), tree, n_trials=12)
    for params in search.cv_results_["params"]:
        assert params["max_depth"] in (2, 3, None)
        assert type(params["min_samples_leaf"]) is int
        assert 1 <= params["min_samples_leaf"] < 10
    space = SearchSpace({"max_depth": Int(1, 5, default=2)})
    assert searched(DecisionTreeClassifier(), space).cv_results_["params"][0] == {"max_depth": 2}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"C": norm()}, "has no bounds"),
        ({"C": "log"}, "cannot be searched"),
        ({"C": []}, "cannot be"),
        ({}, "give a parameter"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_a_sentence(given, words):
    """A distribution without bounds, a text, and nothing."""
    with pytest.raises(SpaceError, match=words):
        searched(given=given)


def test_several_metrics_are_scored_and_one_is_searched():
    """With refit as a name; without one, and without refit, there is nothing to search by."""
    search = searched(
        DecisionTreeClassifier(random_state=0),
        {"max_depth": [2, 3, None]},
        scoring=["accuracy", "neg_log_loss"],
        refit="accuracy",
        n_trials=3,
    )
    assert [t.value for t in search.study_.trials] == pytest.approx(list(search.cv_results_["mean_test_accuracy"]))
    with pytest.raises(ValueError, match="refit=False must be the name"):
        searched(given=C, scoring=["accuracy", "f1_macro"], refit=False)


def test_candidates_that_fail_are_told_as_failed():
    """The trial says failed and why, and the search goes on; where all fail, or errors are to be raised, it ends."""
    search = searched(given={"C": [1.0, -1.0, 2.0, -2.0]}, n_trials=4)
    states = {t.params["C"]: t.state.name for t in search.study_.trials}
    assert states[1.0] == "COMPLETE"
    assert states.get(-1.0, "FAIL") == states.get(-2.0, "FAIL") == "FAIL"
    assert "FAIL" in states.values()
    assert len(search.reasons_) == len(search.cv_results_["params"]) == list(states.values()).count("COMPLETE")
    reasons = [t.user_attrs["sllmbo:failure"] for t in search.study_.trials if t.state.name == "FAIL"]
    assert all("'C' parameter of SVC must be a float" in reason for reason in reasons)
    with pytest.raises(ValueError, match="fits failed"):
        searched(given={"C": [-1.0, -2.0]}, n_trials=2)
    with pytest.raises(ValueError, match="C"):
        searched(given={"C": [-1.0, -2.0]}, error_score="raise")


@pytest.mark.parametrize("cv", [KFold(3, shuffle=True), KFold(3, shuffle=True, random_state=np.random.RandomState(0))])
def test_all_candidates_are_judged_on_the_same_folds(cv):
    """Also where the splitter shuffles anew each time: one configuration has one score."""
    search = searched(DummyClassifier(strategy="most_frequent"), {"constant": [0, 1, 2]}, cv=cv, n_trials=3)
    assert len(set(search.cv_results_["mean_test_score"])) == 1


def test_a_seed_of_numpys_is_kept():
    """The folds are those of the splitter as it was given."""
    searches = [searched(cv=KFold(3, shuffle=True, random_state=seed), n_trials=2) for seed in (3, np.int64(3))]
    one, other = (search.cv_results_["split0_test_score"] for search in searches)
    assert list(one) == list(other)


def test_repeats_are_rows_on_other_folds_and_the_best_is_chosen_by_all_scores():
    """A repeat is told as one; best score, index and parameters are those of the chosen configuration."""
    search = searched(
        DecisionTreeClassifier(random_state=0), {"min_samples_leaf": randint(1, 60)}, n_trials=20, repeats=True
    )
    again = [row for row, source in enumerate(search.cv_results_["source"]) if source == "repeat"]
    assert again
    assert min(again) >= 12
    params, scores = search.cv_results_["params"], search.cv_results_["mean_test_score"]
    first = params.index(params[again[0]])
    assert scores[first] != scores[again[0]]
    assert search.cv_results_["source"][search.best_index_] != "repeat"
    assert params[search.best_index_] == search.best_params_ == chosen(search.study_).params
    low, high = search.best_interval_
    assert low < search.best_score_ < high
    assert search.best_estimator_.min_samples_leaf == search.best_params_["min_samples_leaf"]


@pytest.mark.parametrize("cv", [TimeSeriesSplit(3), PredefinedSplit(np.arange(len(Y)) % 3)])
def test_repeats_where_folds_cannot_be_drawn_anew_are_refused(cv):
    """The error names the splitter and the remedy, before a study is made; without repeats the splitter is fine."""
    tree, space, storage = DecisionTreeClassifier(), {"max_depth": randint(1, 5)}, optuna.storages.InMemoryStorage()
    with pytest.raises(ConfigError, match="repeats=True needs folds"):
        searched(tree, space, cv=cv, n_trials=2, repeats=True, storage=storage)
    assert not storage.get_all_studies()
    assert searched(tree, space, cv=cv, n_trials=2).best_interval_ is None


def test_a_dead_advisor_and_a_spent_budget_end_nothing():
    """TPE serves instead, and the search has all its candidates."""
    assert len(searched(given=C, llm=always_raising()).study_.trials) == 6
    advisor = ScriptedAdvisor(lambda request: request.space.sample(np.random.default_rng(request.turn)))
    assert len(searched(given=C, llm=advisor, budget=Budget(calls=1)).study_.trials) == 6


def test_patience_and_timeout_end_the_search():
    """After so many candidates without improvement, and when the time is over; one candidate is always judged."""
    dull = searched(DummyClassifier(), {"random_state": randint(0, 100)}, n_trials=20, patience=3)
    assert len(dull.study_.trials) == 4
    assert len(searched(n_trials=20, timeout=0.0).study_.trials) == 1


@pytest.mark.filterwarnings("error")
def test_a_finite_space_ends_the_search():
    """Two configurations are two candidates, and nobody is asked for a third."""
    search = searched(given={"C": [0.1, 1.0]}, n_trials=20)
    assert [{"C": 1.0}, {"C": 0.1}] == search.cv_results_["params"]


def test_tables_and_parallel_folds():
    """DataFrames pass through, and n_jobs gives the same scores."""
    frame, target = make_classification(80, 5, random_state=0)
    frame = pd.DataFrame(frame, columns=list("abcde"))
    scores = [
        LLMSearchCV(SVC(), n_trials=4, cv=3, llm="offline", random_state=0, n_jobs=n).fit(frame, target).cv_results_
        for n in (1, 2)
    ]
    assert list(scores[0]["mean_test_score"]) == list(scores[1]["mean_test_score"])


def test_a_stored_study_is_an_ordinary_one(tmp_path):
    """With a storage the trials can be looked at with Optuna's own tools."""
    url = f"sqlite:///{tmp_path / 's.db'}"
    search = searched(storage=url, n_trials=3)
    assert len(optuna.load_study(study_name=search.study_.study_name, storage=url).trials) == 3
