"""
The gateway against a real loopback server: every way in which a chat model answers, well or badly.
"""

from __future__ import annotations

import asyncio
import importlib.util
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
from hypothesis import given, settings
from hypothesis import strategies as st

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
from sllmbo.llm import Answer, Gateway, allow_requests, read_json
from sllmbo.testing import chat_server
from sllmbo.testing.chat_server import ChatServer

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
        (chat_server.html(), Unavailable, 1),
        (chat_server.Reply("[1, 2]"), Unavailable, 1),
        (chat_server.Reply('{"choices": []}'), Unavailable, 1),
        (chat_server.Reply("not json"), Unavailable, 1),
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


def test_threads() -> None:
    """Eight threads share one gateway without an error."""
    with ChatServer() as server, ThreadPoolExecutor(8) as pool:
        gateway = gateway_to(server)
        answers = list(pool.map(lambda _: ask(gateway), range(64)))
    assert 64 == len(answers) == len(server.requests)


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


def test_missing_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing key is a configuration error that names the environment variable."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        Gateway("openai:gpt-5-mini").check_config()


@pytest.mark.parametrize(
    ("spec", "module", "package"),
    [("anthropic:claude-haiku-4-5", "anthropic", "sllmbo[anthropic]"), ("cohere:command-r", "cohere", "slim[cohere]")],
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


def test_read_json_prefers_the_largest() -> None:
    """Of several objects the largest is read, and of a cut-off list the objects that are whole."""
    assert {"a": {"b": 1}} == read_json('{} {"x": 1} {"a": {"b": 1}}')
    assert {"params": {"x": 1}} == read_json('{"candidates": [{"params": {"x": 1}}, {"par')
    assert [{"x": 1}, {"x": 2}] == read_json('[{"x": 1}, {"x": 2}]')


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.text(alphabet='{}[]":,x1 \n\\'), st.integers(1, 5000).map(lambda n: '{"a":[' * n)))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Any text gives JSON or a `ReplyError`, never another exception."""
    try:
        value = read_json(text)
    except ReplyError:
        return
    assert isinstance(value, (dict, list))
