"""
What a chat model is told of the trials: the digest, its own summaries, the whole conversation.
"""

from __future__ import annotations

import random
import re
from itertools import pairwise

import optuna

import sllmbo
from sllmbo.advisors.llm import LLMAdvisor
from sllmbo.testing import chat_server
from sllmbo.testing.chat_server import ChatServer

SPACE = sllmbo.SearchSpace({"x": sllmbo.Float(-5, 5, default=0.0), "k": sllmbo.Int(0, 999, default=2)})


def _objective(trial):
    return (trial.suggest_float("x", -5, 5) - 1) ** 2 + trial.suggest_int("k", 0, 999)


def _replies(summaries=None):
    """Answer suggestions at random; answer requests to condense with numbered notes, or with *summaries*."""
    rng = random.Random(0)
    condensed = []

    def reply(request):
        if "summary" in request.schema["properties"]:
            condensed.append(request)
            return summaries(len(condensed)) if summaries else {"summary": f"Notes number {len(condensed)}."}
        return chat_server.answer_from_schema(request, rng)

    return reply, condensed


def _run(reply, *, n_trials, memory, storage=None, sampler=sllmbo.LLMSampler, **options):
    with ChatServer(reply) as server:
        advisor = LLMAdvisor("openai:any", base_url=server.base_url, timeout=10, memory=memory, **options)
        study = optuna.create_study(
            storage=storage, study_name="s", load_if_exists=True, sampler=sampler(advisor, space=SPACE, seed=0)
        )
        study.optimize(_objective, n_trials=n_trials)
        return study, server.requests


def _asked(requests):
    return [request for request in requests if "candidates" in request.schema["properties"]]


def _told(text):
    """Return the numbers of the trials that have a row, the best first."""
    return [int(number) for number in re.findall(r"^([0-9]+)\*?,", text, re.MULTILINE)]


def test_a_summary_stands_in_for_the_trials_before_it() -> None:
    """Every ten trials the chat model condenses; later questions hold its notes and the trials since, no others."""
    reply, condensed = _replies()
    _, requests = _run(reply, n_trials=27, memory="summary")
    last = _asked(requests)[-1].text

    assert 2 == len(condensed)
    assert "Notes number 1" in condensed[1].text
    assert "Notes number 2" in last
    assert "Notes number 1" not in last
    assert 25 in _told(last)
    assert 12 not in _told(last) or _told(last)[0] == 12  # only the incumbent is told from before the summary


def test_a_summary_that_fails_loses_nothing() -> None:
    """Without usable notes, the notes before them and all trials since are told, and condensing is tried again."""

    def summaries(n):
        return {"summary": "First notes."} if n == 1 else {"summary": ""}

    reply, condensed = _replies(summaries)
    study, requests = _run(reply, n_trials=25, memory="summary")
    last = _asked(requests)[-1].text

    assert len(condensed) > 2
    assert "First notes." in last
    assert set(range(12, 24)) <= set(_told(last))
    assert {"default", "llm"} == {trial.user_attrs["sllmbo:source"] for trial in study.trials}


def test_notes_lie_in_the_study(tmp_path) -> None:
    """A resumed study goes on with the notes that it had, without asking for them again."""
    storage = f"sqlite:///{tmp_path}/study.db"
    reply, condensed = _replies()
    _run(reply, n_trials=14, memory="summary", storage=storage)
    _, requests = _run(reply, n_trials=3, memory="summary", storage=storage)

    assert 1 == len(condensed)
    assert "Notes number 1" in _asked(requests)[-1].text


def test_a_question_that_is_too_long_is_condensed_and_asked_again() -> None:
    """A context-length error in the middle of a study costs one summary, no trial."""
    answer, condensed = _replies()

    def reply(request):
        if len(_told(request.text)) > 15 and "candidates" in request.schema["properties"]:
            return chat_server.status(400, "This model's maximum context length is 1000 tokens")
        return answer(request)

    study, _ = _run(reply, n_trials=30, memory="summary", condense_every=100)

    assert condensed
    assert 29 == sum(trial.user_attrs["sllmbo:source"] == "llm" for trial in study.trials)


def test_the_whole_conversation_is_sent() -> None:
    """Each question carries the chat model's earlier proposals as its own words, and every result."""
    reply, _ = _replies()
    study, requests = _run(reply, n_trials=14, memory="chat")
    messages = requests[-1].body["messages"]
    said = [message["content"] for message in messages if message["role"] == "assistant"]
    heard = "\n".join(str(message["content"]) for message in messages if message["role"] == "user")
    proposed = [t.params["k"] for t in study.trials[:-1] if t.user_attrs["sllmbo:source"] == "llm"]

    assert len(proposed) == len(said) == 12
    assert all(f'"k": {k}' in text for k, text in zip(proposed, said, strict=True))
    assert all(f"Trial {number}:" in heard for number in range(13))


def test_a_long_conversation_is_cut_at_its_beginning() -> None:
    """The oldest messages give way, and the chat model is told so."""
    from sllmbo.history import History, Observation
    from sllmbo.prompts import ChatMemory

    observations = tuple(
        Observation(n, {"x": n / 100, "k": n}, state="complete", value=float(n), source="llm", rationale="why " * 20)
        for n in range(200)
    )
    said = ChatMemory(max_characters=2_000).conversation(SPACE, History("minimize", observations))

    assert sum(len(text) for _, text in said) <= 2_100
    assert "left out" in said[0][1]
    assert "Trial 199" in said[-1][1]


def test_speakers_take_turns() -> None:
    """Chat models expect user and assistant in turn, whoever served the trials."""
    reply, _ = _replies()
    _, requests = _run(reply, n_trials=25, memory="chat", sampler=sllmbo.LLMTPESampler)
    roles = [message["role"] for message in requests[-1].body["messages"] if message["role"] != "system"]

    assert all(one != two for one, two in pairwise(roles))
    assert "user" == roles[0] == roles[-1]


def test_a_digest_has_the_importance_of_parameters() -> None:
    """From twenty complete trials on the digest says how much each parameter matters, in any order of the space."""
    reply, _ = _replies()
    _, requests = _run(reply, n_trials=24, memory="digest")
    assert "PARAMETERS by importance" not in requests[0].text
    assert "PARAMETERS by importance (good: best 6 trials" in requests[-1].text


def test_without_memory_no_trial_is_told() -> None:
    """What is asked says how many trials there were, holds none of them, and opens no bounds to edits."""
    reply, _ = _replies()
    study, requests = _run(reply, n_trials=24, memory="none", sampler=_editing)
    assert "sllmbo:edits" not in {key for trial in study.trials for key in trial.user_attrs}
    for request in requests:
        assert "SPACE EDITS" not in request.text
        assert "\nTRIALS" not in request.text
        assert "\nPARAMETERS" not in request.text
    assert "trials were run; what they were and what came of them is not told." in requests[-1].text


def _editing(advisor, **about):
    return sllmbo.samplers.AdvisedSampler(advisor, mixing=sllmbo.samplers.Bernoulli(1.0), edits="all", **about)
