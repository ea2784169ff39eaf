"""
A study that was recorded is repeated by its recording, trial for trial, and by nothing else.
"""

import numpy as np
import optuna
import pytest

import sllmbo
from sllmbo.advisors.replay import RecordingAdvisor, ReplayAdvisor
from sllmbo.advisors.rules import RuleAdvisor
from sllmbo.errors import AdviceError, ReplayMismatch
from sllmbo.testing import ScriptedAdvisor

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


def run(advisor, *, seed=5, n_trials=20):
    sampler = sllmbo.LLMTPESampler(llm=advisor, task="a bowl", space=SPACE, seed=seed)
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=n_trials, catch=ValueError)
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


def test_a_replay_that_differs_ends_the_study(tmp_path):
    """Another seed asks other questions, and ReplayMismatch ends the study instead of a silent fallback."""
    run(RecordingAdvisor(RuleAdvisor(), tmp_path / "recording.jsonl"))
    with pytest.raises(ReplayMismatch, match="seed is 6, recorded was 5"):
        run(ReplayAdvisor(tmp_path / "recording.jsonl"), seed=6)
