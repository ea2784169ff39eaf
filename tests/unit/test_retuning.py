"""
Champion or challenger: on a real series that drifts, on real rows that do not, and by the exit code of the command.
"""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes

from sllmbo import tune
from sllmbo.errors import ConfigError, SllmboError, TaskError
from sllmbo.tuner import TuneResult
from sllmbo.tuner.data import from_arrays
from sllmbo.tuner.metrics import metric_names, resolve_metric
from sllmbo.tuner.resampling import bootstrap, standard_error
from sllmbo.tuner.retuning import retune
from sllmbo.tuner.storage import SPACE
from sllmbo_process import sllmbo

QUICK = {"cv": 2, "llm": "offline"}


@pytest.fixture(scope="module")
def air():
    """Each month's carbon dioxide on Mauna Loa from the twelve before it, 1958 to 2001: it rises all the time."""
    co2 = pytest.importorskip("statsmodels.datasets.co2", reason="statsmodels has the series")
    months = co2.load_pandas().data["co2"].resample("MS").mean().interpolate()
    frame = pd.DataFrame({f"back{lag}": months.shift(lag) for lag in (1, 2, 6, 12)} | {"co2": months}).dropna()
    return frame.reset_index(drop=True)


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    rows = np.random.default_rng(0).permutation(len(X))
    return X.iloc[rows].reset_index(drop=True), y.iloc[rows].reset_index(drop=True)


def on_air(air, *, drifts, **options):
    """Ask about the later part of the series, or about every second month where the others were tuned on."""
    old, new = (air[:300], air[300:]) if drifts else (air[::2], air[1::2])
    about = {"ordered": drifts, "n_trials": 4, "seed": 0, **QUICK}
    champion = tune("knn", old.drop(columns="co2"), old["co2"], metric="mae", **about)
    return champion, retune(champion, new.drop(columns="co2"), new["co2"], **about | options)


def test_neighbours_decay_on_a_rising_series_and_are_replaced(air) -> None:
    """Neighbours know no level beyond those that they were fitted on: the decay is found, and new ones are better."""
    champion, answer = on_air(air, drifts=True)

    assert answer.decayed
    assert answer.replaces
    assert answer.heldout["champion"] > answer.heldout[answer.verdict]
    assert answer.result.best_params
    assert answer.champion > champion.heldout_best + 3 * champion.heldout_error


def test_on_rows_between_those_of_before_nothing_decays_and_no_trial_is_spent(air) -> None:
    """Every second month of the same series is no news: the promise is kept, and nothing is tuned."""
    _, answer = on_air(air, drifts=False)

    assert not answer.decayed
    assert ("keep", None, {}) == (answer.verdict, answer.result, answer.heldout)
    assert 0 == answer.to_json()["n_trials"]


def test_force_tunes_without_a_decay(air, tmp_path) -> None:
    """Three estimators are then compared; without a gain the champion is kept, and nothing to deploy is written."""
    _, answer = on_air(air, drifts=False, force=True)

    assert {"champion", "refit", "challenger"} == set(answer.heldout)
    assert "keep" == answer.verdict
    folder = answer.save(tmp_path / "new")
    assert ["retune.json"] == [path.name for path in folder.iterdir()]


def test_without_trials_only_the_first_question_is_answered(air) -> None:
    """With no trials a decay is found and nothing is tuned."""
    _, answer = on_air(air, drifts=True, n_trials=0)

    assert (True, "keep", None) == (answer.decayed, answer.verdict, answer.result)


def test_false_alarms_are_rare(diabetes) -> None:
    """Where old and new rows are of one kind, a decay at level 5 % is found at most 2 times in 12."""
    X, y = diabetes
    alarms = 0
    for seed in range(12):
        rows = np.random.default_rng(seed).permutation(len(X))
        old, new = rows[:220], rows[220:]
        champion = tune("ridge", X.iloc[old], y.iloc[old], n_trials=1, seed=seed, metric="mae", **QUICK)
        alarms += retune(champion, X.iloc[new], y.iloc[new], n_trials=0, seed=seed).decayed

    assert alarms <= 2


def test_the_search_goes_on_from_what_is_known(diabetes, tmp_path) -> None:
    """The earlier space is read from its storage, and the champion's configuration is tried after the default."""
    X, y = diabetes
    url = f"sqlite:///{tmp_path / 'study.db'}"
    champion = tune("ridge", X[:200], y[:200], n_trials=6, storage=url, study_name="first", seed=1, **QUICK)
    champion = dataclasses.replace(champion, best_params={**champion.best_params, "alpha": 0.0123})
    answer = retune(
        champion, X[200:], y[200:], n_trials=4, force=True, storage=url, study_name="second", on_start=check, **QUICK
    )

    assert ["default", "transfer"] == [trial["source"] for trial in answer.result.trials[:2]]
    assert 0.0123 == answer.result.trials[1]["params"]["alpha"]


def check(study) -> None:
    assert "user" == study.user_attrs[SPACE]["source"]


@pytest.mark.parametrize("metric", ["auc", "logloss"])
def test_metrics_of_probabilities_work_too(metric) -> None:
    """Any metric can be asked for, its direction minded: with other labels the champion is worse, never better."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    champion = tune("logistic_regression", X[:300], y[:300], metric=metric, n_trials=1, seed=0, **QUICK)
    same = retune(champion, X[300:], y[300:], n_trials=0)
    turned = retune(champion, X[300:], 1 - y[300:], n_trials=0)

    assert turned.decayed
    assert not same.decayed
    assert same.metric == metric


def test_a_score_is_the_same_from_remembered_predictions() -> None:
    """The bootstrap's own values are those of the metric, for every metric that the data allow."""
    from sllmbo.tuner.estimators import resolve_estimator
    from sllmbo.tuner.evaluation import fit

    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    data = from_arrays(X, y)
    fitted = fit(resolve_estimator("random_forest", data.kind), {"n_estimators": 20}, data.take(np.arange(300)), 0)
    test = data.take(np.arange(300, 569))
    for name in sorted(set(metric_names(data.kind)) - {"top_k_accuracy"}):
        metric = resolve_metric(name, data.kind, data.n_classes)
        values, drawn = bootstrap([fitted, fitted], test, metric, resamples=4)

        assert [metric.score(fitted, test.X, test.y)] * 2 == pytest.approx(list(values))
        assert np.array_equal(drawn[:, 0], drawn[:, 1])


class Constant:
    """Predicts 0, so that the absolute errors are the targets."""

    classes_ = ()

    def predict(self, X):
        return np.zeros(len(X))


def noise(n=400, **about):
    y = pd.Series(np.random.default_rng(0).exponential(size=n), name="y")
    return from_arrays(pd.DataFrame({"x": np.arange(n, dtype=float)}), y, kind="regression", **about)


def test_the_standard_error_is_that_of_a_mean() -> None:
    """For a mean of independent rows the bootstrap gives the deviation over the root of their number."""
    data = noise()
    found = standard_error(Constant(), data, resolve_metric("mae", "regression"))

    assert data.y.std() / 20 == pytest.approx(found, rel=0.1)


def test_groups_and_ordered_rows_are_drawn_together() -> None:
    """Rows that resemble each other are worth fewer: whole groups and blocks widen the error."""
    data, metric = noise(), resolve_metric("mae", "regression")
    steps = pd.Series(np.repeat(np.random.default_rng(1).exponential(size=20), 20), name="y")
    alike = dataclasses.replace(data, y=steps)
    alone = standard_error(Constant(), alike, metric)

    assert standard_error(Constant(), dataclasses.replace(alike, ordered=True), metric) > 2.5 * alone
    groups = pd.Series(np.repeat(np.arange(12), 20))
    assert standard_error(Constant(), dataclasses.replace(alike, groups=groups), metric) > 2.5 * alone


def test_what_cannot_be_used_is_told(diabetes, tmp_path) -> None:
    """A missing column, a missing estimator, an unknown one and a level that is none each end in one sentence."""
    X, y = diabetes
    champion = tune("ridge", X[:200], y[:200], n_trials=1, **QUICK)

    def asked(error: type[SllmboError], words: str, champion: TuneResult = champion, **about) -> None:
        with pytest.raises(error, match=words):
            retune(champion, about.pop("X", X[200:]), y[200:], **about, **QUICK)

    asked(TaskError, "cannot be scored on the new rows", X=X[200:].drop(columns="bmi"))
    asked(TaskError, "no fitted estimator", dataclasses.replace(champion, estimator=None))
    asked(TaskError, "'Mine'.*as it was given then", dataclasses.replace(champion, estimator_name="Mine"))
    asked(ConfigError, "alpha=0.7", alpha=0.7)


def test_a_result_without_an_error_is_taken_at_its_word(diabetes, tmp_path) -> None:
    """Results of earlier versions have no error of the held-out score: the promise counts as exact."""
    X, y = diabetes
    folder = tune("ridge", X[:200], y[:200], n_trials=1, **QUICK).save(tmp_path / "old")
    record = json.loads((folder / "result.json").read_text())
    del record["heldout_error"]
    (folder / "result.json").write_text(json.dumps(record))
    answer = retune(folder, X[200:], y[200:], n_trials=0)

    assert answer.promised_error is None
    assert answer.promised == record["heldout_best"]


def test_the_exit_code_says_what_to_do(air, tmp_path) -> None:
    """0 keeps the champion, 3 has a better one, 4 has none though it decayed, 2 is a mistake; stdout is JSON alone."""
    noise = np.random.default_rng(0).normal(scale=3.0, size=len(air))
    rows = {
        "old": air[:300:2],
        "between": air[1:300:2],
        "later": air[300:],
        "noisy": air.assign(co2=air["co2"] + noise),
    }
    rows["noisy"] = rows["noisy"][1:300:4]
    for name, part in rows.items():
        part.to_csv(tmp_path / f"{name}.csv", index=False)
    common = ["--target", "co2", "--cv", "2", "--trials", "3", "--plain"]
    made = ["--estimator", "knn", "--metric", "mae", "--study", "first"]
    assert 0 == sllmbo("tune", "old.csv", *common, *made, cwd=tmp_path).returncode

    kept = sllmbo("retune", "first", "between.csv", *common, "--json", cwd=tmp_path)
    assert 0 == kept.returncode, kept.stderr
    assert ("keep", False) == (json.loads(kept.stdout)["verdict"], json.loads(kept.stdout)["decayed"])

    better = sllmbo("retune", "sllmbo-out/first", "later.csv", *common, "--json", "--out", "next", cwd=tmp_path)
    assert 3 == better.returncode, better.stderr
    assert json.loads((tmp_path / "next" / "retune.json").read_text()) == json.loads(better.stdout)
    assert "replace the champion" in better.stderr
    following = TuneResult.load(tmp_path / "next")
    assert following.estimator is not None
    assert following.best_params == json.loads(better.stdout)["best_params"]

    helpless = sllmbo("retune", "first", "noisy.csv", *common, cwd=tmp_path)
    assert 4 == helpless.returncode, helpless.stderr
    assert "keep the champion" in helpless.stderr

    asked = ["--target", "co2", "--trials", "0", "--plain"]
    for table, code, told in [("between.csv", 0, "Decayed    no"), ("later.csv", 4, "promised (p < 0.001")]:
        only = sllmbo("retune", "first", table, *asked, "--out", "asked", cwd=tmp_path)
        assert code == only.returncode, only.stderr
        assert told in only.stderr
        assert ("no other was tried" in only.stderr) == (code == 4)
        assert ["retune.json"] == [path.name for path in (tmp_path / "asked").iterdir()]

    before = (tmp_path / "sllmbo-out" / "first" / "result.json").read_bytes()
    for study, options, told in [
        ("nowhere", [], "There are no results in 'nowhere'"),
        ("first", ["--out", "sllmbo-out/first"], "is the folder of the champion"),
        ("first", ["--holdout", "0", "--force"], "The hold-out share 0.0 must lie between 0 and 1"),
    ]:
        wrong = sllmbo("retune", study, "later.csv", *common, *options, cwd=tmp_path)
        assert 2 == wrong.returncode
        assert told in wrong.stderr
        assert 1 == len(wrong.stderr.strip().splitlines())
    assert before == (tmp_path / "sllmbo-out" / "first" / "result.json").read_bytes()
