"""
A worker that died on another host is noticed by its missing heartbeat.
"""

from __future__ import annotations

import logging
import time
import warnings

import optuna
from optuna.storages import RDBStorage
from optuna.storages._heartbeat import get_heartbeat_thread
from optuna.trial import TrialState

import sllmbo
from sllmbo.samplers import study_history
from sllmbo.samplers._turns import TURN, is_abandoned
from sllmbo.tuner.evaluation import Evaluation
from sllmbo.tuner.loop import run

SPACE = sllmbo.SearchSpace({"x": sllmbo.Float(-5, 5, default=1.0), "k": sllmbo.Int(1, 9, default=3)})


def _tuner(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = RDBStorage(f"sqlite:///{tmp_path}/study.db", heartbeat_interval=1, grace_period=1)
    return sllmbo.Tuner(
        SPACE, task=sllmbo.Task(direction="minimize"), llm="offline", storage=storage, study_name="s", seed=0
    )


def _run(tuner, n):
    for _ in range(n):
        with tuner.trial() as trial:
            tuner.tell(trial, trial.params["x"] ** 2 + trial.params["k"])


def _told(study):
    return [(dict(o.params), o.value, o.source) for o in study_history(study)]


def test_the_turn_of_a_worker_that_died_elsewhere_is_taken_over(tmp_path) -> None:
    """Its trial is closed once the heartbeat is stale, and the study ends as if it had never been cut."""
    uncut = sllmbo.Tuner(SPACE, task=sllmbo.Task(direction="minimize"), llm="offline", seed=0)
    _run(uncut, 12)
    tuner = _tuner(tmp_path)
    _run(tuner, 8)
    dead = tuner._ask(evaluates=True)
    with get_heartbeat_thread(dead._trial_id, tuner.study._storage):
        pass  # one beat, then silence
    record = tuner.study.trials[dead.number].system_attrs[TURN]
    record["worker"]["host"] = "another-host"
    tuner.study._storage.set_trial_system_attr(dead._trial_id, TURN, record)

    deadline = time.monotonic() + 30
    while not tuner.study._storage._get_stale_trial_ids(tuner.study._study_id):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    _run(tuner, 4)

    assert is_abandoned(tuner.study.trials[dead.number])
    assert _told(uncut.study) == _told(tuner.study)


def test_a_living_worker_elsewhere_keeps_its_turn(tmp_path) -> None:
    """While its heart beats, a trial of another host is running, and its turn is taken."""
    tuner = _tuner(tmp_path)
    _run(tuner, 2)
    with tuner.trial() as theirs:
        record = tuner.study.trials[theirs.number].system_attrs[TURN]
        record["worker"] |= {"host": "another-host", "pid": 1}
        tuner.study._storage.set_trial_system_attr(theirs._trial_id, TURN, record)
        time.sleep(2.5)
        ours = tuner.ask()

    assert 3 == ours.storage.get_trial(ours._trial_id).system_attrs[TURN]["turn"]
    assert "running" == study_history(tuner.study)[theirs.number].state


def test_a_trial_that_others_gave_up_while_it_ran_ends_no_study(tmp_path, caplog) -> None:
    """Its value comes too late and is dropped with a warning; the worker goes on."""
    tuner, other = _tuner(tmp_path), _tuner(tmp_path)

    def objective(trial):
        if trial.number == 1:  # stopped for longer than the grace period
            other.study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        value = trial.params["x"] ** 2
        return Evaluation(value=value, fold_values=(value,), std=0.0, train_value=value, seconds=0.0)

    with caplog.at_level(logging.WARNING, logger="sllmbo"):
        assert "trials" == run(tuner, objective, budget=sllmbo.Budget(trials=3))
    assert ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"] == [trial.state.name for trial in tuner.study.trials]
    assert 1 == sum("Trial 1 was given up" in message for message in caplog.messages)
