"""
Turns: abandoned trials are taken over, lost ones shift nothing, and an opening is one question.
"""

import itertools
import json
import os
import subprocess
import sys
from datetime import datetime, timedelta

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from sllmbo._random import generator
from sllmbo.errors import AdviceError
from sllmbo.samplers import AdvisedSampler, LLMSampler, LLMTPESampler, _turns, _worker, study_history
from sllmbo.samplers._record import BATCH, PARAMS, SOURCE, TURNED_DOWN
from sllmbo.samplers._turns import TURN
from sllmbo.samplers._worker import is_gone, this_worker
from sllmbo.space import Float, Int, SearchSpace
from sllmbo.testing import ScriptedAdvisor

SPACE = SearchSpace({"x": Float(0.0, 1.0, default=0.5), "n": Int(1, 100, default=10)})
DEFAULT = {"x": 0.5, "n": 10}
PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}


def objective(trial):
    return trial.suggest_float("x", 0.0, 1.0) + trial.suggest_int("n", 1, 100)


def points(request):
    rng = generator(request.seed, "points", request.turn)
    return [request.space.sample(rng) for _ in range(request.n)]


def sampler(reply=points, **arguments):
    return LLMSampler(ScriptedAdvisor(reply), **{"space": SPACE, "seed": 0, **arguments})


def turns(study):
    return [trial.system_attrs.get(TURN, {}).get("turn") for trial in study.trials]


def sources(study):
    return [trial.user_attrs.get(SOURCE) for trial in study.trials]


@pytest.fixture(scope="module")
def dead_worker():
    """The record of a process on this machine that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return {**this_worker(), "pid": process.pid, "started": "1"}


def lose(study, trial, worker):
    """Make *trial* one of a dead process."""
    record = study._storage.get_trial(trial._trial_id).system_attrs[TURN]
    study._storage.set_trial_system_attr(trial._trial_id, TURN, {**record, "worker": worker})


# Workers.


def test_this_process_is_there_and_an_ended_one_is_gone(dead_worker):
    """The present process is not gone, an ended one is, and one whose number was given to another process is."""
    assert not is_gone(this_worker())
    assert is_gone(dead_worker)
    assert is_gone({**this_worker(), "started": "1"})


def test_a_dead_process_that_its_parent_has_not_asked_for_is_gone():
    """A killed one whose number is not free yet works no more."""
    code = "import json; from sllmbo.samplers._worker import this_worker; print(json.dumps(this_worker()), flush=True)"
    with subprocess.Popen([sys.executable, "-c", f"{code}; input()"], **PIPES) as process:
        worker = json.loads(process.stdout.readline())
        assert not is_gone(worker)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays a zombie
        assert is_gone(worker)


@pytest.mark.parametrize("key", ["host", "machine", "namespace"])
def test_a_process_elsewhere_is_never_taken_for_gone(key, dead_worker):
    """Of another host, machine or container this process cannot know, so it takes nothing from there."""
    assert not is_gone({**dead_worker, key: "elsewhere"})


@pytest.mark.parametrize("machine", ["a1b2", ""])
def test_a_process_from_before_the_last_boot_is_gone(machine, dead_worker, monkeypatch):
    """After a restart of the machine, all its earlier processes are gone; without its name, it may be another one."""
    place = {**_worker._place(), "machine": machine}
    monkeypatch.setattr(_worker, "_place", lambda: place)
    assert bool(machine) == is_gone({**dead_worker, "machine": machine, "boot": "an earlier one"})
    assert is_gone({**dead_worker, "machine": machine})


# Taking over.


def test_a_lost_trial_is_closed_and_its_turn_and_decision_taken_over(dead_worker):
    """A trial of a dead process is closed as failed; the next one has its turn and its decision, unasked."""
    advisor = ScriptedAdvisor(points)
    study = optuna.create_study(sampler=LLMSampler(advisor, space=SPACE, init="default", seed=0))
    study.optimize(objective, n_trials=1)
    lost = study.ask()
    objective(lost)
    lose(study, lost, dead_worker)
    study.sampler = LLMSampler(advisor, space=SPACE, init="default", seed=0)
    study.optimize(objective, n_trials=2)
    assert [0, 1, 1, 2] == turns(study)
    assert [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE] == [
        trial.state for trial in study.trials
    ]
    assert study.trials[1].params == study.trials[2].params
    assert study.trials[1].user_attrs == study.trials[2].user_attrs
    assert [1, 2] == [request.turn for request in advisor.requests]
    assert [0, 1] == [observation.number for observation in advisor.requests[-1].history]


def test_a_trial_lost_twice_keeps_its_first_decision(dead_worker):
    """A trial cut off again before anything was decided anew still hands on what was decided first."""
    study = optuna.create_study(sampler=sampler(init="default"))
    study.optimize(objective, n_trials=1)
    objective(lost := study.ask())
    lose(study, lost, dead_worker)
    lose(study, study.ask(), dead_worker)  # not a single value was suggested
    study.sampler = sampler(AdviceError("must not be asked"), init="default")
    study.optimize(objective, n_trials=1)
    assert [0, 1, 1, 1] == turns(study)
    assert study.trials[1].params == study.trials[3].params


def test_an_interrupted_trial_is_repeated_in_the_same_process():
    """After Ctrl+C in the objective, going on with the same study object gives the trials of an uninterrupted one."""

    def interrupted(trial):
        value = objective(trial)
        if trial.number in (0, 4):
            raise KeyboardInterrupt
        return value

    whole = optuna.create_study(sampler=LLMTPESampler(ScriptedAdvisor(points), space=SPACE, seed=0))
    whole.optimize(objective, n_trials=12)
    study = optuna.create_study(sampler=LLMTPESampler(ScriptedAdvisor(points), space=SPACE, seed=0))
    for n in (1, 4):
        with pytest.raises(KeyboardInterrupt):
            study.optimize(interrupted, n_trials=n)
    study.optimize(objective, n_trials=9)
    kept = [trial for trial in study.trials if not _turns.is_abandoned(trial)]
    assert [(t.params, t.values, t.user_attrs) for t in whole.trials] == [
        (t.params, t.values, t.user_attrs) for t in kept[:12]
    ]


def test_a_trial_lost_before_its_turn_was_written_holds_no_turn(monkeypatch):
    """A trial row that an earlier process created and never tagged shifts nothing, and stays out of the history."""
    advisor = ScriptedAdvisor(points)
    storage = InMemoryStorage()
    study = optuna.create_study(storage=storage, sampler=LLMSampler(advisor, space=SPACE, seed=0))
    storage.create_new_trial(study._study_id)
    monkeypatch.setattr(_turns, "HERE_SINCE", datetime.now() + timedelta(microseconds=1))
    study.optimize(objective, n_trials=3)
    assert [None, 0, 1, 2] == turns(study)
    assert DEFAULT == study.trials[1].params
    assert [0] == [observation.number for observation in advisor.requests[0].history]


def test_a_trial_that_another_worker_just_created_holds_its_turn():
    """A trial row of now, not yet tagged, has the turn that it will get: the default is not evaluated twice."""
    storage = InMemoryStorage()
    study = optuna.create_study(storage=storage, sampler=sampler())
    storage.create_new_trial(study._study_id)
    study.optimize(objective, n_trials=1)
    assert [None, 1] == turns(study)


def test_an_enqueued_trial_that_was_lost_is_repeated(dead_worker):
    """What the user asked for and a dead process did not finish is done next, once, and has no turn."""
    study = optuna.create_study(sampler=sampler())
    study.enqueue_trial({"x": 0.25, "n": 7})
    objective(lost := study.ask())
    lose(study, lost, dead_worker)
    objective(again := study.ask())
    lose(study, again, dead_worker)
    study.optimize(objective, n_trials=3)
    assert [None, None, None, 0, 1] == turns(study)
    assert [{"x": 0.25, "n": 7}] * 3 == [trial.params for trial in study.trials[:3]]
    assert ["user", "user", "user", "default", "scripted"] == sources(study)


def test_what_the_partner_adds_to_a_repeated_request_is_the_same(dead_worker):
    """A partly enqueued trial that is repeated gets the values that it had before it was cut off."""
    study = optuna.create_study(sampler=AdvisedSampler(None, space=SPACE, seed=0))
    study.enqueue_trial({"n": 7})
    objective(lost := study.ask())
    lose(study, lost, dead_worker)
    study.sampler = AdvisedSampler(None, space=SPACE, seed=0)
    study.optimize(objective, n_trials=1)
    assert study.trials[0].params == study.trials[1].params


@pytest.mark.parametrize("enqueued", [False, True])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_trial_that_optuna_retries_runs_once_more(enqueued, dead_worker):
    """A stale trial that Optuna's retry callback enqueues again, record and all, runs, and runs only once."""
    study = optuna.create_study(sampler=sampler(init="default"))
    study.optimize(objective, n_trials=1)
    if enqueued:
        study.enqueue_trial({"x": 0.25, "n": 7})
    objective(lost := study.ask())
    lose(study, lost, dead_worker)
    study._storage.set_trial_state_values(lost._trial_id, TrialState.FAIL)
    optuna.storages.RetryHeartbeatStaleTrialCallback()(study, study.trials[1])
    study.optimize(objective, n_trials=2)
    assert [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE] == [
        trial.state for trial in study.trials
    ]
    assert study.trials[1].params == study.trials[2].params
    assert ([0, None, None, 1] if enqueued else [0, 1, 1, 2]) == turns(study)


def die(study, trial, worker):
    """Let the process of *trial* die here, or elsewhere, where it is closed for its heartbeat."""
    lose(study, trial, worker)
    if is_gone(worker):
        _turns.all_trials(study)
    else:
        study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


@pytest.mark.parametrize("where", ["here", "elsewhere"])
@pytest.mark.parametrize("enqueued", [True, False])
def test_what_three_processes_died_of_is_not_tried_again(where, enqueued, dead_worker):
    """Wherever the processes ran and whoever gave the configuration, the study goes on without it."""
    worker = dead_worker if where == "here" else {**dead_worker, "host": "elsewhere"}
    study = optuna.create_study(sampler=sampler(init="default"))
    if enqueued:
        study.enqueue_trial({"x": 0.25, "n": 7})
    for _ in range(3):
        objective(trial := study.ask())
        die(study, trial, worker)
    study.sampler = sampler(init="default")
    study.optimize(objective, n_trials=2)
    fatal, *others = dict.fromkeys((t.params["x"], t.params["n"]) for t in study.trials)
    assert (0.25, 7) == fatal if enqueued else (0.5, 10) == fatal
    assert ([None] * 3 + [0, 1] if enqueued else [0, 0, 0, 1, 2]) == turns(study)
    assert 2 == len(others)
    assert ("failed" == study_history(study)[0].state) == (where == "here")


def test_a_trial_that_is_interrupted_again_and_again_is_taken_over_each_time():
    """An interrupt of the user's says nothing against the configuration."""

    def interrupted(trial):
        objective(trial)
        raise KeyboardInterrupt

    study = optuna.create_study(sampler=sampler())
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            study.optimize(interrupted, n_trials=1)
    study.optimize(objective, n_trials=1)
    assert [0] * 5 == turns(study)
    assert DEFAULT == study.trials[-1].params


@pytest.mark.parametrize("attributes", ["all", "user"])
def test_copied_trials_take_neither_turns_nor_the_opening(attributes):
    """Trials of another study of ours, added with what was written on them, are history and nothing else."""
    old = optuna.create_study(sampler=sampler(seed=1))
    old.optimize(objective, n_trials=8)
    advisor = ScriptedAdvisor(points)
    study = optuna.create_study(sampler=LLMSampler(advisor, space=SPACE, seed=0))
    for trial in reversed(old.trials):
        given = {"params": trial.params, "distributions": trial.distributions, "value": trial.value}
        given |= {"system_attrs": trial.system_attrs} if attributes == "all" else {}
        study.add_trial(optuna.create_trial(**given, user_attrs=trial.user_attrs))
    study.optimize(objective, n_trials=6)
    plain = optuna.create_study(sampler=sampler())
    plain.optimize(objective, n_trials=6)
    assert [0, 1, 2, 3, 4, 5] == turns(study)[8:]
    assert [("opening", 1, 8)] == [(r.purpose, r.turn, len(r.history) - 1) for r in advisor.requests]
    assert DEFAULT != study.trials[8].params  # which a copied trial had
    assert [t.params for t in plain.trials[1:]] == [t.params for t in study.trials[9:]]


def test_the_default_configuration_is_tried_once():
    """Where the user asked for it, that trial is the default's, and its own turn is the partner's, which says why."""
    study = optuna.create_study(sampler=sampler())
    study.enqueue_trial(DEFAULT)
    study.enqueue_trial({"x": 0.5})
    study.optimize(objective, n_trials=4)
    assert ["default", "user", "tpe", "scripted"] == sources(study)
    assert [None, None, 0, 1] == turns(study)
    assert DEFAULT == study.trials[0].params != study.trials[2].params
    assert ["default: repeats trial 0"] == study.trials[2].user_attrs[TURNED_DOWN]


def test_trials_of_others_have_no_turn():
    """Trials that were added, or come from another sampler, are history but take no turn."""
    advisor = ScriptedAdvisor(points)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=2)
    distributions = study.trials[0].distributions
    study.add_trial(optuna.create_trial(params={"x": 0.1, "n": 1}, distributions=distributions, value=1.1))
    study.sampler = LLMSampler(advisor, space=SPACE, seed=0)
    study.optimize(objective, n_trials=2)
    assert [None, None, None, 0, 1] == turns(study)
    assert [0, 1, 2, 3] == [observation.number for observation in advisor.requests[0].history]


def test_running_trials_of_living_workers_keep_their_turns():
    """Several trials open at once have one turn each, and each is told what is being tried."""
    advisor = ScriptedAdvisor(points)
    study = optuna.create_study(sampler=LLMSampler(advisor, space=SPACE, init="default", seed=0))
    trials = [study.ask() for _ in range(4)]
    for trial in trials:
        objective(trial)
    assert [0, 1, 2, 3] == turns(study)
    last = advisor.requests[-1].history
    assert ["running"] * 3 == [observation.state for observation in last]
    assert [trial.params for trial in trials[:3]] == [observation.params for observation in last]


@given(st.lists(st.sampled_from(["complete", "fail", "interrupt", "lost", "enqueue", "open"]), max_size=15))
def test_turns_are_dense_whatever_happens(events):
    """Those that count have the turns 0, 1, 2, ... but for what three processes died of, and the default runs once."""
    dead = {**this_worker(), "boot": "an earlier one"}
    study = optuna.create_study(sampler=sampler(init="default"))
    for event in [*events, *["complete"] * 3]:
        if event == "enqueue":
            study.enqueue_trial({"x": 0.125, "n": 3})
        trial = study.ask()
        objective(trial)
        if event == "lost":
            lose(study, trial, dead)
        elif event == "interrupt":
            study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        elif event != "open":
            study.tell(trial, state=TrialState.FAIL) if event == "fail" else study.tell(trial, 1.0)
    kept = [trial for trial in study.trials if not _turns.is_abandoned(trial)]
    given_turns = [trial.system_attrs[TURN]["turn"] for trial in kept if trial.user_attrs[SOURCE] != "user"]
    fatal = [work for work, n in _turns.deaths(study.trials).items() if n >= 3]
    done = sorted([*given_turns, *(turn for turn in fatal if isinstance(turn, int))])
    assert list(range(len(done))) == done
    assert 1 >= [trial.user_attrs[SOURCE] for trial in kept].count("default")
    done = [trial.user_attrs[SOURCE] for trial in kept].count("user") + sum(isinstance(work, str) for work in fatal)
    assert events.count("enqueue") == done


# The opening.


def test_the_opening_is_one_question_for_all_its_turns():
    """One request for as many points as the opening has turns serves them, each with its own reasons."""
    advisor = ScriptedAdvisor(points)
    study = optuna.create_study(sampler=LLMSampler(advisor, space=SPACE, n_opening=4, seed=0))
    study.optimize(objective, n_trials=6)
    assert [("opening", 4, 1), ("next", 3, 5)] == [(r.purpose, r.n, r.turn) for r in advisor.requests]
    batch = points(advisor.requests[0])
    assert batch == [trial.params for trial in study.trials[1:5]]
    assert batch[1:] == [advice["params"] for advice in study.trials[1].user_attrs[BATCH]]
    assert ["default", *["scripted"] * 5] == sources(study)


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_an_opening_that_is_cut_off_goes_on_without_another_question(cut, dead_worker):
    """A process lost in any turn of the opening costs no second question, also where it was the one that asked."""
    advisor = ScriptedAdvisor(points)
    study = optuna.create_study(sampler=LLMSampler(advisor, space=SPACE, n_opening=4, seed=0))
    study.optimize(objective, n_trials=cut)
    objective(lost := study.ask())
    lose(study, lost, dead_worker)
    study.sampler = LLMSampler(advisor, space=SPACE, n_opening=4, seed=0)
    study.optimize(objective, n_trials=5 - cut)
    assert 1 == len(advisor.requests)
    kept = [trial.params for trial in study.trials if not _turns.is_abandoned(trial)]
    assert [DEFAULT, *points(advisor.requests[0])] == kept


@pytest.mark.parametrize(
    ("init", "expected"),
    [
        ("llm", ["default", "scripted", "scripted", "tpe"]),
        ("random", ["default", "random", "random", "tpe"]),
        ("default", ["default", "tpe", "tpe", "tpe"]),
    ],
)
def test_init_says_what_follows_the_default(init, expected):
    """An opening of the advisor's, of random points, or none."""
    arguments = {"space": SPACE, "init": init, "n_opening": 2, "seed": 0}
    study = optuna.create_study(sampler=AdvisedSampler(ScriptedAdvisor(points), **arguments))
    study.optimize(objective, n_trials=4)
    assert expected == sources(study)


def test_repeats_within_the_opening_are_turned_down_and_recorded():
    """Of a batch with repeats each point is tried once; the turns that are left over are the partner's."""
    other, third = {"x": 0.1, "n": 1}, {"x": 0.2, "n": 2}
    advisor = ScriptedAdvisor(lambda request: [other, DEFAULT, other, third])
    study = optuna.create_study(sampler=LLMTPESampler(advisor, space=SPACE, n_opening=4, seed=0), direction="maximize")
    study.optimize(objective, n_trials=5)
    assert [DEFAULT, other, third] == [trial.params for trial in study.trials[:3]]
    assert ["default", "scripted", "scripted", "tpe", "tpe"] == sources(study)
    reasons = study.trials[1].user_attrs[TURNED_DOWN]
    assert ["repeats trial 0", "repeats another candidate"] == [reason.partition(": ")[2] for reason in reasons]


def test_a_batch_point_that_was_tried_meanwhile_is_turned_down():
    """A point of the opening that the user enqueued meanwhile is not tried again, and the trial says why."""
    study = optuna.create_study(sampler=sampler(lambda request: [{"x": i / 8, "n": i} for i in range(1, 5)]))
    study.optimize(objective, n_trials=2)
    study.enqueue_trial({"x": 2 / 8, "n": 2})
    study.optimize(objective, n_trials=3)
    assert ["default", "scripted", "user", "tpe", "scripted"] == sources(study)
    assert ["from the opening batch: repeats trial 2"] == study.trials[3].user_attrs[TURNED_DOWN]


def test_a_repeating_advisor_gets_each_point_once():
    """Whoever repeats itself is evaluated once; the other turns are the partner's."""
    study = optuna.create_study(sampler=sampler({"x": 0.75, "n": 1}, init="default"))
    study.optimize(objective, n_trials=20)
    assert 1 == sources(study).count("scripted")
    pairs = itertools.combinations([trial.params for trial in study.trials], 2)
    assert not any(one == other for one, other in pairs)


def test_what_is_running_counts_as_tried():
    """A point that another worker is evaluating is not proposed again, known from its record before it is suggested."""
    study = optuna.create_study(sampler=sampler({"x": 0.75, "n": 1}, init="default"))
    study.optimize(objective, n_trials=1)
    running = study.ask()
    running.suggest_float("x", 0.0, 1.0)  # the other parameter is not suggested yet
    objective(other := study.ask())
    frozen = study.trials[running.number]
    assert {"x": 0.75, "n": 1} == frozen.user_attrs[PARAMS]
    assert "tpe" == study.trials[other.number].user_attrs[SOURCE]
