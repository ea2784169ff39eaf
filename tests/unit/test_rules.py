"""
The rule advisor: any space, any history, and the rules one by one.
"""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sllmbo.advisors import AdviceRequest, Advisor
from sllmbo.advisors.knowledge import find_estimator
from sllmbo.advisors.rules import RuleAdvisor
from sllmbo.advisors.rules.meaning import canonical, complexity, rate_and_rounds
from sllmbo.advisors.rules.moves import RULES
from sllmbo.advisors.rules.opening import every_configuration
from sllmbo.advisors.rules.view import key
from sllmbo.errors import AdviceError
from sllmbo.history import History, Observation
from sllmbo.space import Categorical, Float, Int, SearchSpace, When
from sllmbo.task import DataFacts, Task

NAMES = ("learning_rate", "clf__n_estimators", "max_depth", "num_leaves", "C", "gamma", "x", "kernel", "subsample")
FACTS = DataFacts(kind="classification", n_rows=1_500, n_features=20, n_classes=2, minority_share=0.05)
LIGHTGBM = Task(estimator="lightgbm", data=FACTS, direction="maximize")


@st.composite
def parameters(draw, conditions):
    condition = draw(st.sampled_from([None, *conditions]))
    kind = draw(st.sampled_from(["float", "int", "categorical"]))
    if kind == "categorical":
        choices = draw(
            st.sampled_from([("a",), ("rbf", "linear", None), (True, False), ("sqrt", 0.5, 1.0), (1, "1", True)])
        )
        return Categorical(choices, default=draw(st.sampled_from([None, *choices])), condition=condition)
    low = draw(st.sampled_from([1, 2, 50]) if kind == "int" else st.sampled_from([1e-6, 0.1, 1.0]))
    high = low + draw(st.sampled_from([0, 1, 3, 1000]))
    log = draw(st.booleans())
    step = None if log else draw(st.sampled_from([None, 1, 2]))
    cls = Int if kind == "int" else Float
    default = draw(st.sampled_from([None, low]))
    arguments = {"log": log, "default": default, "condition": condition}
    return cls(low, high, **arguments) if step is None else cls(low, high, step=step, **arguments)


@st.composite
def spaces(draw):
    found = {}
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=6)):
        conditions = [
            When(other, parameter.choices[:1])
            for other, parameter in found.items()
            if isinstance(parameter, Categorical)
        ]
        found[name] = draw(parameters(conditions))
    return SearchSpace(found)


@st.composite
def observations(draw, number, space):
    params = space.sample(np.random.default_rng(draw(st.integers(0, 30))))
    for name in draw(st.lists(st.sampled_from(list(params)), max_size=2)) if params else []:
        params.pop(name, None)
    params |= draw(st.sampled_from([{}, {"unknown": 3}, {"x": "nonsense"}, {"max_depth": 1e9}]))
    state = draw(st.sampled_from(["complete", "complete", "complete", "pruned", "failed", "running"]))
    value = draw(st.sampled_from([None, 0.5, 0.7, -3.0, 1e300, math.inf, math.nan]))
    reason = draw(st.sampled_from(["", "MemoryError: no room", "TimeoutError: timed out"])) if state == "failed" else ""
    details = draw(st.sampled_from([{}, {"train_value": 0.9}, {"train_value": 0.4}, {"train_value": math.nan}]))
    return Observation(number, params, state=state, value=value, reason=reason, details=details)


@st.composite
def requests(draw):
    space = draw(spaces())
    n_trials = draw(st.sampled_from([0, 1, 2, 8, 20]))
    trials = tuple(draw(observations(number, space)) for number in range(n_trials))
    return AdviceRequest(
        task=draw(st.sampled_from([Task(), LIGHTGBM, Task(description="svm, rmse"), Task(estimator="elastic_net")])),
        space=space,
        history=History(draw(st.sampled_from(["minimize", "maximize"])), trials),
        n=draw(st.sampled_from([1, 2, 5])),
        purpose=draw(st.sampled_from(["opening", "next"])),
        turn=n_trials,
        seed=draw(st.integers(0, 3)),
    )


def _tried(request):
    keys = set()
    for observation in request.history:
        try:
            keys.add(key(request.space.repair(observation.params)[0]))
        except ValueError:
            continue
    return keys


@settings(max_examples=100, deadline=None)
@given(requests())
def test_any_request_has_valid_new_advice(request):
    """Advice is contained in the space, explained, distinct, new while anything is left, and repeatable."""
    advisor = RuleAdvisor()

    advice = advisor.suggest(request)

    assert 1 <= len(advice) <= request.n
    assert all(request.space.contains(one.params) for one in advice)
    assert all(one.rationale and one.origin and one.source == "rules" for one in advice)
    keys = [key(one.params) for one in advice]
    assert len(set(keys)) == len(keys)
    tried = _tried(request)
    left = any(key(params) not in tried for params in every_configuration(request.space, len(tried) + 1))
    assert left == (not set(keys) & tried)
    assert advice == advisor.suggest(request)


def _request(space, observations=(), *, n=1, purpose="next", task=LIGHTGBM, direction="maximize", seed=0):
    history = History(direction, tuple(observations))
    return AdviceRequest(task=task, space=space, history=history, n=n, purpose=purpose, turn=len(history), seed=seed)


def _design():
    return RuleAdvisor().design_space(LIGHTGBM).space


def _complete(number, params, value, **details):
    return Observation(number, params, state="complete", value=value, details=details)


def test_same_advice_in_another_process():
    """A fresh interpreter gives the same advice to the same request."""
    program = (
        "from sllmbo.advisors import AdviceRequest; from sllmbo.advisors.rules import RuleAdvisor;"
        "from sllmbo.history import *; from sllmbo.task import Task;"
        "a = RuleAdvisor(); t = Task(estimator='lightgbm'); s = a.design_space(t).space;"
        "o = tuple(Observation(i, p.params, state='complete', value=float(i % 3)) for i, p in enumerate("
        "a.suggest(AdviceRequest(task=t, space=s, history=History('maximize'), n=8, purpose='opening'))));"
        "r = AdviceRequest(task=t, space=s, history=History('maximize', o), n=4, turn=8, seed=5);"
        "print([dict(x.params) for x in a.suggest(r)])"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout for _ in "ab"
    ]

    assert runs[0] == runs[1]
    assert "num_leaves" in runs[0]


def test_rules_satisfy_the_protocol():
    """The rule advisor is an Advisor."""
    assert isinstance(RuleAdvisor(), Advisor)


def test_design_is_the_documented_space():
    """The designed space is the known one, and the design names its sources."""
    design = RuleAdvisor().design_space(Task(description="LightGBM on census income"))

    assert (design.source, design.origin) == ("rules", "lightgbm")
    assert design.space["num_leaves"].default == 31
    assert "LightGBM documentation" in design.rationale


def test_design_follows_the_estimator_at_hand():
    """Parameters that the estimator lacks are left out with what hangs on them; its own values are the defaults."""
    own = {"kernel": "linear", "C": 3.0, "degree": 99}
    space = RuleAdvisor().design_space(Task(estimator="sklearn.svm.SVC", estimator_params=own)).space

    assert list(space) == ["kernel", "C", "degree"]
    assert (space["kernel"].default, space["C"].default, space["degree"].default) == ("linear", 3.0, 3)


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        (Task(estimator="lightgbm.LGBMRegressor"), "regression"),
        (Task(estimator="svr"), "regression"),
        (Task(estimator="svm", metric="neg_root_mean_squared_error"), "regression"),
        (Task(estimator="svm", metric="roc_auc"), "classification"),
        (Task(estimator="logistic_regression"), "classification"),
        (Task(estimator="elastic_net"), "regression"),
        (Task(estimator="svr", data=FACTS), "classification"),
    ],
)
def test_kind_is_read_from_the_task(task, kind):
    """The kind of problem comes from the data, else from the estimator, else from the words of the task."""
    assert find_estimator(task.estimator).space(kind) == RuleAdvisor().design_space(task).space


@pytest.mark.parametrize(
    "task",
    [
        Task(),
        Task(description="a black box"),
        Task(estimator="elastic_net", data=FACTS),
        Task(estimator="lightgbm", estimator_params={"alpha": 1.0}),
    ],
)
def test_no_space_without_knowledge(task):
    """A task without a known estimator of its kind is refused with the remedy."""
    with pytest.raises(AdviceError, match="give a search space"):
        RuleAdvisor().design_space(task)


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        (1_500, ["small data", "tuned default", "many small trees", "rare class"]),
        (7_000, ["tuned default", "medium data", "many small trees"]),
    ],
)
def test_opening_starts_with_what_is_published(rows, names):
    """The opening is what is published and what the data suggest, by the number of rows, then fills the space."""
    facts = DataFacts(kind="classification", n_rows=rows, n_features=20, n_classes=2, minority_share=0.05)
    task = Task(estimator="lightgbm", data=facts)
    advice = RuleAdvisor().suggest(_request(_design(), n=8, purpose="opening", task=task))
    tuned = next(one for one in advice if one.origin == "lightgbm: tuned default")

    assert [f"lightgbm: {name}" for name in names] == [one.origin for one in advice[: len(names)]]
    assert {"around the default", "across the space"} == {one.origin for one in advice[len(names) :]}
    assert tuned.params["num_leaves"] == 50
    assert "arXiv 2407.04491" in tuned.rationale


def test_reasons_speak_of_a_default_only_where_there_is_one():
    """Without one, the opening is around the middle and names every value."""
    space = SearchSpace({"x": Float(0.0, 1.0), "y": Float(0.0, 1.0)})
    advice = RuleAdvisor().suggest(_request(space, n=4, purpose="opening"))
    assert {"around the middle", "across the space"} == {one.origin for one in advice}
    assert not [one for one in advice if "default" in one.rationale]
    assert all(f"{name}=" in one.rationale for one in advice for name in space)


def test_what_is_published_is_tried_before_the_rules_guess():
    """Asked for the next trial, the advisor gives what is published first, and nothing of it twice."""
    default = _complete(0, _design().default_params(), 0.8)
    first = RuleAdvisor().suggest(_request(_design(), [default]))[0]
    second = RuleAdvisor().suggest(_request(_design(), [default, _complete(1, first.params, 0.7)]))[0]

    assert ("lightgbm: small data", "lightgbm: tuned default") == (first.origin, second.origin)


def test_knowledge_reaches_spaces_of_users():
    """Pipeline prefixes, synonyms, missing parameters and other ranges are met half-way."""
    space = SearchSpace({"clf__eta": Float(0.05, 0.2, log=True), "clf__num_leaves": Int(2, 20), "scale": Float(0, 1)})

    first = RuleAdvisor().suggest(_request(space, purpose="opening"))[0]

    assert {"clf__eta": 0.05, "clf__num_leaves": 6, "scale": 0.5} == first.params
    assert "Here only clf__eta=0.05, clf__num_leaves=6." in first.rationale


def test_openings_differ_by_seed():
    """Another seed fills the space with other points."""
    space = SearchSpace({"x": Float(0, 1), "y": Float(0, 1)})
    runs = [RuleAdvisor().suggest(_request(space, n=4, purpose="opening", seed=seed)) for seed in (0, 1)]

    assert not {key(a.params) for a in runs[0]} & {key(a.params) for a in runs[1]}


def _origins(space, observations, n=60, **options):
    return {a.origin: a for a in RuleAdvisor().suggest(_request(space, observations, n=n, **options))}


def test_a_value_near_its_bound_goes_to_the_bound():
    """Where the incumbent is close to an end of a range, the end itself is proposed, the rest kept."""
    space = SearchSpace({"x": Float(0, 1, default=0.5), "y": Float(0, 1, default=0.5)})
    found = _origins(space, [_complete(0, {"x": 0.5, "y": 0.5}, 1.0), _complete(1, {"x": 0.95, "y": 0.4}, 2.0)])

    assert {"x": 1.0, "y": 0.4} == found["towards the bound"].params
    assert "Trial 1" in found["towards the bound"].rationale


def test_a_value_at_its_bound_is_kept():
    """Where the incumbent is at an end of a range, the others move and it stays."""
    space = SearchSpace({"x": Float(0, 1, default=0.5), "y": Float(0, 1, default=0.5)})
    found = _origins(space, [_complete(0, {"x": 1.0, "y": 0.5}, 2.0)])["at the bound"].params

    assert found["x"] == 1.0
    assert found["y"] != 0.5


def test_learning_rate_trades_against_rounds():
    """Half the learning rate comes with twice the rounds."""
    params = _design().default_params()
    found = _origins(_design(), [_complete(0, params, 0.8)], task=Task(estimator="lightgbm"))["rate for rounds"].params

    assert {**params, **found} == found
    assert found["learning_rate"] * found["n_estimators"] == pytest.approx(10.0)


@pytest.mark.parametrize(("train", "origin", "grows"), [(0.99, "regularise", True), (0.72, "closer fit", False)])
def test_the_gap_between_training_and_validation_is_read(train, origin, grows):
    """An incumbent that overfits more than usual is regularised, one that overfits less may fit closer."""
    space = SearchSpace({"min_child_samples": Int(2, 200, log=True, default=20)})
    trials = [
        _complete(0, {"min_child_samples": 10}, 0.6, train_value=0.7),
        _complete(1, {"min_child_samples": 20}, 0.7, train_value=train),
        _complete(2, {"min_child_samples": 60}, 0.6, train_value=0.7),
    ]
    found = _origins(space, trials)[origin]

    assert grows == (found.params["min_child_samples"] > 20)
    assert "Trial 1" in found.rationale


def test_running_out_of_memory_halves_what_costs_memory():
    """After a MemoryError the sizes of the failed trial are halved, and the rationale names it."""
    space = SearchSpace({"n_estimators": Int(1, 1000), "x": Float(0, 1)})
    trials = [
        _complete(0, {"n_estimators": 100, "x": 0.5}, 1.0),
        Observation(1, {"n_estimators": 900, "x": 0.5}, state="failed", reason="MemoryError: no room"),
    ]
    found = _origins(space, trials)["halve after failure"]

    assert {"n_estimators": 450, "x": 0.5} == found.params
    assert "Trial 1 failed (MemoryError: no room)" in found.rationale


def test_advice_keeps_away_from_failures():
    """Where every trial above a value failed, what is proposed first stays below it, and some advice says why."""
    space = SearchSpace({"x": Float(0, 1, default=0.3), "y": Float(0, 1, default=0.5)})
    fine = [_complete(i, {"x": 0.1 + 0.1 * i, "y": 0.2 * i}, 0.1 * i) for i in range(5)]
    failed = [Observation(5 + i, {"x": 0.6 + 0.1 * i, "y": 0.3 * i}, state="failed") for i in range(4)]
    advice = [RuleAdvisor().suggest(_request(space, fine + failed, n=3, seed=seed)) for seed in range(8)]

    assert all(one.params["x"] < 0.6 for batch in advice for one in batch)
    assert any("Kept away from where trials 5, 6, 7, 8 failed." in one.rationale for batch in advice for one in batch)


def test_a_plateau_leads_to_large_steps_and_empty_regions():
    """After several trials without improvement the emptiest region is among the proposals."""
    space = SearchSpace({"x": Float(0, 1), "y": Float(0, 1)})
    trials = [_complete(i, {"x": 0.01 * i, "y": 0.02 * i}, -float(i)) for i in range(8)]
    found = _origins(space, trials)

    assert "No improvement in 7 trials since trial 0" in found["emptiest region"].rationale
    assert max(found["emptiest region"].params.values()) > 0.5


def test_good_trials_are_crossed():
    """Two good trials meet half-way."""
    space = SearchSpace({"x": Float(0, 1), "y": Float(0, 1)})
    found = _origins(space, [_complete(0, {"x": 0.2, "y": 0.2}, 1.0), _complete(1, {"x": 0.6, "y": 0.8}, 2.0)])

    assert found["half-way"].params == pytest.approx({"x": 0.4, "y": 0.5})


def test_minimising_and_maximising_mirror_each_other():
    """Negated values with the other direction lead to the same configurations."""
    space = SearchSpace({"x": Float(0, 1), "y": Float(0, 1)})
    trials = [_complete(i, {"x": 0.1 * i, "y": 0.9 - 0.1 * i}, math.sin(i)) for i in range(8)]
    negated = [_complete(t.number, t.params, -t.value) for t in trials]
    up = RuleAdvisor().suggest(_request(space, trials, n=3))
    down = RuleAdvisor().suggest(_request(space, negated, n=3, direction="minimize"))

    assert [a.params for a in up] == [a.params for a in down]


def test_rules_find_a_smooth_optimum():
    """Alone, the rules come close to the best of a smooth objective in thirty trials."""
    space = SearchSpace({"x": Float(0, 1, default=0.1), "y": Float(1e-3, 1, log=True, default=0.5), "z": Int(1, 50)})
    trials = []
    for number in range(30):
        params = RuleAdvisor().suggest(_request(space, trials, task=Task(), direction="minimize"))[0].params
        value = (params["x"] - 0.7) ** 2 + (math.log10(params["y"]) + 2) ** 2 / 9 + (params["z"] - 40) ** 2 / 2500
        trials.append(_complete(number, params, value))

    assert min(t.value for t in trials) < 0.01


def test_meaning_of_names():
    """Prefixes and synonyms are seen through, and gamma means what its estimator means by it."""
    kernel = SearchSpace({"svc__C": Float(1, 2), "svc__gamma": Float(1, 2), "max_features": Categorical(["sqrt"])})
    boosting = SearchSpace({"gamma": Float(1, 2), "lr": Float(0.1, 1), "model__iterations": Int(1, 9)})

    assert canonical("clf__reg__lambda_l2") == "reg_lambda"
    assert (complexity("svc__gamma", kernel), complexity("gamma", boosting)) == (1, -1)
    assert (complexity("max_features", kernel), complexity("svc__C", kernel)) == (0, 1)
    assert (rate_and_rounds(boosting), rate_and_rounds(kernel)) == (("lr", "model__iterations"), None)


def test_every_rule_is_explained():
    """Each rule in the list says in its docstring what it does."""
    assert all(rule.__doc__ for rule in RULES)


def test_a_space_in_other_names_has_starting_points_of_its_own():
    """A perceptron's space with width and depth opens with the documented networks, not with points that fill it."""
    space = SearchSpace(
        {
            "alpha": Float(1e-8, 1.0, log=True, default=1e-4),
            "batch_size": Int(4, 256, log=True, default=161),
            "depth": Int(1, 3, default=1),
            "learning_rate_init": Float(1e-5, 1.0, log=True, default=1e-3),
            "width": Int(16, 1024, log=True, default=101),
        }
    )
    request = AdviceRequest(
        task=Task(estimator="mlp"), space=space, history=History("maximize"), n=4, purpose="opening", turn=1
    )
    advice = RuleAdvisor().suggest(request)
    assert {256, 512, 128} == {a.params["width"] for a in advice}
    assert all(a.origin.startswith("mlp: ") for a in advice)
