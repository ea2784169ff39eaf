"""
Prefetch: the advisor is asked while trials run; what is late waits for the next turn, what is stale is dropped.
"""

import pickle
import subprocess
import sys
import threading
import time
from dataclasses import replace

import optuna
import pytest
from optuna.storages import InMemoryStorage

from sllmbo import Budget, Task, Tuner
from sllmbo._random import generator
from sllmbo.advisors import Advice
from sllmbo.advisors.replay import RecordingAdvisor, ReplayAdvisor
from sllmbo.errors import AdviceError, BudgetExceeded, ConfigError
from sllmbo.llm.meter import counted
from sllmbo.samplers import AdvisedSampler, Alternating, Bernoulli, LLMTPESampler
from sllmbo.samplers._ahead import FRESH
from sllmbo.samplers._ledger import entries, spent
from sllmbo.samplers._record import ASKED, FALLBACK, PARAMS, SOURCE, TURNED_DOWN, USAGE, Decision
from sllmbo.space import Float, Int, SearchSpace
from sllmbo.testing import ScriptedAdvisor
from sllmbo.tuner.result import total_usage
from sllmbo.usage import Usage

SPACE = SearchSpace({"x": Float(0.0, 1.0, default=0.5), "n": Int(1, 100, default=10)})
ONE = Usage(calls=1, input_tokens=10)


def objective(trial):
    return trial.suggest_float("x", 0.0, 1.0) + trial.suggest_int("n", 1, 100)


def points(request):
    rng = generator(request.seed, "points", request.turn)
    return [request.space.sample(rng) for _ in range(request.n)]


class Gated:
    """An advisor that answers a question only once it is let."""

    def __init__(self, reply=points):
        self.advisor = ScriptedAdvisor(self._reply)
        self._let = threading.Semaphore(0)
        self._answer = reply

    def _reply(self, request):
        assert self._let.acquire(timeout=30)
        return self._answer(request)

    def let(self, study, n=1):
        """Let *n* questions be answered, and wait for the answer of the one that is asked ahead."""
        self._let.release(n)
        question = study.sampler._counsel._ahead.of(study)
        if question is not None:
            question.answer.exception(30)


def created(advisor, *, storage=None, **arguments):
    arguments = {"space": SPACE, "init": "default", "judging": False, "mixing": Alternating(), "seed": 0, **arguments}
    sampler = LLMTPESampler(advisor, prefetch=True, **arguments)
    return optuna.create_study(storage=storage, study_name="a study", load_if_exists=True, sampler=sampler)


def run(study, n=1):
    study.optimize(objective, n_trials=n)


def settle(study, _trial=None):
    """Wait for the answer to the question that is asked ahead, as a long trial does."""
    question = study.sampler._counsel._ahead.of(study)
    if question is not None:
        question.answer.exception(30)


def sources(study):
    return [trial.user_attrs[SOURCE] for trial in study.trials]


def kinds(study):
    return [trial.user_attrs.get(FALLBACK, {}).get("kind") for trial in study.trials]


def warned(caplog):
    return [record for record in caplog.records if record.name == "sllmbo"]


def asked(study):
    return [trial.user_attrs.get(ASKED) for trial in study.trials]


# Who serves.


def test_an_answer_that_is_there_serves_its_turn():
    """Asked while the trial before runs, whose parameters are told, it is used at once, and its age is recorded."""
    advisor = ScriptedAdvisor(points)
    study = created(advisor)
    study.optimize(objective, n_trials=6, callbacks=[settle])
    assert ["default", "scripted", "tpe", "scripted", "tpe", "scripted"] == sources(study)
    assert [None] * 6 == kinds(study)
    assert [1, 3, 5] == [request.turn for request in advisor.requests][:3]
    first = advisor.requests[0].history
    assert [("running", {"x": 0.5, "n": 10})] == [(o.state, o.params) for o in first]
    assert {"turn": 1, "missed": 1} == study.trials[1].user_attrs[ASKED]
    assert points(advisor.requests[1])[0] == study.trials[3].params


def test_a_late_answer_gives_its_turn_away_and_is_used_in_the_next(caplog):
    """The partner serves the whole turn, without a warning; the answer serves the advisor's next turn."""
    gate = Gated()
    study = created(gate.advisor)
    run(study, 3)
    gate.let(study)
    run(study)
    assert ["default", "tpe", "tpe", "scripted"] == sources(study)
    assert [None, "Late", None, None] == kinds(study)
    assert "turn 1 is not answered" in study.trials[1].user_attrs[FALLBACK]["reason"]
    assert {"turn": 1, "missed": 3} == study.trials[3].user_attrs[ASKED]
    assert not warned(caplog)
    gate.let(study)


def test_one_question_is_under_way_at_a_time():
    """However many turns are late, and whichever threads run them, nothing more is asked before the answer."""
    gate = Gated()
    study = created(gate.advisor, mixing=Bernoulli(1.0))
    study.optimize(objective, n_trials=8, n_jobs=4)
    gate.let(study)
    assert 1 == len(gate.advisor.requests)
    assert "scripted" not in sources(study)


def test_a_stale_answer_is_dropped_and_recorded():
    """Too many trials later the answer is not used; the trial says so and has its usage, and the next one is used."""
    gate = Gated(lambda request: [Advice(params=point, source="scripted", usage=ONE) for point in points(request)[:1]])
    study = created(gate.advisor, mixing=Bernoulli(1.0))
    run(study, FRESH + 2)
    gate.let(study)
    run(study)
    gate.let(study)
    run(study)
    assert [None, *["Late"] * (FRESH + 1), "Stale", None] == kinds(study)
    dropped = study.trials[-2].user_attrs
    assert {"turn": 1, "missed": FRESH + 2} == dropped[ASKED]
    assert ("tpe", PARAMS not in dropped) == (dropped[SOURCE], True)
    assert ONE == Usage.from_json(dropped[USAGE])
    assert ONE + ONE == total_usage(study)
    assert "scripted" == sources(study)[-1]
    gate.let(study)


def test_an_answer_of_the_last_fresh_age_is_used():
    """One trial less, and the same answer is used."""
    gate = Gated()
    study = created(gate.advisor, mixing=Bernoulli(1.0))
    run(study, FRESH + 1)
    gate.let(study)
    run(study)
    assert ("scripted", FRESH + 1) == (sources(study)[-1], asked(study)[-1]["missed"])
    gate.let(study)


def test_an_advisor_that_is_always_too_slow_is_asked_less_and_less():
    """Stale answers count as failed questions: after three in a row there are pauses. Late turns do not count."""
    gate = Gated()
    study = created(gate.advisor, mixing=Bernoulli(1.0))
    for _ in range(3):
        run(study, FRESH + 2)
        gate.let(study)
    run(study, 3)
    assert "scripted" not in sources(study)
    assert ["Stale", "Paused"] == kinds(study)[-3:-1]
    assert 3 == kinds(study).count("Stale")
    gate.let(study, 9)


def test_what_was_tried_meanwhile_is_not_tried_again():
    """An answer is checked against the trials by the time it is used, those of others among them."""
    gate = Gated(lambda request: [{"x": 0.25, "n": 7}, {"x": 0.75, "n": 8}])
    study = created(gate.advisor)
    run(study)
    study.enqueue_trial({"x": 0.25, "n": 7})
    run(study)
    gate.let(study)
    run(study)
    assert {"x": 0.75, "n": 8} == study.trials[2].params
    assert ["candidate 1: repeats trial 1"] == study.trials[2].user_attrs[TURNED_DOWN]


def test_the_opening_is_asked_for_while_the_default_runs():
    """The opening is one question, asked during the trial before, and waited for where it is not there."""
    gate = Gated()
    study = created(gate.advisor, init="llm", n_opening=3)
    threading.Timer(0.2, gate._let.release, args=(9,)).start()
    study.optimize(objective, n_trials=4)
    assert ["default", *["scripted"] * 3] == sources(study)
    assert [("opening", 3, 1)] == [(r.purpose, r.n, r.turn) for r in gate.advisor.requests if r.purpose == "opening"]
    assert ["running"] == [o.state for o in gate.advisor.requests[0].history]


def test_the_opening_knows_of_all_anchors():
    """Of several anchors the last one is running when the opening is asked for, and the others have ended."""
    advisor = ScriptedAdvisor(points)
    anchor = Decision(source="tuned-default", params={"x": 0.25, "n": 7})
    sampler = AdvisedSampler(advisor, space=SPACE, anchors=[anchor], n_opening=2, seed=0, prefetch=True)
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=3, callbacks=[settle])
    assert [("opening", 2)] == [(request.purpose, request.turn) for request in advisor.requests]
    told = [("complete", {"x": 0.5, "n": 10}), ("running", {"x": 0.25, "n": 7})]
    assert told == [(o.state, o.params) for o in advisor.requests[0].history]


@pytest.mark.parametrize(("mixing", "task"), [(Bernoulli(0.0), Task()), (Alternating(), Task(n_trials=1))])
def test_nothing_is_asked_for_a_turn_that_will_not_be_given(mixing, task):
    """No question for a share of 0, nor for a turn after the last trial."""
    advisor = ScriptedAdvisor(points)
    study = created(advisor, mixing=mixing, task=task)
    study.optimize(objective, n_trials=4 if task == Task() else 1, callbacks=[settle])
    settle(study)
    assert [] == advisor.requests


def test_a_study_that_goes_on_beyond_its_trials_is_asked_for():
    """The task's number of trials says when a study ends only until it has more than that."""
    advisor = ScriptedAdvisor(points)
    study = created(advisor, task=Task(n_trials=2))
    study.optimize(objective, n_trials=8, callbacks=[settle])
    assert sources(study)[4:].count("scripted") >= 2


# Failures and costs.


def test_an_error_falls_back_in_the_advisors_next_turn(caplog):
    """The partner serves that turn; class and reason lie on the trial, and a warning says it."""
    study = created(ScriptedAdvisor([AdviceError("the line is dead"), {"x": 0.25, "n": 7}]))
    study.optimize(objective, n_trials=4, callbacks=[settle])
    assert ["default", "tpe", "tpe", "scripted"] == sources(study)
    assert {"kind": "AdviceError", "reason": "the line is dead"} == study.trials[1].user_attrs[FALLBACK]
    assert 1 == len(warned(caplog))
    assert "the line is dead" in caplog.text


@pytest.mark.parametrize("error", [AdviceError("the line is dead"), RuntimeError("a bug")])
def test_an_error_is_raised_where_that_is_wanted(error):
    """With on_failure="raise" the error of the background ends the study in the advisor's next turn."""
    study = created(ScriptedAdvisor(error), on_failure="raise")
    with pytest.raises(type(error), match=str(error)):
        study.optimize(objective, n_trials=3, callbacks=[settle])
    assert 2 == len(study.trials)


def test_a_mistake_in_the_set_up_is_raised_all_the_same():
    """No background hides what the user can mend."""
    study = created(ScriptedAdvisor(ConfigError("no key")))
    with pytest.raises(ConfigError, match="no key"):
        study.optimize(objective, n_trials=3, callbacks=[settle])


class Metered(ScriptedAdvisor):
    """One that sends a request for each question, as a chat model does."""

    def suggest(self, request):
        with counted(ONE, "scripted") as call:
            call.usage = ONE
            return super().suggest(request)


def test_every_question_is_in_the_ledger_also_an_unused_one():
    """What was asked ahead is entered for its turn, and is in the totals although the study ended before it."""
    study = created(Metered(points))
    study.optimize(objective, n_trials=3, callbacks=[settle])
    settle(study)
    assert [("next", 1), ("next", 3)] == sorted((entry["purpose"], entry["turn"]) for entry in entries(study))
    assert ["default", "scripted", "tpe"] == sources(study)
    assert ONE + ONE == replace(spent(study), seconds=0.0) == replace(total_usage(study), seconds=0.0)


def test_a_spent_budget_ends_the_questions(caplog):
    """The budget holds in the background: the question beyond it is not sent, and the turn says so."""
    study = created(Metered(points), budget=Budget(calls=1))
    study.optimize(objective, n_trials=6, callbacks=[settle])
    assert 1 == spent(study).calls
    assert [None, None, None, BudgetExceeded.__name__, None, BudgetExceeded.__name__] == kinds(study)
    assert 1 == len(warned(caplog))


# What lies outside.


def test_without_the_switch_nothing_runs_in_the_background(monkeypatch):
    """By default no thread is started, each of the advisor's turns asks once for itself, and trials repeat by seed."""
    monkeypatch.setattr(threading.Thread, "start", None)

    def trials():
        advisor = ScriptedAdvisor(points)
        study = optuna.create_study(sampler=LLMTPESampler(advisor, space=SPACE, mixing=Bernoulli(0.5), seed=0))
        study.optimize(objective, n_trials=15)
        advised = [t.number for t in study.trials if t.user_attrs[SOURCE] == "scripted" or TURNED_DOWN in t.user_attrs]
        turns = [request.turn for request in advisor.requests]
        assert [1, *[number for number in advised if number > 5]] == turns
        assert [None] * 15 == asked(study)
        return [(trial.params, trial.user_attrs) for trial in study.trials]

    assert trials() == trials()


def test_a_sampler_with_a_question_under_way_pickles():
    """The copy has no question and asks its own; the original goes on with its own."""
    study = created(ScriptedAdvisor(points))
    run(study)
    settle(study)
    copied = pickle.loads(pickle.dumps(study.sampler))
    assert copied._counsel._ahead.of(study) is None
    other = optuna.create_study(sampler=copied)
    other.optimize(objective, n_trials=2, callbacks=[settle])
    run(study)
    assert [trial.params for trial in other.trials] == [trial.params for trial in study.trials]


def test_studies_of_one_sampler_have_a_question_each():
    """An answer for one study is not used in another, also where their storages count alike."""
    gate = Gated()
    study = created(gate.advisor)
    other = optuna.create_study(storage=InMemoryStorage(), sampler=study.sampler)
    run(study)
    gate.let(study)
    run(other, 2)
    assert ["default", "tpe"] == sources(other)
    assert 2 == len(gate.advisor.requests)
    gate.let(other)


def test_each_worker_asks_for_itself_and_tries_nothing_that_another_has_tried():
    """Samplers on one storage have a question each, and each answer is checked against the trials of both."""
    gate, storage = Gated(lambda request: [{"x": 0.25, "n": 7}, {"x": 0.75, "n": 8}]), InMemoryStorage()
    one = created(gate.advisor, mixing=Bernoulli(1.0), storage=storage)
    other = created(ScriptedAdvisor({"x": 0.25, "n": 7}), mixing=Bernoulli(1.0), storage=storage)
    run(one)
    other.optimize(objective, n_trials=2, callbacks=[settle])
    gate.let(one)
    run(one)
    assert ["default", "tpe", "scripted", "scripted"] == sources(one)
    assert [{"x": 0.25, "n": 7}, {"x": 0.75, "n": 8}] == [trial.params for trial in one.trials[2:]]
    gate.let(one)


def test_a_recording_has_the_same_lines_and_replays_by_turn(tmp_path):
    """Each question ahead is a line with its turn, from which a lenient replay answers in that turn."""
    path = tmp_path / "r.jsonl"
    study = created(RecordingAdvisor(ScriptedAdvisor(points), path))
    study.optimize(objective, n_trials=6, callbacks=[settle])
    sampler = LLMTPESampler(
        ReplayAdvisor(path, lenient=True), space=SPACE, init="default", judging=False, mixing=Alternating(), seed=0
    )
    again = optuna.create_study(sampler=sampler)
    run(again, 6)
    assert [t.params for t in study.trials if t.number % 2] == [t.params for t in again.trials if t.number % 2]


def test_tuner_asks_ahead():
    """The switch is there for ask and tell."""
    tuner = Tuner(SPACE, llm=ScriptedAdvisor(points), init="default", mixing=Alternating(), seed=0, prefetch=True)
    for _ in range(2):
        trial = tuner.ask()
        settle(tuner.study)
        tuner.tell(trial, 1.0)
    assert {"turn": 1, "missed": 1} == tuner.study.trials[1].user_attrs[ASKED]


SCRIPT = """
import os, signal, sys, threading
import optuna
from sllmbo.samplers import LLMSampler
from sllmbo.space import Float, SearchSpace
from sllmbo.testing import slow

how, asked = sys.argv[1], threading.Event()

def for_ever():
    asked.set()
    threading.Event().wait()

def objective(trial):
    value = trial.suggest_float("x", 0.0, 1.0)
    assert asked.wait(30)
    if how == "interrupt" and trial.number == 1:
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(30)
    return value

init = "llm" if how == "opening" else "default"
space = SearchSpace({"x": Float(0.0, 1.0, default=0.5)})
sampler = LLMSampler(slow(for_ever), space=space, init=init, seed=0, prefetch=True)
study = optuna.create_study(sampler=sampler)
if how == "opening":
    threading.Timer(1.0, os.kill, args=(os.getpid(), signal.SIGINT)).start()
try:
    study.optimize(objective, n_trials=3)
except KeyboardInterrupt:
    print("interrupted", len(study.trials))
if how == "fork" and not (child := os.fork()):
    study.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0), n_trials=2)
    print("child", len(study.trials), flush=True)
    os._exit(0)
if how == "fork":
    os.waitpid(child, 0)
print("done", len(study.trials), any(thread.name == "sllmbo-ahead" for thread in threading.enumerate()))
"""


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("end", ["done 3 True"]),
        ("interrupt", ["interrupted 2", "done 2 True"]),
        ("opening", ["interrupted 2", "done 2 True"]),
        ("fork", ["child 5", "done 3 True"]),
    ],
)
def test_nothing_waits_for_a_question_that_is_never_answered(how, said):
    """The end of a study, Ctrl-C, a fork and the end of the process pass it by."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", SCRIPT, how]
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert said == done.stdout.splitlines(), done.stderr
    assert 0 == done.returncode
    assert time.monotonic() - start < 30
