"""
Memory across studies: what a new study takes from earlier ones in its storage, and that it is decided once.
"""

from __future__ import annotations

import optuna
import pytest

from sllmbo import Categorical, Float, Int, SearchSpace, Task, Tuner
from sllmbo.prompts import render_suggestions, shown
from sllmbo.task import DataFacts, EarlierBest
from sllmbo.tuner.transfer import FACTS, TRANSFER, distance, find_starts
from sllmbo.worth import measure_worth

SPACE = SearchSpace({"x": Float(0.01, 100, log=True, default=1.0), "k": Int(0, 20, default=10)})
DATA = DataFacts(kind="regression", n_rows=1_000, n_features=10)


def task(**about):
    return Task(**{"estimator": "toy", "metric": "mae", "direction": "minimize", "data": DATA, "n_trials": 12, **about})


def study(storage, name, *, goal=30.0, n=12, space=SPACE, **options):
    """Tune towards x = goal, and return the tuner."""
    options = {"task": task(), "llm": "offline", "seed": 0} | options
    tuner = Tuner(space, storage=storage, study_name=name, **options)
    for _ in range(n - len(tuner.study.trials)):
        trial = tuner.ask()
        tuner.tell(trial, abs(trial.params["x"] - goal))
    return tuner


def sources(tuner):
    return [trial.user_attrs["sllmbo:source"] for trial in tuner.study.trials]


@pytest.fixture
def storage():
    return optuna.storages.InMemoryStorage()


def test_a_study_starts_from_the_best_of_an_earlier_one(storage) -> None:
    """After the default comes the earlier best, with the study that it is from and what it gained there."""
    earlier = study(storage, "first")
    later = study(storage, "second")
    trial = later.study.trials[1]

    assert ["default", "transfer"] == sources(later)[:2]
    assert sources(later).count("transfer") == 1
    assert earlier.study.best_params == trial.params
    assert "first" == trial.user_attrs["sllmbo:origin"]
    gain = earlier.study.trials[0].value - earlier.study.best_value
    assert f"gained {gain:.3g} (mae)" in trial.user_attrs["sllmbo:rationale"]


@pytest.mark.parametrize(
    "options",
    [
        {"transfer": False},
        {"task": task(estimator="other")},
        {"task": task(data=None)},
        {"task": task(data=DataFacts(kind="classification", n_rows=1_000, n_features=10, n_classes=2))},
        {"task": task(data=DataFacts(kind="regression", n_rows=1_000_000, n_features=1_000))},
        {"method": "tpe"},
        {"init": "random"},
    ],
)
def test_nothing_is_transferred_where_it_is_not_wanted_or_not_similar(storage, options) -> None:
    """Not for another estimator, kind or size of data, nor where nothing is known, nor where methods are compared."""
    study(storage, "first")

    assert "transfer" not in sources(study(storage, "second", n=4, **options))


def test_what_was_transferred_is_decided_once(storage) -> None:
    """A study that is gone on with beside new studies, or without transfer, has the trials of one that was not cut."""
    study(storage, "first")
    study(storage, "cut", n=2)
    found = storage.get_all_studies()[-1].user_attrs[TRANSFER]
    study(storage, "others", goal=0.02)
    cut = study(storage, "cut", transfer=False)
    alone = optuna.storages.InMemoryStorage()
    study(alone, "first")
    uncut = study(alone, "cut")

    assert [t.params for t in uncut.study.trials] == [t.params for t in cut.study.trials]
    assert sources(uncut) == sources(cut)
    assert found == cut.study.user_attrs[TRANSFER]


def test_a_study_that_began_without_stays_without(storage) -> None:
    """Earlier studies that come later change nothing."""
    study(storage, "second", n=3)
    study(storage, "first")

    assert "transfer" not in sources(study(storage, "second"))


def test_of_many_studies_the_nearest_count(storage) -> None:
    """At most three configurations, those of the most similar data first, and at most a quarter of the trials."""
    for number, rows in enumerate((9_000, 1_100, 4_000, 2_000)):
        data = DataFacts(kind="regression", n_rows=rows, n_features=10)
        about = {"goal": 10.0 * (number + 1), "task": task(data=data), "transfer": False}
        tuner = study(storage, f"rows {rows}", n=1, **about)
        tuner.study.enqueue_trial({"x": about["goal"], "k": 1})
        tuner.tell(tuner.ask(), 0.0)
    many = study(storage, "many", n=5)
    few = study(storage, "few", n=5, task=task(n_trials=5), transfer=True)

    origins = [t.user_attrs.get("sllmbo:origin") for t in many.study.trials if sources(many)[t.number] == "transfer"]
    assert ["rows 1100", "rows 2000", "rows 4000"] == origins
    assert 1 == sources(few).count("transfer")


def test_equal_configurations_are_tried_once_and_those_of_another_space_are_repaired(storage) -> None:
    """What lies outside the present space is moved into it, and what it means for other parameters is dropped."""
    for name in ("first", "again"):
        study(storage, name, transfer=False)
    narrow = SearchSpace({"x": Float(0.01, 5, log=True, default=1.0), "new": Categorical([True, False], default=True)})
    later = study(storage, "later", n=5, space=narrow)
    trial = later.study.trials[1]

    assert 1 == sources(later).count("transfer")
    assert {"x": 5.0, "new": True} == trial.params
    assert trial.user_attrs["sllmbo:repairs"][0]["parameter"] == "x"


def test_unreadable_studies_are_left_out(storage) -> None:
    """Studies of others, of two objectives, with strange attributes or without values stop nobody."""
    optuna.create_study(storage=storage, study_name="others").optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=2)
    optuna.create_study(storage=storage, study_name="two", directions=["minimize", "maximize"])
    for name, facts in {"odd": "facts", "odder": {"kind": "regression", "n_rows": "many"}, "empty": None}.items():
        odd = optuna.create_study(storage=storage, study_name=name)
        odd.set_user_attr("sllmbo:task", {"estimator": "toy"})
        odd.set_user_attr(FACTS, task().to_json()["data"] if facts is None else facts)
    two = optuna.load_study(study_name="two", storage=storage)
    two.set_user_attr("sllmbo:task", {"estimator": "toy"})
    two.set_user_attr(FACTS, task().to_json()["data"])

    assert [] == find_starts(storage, task())
    assert "transfer" not in sources(study(storage, "later", n=3))


def test_a_given_configuration_is_tried_by_every_method() -> None:
    """What is handed over is evaluated after the default, whoever proposes the rest."""
    best = EarlierBest(study="mine", params={"x": 30.0, "k": 3})
    for method in ("tpe", "llm-tpe"):
        tuner = study(optuna.storages.InMemoryStorage(), "new", n=3, method=method, transfer=[best])

        assert ["default", "transfer"] == sources(tuner)[:2]
        assert {"x": 30.0, "k": 3} == tuner.study.trials[1].params


def test_transfer_is_neither_side_of_the_mixing(storage) -> None:
    """What earlier studies bring is no merit of the advisor's: it had no trial where only they and TPE served."""
    from sllmbo.samplers import Adaptive, study_history

    study(storage, "first")
    later = study(storage, "second", n=2)
    history = study_history(later.study)

    assert 0 == measure_worth(history).advisor_trials
    assert Adaptive().standing(history).n_advisor == 0


def test_no_fact_of_the_data_but_aggregates_is_stored(storage) -> None:
    """The study keeps the facts of the card and nothing else of the data."""
    tuner = study(storage, "first", n=1)

    assert task().to_json()["data"] == tuner.study.user_attrs[FACTS]


def test_distance() -> None:
    """It is symmetric, 0 to itself, infinite across kinds, and a share at most 1 per fact."""
    one = DataFacts(kind="classification", n_rows=100, n_features=5, n_classes=2, minority_share=0.5)
    far = DataFacts(
        kind="classification",
        n_rows=10**9,
        n_features=10**6,
        n_categorical=10**6,
        max_cardinality=10**6,
        missing_share=1.0,
        n_classes=1_000,
        minority_share=0.0,
        ordered=True,
    )

    assert 0 == distance(one, one)
    assert distance(one, far) == distance(far, one) == 8.0
    assert float("inf") == distance(one, DATA)


def test_what_is_told_of_earlier_studies_is_gated() -> None:
    """Names at the highest level only, gains from statistics on, nothing below; nothing at all without any."""
    from sllmbo.history import History

    best = EarlierBest(study="secret clients", params={"x": 3.0}, metric="mae", gain=0.25)
    told = {}
    for privacy in ("none", "schema", "statistics", "description"):
        given = shown(task(earlier=(best,)), SPACE, History("minimize"), privacy=privacy)
        told[privacy] = render_suggestions(given.task, given.space, given.history, n=1, purpose="next").text
    masked = shown(task(earlier=(best,)), SPACE, History("minimize"), privacy="description", mask_names=True)
    text = render_suggestions(masked.task, masked.space, masked.history, n=1, purpose="next").text

    assert '"secret clients" beat its default by 0.25 ("mae")' in told["description"]
    assert "by transfer: one beat its default by 0.25" in told["statistics"]
    assert "secret" not in told["statistics"] + text
    assert "mae" not in text
    assert "earlier" not in told["none"] + told["schema"]
    without = render_suggestions(task(), SPACE, History("minimize"), n=1, purpose="next").text
    assert without == told["description"].replace(
        next(line for line in told["description"].splitlines() if "earlier" in line) + "\n", ""
    )
