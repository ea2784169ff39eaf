"""
Several estimators in one study: who is on the list, where the trials go, and what comes out.
"""

from __future__ import annotations

import json
from typing import Any

import joblib
import numpy as np
import optuna
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import VotingRegressor
from sklearn.tree import DecisionTreeClassifier

import sllmbo
from sllmbo import Categorical, Float, Int, SearchSpace, Task
from sllmbo.advisors import AdviceRequest
from sllmbo.advisors.knowledge import joint_space, known_estimators
from sllmbo.advisors.knowledge.shortlist import MOST_ROWS, shortlist
from sllmbo.advisors.llm import LLMAdvisor
from sllmbo.advisors.rules import RuleAdvisor
from sllmbo.advisors.rules.branched import alive
from sllmbo.errors import ConfigError, TaskError, Unavailable
from sllmbo.history import History, Observation
from sllmbo.prompts import render_suggestions, shown, suggestions_schema
from sllmbo.prompts.words import tokens
from sllmbo.space import When
from sllmbo.space.branches import ROOT, branch, branches, inside, joined, outside
from sllmbo.task import DataFacts
from sllmbo.testing import chat_server
from sllmbo.testing.chat_server import ChatServer
from sllmbo.tuner.data import from_arrays
from sllmbo.tuner.ensemble import best_distinct, select_ensemble
from sllmbo.tuner.estimators import resolve_estimator
from sllmbo.tuner.evaluation import evaluate, fit, make_splits
from sllmbo.tuner.metrics import resolve_metric
from sllmbo.tuner.retuning import retune
from sllmbo.tuner.sampling import sample_rows
from sllmbo.tuner.several import resolve_several

optuna.logging.set_verbosity(optuna.logging.WARNING)

SVM = SearchSpace(
    {
        "kernel": Categorical(["rbf", "poly"], default="rbf"),
        "degree": Int(2, 5, default=3, condition=When("kernel", ["poly"])),
    }
)
SPACE = joined({"ridge": SearchSpace({"alpha": Float(0.1, 10, log=True, default=1.0)}), "svm": SVM})
FACTS = DataFacts(kind="classification", n_rows=1_500, n_features=20, n_numeric=20, n_classes=2, minority_share=0.5)
ALL = tuple(known.name for known in known_estimators() if "classification" in known.kinds)
FAST = "auto:logistic_regression,ridge,knn"


def task(**arguments: Any) -> Task:
    return Task(**{"estimator": "auto", "candidates": ALL, "data": FACTS, "n_trials": 50, **arguments})


@pytest.fixture(scope="module")
def diabetes():
    return load_diabetes(return_X_y=True, as_frame=True)


@pytest.fixture(scope="module")
def cancer():
    return load_breast_cancer(return_X_y=True, as_frame=True)


# Spaces of several estimators.


def test_a_branch_is_what_was_joined() -> None:
    """Each estimator's space comes back from the joint one, its own conditions included."""
    assert ("ridge", "svm") == branches(SPACE)
    assert SVM == branch(SPACE, "svm")
    assert {"ridge.alpha"} == set(SPACE) - {ROOT, "svm.kernel", "svm.degree"}


@pytest.mark.parametrize("space", [SVM, SearchSpace({"estimator": Categorical(["a"]), "b.c": Float(0, 1)})])
def test_other_spaces_have_no_branches(space) -> None:
    """A categorical parameter alone, or parameters of other names, make no space of several estimators."""
    assert () == branches(space)


def test_parameters_exist_only_with_their_estimator() -> None:
    """A configuration has the parameters of its estimator, and no other ones."""
    params, _ = SPACE.repair({ROOT: "svm", "svm.kernel": "poly", "ridge.alpha": 5.0})
    assert {ROOT: "svm", "svm.kernel": "poly", "svm.degree": 3} == params
    assert params == outside(inside(params, "svm"), "svm")


# Who is on the list.


@pytest.mark.parametrize(
    ("facts", "first", "among"),
    [
        (FACTS, "lightgbm", "extra_trees"),
        (FACTS, "lightgbm", "svm"),
        (DataFacts(kind="classification", n_rows=5_000, n_features=9, n_categorical=6), "lightgbm", "catboost"),
        (DataFacts(kind="classification", n_rows=90, n_features=40, n_numeric=40), "lightgbm", "logistic_regression"),
        (DataFacts(kind="classification", n_rows=9_000, n_features=9, n_numeric=9), "lightgbm", "mlp"),
    ],
)
def test_the_rules_choose_by_the_data(facts, first, among) -> None:
    """Boosted trees are on every list; the others follow the rows, the features and the categories."""
    chosen = dict(shortlist(task(data=facts)))
    assert first == next(iter(chosen))
    assert among in chosen
    assert all(chosen.values())
    assert "hist_gradient_boosting" not in chosen


@pytest.mark.parametrize(("n_trials", "most"), [(None, 4), (100, 4), (15, 3), (12, 2), (3, 2)])
def test_few_trials_have_a_short_list(n_trials, most) -> None:
    """There are at most four estimators, and one for each five trials, but two."""
    assert most == len(shortlist(task(n_trials=n_trials)))


def test_too_slow_estimators_are_left_out_and_named() -> None:
    """A million rows leave no kernel, network or forest, and the notes give rows and limit."""
    spec = resolve_several("auto", "classification", 1_000_000)
    assert not MOST_ROWS.keys() & spec.among.keys()
    assert "lightgbm" in spec.among
    (said,) = (note for note in spec.left_out if "'svm'" in note)
    assert "1000000 rows are too many" in said
    assert "10000" in said


def test_a_missing_package_leaves_its_estimator_out(monkeypatch) -> None:
    """What is not installed is no candidate; the note tells how to install it."""
    monkeypatch.setattr("sllmbo.tuner.estimators.find_spec", lambda name: None if name == "xgboost" else object())
    spec = resolve_several("auto", "regression", 100)
    assert "xgboost" not in spec.among
    assert ["sllmbo[boosting]" in note for note in spec.left_out if "xgboost" in note] == [True]


@pytest.mark.parametrize("asked", ["auto:nonsense", "auto:logistic_regression,nonsense"])
def test_unknown_names_among_several_are_refused(asked) -> None:
    """A name that there is not is an error that quotes it."""
    with pytest.raises(TaskError, match="nonsense"):
        sllmbo.tune(asked, load_wine().data, load_wine().target, n_trials=2)


# What a chat model is asked.


def design(*replies: Any, **arguments: Any) -> Any:
    with ChatServer(list(replies)) as server:
        return LLMAdvisor("openai:tiny", base_url=server.base_url, timeout=10, **arguments).design_space(task())


def test_a_chat_model_chooses() -> None:
    """Its names and reasons make the list, in its order; the spaces are the documented ones."""
    entries = [{"name": "mlp", "reason": "smooth"}, {"name": "LightGBM", "reason": "strong"}, {"name": "magic"}]
    chosen = design(chat_server.tool_call({"estimators": entries}))
    assert (("mlp", "smooth"), ("lightgbm", "strong")) == chosen.shortlist
    assert joint_space(("mlp", "lightgbm"), task()) == chosen.space
    assert ("llm", "shortlist/1", 1) == (chosen.source, chosen.prompt_version, chosen.usage.calls)


@pytest.mark.parametrize(
    "reply",
    [{"estimators": [{"name": "magic", "reason": "it knows"}]}, {"estimators": []}, {"estimators": "magic"}, "no"],
)
def test_a_chat_model_that_names_nothing_usable_is_replaced_by_the_rules(reply, caplog) -> None:
    """Unknown names or none leave the choice to the rules, and the reason is kept with the study and told."""
    with ChatServer([reply, reply]) as server:
        advisor = LLMAdvisor("openai:tiny", base_url=server.base_url, timeout=10)
        tuner = sllmbo.Tuner(task=task(), llm=advisor, seed=0)
    record = tuner.study.user_attrs["sllmbo:space"]
    assert RuleAdvisor().design_space(task()).space == tuner.space
    assert "rules" == record["source"]
    assert "Not by LLMAdvisor: " in record["rationale"]
    assert "designed no usable search space" in caplog.text


def test_a_chat_model_that_fails_is_replaced_by_the_rules(caplog) -> None:
    """A server in trouble does not keep estimators from being chosen."""
    with ChatServer([chat_server.status(500)] * 9) as server:
        advisor = LLMAdvisor("openai:tiny", base_url=server.base_url, timeout=5)
        tuner = sllmbo.Tuner(task=task(), llm=advisor, seed=0)
        with pytest.raises(Unavailable):  # a space for one estimator is asked of a chat model that is there
            sllmbo.Tuner(task=task(candidates=(), estimator="svm"), llm=advisor, seed=0)
    assert "rules" == tuner.study.user_attrs["sllmbo:space"]["source"]
    assert caplog.text


@pytest.mark.parametrize("names", [ALL[:4], ("random_forest", "extra_trees", "svm", "mlp"), ("lightgbm", "svm")])
@pytest.mark.parametrize("n", [0, 4, 15, 300])
def test_a_question_on_several_estimators_is_bounded(names, n) -> None:
    """It tells parameters of those that lead, all of their names, and stays within the bound of any other question."""
    space, rng = joint_space(names, task()), np.random.default_rng(0)
    details = {"train_value": 0.9876, "std": 0.0123}
    trials = (
        Observation(i, space.sample(rng), state="complete", value=float(rng.random()), source="tpe", details=details)
        for i in range(n)
    )
    history = History("maximize", tuple(trials))
    told = shown(task(), space, history, privacy="description")
    purpose: Any = "opening" if n < 5 else "next"
    prompt = render_suggestions(told.task, told.space, told.history, n=5, purpose=purpose)
    schema = json.dumps(suggestions_schema(told.space, 5), separators=(",", ":"))
    assert tokens(prompt.instructions + prompt.text + schema) <= 1_500
    assert tuple(told.space[ROOT].choices) == names
    best = names[0] if history.best is None else history.best.params[ROOT]
    assert {*branch(space, best)} == {*branch(told.space, best)}


def test_masked_names_hide_the_estimators() -> None:
    """With mask_names no estimator and no parameter is named, and a reply comes back under the true names."""
    history = History("maximize", (Observation(0, dict(SPACE.default_params()), state="complete", value=0.5),))
    told = shown(task(), SPACE, history, privacy="description", mask_names=True)
    text = render_suggestions(told.task, told.space, told.history, n=1, purpose="next").text
    assert not [word for word in ("ridge", "svm", "alpha", "kernel") if word in text]
    assert {ROOT: "svm", "svm.kernel": "poly"} == told.masking.unmask({"x1": "c2", "x3": "c4"})


# Where the trials go.


def test_halving_leaves_the_best() -> None:
    """Four estimators are two in the second third of the trials, and one in the last."""
    names = ("a", "b", "c", "d")
    left = {}
    for n in (4, 12, 24):
        own = (Observation(i, {ROOT: names[i % 4]}, state="complete", value=float(i % 4)) for i in range(n))
        left[n] = alive(names, History("maximize", tuple(own)), 30)
    assert {4: ["d", "c", "b", "a"], 12: ["d", "c"], 24: ["d"]} == left


def _worth(params: dict[str, Any]) -> float:
    """Return the value of a configuration: one of the estimators is better by more than its parameters change."""
    name = params[ROOT]
    return {"knn": 0.5, "svm": 0.6, "mlp": 0.9, "ridge": 0.55}[name] + 0.05 * float(params.get("mlp.alpha", 0) < 1e-3)


@pytest.mark.parametrize(("method", "least"), [("llm-tpe", 14), ("llm", 12), ("tpe", 14)])
def test_each_default_is_run_and_then_the_trials_go_to_the_best(method, least) -> None:
    """The defaults of all come first; by the end most trials are of the estimator that is better."""
    names = ("knn", "svm", "mlp", "ridge")
    space = joint_space(names, task())
    card = task(candidates=names, n_trials=30)
    tuner = sllmbo.Tuner(space, task=card, method=method, llm="offline" if method != "tpe" else None, seed=1)
    for _ in range(30):
        trial = tuner.ask()
        tuner.tell(trial, _worth(trial.params))
    trials = tuner.study.trials
    assert list(names) == [trial.params[ROOT] for trial in trials[:4]]
    assert ["default"] * 4 == [trial.user_attrs["sllmbo:source"] for trial in trials[:4]]
    assert all(space.contains(trial.params) for trial in trials)
    assert least <= sum(trial.params[ROOT] == "mlp" for trial in trials)
    assert not [t for t in trials[-6:] if t.user_attrs["sllmbo:source"] == "rules" and t.params[ROOT] != "mlp"]


def test_the_rules_ask_each_branch_in_its_own_words() -> None:
    """The opening is shared among the best, with what is published of each estimator, under the names of the space."""
    names = ("lightgbm", "extra_trees")
    space = joint_space(names, task())
    run = (
        Observation(i, outside(branch(space, name).default_params(), name), state="complete", value=1.0 - i)
        for i, name in enumerate(names)
    )
    request = AdviceRequest(
        task=task(candidates=names), space=space, history=History("maximize", tuple(run)), n=5, purpose="opening"
    )
    advice = RuleAdvisor().suggest(request)
    assert ["lightgbm", "extra_trees", "lightgbm", "extra_trees", "lightgbm"] == [a.params[ROOT] for a in advice]
    assert all(space.contains(a.params) for a in advice)
    assert advice[1].origin.startswith("extra_trees: ")
    assert "Trial" not in advice[0].rationale


# What comes out.


def test_auto_tells_who_won(cancer, tmp_path) -> None:
    """Winner, parameters and list with trials and values agree, and survive being saved."""
    result = sllmbo.tune(FAST, *cancer, n_trials=10, cv=2, seed=0, llm="offline")
    names = [entry["estimator"] for entry in result.shortlist]
    assert result.best_params[ROOT] == result.estimator_name == names[0]
    assert 2 == len(names)
    assert result.n_trials == sum(entry["trials"] for entry in result.shortlist)
    assert result.best_value == result.shortlist[0]["best_value"] >= result.shortlist[1]["best_value"]
    assert all(entry["reason"] and entry["default_value"] for entry in result.shortlist)
    assert {"estimator", "shortlist"} < result.to_json().keys()
    loaded = sllmbo.TuneResult.load(result.save(tmp_path))
    assert result.shortlist == loaded.shortlist
    assert (loaded.estimator.predict(cancer[0]) == result.estimator.predict(cancer[0])).all()


def test_auto_repeats_itself(diabetes) -> None:
    """The same seed gives the same trials over several estimators."""
    runs = [sllmbo.tune("auto:ridge,knn", *diabetes, n_trials=9, cv=2, seed=4, llm="offline") for _ in range(2)]
    assert [t["params"] for t in runs[0].trials] == [t["params"] for t in runs[1].trials]


def test_a_stored_study_of_several_goes_on(diabetes, tmp_path) -> None:
    """The list is part of the study: a second run goes on with it, and refuses another estimator."""
    where = {"storage": f"sqlite:///{tmp_path}/s.db", "study_name": "s", "cv": 2, "seed": 0, "llm": "offline"}
    first = sllmbo.tune("auto:ridge,knn", *diabetes, n_trials=4, **where)
    second = sllmbo.tune("auto:ridge,knn", *diabetes, n_trials=6, **where)
    assert [t["params"] for t in first.trials] == [t["params"] for t in second.trials[:4]]
    assert [e["reason"] for e in first.shortlist] == [e["reason"] for e in second.shortlist]


# Ensembles.


def test_an_ensemble_prefers_what_complements(diabetes) -> None:
    """Its value over the folds is at least that of its best member, and weights are counts of selections."""
    data = from_arrays(*diabetes)
    spec, splits = resolve_several("auto:ridge,knn", "regression", 400), make_splits(data, n_splits=3, seed=0)
    metric = resolve_metric("rmse", "regression")
    configurations = [{ROOT: "ridge"}, {ROOT: "knn", "knn.n_neighbors": 20}, {ROOT: "ridge", "ridge.alpha": 1e4}]
    ensemble = select_ensemble(spec, configurations, data, splits, metric, seed=0)
    alone = [evaluate(spec, params, data, splits, metric, seed=0).value for params in configurations]
    assert ensemble.value < min(alone)
    assert all(weight >= 1 for _, weight in ensemble.members)
    assert {ROOT: "ridge", "ridge.alpha": 1e4} not in [params for params, _ in ensemble.members]


def test_the_best_of_each_estimator_may_join() -> None:
    """The library for the selection holds the best of each estimator first, and no configuration twice."""
    params = [{ROOT: "a", "a.x": 1}, {ROOT: "a", "a.x": 2}, {ROOT: "a", "a.x": 1}, {ROOT: "b"}]
    run = (Observation(i, p, state="complete", value=-float(i)) for i, p in enumerate(params))
    assert [params[0], params[3], params[1]] == best_distinct(History("maximize", tuple(run)), 3)


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_an_ensemble_is_an_estimator(kind, diabetes, cancer, tmp_path) -> None:
    """It is fitted, scored on rows that no trial saw, predicts raw rows, and is written and read by joblib."""
    X, y = cancer if kind == "classification" else diabetes
    asked = {"n_trials": 4, "cv": 2, "seed": 0, "llm": "offline", "ensemble": 3}
    result = sllmbo.tune("logistic_regression" if kind == "classification" else "ridge", X, y, **asked)
    assert 1 <= len(result.ensemble) <= 3
    assert result.heldout_ensemble is not None
    assert result.heldout_best is not None
    result.save(tmp_path)
    loaded = joblib.load(tmp_path / "estimator.joblib")
    assert np.array_equal(loaded.predict(X), result.estimator.predict(X))
    if kind == "classification":
        assert (len(X), 2) == loaded.predict_proba(X).shape
    assert result.ensemble == sllmbo.TuneResult.load(tmp_path).ensemble


@pytest.mark.parametrize("labels", [(1, 2), ("no", "yes")])
def test_an_ensemble_knows_its_members_labels(labels) -> None:
    """Weights of classes, which are said of labels, weigh the same classes in it as in its members."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(300, 3)), columns=["a", "b", "c"])
    y = np.where(X["a"] + 2 * rng.normal(size=300) > 1.5, labels[1], labels[0])
    tree = DecisionTreeClassifier(max_depth=3, class_weight={labels[0]: 30, labels[1]: 1})
    asked = {"n_trials": 4, "cv": 2, "seed": 0, "llm": "offline", "metric": "accuracy"}
    alone, together = sllmbo.tune(tree, X, y, **asked), sllmbo.tune(tree, X, y, ensemble=3, **asked)
    assert list(labels) == list(together.estimator.classes_)
    for result in (alone, together):
        assert np.mean(result.estimator.predict(X) == labels[0]) > 0.9


def test_what_gives_no_probabilities_is_no_part_of_an_ensemble(cancer) -> None:
    """Fewer than two usable members make none: the best one alone is the result."""
    result = sllmbo.tune("ridge", *cancer, n_trials=3, cv=2, seed=0, llm="offline", ensemble=2)
    assert () == result.ensemble
    assert result.heldout_ensemble is None
    assert result.estimator is not None


def test_an_ensemble_of_one_is_refused(cancer) -> None:
    """One configuration is no ensemble, and that is said before anything runs."""
    with pytest.raises(ConfigError, match="ensemble=1 "):
        sllmbo.tune("ridge", *cancer, n_trials=1, ensemble=1)


def test_new_data_are_held_against_what_the_ensemble_promised(diabetes) -> None:
    """The promise is that of the estimator that is deployed; a refit of one configuration is no ensemble."""
    X, y = (part.to_numpy() for part in diabetes)
    asked = {"cv": 2, "llm": "offline", "seed": 0, "ensemble": 3}
    champion = sllmbo.tune("auto:ridge,knn", X[:200], y[:200], n_trials=6, **asked)
    other = -y[200:] + 10 * X[200:, 0]
    assert champion.heldout_ensemble == retune(champion, X[200:], y[200:], n_trials=0).promised
    answer = retune(champion, X[200:], other, n_trials=4, **asked)
    assert answer.replaces
    assert answer.result is not None
    deployed = answer.result
    assert bool(deployed.ensemble) == isinstance(deployed.estimator, VotingRegressor)
    assert answer.heldout[answer.verdict] == pytest.approx(deployed.heldout_ensemble or deployed.heldout_best)


# Many rows.


def frame(n: int, **more: Any) -> pd.DataFrame:
    return pd.DataFrame({"x": np.arange(n, dtype=float), "z": np.arange(n)[::-1].astype(float), **more})


def test_a_sample_has_the_proportions_of_the_classes() -> None:
    """Each class keeps its share, and rows their order."""
    data = from_arrays(frame(1_000), np.repeat(["a", "b"], [900, 100]))
    sample = sample_rows(data, 100, seed=0)
    assert {"a": 90, "b": 10} == dict(sample.y.value_counts())
    assert sample.X["x"].is_monotonic_increasing


@pytest.mark.parametrize("max_rows", [98, 99])
def test_almost_all_rows_are_a_sample_too(max_rows) -> None:
    """Each class is also among the few that are left out."""
    data = from_arrays(frame(100), np.arange(100) % 3)
    sample = sample_rows(data, max_rows, seed=0)
    assert 97 == len(sample)
    assert 3 == sample.n_classes


def test_a_sample_of_ordered_rows_is_the_latest() -> None:
    """What comes last in time is what is to be predicted."""
    sample = sample_rows(from_arrays(frame(100), np.arange(100) * 1.5, ordered=True), 30, seed=0)
    assert list(range(70, 100)) == list(sample.X["x"])


def test_a_sample_of_groups_holds_whole_ones() -> None:
    """No group is cut."""
    sample = sample_rows(from_arrays(frame(100), np.arange(100) * 1.5, groups=np.arange(100) // 10), 35, seed=0)
    assert [10, 10, 10] == list(sample.groups.value_counts())


@pytest.mark.parametrize(("max_rows", "groups"), [(9, None), (12, np.arange(100) // 10)])
def test_a_sample_that_is_too_small_is_refused(max_rows, groups) -> None:
    """The number that was given is quoted."""
    with pytest.raises(TaskError, match=f"max_rows={max_rows} "):
        sample_rows(from_arrays(frame(100), np.arange(100) * 1.5, groups=groups), max_rows, seed=0)


def test_trials_see_the_sample_and_the_result_all_rows(diabetes) -> None:
    """The last fits are on all rows: held-out scores are those of an untuned fit on everything that is not held out."""
    X, y = diabetes
    asked = {"n_trials": 1, "cv": 2, "seed": 0, "llm": "offline"}
    few, all_ = sllmbo.tune("ridge", X, y, max_rows=60, **asked), sllmbo.tune("ridge", X, y, **asked)
    assert few.heldout_best == all_.heldout_best
    assert few.best_value != all_.best_value
    assert np.array_equal(few.estimator.predict(X), all_.estimator.predict(X))
    assert "Trials see 60 random rows of 353" in few.notes[-1]


# Preparation, class weights, own metrics.


def mixed() -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"size": rng.lognormal(size=300), "color": rng.choice(["red", "green", "blue"], 300)})
    y = np.log(X["size"]) + X["color"].eq("red") + 0.1 * rng.normal(size=300)
    X.loc[::9, "size"] = np.nan
    return X, y.rename("y")


def test_preparation_begins_as_it_is_without() -> None:
    """The first trial is the same with and without, and every choice of the preparation is tried and works."""
    X, y = mixed()
    asked = {"n_trials": 12, "cv": 2, "seed": 0, "method": "random"}
    result = sllmbo.tune("knn", X, y, preprocessing=True, **asked)
    plain = sllmbo.tune("knn", X, y, **asked)
    usual = {"scaling": "standard", "encoding": "one_hot", "imputation": "median"}
    assert usual == {name: result.trials[0]["params"][name] for name in usual}
    assert result.default_value == plain.default_value
    assert 0 == result.n_failed
    assert not usual.keys() & plain.best_params.keys()
    tried = {name: {t["params"][name] for t in result.trials} for name in usual}
    assert {"scaling": 3, "encoding": 2, "imputation": 2} == {name: len(values) for name, values in tried.items()}


@pytest.mark.parametrize("encoding", ["ordinal", "one_hot", "target"])
@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_trees_can_be_given_any_encoding(encoding, kind) -> None:
    """A forest predicts from each, also the target's mean by level of three classes."""
    from sllmbo.tuner.estimators import with_preparation

    X, y = mixed()
    data = from_arrays(X, pd.qcut(y, 3, labels=["a", "b", "c"]).astype(str) if kind == "classification" else y)
    spec = with_preparation(resolve_estimator("random_forest", kind), data)
    assert {"encoding", "imputation"} == spec.preparation.keys()
    params = {"encoding": encoding, "imputation": "indicator", "n_estimators": 5}
    assert len(X) == len(fit(spec, params, data, 0).predict(X))


def test_preparation_of_several_depends_on_the_estimator() -> None:
    """Each estimator has its own; boosted trees that take categories themselves have none."""
    X, y = mixed()
    result = sllmbo.tune("auto:lightgbm,knn", X, y, n_trials=2, cv=2, seed=0, llm="offline", preprocessing=True)
    assert {"lightgbm", "knn"} == {t["params"][ROOT] for t in result.trials} | {"knn"}
    assert "lightgbm.scaling" not in result.trials[0]["params"]
    other = result.trials[1]["params"]
    assert other[ROOT] == "lightgbm" or "standard" == other[f"{other[ROOT]}.scaling"] or "encoding" in str(other)


WEIGHTED = {
    "lightgbm": ("class_weight", "balanced"),
    "hist_gradient_boosting": ("class_weight", "balanced"),
    "xgboost": ("scale_pos_weight", 5.0),
    "catboost": ("auto_class_weights", "Balanced"),
    "random_forest": ("class_weight", "balanced"),
    "logistic_regression": ("class_weight", "balanced"),
}


@pytest.mark.parametrize("name", WEIGHTED)
def test_weights_of_classes_can_be_tuned_where_one_is_rare(name) -> None:
    """The documented space has them then, with the library's default, and they find more of the rare class."""
    parameter, value = WEIGHTED[name]
    rare = DataFacts(kind="classification", n_rows=300, n_features=2, n_classes=2, minority_share=0.1)
    space = RuleAdvisor().design_space(Task(estimator=name, data=rare)).space
    assert space[parameter].default in (None, 1.0)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 2)), np.zeros(300, dtype=int)
    y[(X[:, 0] + rng.normal(size=300)) > 1.8] = 1
    data, spec = from_arrays(X, y), resolve_estimator(name, "classification")
    few = {"iterations": 20} if name == "catboost" else {}
    trees = {"max_depth": 2} if "forest" in name else {}
    found = [fit(spec, {**few, **trees, **more}, data, 0).predict(data.X).sum() for more in ({}, {parameter: value})]
    assert found[0] < found[1]


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_weights_of_classes_are_left_alone_where_none_is_rare(share) -> None:
    """Nothing is added to the space of balanced or unknown classes."""
    facts = DataFacts(kind="classification", n_rows=300, n_features=2, n_classes=2, minority_share=share)
    assert "class_weight" not in RuleAdvisor().design_space(Task(estimator="lightgbm", data=facts)).space


def test_a_metric_of_ones_own_by_its_path(tmp_path, monkeypatch) -> None:
    """A function is imported and needs a direction; a scorer of scikit-learn's has one."""
    (tmp_path / "my_metrics_of_test.py").write_text(
        "from sklearn.metrics import make_scorer, r2_score\n"
        "def worst(estimator, X, y):\n    return float(abs(estimator.predict(X) - y).max())\n"
        "scorer = make_scorer(r2_score)\nnumber = 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "minimize" == resolve_metric("my_metrics_of_test:worst", "regression", direction="minimize").direction
    assert "maximize" == resolve_metric("my_metrics_of_test:scorer", "regression").direction
    X, y = load_diabetes(return_X_y=True)
    result = sllmbo.tune("ridge", X, y, metric="my_metrics_of_test:worst", direction="minimize", n_trials=2, seed=0)
    assert result.best_value > 100
    for wrong in ("my_metrics_of_test:worst", "my_metrics_of_test:number", "my_metrics_of_test:none", "no_such:f"):
        with pytest.raises(TaskError, match=wrong):
            resolve_metric(wrong, "regression")


def test_a_champion_of_several_is_tuned_again(diabetes) -> None:
    """What was the best of several is judged and tuned again as one of these, from the champion's configuration on."""
    from sllmbo.tuner.retuning import retune

    X, y = diabetes
    champion = sllmbo.tune("auto:ridge,knn", X[:220], y[:220], n_trials=5, cv=2, seed=0, llm="offline")
    answer = retune(champion, X[220:], y[220:], n_trials=10, force=True, cv=2, llm="offline")
    assert answer.verdict in ("keep", "refit", "challenger")
    assert {"champion", "refit", "challenger"} == set(answer.heldout)
