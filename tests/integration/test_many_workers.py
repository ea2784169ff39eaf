"""
Threads and processes that share a study: each turn once, one default, no point twice.
"""

import threading

import optuna
import pytest
from optuna.storages import InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from sllmbo._random import generator
from sllmbo.samplers import LLMSampler, LLMTPESampler
from sllmbo.samplers._record import SOURCE
from sllmbo.samplers._turns import TURN
from sllmbo.space import Float, Int, SearchSpace
from sllmbo.testing import ScriptedAdvisor
from sllmbo.tuner.storage import open_storage
from sllmbo_process import FORKS

SPACE = SearchSpace({"x": Float(0.0, 1.0, default=0.5), "n": Int(1, 1000, default=10)})
N_WORKERS = 4
N_EACH = 5


def objective(trial):
    return trial.suggest_float("x", 0.0, 1.0) + trial.suggest_int("n", 1, 1000)


def own_points(request):
    """Points of this turn's own: processes that ask in the same millisecond could not know of each other's."""
    rng = generator(request.seed, "points", request.turn)
    return [request.space.sample(rng) for _ in range(request.n)]


def points(request):
    """The same points for everybody who is told of the same finished trials, so that workers are likely to collide."""
    finished = sum(observation.state != "running" for observation in request.history)
    rng = generator(request.seed, "points", finished // N_WORKERS)
    return [request.space.sample(rng) for _ in range(3 * N_WORKERS)][: request.n]


def open_together(url, start):
    """Open a storage at the moment at which others do."""
    start.wait()
    open_storage(url)


def storage_of(kind, path):
    if kind == "sqlite":
        return RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 60}})
    return JournalStorage(JournalFileBackend(path))


def check(study):
    """Assert what holds whoever served which trial."""
    assert {TrialState.COMPLETE} == {trial.state for trial in study.trials}
    assert list(range(N_WORKERS * N_EACH)) == sorted(trial.system_attrs[TURN]["turn"] for trial in study.trials)
    sources = [trial.user_attrs[SOURCE] for trial in study.trials]
    assert 1 == sources.count("default")
    assert sources.count("scripted") >= N_EACH
    tried = [tuple(trial.params.values()) for trial in study.trials]
    assert len(tried) == len(set(tried))


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("kind", [LLMSampler, LLMTPESampler])
def test_threads_share_a_sampler(kind):
    """Four threads on one sampler object take each turn once and never try a point twice."""
    sampler = kind(ScriptedAdvisor(points), space=SPACE, n_candidates=N_WORKERS, seed=0)
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=N_WORKERS * N_EACH, n_jobs=N_WORKERS)
    check(study)
    assert {} == sampler._open


@pytest.mark.parametrize(("order", "asked"), [([1, 2, 3], [(1, 3)]), ([2, 3, 1], [(2, 2), (1, 1)])])
def test_an_opening_is_asked_for_by_whoever_comes_first(order, asked):
    """The first trial to need the opening asks for its turn and those after it; a lower turn asks for the rest."""
    advisor = ScriptedAdvisor(own_points)
    study = optuna.create_study(sampler=LLMSampler(advisor, space=SPACE, n_opening=3, seed=0))
    trials = [study.ask() for _ in range(4)]
    for number in order:
        objective(trials[number])
    assert asked == [(request.turn, request.n) for request in advisor.requests]
    assert ["scripted"] * 3 == [trial.user_attrs[SOURCE] for trial in study.trials[1:]]
    assert 3 == len({trial.params["x"] for trial in trials[1:]})


def test_threads_share_the_batch_of_one_opening():
    """Threads that start together wait for the one that asks, and no point is tried twice."""
    advisor = ScriptedAdvisor(own_points)
    study = optuna.create_study(sampler=LLMSampler(advisor, space=SPACE, n_opening=N_WORKERS, seed=0))
    study.optimize(objective, n_trials=1)
    trials = [study.ask() for _ in range(N_WORKERS)]
    threads = [threading.Thread(target=objective, args=[trial]) for trial in trials]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ["scripted"] * N_WORKERS == [trial.user_attrs[SOURCE] for trial in study.trials[1:]]
    assert N_WORKERS == len({trial.params["x"] for trial in trials})


def test_answers_that_arrive_together_do_not_repeat_each_other():
    """Threads whose questions are under way at once, and get the same candidates, try different ones."""
    together = threading.Barrier(N_WORKERS, timeout=30)

    def reply(request):
        together.wait()
        return points(request)

    sampler = LLMSampler(ScriptedAdvisor(reply), space=SPACE, init="default", n_candidates=N_WORKERS, seed=0)
    study = optuna.create_study(storage=InMemoryStorage(), sampler=sampler)
    study.optimize(objective, n_trials=1)
    trials = [study.ask() for _ in range(N_WORKERS)]
    threads = [threading.Thread(target=objective, args=[trial]) for trial in trials]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert N_WORKERS == len({trial.params["x"] for trial in trials})
    assert ["scripted"] * N_WORKERS == [trial.user_attrs[SOURCE] for trial in study.trials[1:]]


def test_an_answer_is_judged_by_what_was_tried_while_it_was_awaited():
    """A point that another worker took while the question was under way is passed over, though its trial is newer."""
    asked, released = threading.Event(), threading.Event()
    candidates = [{"x": 0.25, "n": 1}, {"x": 0.75, "n": 2}]

    def slow(request):
        asked.set()
        assert released.wait(30)
        return candidates

    storage = InMemoryStorage()
    workers = [
        optuna.create_study(
            study_name="s",
            storage=storage,
            sampler=LLMSampler(ScriptedAdvisor(reply), space=SPACE, init="default", seed=0),
            load_if_exists=True,
        )
        for reply in (slow, lambda request: candidates)
    ]
    workers[0].optimize(objective, n_trials=1)
    earlier = workers[0].ask()
    thread = threading.Thread(target=objective, args=[earlier])
    thread.start()
    assert asked.wait(30)
    workers[1].optimize(objective, n_trials=1)
    released.set()
    thread.join()
    later = workers[1].trials[-1]
    assert earlier.number < later.number
    assert candidates == [later.params, earlier.params]


def work(kind, path, together):
    sampler = LLMTPESampler(ScriptedAdvisor(own_points), space=SPACE, seed=0)
    study = optuna.load_study(study_name="s", storage=storage_of(kind, path), sampler=sampler)
    together.wait(60)
    study.optimize(objective, n_trials=N_EACH)


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_processes_share_a_study(kind, tmp_path):
    """Four processes on one storage take each turn once and evaluate the default once."""
    path = str(tmp_path / "study")
    optuna.create_study(study_name="s", storage=storage_of(kind, path))
    together = FORKS.Barrier(N_WORKERS)
    processes = [FORKS.Process(target=work, args=(kind, path, together), daemon=True) for _ in range(N_WORKERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(100)
    assert [0] * N_WORKERS == [process.exitcode for process in processes]
    check(optuna.load_study(study_name="s", storage=storage_of(kind, path)))


def test_processes_that_open_a_new_file_at_once_all_get_it(tmp_path):
    """Who finds that another one is making the tables waits for them."""
    start = FORKS.Barrier(N_WORKERS)
    url = f"sqlite:///{tmp_path / 'new.db'}"
    workers = [FORKS.Process(target=open_together, args=(url, start)) for _ in range(N_WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [0] * N_WORKERS == [worker.exitcode for worker in workers]
