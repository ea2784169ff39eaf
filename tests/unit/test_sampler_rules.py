"""
What Optuna demands of a sampler, and what users rely on: one test per rule.
"""

import copy
import itertools
import json
import logging
import os
import pickle
import subprocess
import sys
from decimal import Decimal

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import CmaEsSampler, PartialFixedSampler, QMCSampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from sllmbo._random import generator
from sllmbo.advisors import Advice
from sllmbo.errors import AdviceError, ConfigError
from sllmbo.samplers import Adaptive, AdvisedSampler, Bernoulli, LLMSampler, LLMTPESampler, study_history
from sllmbo.samplers._record import BATCH, FALLBACK, MIXING, PARAMS, REFUSED, REPAIRS, SOURCE, TURNED_DOWN
from sllmbo.samplers._turns import TURN
from sllmbo.space import Categorical, Float, Int, SearchSpace, When
from sllmbo.task import Task
from sllmbo.testing import HOSTILE, ScriptedAdvisor, always_raising
from sllmbo.usage import Usage
from sllmbo_strategies import json_values

SPACE = SearchSpace(
    {
        "lr": Float(1e-4, 1.0, log=True, default=0.1),
        "depth": Int(1, 10, default=3),
        "kind": Categorical(["a", "b"], default="a"),
    }
)
DEFAULT = {"lr": 0.1, "depth": 3, "kind": "a"}
GOOD = {"lr": 0.2, "depth": 5, "kind": "b"}


def objective(trial):
    lr = trial.suggest_float("lr", 1e-4, 1.0, log=True)
    depth = trial.suggest_int("depth", 1, 10)
    return lr * depth + (trial.suggest_categorical("kind", ["a", "b"]) == "a")


def conditional(trial):
    if trial.suggest_categorical("x", [True, False]):
        return trial.suggest_float("y", 0, 1)
    return trial.suggest_float("z", 0, 1) + trial.suggest_int("n", 1, 100)


def random_points(request):
    rng = generator(request.seed, "points", request.turn)
    return [request.space.sample(rng) for _ in range(request.n)]


def study_of(sampler, **arguments):
    return optuna.create_study(sampler=sampler, **arguments)


def run(sampler, n=10, objective=objective, **arguments):
    study = study_of(sampler, **arguments)
    study.optimize(objective, n_trials=n, catch=(Exception,))
    return study


def sources(study):
    return [trial.user_attrs.get(SOURCE) for trial in study.trials]


def served(study):
    return [(trial.params, trial.values, trial.state, trial.user_attrs.get(SOURCE)) for trial in study.trials]


def one_trial(params, **arguments):
    """The second trial of a study, where the default was the first, for an advisor that says *params*."""
    return run(LLMSampler(ScriptedAdvisor(params), space=SPACE, init="default", seed=0, **arguments), 2).trials[1]


# Requests.


@pytest.mark.parametrize("init", ["llm", "default", "random"])
@pytest.mark.parametrize("kind", [LLMSampler, LLMTPESampler])
def test_a_trial_costs_at_most_one_question(kind, init):
    """With conditional parameters and no declared space, each question is one trial's, never a parameter's."""
    advisor = ScriptedAdvisor(random_points)
    study = run(kind(advisor, init=init, n_opening=3, seed=1), 30, conditional)
    batch = sum(len(trial.user_attrs.get(BATCH, ())) for trial in study.trials)
    asked = [
        trial.system_attrs[TURN]["turn"]
        for trial in study.trials
        if trial.user_attrs[SOURCE] == "scripted"
        or trial.user_attrs.get(FALLBACK, {}).get("kind", "Paused") != "Paused"
        or TURNED_DOWN in trial.user_attrs
    ]
    assert len(asked) - batch == len(advisor.requests)
    assert sorted({request.turn for request in advisor.requests}) == [request.turn for request in advisor.requests]


def test_first_trial_without_a_space_asks_for_nothing():
    """Before anything was suggested there is nothing to ask about, so the partner serves the first trial."""
    advisor = ScriptedAdvisor(random_points)
    study = run(LLMSampler(advisor, seed=0), 1)
    assert ["tpe"] == sources(study)
    assert [] == advisor.requests


def test_first_trial_of_a_described_task_takes_the_designed_defaults():
    """Without a space but with a task, the advisor designs one, and its defaults are the first trial, by name."""
    study = run(LLMSampler(ScriptedAdvisor(random_points, space=SPACE), task="something", seed=0), 2)
    assert DEFAULT == study.trials[0].params
    assert "default" == study.trials[0].user_attrs[SOURCE]


def test_declared_space_gives_the_default_then_the_opening():
    """With a declared space, trial 0 is the default and trial 1 is already the advisor's."""
    study = run(LLMTPESampler(ScriptedAdvisor(random_points), space=SPACE, seed=0), 3)
    assert DEFAULT == study.trials[0].params
    assert ["default", "scripted", "scripted"] == sources(study)


def test_only_sample_relative_asks():
    """No hook but sample_relative asks the advisor, and none asks for a trial that the user enqueued."""
    inside = []

    class Watched(LLMSampler):
        def sample_relative(self, study, trial, search_space):
            inside.append(trial.number)
            try:
                return super().sample_relative(study, trial, search_space)
            finally:
                inside.clear()

    asked_for = []

    def reply(request):
        asked_for.extend(inside or ["another hook"])
        return random_points(request)

    study = study_of(Watched(ScriptedAdvisor(reply), space=SPACE, init="default", seed=0))
    study.enqueue_trial({"lr": 0.5, "depth": 2, "kind": "b"})
    study.enqueue_trial({"lr": 0.5})
    study.optimize(objective, n_trials=5)
    assert [3, 4] == asked_for
    assert ["user", "user", "default", "scripted", "scripted"] == sources(study)


# Values.


def test_out_of_range_and_wrong_types_are_repaired_and_recorded():
    """What lies outside or has the wrong type is repaired before it is evaluated, and each repair is on the trial."""
    trial = one_trial({"lr": 99, "depth": "7", "kind": "B", "bogus": 1})
    assert {"lr": 1.0, "depth": 7, "kind": "b"} == trial.params
    assert {"lr", "depth", "kind", "bogus"} == {repair["parameter"] for repair in trial.user_attrs[REPAIRS]}
    assert trial.params == trial.user_attrs[PARAMS]


@given(st.dictionaries(st.sampled_from([*SPACE, "bogus"]), json_values(allow_nan=True), max_size=4))
def test_nothing_invalid_is_ever_evaluated(params):
    """Whatever the advisor says, every evaluated point lies in the space, and the trial completes."""
    trial = one_trial(params)
    assert TrialState.COMPLETE == trial.state
    assert SPACE.contains(trial.params)
    if trial.user_attrs[SOURCE] == "scripted":
        assert SPACE.repair(params)[0] == trial.params
    else:
        assert trial.user_attrs[FALLBACK]["kind"] == "ReplyError"


@pytest.mark.parametrize(
    ("choices", "said", "meant"),
    [([True, False], "false", False), ([1, 2], "2", 2), (["1", "2"], 2, "2"), ([0.5, None], "none", None)],
)
def test_choices_come_back_as_the_objects_that_they_are(choices, said, meant):
    """A choice that the advisor spells otherwise reaches the objective as the choice object of its own type."""
    got = []

    def objective(trial):
        got.append(trial.suggest_categorical("c", choices))
        return 0.0

    advisor = ScriptedAdvisor({"c": said})
    run(LLMSampler(advisor, space={"c": CategoricalDistribution(choices)}, init="default", seed=0), 1, objective)
    assert [meant] == got
    assert type(meant) is type(got[0])


def test_numbers_come_back_as_python_numbers():
    """An integer parameter gets an int and a real one a float, whoever serves the trial."""
    for trial in run(LLMTPESampler(ScriptedAdvisor({"lr": 1, "depth": 2.0, "kind": "a"}), space=SPACE, seed=0)).trials:
        assert [float, int, str] == [type(trial.params[name]) for name in SPACE]


decimals = st.decimals(-1000, 1000, places=3)


@given(low=decimals, step=st.sampled_from(["0.1", "0.05", "0.25", "1", "3.7"]), n=st.integers(1, 1000), value=decimals)
def test_values_by_name_are_moved_into_the_objectives_own_range(low, step, n, value):
    """A default known by name only reaches the objective inside the range that the objective gives, on its grid."""
    distribution = FloatDistribution(float(low), float(low + n * Decimal(step)), step=float(step))
    value = float(value)
    got = []

    def objective(trial):
        got.append(trial._suggest("x", distribution))
        return 0.0

    advisor = ScriptedAdvisor({"x": -value}, space=SearchSpace({"x": Float(-1e4, 1e4, default=value)}))
    run(LLMSampler(advisor, task="something", seed=0), 4, objective)
    assert all(distribution._contains(distribution.to_internal_repr(value)) for value in got)
    assert 4 == len(got)


def test_narrowed_range_of_the_objective_wins_over_the_declared_one():
    """A value that the objective's present range does not contain is moved into it, and the move is recorded once."""

    def narrowed(trial):
        trial.suggest_float("lr", 1e-4, 0.15, log=True)
        return objective_rest(trial)

    def objective_rest(trial):
        return trial.suggest_int("depth", 1, 10) + len(trial.suggest_categorical("kind", ["a", "b"]))

    study = run(LLMSampler(ScriptedAdvisor(GOOD), space=SPACE, init="default", seed=0), 2, narrowed)
    assert {**GOOD, "lr": 0.15} == study.trials[1].params
    assert ["lr"] == [repair["parameter"] for repair in study.trials[1].user_attrs[REPAIRS]]


def test_a_declared_space_that_the_objective_does_not_have_is_warned_of_once(caplog):
    """Range, kind and name: what the objective suggests otherwise is said once for each parameter."""
    space = SearchSpace({**SPACE, "extra": Float(0.0, 1.0, default=0.5), "depth": Int(1, 30, default=3)})
    run(LLMTPESampler(ScriptedAdvisor(random_points), space=space, seed=0), 8)
    told = [record.getMessage() for record in caplog.records if "search space has" in record.getMessage()]
    assert [
        "The sampler's search space has 'depth', but the objective suggests it from IntDistribution(high=10, "
        "log=False, low=1, step=1), and values are moved there; declare what it suggests.",
        "The sampler's search space has 'extra', but the objective does not suggest it; leave it out, or give it a "
        "condition.",
    ] == sorted(told)


def test_a_space_that_the_objective_has_is_not_warned_of(caplog):
    """Neither a wider range of the objective nor a condition is a mismatch."""
    space = SearchSpace(
        {
            "x": Categorical([True, False], default=True),
            "y": Float(0.2, 0.8, default=0.5, condition=When("x", (True,))),
        }
    )
    run(LLMTPESampler(ScriptedAdvisor(random_points), space=space, seed=0), 8, conditional)
    assert not [record for record in caplog.records if "search space has" in record.getMessage()]


# Failures of the advisor.


def _interrupt(request):
    raise KeyboardInterrupt


ODD_ANSWERS = {
    "nothing": lambda request: None,
    "a text": lambda request: "lr=0.3",
    "numbers": lambda request: [1, 2],
    "no advice": lambda request: [object()],
    "no params": lambda request: [Advice(params=None)],
    "params of another kind": lambda request: [Advice(params=[("lr", 0.3)])],
    "keys that are no text": lambda request: [Advice(params={**GOOD, b"bytes": 1, ("a", 1): 2})],
    "values that are no JSON": lambda request: [Advice(params={**GOOD, "bogus": {1, 2}, "other": object()})],
    "no rationale": lambda request: [Advice(params=GOOD, rationale=None, origin=None, prompt_version=None)],
    "no source": lambda request: [Advice(params=GOOD, source="")],
    "no usage": lambda request: [Advice(params=GOOD, usage=None)],
    "odd usage": lambda request: [Advice(params=GOOD, usage=Usage(calls=object()))],
    "odd origin": lambda request: [Advice(params=GOOD, origin=object(), source=3, rationale=["why"])],
}


class _Answer(ScriptedAdvisor):
    """Passes on what the function says, unchanged."""

    def suggest(self, request):
        self.requests.append(request)
        return self.reply(request)


@pytest.mark.parametrize("answer", list(ODD_ANSWERS))
def test_no_answer_of_an_advisor_makes_a_trial_fail(answer):
    """An answer of the wrong type ends in a usable trial, which the storage can write down, never in an exception."""
    sampler = LLMSampler(_Answer(ODD_ANSWERS[answer]), space=SPACE, init="default", seed=0)
    trial = run(sampler, 2, storage="sqlite://").trials[1]
    assert TrialState.COMPLETE == trial.state
    assert trial.user_attrs[SOURCE]
    assert SPACE.contains(trial.params)


@pytest.mark.parametrize("error", [AdviceError("no"), ValueError("odd"), RecursionError(), MemoryError()])
@pytest.mark.parametrize("kind", [LLMSampler, LLMTPESampler])
def test_a_raising_advisor_never_makes_a_trial_fail(kind, error):
    """Whatever the advisor raises, every trial is completed, by the partner."""
    study = run(kind(always_raising(error), space=SPACE, seed=0))
    assert {TrialState.COMPLETE} == {trial.state for trial in study.trials}
    assert ["default"] + ["tpe"] * 9 == sources(study)


def test_an_interrupt_during_a_question_stops_the_study():
    """Ctrl+C while the advisor is waited for propagates, and the trial's turn is free again."""
    sampler = LLMSampler(ScriptedAdvisor(_interrupt), space=SPACE, seed=0)
    study = study_of(sampler)
    with pytest.raises(KeyboardInterrupt):
        study.optimize(objective, n_trials=3, catch=(Exception,))
    study.sampler = LLMSampler(ScriptedAdvisor(random_points), space=SPACE, seed=0)
    study.optimize(objective, n_trials=1)
    assert [0, 1, 1] == [trial.system_attrs[TURN]["turn"] for trial in study.trials]


def test_the_partner_serves_the_whole_trial_when_the_advisor_fails():
    """A failed question gives the trial the very values that the partner alone would have given it."""
    failing = run(AdvisedSampler(always_raising(), space=SPACE, mixing=_Always(), init="default", seed=3), 15)
    alone = run(AdvisedSampler(None, space=SPACE, seed=3), 15)
    assert [trial.params for trial in alone.trials] == [trial.params for trial in failing.trials]


class _Always:
    def advisor_serves(self, *, seed, turn, history):
        return True


def test_a_failure_is_recorded_and_warned_about_once(caplog):
    """The trial keeps kind and reason, and one warning says which trial, who, why, who took over, how to silence it."""
    caplog.set_level(logging.WARNING, logger="sllmbo")
    trial = one_trial(AdviceError("the daily quota is spent"))
    assert {"kind": "AdviceError", "reason": "the daily quota is spent"} == trial.user_attrs[FALLBACK]
    records = [record for record in caplog.records if record.name == "sllmbo"]
    assert 1 == len(records)
    for part in (
        "Trial 1",
        "ScriptedAdvisor",
        "the daily quota is spent",
        "TPESampler",
        "on_failure='raise'",
        "silence",
    ):
        assert part in records[0].getMessage()


def test_a_failing_advisor_is_left_alone_for_a_while_and_comes_back():
    """After three failures in a row the questions become rarer, and one good answer ends the pause."""

    def reply(request):
        return random_points(request) if request.turn > 20 else AdviceError("down")

    advisor = ScriptedAdvisor(reply)
    study = run(LLMSampler(advisor, space=SPACE, init="default", seed=0), 30)
    assert [1, 2, 3, 5, 9, 17, *range(33, 33)] == [request.turn for request in advisor.requests][:6]
    paused = [trial for trial in study.trials if trial.user_attrs.get(FALLBACK, {}).get("kind") == "Paused"]
    assert 30 - 1 - len(advisor.requests) == len(paused)
    study.optimize(objective, n_trials=6)
    assert ["tpe", "tpe", "tpe", "scripted", "scripted", "scripted"] == sources(study)[-6:]


def test_on_failure_raise_raises_what_the_advisor_raised():
    """With on_failure="raise" the study stops with the advisor's own error."""
    error = AdviceError("no quota")
    study = study_of(LLMSampler(ScriptedAdvisor(error), space=SPACE, init="default", on_failure="raise", seed=0))
    with pytest.raises(AdviceError, match="no quota"):
        study.optimize(objective, n_trials=3)
    assert [TrialState.COMPLETE, TrialState.FAIL] == [trial.state for trial in study.trials]


def test_a_study_that_raised_goes_on_as_if_it_had_not():
    """A trial that failed before anything was decided for it is told to nobody, and its turn is taken again."""

    def study_after(failures):
        study = study_of(LLMTPESampler(ScriptedAdvisor(random_points), space=SPACE, seed=0))
        study.optimize(objective, n_trials=7)
        for _ in range(failures):
            down = always_raising(AdviceError("the key has expired"))
            study.sampler = LLMTPESampler(down, space=SPACE, mixing=Bernoulli(1.0), on_failure="raise", seed=0)
            with pytest.raises(AdviceError, match="the key has expired"):
                study.optimize(objective, n_trials=1)
        study.sampler = LLMTPESampler(ScriptedAdvisor(random_points), space=SPACE, seed=0)
        study.optimize(objective, n_trials=8)
        return study

    cut, whole = study_after(3), study_after(0)
    assert [trial.params for trial in whole.trials] == [trial.params for trial in cut.trials if trial.params]
    assert 15 == len(study_history(cut))


def test_an_answer_that_is_turned_down_ends_a_row_of_failures():
    """An advisor that fails every other time, and else proposes what is next to a trial, is asked in every turn."""

    def reply(request):
        if request.turn % 2:
            return RuntimeError("flaky")
        return {**request.history.best.params, "lr": request.history.best.params["lr"] + 1e-9}

    study = run(LLMTPESampler(ScriptedAdvisor(reply), space=SPACE, init="default", mixing=Bernoulli(1.0), seed=0), 12)
    assert {"RuntimeError", None} == {(trial.user_attrs.get(FALLBACK) or {}).get("kind") for trial in study.trials}
    assert all(REFUSED in trial.user_attrs for trial in study.trials[2::2])


def test_repeats_of_several_objectives_are_refused():
    """The winner of several objectives is chosen by ranks, which no repeat betters."""
    sampler = LLMTPESampler(ScriptedAdvisor(random_points), task=Task(n_trials=20), repeats=True, seed=0)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    with pytest.raises(ConfigError, match="several objectives cannot have repeats"):
        study.optimize(lambda trial: (objective(trial), 0.0), n_trials=1)


def test_any_sampler_learns_from_the_partner_it_has():
    """The share is measured against the partner's own trials, whatever it is called and whichever class is used."""
    shares = []
    for make in (AdvisedSampler, LLMTPESampler):
        sampler = make(
            HOSTILE["worst-region-lover"](),
            space=SPACE,
            init="default",
            mixing=Adaptive(),
            partner=RandomSampler(),
            judging=False,
            seed=0,
        )
        shares.append([trial.user_attrs.get(MIXING) for trial in run(sampler, 20).trials])
    assert shares[0] == shares[1]
    assert "(n 0.0)" not in shares[0][-1]


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
def test_choices_that_are_no_json_work_where_they_work_with_the_partner():
    """Classes as choices, with a TPE that does not tell others what it tries."""
    sampler = LLMTPESampler(ScriptedAdvisor(random_points), partner=TPESampler(constant_liar=False), seed=0)
    study = study_of(sampler)
    study.optimize(lambda trial: float(trial.suggest_categorical("kind", [int, str]) is int), n_trials=14)
    assert 14 == len(study.trials)


# What is written and read.


@pytest.mark.parametrize(
    "reply",
    [
        lambda request: Advice(params={**GOOD, "kind": "x" * 10**6}),
        lambda request: Advice(params={**GOOD, **{f"bogus{i}": i for i in range(10**4)}}),
        lambda request: Advice(params={**GOOD, "b" * 10**5: 1}),
        lambda request: [Advice(params={**GOOD, "depth": i}, rationale="r" * 10**6) for i in range(1, 9)],
        lambda request: Advice(params=GOOD, origin="o" * 10**6, prompt_version="p" * 10**6, source="s" * 10**6),
        lambda request: AdviceError("e" * 10**6),
        lambda request: [{**GOOD, "kind": f"{i}" * 10**5} for i in range(5)] + [GOOD],
    ],
)
def test_attributes_stay_small_whatever_the_advisor_says(reply, caplog):
    """No attribute of a trial, and no warning, grows with what the advisor says beyond what storages can hold."""
    study = run(LLMSampler(ScriptedAdvisor(reply), space=SPACE, n_candidates=6, seed=0), 4)
    for trial in study.trials:
        assert TrialState.COMPLETE == trial.state
        for value in (trial.user_attrs | trial.system_attrs).values():
            assert len(json.dumps(value)) <= 8000
    assert all(len(record.getMessage()) < 2000 for record in caplog.records if record.name == "sllmbo")


def test_tpe_of_another_worker_sees_the_advisors_pending_point():
    """A running trial's values lie where Optuna's TPE looks for them, in pieces of the size that it uses."""
    names = [f"parameter_with_a_long_name_{i}" for i in range(100)]
    space = SearchSpace({name: Float(0.0, 1.0, default=0.5) for name in names})
    study = study_of(LLMSampler(ScriptedAdvisor(random_points), space=space, seed=0))
    study.tell(study.ask({name: FloatDistribution(0, 1) for name in names}), 0.0)
    trial = study.ask()
    trial.suggest_float(names[0], 0, 1)
    frozen = study.get_trials(states=[TrialState.RUNNING])[0]
    pieces = [text for key, text in frozen.system_attrs.items() if key.startswith("tpe:relative_params")]
    assert max(map(len, pieces)) <= 2045
    assert set(names) == set(TPESampler()._get_params(frozen, study))
    assert frozen.user_attrs[PARAMS] == TPESampler()._get_params(frozen, study)


def test_trials_are_read_and_not_changed():
    """Deciding on a trial leaves every other trial as it was."""
    study = run(LLMTPESampler(ScriptedAdvisor(random_points), space=SPACE, seed=0), 8)
    before = copy.deepcopy(study.trials)
    study.optimize(objective, n_trials=4)
    assert before == study.trials[:8]


class _OddStorage(InMemoryStorage):
    """Newest trials first, as some storages have them, and ids that are text."""

    def create_new_trial(self, study_id, template_trial=None):
        return str(super().create_new_trial(study_id, template_trial))

    def get_trial(self, trial_id):
        return self._renamed(super().get_trial(int(trial_id)))

    def get_all_trials(self, study_id, deepcopy=True, states=None):
        trials = super().get_all_trials(study_id, deepcopy=deepcopy, states=states)
        return [self._renamed(trial) for trial in reversed(trials)]

    def _renamed(self, trial):
        trial = copy.copy(trial)
        trial._trial_id = str(trial._trial_id)
        return trial


def _with_int_id(name):
    def method(self, trial_id, *args, **kwargs):
        return getattr(InMemoryStorage, name)(self, int(trial_id), *args, **kwargs)

    return method


for _name in ("set_trial_param", "set_trial_state_values", "set_trial_user_attr", "set_trial_system_attr"):
    setattr(_OddStorage, _name, _with_int_id(_name))


def test_storages_may_return_newest_trials_first_and_text_ids():
    """The history that is told is in order of the numbers, and each turn is one trial's, in any storage."""
    advisor = ScriptedAdvisor(random_points)
    sampler = LLMSampler(advisor, space=SPACE, partner=RandomSampler(), seed=0)
    odd = run(sampler, 12, storage=_OddStorage())
    usual = run(LLMSampler(ScriptedAdvisor(random_points), space=SPACE, partner=RandomSampler(), seed=0), 12)
    assert list(range(12)) == sorted(trial.system_attrs[TURN]["turn"] for trial in odd.trials)
    for request in advisor.requests:
        assert list(range(request.turn)) == [observation.number for observation in request.history]
    assert served(usual) == sorted(served(odd), key=served(usual).index)


def test_one_sampler_for_two_studies_tells_each_its_own_history():
    """A sampler that served one study tells the advisor nothing of it in the next one."""
    advisor = ScriptedAdvisor(random_points)
    sampler = LLMSampler(advisor, space=SPACE, partner=RandomSampler(), init="default", seed=0)
    run(sampler, 4)
    advisor.requests.clear()
    second = run(sampler, 4, lambda trial: objective(trial) + 1000.0)
    told = [observation.value for observation in advisor.requests[-1].history]
    assert [trial.value for trial in second.trials[:3]] == told


# The partner.


class _Counting(RandomSampler):
    def __init__(self):
        super().__init__()
        self.calls = []

    def before_trial(self, study, trial):
        self.calls.append(("before", trial.number))

    def after_trial(self, study, trial, state, values):
        self.calls.append(("after", trial.number, state.name))

    def reseed_rng(self):
        self.calls.append("reseed")


def test_studies_side_by_side_in_memory_do_not_mix_their_trials():
    """Each numbers its trials from 0, and what the user gave in one is nothing to the other."""
    sampler = LLMTPESampler(ScriptedAdvisor(random_points), seed=3)
    study, other = (optuna.create_study(sampler=sampler) for _ in range(2))
    other.enqueue_trial({"lr": 0.5})
    trial = study.ask()
    other.ask()
    objective(trial)
    alone = optuna.create_study(sampler=LLMTPESampler(ScriptedAdvisor(random_points), seed=3)).ask()
    objective(alone)
    assert trial.params == alone.params


def test_hooks_reach_the_partner_once_per_trial():
    """Before and after each trial, failed and interrupted ones too, the partner's hook is called exactly once."""
    partner = _Counting()
    study = study_of(LLMTPESampler(ScriptedAdvisor(random_points), space=SPACE, partner=partner, seed=0))

    def flaky(trial):
        objective(trial)
        if trial.number == 1:
            raise RuntimeError
        if trial.number == 2:
            raise KeyboardInterrupt
        return 0.0

    with pytest.raises(KeyboardInterrupt):
        study.optimize(flaky, n_trials=3, catch=(RuntimeError,))
    states = ["COMPLETE", "FAIL", "FAIL"]
    expected = [(("before", number), ("after", number, state)) for number, state in enumerate(states)]
    assert list(itertools.chain(*expected)) == partner.calls
    study.sampler.reseed_rng()
    assert "reseed" == partner.calls[-1]


PARTNERS = {
    "random": lambda: RandomSampler(),
    "tpe": lambda: TPESampler(multivariate=False),
    "cma": lambda: CmaEsSampler(n_startup_trials=4),
    "qmc": lambda: QMCSampler(seed=1, warn_asynchronous_seeding=False),
}


@pytest.mark.parametrize("name", list(PARTNERS))
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_any_sampler_of_optuna_can_be_the_partner(name):
    """Other partners serve their trials under their own names, the same ones for the same seed."""
    first, second = (
        run(LLMTPESampler(ScriptedAdvisor(random_points), space=SPACE, partner=PARTNERS[name](), seed=5), 25)
        for _ in range(2)
    )
    assert served(first) == served(second)
    assert {"default", "scripted", name} == set(sources(first))
    assert len({str(trial.params) for trial in first.trials}) == 25


# Determinism.

_SCRIPT = """
import json, optuna, sys
from sllmbo._random import generator
from sllmbo.samplers import LLMTPESampler
from sllmbo.testing import ScriptedAdvisor
def points(request):
    rng = generator(request.seed, "points", request.turn)
    return [request.space.sample(rng) for _ in range(request.n)]
def objective(trial):
    kind = trial.suggest_categorical("kind", ["a", "b", "c"])
    x = sum(trial.suggest_float(f"x{i}", -1, 1) ** 2 for i in range(4))
    return x + (trial.suggest_int("n", 1, 9) if kind == "a" else trial.suggest_float("s", 1e-3, 1, log=True))
study = optuna.create_study(sampler=LLMTPESampler(ScriptedAdvisor(points), seed=7))
study.optimize(objective, n_trials=25)
print(json.dumps([[t.params, t.values, t.user_attrs] for t in study.trials]))
"""


def test_same_seed_gives_the_same_trials_in_another_process():
    """The same seed and replies give the same trials and records under any hash seed."""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", _SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert 25 == len(json.loads(outputs[0]))


def test_another_seed_gives_other_trials():
    """The seed matters."""
    one, other = (run(LLMTPESampler(ScriptedAdvisor(random_points), space=SPACE, seed=seed)) for seed in (0, 1))
    assert served(one)[1:] != served(other)[1:]


def test_partially_given_trials_draw_numbers_of_their_own():
    """What the partner fills in for an enqueued trial is not drawn again for the trial whose turn has its number."""
    study = study_of(AdvisedSampler(None, seed=0))
    for kind in "ab":
        study.enqueue_trial({"kind": kind})
    study.optimize(objective, n_trials=4)
    assert 4 == len({trial.params["lr"] for trial in study.trials})


# Wrappers.


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_inside_a_partial_fixed_sampler_the_fixed_value_holds():
    """A parameter that PartialFixedSampler holds keeps its value, and the others are the advisor's."""
    sampler = LLMSampler(ScriptedAdvisor(GOOD), space=SPACE, init="default", seed=0)
    study = run(PartialFixedSampler({"depth": 9}, sampler), 2)
    assert [{**DEFAULT, "depth": 9}, {**GOOD, "depth": 9}] == [trial.params for trial in study.trials]


def test_with_hyperband_each_turn_is_still_one_trials():
    """Under HyperbandPruner, which shows samplers a part of the study, turns, order and the default hold."""
    advisor = ScriptedAdvisor(random_points)

    def reporting(trial):
        value = objective(trial)
        for step in range(1, 10):
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9)
    study = run(LLMTPESampler(advisor, space=SPACE, seed=0), 30, reporting, pruner=pruner)
    assert list(range(30)) == [trial.system_attrs[TURN]["turn"] for trial in study.trials]
    assert 1 == sources(study).count("default")
    assert {TrialState.COMPLETE, TrialState.PRUNED} == {trial.state for trial in study.trials}
    assert all(list(range(r.turn)) == [o.number for o in r.history] for r in advisor.requests)
    assert {"complete", "pruned"} == {observation.state for observation in advisor.requests[-1].history}


# Objectives and constraints.


def test_several_objectives_are_told_by_name():
    """In a study with two directions the advisor is told the second one, and each trial's values beside its rank."""
    advisor = ScriptedAdvisor(random_points)
    study = study_of(LLMTPESampler(advisor, space=SPACE), directions=["minimize", "maximize"])
    study.optimize(lambda trial: (objective(trial), 0.0), n_trials=8)
    request = advisor.requests[-1]
    assert ("minimize", {"objective_1": "maximize"}) == (request.task.direction, request.task.objectives)
    assert all({"objective_0", "objective_1"} <= o.details.keys() for o in request.history.complete())
    assert {t.number for t in study.best_trials} == {o.number for o in study_history(study) if o.value < 1.0}


def test_infeasible_trials_are_told_as_failed():
    """A complete trial that breaks a constraint is told to the advisor as failed, with the constraint and no value."""
    advisor = ScriptedAdvisor(random_points)

    def constrained(trial):
        trial.set_constraint("memory", 3.5 if trial.number == 0 else -1.0)
        return objective(trial)

    run(LLMSampler(advisor, space=SPACE, init="default", seed=0), 3, constrained)
    infeasible, feasible = advisor.requests[-1].history
    assert ("failed", None) == (infeasible.state, infeasible.value)
    assert "infeasible: memory is 3.5 over" == infeasible.reason
    assert "complete" == feasible.state


def test_failed_trials_are_told_with_class_and_message():
    """An exception of the objective reaches the advisor as class and message; a NaN says that it was one."""
    advisor = ScriptedAdvisor(random_points)

    def failing(trial):
        objective(trial)
        if trial.number == 0:
            raise MemoryError("out of\nmemory")
        return float("nan")

    run(LLMSampler(advisor, space=SPACE, init="default", seed=0), 3, failing)
    assert ["failed", "failed"] == [observation.state for observation in advisor.requests[-1].history]
    assert "MemoryError: out of memory" == advisor.requests[-1].history[0].reason
    assert "no finite number" in advisor.requests[-1].history[1].reason


def test_a_trial_that_failed_early_does_not_rule_out_all_that_begins_alike():
    """Where a trial fails after its first parameter, another configuration with that value may still be tried."""

    def early(trial):
        if trial.suggest_categorical("kind", ["a", "b"]) == "b" and trial.number == 1:
            raise MemoryError
        return objective(trial)

    advisor = ScriptedAdvisor(lambda request: {**GOOD, "depth": 1 + request.turn})
    study = run(LLMSampler(advisor, space=SPACE, init="default", seed=0), 3, early)
    assert ["default", "scripted", "scripted"] == sources(study)
    assert [DEFAULT, {**GOOD, "depth": 2}] == [observation.params for observation in advisor.requests[-1].history]


def test_a_trial_that_was_pruned_early_does_not_rule_out_all_that_begins_alike():
    """The same where a pruner stops it."""

    def early(trial):
        if trial.suggest_categorical("kind", ["a", "b"]) == "b" and trial.number == 1:
            raise optuna.TrialPruned
        return objective(trial)

    advisor = ScriptedAdvisor(lambda request: {**GOOD, "depth": 1 + request.turn})
    study = run(LLMSampler(advisor, space=SPACE, init="default", seed=0), 4, early)
    assert ["default", *["scripted"] * 3] == sources(study)


def test_a_study_that_gains_a_parameter_goes_on_with_its_advisor():
    """Trials from before a parameter was there do not rule out what begins like them, nor what came later."""
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    study.optimize(lambda trial: len(trial.suggest_categorical("kind", ["a", "b"])), n_trials=6)
    study.sampler = LLMSampler(
        ScriptedAdvisor(lambda request: {**GOOD, "depth": 1 + request.turn // 2}), space=SPACE, init="default", seed=0
    )
    study.optimize(objective, n_trials=5)
    assert ["default", "scripted", "scripted", "tpe", "scripted"] == sources(study)[6:]


def test_a_step_too_fine_for_a_parameter_is_the_partners():
    """What no parameter of ours can express is sampled all the same."""
    study = run(LLMTPESampler(ScriptedAdvisor({}), seed=0), 4, lambda t: t.suggest_float("x", 0, 100, step=1e-6))
    assert ["tpe"] * 4 == sources(study)


def test_of_an_opening_without_a_space_new_parameters_are_the_partners():
    """A parameter that comes up on another branch does not undo what was proposed for the others."""

    def grows(trial):
        trial.suggest_float("y", 0, 1)
        return trial.suggest_float("x", 0, 1) + (trial.suggest_int("n", 1, 100) if trial.number == 2 else 0)

    advisor = ScriptedAdvisor(lambda request: [{"x": k / 10, "y": k / 10} for k in range(1, 1 + request.n)])
    study = run(LLMTPESampler(advisor, n_opening=5, seed=0), 5, grows)
    assert ["tpe", *["scripted"] * 4] == sources(study)
    assert [0.1, 0.2, 0.3, 0.4] == [trial.params["x"] for trial in study.trials[1:]]


def test_a_failed_point_is_not_tried_again():
    """A point that failed is turned down when it comes again, also where the objective used a part of it alone."""

    def failing(trial):
        if trial.suggest_categorical("x", [True, False]):
            raise ValueError
        return trial.suggest_float("y", 0, 1)

    space = SearchSpace({"x": Categorical([True, False], default=False), "y": Float(0.0, 1.0, default=0.5)})
    study = run(LLMSampler(ScriptedAdvisor({"x": True, "y": 0.25}), space=space, init="default", seed=0), 6, failing)
    assert 1 == sources(study).count("scripted")


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_advisors_leave_a_complete_study(name):
    """With any hostile advisor every trial completes inside the space, and no point is tried twice on its word."""
    study = run(LLMTPESampler(HOSTILE[name](), space=SPACE, seed=0), 30)
    assert {TrialState.COMPLETE} == {trial.state for trial in study.trials}
    assert all(SPACE.contains(trial.params) for trial in study.trials)
    advised = [str(trial.params) for trial in study.trials if PARAMS in trial.user_attrs]
    assert len(advised) == len(set(advised))


# Pickle and resume.


def test_a_used_sampler_pickles_and_goes_on_as_before():
    """A sampler pickled in the middle of a study serves the rest of it as the original would."""
    whole = run(
        LLMTPESampler(ScriptedAdvisor(random_points), space=SPACE, mixing=Bernoulli(0.5), judging=False, seed=2), 20
    )
    study = run(
        LLMTPESampler(ScriptedAdvisor(random_points), space=SPACE, mixing=Bernoulli(0.5), judging=False, seed=2), 9
    )
    study.ask().suggest_float("lr", 1e-4, 1.0, log=True)  # one is open when it is pickled
    study.tell(9, state=TrialState.FAIL)
    study = pickle.loads(pickle.dumps(study))
    assert pickle.loads(pickle.dumps(study.sampler))._seed == 2
    study.optimize(objective, n_trials=10)
    assert [t.user_attrs[SOURCE] for t in whole.trials] == sources(study)


@pytest.mark.parametrize("cut", [1, 3, 9, 14])
def test_a_new_sampler_object_goes_on_where_the_last_one_stopped(cut):
    """A study continued by new sampler objects has the trials of one that was run through."""
    storage = InMemoryStorage()

    def sampler():
        return LLMTPESampler(ScriptedAdvisor(random_points), space=SPACE, seed=4)

    whole = run(sampler(), 20)
    study = run(sampler(), cut, storage=storage, study_name="s")
    study = optuna.load_study(study_name="s", storage=storage, sampler=sampler())
    study.optimize(objective, n_trials=20 - cut)
    assert served(whole) == served(study)


def test_a_trial_may_be_served_and_told_by_other_sampler_objects():
    """Ask, suggest and tell may each meet another sampler object: the trial keeps its turn and its decision."""
    storage = InMemoryStorage()

    def study():
        advisor = ScriptedAdvisor(random_points)
        return optuna.create_study(
            study_name="s",
            storage=storage,
            load_if_exists=True,
            sampler=LLMSampler(advisor, space=SPACE, init="default", seed=0),
        )

    for _ in range(4):
        asked = study().ask()
        trial = optuna.Trial.__new__(optuna.Trial)
        trial.__dict__.update(asked.__dict__, study=study())
        value = objective(trial)
        study().tell(asked.number, value)
    whole = run(LLMSampler(ScriptedAdvisor(random_points), space=SPACE, init="default", seed=0), 4)
    assert served(whole) == served(study())


def test_what_is_open_is_forgotten_when_others_tell():
    """A sampler whose trials are told by another process does not keep them for ever."""
    storage = InMemoryStorage()
    sampler = LLMTPESampler(ScriptedAdvisor(random_points), space=SPACE, seed=0)
    study = study_of(sampler, storage=storage, study_name="s")
    other = optuna.load_study(study_name="s", storage=storage, sampler=RandomSampler())
    for _ in range(30):
        trial = study.ask()
        objective(trial)
        other.tell(trial.number, 1.0)
    assert len(sampler._open) <= 2


# Arguments.


@pytest.mark.parametrize(
    "arguments", [{"init": "best"}, {"on_failure": "ignore"}, {"n_opening": 0}, {"n_candidates": 0}]
)
def test_wrong_arguments_are_refused(arguments):
    """An argument that breaks a rule is refused at once, with the value in the message."""
    with pytest.raises(ConfigError, match=next(iter(map(str, arguments.values())))):
        LLMSampler(ScriptedAdvisor({}), **arguments)


def test_optunas_distributions_may_declare_the_space():
    """A space of Optuna's distributions is the same as ours without defaults: the opening begins at once."""
    space = {"lr": FloatDistribution(1e-4, 1.0, log=True), "depth": IntDistribution(1, 10)}
    advisor = ScriptedAdvisor(random_points)
    study = run(LLMTPESampler(advisor, space=space, task=Task(metric="f1"), seed=0), 2)
    assert ["scripted", "scripted"] == sources(study)
    assert ["lr", "depth"] == list(advisor.requests[0].space)
    assert ("opening", "minimize", "f1") == (
        advisor.requests[0].purpose,
        advisor.requests[0].task.direction,
        advisor.requests[0].task.metric,
    )


def test_turned_down_candidates_are_recorded():
    """Candidates that repeat a trial or cannot be used are passed over, and the trial says so."""
    trial = one_trial(lambda request: [DEFAULT, {"lr": "fast"}, GOOD])
    assert GOOD == trial.params
    assert 2 == len(trial.user_attrs[TURNED_DOWN])
    assert "repeats trial 0" in trial.user_attrs[TURNED_DOWN][0]


def test_rules_that_do_not_know_the_task_do_not_warn(caplog):
    """Without a declared space, a task that the rules do not know gives the first trial to the partner in silence."""
    study = optuna.create_study(sampler=LLMTPESampler(llm="offline", task="a toy", seed=0))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=4)

    assert ["tpe", "rules", "rules", "rules"] == [trial.user_attrs["sllmbo:source"] for trial in study.trials]
    assert [] == [record for record in caplog.records if record.name == "sllmbo"]
