"""
`sllmbo doctor` as a process, against a loopback chat server.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sllmbo.llm.resolve import PROVIDERS
from sllmbo.testing import chat_server
from sllmbo.testing.chat_server import ChatServer
from sllmbo_process import python

KEY = "sk-averysecretkey123"


def doctor(*arguments, **environment):
    known = {name for provider in PROVIDERS.values() for name in provider.keys}
    env = {name: value for name, value in os.environ.items() if name not in known and name != "SLLMBO_LLM"}
    done = python("-m", "sllmbo", "doctor", *arguments, cwd=Path.cwd(), env={**env, **environment})
    assert KEY not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def examined(*arguments, **environment):
    code, printed = doctor(*arguments, "--json", **environment)
    told = json.loads(printed)
    assert (0 if told["ok"] else 2) == code
    assert told["ok"] == all(finding["ok"] for finding in told["findings"])
    return {finding["check"]: (finding["ok"], finding["words"]) for finding in told["findings"]}


def test_what_is_configured() -> None:
    """Without --llm nothing is asked: SLLMBO_LLM, keys by name and installed clients are told."""
    code, printed = doctor(SLLMBO_LLM="openai:gpt-5-mini", OPENAI_API_KEY=KEY, GEMINI_API_KEY=KEY)

    assert 0 == code
    assert "SLLMBO_LLM='openai:gpt-5-mini'" in printed
    assert "OPENAI_API_KEY, GEMINI_API_KEY" in printed
    assert "openai, anthropic, google" in printed


def test_nothing_is_configured() -> None:
    """With an empty environment it is said that documented rules advise."""
    code, printed = doctor()

    assert 0 == code
    assert "documented rules advise" in printed
    assert "no provider's key" in printed


@pytest.mark.parametrize("spec", ["openai:tiny", "anthropic:claude-haiku-4-5", "google:gemini-2.5-flash"])
def test_a_sound_chat_model(spec) -> None:
    """One question finds client, key, server, reply mode and price in order."""
    with ChatServer([{"sum": 5}]) as server:
        found = examined("--llm", spec, "--base-url", server.base_url)

    assert ["client", "key", "server", "reply", "price"] == list(found)
    assert all(ok for ok, _ in found.values())
    assert "reply mode tool" in found["reply"][1]
    assert "unknown" in found["price"][1]
    assert 1 == len(server.requests)


def test_the_reply_mode_that_works_is_told() -> None:
    """Where the server knows no tools, the mode in words is found."""

    def reply(request):
        tools = request.reply_mode == "tool"
        return chat_server.status(400, "tools are not supported") if tools else 'It is {"sum": 5}.'

    with ChatServer(reply) as server:
        found = examined("--llm", "openai:tiny", "--base-url", server.base_url, OPENAI_API_KEY=KEY)

    assert "reply mode prompted" in found["reply"][1]
    assert "OPENAI_API_KEY is set" == found["key"][1]


@pytest.mark.parametrize(
    ("check", "reply"),
    [
        ("key", chat_server.status(401, f"Incorrect API key provided: {KEY}")),
        ("server", chat_server.html()),
        ("server", chat_server.status(404, "no such chat model")),
        ("reply", {"sum": 4}),
    ],
)
def test_what_is_wrong_and_what_to_do(check, reply) -> None:
    """A wrong key, server, name or reply is told in one line with a remedy, and the exit code is 2."""
    with ChatServer([reply]) as server:
        code, printed = doctor("--llm", "openai:tiny", "--base-url", server.base_url, OPENAI_API_KEY=KEY)

    (wrong,) = [line for line in printed.splitlines() if line.startswith("WRONG")]
    assert 2 == code
    assert check in wrong.split()
    assert ";" in wrong or "Try again" in wrong


@pytest.mark.parametrize(
    ("arguments", "check", "remedy"),
    [
        (("--llm", "openai:gpt-5-mini"), "setting", "OPENAI_API_KEY"),
        (("--llm", "gpt-5-mini"), "llm", "provider:name"),
        (("--llm", "cohere:command-r"), "client", "pip install"),
        (("--llm", "replay:nowhere.jsonl"), "llm", "nowhere.jsonl"),
        (("--llm", "replay-lenient:nowhere.jsonl"), "llm", "nowhere.jsonl"),
        (("--base-url", "http://localhost:1/v1"), "server", "--llm openai:NAME"),
    ],
)
def test_mistakes_are_found_before_anything_is_sent(arguments, check, remedy) -> None:
    """A missing key, client or file and a wrong name are told with their remedies."""
    ok, words = examined(*arguments)[check]

    assert not ok
    assert remedy in words


def test_offline_asks_nobody() -> None:
    """The documented rules need no chat model."""
    assert (True, "'offline' asks no chat model") == examined("--llm", "offline")["llm"]


def test_a_chain_is_checked_one_by_one() -> None:
    """Each chat model of a chain has lines of its own."""
    with ChatServer([{"sum": 5}]) as server:
        code, printed = doctor("--llm", "openai:a,anthropic:b", "--base-url", server.base_url)

    assert 0 == code
    assert 5 == sum("openai:a" in line for line in printed.splitlines())
    assert 5 == sum("anthropic:b" in line for line in printed.splitlines())
