"""
Edits of the search space during a study: on what evidence, how far, and what becomes of them.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution, IntDistribution

import sllmbo
from sllmbo import Categorical, Float, Int, SearchSpace, Task
from sllmbo.advisors import Advice, SpaceDesign
from sllmbo.advisors.rules import RuleAdvisor
from sllmbo.errors import SpaceError
from sllmbo.history import History, Observation
from sllmbo.samplers import AdvisedSampler, Bernoulli
from sllmbo.samplers._convert import cut
from sllmbo.samplers._edits import ON_TRIAL, box_of, edits_before
from sllmbo.samplers._record import EDITS, SOURCE, TURNED_DOWN, edits_of
from sllmbo.samplers._turns import TURN
from sllmbo.space import SpaceEdit
from sllmbo.space.edits import leeways, settled, with_bounds
from sllmbo.testing import HOSTILE, ScriptedAdvisor
from sllmbo.tuner.result import trial_records

RATE = SearchSpace({"rate": Float(0.001, 0.1, log=True, default=0.01)})


def history(values, *, name="rate", direction="minimize"):
    """A history whose losses are the order of *values*, the best first."""
    observations = [Observation(n, {name: v}, state="complete", value=float(n)) for n, v in enumerate(values)]
    return History(direction, tuple(observations))


def test_without_evidence_nothing_may_be_edited():
    """Good trials all over the range, or too few of any, give no leeway."""
    spread = list(np.geomspace(0.002, 0.05, 7))
    assert leeways(RATE, history(spread), widen=True) == {}
    assert leeways(RATE, history([0.002, 0.05, 0.01, 0.03] * 5), widen=True) == {}


def test_trials_at_a_bound_let_it_move_outwards_by_a_quarter_of_the_scale():
    """Two of the best quarter within 5 % of the high bound: from 0.1 to a quarter of two decades more."""
    crowd = [0.099, 0.098, *np.geomspace(0.001, 0.05, 8)]
    leeway = leeways(RATE, history(crowd), widen=True)["rate"]
    assert leeway.low == (0.001, 0.001)
    assert leeway.high[0] == 0.1
    assert leeway.high[1] == pytest.approx(0.1 * 10**0.5, rel=1e-3)
    assert "2 of the best 3 at the high bound" in leeway.evidence
    assert leeways(RATE, history(crowd), widen=False) == {}


def test_trials_close_together_let_the_bounds_move_inwards_but_not_onto_them():
    """The best quarter in a tenth of the scale: a quarter of it remains, with the best trials inside."""
    close = [0.01, 0.011, 0.009, *np.geomspace(0.001, 0.1, 9)]
    leeway = leeways(RATE, history(close), widen=True)["rate"]
    low, high = leeway.low[1], leeway.high[0]
    assert low < 0.009 < 0.011 < high
    assert 0.25 <= math.log(high / low) / math.log(100) < 0.3


@pytest.mark.parametrize(
    ("parameter", "values", "bounds"),
    [
        (Float(0.5, 1.0), [1.0, 0.99], (0.5, 1.0)),
        (Float(0.0, 5.0), [0.0, 0.1], (0.0, 5.0)),
        (Float(0.1, 0.9), [0.9, 0.89], (0.1, 1.0)),
        (Int(2, 300, log=True), [2, 2], (2, 300)),
        (Int(1, 100, log=True, limit=160), [100, 99], (1, 160)),
        (Int(1, 100, log=True, limit=100), [100, 99], (1, 100)),
        (Int(5, 300, log=True), [5, 5], (2, 300)),
        (Int(10, 100), [100, 99], (10, 122)),
    ],
)
def test_no_bound_moves_across_a_natural_end(parameter, values, bounds):
    """Shares end at 0 and 1 and counts at 2, whatever crowds there."""
    space = SearchSpace({"p": parameter})
    rest = [parameter.from_unit(u) for u in (0.1, 0.3, 0.5, 0.6, 0.7, 0.9)]
    leeway = leeways(space, history([*values, *rest], name="p"), widen=True).get("p")
    lowest, highest = (leeway.low[0], leeway.high[1]) if leeway else (parameter.low, parameter.high)
    assert bounds == (lowest, highest)


def test_categories_steps_and_closed_parameters_are_not_edited():
    """Only plain numbers have bounds that may move."""
    space = SearchSpace({"c": Categorical(["a", "b"]), "s": Float(0, 1, step=0.25), "x": Float(2.0, 4.0)})
    values = [{"c": "a", "s": 0.0, "x": 4.0 - n / 100} for n in range(12)]
    told = History("minimize", tuple(Observation(n, v, state="complete", value=n) for n, v in enumerate(values)))
    assert list(leeways(space, told, widen=True)) == ["x"]
    assert leeways(space, told, widen=True, closed={"x"}) == {}


@given(
    st.lists(st.floats(0.001, 0.1), min_size=1, max_size=40),
    st.floats() | st.floats(0, 1),
    st.floats() | st.floats(0, 1),
)
def test_an_edit_keeps_the_best_trials_and_a_quarter_of_the_scale(values, low, high):
    """Whatever is asked for, the bounds that come of it are proper, limited, and hold the best quarter."""
    told = history(values)
    open_ = leeways(RATE, told, widen=True)
    try:
        edit = settled(SpaceEdit("rate", low, high), RATE, open_)
    except SpaceError:
        return
    edited = with_bounds(RATE, "rate", edit.low, edit.high)["rate"]
    best = [o.params["rate"] for o in told.ranked()][: max(2, math.ceil(len(values) / 4))]
    assert all(edited.contains(value) for value in best)
    width = math.log(edited.high / edited.low) / math.log(100)
    assert 0.2499 <= width <= 1.5001


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (SpaceEdit("depth", 1, 2), "may not be edited now"),
        (SpaceEdit("rate", math.nan, 0.1), "no finite number"),
        (SpaceEdit("rate", 0.001, 0.1), "change nothing"),
    ],
)
def test_edits_that_cannot_be_made_are_refused_in_a_sentence(edit, reason):
    """An unknown parameter, a bound that is no number, and no change at all."""
    open_ = leeways(RATE, history([0.01, 0.011, 0.009, *np.geomspace(0.001, 0.1, 9)]), widen=True)
    with pytest.raises(SpaceError, match=reason):
        settled(edit, RATE, open_)


# In a study.

SPACE = SearchSpace({"x": Float(1.5, 5.0, default=2.0), "y": Float(-3.0, 3.0, default=-2.0)})


def beyond(params):
    """A bowl whose best x, 6, lies beyond the space, and whose best y is 1."""
    return (params["x"] - 6.0) ** 2 + (params["y"] - 1.0) ** 2


def nowhere(params):
    """A bowl inside the space, with a hole at the bound that nothing beyond it improves on."""
    return abs(params["x"] - 4.9) + (100.0 if params["x"] > 5.0 else 0.0) + abs(params["y"] - 1.0)


class Edges(ScriptedAdvisor):
    """Proposes the upper edge of x with y about 1, and takes every leeway to widen."""

    def __init__(self):
        super().__init__(self.answer, space=SPACE)

    def answer(self, request):
        rng = np.random.default_rng(request.turn)
        x = request.space["x"].from_unit(1.0 - 0.03 * rng.random())
        edits = [SpaceEdit(n, w.low[0], w.high[1], "more of it") for n, w in request.leeways.items() if n == "x"]
        params = {"x": x, "y": 1.0 + 0.2 * rng.standard_normal()}
        return Advice(params=params, source="scripted", origin="scripted", edits=tuple(edits))


def tuned(objective, n_trials, *, advisor=None, cut_at=(), **arguments):
    """A study by `Tuner`, in which the trials at the numbers in *cut_at* are killed and taken over."""
    options = {"task": Task(direction="minimize"), "seed": 1, "mixing": Bernoulli(0.5), "init": "default"} | arguments
    tuner = sllmbo.Tuner(llm=advisor if advisor is not None else Edges(), **options)
    done = 0
    while done < n_trials:
        trial = tuner.ask()
        if trial.number in cut_at:
            tuner.abandon(trial)
            continue
        tuner.tell(trial, objective(trial.params))
        done += 1
    return tuner.study


def all_edits(study):
    return [edit for trial in study.trials for edit in edits_of(trial.user_attrs)]


def served(study):
    finished = [t for t in study.trials if t.state.is_finished() and SOURCE in t.user_attrs]
    return [(t.user_attrs[SOURCE], t.params, t.user_attrs.get(EDITS)) for t in finished if t.value is not None]


def test_a_designed_range_is_widened_to_where_the_best_lies():
    """The advisor widens x, both sides use the new range, and TPE goes on sampling it jointly."""
    study = tuned(beyond, 50)
    edits = all_edits(study)
    assert [edit.undoes for edit in edits] == [False, False]
    assert {"x"} == {edit.parameter for edit in edits}
    assert study.best_params["x"] > 5.5
    first = next(t.number for t in study.trials if EDITS in t.user_attrs)
    later = study.trials[first + 1 :]
    assert any(t.params["x"] > 5.0 for t in later if t.user_attrs[SOURCE] == "tpe")
    assert all(t.params["x"] <= 5.0 for t in study.trials[: first + 1])
    joint = study.sampler.infer_relative_search_space(study, study.ask()._cached_frozen_trial)
    assert joint["x"].high == max(edit.high for edit in edits)


def test_an_edit_that_does_not_pay_is_undone():
    """Nothing beyond the bound is any good: after 8 trials the range is as before, and stays so."""
    study = tuned(nowhere, 45)
    widened, undone = all_edits(study)
    assert undone.undoes
    assert (undone.low, undone.high) == (widened.old_low, widened.old_high) == (1.5, 5.0)
    numbers = [t.number for t in study.trials if EDITS in t.user_attrs]
    assert numbers[1] - numbers[0] == ON_TRIAL + 1
    assert all(t.params["x"] <= 5.0 for t in study.trials[numbers[1] :])
    assert any(t.params["x"] > 5.0 for t in study.trials[: numbers[1]])


@pytest.mark.parametrize("arguments", [{"space": SPACE}, {"fixed_space": True}])
def test_a_given_range_is_not_widened_and_a_fixed_one_not_edited(arguments):
    """What the user gave holds the user's bounds; --fixed-space says that nothing is edited."""
    study = tuned(beyond, 30, **arguments)
    assert all(1.5 <= trial.params["x"] <= 5.0 for trial in study.trials)
    assert not [edit for edit in all_edits(study) if edit.high > 5.0 or edit.low < 1.5]


def narrowed(seed=0, n_trials=40, **arguments):
    options = {"space": SPACE, "init": "default", "seed": seed, "mixing": Bernoulli(0.5)} | arguments
    sampler = sllmbo.LLMTPESampler(HOSTILE["narrower"](), **options)
    study = optuna.create_study(sampler=sampler)
    study.optimize(
        lambda trial: (trial.suggest_float("x", 1.5, 5.0) - 3.0) ** 2 + trial.suggest_float("y", -3.0, 3.0) ** 2,
        n_trials=n_trials,
    )
    return study


@pytest.mark.parametrize(
    ("given", "narrowed", "expected"),
    [
        (IntDistribution(0, 100, step=10), Int(18, 42), IntDistribution(20, 40, step=10)),
        (IntDistribution(5, 95, step=10), Int(25, 200), IntDistribution(25, 95, step=10)),
        (FloatDistribution(0.1, 0.9, step=0.1), Float(0.25, 0.7), FloatDistribution(0.3, 0.7, step=0.1)),
        (FloatDistribution(0.1, 0.9), Float(0.25, 0.7), FloatDistribution(0.25, 0.7)),
        (IntDistribution(0, 100, step=10), Int(21, 29), IntDistribution(0, 100, step=10)),
    ],
)
def test_a_narrowed_range_keeps_the_steps_of_the_objective(given, narrowed, expected):
    """What is drawn from it lies on the objective's grid; as it is where no step lies inside."""
    cut_down = cut(given, narrowed)
    assert type(expected) is type(cut_down)
    assert (cut_down.low, cut_down.high, cut_down.step) == pytest.approx((expected.low, expected.high, expected.step))


def test_in_a_narrowed_range_both_sides_stay_until_it_is_undone():
    """Also where the objective suggests its own ranges: the trials keep them, and are drawn from the narrowed ones."""
    study = narrowed()
    assert all_edits(study)
    for trial in study.trials:
        told = [Observation(t.number, t.params, state="complete", value=t.value) for t in study.trials[: trial.number]]
        box = box_of(SPACE, study.trials, History("minimize", tuple(told)), before=trial.number, edits="narrow")
        assert box.present.contains(trial.params), trial.number
        assert trial.distributions["x"] == optuna.distributions.FloatDistribution(1.5, 5.0)
    assert any(trial.user_attrs[SOURCE] == "tpe" for trial in study.trials[20:])


def test_one_batch_is_on_trial_at_a_time_and_no_parameter_is_edited_more_than_twice():
    """The narrower asks each time, and gets few edits, 8 trials apart."""
    study = narrowed(n_trials=80)
    numbers = [t.number for t in study.trials if any(not e.undoes for e in edits_of(t.user_attrs))]
    assert all(later - earlier > ON_TRIAL for earlier, later in pairwise(numbers))
    names = [edit.parameter for edit in all_edits(study) if not edit.undoes]
    assert max(map(names.count, names)) <= 2
    undone = [edit.parameter for edit in all_edits(study) if edit.undoes]
    assert len(set(undone)) == len(undone)


@pytest.mark.parametrize("objective", [beyond, nowhere])
def test_a_cut_study_ends_like_an_uncut_one(objective):
    """Edits, undone ones too, are taken over with the turn of a trial that was killed."""
    uncut = served(tuned(objective, 40))
    cut = served(tuned(objective, 40, cut_at=range(3, 50, 7)))
    assert any(edits for *_, edits in uncut)
    assert uncut == cut


def test_another_process_reads_the_same_edits(tmp_path):
    """The space of a turn follows from the stored trials alone."""
    arguments = {"storage": f"sqlite:///{tmp_path / 'study.db'}", "study_name": "s"}
    tuned(beyond, 25, **arguments)
    resumed = tuned(beyond, 15, **arguments)
    assert served(tuned(beyond, 40)) == served(resumed)
    assert edits_before(resumed.trials, 25)


def test_a_study_without_edits_is_the_same_whether_they_are_allowed_or_not():
    """An advisor that edits nothing costs nothing: draw for draw the same."""

    def points(request):
        return request.space.sample(np.random.default_rng(request.turn))

    studies = [tuned(beyond, 40, advisor=ScriptedAdvisor(points, space=SPACE), fixed_space=f) for f in (True, False)]
    assert served(studies[0]) == served(studies[1])


def test_refused_edits_are_told_and_the_trial_runs():
    """An edit without evidence is refused with the reason on the trial, and the candidate is evaluated."""
    eager = Advice(params={"x": 2.5, "y": 0.0}, source="scripted", edits=(SpaceEdit("x", 2.0, 3.0),))
    study = optuna.create_study(
        sampler=AdvisedSampler(
            ScriptedAdvisor(eager), space=SPACE, init="default", mixing=Bernoulli(1.0), edits="narrow", seed=0
        )
    )
    study.optimize(lambda t: t.suggest_float("x", 1.5, 5.0) + t.suggest_float("y", -3, 3), n_trials=2)
    assert study.trials[1].params == {"x": 2.5, "y": 0.0}
    assert "may not be edited now" in study.trials[1].user_attrs[TURNED_DOWN][0]


def test_edits_stand_in_the_records_of_the_trials():
    """What trials.csv and the terminal show: parameter, bounds, who and why."""
    told = [record["edits"] for record in trial_records(tuned(nowhere, 45)) if record["edits"]]
    assert told[0].startswith("x from 1.5 .. 5 to 1.5 .. 5.875 (scripted: more of it)")
    assert "back to 1.5 .. 5" in told[1]


def test_the_rules_widen_what_they_designed():
    """Without a chat model a range that the best trials crowd at is widened, and nothing is narrowed."""
    space = SearchSpace({"learning_rate": Float(0.01, 0.3, log=True, default=0.1), "reg_lambda": Float(0.0, 5.0)})

    class Designer(RuleAdvisor):
        def design_space(self, task):
            return SpaceDesign(space=space)

    def steep(params):
        return (math.log(params["learning_rate"] / 0.6)) ** 2 + 0.01 * params["reg_lambda"]

    task = Task(description="boosting", direction="minimize")
    study = tuned(steep, 40, advisor=Designer(), task=task)
    edits = [edit for edit in all_edits(study) if not edit.undoes]
    assert edits
    assert {"rules"} == {edit.source for edit in edits}
    assert all(edit.low <= edit.old_low and edit.high >= edit.old_high for edit in edits)
    assert study.best_params["learning_rate"] > 0.3


def test_of_workers_that_edit_at_the_same_time_one_counts():
    """Two processes took the same leeway before either saw the other: the second edit is never in force."""

    def trial(number, low=None):
        edit = {"parameter": "x", "low": low, "high": 5.0, "old_low": 1.5, "old_high": 5.0, "reason": "", "source": "a"}
        made = optuna.trial.create_trial(
            params={"x": 4.0, "y": 0.0},
            distributions={name: optuna.distributions.FloatDistribution(p.low, p.high) for name, p in SPACE.items()},
            value=1.0,
            user_attrs={EDITS: [edit]} if low else {},
            system_attrs={TURN: {"number": number, "turn": number}},
        )
        made.number = number
        return made

    trials = [trial(0), trial(1, 2.0), trial(2, 3.0), *map(trial, range(3, 6))]
    told = history([4.0] * 6, name="x")
    assert [2.0] == [edit.low for edit in edits_before(trials, 6)]
    assert box_of(SPACE, trials, told, before=6, edits="narrow").present["x"].low == 2.0
    later = [*map(trial, range(9)), trial(9, 2.0), *map(trial, range(10, 18)), trial(18, 3.0)]
    assert [2.0, 3.0] == [edit.low for edit in edits_before(later, 19)]
