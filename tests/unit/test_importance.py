"""
Importance: Optuna's figures, as a function of the trials that are told.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import optuna
import pytest
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from sllmbo.history import History, Observation
from sllmbo.samplers import study_history
from sllmbo.samplers._importance import Importance, importance
from sllmbo.space import Categorical, Float, Int, SearchSpace, When

SPACE = SearchSpace(
    {
        "lr": Float(1e-4, 1, log=True),
        "idle": Float(-1, 1),
        "kind": Categorical(["a", "b", "c"]),
        "depth": Int(1, 9, condition=When("kind", ["a"])),
    }
)


def _objective(trial: optuna.Trial) -> float:
    lr, kind = trial.suggest_float("lr", 1e-4, 1, log=True), trial.suggest_categorical("kind", ["a", "b", "c"])
    trial.suggest_float("idle", -1, 1)
    depth = trial.suggest_int("depth", 1, 9) if kind == "a" else 5
    return abs(np.log10(lr) + 2) + 0.1 * depth + (kind == "b")


@pytest.fixture(scope="module")
def study() -> optuna.Study:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(_objective, n_trials=60)
    return study


def test_it_is_what_optuna_says(study: optuna.Study) -> None:
    """Of an ordinary study it is what Optuna's default evaluator finds to decide about the best quarter."""
    theirs = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=0.25))
    assert theirs == pytest.approx(importance(SPACE, study_history(study)))


def test_it_finds_what_matters(study: optuna.Study) -> None:
    """The parameters that the values depend on come before the idle one, in both directions of the metric."""
    history = study_history(study)
    found = importance(SPACE, history)
    assert found["idle"] < min(found["lr"], found["kind"])
    turned = History("maximize", tuple(replace(o, value=-(o.value or 0.0)) for o in history))
    assert found == importance(SPACE, turned)


def test_trials_of_one_value_are_all_good_or_none() -> None:
    """Many equal values are told apart by nothing: it is what Optuna says, and nothing where the value is constant."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(lambda t: float(t.suggest_float("a", 0, 1) > 0.5) + 0 * t.suggest_float("b", 0, 1), n_trials=50)
    history, space = study_history(study), SearchSpace({"a": Float(0, 1), "b": Float(0, 1)})
    theirs = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=0.25))
    assert theirs == pytest.approx(importance(space, history))
    assert {} == importance(space, History("minimize", tuple(replace(o, value=1.0) for o in history)))


def test_too_few_trials_or_no_difference_say_nothing() -> None:
    """Below 20 complete trials nothing is said, nor of a parameter that cannot vary."""
    space = SearchSpace({"x": Float(0, 1), "fixed": Int(3, 3)})
    trials = [Observation(i, {"x": i / 30, "fixed": 3}, state="complete", value=float(i)) for i in range(20)]
    assert {} == importance(space, History("minimize", tuple(trials[:19])))
    assert {"x": 1.0} == importance(space, History("minimize", tuple(trials)))


def test_trials_of_other_ranges_and_types_do_not_disturb() -> None:
    """Values outside a range that was edited count at its end; those without a meaning are left out."""
    values = [0.5, 20.0, 3.0, -1.0, "x", None, True] * 6
    trials = [Observation(i, {"lr": value}, state="complete", value=float(i)) for i, value in enumerate(values)]
    assert {"lr": 1.0} == importance(SearchSpace({"lr": Float(0.1, 1, log=True)}), History("minimize", tuple(trials)))


def test_it_is_worked_out_when_it_is_looked_at(study: optuna.Study, monkeypatch) -> None:
    """An advisor that does not look at it, such as the rules, does not pay for it; who does gets it, once."""
    calls = []

    def counted(space: SearchSpace, history: History) -> dict[str, float]:
        calls.append(len(history))
        return importance(space, history)

    monkeypatch.setattr("sllmbo.samplers._importance.importance", counted)
    told = Importance(SPACE, study_history(study))
    assert [] == calls
    assert importance(SPACE, study_history(study)) == dict(told)
    assert set(SPACE) == set(told)
    assert [60] == calls
