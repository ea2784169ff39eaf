"""
Choosing the winner under noise: the choice is better than the best single value, its interval is honest, and a
deterministic objective pays two evaluations.
"""

import numpy as np
import optuna
import pytest

from sllmbo.choosing import choose, next_repeat
from sllmbo.errors import ConfigError
from sllmbo.history import History, Observation
from sllmbo.samplers import Adaptive, AdvisedSampler, LLMTPESampler, chosen
from sllmbo.samplers._record import SOURCE
from sllmbo.samplers._turns import abandon
from sllmbo.space import Float, SearchSpace
from sllmbo.task import Task
from sllmbo.testing import ScriptedAdvisor
from sllmbo.tuner import Tuner
from sllmbo.worth import measure_worth

SPACE = SearchSpace({"x": Float(-1.0, 1.0, default=0.9), "y": Float(-1.0, 1.0, default=0.9)})
N = 50


def truth(params):
    return params["x"] ** 2 + params["y"] ** 2


def history(*trials, direction="minimize"):
    """Trials as (x, value) or (x, value, state)."""
    made = [
        Observation(number, {"x": x}, state=state, value=value if state == "complete" else None)
        for number, (x, value, state) in enumerate((*trial, "complete")[:3] for trial in trials)
    ]
    return History(direction, tuple(made))


def sampler(seed=0, n_trials=N, **arguments):
    task = Task(direction="minimize", n_trials=n_trials)
    return AdvisedSampler(None, task=task, space=SPACE, init="default", seed=seed, **{"repeats": True, **arguments})


class Bowl:
    """A bowl whose values are noisy, each repeat of a configuration with a draw of its own."""

    def __init__(self, noise, seed=0):
        self.noise, self.seed, self.rng = noise, seed, np.random.default_rng(seed)

    def __call__(self, trial):
        params = {name: trial.suggest_float(name, -1.0, 1.0) for name in SPACE}
        return truth(params) + self.noise * self.rng.standard_normal()


def run(seed, noise, n_trials=N, **arguments):
    study = optuna.create_study(sampler=sampler(seed, n_trials, **arguments))
    study.optimize(Bowl(noise, seed), n_trials=n_trials)
    return study


def sources(study):
    return [trial.user_attrs[SOURCE] for trial in study.trials]


# The choice.


def test_without_repeats_it_is_the_best_value():
    """Where nothing was evaluated twice nothing is known of noise, and no interval is claimed."""
    choice = choose(history((0.5, 2.0), (0.1, 1.0), (0.2, 1.5)))
    assert (1, {"x": 0.1}, 1.0, None, 0) == (
        choice.trial,
        choice.params,
        choice.value,
        choice.interval,
        choice.repeats,
    )
    assert choose(history((0.5, 0.0, "failed"))) is None


def test_equal_repeats_mean_a_deterministic_objective():
    """Two repeats that come out as before leave the best value the choice, and end repeats; one may be chance."""
    told = ((0.5, 2.0), (0.1, 1.0), (0.2, 1.5), (0.1, 1.0))
    assert next_repeat(history(*told)) is not None
    told = history(*told, (0.2, 1.5))
    assert next_repeat(told) is None
    choice = choose(told)
    assert (1, 1.0, None, 2) == (choice.trial, choice.value, choice.interval, choice.repeats)


def test_a_lucky_value_loses_when_it_is_repeated():
    """The configuration with the best single value is not chosen once its repeats were poor."""
    noise = 0.3 * np.random.default_rng(0).standard_normal(12)
    others = [(0.2 + k / 20, 1.0 + noise[k]) for k in range(12)]
    told = history((0.1, 0.5), *others, (0.1, 1.6), (0.1, 1.7), (0.2, 0.9), (0.2, 1.1))
    choice = choose(told)
    assert {"x": 0.1} != choice.params
    assert choice.interval[0] < choice.value < choice.interval[1]


def test_what_all_second_values_have_in_common_is_taken_off():
    """A hard second set of folds costs the leaders that met it nothing, is no noise, and widens the interval."""
    first = [1.0, 1.1, 1.2, 1.3, 2.0, 2.1, 2.2, 2.3, 3.0, 3.1]
    told = [(k / 20, value) for k, value in enumerate(first)]
    again = [(k / 20, value + 0.02 * (-1) ** k) for k, value in enumerate(first[:4])]
    plain = choose(history(*told, *again))
    choice = choose(history(*told, *[(x, value + 1.5) for x, value in again]))
    assert {"x": 0.0} == plain.params == choice.params
    low, high = choice.interval
    assert plain.interval[1] < high
    assert low < 1.75 < high


def test_what_was_pruned_has_had_its_set_of_folds():
    """A value after a pruned one is compared with the third values of others, not with their second ones."""
    told = history(
        *[(k / 20, float(k)) for k in range(8)],
        *[(0.15, 0.0, "pruned"), (0.0, 10.0), (0.05, 11.0), (0.1, 12.0), (0.15, 3.0)],
    )
    assert {"x": 0.0} == choose(told).params


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_leader_is_repeated_first(direction):
    """The first repeat goes to a good configuration, whichever direction is better."""
    sign = 1.0 if direction == "minimize" else -1.0
    told = history(*[(k / 20, sign * k) for k in range(20)], direction=direction)
    assert next_repeat(told).number < 4


def test_the_choice_is_the_same_upside_down():
    """To maximise the negated values is to minimise them, also for an odd number of configurations."""
    values = [(0, -1.7393165), (1, 0.284021), (2, -0.43616), (3, -1.43557), (4, 0.458772), (0, -1.7379974)]
    one = choose(history(*values))
    other = choose(history(*((x, -value) for x, value in values), direction="maximize"))
    assert (one.trial, one.value, one.repeats) == (other.trial, -other.value, other.repeats)
    assert (one.interval is None) == (other.interval is None)


def test_what_is_running_or_has_failed_is_not_repeated():
    """Of several workers each repeats another configuration, and one that has failed before is left alone."""
    trials = [(k / 20, float(k)) for k in range(20)]
    first = next_repeat(history(*trials)).params["x"]
    for state in ("running", "failed"):
        assert first != next_repeat(history(*trials, (first, 0.0, state))).params["x"]


def test_once_a_repeat_was_pruned_there_are_no_more():
    """Of pruned repeats only the lucky ones would count."""
    told = [(k / 20, float(k)) for k in range(20)]
    assert next_repeat(history(*told)) is not None
    assert next_repeat(history(*told, (0.95, 19.0, "pruned"))) is None


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("huge", [1e308, -1e308])
def test_a_value_too_large_to_reckon_with_decides_nothing(huge):
    """What is chosen and repeated is as without it, and nothing overflows."""
    sane = [(i / 10, 1.0 + i / 10) for i in range(8)] + [(0.0, 1.4)]
    kept, seen = history(*sane), history(*sane, (0.9, huge), (0.9, huge))
    assert choose(kept) == choose(seen)
    assert next_repeat(kept) == next_repeat(seen)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_ties_among_the_better_half_leave_an_interval_in_the_unit_of_the_values(scale):
    """Where the better half is tied, what it truly differs by is guessed from the noise, whatever the unit."""
    tied = [*((float(i), 0.95) for i in range(6)), (10.0, 0.8), (11.0, 0.7), (12.0, 0.6), (13.0, 0.5)]
    repeated = [(x, scale * value) for x, value in (*tied, (0.0, 0.95), (1.0, 0.94))]
    low, high = choose(history(*repeated, direction="maximize")).interval
    assert 0.93 * scale < low < high < 0.97 * scale


def test_few_trials_and_parameters_of_any_kind_are_no_trouble():
    """Two configurations are enough, and they need not have the same parameters."""
    points = [{"c": "a"}, {"c": None, "x": 5.0}, {"z": 1}]
    for n in (2, 3):
        told = [Observation(i, points[i], state="complete", value=float(i)) for i in range(n)]
        again = next_repeat(History("maximize", tuple(told)))
        told.append(Observation(n, again.params, state="complete", value=7.0))
        assert choose(History("maximize", tuple(told))).interval is not None
    assert next_repeat(History("maximize", tuple(told[:1]))) is None


# The study.


def test_the_leaders_are_repeated_in_the_last_part_of_a_noisy_study():
    """Repeats come last, are told as such, and are of configurations that were tried."""
    study = run(0, 0.1)
    repeats = [trial for trial in study.trials if trial.user_attrs[SOURCE] == "repeat"]
    assert 5 <= len(repeats) <= 20
    assert "repeat" not in sources(study)[:30]
    tried = [trial.params for trial in study.trials if trial.user_attrs[SOURCE] != "repeat"]
    assert all(trial.params in tried for trial in repeats)


def test_a_deterministic_study_loses_two_evaluations_and_nothing_else():
    """Two repeats show that there is no noise; the others of its turns are the partner's as they would have been."""
    study, plain = run(0, 0.0), run(0, 0.0, repeats=False)
    assert 2 == sources(study).count("repeat")
    assert study.best_params == chosen(study).params
    assert [t.params for t in plain.trials[:30]] == [t.params for t in study.trials[:30]]


def test_the_choice_is_better_than_the_best_single_value():
    """On a noisy bowl the true value of what is chosen is lower, over many seeds, and its interval covers it."""
    single, ours, covered = [], [], []
    for seed in range(16):
        single.append(truth(run(seed, 0.3, repeats=False).best_params))
        choice = chosen(run(seed, 0.3))
        ours.append(truth(choice.params))
        covered.append(choice.interval[0] <= ours[-1] <= choice.interval[1])
    assert np.mean(ours) < 0.8 * np.mean(single)
    assert 0.8 <= np.mean(covered)


NOISE = np.random.default_rng(1).standard_normal(N)


def by_number(trial):
    return truth({name: trial.suggest_float(name, -1.0, 1.0) for name in SPACE}) + 0.1 * NOISE[trial.number]


@pytest.fixture(scope="module")
def whole():
    study = optuna.create_study(sampler=sampler())
    study.optimize(by_number, n_trials=N)
    return study


@pytest.mark.parametrize("cut", [29, 30, 37, 49])
def test_a_cut_study_goes_on_with_the_same_repeats(cut, whole):
    """A study that is ended anywhere and gone on with by another sampler object has the trials of an uncut one."""
    study = optuna.create_study(sampler=sampler())
    study.optimize(by_number, n_trials=cut)
    study.sampler = sampler()
    study.optimize(by_number, n_trials=N - cut)
    assert [(t.params, t.value, t.user_attrs) for t in whole.trials] == [
        (t.params, t.value, t.user_attrs) for t in study.trials
    ]


def test_an_advisor_is_neither_asked_nor_credited_for_repeats():
    """The turns that repeat cost no question, count for nobody's worth, and leave the mixing's evidence alone."""
    advisor = ScriptedAdvisor(lambda request: [request.space.sample(np.random.default_rng(request.turn))])
    task = Task(direction="minimize", n_trials=20)
    study = optuna.create_study(sampler=LLMTPESampler(advisor, task=task, space=SPACE, seed=0, repeats=True))
    study.optimize(Bowl(0.1), n_trials=20)
    repeats = [trial.number for trial in study.trials if trial.user_attrs[SOURCE] == "repeat"]
    assert repeats
    assert not {request.turn for request in advisor.requests} & set(repeats)
    told = study.sampler._reader.history(study, study.trials)
    assert 0 == measure_worth(told).sources["repeat"].improvements
    searched = History("minimize", tuple(o for o in told if o.source != "repeat"))
    assert Adaptive().standing(searched) == Adaptive().standing(told)


def test_repeats_and_a_pruner_exclude_each_other():
    """A pruner would let the lucky repeats alone count."""
    with pytest.raises(ConfigError, match="pruner"):
        Tuner(SPACE, method="tpe", repeats=True, pruner=optuna.pruners.MedianPruner(), task=Task(n_trials=9))


def test_repeats_need_the_number_of_trials():
    """Without it nobody knows which turns are the last ones."""
    with pytest.raises(ConfigError, match="n_trials"):
        LLMTPESampler("offline", repeats=True)


def test_of_several_objectives_it_is_the_best_compromise_alone():
    """Ranks of one configuration differ by what else was tried, which is no noise."""
    study = optuna.create_study(
        directions=["minimize", "minimize"], sampler=AdvisedSampler(None, init="default", seed=0)
    )
    for x in (0.5, 0.1, 0.5, 0.9, 0.5):
        study.enqueue_trial({"x": x})
    noise = iter(range(5))
    study.optimize(lambda t: (t.suggest_float("x", 0.0, 1.0) + next(noise), 1 - t.params["x"]), n_trials=5)
    choice = chosen(study)
    assert (None, 0) == (choice.interval, choice.repeats)
    assert choice.trial in {trial.number for trial in study.best_trials}


def test_the_choice_is_known_by_its_number_in_the_study():
    """Also after trials that were abandoned, which no observation counts."""
    study = optuna.create_study(sampler=AdvisedSampler(None, init="default", seed=0))
    study.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0), n_trials=2)
    abandon(study, study.ask()._trial_id)
    study.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0) - trial.number, n_trials=3)
    assert 5 == study.best_trial.number == chosen(study).trial
