"""
A chat model as advisor, over a real loopback server.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from sllmbo.advisors import AdviceRequest, Advisor
from sllmbo.advisors.llm import LLMAdvisor
from sllmbo.errors import AdviceError, ConfigError, ReplyError, Unavailable
from sllmbo.history import History, Observation
from sllmbo.llm import allow_requests
from sllmbo.space import Categorical, Float, Int, SearchSpace
from sllmbo.task import DataFacts, Task
from sllmbo.testing import chat_server
from sllmbo.testing.chat_server import ChatServer
from sllmbo.usage import Usage

SPACE = SearchSpace({"C": Float(0.01, 100, log=True, default=1.0), "kernel": Categorical(["rbf", "poly"])})
TASK = Task(description="support vectors", metric="accuracy", n_trials=20)
HISTORY = History("maximize", (Observation(0, {"C": 1.0, "kernel": "rbf"}, state="complete", value=0.8),))


@pytest.fixture(autouse=True)
def _no_requests_to_the_world() -> Iterator[None]:
    allow_requests(False)
    yield
    allow_requests(True)


def request(**arguments: Any) -> AdviceRequest:
    return AdviceRequest(**{"task": TASK, "space": SPACE, "history": HISTORY, "n": 2, **arguments})


def advisor_on(server: ChatServer) -> LLMAdvisor:
    return LLMAdvisor("openai:tiny", base_url=server.base_url, timeout=20)


def candidate(c: Any, kernel: str = "rbf") -> dict[str, Any]:
    return {"intent": "exploit", "rationale": "larger C helped (#0)", "params": {"C": c, "kernel": kernel}}


def test_suggest() -> None:
    """One question gives several pieces of advice in order; the first carries the whole cost."""
    reply = chat_server.tool_call({"candidates": [candidate(5.0), candidate(7.0, "poly")]}, chat_model="tiny-0815")
    with ChatServer([reply]) as server:
        first, second = advisor_on(server).suggest(request())
    assert {"C": 5.0, "kernel": "rbf"} == first.params
    assert {"C": 7.0, "kernel": "poly"} == second.params
    assert ("llm", "tiny-0815", "suggest/10") == (first.source, first.origin, first.prompt_version)
    assert "exploit: larger C helped (#0)" == first.rationale
    assert 1 == first.usage.calls
    assert Usage() == second.usage


def test_the_study_is_told() -> None:
    """The question holds the task, the space and the trials; the reply's schema holds the space."""
    with ChatServer() as server:
        advisor_on(server).suggest(request())
    (asked,) = server.requests
    for words in ("support vectors", "accuracy", "C: float 0.01..100 log", "\n0,.8,", "19 of 20 trials remain"):
        assert words in asked.text
    assert '"maximum": 100' in json.dumps(asked.schema)


def test_opening() -> None:
    """An opening asks for a diverse batch before any trial."""
    with ChatServer() as server:
        advice = advisor_on(server).suggest(request(n=5, purpose="opening", history=History("maximize")))
    assert 5 == len(advice)
    assert "opening of 5" in server.requests[0].text


def test_correction_in_words() -> None:
    """A candidate that cannot be meant is sent back with parameter and rule, and the corrected one is used."""
    with ChatServer([{"candidates": [candidate(1.0, "sigmoid")]}, {"candidates": [candidate(2.0)]}]) as server:
        (advice,) = advisor_on(server).suggest(request())
    assert 2.0 == advice.params["C"]
    assert 2 == advice.usage.calls
    assert "'kernel'" in server.requests[1].text
    assert "none of the choices" in server.requests[1].text


def test_hostile_replies() -> None:
    """Repeats are merged and values out of range pass on as given, for the sampler to repair and record."""
    with ChatServer([{"candidates": [candidate(1e9), candidate(1e9), candidate(-5)]}]) as server:
        advice = advisor_on(server).suggest(request(n=3))
    assert [1e9, -5] == [piece.params["C"] for piece in advice]


@pytest.mark.parametrize(("reply", "error"), [(chat_server.text("no"), ReplyError), (chat_server.html(), Unavailable)])
def test_failures_are_advice_errors(reply: chat_server.Reply, error: type[AdviceError]) -> None:
    """What a sampler falls back on is an `AdviceError` with its cost."""
    with ChatServer([reply]) as server, pytest.raises(error) as caught:
        advisor_on(server).suggest(request())
    assert caught.value.usage.seconds > 0


def test_design_space() -> None:
    """A designed space holds only parameters of the estimator, with its own defaults."""
    parameters = [
        {"name": "C", "type": "float", "low": 0.1, "high": 50, "log": True, "default": "3"},
        {"name": "magic", "type": "int", "low": 1, "high": 5},
        {"name": "degree", "type": "int", "low": 2, "high": 6},
    ]
    task = Task(description="x", estimator="sklearn.svm.SVC", estimator_params={"C": 1.0, "degree": 3, "tol": 1e-3})
    with ChatServer([{"rationale": "wide", "parameters": parameters}]) as server:
        design = advisor_on(server).design_space(task)
    assert SearchSpace({"C": Float(0.1, 50, log=True, default=1.0), "degree": Int(2, 6, default=3)}) == design.space
    assert ("llm", "scripted-1", "design_space/3") == (design.source, design.origin, design.prompt_version)
    assert "magic" in design.rationale
    assert 2 == design.usage.calls
    assert "C=1, degree=3, tol=0.001" in server.requests[0].text


WRONG = {"name": "gama", "type": "float", "low": 0.1, "high": 1}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (WRONG, "the estimator has no such parameter; did you mean gamma?"),
        ({**WRONG, "name": "gamma", "low": 2.0}, "low=2 must be below high=1"),
        ({**WRONG, "name": "gamma", "high": 1e30}, "is no number of sane size"),
    ],
)
@pytest.mark.parametrize("second", ["corrected", "the same", "prose"])
def test_mistakes_in_a_design_go_back_once_and_then_are_dropped(wrong, words, second) -> None:
    """A wrong name, an inverted and an absurd range are told; what is not corrected is left out, the rest is used."""
    sound = {"name": "C", "type": "float", "low": 0.1, "high": 50}
    gamma = {**WRONG, "name": "gamma"}
    replies = {
        "corrected": {"parameters": [sound, gamma]},
        "the same": {"parameters": [sound, wrong]},
        "prose": "Well.",
    }
    task = Task(estimator="sklearn.svm.SVC", estimator_params={"C": 1.0, "gamma": "scale"})
    with ChatServer([{"parameters": [sound, wrong]}, replies[second]]) as server:
        design = advisor_on(server).design_space(task)
    assert 2 == len(server.requests) == design.usage.calls
    assert words in server.requests[1].text
    assert (["C", "gamma"] if second == "corrected" else ["C"]) == list(design.space)
    assert ("Left out" in design.rationale) == (second != "corrected")


@pytest.mark.parametrize("data", [None, DataFacts(kind="regression", n_rows=10, n_features=2)])
def test_documented_space_is_shown(data: DataFacts | None) -> None:
    """Where the estimator is known, its documented space is part of the question."""
    with ChatServer([{"parameters": [{"name": "learning_rate", "type": "float", "low": 0.01, "high": 0.2}]}]) as server:
        advisor_on(server).design_space(Task(estimator="lightgbm", data=data))
    assert "A DOCUMENTED SPACE" in server.requests[0].text
    assert "learning_rate: float" in server.requests[0].text


def test_wrong_configuration_shows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A malformed name and a missing key are refused when the advisor is made, before any trial."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ConfigError, match="provider:name"):
        LLMAdvisor("gpt-5-mini")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        LLMAdvisor("openai:gpt-5-mini")


def test_pickle_and_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    """An advisor pickles and shows itself without its key, and the copy advises."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-verysecret")
    with ChatServer() as server:
        advisor = advisor_on(server)
        data = pickle.dumps(advisor)
        assert 2 == len(pickle.loads(data).suggest(request()))
    assert f"LLMAdvisor('openai:tiny', base_url={server.base_url!r}, timeout=20)" == repr(advisor)
    assert b"verysecret" not in data
    assert isinstance(advisor, Advisor)
