"""
Scripted advisors say what they are told; hostile ones do what they are named for.
"""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given, settings

from sllmbo.advisors import Advice, AdviceRequest, Advisor
from sllmbo.errors import AdviceError
from sllmbo.history import History, Observation
from sllmbo.space import Categorical, Float, Int, SearchSpace
from sllmbo.task import Task
from sllmbo.testing import (
    HOSTILE,
    ScriptedAdvisor,
    always_raising,
    failing_region_lover,
    malformed,
    malformed_replies,
    out_of_bounds,
    repeater,
    slow,
    worst_region_lover,
)
from sllmbo_strategies import advice_requests, repaired

SPACE = SearchSpace({"x": Float(0, 1), "k": Int(1, 9), "c": Categorical(["a", "b"])})
REQUEST = AdviceRequest(task=Task(), space=SPACE, history=History("maximize"))


def turn(number, **changes):
    return replace(REQUEST, turn=number, **changes)


def params_of(advisor, request=REQUEST):
    return [dict(advice.params) for advice in advisor.suggest(request)]


def test_one_reply_answers_every_question():
    """A reply that is no list is given each time, and the questions are kept in order."""
    advisor = ScriptedAdvisor({"x": 1})
    assert [[{"x": 1}]] * 2 == [params_of(advisor, turn(number)) for number in (0, 1)]
    assert [turn(0), turn(1)] == advisor.requests


def test_list_is_a_script_with_an_end():
    """A list has one reply per question, several configurations among them; afterwards every question is refused."""
    advice = Advice(params={"x": 2}, source="llm")
    advisor = ScriptedAdvisor([{"x": 1}, advice, [{"x": 3}, advice], ValueError("four")])
    assert [{"x": 1}] == params_of(advisor)
    assert (advice,) == advisor.suggest(REQUEST)
    assert [{"x": 3}, {"x": 2}] == params_of(advisor)
    with pytest.raises(ValueError, match="four"):
        advisor.suggest(REQUEST)
    with pytest.raises(AdviceError, match="Question 5 has no reply"):
        advisor.suggest(REQUEST)


def test_function_answers_the_request():
    """A function is given the request, and may answer with several or with an exception."""
    advisor = ScriptedAdvisor(lambda request: [{"x": request.turn}] * request.n)
    assert [{"x": 4}, {"x": 4}] == params_of(advisor, turn(4, n=2))
    with pytest.raises(KeyError):
        ScriptedAdvisor(lambda request: KeyError("x")).suggest(REQUEST)


def test_space_is_designed_only_if_scripted():
    """design_space returns the given space, else AdviceError."""
    assert SPACE == ScriptedAdvisor({}, space=SPACE).design_space(Task()).space
    with pytest.raises(AdviceError, match="No search space is scripted for 'a task'"):
        ScriptedAdvisor({}).design_space(Task(description="a task"))


def test_threads_share_one_script():
    """Each reply of a script is given once, whoever asks."""
    advisor = ScriptedAdvisor([{"x": number} for number in range(200)])
    barrier = threading.Barrier(8)

    def ask(_):
        barrier.wait(10)
        return [params_of(advisor)[0]["x"] for _ in range(25)]

    with ThreadPoolExecutor(8) as pool:
        given_out = [x for xs in pool.map(ask, range(8)) for x in xs]
    assert list(range(200)) == sorted(given_out)


def test_a_copy_goes_on_where_the_script_was():
    """A pickled copy keeps the replies, the space and the requests."""
    advisor = ScriptedAdvisor([{"x": 1}, {"x": 2}], space=SPACE)
    advisor.suggest(REQUEST)
    copy = pickle.loads(pickle.dumps(advisor))
    assert ([REQUEST], SPACE) == (copy.requests, copy.space)
    assert [{"x": 2}] == params_of(copy)


@pytest.mark.parametrize("name", HOSTILE)
@settings(max_examples=10)
@given(asked=advice_requests())
def test_hostile_advisors_are_deterministic_and_pickle(name, asked):
    """Any hostile advisor says, or raises, the same to the same question, and so does its copy."""

    def answer(advisor):
        try:
            return repr(advisor.suggest(asked))
        except Exception as error:
            return repr(error)

    advisor = HOSTILE[name]()
    assert isinstance(advisor, Advisor)
    assert answer(advisor) == answer(HOSTILE[name]()) == answer(pickle.loads(pickle.dumps(advisor)))


def test_repeater_repeats():
    """The same point comes for ever: the given one, else the default, else the middle."""
    assert [{"x": 0.25}] == params_of(repeater({"x": 0.25}), turn(7))
    assert [{"x": 0.5, "k": 5, "c": "b"}] == params_of(repeater())
    space = SearchSpace({"x": Float(0, 1, default=0.125)})
    assert [{"x": 0.125}] == params_of(repeater(), turn(3, space=space))


@given(asked=advice_requests())
def test_out_of_bounds_is_out_of_bounds(asked):
    """Every number lies outside, every category inside: repair always makes a corner of it."""
    (params,) = params_of(out_of_bounds(), asked)
    for name, parameter in asked.space.items():
        assert isinstance(parameter, Categorical) == parameter.contains(params[name])
    assert asked.space.contains(asked.space.repair(params)[0])


def test_failing_region_lover_stays_in_the_region():
    """Each point has the corner's values, or satisfies the predicate; without such points it has no advice."""
    corner, predicate = failing_region_lover({"c": "b"}), failing_region_lover(lambda params: params["x"] > 0.9)
    points = [(params_of(corner, turn(t))[0], params_of(predicate, turn(t))[0]) for t in range(20)]
    assert all(one["c"] == "b" and two["x"] > 0.9 for one, two in points)
    assert 20 == len({one["x"] for one, _ in points})
    with pytest.raises(AdviceError, match="No point of 10000"):
        failing_region_lover(lambda params: False).suggest(REQUEST)


def test_malformed_gives_every_kind_and_none_is_usable():
    """In turn every kind of reply comes, and a space without defaults can use none of them."""
    replies = malformed_replies(SPACE)
    advisor = malformed()
    given_out = [params_of(advisor, turn(t)) for t in range(len(replies))]
    assert list(map(repr, replies.values())) == list(map(repr, given_out))
    assert [None] * (len(replies) - 1) == [repaired(SPACE, params) for answer in given_out for params in answer]


def test_slow_waits_before_it_answers():
    """The wait that is passed in is called once per question, before a point of the space comes."""
    waits = []
    advisor = slow(lambda: waits.append("waited"))
    assert SPACE.contains(params_of(advisor)[0])
    assert ["waited"] == waits


def test_always_raising_raises():
    """The given error comes each time; without one, ours and foreign ones in turn."""
    advisor = always_raising(OSError("gone"))
    for number in range(2):
        with pytest.raises(OSError, match="gone"):
            advisor.suggest(turn(number))
    kinds = set()
    for number in range(4):
        with pytest.raises(Exception) as caught:
            always_raising().suggest(turn(number))
        kinds.add(caught.type)
    assert {AdviceError, RuntimeError, KeyError, TimeoutError} == kinds


@pytest.mark.parametrize(("direction", "worst"), [("maximize", 0.1), ("minimize", 0.9)])
def test_worst_region_lover_stays_at_the_worst_trial(direction, worst):
    """Once there are values, every point lies near the worst trial's, and not on it."""
    told = [Observation(i, {"x": x, "k": 3, "c": "b"}, state="complete", value=x) for i, x in enumerate((0.1, 0.9))]
    history = History(direction, tuple(told))
    points = [params_of(worst_region_lover(), turn(t, history=history))[0] for t in range(20)]
    assert all(abs(point["x"] - worst) <= 0.1 for point in points)
    assert 20 == len({point["x"] for point in points})
    assert SPACE.contains(params_of(worst_region_lover())[0])


def test_worst_region_lover_leaves_the_worst_trial_in_a_space_of_categories():
    """Where no small step changes anything, it changes one category at a time."""
    space = SearchSpace({name: Categorical(["a", "b", "c", "d"]) for name in ("k", "l", "m")})
    history = History("minimize", (Observation(0, {"k": "a", "l": "b", "m": "c"}, state="complete", value=1.0),))
    points = [params_of(worst_region_lover(), turn(t, history=history, space=space))[0] for t in range(20)]
    changed = [sum(point[name] != value for name, value in history[0].params.items()) for point in points]
    assert {0, 1} == set(changed)
