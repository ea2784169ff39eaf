"""
Trials that are asked for in one process and told in another, as a service or a queue of jobs does it.
"""

from __future__ import annotations

import os

import optuna
import pytest
from optuna.trial import TrialState

import sllmbo
from sllmbo.report import collect
from sllmbo.samplers import LLMTPESampler, chosen, study_history
from sllmbo.samplers._turns import TURN
from sllmbo_process import FORKS, begin

SPACE = sllmbo.SearchSpace({"x": sllmbo.Float(-5, 5, default=1.0), "k": sllmbo.Int(1, 9, default=3)})
TASK = sllmbo.Task(direction="minimize")


def study_of(url, kind):
    """The study as a short-lived process opens it."""
    if kind == "tuner":
        return sllmbo.Tuner(SPACE, task=TASK, llm="offline", storage=url, study_name="s", seed=0)
    sampler = LLMTPESampler("offline", space=SPACE, seed=0)
    return optuna.create_study(storage=url, study_name="s", load_if_exists=True, sampler=sampler)


def ask_once(url, kind):
    """Ask for a trial, and end without telling."""
    begin()
    asked = study_of(url, kind).ask()
    if kind == "sampler":
        asked.suggest_float("x", -5, 5)
        asked.suggest_int("k", 1, 9)


def elsewhere(function, *arguments):
    process = FORKS.Process(target=function, args=arguments)
    process.start()
    process.join(60)
    assert 0 == process.exitcode


def die_in_a_trial(url):
    """Run two trials, and end in the third."""
    begin()

    def objective(trial):
        value = trial.suggest_float("x", -5, 5) + trial.suggest_int("k", 1, 9)
        if trial.number == 2:
            os._exit(0)
        return value

    study_of(url, "sampler").optimize(objective, n_trials=3)


def test_a_tuner_takes_numbers(tmp_path):
    """Of trials that another object asked for: told with what constraints are about, as failed, or given up."""
    about = {"constraints": ["cost<=2"], "task": TASK, "llm": "offline", "storage": f"sqlite:///{tmp_path}/s.db"}
    tuner, other = (sllmbo.Tuner(SPACE, study_name="s", seed=0, **about) for _ in range(2))
    numbers = [tuner.ask().number for _ in range(4)]
    other.tell(numbers[0], 1.0, details={"cost": 1.0})
    other.tell(numbers[1], 0.5, details={"cost": 3.0})
    other.tell(numbers[2], failure="MemoryError: 40 GiB")
    other.abandon(numbers[3])

    told = study_history(tuner.study)
    assert ["complete", "failed", "failed"] == [o.state for o in told]
    assert told[1].reason.endswith("cost is 3, not <= 2")
    assert "MemoryError: 40 GiB" == told[2].reason
    assert 0 == tuner.study.best_trial.number
    assert tuner.study.trials[3].params == tuner.ask().params


def states(study):
    return [trial.state.name for trial in study.trials]


@pytest.mark.parametrize("kind", ["sampler", "tuner"])
def test_a_trial_that_was_asked_for_elsewhere_waits_until_it_is_told(kind, tmp_path):
    """However many processes have ended since, and whether it is told with or without one of our samplers."""
    url = f"sqlite:///{tmp_path}/s.db"
    for _ in range(4):
        elsewhere(ask_once, url, kind)
    ours = study_of(url, kind)
    fifth = ours.ask()
    study = ours.study if kind == "tuner" else ours
    assert ["RUNNING"] * 5 == states(study)
    assert [0, 1, 2, 3, 4] == [trial.system_attrs[TURN]["turn"] for trial in study.trials]

    plain = optuna.load_study(study_name="s", storage=url)
    plain.tell(0, 1.5)
    plain.tell(1, state=TrialState.FAIL)
    study.tell(2, state=TrialState.FAIL)
    study.tell(fifth, 0.5)
    assert {"x": 1.0, "k": 3} == study.trials[0].params
    assert ["complete", "failed", "failed", "running", "complete"] == [o.state for o in study_history(study)]
    sixth = study_of(url, kind).ask()
    assert 5 == study.trials[sixth.number].system_attrs[TURN]["turn"]


def test_whoever_reads_a_study_leaves_it_as_it_is(tmp_path):
    """A report of a study shows the trial of an ended process as given up, and leaves closing it to who goes on."""
    url = f"sqlite:///{tmp_path}/s.db"
    elsewhere(die_in_a_trial, url)
    study = study_of(url, "sampler")
    before = study.trials
    assert 2 == len(study_history(study))
    assert {"complete": 2} == {state: n for state, n in collect(study).states.items() if n}
    assert chosen(study).trial < 2
    assert before == study.trials
    assert "RUNNING" == states(study)[2]

    study.optimize(lambda trial: trial.suggest_float("x", -5, 5) + trial.suggest_int("k", 1, 9), n_trials=1)
    assert ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE"] == states(study)
    assert study.trials[2].params == study.trials[3].params
