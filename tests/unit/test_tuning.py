"""
`tune()` on real estimators and real data.
"""

from __future__ import annotations

import csv
import json
import pickle
from dataclasses import replace

import numpy as np
import optuna
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold

import sllmbo
from sllmbo.errors import SpaceError, StudyError, TaskError
from sllmbo.tuner.derive import derive_space
from sllmbo.tuner.estimators import resolve_estimator


@pytest.fixture(scope="module")
def diabetes():
    return load_diabetes(return_X_y=True, as_frame=True)


@pytest.fixture(scope="module")
def cancer():
    return load_breast_cancer(return_X_y=True, as_frame=True)


def test_the_default_is_the_first_trial_and_the_result_says_what_was_gained(diabetes) -> None:
    """Trial 0 is the default; the gain is counted over it, and the hold-out was seen by no trial."""
    result = sllmbo.tune("ridge", *diabetes, n_trials=8, seed=0, cv=2)

    assert "default" == result.trials[0]["source"]
    assert result.default_value == result.trials[0]["value"]
    assert result.gain == pytest.approx(result.default_value - result.best_value)
    assert result.gain >= 0
    assert result.heldout_best is not None
    assert result.heldout_default is not None
    assert 8 == result.n_trials == sum(counts["trials"] for counts in result.sources.values())


def test_the_same_seed_gives_the_same_result(cancer) -> None:
    """A tuning is a function of its arguments."""
    one, two = (sllmbo.tune("logistic_regression", *cancer, n_trials=6, cv=3, seed=3) for _ in range(2))

    assert [trial["params"] for trial in one.trials] == [trial["params"] for trial in two.trials]
    assert one.best_value == two.best_value


def test_leaders_are_repeated_on_fresh_folds_and_the_winner_has_an_interval(diabetes, tmp_path) -> None:
    """Each repeat of a configuration has a value of its own, the winner is an estimate that is saved."""
    result = sllmbo.tune("ridge", *diabetes, n_trials=20, seed=0, repeats=True)

    repeats = [trial for trial in result.trials if trial["source"] == "repeat"]
    again = [[t["value"] for t in result.trials if t["params"] == trial["params"]] for trial in repeats]
    assert result.n_repeats == len(repeats) == result.sources["repeat"]["trials"] <= 8
    assert 0 == result.sources["repeat"]["improvements"]
    assert all(len(values) == len(set(values)) > 1 for values in again)
    low, high = result.best_interval
    assert low < result.best_value < high
    assert result.best_interval == sllmbo.TuneResult.load(result.save(tmp_path)).best_interval


def test_splits_that_were_given_are_not_drawn_anew(diabetes) -> None:
    """Where neither folds nor estimator can differ two repeats show it, and the best value wins as without."""
    given = [sllmbo.tune("ridge", *diabetes, n_trials=20, cv=KFold(3), seed=0, repeats=r) for r in (True, False)]

    assert [2, 0] == [sum(trial["source"] == "repeat" for trial in result.trials) for result in given]
    assert [None, None] == [result.best_interval for result in given]


def test_a_metric_that_can_be_negative_stays_as_it_is(diabetes) -> None:
    """R2 below zero is neither flipped nor refused."""
    X, _ = diabetes
    noise = np.random.default_rng(0).normal(size=len(X))
    result = sllmbo.tune("ridge", X, noise, metric="r2", n_trials=3, seed=0, cv=2)

    assert "maximize" == result.direction
    assert result.default_value < 0


def test_an_instance_keeps_its_own_parameters(cancer) -> None:
    """What was set on a given estimator stays set and is where the tuning starts."""
    given = LogisticRegression(C=0.5, max_iter=2000)
    result = sllmbo.tune(given, *cancer, n_trials=3, cv=3, seed=0)

    assert 0.5 == result.trials[0]["params"]["C"]
    assert 0.5 == given.C


def test_a_failing_configuration_is_a_failed_trial_with_its_reason(cancer) -> None:
    """What an estimator raises ends its trial, not the tuning."""
    space = sllmbo.SearchSpace(
        {
            "C": sllmbo.Float(0.01, 10, log=True, default=1.0),
            "solver": sllmbo.Categorical(["lbfgs", "no such solver"], default="lbfgs"),
        }
    )
    result = sllmbo.tune("logistic_regression", *cancer, space=space, n_trials=8, cv=2, seed=0)
    failed = [trial for trial in result.trials if trial["state"] == "fail"]

    assert failed
    assert result.n_failed == len(failed)
    assert all(trial["failure"].startswith("InvalidParameterError") for trial in failed)


def test_a_tuning_in_which_everything_fails_ends_soon(cancer) -> None:
    """Five failures without a value end the tuning, and the last reason is told."""
    space = sllmbo.SearchSpace({"solver": sllmbo.Categorical(["a", "b", "c", "d", "e", "f", "g"], default="a")})
    with pytest.raises(TaskError, match="first 5 trials all failed"):
        sllmbo.tune("logistic_regression", *cancer, space=space, n_trials=50, cv=3, seed=0)


def test_pruned_trials_are_counted_and_not_chosen(cancer) -> None:
    """A pruner is told the mean after each fold and may stop a trial."""
    pruner = optuna.pruners.ThresholdPruner(lower=0.96)
    result = sllmbo.tune("logistic_regression", *cancer, n_trials=10, pruner=pruner, seed=0, cv=2)

    assert result.n_pruned > 0
    assert result.n_pruned == sum(trial["state"] == "pruned" for trial in result.trials)
    assert result.best_value >= 0.96


def test_patience_ends_a_tuning(cancer) -> None:
    """The reason for the end is told."""
    result = sllmbo.tune("ridge", *cancer, n_trials=100, patience=2, cv=3, metric="accuracy", seed=0)

    assert "patience" == result.stop_reason
    assert result.n_trials < 100


def test_a_finite_space_is_tried_once(diabetes) -> None:
    """Nothing is left to try: the tuning ends, unless it may evaluate leaders again."""
    space = sllmbo.SearchSpace({"alpha": sllmbo.Categorical([0.1, 1.0, 10.0], default=1.0)})
    result = sllmbo.tune("ridge", *diabetes, space=space, n_trials=8, seed=0, cv=2)
    again = sllmbo.tune("ridge", *diabetes, space=space, n_trials=8, seed=0, cv=2, repeats=True)

    assert ("exhausted", "trials") == (result.stop_reason, again.stop_reason)
    assert 3 == len({trial["params"]["alpha"] for trial in result.trials}) <= result.n_trials < 8
    assert 8 == again.n_trials


def test_ctrl_c_keeps_what_there_is(diabetes) -> None:
    """An interruption gives a result over the finished trials and leaves no trace of the interrupted one."""

    def interrupt(study, trial):
        if trial.number == 3:
            raise KeyboardInterrupt

    result = sllmbo.tune("ridge", *diabetes, n_trials=100, callbacks=[interrupt], seed=0, cv=2)

    assert "interrupted" == result.stop_reason
    assert 4 == result.n_trials
    assert result.estimator.predict(diabetes[0][:2]).shape == (2,)


def test_a_study_goes_on_where_it_stopped(diabetes, tmp_path) -> None:
    """Three trials, then five more of the same study, are the same as eight at once."""
    options = {"storage": f"sqlite:///{tmp_path}/study.db", "study_name": "s", "seed": 0}
    sllmbo.tune("ridge", *diabetes, n_trials=3, **options, cv=2)
    resumed = sllmbo.tune("ridge", *diabetes, n_trials=8, **options, cv=2)
    uncut = sllmbo.tune("ridge", *diabetes, n_trials=8, seed=0, cv=2)

    assert [trial["params"] for trial in uncut.trials] == [trial["params"] for trial in resumed.trials]
    assert uncut.sources == resumed.sources


def test_a_study_about_other_data_is_refused(diabetes, tmp_path) -> None:
    """Values of two data sets are never mixed."""
    X, y = diabetes
    options = {"storage": f"sqlite:///{tmp_path}/study.db", "study_name": "s", "seed": 0, "n_trials": 2}
    sllmbo.tune("ridge", X, y, **options, cv=2)

    with pytest.raises(StudyError, match="other data"):
        sllmbo.tune("ridge", X, y + 1, **options, cv=2)
    with pytest.raises(StudyError, match=r"predicts 'target', not 'age'; name another study with .* --study"):
        sllmbo.tune("ridge", X.drop(columns="age"), X["age"], **options, cv=2)


def test_a_space_with_a_parameter_that_the_estimator_lacks_is_refused(diabetes) -> None:
    """A misspelled parameter is told before any trial."""
    space = sllmbo.SearchSpace({"alhpa": sllmbo.Float(0.1, 1)})
    with pytest.raises(SpaceError, match="'alhpa'"):
        sllmbo.tune("ridge", *diabetes, space=space, n_trials=2, cv=2)


def test_a_result_survives_saving_and_loading(diabetes, tmp_path) -> None:
    """What was saved is what is loaded, the fitted estimator included."""
    result = sllmbo.tune("ridge", *diabetes, n_trials=4, seed=0, cv=2)
    loaded = sllmbo.TuneResult.load(result.save(tmp_path / "out"))
    X, _ = diabetes

    assert json.loads(json.dumps(result.to_json())) == loaded.to_json()
    assert np.array_equal(result.estimator.predict(X), loaded.estimator.predict(X))
    assert dict(result.best_params) == json.loads((tmp_path / "out" / "best_params.json").read_text())
    with (tmp_path / "out" / "trials.csv").open() as file:
        assert 4 == len(list(csv.DictReader(file)))


def test_a_result_that_cannot_be_saved_leaves_the_earlier_one_whole(diabetes, tmp_path) -> None:
    """An estimator that no pickle takes replaces neither the earlier estimator nor the files beside it."""
    result = sllmbo.tune("ridge", *diabetes, n_trials=2, seed=0, cv=2)
    before = {path.name: path.read_bytes() for path in result.save(tmp_path).iterdir()}
    with pytest.raises((AttributeError, pickle.PicklingError)):
        replace(result, n_trials=9, estimator=[result.estimator, lambda: None]).save(tmp_path)

    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_loading_from_an_empty_folder_is_one_sentence(tmp_path) -> None:
    """A folder without a result is a mistake of the user's."""
    with pytest.raises(TaskError, match="no saved result"):
        sllmbo.TuneResult.load(tmp_path)


def test_ordered_rows_are_validated_on_later_rows() -> None:
    """With ordered rows the hold-out is the end of the data and no fold looks ahead."""
    n = 200
    X = np.column_stack([np.arange(n), np.sin(np.arange(n))])
    seen = []

    class Spy(Ridge):
        def fit(self, X, y):
            seen.append(np.asarray(y).max())
            return super().fit(X, y)

    result = sllmbo.tune(Spy(), X, np.arange(n, dtype=float), ordered=True, n_trials=1, cv=4, seed=0)

    assert sorted(seen[:4]) == seen[:4]
    assert max(seen[:4]) < 160
    assert result.heldout_best is not None


def test_a_splitter_can_be_given(diabetes) -> None:
    """Folds of the user's own are used as they are."""
    result = sllmbo.tune("ridge", *diabetes, cv=KFold(2, shuffle=True, random_state=1), n_trials=2, seed=0)

    assert 2 == result.n_trials


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("sklearn.ensemble.AdaBoostClassifier", "classification"),
        ("sklearn.svm.NuSVR", "regression"),
        ("sklearn.gaussian_process.GaussianProcessRegressor", "regression"),
        ("sklearn.linear_model.HuberRegressor", "regression"),
    ],
)
def test_a_space_is_derived_for_estimators_that_nobody_documented(path, kind) -> None:
    """Its defaults are the estimator's own, and each value of it is one that the estimator takes."""
    spec = resolve_estimator(path, kind)
    space = derive_space(spec)

    own = spec.parameters()
    assert {name: own[name] for name in space} == space.default_params()
    rng = np.random.default_rng(0)
    for _ in range(5):
        spec.prototype.set_params(**space.sample(rng))._validate_params()


def test_an_undocumented_estimator_is_tuned_offline(diabetes) -> None:
    """An import path is enough, without a chat model."""
    result = sllmbo.tune("sklearn.linear_model.HuberRegressor", *diabetes, n_trials=3, cv=2, seed=0)

    assert {"alpha", "epsilon"} == set(result.best_params)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_holdout_share_outside_zero_to_one_is_refused(diabetes, share) -> None:
    """The message quotes the share."""
    with pytest.raises(TaskError, match=str(share)):
        sllmbo.tune("ridge", *diabetes, holdout_share=share, cv=2)


def test_nothing_can_be_set_aside(diabetes) -> None:
    """Without a hold-out there is no held-out score."""
    result = sllmbo.tune("ridge", *diabetes, holdout_share=0, n_trials=2, seed=0, cv=2)

    assert (None, None) == (result.heldout_best, result.heldout_default)


def test_a_budget_may_hold_trials_and_seconds(diabetes) -> None:
    """Trials of a budget count where no number is given, and the number goes before."""
    budget = sllmbo.Budget(trials=3)

    assert 3 == sllmbo.tune("ridge", *diabetes, budget=budget, cv=2, seed=0).n_trials
    assert 2 == sllmbo.tune("ridge", *diabetes, budget=budget, n_trials=2, cv=2, seed=0).n_trials


def test_a_held_out_score_that_fails_loses_no_trial(diabetes, caplog) -> None:
    """What goes wrong after the last trial is warned of, and the result is there."""

    def metric(estimator, X, y):
        if len(y) == 89:  # the rows set aside
            raise RuntimeError("no such score")
        return float(estimator.score(X, y))

    result = sllmbo.tune("ridge", *diabetes, metric=metric, direction="maximize", n_trials=2, seed=0, cv=2)

    assert 2 == result.n_trials
    assert None is result.heldout_best
    assert any("no held-out score: RuntimeError: no such score" in record.message for record in caplog.records)
