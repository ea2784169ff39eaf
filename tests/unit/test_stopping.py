"""
Patience and budgets.
"""

from __future__ import annotations

import optuna
import pytest

from sllmbo.budget import Budget
from sllmbo.errors import ConfigError
from sllmbo.samplers import LLMTPESampler
from sllmbo.space import Categorical, Float, Int, SearchSpace, When
from sllmbo.stopping import BudgetCallback, PatienceCallback, is_exhausted
from sllmbo.tuner import Tuner


def _study(values, *, patience, n_trials=50):
    """Run a study whose trials have *values*; "fail" raises and "prune" prunes."""

    def objective(trial):
        value = values[trial.number]
        if value == "fail":
            raise ValueError("no")
        if value == "prune":
            raise optuna.TrialPruned
        return value

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=n_trials, callbacks=[PatienceCallback(patience)], catch=(ValueError,))
    return study


def test_patience_counts_trials_after_the_best() -> None:
    """A study stops once *patience* trials have followed the best one."""
    study = _study([1, 3, 2, 2, 2, 5], patience=3)

    assert 5 == len(study.trials)


def test_equal_values_are_no_improvement() -> None:
    """A value that equals the best does not reset patience."""
    study = _study([1.0] * 20, patience=4)

    assert 5 == len(study.trials)


def test_failed_and_pruned_trials_use_patience_up() -> None:
    """A chat model that only makes trials fail cannot keep a study running."""
    study = _study([1.0, "fail", "prune", "fail", 2.0], patience=3)

    assert 4 == len(study.trials)


def test_patience_ends_where_nothing_works() -> None:
    """A study in which every trial fails stops too."""
    assert 3 == len(_study(["fail"] * 9, patience=3).trials)


def test_patience_goes_on_counting_in_a_resumed_study() -> None:
    """Trials of an earlier session count."""
    storage = optuna.storages.InMemoryStorage()
    first = optuna.create_study(storage=storage, study_name="s", sampler=optuna.samplers.RandomSampler(seed=0))
    first.optimize(lambda trial: 0.0, n_trials=4)
    second = optuna.load_study(storage=storage, study_name="s", sampler=optuna.samplers.RandomSampler(seed=0))
    second.optimize(lambda trial: 0.0, n_trials=50, callbacks=[PatienceCallback(5)])

    assert 6 == len(second.trials)


def test_patience_must_be_positive() -> None:
    """Patience of zero is refused with the value in the message."""
    with pytest.raises(ConfigError, match="patience=0"):
        PatienceCallback(0)


def test_trial_budget_counts_the_whole_study() -> None:
    """The trials of a budget are those of the study, not of the session."""
    study = optuna.create_study(sampler=LLMTPESampler(llm="offline", seed=0))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    study.optimize(
        lambda trial: trial.suggest_float("x", 0, 1), n_trials=50, callbacks=[BudgetCallback(Budget(trials=8))]
    )

    assert 8 == len(study.trials)


def test_time_budget_stops_before_the_next_trial() -> None:
    """A spent time budget lets the running trial end and begins none."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda trial: 0.0, n_trials=50, callbacks=[BudgetCallback(Budget(seconds=1e-9))])

    assert 1 == len(study.trials)


@pytest.mark.parametrize("limit", [{"trials": 0}, {"seconds": -1.0}])
def test_budget_refuses_limits_that_are_not_positive(limit) -> None:
    """A limit of nothing is a mistake, not a wish."""
    with pytest.raises(ValueError, match="must be positive"):
        Budget(**limit)


@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        ({"a": Categorical([None, "x"]), "b": Float(0.1, 0.3, step=0.1)}, 6),
        ({"a": Int(1, 4, log=True), "b": Float(2, 2)}, 4),
        ({"a": Int(0, 9, step=4)}, 3),
        ({"a": Float(0, 1)}, None),
        ({"a": Categorical(["x", "y"]), "b": Int(1, 2, condition=When("a", ["x"]))}, None),
    ],
)
def test_a_space_is_exhausted_once_each_of_its_configurations_was_tried(parameters, size) -> None:
    """Whatever became of them, each counts once; a space that has no end is never exhausted."""
    space = SearchSpace(parameters)
    tuner = Tuner(space, method="random", seed=0)
    tried = set()
    for number in range(30):
        assert (len(tried) == size) == is_exhausted(tuner.study, space)
        trial = tuner.ask()
        tuner.tell(trial, float(number), failure="RuntimeError: odd" if number % 2 else None)
        tried.add(str(trial.params))
    assert (size is not None) == is_exhausted(tuner.study, space)
