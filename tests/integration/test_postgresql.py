"""
Studies on a PostgreSQL server, where the workers of one study meet.
"""

import os
import uuid

import optuna
import pytest

import sllmbo
from sllmbo_process import FORKS

URL = os.environ.get("SLLMBO_TEST_POSTGRESQL")
pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(URL is None, reason="SLLMBO_TEST_POSTGRESQL names no server; .ci/run starts one"),
]

SPACE = sllmbo.SearchSpace({"x": sllmbo.Float(-5, 5, default=0.0), "k": sllmbo.Int(0, 4, default=2)})


def objective(trial):
    return (trial.suggest_float("x", -5, 5) - 1) ** 2 + trial.suggest_int("k", 0, 4)


def sampler():
    return sllmbo.LLMTPESampler(llm="offline", space=SPACE, seed=1)


def work(name, n_trials):
    optuna.load_study(study_name=name, storage=URL, sampler=sampler()).optimize(objective, n_trials=n_trials)


@pytest.fixture
def study():
    storage = optuna.storages.RDBStorage(URL)
    study = optuna.create_study(study_name=f"test-{uuid.uuid4()}", storage=storage)
    yield study
    optuna.delete_study(study_name=study.study_name, storage=storage)
    storage.remove_session()
    storage.engine.dispose()


def start(study, n_trials):
    process = FORKS.Process(target=work, args=(study.study_name, n_trials), daemon=True)
    process.start()
    return process


def told(study):
    return [
        (trial.number, trial.params, trial.values, trial.user_attrs["sllmbo:source"])
        for trial in study.get_trials(deepcopy=False)
    ]


def test_a_study_on_the_server_is_the_study_in_memory(study):
    """The same seed gives the same trials on a server, in two sessions, as in memory, in one."""
    for n_trials in (7, 8):
        process = start(study, n_trials)
        process.join(120)
        assert 0 == process.exitcode
    here = optuna.create_study(sampler=sampler())
    here.optimize(objective, n_trials=15)
    assert told(here) == told(study)


def test_workers_share_turns(study):
    """Three processes at once serve each turn once, and the default configuration comes once."""
    workers = [start(study, 5) for _ in range(3)]
    for worker in workers:
        worker.join(120)
    assert [0, 0, 0] == [worker.exitcode for worker in workers]
    trials = study.get_trials(deepcopy=False)
    assert list(range(15)) == sorted(trial.system_attrs["sllmbo:turn"]["turn"] for trial in trials)
    assert 1 == sum(trial.user_attrs["sllmbo:source"] == "default" for trial in trials)
