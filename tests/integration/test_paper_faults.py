"""
The faults of the paper's reference code cannot happen here. Each test names the fault that it excludes.
"""

from __future__ import annotations

import random
import re

import numpy as np
import optuna
import pytest

import sllmbo
from sllmbo.advisors.knowledge import find_estimator
from sllmbo.advisors.llm import LLMAdvisor
from sllmbo.samplers import Bernoulli
from sllmbo.testing import chat_server
from sllmbo.testing.chat_server import ChatServer
from sllmbo.testing.scripted import ScriptedAdvisor

SPACE = sllmbo.SearchSpace(
    {
        "rate": sllmbo.Float(1e-3, 1.0, log=True, default=0.1),
        "depth": sllmbo.Int(1, 12, default=6),
        "kind": sllmbo.Categorical(["gbtree", "dart"], default="gbtree"),
    }
)


def _objective(trial):
    rate = trial.suggest_float("rate", 1e-3, 1.0, log=True)
    depth = trial.suggest_int("depth", 1, 12)
    kind = trial.suggest_categorical("kind", ["gbtree", "dart"])
    return abs(np.log10(rate) + 1) + abs(depth - 7) / 10 + (kind == "dart")


def _drawn(request):
    rng = np.random.default_rng(request.turn)
    return [request.space.sample(rng) for _ in range(request.n)]


def _study(
    advisor, *, n_trials=30, sampler=sllmbo.LLMTPESampler, direction="minimize", objective=_objective, **options
):
    options = {"space": SPACE, "seed": 42} | options
    study = optuna.create_study(direction=direction, sampler=sampler(advisor, **options))
    study.optimize(objective, n_trials=n_trials, catch=(ValueError,))
    return study


def _sources(study):
    return [trial.user_attrs["sllmbo:source"] for trial in study.trials]


def _with_chat_model(**options):
    rng = random.Random(0)
    with ChatServer(lambda request: chat_server.answer_from_schema(request, rng)) as server:
        advisor = LLMAdvisor("openai:any", base_url=server.base_url)
        return _study(advisor, **options), server.requests


def test_d1_d2_results_reach_the_chat_model() -> None:
    """D1, D2: every question tells trials with their values, and the next one those that came since."""
    study, requests = _with_chat_model(sampler=sllmbo.LLMSampler, n_trials=12)

    for request, trial in zip(requests[1:], study.trials[6:], strict=False):
        assert all(re.search(rf"^{number}\*?,", request.text, re.M) for number in range(trial.number))


def test_d3_questions_do_not_grow_with_the_study() -> None:
    """D3: the question after 200 trials is not longer than the bound of a question."""
    study, requests = _with_chat_model(sampler=sllmbo.LLMSampler, n_trials=120)

    assert 120 == len(study.trials)
    assert max(len(request.text) for request in requests[60:]) <= 1.1 * max(len(r.text) for r in requests[30:60])


def test_d4_a_trial_is_served_whole_by_one_side() -> None:
    """D4: one coin per trial: all values of an advisor's trial are its own, and half of the trials are its."""
    advisor = ScriptedAdvisor(_drawn)
    study = _study(advisor, n_trials=200, init="default", mixing=Bernoulli(0.5), judging=False)
    served = [t for t in study.trials if t.user_attrs["sllmbo:source"] not in ("tpe", "default")]

    assert all(t.params == t.user_attrs["sllmbo:params"] for t in served)
    assert 80 <= len(served) <= 120


def test_d5_d6_one_question_serves_a_whole_trial_and_one_the_opening() -> None:
    """D5, D6: about half as many questions as trials, never one per parameter; the opening is one joint question."""
    study, requests = _with_chat_model(n_trials=50, init="llm")
    by_chat_model = sum(source == "llm" for source in _sources(study))

    assert by_chat_model - 4 == len(requests)
    assert len(requests) <= 30


@pytest.mark.parametrize("init", ["llm", "random", "default"])
def test_d7_each_init_is_what_it_says(init) -> None:
    """D7: a random opening asks nobody; the chat model's comes from it; the default alone opens nothing."""
    study = _study(ScriptedAdvisor(_drawn), n_trials=6, init=init, mixing=Bernoulli(0.0))
    expected = {"llm": "scripted", "random": "random", "default": "tpe"}[init]

    assert ["default", *[expected] * 5] == _sources(study)


@pytest.mark.parametrize("nonsense", [{"rate": 7.0, "depth": 99, "kind": "gbtree"}, {"rate": "0.02", "depth": 3.0}])
def test_d8_no_value_outside_the_space_is_evaluated(nonsense) -> None:
    """D8: whatever is proposed, what is evaluated lies inside, and the repair is on the trial."""
    study = _study(ScriptedAdvisor(nonsense), n_trials=8)

    assert all(SPACE.contains(trial.params) for trial in study.trials)
    assert any("sllmbo:repairs" in trial.user_attrs for trial in study.trials)


def test_d9_no_configuration_is_evaluated_twice() -> None:
    """D9: a chat model that repeats itself costs no trial."""
    study = _study(ScriptedAdvisor(SPACE.default_params()), n_trials=30, sampler=sllmbo.LLMSampler)
    tried = [tuple(sorted(trial.params.items())) for trial in study.trials]

    assert len(tried) == len(set(tried))


def test_d13_categorical_and_log_parameters_are_told_and_served() -> None:
    """D13: the question names choices and scales, and advice about them is used."""
    study, requests = _with_chat_model(sampler=sllmbo.LLMSampler, n_trials=10)

    assert "one of gbtree, dart" in requests[0].text
    assert "0.001..1 log" in requests[0].text
    assert {"gbtree", "dart"} == {trial.params["kind"] for trial in study.trials}


@pytest.mark.parametrize("reply", [chat_server.status(500), "prose", chat_server.tool_call('{"a": {"b": [1, 2')])
def test_d14_no_failure_of_the_chat_model_ends_a_study(reply) -> None:
    """D14: errors, prose and broken JSON from the first question on leave a study of all its trials."""
    with ChatServer([reply]) as server:
        study = _study(LLMAdvisor("openai:any", base_url=server.base_url, timeout=2.0), n_trials=10)

    assert 10 == sum(trial.state.name == "COMPLETE" for trial in study.trials)


def test_d15_a_resumed_study_repeats_nothing(tmp_path) -> None:
    """D15: two halves of a study are the whole one."""
    url = f"sqlite:///{tmp_path}/study.db"
    for _ in range(2):
        sampler = sllmbo.LLMTPESampler(ScriptedAdvisor(_drawn), space=SPACE, seed=42)
        optuna.create_study(storage=url, study_name="s", load_if_exists=True, sampler=sampler).optimize(
            _objective, n_trials=15
        )
    halves = optuna.load_study(storage=url, study_name="s")
    whole = _study(ScriptedAdvisor(_drawn), n_trials=30)

    assert [trial.params for trial in whole.trials] == [trial.params for trial in halves.trials]


def test_d16_d17_a_stuck_chat_model_triggers_patience_and_loses_no_trial() -> None:
    """D16, D17: equal values are no improvement, and a bad reply is followed by a trial all the same."""
    from sllmbo.stopping import PatienceCallback

    sampler = sllmbo.LLMSampler(ScriptedAdvisor({"rate": "nonsense"}), space=SPACE, seed=0)
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: 0.0 * _objective(trial), n_trials=40, callbacks=[PatienceCallback(3)])

    assert 4 == len(study.trials)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_d19_negative_values_stay_negative(direction) -> None:
    """D19: the best of negative values is the best in the study's direction."""
    study = _study(
        ScriptedAdvisor(_drawn), n_trials=10, direction=direction, objective=lambda trial: -5 - _objective(trial)
    )
    values = [trial.value for trial in study.trials]

    assert (min if direction == "minimize" else max)(values) == study.best_value < 0


def test_d22_threads_share_a_sampler_without_mixing_their_trials() -> None:
    """D22: with four threads each advisor trial is still served whole."""
    study = optuna.create_study(sampler=sllmbo.LLMTPESampler(ScriptedAdvisor(_drawn), space=SPACE, seed=0))
    study.optimize(_objective, n_trials=40, n_jobs=4)
    served = [t for t in study.trials if t.user_attrs["sllmbo:source"] == "scripted"]

    assert 40 == len(study.trials)
    assert all(t.params == t.user_attrs["sllmbo:params"] for t in served)


def test_d21_no_parameter_of_the_documented_space_is_dead() -> None:
    """D21: LightGBM's subsample acts, and no tree is cut off by a max_depth that num_leaves knows nothing of."""
    space = sllmbo.Tuner(task=sllmbo.Task(estimator="lightgbm"), llm="offline").space
    known = find_estimator("lightgbm")

    assert known is not None
    assert known.fixed["subsample_freq"] >= 1
    assert not {"max_depth", "num_leaves"} <= set(space)


def test_d23_the_search_space_of_llm_tpe_is_dynamic() -> None:
    """D23: a chat model designs the space and edits it during the study; both sides search where it says."""
    rng = random.Random(1)
    designed = [
        {"name": "x", "type": "float", "low": 1.5, "high": 5.0, "default": "2.0"},
        {"name": "y", "type": "float", "low": -3.0, "high": 3.0, "default": "-2.0"},
    ]

    def answer(request):
        offered = request.schema["properties"]
        if "parameters" in offered:
            return {"rationale": "as documented", "parameters": designed}
        high = offered["candidates"]["items"]["properties"]["params"]["properties"]["x"]["maximum"]
        params = {"x": high * (1 - 0.02 * rng.random()), "y": rng.uniform(0.5, 1.5)}
        reply = {"candidates": [{"intent": "exploit", "rationale": "larger x helped (#1)", "params": params}]}
        if "space" in offered:
            reply["space"] = [{"parameter": "x", "low": 1.5, "high": 99.0, "reason": "x helps"}]
        return reply

    with ChatServer(answer) as server:
        advisor = LLMAdvisor("openai:any", base_url=server.base_url)
        task = sllmbo.Task(description="an engine", direction="minimize", n_trials=50)
        tuner = sllmbo.Tuner(task=task, llm=advisor, mixing=Bernoulli(0.5), seed=0)
        for _ in range(40):
            trial = tuner.ask()
            tuner.tell(trial, (trial.params["x"] - 6) ** 2 + (trial.params["y"] - 1) ** 2)
    edits = [edit for t in tuner.study.trials for edit in t.user_attrs.get("sllmbo:edits", [])]
    beyond = {t.user_attrs["sllmbo:source"] for t in tuner.study.trials if t.params["x"] > 5.0}

    assert [(1.5, 5.875), (1.5, 6.969)] == [(edit["low"], edit["high"]) for edit in edits]
    assert {"llm", "tpe"} <= beyond
    assert any("Open:\nx: low 1.5 (fixed), high 5 to 5.88" in request.text for request in server.requests)
