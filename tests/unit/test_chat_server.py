"""
The scripted chat server itself, asked by plain HTTP.
"""

from __future__ import annotations

import http.client
import json
import random
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sllmbo.prompts import design_schema, parse_suggestions, suggestions_schema
from sllmbo.space import Categorical, Float, Int, SearchSpace
from sllmbo.testing import chat_server
from sllmbo.testing.chat_server import ChatRequest, ChatServer, answer_from_schema

SPACE = SearchSpace({"C": Float(0.01, 100, log=True), "n": Int(2, 9), "kernel": Categorical(["rbf", None])})


def request_for(schema: Mapping[str, Any]) -> dict[str, Any]:
    tool = {"type": "function", "function": {"name": "answer", "parameters": schema}}
    return {"model": "m", "messages": [{"role": "user", "content": "hello"}], "tools": [tool]}


def post(server: ChatServer, body: Mapping[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
    connection = http.client.HTTPConnection(urlsplit(server.base_url).netloc, timeout=5)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Authorization": "Bearer k"})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def arguments_in(answer: bytes) -> Any:
    return json.loads(json.loads(answer)["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"])


def test_script_in_turn_then_the_last_for_ever() -> None:
    """Replies are given in turn; a mapping is a tool call, text is text, and the last one repeats."""
    with ChatServer([{"a": 1}, "plain"]) as server:
        answers = [post(server, request_for({}))[2] for _ in range(3)]
    assert {"a": 1} == arguments_in(answers[0])
    assert ["plain"] * 2 == [json.loads(answer)["choices"][0]["message"]["content"] for answer in answers[1:]]


def test_requests_are_kept() -> None:
    """What was asked can be read: words, schema, headers."""
    with ChatServer() as server:
        post(server, request_for({"type": "object", "properties": {}}))
    (request,) = server.requests
    assert "hello" == request.text
    assert {"type": "object", "properties": {}} == request.schema
    assert "Bearer k" == request.headers["authorization"]


def test_function_of_the_request() -> None:
    """A function decides by what was asked."""
    with ChatServer(lambda request: f"you said {request.text}") as server:
        assert b"you said hello" in post(server, request_for({}))[2]


def test_same_seed_same_answers() -> None:
    """The drawn answers depend on the seed and on the number of the question alone."""
    body = request_for(suggestions_schema(SPACE, 3))

    def answers(seed: int) -> list[bytes]:
        with ChatServer(seed=seed) as server:
            return [post(server, body)[2] for _ in range(3)]

    assert answers(1) == answers(1)
    assert answers(1) != answers(2)
    assert 3 == len(set(answers(1)))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5))
def test_drawn_answers_are_valid(seed: int, n: int) -> None:
    """Drawn arguments obey the schema, and our parser takes all of them."""
    for schema in (suggestions_schema(SPACE, n), design_schema()):
        request = ChatRequest(request_for(schema), {})
        reply = arguments_in(answer_from_schema(request, random.Random(seed)).written_for(request).encode())
        jsonschema.validate(reply, schema)
        if schema != design_schema():
            assert n == len(parse_suggestions(reply, SPACE, n))


def test_status() -> None:
    """An HTTP error carries its code, and the pause that it asks for in whole seconds and in milliseconds."""
    with ChatServer([chat_server.status(429, retry_after=1.5)]) as server:
        code, headers, body = post(server, {})
    assert 429 == code
    assert ("2", "1500") == (headers["Retry-After"], headers["Retry-After-Ms"])
    assert "scripted error" == json.loads(body)["error"]["message"]


def test_dropped_connection() -> None:
    """A dropped connection gives no answer at all."""
    with ChatServer([chat_server.dropped()]) as server, pytest.raises(http.client.RemoteDisconnected):
        post(server, {})


@pytest.mark.parametrize("reply", [chat_server.silence(), chat_server.drip()])
def test_endless_replies_end_with_the_server(reply: chat_server.Reply) -> None:
    """Silence and dripping end when the server closes: no thread is left over."""
    with ChatServer([reply]) as server:
        connection = http.client.HTTPConnection(urlsplit(server.base_url).netloc, timeout=5)
        connection.request("POST", "/v1/chat/completions", "{}")
        if reply == chat_server.drip():
            assert b"   " == connection.getresponse().read(3)
    connection.close()
    assert not server._thread.is_alive()
