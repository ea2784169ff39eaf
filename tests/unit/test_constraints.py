"""
Studies with constraints and with several objectives, from ask and tell to the result.
"""

from __future__ import annotations

import optuna
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes

from sllmbo import Float, SearchSpace, Task, Tuner, TuneResult, tune
from sllmbo.errors import ConfigError, StudyError, TaskError
from sllmbo.prompts.digest import digest
from sllmbo.prompts.render import render_suggestions
from sllmbo.samplers import LLMTPESampler, study_history
from sllmbo.tuner.result import count_sources, pareto_front, trial_records

SPACE = SearchSpace({"x": Float(0.0, 10.0, default=5.0), "y": Float(0.0, 10.0, default=5.0)})
TASK = Task(direction="maximize", metric="yield", n_trials=40)


def _bounded(**options):
    return Tuner(SPACE, task=TASK, constraints=["cost<=4"], llm="offline", seed=0, **options)


def _run(tuner, n):
    for _ in range(n):
        trial = tuner.ask()
        x, y = trial.params["x"], trial.params["y"]
        tuner.tell(trial, x + y, details={"cost": x * y / 4})


def test_a_trial_that_breaks_a_constraint_is_never_the_best() -> None:
    """Optuna's best trial keeps the constraint, although better values were measured."""
    tuner = _bounded()
    _run(tuner, 40)

    trials = tuner.study.trials
    assert max(t.value for t in trials) > tuner.study.best_value
    assert tuner.study.best_trial.params["x"] * tuner.study.best_trial.params["y"] <= 16.0


def test_a_broken_constraint_is_told_as_a_failure_with_what_was_measured() -> None:
    """The advisor's history has the default as failed, as its cost of 6.25 is beyond 4."""
    tuner = _bounded()
    _run(tuner, 1)

    (observation,) = study_history(tuner.study)
    assert ("failed", "infeasible: cost is 6.25, not <= 4") == (observation.state, observation.reason)
    assert 6.25 == observation.details["cost"]


def test_both_sides_learn_to_keep_the_constraint() -> None:
    """Of the later trials most are feasible, though a random one is so in less than half of the space."""
    tuner = _bounded()
    _run(tuner, 40)

    later = trial_records(tuner.study)[15:]
    assert sum(record["state"] == "complete" for record in later) >= 0.7 * len(later)


def test_constraints_are_part_of_the_question() -> None:
    """A chat model is told the bound, and a column of what was measured."""
    tuner = _bounded()
    _run(tuner, 3)

    text = render_suggestions(tuner.task, SPACE, study_history(tuner.study), n=1, purpose="next").text
    assert 'constraints: "cost<=4"' in text
    assert "trial,value,cost,x,y" in text


def test_what_a_constraint_is_about_must_be_measured() -> None:
    """Telling a value without the cost is a mistake of the user's that names what is missing."""
    tuner = _bounded()

    with pytest.raises(ConfigError, match="'cost' was not measured"):
        tuner.tell(tuner.ask(), 1.0)


def test_a_measure_that_is_no_number_fails_the_trial() -> None:
    """NaN keeps no constraint and breaks none: the trial failed."""
    tuner = _bounded()
    tuner.tell(tuner.ask(), 1.0, details={"cost": float("nan")})

    assert optuna.trial.TrialState.FAIL == tuner.study.trials[0].state


def test_a_study_keeps_its_constraints(tmp_path) -> None:
    """Going on with other constraints is refused: what was feasible would no longer be."""
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    _run(_bounded(storage=storage, study_name="s"), 2)

    with pytest.raises(StudyError, match="constraints"):
        Tuner(SPACE, task=TASK, constraints=["cost<=5"], llm="offline", storage=storage, study_name="s")
    _run(_bounded(storage=storage, study_name="s"), 1)


def test_constraints_of_an_optuna_study_are_told_too() -> None:
    """A constraint that an objective sets by Optuna's own call reaches the history of our sampler."""

    def objective(trial):
        x = trial.suggest_float("x", 0.0, 10.0)
        trial.set_constraint("cost", x - 4.0)
        return x

    study = optuna.create_study(direction="maximize", sampler=LLMTPESampler("offline", space=SPACE, seed=0))
    study.optimize(objective, n_trials=1)

    assert "infeasible: cost is 1 over" == study_history(study)[0].reason


def _several(**options):
    return Tuner(SPACE, task=TASK, objectives={"cost": "minimize"}, llm="offline", seed=0, **options)


def test_a_study_of_several_objectives_ranks_its_trials() -> None:
    """The history's values are Pareto ranks: those of the front, and no others, are below 1."""
    tuner = _several()
    _run(tuner, 25)

    history = study_history(tuner.study)
    front = {trial.number for trial in tuner.study.best_trials}
    assert "minimize" == history.direction
    assert front == {o.number for o in history.complete() if o.value < 1.0}
    assert history.best.number in front
    assert {"yield", "cost"} <= history[0].details.keys()


def test_the_front_is_optunas(tmp_path) -> None:
    """The Pareto front of the result has the trials that Optuna has, by value of the first objective."""
    tuner = _several()
    _run(tuner, 25)

    front = pareto_front(tuner.study)
    assert {trial.number for trial in tuner.study.best_trials} == {point["number"] for point in front}
    yields = [point["values"]["yield"] for point in front]
    assert sorted(yields, reverse=True) == yields


def test_a_trial_of_the_front_is_an_improvement_everywhere() -> None:
    """What a chat model is told, patience, and the table of sources count the same trials."""
    tuner = _several()
    _run(tuner, 25)
    history = study_history(tuner.study)
    records = trial_records(tuner.study)

    improved = {record["number"] for record in records if record["improved"]}
    assert history.improved == improved
    assert 24 - max(improved) == history.since_improvement()
    counts = count_sources(records)["tpe"]
    text = digest(SPACE, history, n_trials=40, limit=1_500)
    assert f"tpe {counts['improvements']} of {counts['trials']}" in text


def test_several_objectives_are_explained_in_the_question() -> None:
    """A chat model is told what is wanted of each objective, what the value is then, and both columns."""
    tuner = _several()
    _run(tuner, 3)

    text = render_suggestions(tuner.task, SPACE, study_history(tuner.study), n=1, purpose="next").text
    assert 'as important as the metric: "cost" (lower is better)' in text
    assert "value: the rank of a trial, lower is better" in text
    assert "yield" in text.split("TRIALS")[1].splitlines()[1]


@pytest.mark.parametrize(
    "options",
    [{"method": "cma"}, {"repeats": True}, {"pruner": optuna.pruners.MedianPruner()}],
    ids=lambda o: next(iter(o)),
)
def test_several_objectives_refuse_what_needs_one(options) -> None:
    """CMA-ES, repeats and pruning are for one objective, and that is said."""
    with pytest.raises(ConfigError, match="A study of several objectives cannot have"):
        _several(**options)


def test_tune_keeps_a_bound_on_the_size(tmp_path) -> None:
    """The best machine keeps its bound, the larger ones are counted, and the saved result has it all."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    bounds = ["model_size_mb<=0.05", "recall>=0.9"]
    result = tune("svm", X, y, constraints=bounds, n_trials=6, cv=2, llm="offline", seed=0)

    assert result.measures["model_size_mb"] <= 0.05
    assert result.measures["recall"] >= 0.9
    assert result.n_infeasible == sum(trial["state"] == "infeasible" for trial in result.trials)
    assert result.n_infeasible >= 1
    loaded = TuneResult.load(result.save(tmp_path))
    assert (result.measures, result.constraints) == (loaded.measures, loaded.constraints)
    assert "model_size_mb" in (tmp_path / "trials.csv").read_text().splitlines()[0]


def test_tune_with_two_objectives_returns_a_front() -> None:
    """The result has the front, a compromise of it as the best, and the metric's value of that."""
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    result = tune("svm", X, y, objectives=["model_size_mb"], n_trials=8, cv=2, llm="offline", seed=0)

    chosen = [point for point in result.pareto if point["params"] == result.best_params]
    assert chosen
    assert chosen[0]["values"]["mae"] == result.best_value
    assert {"mae", "model_size_mb"} == set(result.pareto[0]["values"])
    assert result.estimator.predict(X).shape == y.shape


def test_a_constraint_that_nothing_keeps_ends_in_one_sentence() -> None:
    """Where no trial is feasible there is no result, and the sentence says what was measured."""
    X, y = load_diabetes(return_X_y=True, as_frame=True)

    with pytest.raises(TaskError, match=r"None of 6 trials keeps the constraints .*loosen a constraint"):
        tune("ridge", X, y, constraints=["model_size_mb<=0.000001"], n_trials=6, cv=2, llm="offline")


@pytest.mark.parametrize(
    ("goals", "words"),
    [
        ({"constraints": ["weight<=3"]}, "Beside metrics, model_size_mb, predict_ms, fit_seconds can be measured"),
        ({"objectives": ["mae"]}, "is the metric itself"),
        ({"objectives": ["accuracy"]}, "is not for regression"),
    ],
)
def test_unknown_goals_are_refused(goals, words) -> None:
    """A name that is no measure and no metric of the data, or the metric itself, is told before anything runs."""
    X, y = load_diabetes(return_X_y=True, as_frame=True)

    with pytest.raises(TaskError, match=words):
        tune("ridge", X, y, n_trials=2, llm="offline", **goals)
