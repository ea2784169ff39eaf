"""
`sllmbo prompt` shows what is sent, word for word, and sends nothing; `sllmbo space` shows what is tuned.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import quicktok
import typer

import sllmbo
from sllmbo.cli.app import app, run
from sllmbo.cli.options import default_study_name, read_space
from sllmbo.space import Float, SearchSpace
from sllmbo.testing.chat_server import ChatServer
from sllmbo.tuner.data import from_frame, read_table

TABLE = "house prices.csv"
RIDGE = [TABLE, "--target", "price", "--estimator", "ridge"]
DESIGN = {
    "rationale": "Few rows.",
    "parameters": [
        {"name": "alpha", "type": "float", "low": 0.01, "high": 50, "log": True, "reason": "strength"},
        {"name": "fit_intercept", "type": "categorical", "choices": ["true", "false"]},
    ],
}


@pytest.fixture(autouse=True)
def table(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go where a small table lies, with an environment that names no chat model."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 3)), columns=["size", "age", "COLUMNZq7"])
    frame["price"] = frame["size"] * 2 + rng.normal(size=60)
    frame.to_csv(tmp_path / TABLE, index=False)
    (tmp_path / "space.json").write_text(json.dumps(SearchSpace({"alpha": Float(0.1, 9, default=1.0)}).to_json()))
    monkeypatch.chdir(tmp_path)
    for name in ("SLLMBO_LLM", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection, that to loopback too."""

    def refuse(*_: Any) -> None:
        raise AssertionError("something was sent")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    """Run a command with --json and return what it printed."""
    assert code == run([*arguments, "--json"])
    return json.loads(capsys.readouterr().out)


def tuned(server: ChatServer, n_trials: int, **about: Any) -> sllmbo.TuneResult:
    return sllmbo.tune(
        "ridge",
        from_frame(read_table(TABLE), "price"),
        n_trials=n_trials,
        method="llm",
        llm="openai:any",
        base_url=server.base_url,
        storage="sqlite:///s.db",
        cv=2,
        **{"init": "default", "study_name": "s", **about},
    )


def answer(request: Any) -> Any:
    if "parameters" in request.schema["properties"]:
        return DESIGN
    alpha = len(request.text) % 17 + 0.5
    return {
        "candidates": [{"intent": "explore", "rationale": "r", "params": {"alpha": alpha, "fit_intercept": "true"}}]
    }


@pytest.mark.parametrize(
    "extra",
    [
        [],
        ["--privacy", "none"],
        ["--privacy", "schema", "--description", "secret"],
        ["--memory", "chat"],
        ["--reply-mode", "prompted"],
    ],
    ids=str,
)
def test_it_is_what_is_sent(capsys: Any, extra: list[str]) -> None:
    """The design of a space and the next question of a study are shown as a chat model then gets them."""
    names = [name.removeprefix("--").replace("-", "_") for name in extra[::2]]
    about: dict[str, Any] = dict(zip(names, extra[1::2], strict=True))
    design = told(capsys, "prompt", *RIDGE, "--trials", "5", *extra)
    with ChatServer(answer) as server:
        tuned(server, 5, **about)
        first = server.requests[0]
        n_before = len(server.requests)
        following = told(
            capsys, "prompt", *RIDGE, "--trials", "7", "--study", "s", "--storage", "sqlite:///s.db", *extra
        )
        tuned(server, 7, **about)
        second = server.requests[n_before]

    assert ("design", "next") == (design["purpose"], following["purpose"])
    for shown, sent in ((design, first), (following, second)):
        said = [words for _, words in shown["conversation"]]
        assert " ".join([shown["instructions"], *said, shown["text"]]).split() == sent.text.split()
        assert shown["schema"]["properties"].keys() == sent.schema["properties"].keys()
    assert "secret" not in first.text + second.text


@pytest.mark.usefixtures("no_sockets")
@pytest.mark.parametrize("purpose", ["design", "opening", "next"])
def test_nothing_is_sent(capsys: Any, purpose: str) -> None:
    """No connection is made and no key is needed for any question, and no name of a column is in it."""
    for llm in ("openai:gpt-5-mini", "anthropic:claude-haiku-4-5,openai:gpt-5-mini", "offline"):
        shown = told(capsys, "prompt", *RIDGE, "--llm", llm, "--purpose", purpose)
        assert purpose == shown["purpose"]
        assert "COLUMNZq7" not in json.dumps(shown)
    assert 0 == run(["prompt", *RIDGE, "--llm", "openai:gpt-5-mini", "--purpose", purpose])
    out = capsys.readouterr().out
    assert "Nothing was sent." in out
    assert "COLUMNZq7" not in out


def test_size_and_price(capsys: Any) -> None:
    """Tokens are estimated within a tenth; the price is that of the table, and unknown where there is none."""
    shown = told(capsys, "prompt", *RIDGE, "--llm", "openai:gpt-5-mini")
    vocabulary = quicktok.get_encoding("o200k_base")
    tokens = sum(
        len(vocabulary.encode(text)) for text in (shown["instructions"], shown["text"], json.dumps(shown["schema"]))
    )

    assert tokens == pytest.approx(shown["input_tokens"], rel=0.1)
    assert shown["input_tokens"] * 0.25e-6 == pytest.approx(shown["input_cost_usd"])
    for unknown in (
        ["--llm", "openai:unheard-of"],
        ["--llm", "offline"],
        ["--llm", "openai:gpt-5-mini", "--base-url", "http://localhost:1/v1"],
    ):
        assert told(capsys, "prompt", *RIDGE, *unknown)["input_cost_usd"] is None
    run(["prompt", *RIDGE, "--llm", "openai:unheard-of"])
    assert "price unknown" in capsys.readouterr().out


def test_what_comes_next(capsys: Any) -> None:
    """Without a purpose it is the first question of a new study: for a space, or for an opening where there is one."""
    assert "design" == told(capsys, "prompt", *RIDGE)["purpose"]
    given = told(capsys, "prompt", *RIDGE, "--space", "space.json")
    assert ("opening", ["alpha"]) == (given["purpose"], list(_params(given)))
    masked = told(capsys, "prompt", *RIDGE, "--mask-names")
    assert ("opening", ["x1", "x2", "x3"]) == (masked["purpose"], list(_params(masked)))
    assert not [word for word in ("alpha", "ridge", "mae") if word in masked["text"]]


def test_what_comes_next_in_a_study(capsys: Any) -> None:
    """Of a study that has its default configuration alone, the opening is shown as it is then asked for."""
    with ChatServer(answer) as server:
        tuned(server, 1, init="llm")
        shown = told(capsys, "prompt", *RIDGE, "--trials", "9", "--study", "s", "--storage", "sqlite:///s.db")
        tuned(server, 9, init="llm")
        sent = server.requests[1]

    assert "opening" == shown["purpose"]
    assert f"{shown['instructions']}\n{shown['text']}" == sent.text


def test_the_study_of_a_memory_is_found(capsys: Any) -> None:
    """Without --study it is the study that `sllmbo tune` names for the same chat model and memory."""
    about = ["--llm", "openai:any", "--memory", "chat"]
    name = default_study_name(Path(TABLE), "ridge", "llm-tpe", "openai:any", 0, "chat")
    with ChatServer(answer) as server:
        tuned(server, 2, memory="chat", study_name=name)
    shown = told(capsys, "prompt", *RIDGE, *about, "--storage", "sqlite:///s.db")
    assert "next" == shown["purpose"]
    assert shown["conversation"]


def _params(shown: Any) -> Any:
    return shown["schema"]["properties"]["candidates"]["items"]["properties"]["params"]["properties"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([*RIDGE, "--study", "nope"], "no study 'nope'"),
        ([*RIDGE, "--storage", "sqlite:///nope.db"], "--storage"),
        ([*RIDGE, "--mask-names", "--purpose", "design"], "--mask-names"),
        ([*RIDGE, "--llm", "gpt"], "'gpt'"),
        ([TABLE, "--target", "prise"], "did you mean 'price'"),
    ],
)
def test_mistakes(capsys: Any, tmp_path: Any, arguments: list[str], words: str) -> None:
    """A mistake is told in one sentence with exit code 2, and makes no database."""
    before = sorted(tmp_path.iterdir())
    assert 2 == run(["prompt", *arguments])
    said = capsys.readouterr()
    assert words in said.err
    assert "" == said.out
    assert before == sorted(tmp_path.iterdir())


def test_space_documented_derived_designed(capsys: Any, tmp_path: Any) -> None:
    """The documented, the derived and the designed space are shown with their origin, and read back by --space."""
    lasso = [TABLE, "--target", "price", "--estimator", "sklearn.linear_model:LassoLars"]
    with ChatServer(answer) as server:
        chat = ["--llm", "openai:any", "--base-url", server.base_url]
        for arguments, origin, expected in (
            (RIDGE, "documented", "alpha"),
            (lasso, "derived from the estimator's defaults", "alpha"),
            ([*RIDGE, *chat], "designed by", "fit_intercept"),
        ):
            assert 0 == run(["space", *arguments])
            out = capsys.readouterr().out
            assert origin in out.splitlines()[0]
            assert expected in out
            space = told(capsys, "space", *arguments)
            (tmp_path / "found.json").write_text(json.dumps(space))
            assert space == read_space(tmp_path / "found.json").to_json()  # type: ignore[union-attr]  # one is given
            assert expected in space
    assert 2 == len(server.requests)


@pytest.mark.parametrize("arguments", [[TABLE, "--target", "prise"], [*RIDGE, "--llm", "openai:gpt-5-mini"]])
def test_mistakes_of_space(capsys: Any, arguments: list[str]) -> None:
    """A wrong column and a missing key are told in one sentence with exit code 2."""
    assert 2 == run(["space", *arguments])
    said = capsys.readouterr()
    assert "price" in said.err or "OPENAI_API_KEY" in said.err
    assert "" == said.out


@pytest.mark.parametrize("command", ["prompt", "space"])
def test_options_mean_the_same(command: str) -> None:
    """What `sllmbo tune` has too is the same there; only data and target may be left out, for a command."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # it is a group
    of_tune = {option.name: option for option in commands["tune"].params}
    shared = [option for option in commands[command].params if option.name in of_tune]
    assert len(shared) >= 14
    for option in shared:
        there = of_tune[option.name]
        assert (there.opts, there.default) == (option.opts, option.default)
        assert there.required == (option.required and option.name not in ("data", "target"))
        assert getattr(there, "help", "") == getattr(option, "help", "")
    assert {"purpose"} >= {option.name for option in commands[command].params} - of_tune.keys()
