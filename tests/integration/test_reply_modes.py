"""
Reply mode and memory reach the chat model through every door, and are refused where no chat model is asked.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest

import sllmbo
from sllmbo.advisors import choose_advisor
from sllmbo.advisors.rules import RuleAdvisor
from sllmbo.cli.app import run
from sllmbo.errors import ConfigError
from sllmbo.testing.chat_server import ChatServer

SPACE = sllmbo.SearchSpace({"alpha": sllmbo.Float(1e-3, 1e3, log=True, default=1.0)})
MODES = ["tool", "native", "prompted"]


@pytest.fixture(autouse=True)
def _no_chat_model_is_named(monkeypatch):
    monkeypatch.delenv("SLLMBO_LLM", raising=False)


def _by_sampler(sampler, **about):
    study = optuna.create_study(sampler=sampler("openai:any", space=SPACE, seed=0, **about))
    study.optimize(lambda trial: trial.suggest_float("alpha", 1e-3, 1e3, log=True), n_trials=4)


def _by_tuner(**about):
    tuner = sllmbo.Tuner(SPACE, task=sllmbo.Task(direction="minimize"), llm="openai:any", seed=0, **about)
    for _ in range(4):
        trial = tuner.ask()
        tuner.tell(trial, trial.params["alpha"])


def _by_tune(**about):
    X = np.random.default_rng(0).normal(size=(40, 2))
    options = {"space": SPACE, "llm": "openai:any", "n_trials": 4, "cv": 2} | about
    return sllmbo.tune("ridge", X, X @ [1.0, 2.0], **options)


DOORS = {
    "LLMSampler": lambda **about: _by_sampler(sllmbo.LLMSampler, **about),
    "LLMTPESampler": lambda **about: _by_sampler(sllmbo.LLMTPESampler, **about),
    "Tuner": _by_tuner,
    "tune": _by_tune,
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("door", DOORS)
def test_a_reply_mode_reaches_the_server(door: str, mode: str) -> None:
    """What is named beside the chat model in Python is how its server is asked."""
    with ChatServer() as server:
        DOORS[door](base_url=server.base_url, reply_mode=mode)
    assert {mode} == {request.reply_mode for request in server.requests}


@pytest.mark.parametrize("llm", ["offline", "replay:r", RuleAdvisor()], ids=["offline", "replay", "advisor"])
def test_a_reply_mode_without_a_chat_model_is_refused(llm: Any) -> None:
    """Rules, recordings and advisors that are made already have no reply mode; the sentence says what to do."""
    remedy = "LLMAdvisor" if isinstance(llm, RuleAdvisor) else "name it 'openai:NAME'"
    with pytest.raises(ConfigError, match=rf"reply_mode='native'.*{remedy}"):
        choose_advisor(llm, reply_mode="native")


def test_a_reply_mode_that_there_is_not_is_refused() -> None:
    """A misspelt mode is quoted beside those that there are, before anything is asked."""
    with ChatServer() as server, pytest.raises(ConfigError, match="'json' is none of 'auto', 'tool'"):
        sllmbo.LLMSampler("openai:any", base_url=server.base_url, reply_mode="json")  # type: ignore[arg-type]
    assert [] == server.requests


@pytest.mark.parametrize(
    ("memory", "is_told"),
    [
        ("digest", lambda requests: all(len(r.body["messages"]) == 2 for r in requests)),
        ("summary", lambda requests: any("summary" in r.schema["properties"] for r in requests)),
        ("chat", lambda requests: any(m["role"] == "assistant" for m in requests[-1].body["messages"])),
    ],
)
def test_a_memory_reaches_the_chat_model(memory: str, is_told: Any) -> None:
    """`tune()` tells the digest, asks for summaries, or sends the conversation, as its *memory* says."""
    with ChatServer() as server:
        result = _by_tune(base_url=server.base_url, memory=memory, method="llm", n_trials=14)
    assert 14 == result.n_trials
    assert is_told(server.requests)


def test_a_memory_is_checked_and_must_reach_somebody() -> None:
    """An unknown memory is refused whoever advises, and so is one that an `Advisor` would not heed."""
    with pytest.raises(ConfigError, match="memory='diary' must be one of digest, summary, chat"):
        _by_tune(llm="offline", memory="diary")
    with pytest.raises(ConfigError, match=r"^memory='chat' would not reach"):
        sllmbo.Tuner(SPACE, llm=RuleAdvisor(), memory="chat")


@pytest.fixture
def table(tmp_path, monkeypatch):
    """The name of a small table in the current folder."""
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=["size", "price"])
    frame.to_csv(tmp_path / "houses.csv", index=False)
    (tmp_path / "space.json").write_text(json.dumps(SPACE.to_json()))
    monkeypatch.chdir(tmp_path)
    return "houses.csv"


@pytest.mark.parametrize("mode", MODES)
def test_the_commands_take_a_reply_mode(table: str, mode: str, capsys: Any) -> None:
    """`sllmbo space` and `sllmbo doctor` ask in the mode that is named."""
    parameters = [{"name": "alpha", "type": "float", "low": 0.01, "high": 50, "log": True}]
    with ChatServer(lambda r: {"sum": 5} if "2 + 3" in r.text else {"parameters": parameters}) as server:
        about = ["--llm", "openai:any", "--base-url", server.base_url, "--reply-mode", mode]
        assert 0 == run(["space", table, "--target", "price", "--estimator", "ridge", *about])
        assert 0 == run(["doctor", *about])
    assert [mode] * 2 == [request.reply_mode for request in server.requests]
    assert f"reply mode {mode}" in capsys.readouterr().out


def test_doctor_refuses_a_reply_mode_without_a_chat_model(capsys: Any) -> None:
    """Without --llm, and with one that asks nobody, the mode is told to be out of place."""
    assert 2 == run(["doctor", "--reply-mode", "native"])
    assert "--reply-mode native needs a chat model" in capsys.readouterr().out
    assert 2 == run(["doctor", "--llm", "offline", "--reply-mode", "native"])
    assert "needs a chat model" in capsys.readouterr().out
