"""
The default configuration of a space that does not say it whole.
"""

import logging

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from sklearn.ensemble import RandomForestClassifier

from sllmbo.integrations._plan import Plan
from sllmbo.samplers import AdvisedSampler, LLMTPESampler
from sllmbo.samplers._default import default_decision, with_documented_defaults
from sllmbo.samplers._record import SOURCE
from sllmbo.space import Categorical, Float, Int, SearchSpace, When
from sllmbo.task import Task

LIGHTGBM = {
    "learning_rate": FloatDistribution(0.01, 0.3, log=True),
    "num_leaves": IntDistribution(8, 256, log=True),
}
TASK = Task(estimator="lightgbm")


@pytest.mark.parametrize(
    "make", [lambda **given: LLMTPESampler("offline", **given), lambda **given: AdvisedSampler(None, **given)]
)
def test_optunas_distributions_have_the_documented_defaults(make):
    """They cannot say any, and the first trial is the estimator's default configuration as with a space of ours."""
    study = optuna.create_study(sampler=make(space=LIGHTGBM, task=TASK, seed=0))
    study.optimize(
        lambda t: t.suggest_float("learning_rate", 0.01, 0.3, log=True) + t.suggest_int("num_leaves", 8, 256, log=True),
        2,
    )
    assert {"learning_rate": 0.1, "num_leaves": 31} == study.trials[0].params
    assert "default" == study.trials[0].user_attrs[SOURCE] != study.trials[1].user_attrs[SOURCE]


def test_a_default_of_the_users_stays_and_one_outside_is_not_taken():
    """What is documented fills gaps, where the space allows it."""
    space = SearchSpace(
        {"learning_rate": Float(0.01, 0.3, default=0.2), "num_leaves": Int(64, 256), "min_child_samples": Int(1, 50)}
    )
    filled = with_documented_defaults(space, TASK)
    assert [0.2, None, 20] == [parameter.default for parameter in filled.values()]
    assert space is with_documented_defaults(space, Task(description="a reaction"))


def test_an_incomplete_default_is_told_and_not_tried(caplog):
    """With a default for some parameters only there is no default configuration, and one sentence says what lacks."""
    space = SearchSpace({"x": Float(0, 1, default=0.5), **{name: Int(1, 3) for name in "abcd"}})
    with caplog.at_level(logging.WARNING, logger="sllmbo"):
        assert default_decision(space) is None
    assert ["no default for a, b, c and 1 more; give it one."] == [m.partition("has ")[2] for m in caplog.messages]
    caplog.clear()
    assert default_decision(SearchSpace({"a": Int(1, 3)})) is None
    assert not caplog.messages


def test_a_parameter_that_the_default_does_not_use_needs_none():
    """Under a condition that the default does not meet, nothing lacks; None can be a default."""
    space = SearchSpace(
        {
            "kernel": Categorical(["rbf", "poly", None], default=None),
            "degree": Int(1, 5, condition=When("kernel", ("poly",))),
        }
    )
    assert {"kernel": None} == default_decision(space).params


def test_a_choice_none_is_no_default_where_none_was_said():
    """Of distributions and lists: the documented value or the estimator's own is taken, and not the choice None."""
    space = {"max_features": CategoricalDistribution(["sqrt", "log2", None]), "n_estimators": IntDistribution(10, 500)}
    study = optuna.create_study(sampler=AdvisedSampler(None, space=space, task=Task(estimator="random_forest"), seed=0))
    assert {"max_features": "sqrt", "n_estimators": 100} == {
        "max_features": (trial := study.ask()).suggest_categorical("max_features", ["sqrt", "log2", None]),
        "n_estimators": trial.suggest_int("n_estimators", 10, 500),
    }
    lists = {
        "max_depth": [None, 5, 10],
        "max_features": ["sqrt", None],
        "class_weight": Categorical([None, "balanced"]),
    }
    plan = Plan(RandomForestClassifier(max_depth=5, class_weight="balanced"), lists, None)
    assert [5, "sqrt", None] == [parameter.default for parameter in plan.space.values()]
