"""
The gateway against a real loopback server: every way in which a chat model answers, well or badly.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import multiprocessing
import os
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sllmbo.errors import (
    AuthenticationFailed,
    ConfigError,
    MissingExtra,
    ProviderError,
    RateLimited,
    Refused,
    ReplyError,
    Unavailable,
)
from sllmbo.llm import Answer, Gateway, allow_requests, listed_price
from sllmbo.llm.resolve import PROVIDERS, resolve, without_keys
from sllmbo.testing import chat_server
from sllmbo.testing.chat_server import ChatServer

_OPENAI = ("openai", "openai-responses", "openai-chat")
SCHEMA = {
    "type": "object",
    "properties": {"x": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["x"],
    "additionalProperties": False,
}


def check_x(reply: Any) -> int:
    if not isinstance(reply, dict) or not isinstance(reply.get("x"), int) or not 0 <= reply["x"] <= 9:
        raise ReplyError("x must be an integer from 0 to 9.")
    return reply["x"]


def gateway_to(server: ChatServer, **arguments: Any) -> Gateway:
    return Gateway("openai:tiny", base_url=server.base_url, **{"timeout": 20.0, **arguments})


def ask(gateway: Gateway) -> Answer[int]:
    return gateway.ask(instructions="Be brief.", prompt="Which x?", schema=SCHEMA, check=check_x)


@pytest.fixture(autouse=True, scope="module")
def _clients_are_imported() -> None:
    """Import what asks, so that no deadline of a test runs out meanwhile."""
    Gateway("openai:any", base_url="http://127.0.0.1:9/v1").check_config()


@pytest.fixture(autouse=True)
def _no_requests_to_the_world() -> Iterator[None]:
    allow_requests(False)
    yield
    allow_requests(True)


def test_tool_call() -> None:
    """A well-formed tool call becomes a value with its cost and the name of the chat model that answered."""
    with ChatServer([chat_server.tool_call({"x": 7}, chat_model="tiny-2")]) as server:
        answer = ask(gateway_to(server))
    assert (7, "tiny-2", 0) == (answer.value, answer.chat_model, answer.repairs)
    assert 1 == answer.usage.calls
    assert 100 == answer.usage.input_tokens
    assert answer.usage.output_tokens > 0
    assert answer.usage.cost_usd is None
    assert answer.usage.seconds > 0


def message(content: str | None, *arguments: str) -> chat_server.Reply:
    """Return a message with text and any number of tool calls."""
    calls = [
        {"id": f"call_{i}", "type": "function", "function": {"name": "answer", "arguments": text}}
        for i, text in enumerate(arguments)
    ]
    said = {"role": "assistant", "content": content, "tool_calls": calls}
    choice = {"index": 0, "finish_reason": "tool_calls", "message": said}
    envelope = {"id": "chatcmpl-0", "object": "chat.completion", "created": 1, "model": "scripted-1"}
    return chat_server.Reply(json.dumps({**envelope, "choices": [choice]}))


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (message(None, '{"x": [1]}', '{"x": [2, 3], "y": 4}', '{"x": [5]}'), {"x": [1, 2, 3, 5], "y": 4}),
        (message(None, '{"x": 1}', '{"y": "much longer than the answer"}'), {"x": 1}),
        (message('{"x": 1}', "{}"), {"x": 1}),
        (message('{"x": 1}', ""), {"x": 1}),
        (message("I call the tool.", '{"x": 1}', "{}"), {"x": 1}),
        (message(None, "{'x': 1}"), {"x": 1}),
    ],
)
def test_several_tool_calls_are_one_answer(reply: chat_server.Reply, expected: Any) -> None:
    """Lists of parallel calls follow each other; an empty call hides neither the others nor an answer in the text."""
    with ChatServer([reply]) as server:
        answer = gateway_to(server, repairs=0).ask(instructions="", prompt="Which?", schema=SCHEMA, check=lambda x: x)
    assert expected == answer.value


def test_what_is_sent() -> None:
    """The instructions, the prompt and the schema with its bounds are sent, and nothing of the machine beside."""
    with ChatServer([{"x": 1}]) as server:
        ask(gateway_to(server))
    (request,) = server.requests
    assert ["system", "user"] == [message["role"] for message in request.body["messages"]]
    assert "Be brief.\nWhich x?" == request.text
    assert SCHEMA["properties"] == (request.schema or {})["properties"]
    assert "tiny" == request.body["model"]


@pytest.mark.parametrize(
    "reply",
    [
        chat_server.text('{"x": 3}'),
        chat_server.fenced({"x": 3}),
        chat_server.tool_call('Here: {"x": 3}'),
        chat_server.text('First {not json}, then {"x": 3}; done'),
    ],
)
def test_json_in_text(reply: chat_server.Reply) -> None:
    """JSON that a server gives as text, fenced or amid prose is read without asking again."""
    with ChatServer([reply]) as server:
        answer = ask(gateway_to(server))
    assert (3, 0) == (answer.value, answer.repairs)


@pytest.mark.parametrize(
    "bad",
    [
        chat_server.tool_call('{"x": '),
        chat_server.tool_call({"x": 99}),
        chat_server.tool_call({}),
        chat_server.text(""),
        chat_server.text("I would rather not say."),
    ],
)
def test_one_repair(bad: chat_server.Reply) -> None:
    """An unusable reply is sent back once with the reason, and the corrected one is used."""
    with ChatServer([bad, {"x": 4}]) as server:
        answer = ask(gateway_to(server))
    assert (4, 1, 2) == (answer.value, answer.repairs, answer.usage.calls)
    assert "cannot be used" in server.requests[1].text


def test_repairs_are_bounded() -> None:
    """A chat model that never answers usably is asked exactly twice, and the error carries cost and reason."""
    with ChatServer([{"x": 99}]) as server, pytest.raises(ReplyError, match="x must be an integer") as caught:
        ask(gateway_to(server))
    assert 2 == len(server.requests)
    assert 2 == caught.value.usage.calls
    assert "'openai:tiny'" in str(caught.value)
    assert isinstance(caught.value.__cause__, ReplyError)


def test_no_repair_on_request() -> None:
    """With repairs=0 an unusable reply is final."""
    with ChatServer([{"x": 99}]) as server, pytest.raises(ReplyError):
        ask(gateway_to(server, repairs=0))
    assert 1 == len(server.requests)


@pytest.mark.parametrize(
    ("reply", "error", "n_requests"),
    [
        (chat_server.status(401), AuthenticationFailed, 1),
        (chat_server.status(403), AuthenticationFailed, 1),
        (chat_server.status(404), Refused, 1),
        (chat_server.status(400), Refused, 2),
        (chat_server.refusal(), Refused, 1),
        (chat_server.status(429, retry_after=0.01), RateLimited, 3),
        (chat_server.status(500, retry_after=0.01), Unavailable, 3),
        (chat_server.status(503, retry_after=0.01), Unavailable, 3),
        (chat_server.status(408, retry_after=0.01), Unavailable, 3),
        (chat_server.status(409, retry_after=0.01), Unavailable, 3),
        (chat_server.html(), Unavailable, 1),
        (chat_server.Reply("[1, 2]"), Unavailable, 1),
        (chat_server.Reply('{"choices": []}'), Unavailable, 1),
        (chat_server.Reply("not json"), Unavailable, 1),
        (chat_server.Reply('{"error": {"message": "no", "code": 429}}'), RateLimited, 3),
        (chat_server.Reply('{"choices": null, "error": {"message": "no", "code": "overloaded"}}'), Unavailable, 3),
        (chat_server.Reply('{"error": {"message": "no", "code": 402}}'), RateLimited, 1),
        (chat_server.Reply('{"error": {"message": "no", "code": 401}}'), AuthenticationFailed, 1),
        (chat_server.Reply('{"error": {"message": "no", "code": 400}}'), Refused, 2),
    ],
)
def test_errors(reply: chat_server.Reply, error: type[ProviderError], n_requests: int) -> None:
    """Each way of a server to fail is one error of ours, chained, naming chat model and address; few are retried."""
    with ChatServer([reply]) as server, pytest.raises(ProviderError) as caught:
        ask(gateway_to(server))
    assert error is type(caught.value)
    assert n_requests == len(server.requests)
    assert "'openai:tiny'" in str(caught.value)
    assert server.base_url in str(caught.value)
    assert caught.value.__cause__ is not None or error is Refused
    assert caught.value.usage.seconds > 0


def test_an_error_with_the_status_of_success() -> None:
    """A proxy that tells its error with HTTP 200 is quoted, and asked again where the error passes."""
    told = chat_server.Reply('{"error": {"message": "Upstream is overloaded", "code": 503}}')
    with ChatServer([told, chat_server.tool_call({"x": 3})]) as server:
        assert 3 == ask(gateway_to(server)).value
    with ChatServer([told]) as server, pytest.raises(Unavailable, match=r"HTTP 503: Upstream is overloaded"):
        ask(gateway_to(server))


def test_dropped_connection() -> None:
    """A dropped connection is tried again, and the next answer is used."""
    with ChatServer([chat_server.dropped(), {"x": 2}]) as server:
        assert 2 == ask(gateway_to(server)).value
    assert 2 == len(server.requests)


def test_retry_after_is_honoured() -> None:
    """The pause that the server asks for is kept, and then the question is asked again."""
    start = time.monotonic()
    with ChatServer([chat_server.status(429, retry_after=0.8), {"x": 2}]) as server:
        assert 2 == ask(gateway_to(server)).value
    assert time.monotonic() - start > 0.8


def test_retry_after_beyond_the_deadline() -> None:
    """A pause longer than the time that is left ends the question at once, as a rate limit."""
    start = time.monotonic()
    with ChatServer([chat_server.status(429, retry_after=60)]) as server, pytest.raises(RateLimited, match="60 s"):
        ask(gateway_to(server, timeout=5))
    assert 1 == len(server.requests)
    assert time.monotonic() - start < 4


@pytest.mark.parametrize("reply", [chat_server.silence(), chat_server.drip()])
def test_deadline(reply: chat_server.Reply) -> None:
    """A server that never answers, or never ends its answer, is left at the deadline."""
    with ChatServer([reply]) as server:
        gateway = gateway_to(server, timeout=0.7)
        gateway.check_config()
        start = time.monotonic()
        with pytest.raises(Unavailable, match=r"within 0\.7 s"):
            ask(gateway)
        assert 0.6 < time.monotonic() - start < 3


def test_deadline_covers_the_repair() -> None:
    """The deadline is for the whole question: it also ends a silent repair turn, and the first answer is paid."""
    with ChatServer([{"x": 99}, chat_server.silence()]) as server, pytest.raises(Unavailable) as caught:
        ask(gateway_to(server, timeout=0.7))
    assert 1 == caught.value.usage.calls


def test_unreachable_port() -> None:
    """A port where nothing listens is an error that says so."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    gateway = Gateway("openai:tiny", base_url=f"http://127.0.0.1:{port}/v1", retries=0)
    with pytest.raises(Unavailable, match=f"{port}.*cannot be reached"):
        ask(gateway)


def test_server_without_tools() -> None:
    """A server that rejects tools is asked in words, for all later questions too."""

    def reply(request: chat_server.ChatRequest) -> chat_server.Scripted:
        if request.reply_mode == "tool":
            return chat_server.status(400, "this chat model does not support tools")
        return '{"x": 5}' if '"maximum": 9' in request.text else "no schema seen"

    with ChatServer(reply) as server:
        gateway = gateway_to(server)
        assert [5, 5] == [ask(gateway).value, ask(gateway).value]
    assert ["tool", "prompted", "prompted"] == [request.reply_mode for request in server.requests]


@pytest.mark.parametrize(
    "rejection",
    [
        chat_server.status(422, "extra inputs are not permitted"),
        chat_server.status(404, "No endpoints found that support tool use"),
        chat_server.status(500, "tools param requires --jinja flag"),
        chat_server.text("I would try three."),
    ],
)
def test_a_mode_that_is_rejected_or_ignored(rejection: chat_server.Reply) -> None:
    """However a server says that it knows no tools, also by ignoring them, words are used, and it is remembered."""

    def reply(request: chat_server.ChatRequest) -> chat_server.Scripted:
        return rejection if request.reply_mode == "tool" else "Well: {'x': 5,}"

    with ChatServer(reply) as server:
        gateway = gateway_to(server, retries=0)
        assert [(5, "prompted")] * 2 == [(answer.value, answer.reply_mode) for answer in (ask(gateway), ask(gateway))]
    assert ["tool", "prompted", "prompted"] == [request.reply_mode for request in server.requests]


def test_one_bad_reply_changes_no_mode() -> None:
    """A tool call with wrong or malformed arguments is corrected by a tool call."""
    with ChatServer([{"x": 99}, {"x": 1}, chat_server.tool_call('{"x": '), {"x": 2}]) as server:
        gateway = gateway_to(server)
        assert [1, 2] == [ask(gateway).value, ask(gateway).value]
    assert {"tool"} == {request.reply_mode for request in server.requests}


def test_a_mode_that_did_not_help_is_not_remembered() -> None:
    """A server that rejects whatever it is asked is asked by tool call again."""
    with ChatServer([chat_server.status(400)]) as server:
        gateway = gateway_to(server)
        for _ in range(2):
            with pytest.raises(Refused):
                ask(gateway)
    assert ["tool", "prompted"] * 2 == [request.reply_mode for request in server.requests]


@pytest.mark.parametrize("mode", ["tool", "native"])
def test_a_mode_on_request_is_kept(mode: Any) -> None:
    """A mode that was named is not left, neither after a rejection nor after prose."""
    with ChatServer([chat_server.status(400, "no such format"), chat_server.text("no")]) as server:
        gateway = gateway_to(server, reply_mode=mode)
        with pytest.raises(Refused):
            ask(gateway)
        with pytest.raises(ReplyError):
            ask(gateway)
    assert [mode] * 3 == [request.reply_mode for request in server.requests]


def test_more_room_for_a_reply_that_was_cut_off() -> None:
    """A truncated reply is asked for again with twice the tokens, in the same words; it counts as no correction."""
    with ChatServer([chat_server.truncated({"x": 4}), {"x": 4}]) as server:
        answer = ask(gateway_to(server, max_tokens=50, repairs=0))
    assert (4, 0, 2) == (answer.value, answer.repairs, answer.usage.calls)
    assert [50, 100] == [request.body["max_tokens"] for request in server.requests]


def test_more_room_is_given_once() -> None:
    """A chat model that never comes to an end is asked three times in all, and the error says why."""
    with ChatServer([chat_server.truncated({"x": 4})]) as server, pytest.raises(ReplyError, match="cut off at 100"):
        ask(gateway_to(server, max_tokens=50))
    assert [50, 100, 100] == [request.body["max_tokens"] for request in server.requests]
    assert "It was cut off" in server.requests[2].text


def test_what_is_whole_of_a_reply_that_was_cut_off() -> None:
    """A truncated reply that holds something usable is used as it is."""
    reply = chat_server.tool_call('{"x": 3, "why": "becau', truncated=True)
    listed = chat_server.tool_call('{"candidates": [{"x": 3}, {"x": 4}, {"x": 1', truncated=True)
    with ChatServer([listed, reply]) as server:
        gateway = gateway_to(server)
        schema = {**SCHEMA, "required": ["candidates"]}
        answer = gateway.ask(instructions="", prompt="", schema=schema, check=lambda reply: reply["candidates"])
    assert [{"x": 3}, {"x": 4}] == answer.value
    assert 1 == len(server.requests)


def test_a_server_that_takes_no_token_limit() -> None:
    """A token limit that is rejected, by name or as larger than the context, is left out from then on."""

    def reply(request: chat_server.ChatRequest) -> chat_server.Scripted:
        if "max_tokens" in request.body:
            return chat_server.status(400, "This model's maximum context length is 4096 tokens, you requested 9000.")
        return {"x": 6}

    with ChatServer(reply) as server:
        gateway = gateway_to(server)
        assert [6, 6] == [ask(gateway).value, ask(gateway).value]
    assert [True, False, False] == ["max_tokens" in request.body for request in server.requests]
    assert {"tool"} == {request.reply_mode for request in server.requests}


def chain_reply(replies: dict[str, chat_server.Scripted]) -> Any:
    return lambda request: replies[request.body["model"]]


@pytest.mark.parametrize(
    ("failure", "n_answered"),
    [
        (chat_server.status(500, retry_after=0.01), 0),
        (chat_server.status(429, retry_after=60), 0),
        (chat_server.status(401), 0),
        (chat_server.dropped(), 0),
        (chat_server.refusal(), 1),
        ({"x": 99}, 2),
    ],
)
def test_the_next_of_a_chain_is_asked(
    failure: chat_server.Scripted, n_answered: int, caplog: pytest.LogCaptureFixture
) -> None:
    """When one chat model gives no usable answer, the next one does, says so, and all that was spent is counted."""
    good = chat_server.tool_call({"x": 3}, chat_model="b-1")
    with ChatServer(chain_reply({"a": failure, "b": good})) as server:
        answer = ask(Gateway("openai:a,anthropic:b", base_url=server.base_url, timeout=20))
    assert (3, "anthropic:b", "b-1") == (answer.value, answer.llm, answer.chat_model)
    assert "/v1/messages" == server.requests[-1].path
    assert "'openai:a'" in caplog.text
    assert n_answered + 1 == answer.usage.calls


def test_the_deadline_covers_the_chain() -> None:
    """A silent chat model leaves half of the time to the next one, and is asked last for a while."""
    replies = {"a": chat_server.silence(), "b": {"x": 3}}
    with ChatServer(chain_reply(replies)) as server:
        gateway = Gateway(["openai:a", "openai:b"], base_url=server.base_url, timeout=4)
        start = time.monotonic()
        assert ["openai:b"] * 2 == [ask(gateway).llm, ask(gateway).llm]
        assert 1.9 < time.monotonic() - start < 4
    assert ["a", "b", "b"] == [request.body["model"] for request in server.requests]


def test_all_of_a_chain_fail() -> None:
    """The error names every chat model with its reason, and is of the last one's kind."""
    replies = {"a": chat_server.status(401), "b": {"x": 99}}
    words = r"None.*'openai:a'.*refused the key.*'openai:b'.*x must be"
    with ChatServer(chain_reply(replies)) as server, pytest.raises(ReplyError, match=words) as caught:
        ask(Gateway("openai:a, openai:b", base_url=server.base_url, timeout=20))
    assert 2 == caught.value.usage.calls


def test_a_mistake_anywhere_in_a_chain_shows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A malformed name, an unknown provider and a missing key are found for every chat model of a chain."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    for bad in ("openai:a,", "openai:a,b", ["openai:a", None], []):
        with pytest.raises(ConfigError, match="provider:name"):
            Gateway(bad)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="ANTHROPIC_API_KEY"):
        Gateway("ollama:a,anthropic:b").check_config()


def test_usage_with_a_price_that_was_stated() -> None:
    """Cached tokens are counted apart, and a stated price is used where the table has none."""
    reply = chat_server.tool_call({"x": 1}, input_tokens=1000, cached_tokens=600)
    with ChatServer([reply]) as server:
        usage = ask(gateway_to(server, price=(2.0, 10.0))).usage
    assert (1000, 600, 2) == (usage.input_tokens, usage.cached_tokens, usage.output_tokens)
    assert pytest.approx(1000 * 2e-6 + 2 * 10e-6) == usage.cost_usd


def test_listed_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prices come from the table, whatever the protocol; what another server asks for is unknown."""
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    known = [listed_price(f"{name}:gpt-5-mini", input_tokens=1000, output_tokens=10) for name in _OPENAI]
    assert known[0] is not None
    assert known[0] > (listed_price("openai:gpt-5-mini", input_tokens=1000) or 0) > 0
    assert 1 == len(set(known))
    assert listed_price("openai:gpt-5-mini", base_url="http://localhost:1/v1", input_tokens=1000) is None
    assert listed_price("ollama:qwen3", input_tokens=1000) is None
    assert listed_price("openai:no-such", input_tokens=1000) is None
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    assert listed_price("openai:gpt-5-mini", input_tokens=1000) is None


def test_many_event_loops() -> None:
    """One gateway serves loops that come and go, one after the other and in several threads at once."""

    async def question() -> int:
        return ask(gateway).value

    async def several() -> list[int]:
        return await asyncio.gather(*(asyncio.to_thread(lambda: ask(gateway).value) for _ in range(4)))

    with ChatServer([{"x": 8}]) as server, ThreadPoolExecutor(4) as pool:
        gateway = gateway_to(server)
        assert [8] * 3 == [asyncio.run(question()) for _ in range(3)]
        assert [8] * 8 == list(pool.map(lambda _: asyncio.run(question()), range(8)))
        assert [8] * 4 == asyncio.run(several())


def test_threads() -> None:
    """Eight threads share one gateway without an error."""
    with ChatServer() as server, ThreadPoolExecutor(8) as pool:
        gateway = gateway_to(server)
        answers = list(pool.map(lambda _: ask(gateway), range(64)))
    assert 64 == len(answers) == len(server.requests)


def test_a_server_is_found_by_its_name() -> None:
    """Names are resolved."""
    with ChatServer([{"x": 1}]) as server:
        assert 1 == ask(Gateway("openai:any", base_url=server.base_url.replace("127.0.0.1", "localhost"))).value


_UNRESOLVED = """
import socket, time
socket.getaddrinfo = lambda *_, **__: time.sleep(60)
from sllmbo.errors import Unavailable
from sllmbo.llm import Gateway
gateway = Gateway("openai:any", base_url="http://nowhere.example/v1", timeout=0.3)
gateway.check_config()
try:
    gateway.ask(instructions="", prompt="", schema={}, check=lambda reply: reply)
except Unavailable as error:
    print(error)
"""


def test_a_name_that_is_not_resolved_does_not_hold_up_the_exit() -> None:
    """A process ends after its deadline, though the resolver of the system still hangs."""
    told = subprocess.run([sys.executable, "-c", _UNRESOLVED], capture_output=True, text=True, timeout=40, check=True)
    assert "did not finish its answer within 0.3 s" in told.stdout


def test_bounded_parallelism() -> None:
    """A question that finds no free slot within its timeout is not sent."""
    with ChatServer([chat_server.silence()]) as server, ThreadPoolExecutor(2) as pool:
        gateway = gateway_to(server, timeout=0.5, max_parallel=1)
        errors = [future.exception() for future in [pool.submit(ask, gateway) for _ in range(2)]]
    assert {Unavailable} == {type(error) for error in errors}
    assert len(server.requests) >= 1
    assert any("within" in str(error) for error in errors)


def test_under_a_running_loop() -> None:
    """It works where an event loop runs already, as in a notebook."""

    async def cell() -> int:
        return ask(gateway_to(server)).value

    with ChatServer([{"x": 8}]) as server:
        assert 8 == asyncio.run(cell())


def test_pickle() -> None:
    """A gateway in use pickles, without client and key, and its copy asks."""
    with ChatServer() as server:
        gateway = gateway_to(server)
        ask(gateway)
        data = pickle.dumps(gateway)
        copy = pickle.loads(data)
        assert ask(copy).chat_model == "scripted-1"
    assert repr(gateway) == repr(copy)


def test_no_key_of_any_provider_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the environment is cut from whatever a server says, whatever it looks like."""
    monkeypatch.setenv("MISTRAL_API_KEY", "Zq81plain")
    refusing = ChatServer([chat_server.status(401, "Zq81plain is wrong")])
    with refusing as server, pytest.raises(AuthenticationFailed, match="<key> is wrong"):
        ask(Gateway("mistral:tiny", base_url=server.base_url))
    assert "Bearer Zq81plain" == server.requests[0].headers["authorization"]


def test_tokens_are_cut_out_but_no_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any key, token or secret in the environment is cut out; a stand-in that is short leaves words whole."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("COHERE_API_KEY", " Zq81plain ")
    monkeypatch.setenv("MY_LONGER_TOKEN", "Zq81plain-and-more")
    monkeypatch.setenv("SOME_SECRET", "Zq82plain")
    monkeypatch.setenv("NO_KEY_AT_ALL", "Zq83plain")
    told = without_keys("none of Zq81plain, Zq81plain-and-more, Zq82plain, Zq83plain")
    assert "none of <key>, <key>, <key>, Zq83plain" == told


def test_key_is_sent_but_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key goes to the server as a bearer token and into no text or pickle of ours."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-verysecret123")
    with ChatServer([chat_server.status(401, "bad key sk-verysecret123")]) as server:
        gateway = gateway_to(server)
        with pytest.raises(AuthenticationFailed) as caught:
            ask(gateway)
    assert "Bearer sk-verysecret123" == server.requests[0].headers["authorization"]
    assert "verysecret" not in f"{caught.value}{gateway!r}{pickle.dumps(gateway)!r}"


def test_password_in_the_url_is_not_shown() -> None:
    """User name and password in a base URL stay out of repr."""
    gateway = Gateway("openai:tiny", base_url="http://me:secret@localhost:1/v1?token=secret")
    assert "secret" not in repr(gateway)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_fork() -> None:
    """A child forked after the first question asks on a loop of its own."""
    with ChatServer() as server:
        gateway = gateway_to(server)
        ask(gateway)
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert "scripted-1" == pool.apply_async(ask, (gateway,)).get(timeout=20).chat_model
        assert "scripted-1" == ask(gateway).chat_model


@pytest.mark.parametrize("spec", ["", ":", "gpt-5", "openai:", ":gpt-5", " openai:gpt-5", "openai: gpt-5"])
def test_malformed_spec(spec: str) -> None:
    """A spec that is not "provider:name" is refused at construction, quoted, with examples of valid ones."""
    with pytest.raises(ConfigError, match="provider:name") as caught:
        Gateway(spec)
    assert repr(spec) in str(caught.value)


@pytest.mark.parametrize("base_url", ["", "localhost:8000", "ftp://host/v1", "http://", "http://[::1", "http://h:x/"])
def test_malformed_base_url(base_url: str) -> None:
    """A base URL that is no server address is refused at construction."""
    with pytest.raises(ConfigError, match="base_url"):
        Gateway("openai:tiny", base_url=base_url)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_malformed_timeout(timeout: float) -> None:
    """A timeout must be positive and finite."""
    with pytest.raises(ConfigError, match="timeout"):
        Gateway("openai:tiny", timeout=timeout)


def test_unknown_provider() -> None:
    """An unknown provider is named by `check_config`, with valid ones."""
    with pytest.raises(ConfigError, match=r"'opnai'.*openai:"):
        Gateway("opnai:gpt-5-mini").check_config()


@pytest.mark.parametrize(
    ("spec", "variable"),
    [
        ("openai:gpt-5-mini", "OPENAI_API_KEY"),
        ("anthropic:claude-haiku-4-5", "ANTHROPIC_API_KEY"),
        ("google:gemini-2.5-flash", "GOOGLE_API_KEY"),
        ("azure:my-deployment", "AZURE_OPENAI_ENDPOINT, OPENAI_API_VERSION, AZURE_OPENAI_API_KEY"),
        ("openrouter:qwen/qwen3-32b", "OPENROUTER_API_KEY"),
    ],
)
def test_missing_key(spec: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing key is a configuration error that names the environment variable."""
    for provider in PROVIDERS.values():
        for name in (*provider.keys, *provider.settings, "OPENAI_BASE_URL"):
            monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match=variable):
        Gateway(spec).check_config()


def test_openai_by_its_two_protocols(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenAI's own server is asked by the responses API, any other one that is named by chat completions."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert "OpenAIResponsesModel" == type(resolve("openai:gpt-5-mini")).__name__
    with ChatServer([{"x": 2}]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        assert 2 == ask(Gateway("openai:tiny")).value
        monkeypatch.setenv("OLLAMA_BASE_URL", server.base_url)
        assert 2 == ask(Gateway("ollama:qwen3")).value
    assert {"/v1/chat/completions"} == {request.path for request in server.requests}


@pytest.mark.parametrize(
    "argument", [{"reply_mode": "json"}, {"max_tokens": 0}, {"price": (1.0,)}, {"price": (-1.0, 2.0)}]
)
def test_malformed_arguments(argument: dict[str, Any]) -> None:
    """Other arguments are checked too, and quoted."""
    with pytest.raises(ConfigError, match=next(iter(argument))):
        Gateway("openai:tiny", **argument)


def test_a_mode_that_the_chat_model_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply mode that a hosted chat model is known not to have is a configuration error."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-none")
    with pytest.raises(ConfigError, match=r"'native'; use 'auto' or 'tool' or 'prompted'"):
        Gateway("anthropic:claude-3-haiku-20240307", reply_mode="native").check_config()


@pytest.mark.parametrize(
    ("spec", "module", "package"),
    [
        ("anthropic:claude-haiku-4-5", "anthropic", "sllmbo[anthropic]"),
        ("bedrock:amazon.nova-lite-v1:0", "boto3", "sllmbo[bedrock]"),
        ("mistral:mistral-small-latest", "mistralai", "sllmbo[mistral]"),
        ("groq:llama-3.3-70b-versatile", "groq", "sllmbo[groq]"),
        ("cohere:command-r", "cohere", "slim[cohere]"),
    ],
)
def test_missing_extra(spec: str, module: str, package: str) -> None:
    """A provider whose client is not installed names what to install."""
    if importlib.util.find_spec(module) is not None:
        pytest.skip(f"{module} is installed")
    with pytest.raises(MissingExtra) as caught:
        Gateway(spec).check_config()
    assert package in str(caught.value)


def test_forbidden_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under allow_requests(False) nothing leaves the machine, and the error is not one that samplers fall back on."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    with pytest.raises(ConfigError, match="allow_requests"):
        ask(Gateway("openai:gpt-5-mini"))
    with pytest.raises(ConfigError, match="allow_requests"):
        ask(Gateway("openai:tiny", base_url="http://example.invalid/v1"))


def test_import_is_light() -> None:
    """Importing the gateway and the advisor loads no pydantic_ai."""
    code = "import sys, sllmbo.llm, sllmbo.advisors.llm, sllmbo.prompts; sys.exit('pydantic_ai' in sys.modules)"
    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode
