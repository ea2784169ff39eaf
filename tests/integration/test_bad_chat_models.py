"""
Whole tunings against a loopback chat server that answers well, badly and not at all.
"""

from __future__ import annotations

import random
from functools import partial

import numpy as np
import pytest

import sllmbo
from sllmbo.advisors.llm import LLMAdvisor
from sllmbo.errors import AuthenticationFailed, Unavailable
from sllmbo.testing import chat_server
from sllmbo.testing.chat_server import ChatServer

SPACE = sllmbo.SearchSpace(
    {
        "alpha": sllmbo.Float(1e-3, 1e3, log=True, default=1.0),
        "fit_intercept": sllmbo.Categorical([True, False], default=True),
        "tol": sllmbo.Float(1e-6, 1e-2, log=True, default=1e-4),
    }
)


def _objective(trial):
    return abs(np.log10(trial.params["alpha"]) - 1) + trial.params["tol"] + (not trial.params["fit_intercept"])


def _ridge(space, **options):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = X @ [1.0, 2.0, 3.0] + rng.normal(size=60)
    return sllmbo.tune("ridge", X, y, space=space, cv=2, **options)


TUNE = partial(sllmbo.tune_objective, _objective)


def _tune(replies, *, tune=TUNE, space=SPACE, n_trials=14, timeout=2.0):
    with ChatServer(replies if replies is None or callable(replies) else [replies]) as server:
        advisor = LLMAdvisor("openai:any", base_url=server.base_url, timeout=timeout)
        result = tune(space, llm=advisor, method="llm", n_trials=n_trials, seed=0)
        return result, server.requests


def _candidate(**params):
    values = {"alpha": 1.0, "fit_intercept": "true", "tol": 1e-4} | params
    return {"params": values, "intent": "explore", "rationale": "because"}


def _assert_sound(result, n_trials=14):
    """Check that all trials are there, valid, different, and accounted for."""
    assert n_trials == result.n_trials
    assert 0 == result.n_failed
    assert all(SPACE.contains(trial["params"]) for trial in result.trials)
    assert "default" == result.trials[0]["source"]


def test_a_good_chat_model_serves_its_turns() -> None:
    """Well-formed replies are evaluated, attributed, and counted with their tokens."""
    result, requests = _tune(None, tune=_ridge)

    _assert_sound(result)
    assert 13 == result.sources["llm"]["trials"]
    assert len(requests) == result.usage.calls
    assert result.usage.input_tokens > 0
    assert result.usage.cost_usd is None
    assert "scripted-1" == result.advisor


def test_out_of_range_values_are_repaired_and_recorded() -> None:
    """A value beyond a bound is moved to the bound, and the trial says so."""

    def reply(request):
        rng = random.Random(len(request.text))
        return {"candidates": [_candidate(alpha=1e9, tol=rng.uniform(1e-6, 1e-2), gamma=3)]}

    result, _ = _tune(reply)
    repaired = [trial for trial in result.trials if trial["source"] == "llm"]

    _assert_sound(result)
    assert repaired
    assert all(1000.0 == trial["params"]["alpha"] for trial in repaired)
    assert all("alpha: 1000000000.0 became 1000.0" in trial["repairs"] for trial in repaired)
    assert all("gamma" in trial["repairs"] for trial in repaired)


def test_repeats_are_turned_down_and_the_partner_serves() -> None:
    """A configuration that was evaluated before is not evaluated again on the chat model's word."""
    result, _ = _tune({"candidates": [_candidate(alpha=2.0)]})
    params = [tuple(sorted(trial["params"].items())) for trial in result.trials]
    fallen = [trial for trial in result.trials if trial["fallback"]]

    _assert_sound(result)
    assert 1 == result.sources["llm"]["trials"]
    assert len(set(params)) == len(params)
    assert any("repeats trial" in trial["fallback"] for trial in fallen)
    assert all("tpe" == trial["source"] for trial in fallen)


@pytest.mark.parametrize(
    ("kind", "reply"),
    [
        ("ReplyError", chat_server.tool_call('{"candidates": [{"params": {"alp')),
        ("ReplyError", chat_server.text("I would raise alpha a little.")),
        ("ReplyError", chat_server.tool_call({"candidates": []})),
        ("ReplyError", chat_server.tool_call({"candidates": [_candidate(alpha="large")]})),
        ("Refused", chat_server.refusal()),
        ("Refused", chat_server.status(400)),
        ("Unavailable", chat_server.dropped()),
        ("Unavailable", chat_server.silence()),
        ("Unavailable", chat_server.drip()),
        ("Unavailable", chat_server.status(500)),
        ("RateLimited", chat_server.status(429, retry_after=60)),
        ("AuthenticationFailed", chat_server.status(401)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_chat_model_costs_no_trial(kind, reply, caplog) -> None:
    """The study finishes, each turn of the chat model has its fallback with the reason, and the log tells it."""
    result, _ = _tune(reply, n_trials=10, timeout=0.5)
    fallen = [trial for trial in result.trials if trial["fallback"]]

    _assert_sound(result, n_trials=10)
    assert 9 == len(fallen)
    assert {"default", "tpe"} == set(result.sources)
    assert {kind, "Paused"} == {trial["fallback"].partition(":")[0] for trial in fallen}
    assert len([trial for trial in fallen if trial["fallback"].startswith(kind)]) < 6
    assert any("TPESampler serves the whole trial" in record.message for record in caplog.records)


def test_a_chat_model_that_recovers_is_used_again() -> None:
    """After failures and a pause, good replies are taken."""
    rng = random.Random(0)
    bad = [chat_server.status(500)] * 9

    def reply(request):
        return bad.pop() if bad else chat_server.answer_from_schema(request, rng)

    result, _ = _tune(reply, n_trials=16)
    sources = [trial["source"] for trial in result.trials]

    _assert_sound(result, n_trials=16)
    assert "llm" in sources[6:]
    assert any(trial["fallback"].startswith("Paused") for trial in result.trials)


@pytest.mark.parametrize(
    ("reply", "error"), [(chat_server.status(401), AuthenticationFailed), (chat_server.silence(), Unavailable)]
)
def test_a_mute_chat_model_that_should_design_the_space_ends_before_the_first_trial(reply, error) -> None:
    """A wrong key or server shows at once, not after a night of trials."""
    with pytest.raises(error):
        _tune(reply, tune=_ridge, space=None, timeout=0.5)


def test_a_senseless_design_gives_way_to_the_documented_space(caplog) -> None:
    """A chat model that answers nonsense when asked for a space does not keep the tuning from running."""
    rng = random.Random(0)

    def reply(request):
        properties = (request.schema or {}).get("properties", {})
        return "nonsense" if "candidates" not in properties else chat_server.answer_from_schema(request, rng)

    result, _ = _tune(reply, tune=_ridge, space=None, n_trials=5)

    assert 5 == result.n_trials
    assert "alpha" in result.best_params
    assert any("documented space of ridge" in record.message for record in caplog.records)
