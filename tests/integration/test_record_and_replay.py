"""
A study that was recorded is repeated by its recording, trial for trial, and by nothing else.
"""

import json
import random

import numpy as np
import optuna
import pytest

import sllmbo
from sllmbo.advisors.llm import LLMAdvisor
from sllmbo.advisors.replay import ELSEWHERE, RecordingAdvisor, ReplayAdvisor, read_recording
from sllmbo.advisors.rules import RuleAdvisor
from sllmbo.budget import Budget
from sllmbo.errors import AdviceError, ReplayMismatch
from sllmbo.samplers import Bernoulli
from sllmbo.testing import HOSTILE, ScriptedAdvisor, chat_server

SPACE = sllmbo.SearchSpace(
    {
        "x": sllmbo.Float(0.1, 10, log=True, default=1.0),
        "k": sllmbo.Int(0, 4, default=2),
        "kind": sllmbo.Categorical(["plain", "steep"], default="plain"),
    }
)


def objective(trial):
    x, k = trial.suggest_float("x", 0.1, 10, log=True), trial.suggest_int("k", 0, 4)
    steep = trial.suggest_categorical("kind", ["plain", "steep"]) == "steep"
    if k == 4:
        raise ValueError("k is too large")
    return (x - 3) ** 2 * (2 if steep else 1) + k


def run(advisor, *, seed=5, n_trials=20, storage=None, n_jobs=1, sampler=sllmbo.LLMTPESampler, **options):
    sampler = sampler(llm=advisor, task="a bowl", space=SPACE, seed=seed, **options)
    study = optuna.create_study(sampler=sampler, storage=storage)
    study.optimize(objective, n_trials=n_trials, catch=ValueError, n_jobs=n_jobs)
    return study


def told(study):
    """What defines the trials; of a fallback that it was one, since a foreign error is replayed as AdviceError."""
    attrs = [trial.user_attrs | {"sllmbo:fallback": "sllmbo:fallback" in trial.user_attrs} for trial in study.trials]
    return [(trial.params, trial.values, trial.state, attr) for trial, attr in zip(study.trials, attrs, strict=True)]


def moody(request):
    """Good advice, failures of both kinds, and nonsense, in turn."""
    point = request.space.sample(np.random.default_rng(request.turn))
    return [point, AdviceError("no"), KeyError("x"), {"x": "?"}][request.turn % 4]


@pytest.mark.parametrize("advisor", [RuleAdvisor(), ScriptedAdvisor(moody)], ids=["rules", "moody"])
def test_a_recorded_study_is_repeated(tmp_path, advisor):
    """Same seed and recorded replies give the same trials with the same provenance."""
    recorded = run(RecordingAdvisor(advisor, tmp_path / "recording.jsonl"))
    replayed = run(ReplayAdvisor(tmp_path / "recording.jsonl"))
    assert told(recorded) == told(replayed)


def test_edits_of_the_search_space_are_repeated(tmp_path):
    """What was asked about the bounds, and what was answered, is part of a recording."""
    options = {"n_trials": 45, "mixing": sllmbo.samplers.Bernoulli(0.6)}
    recorded = run(RecordingAdvisor(HOSTILE["narrower"](), tmp_path / "r"), **options)
    replayed = run(ReplayAdvisor(tmp_path / "r"), **options)
    assert told(recorded) == told(replayed)
    assert any("sllmbo:edits" in trial.user_attrs for trial in replayed.trials)
    questions = [entry.question for entry in read_recording(tmp_path / "r").questions]
    assert any("leeways" in question for question in questions)


@pytest.mark.parametrize("name", HOSTILE)
def test_recording_changes_nothing(tmp_path, name):
    """With any hostile advisor the unrecorded, the recorded and the replayed study have the same trials."""
    studies = [
        run(HOSTILE[name](), n_trials=12),
        run(RecordingAdvisor(HOSTILE[name](), tmp_path / "r"), n_trials=12),
        run(ReplayAdvisor(tmp_path / "r"), n_trials=12),
    ]
    told = [[(t.params, t.values, t.state, t.user_attrs["sllmbo:source"]) for t in study.trials] for study in studies]
    assert told[0] == told[1]
    assert told[0] == told[2]


def test_a_replay_that_differs_ends_the_study(tmp_path):
    """Another seed asks other questions, and ReplayMismatch ends the study instead of a silent fallback."""
    run(RecordingAdvisor(RuleAdvisor(), tmp_path / "recording.jsonl"))
    with pytest.raises(ReplayMismatch, match="seed is 6, recorded was 5"):
        run(ReplayAdvisor(tmp_path / "recording.jsonl"), seed=6)


METHODS = {
    **{f"llm-tpe {init}": {"init": init} for init in ("llm", "random", "default")},
    "llm": {"sampler": sllmbo.LLMSampler},
}


@pytest.fixture
def server(monkeypatch):
    """A chat server that answers every fourth question so that it must be corrected."""

    def reply(request):
        n = len(served.requests)
        return {"suggestions": "none"} if n % 4 == 0 else chat_server.answer_from_schema(request, random.Random(n))

    monkeypatch.setenv("OPENAI_API_KEY", "sk-none-of-your-business")
    with chat_server.ChatServer(reply) as served:
        yield served


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_repeated_by_its_recording_of_the_rules(tmp_path, method):
    """Recorded rules give the same trials with the same provenance in every method."""
    recorded = run(RecordingAdvisor(RuleAdvisor(), tmp_path / "r"), n_trials=15, **METHODS[method])
    replayed = run(ReplayAdvisor(tmp_path / "r"), n_trials=15, **METHODS[method])
    assert told(recorded) == told(replayed)


@pytest.mark.parametrize(
    ("method", "memory"), [*((method, "digest") for method in METHODS), ("llm", "summary"), ("llm", "chat")]
)
def test_every_method_and_memory_is_repeated_by_its_recording_of_a_chat_model(tmp_path, server, method, memory):
    """What a chat model said to a study in SQLite is repeated in memory when it is gone, in every method and memory."""
    advisor = LLMAdvisor("openai:any", base_url=server.base_url, memory=memory)
    stored = f"sqlite:///{tmp_path / 's.db'}"
    recorded = run(RecordingAdvisor(advisor, tmp_path / "r"), storage=stored, n_trials=15, **METHODS[method])
    asked = len(server.requests)
    replayed = run(ReplayAdvisor(tmp_path / "r"), n_trials=15, **METHODS[method])
    assert told(recorded) == told(replayed)
    assert "llm" in {trial.user_attrs["sllmbo:source"] for trial in replayed.trials}
    assert asked == len(server.requests)


@pytest.mark.parametrize("fault", ["prose", "wrong schema", "refusal", "html"])
def test_failures_of_a_chat_model_are_repeated_too(tmp_path, server, fault):
    """A study whose chat model answers nothing usable is repeated with the same fallbacks for the same reasons."""
    server.fault = fault
    advisor = LLMAdvisor("openai:any", base_url=server.base_url, timeout=5)
    recorded = run(RecordingAdvisor(advisor, tmp_path / "r"), n_trials=12)
    replayed = run(ReplayAdvisor(tmp_path / "r"), n_trials=12)
    assert [trial.user_attrs for trial in recorded.trials] == [trial.user_attrs for trial in replayed.trials]
    assert any("sllmbo:fallback" in trial.user_attrs for trial in replayed.trials)


def test_a_budget_refuses_the_same_questions_again(tmp_path, server):
    """Where a budget was spent, the replay has the same trials without one, as the refusals are recorded."""
    advisor = RecordingAdvisor(LLMAdvisor("openai:any", base_url=server.base_url), tmp_path / "r")
    recorded = run(advisor, budget=Budget(calls=4))
    replayed = run(ReplayAdvisor(tmp_path / "r"), budget=Budget(calls=4))
    assert told(recorded) == told(replayed)
    assert "BudgetExceeded" in {trial.user_attrs.get("sllmbo:fallback", {}).get("kind") for trial in recorded.trials}


def test_a_recording_of_a_chat_model_has_its_words_and_costs_but_no_key(tmp_path, server):
    """Each answered question keeps the replies as they came, prompt version and usage; the key is nowhere."""
    run(RecordingAdvisor(LLMAdvisor("openai:any", base_url=server.base_url), tmp_path / "r"))
    questions = read_recording(tmp_path / "r").questions
    answered = [question for question in questions if question.advice]
    assert answered
    for question in answered:
        reply = json.loads(question.advice[0].raw.splitlines()[-1])
        assert [dict(advice.params) for advice in question.advice] == [
            entry["params"] for entry in reply["candidates"]
        ][: len(question.advice)]
        assert question.usage.calls >= 1
        assert question.usage.input_tokens > 0
        assert question.advice[0].prompt_version
    assert "none-of-your-business" not in (tmp_path / "r").read_text()


def advice_by_turn(study):
    """What the advisor served, by turn."""
    return {
        trial.system_attrs["sllmbo:turn"]["turn"]: trial.user_attrs["sllmbo:params"]
        for trial in study.trials
        if trial.user_attrs["sllmbo:source"] == "scripted"
    }


def by_turn(request):
    """Points that depend on the turn alone, whatever the history; enough for the turns of an opening."""
    first = request.turn
    wanted = range(first, first + request.n) if request.purpose == "opening" else [first]
    return [request.space.sample(np.random.default_rng(turn)) for turn in wanted]


def test_threads_are_recorded_and_replayed_leniently_by_turn(tmp_path):
    """Four threads ask in any order; the lenient replay by four threads gives each turn its advice, and says so."""
    # By default who serves depends on the values so far, and so on the order in which threads finish.
    about = {"n_trials": 40, "n_jobs": 4, "mixing": Bernoulli(0.5), "judging": False}
    recorded = run(RecordingAdvisor(ScriptedAdvisor(by_turn), tmp_path / "r"), **about)
    replayed = run(ReplayAdvisor(tmp_path / "r", lenient=True), **about)
    assert advice_by_turn(recorded) == advice_by_turn(replayed)
    assert len(advice_by_turn(replayed)) > 10
    origins = {trial.user_attrs.get("sllmbo:origin") for trial in replayed.trials} - {None}
    assert origins <= {"scripted", f"scripted{ELSEWHERE}"}


def test_a_lenient_replay_serves_another_seed_and_marks_it(tmp_path):
    """With another seed the same turns get their advice, marked; turns that were never recorded fall back."""
    every = {"sampler": sllmbo.LLMSampler}
    recorded = run(RecordingAdvisor(ScriptedAdvisor(by_turn), tmp_path / "r"), n_trials=12, **every)
    replayed = run(ReplayAdvisor(tmp_path / "r", lenient=True), n_trials=14, seed=6, **every)
    assert advice_by_turn(recorded) == advice_by_turn(replayed)
    served = [trial for trial in replayed.trials if trial.user_attrs["sllmbo:source"] == "scripted"]
    assert {f"scripted{ELSEWHERE}"} == {trial.user_attrs["sllmbo:origin"] for trial in served}
    assert ["AdviceError"] * 2 == [trial.user_attrs["sllmbo:fallback"]["kind"] for trial in replayed.trials[12:]]


def raw_replies(path):
    """Every reply in a recording, in order, as values."""
    answers = [question.error or question.advice[0] for question in read_recording(path).questions]
    return [json.loads(line) for answer in answers for line in answer.raw.splitlines()]


UNREADABLE = {
    "prose": "A smaller learning rate often helps, and so do more trees.",
    "wrong schema": {"colour": "blue", "weight": [1, 2, 3]},
    "refusal": "I cannot help with that.",
}


@pytest.mark.parametrize("mode", ["tool", "native", "prompted"])
@pytest.mark.parametrize("fault", UNREADABLE)
def test_replies_that_are_of_no_use_are_recorded(tmp_path, server, fault, mode):
    """Each reply that could not be used is in the recording as it came, also that to the correction."""
    server.fault = fault
    advisor = LLMAdvisor("openai:any", base_url=server.base_url, timeout=5, reply_mode=mode)
    run(RecordingAdvisor(advisor, tmp_path / "r"), n_trials=4)
    assert [UNREADABLE[fault]] * len(server.requests) == raw_replies(tmp_path / "r")


def test_a_reply_that_was_cut_off_is_recorded(tmp_path, server):
    """What came before the cut is kept as text, since it is no JSON."""
    server.fault = "truncated"
    run(RecordingAdvisor(LLMAdvisor("openai:any", base_url=server.base_url), tmp_path / "r"), n_trials=3)
    told = raw_replies(tmp_path / "r")
    assert len(server.requests) == len(told)
    assert all(isinstance(reply, str) and reply.startswith('{"candidates": [{') for reply in told)


@pytest.mark.parametrize("provider", ["openai", "openai-responses", "anthropic", "google"])
def test_a_web_page_in_place_of_a_reply_is_recorded(tmp_path, server, provider):
    """What a wrong base URL answers is in the recording in every wire format."""
    server.fault = "html"
    advisor = LLMAdvisor(f"{provider}:any", base_url=server.base_url, timeout=5)
    run(RecordingAdvisor(advisor, tmp_path / "r"), n_trials=3)
    told = raw_replies(tmp_path / "r")
    assert len(server.requests) == len(told)
    assert all("<html><body>Welcome</body></html>" in reply for reply in told)


def test_replies_in_prose_are_recorded_with_the_prose(tmp_path, server):
    """A reply that was found amid words is kept with them, beside the advice that was read from it."""
    server._replies = lambda request: chat_server.fenced(
        json.loads(chat_server.answer_from_schema(request, random.Random(0)).message.arguments)
    )
    run(RecordingAdvisor(LLMAdvisor("openai:any", base_url=server.base_url), tmp_path / "r"), n_trials=3)
    assert raw_replies(tmp_path / "r")
    assert all("Sure! Here you go:\n```json" in reply for reply in raw_replies(tmp_path / "r"))
    assert read_recording(tmp_path / "r").questions[0].advice


def test_what_is_kept_of_a_reply_is_bounded_and_holds_no_key(tmp_path, server):
    """Of an endless reply the beginning is kept, and a key that a server echoes is not."""
    server._replies = ["Your key sk-none-of-your-business is fine. " + "blah " * 100_000]
    run(RecordingAdvisor(LLMAdvisor("openai:any", base_url=server.base_url), tmp_path / "r"), n_trials=2)
    told = raw_replies(tmp_path / "r")
    assert len(server.requests) == len(told)
    assert all(reply.startswith("Your key <key> is fine. blah") for reply in told)
    assert all(reply.endswith(" characters)") and len(reply) < 21_000 for reply in told)
    assert "none-of-your-business" not in (tmp_path / "r").read_text()


def test_replies_to_requests_to_condense_are_recorded(tmp_path, server):
    """With the paper's summaries the recording has what the chat model condensed, and the attempts that failed."""
    advisor = LLMAdvisor("openai:any", base_url=server.base_url, memory="summary")
    run(RecordingAdvisor(advisor, tmp_path / "r"), n_trials=15, sampler=sllmbo.LLMSampler)
    told = raw_replies(tmp_path / "r")
    assert len(server.requests) == len(told)
    assert any("summary" in reply for reply in told)


def test_a_recording_of_schema_1_is_replayed(tmp_path, server):
    """What was recorded before unusable replies were kept gives the same trials."""
    recorded = run(RecordingAdvisor(LLMAdvisor("openai:any", base_url=server.base_url), tmp_path / "r"))
    old = (tmp_path / "r").read_text().replace('{"schema": 2,', '{"schema": 1,')
    (tmp_path / "old").write_text(old)
    assert '"schema": 2' not in old
    assert told(recorded) == told(run(ReplayAdvisor(tmp_path / "old")))
