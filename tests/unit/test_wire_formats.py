"""
The wire formats: the providers' own clients talk to the scripted server, and all reply modes give the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import optuna
import pytest

import sllmbo
from sllmbo.advisors.llm import LLMAdvisor
from sllmbo.errors import AdviceError, RateLimited, Refused, ReplyError, Unavailable
from sllmbo.llm import Answer, Gateway, allow_requests
from sllmbo.testing import chat_server
from sllmbo.testing.chat_server import FAULTS, ChatServer

SPECS = ["openai:tiny", "openai-responses:gpt-5-mini", "anthropic:claude-haiku-4-5", "google:gemini-2.5-flash"]
MODES = ["tool", "native", "prompted"]
SCHEMA = {
    "type": "object",
    "properties": {"x": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["x"],
    "additionalProperties": False,
}


@pytest.fixture(autouse=True)
def _no_requests_to_the_world() -> Iterator[None]:
    allow_requests(False)
    yield
    allow_requests(True)


def check_x(reply: Any) -> int:
    if not isinstance(reply, dict) or not isinstance(reply.get("x"), int) or not 1 <= reply["x"] <= 9:
        raise ReplyError("x must be an integer from 1 to 9.")
    return reply["x"]


def ask(server: ChatServer, spec: str, **arguments: Any) -> Answer[int]:
    gateway = Gateway(spec, base_url=server.base_url, **{"timeout": 20.0, **arguments})
    return gateway.ask(instructions="Be brief.", prompt="Which x?", schema=SCHEMA, check=check_x)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("spec", SPECS)
def test_each_mode_over_each_wire(spec: str, mode: Any) -> None:
    """What is asked arrives, in the mode that was named, and value, name and usage come back."""
    reply = chat_server.tool_call({"x": 7}, chat_model="tiny-2", cached_tokens=40)
    with ChatServer([reply]) as server:
        answer = ask(server, spec, reply_mode=mode)
    (request,) = server.requests
    assert mode == request.reply_mode == answer.reply_mode
    assert request.text.startswith("Be brief.\nWhich x?")
    assert {"x"} == set((request.schema or {})["properties"])
    assert (7, "tiny-2", spec) == (answer.value, answer.chat_model, answer.llm)
    assert (1, 100, 40) == (answer.usage.calls, answer.usage.input_tokens, answer.usage.cached_tokens)
    assert 2 == answer.usage.output_tokens
    assert answer.usage.cost_usd is None


@pytest.mark.parametrize("spec", SPECS)
def test_the_token_limit_is_sent(spec: str) -> None:
    """The limit goes out in each wire's own words."""
    with ChatServer([{"x": 7}]) as server:
        ask(server, spec, max_tokens=777)
    body = server.requests[0].body
    limits = [body.get(key) for key in ("max_tokens", "max_output_tokens")]
    assert 777 in [*limits, body.get("generationConfig", {}).get("maxOutputTokens")]


def test_questions_are_not_kept_by_openai() -> None:
    """The responses API is told to store nothing."""
    with ChatServer([{"x": 7}]) as server:
        ask(server, "openai-responses:gpt-5-mini")
    assert server.requests[0].body["store"] is False


@pytest.mark.parametrize("spec", SPECS)
def test_a_reply_that_was_cut_off(spec: str) -> None:
    """In each wire a reply at the token limit is recognised, and asked for again with twice the room."""
    with ChatServer([chat_server.truncated({"x": 7}), {"x": 7}]) as server:
        answer = ask(server, spec, max_tokens=100)
    assert (7, 0, 2) == (answer.value, answer.repairs, answer.usage.calls)
    assert server.requests[0].text == server.requests[1].text


FAILURES: dict[str, type[AdviceError]] = {
    "rate limit": RateLimited,
    "server error": Unavailable,
    "reset": Unavailable,
    "drip": Unavailable,
    "hang": Unavailable,
    "html": Unavailable,
    "refusal": Refused,
    "truncated": ReplyError,
    "wrong schema": ReplyError,
    "out of range": ReplyError,
    "prose": ReplyError,
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("spec", SPECS)
def test_each_fault_over_each_wire(spec: str, fault: str) -> None:
    """Each fault that can be switched on is one error of ours in every wire, and gone when it is switched off."""
    with ChatServer() as server:
        server.fault = fault
        impatient: dict[str, Any] = {"timeout": 0.8} if fault in ("drip", "hang") else {"retries": 0}
        if fault in FAILURES:
            with pytest.raises(FAILURES[fault]) as caught:
                ask(server, spec, **impatient)
            assert FAILURES[fault] is type(caught.value)
        else:
            assert ask(server, spec).value == ask(server, spec).value
        server.fault = None
        assert 1 <= ask(server, spec).value <= 9


def test_all_faults_are_tried() -> None:
    """The table above knows every fault; a repeated answer is no error of the wire."""
    assert {"duplicate"} == set(FAULTS) - set(FAILURES)


SPACE = sllmbo.SearchSpace(
    {"lr": sllmbo.Float(1e-4, 1.0, log=True, default=0.1), "kernel": sllmbo.Categorical(["rbf", "poly"])}
)


def _candidate(rng: random.Random) -> dict[str, Any]:
    params = {"lr": 10 ** rng.uniform(-4, 0), "kernel": rng.choice(["rbf", "poly"])}
    return {"intent": "explore", "rationale": "because", "params": params}


def _trials(spec: str, mode: Any) -> list[dict[str, Any]]:
    def reply(_: chat_server.ChatRequest) -> chat_server.Scripted:
        rng = random.Random(len(server.requests))
        return {"candidates": [_candidate(rng) for _ in range(5)]}

    with ChatServer(reply) as server:
        advisor = LLMAdvisor(spec, base_url=server.base_url, timeout=20, reply_mode=mode)
        sampler = sllmbo.LLMSampler(advisor, space=SPACE, task="a test", seed=0)
        study = optuna.create_study(direction="minimize", sampler=sampler)
        study.optimize(_loss, n_trials=8)
        assert {mode} == {request.reply_mode for request in server.requests}
        assert ["llm"] * 8 == [trial.user_attrs["sllmbo:source"] for trial in study.trials]
    return [trial.params for trial in study.trials]


def _loss(trial: optuna.Trial) -> float:
    lr = trial.suggest_float("lr", 1e-4, 1.0, log=True)
    return abs(lr - 0.01) + (trial.suggest_categorical("kernel", ["rbf", "poly"]) == "poly")


def test_the_same_study_over_every_wire_in_every_mode() -> None:
    """The same replies give the same eight trials, whatever carries them."""
    expected = _trials("openai:tiny", "tool")
    assert 8 == len(expected)
    assert 6 < len({params["lr"] for params in expected})
    for spec in SPECS:
        for mode in MODES:
            assert expected == _trials(spec, mode), (spec, mode)
