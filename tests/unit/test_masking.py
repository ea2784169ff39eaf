"""
Masking: a chat model sees x1 and c1, the study sees the true names, and nothing is lost between.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sllmbo.advisors import AdviceRequest
from sllmbo.advisors.llm import LLMAdvisor
from sllmbo.errors import AdviceError
from sllmbo.history import History, Observation, Refusal
from sllmbo.prompts import ChatMemory, parse_suggestions, render_suggestions, shown, suggestions_schema
from sllmbo.prompts.masking import Masking, mask_all, mask_awkward
from sllmbo.space import Categorical, Float, Int, SearchSpace, When
from sllmbo.task import DataFacts, Task
from sllmbo.testing.chat_server import ChatServer
from sllmbo.tuner import Tuner
from sllmbo_strategies import histories, params, repaired, spaces, tasks

LONG = "a very long category " * 10
SPACE = SearchSpace(
    {
        "kernel": Categorical(["rbf", "poly", None, 3, True], default="poly", description="shape of the kernel"),
        "C": Float(0.01, 100, log=True, default=1.0, description="strength"),
        "degree": Int(2, 5, default=3, condition=When("kernel", ["poly", None])),
    }
)


def test_all_names_are_masked() -> None:
    """Parameters become x1, x2, ..., categories c1, c2, ..., with ranges, defaults and conditions kept and no notes."""
    expected = SearchSpace(
        {
            "x1": Categorical(["c1", "c2", "c3", "c4", "c5"], default="c2"),
            "x2": Float(0.01, 100, log=True, default=1.0),
            "x3": Int(2, 5, default=3, condition=When("x1", ["c2", "c3"])),
        }
    )
    assert expected == mask_all(SPACE).masked


def test_a_reply_is_mapped_back() -> None:
    """Values and the words of a rationale come back under the true names; unknown names are no parameters."""
    masking = mask_all(SPACE)
    assert {"kernel": True, "C": 2.0} == masking.unmask({"x1": "c5", "x2": 2.0})
    assert "kernel=poly with a larger C (#4), not x10" == masking.unmask_text("x1=c2 with a larger x2 (#4), not x10")
    assert {} == masking.unmask({"C": 5.0})
    assert {"x9": 1, "kernel": ["odd"]} == masking.unmask({"x9": 1, "x1": ["odd"]})


def test_names_that_look_masked() -> None:
    """True names that look like masked ones are not confused with them."""
    space = SearchSpace({"x2": Float(0, 1, default=0.5), "x1": Categorical(["c2", "c1"], default="c1")})
    masking = mask_all(space)
    assert {"x2": 0.25, "x1": "c2"} == masking.unmask({"x1": 0.25, "x2": "c1"})
    assert {"x1": 0.25, "x2": "c1"} == masking.mask({"x2": 0.25, "x1": "c2"})
    assert space == mask_awkward(space).masked


def maskings(space: SearchSpace) -> list[Masking]:
    return [mask_all(space), mask_awkward(space)]


@settings(max_examples=80)
@given(st.data())
def test_round_trip(data: Any) -> None:
    """Any configuration of any space is one of the masked space too, and comes back as it was, also by its labels."""
    space = data.draw(spaces(min_size=1))
    given_params = data.draw(params(space))
    for masking in maskings(space):
        other = masking.mask(given_params)
        labelled = {
            name: parameter.labels()[parameter.choices.index(other[name])]
            if isinstance(parameter := masking.masked[name], Categorical) and isinstance(other[name], str)
            else other[name]
            for name in other
        }
        assert masking.masked.contains(other)
        assert given_params == repaired(space, masking.unmask(other))
        assert given_params == repaired(space, masking.unmask(labelled))


@settings(max_examples=60)
@given(st.data())
def test_masked_trials_are_the_same_trials(data: Any) -> None:
    """Trials keep number, state, value and who proposed them, and lose only what the space does not know."""
    space = data.draw(spaces(min_size=1))
    history = data.draw(histories(space))
    for masking in maskings(space):
        told = masking.history(history)
        assert [(o.number, o.state, o.value, o.source) for o in history] == [
            (o.number, o.state, o.value, o.source) for o in told
        ]
        for true, other in zip(history, told, strict=True):
            known = {name: value for name, value in true.params.items() if name in space}
            if masking.masked is not masking.space:
                assert known == masking.unmask(other.params)


@settings(max_examples=60)
@given(st.data())
def test_names_are_in_no_prompt(data: Any) -> None:
    """With masked names no word of a task, a space or a trial is sent but ranges, values and measurements."""
    space = data.draw(spaces(min_size=1, conditions=False))
    marked = SearchSpace(
        {f"{name}NAMEZq7": _with_marks(parameter) for name, parameter in space.items()}
        | {"last": Categorical(["CHOICEZq7", "OTHERZq7"], default="OTHERZq7", description="NOTEZq7")}
    )
    task = data.draw(tasks())
    task = Task(
        description="DESCRIPTIONZq7",
        estimator="ESTIMATORZq7",
        metric="METRICZq7",
        data=DataFacts(kind="classification", n_rows=100, n_features=3, n_classes=2),
        n_trials=task.n_trials,
        estimator_params={"COLUMNZq7": "DEFAULTZq7"},
    )
    history = data.draw(histories(marked))
    noted = History(
        "maximize",
        tuple(
            Observation(
                o.number,
                {**o.params, "FOREIGNZq7": 1},
                state=o.state,
                value=o.value,
                reason="MESSAGEZq7 of KeyError: 'CELLZq7'",
                source=o.source,
                rationale="RATIONALEZq7",
                details=o.details,
                turned_down=(Refusal({**o.params, "FOREIGNZq7": 1}, "TPE prefers 96% of the space to it"),),
            )
            for o in history
        ),
    )
    told = shown(task, marked, noted, privacy="description", mask_names=True)
    for prompt in (
        render_suggestions(told.task, told.space, told.history, n=2, purpose="next"),
        render_suggestions(told.task, told.space, told.history, n=2, purpose="next", memory=ChatMemory()),
    ):
        assert "Zq7" not in f"{prompt.text}{prompt.conversation}{prompt.instructions}"
    assert "Zq7" not in json.dumps(suggestions_schema(told.space, 2))


def _with_marks(parameter: Any) -> Any:
    if isinstance(parameter, Categorical):
        return Categorical([f"{choice}Zq7" for choice in range(len(parameter.choices))], description="NOTEZq7")
    return parameter


def test_awkward_names_are_shortened() -> None:
    """A name that is no plain word and a long category get short ones, which say what they are."""
    space = SearchSpace(
        {
            "x1": Float(0, 1, default=0.5),
            "learning rate": Float(0, 1, default=0.5, description="shrinkage"),
            "n" * 100: Categorical([LONG, "short"], default=LONG),
            "clf__alpha": Int(1, 2, default=1),
        }
    )
    masking = mask_awkward(space)
    assert ["x1", "x2", "x3", "clf__alpha"] == list(masking.masked)
    assert "learning rate: shrinkage" == masking.masked["x2"].description
    label = "c1: a very long category ..."
    assert Categorical([label, "short"], default=label, description="n" * 100) == masking.masked["x3"]
    assert {"learning rate": 0.1, "n" * 100: LONG} == masking.unmask({"x2": 0.1, "x3": label})
    assert f"{'n' * 100}={LONG} as #1 says" == masking.unmask_text("x3=c1 as #1 says")
    assert SPACE is mask_awkward(SPACE).masked


ALIKE = [
    *("model/" + "deep-" * 8 + "small", "model/" + "deep-" * 8 + "large"),
    *(" ", "\t", "a b", "a  b", "a\u00a0b", "a\u200bb", "ab"),
    *(True, "true", None, "null", 1, "1", 0.12341, 0.12342, 0.1, 1e-5, 12345678, 12345679),
]


def test_a_choice_may_be_meant_by_its_number_alone() -> None:
    """Where a long choice goes by "c1: ...", "c1" is it; a choice of this very name is itself."""
    long = [f"a prompt that is very long and goes on and on, number {n}" for n in range(11)]
    told = shown(Task(), SearchSpace({"c": Categorical(["short", *long])}), History("minimize", ()), privacy="none")
    for said, meant in (("c1", long[0]), (" c11 ", long[10]), ("short", "short")):
        ((got, _),) = parse_suggestions({"candidates": [{"params": {"c": said}}]}, told.space, 1)
        assert {"c": meant} == told.masking.unmask(got)
    ((got, _),) = parse_suggestions(
        {"candidates": [{"params": {"c": "a"}}]}, SearchSpace({"c": Categorical(["a: b", "a"])}), 1
    )
    assert {"c": "a"} == got


@pytest.mark.parametrize("pair", [(a, b) for i, a in enumerate(ALIKE) for b in ALIKE[:i]])
def test_two_choices_never_look_the_same(pair: tuple[Any, Any]) -> None:
    """Neither in the search space nor in the rows nor among the odds, long or short, text or number."""
    space = SearchSpace({"c": Categorical(pair)})
    trials = tuple(Observation(i, {"c": choice}, state="complete", value=0.5 + i) for i, choice in enumerate(pair))
    told = shown(Task(), space, History("minimize", trials), privacy="none")
    text = render_suggestions(told.task, told.space, told.history, n=1, purpose="next").text
    for pattern in (r"\nc: one of (.*), (.*)\n", r"\n0,.5,(.*)\n1,1.5,(.*)\n", r"\nc: (.*) 1:0, (.*) 0:1"):
        found = re.search(pattern, text)
        assert found is not None
        assert found[1] != found[2]


def test_schemas_hold_plain_keys_only() -> None:
    """The keys of the schema of a reply are such as every provider takes, whatever users call their parameters."""
    space = SearchSpace(
        {name: Float(0, 1) for name in ("a b", "é", "x" * 65, "{", 'quote"', "\u202eleft", "n\nl", "ok")}
    )
    told = shown(Task(), space, History("maximize"), privacy="description")
    keys = suggestions_schema(told.space, 1)["properties"]["candidates"]["items"]["properties"]["params"]["properties"]
    assert all(re.fullmatch(r"[a-zA-Z0-9_.-]{1,64}", key) for key in keys)
    assert 8 == len(keys)


def test_an_advisor_that_masks() -> None:
    """The chat model sees masked names only, and its advice comes back under the true ones."""
    reply = {"candidates": [{"intent": "explore", "rationale": "x1=c1 suits", "params": {"x1": "c1", "x2": 5}}]}
    request = AdviceRequest(
        task=Task(estimator="svc", metric="f1"),
        space=SPACE,
        history=History("maximize", (Observation(0, {"kernel": "rbf", "C": 1.0}, state="complete", value=0.5),)),
        importance={"kernel": 0.8, "C": 0.2},
    )
    with ChatServer([reply]) as server:
        advisor = LLMAdvisor("openai:any", base_url=server.base_url, mask_names=True)
        (advice,) = advisor.suggest(request)
        sent = json.dumps(server.requests[0].body)
    assert {"kernel": "rbf", "C": 5} == advice.params
    assert "explore: kernel=rbf suits" == advice.rationale
    assert "x1 80%: c1 1:0" in sent
    assert not [word for word in ("kernel", "rbf", "svc", "f1", "strength", "degree") if word in sent]


def test_a_masking_chat_model_designs_no_space() -> None:
    """Who is told no names cannot design a space: none is asked for, and the documented one is used."""
    with ChatServer() as server:
        advisor = LLMAdvisor("openai:any", base_url=server.base_url, mask_names=True)
        with pytest.raises(AdviceError, match="mask_names=True"):
            advisor.design_space(Task(estimator="lightgbm"))
        tuner = Tuner(task=Task(estimator="lightgbm"), llm="openai:any", base_url=server.base_url, mask_names=True)
        assert "num_leaves" in tuner.space
        assert [] == server.requests
