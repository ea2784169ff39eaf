"""
Who serves a turn: shares, purity, and one answer for all hooks of a trial.
"""

import math

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sllmbo._random import generator
from sllmbo.errors import ConfigError
from sllmbo.history import History, Observation
from sllmbo.samplers import Adaptive, Alternating, Bernoulli, LLMTPESampler
from sllmbo.samplers._record import SOURCE
from sllmbo.space import Float, SearchSpace
from sllmbo.testing import ScriptedAdvisor

EMPTY = History("minimize")
seeds = st.integers(0, 2**32 - 1)
turns = st.integers(0, 10**6)


def histories():
    """Histories of any values."""
    observation = st.builds(Observation, st.integers(0, 99), st.just({}), state=st.just("complete"), value=st.floats())
    return st.builds(History, st.sampled_from(["minimize", "maximize"]), st.lists(observation, max_size=3).map(tuple))


@given(p=st.floats(0.02, 0.98), seed=seeds)
@settings(max_examples=100)
def test_share_of_the_advisor_is_close_to_p(p, seed):
    """Over many turns the advisor serves the share p, within five standard errors."""
    n = 1000
    share = sum(Bernoulli(p).advisor_serves(seed=seed, turn=turn, history=EMPTY) for turn in range(n)) / n
    assert abs(share - p) <= 5 * math.sqrt(p * (1 - p) / n) + 1e-9


@given(seed=seeds, turn=turns)
def test_p_of_zero_and_one_are_exact(seed, turn):
    """With p=0 no turn is the advisor's, with p=1 every one is."""
    assert not Bernoulli(0.0).advisor_serves(seed=seed, turn=turn, history=EMPTY)
    assert Bernoulli(1.0).advisor_serves(seed=seed, turn=turn, history=EMPTY)


@given(p=st.floats(0, 1), more=st.floats(0, 1), seed=seeds, turn=turns)
def test_a_larger_p_takes_no_turn_away(p, more, seed, turn):
    """Whatever the advisor serves with p, it serves with a larger p as well."""
    small, large = sorted([p, more])
    if Bernoulli(small).advisor_serves(seed=seed, turn=turn, history=EMPTY):
        assert Bernoulli(large).advisor_serves(seed=seed, turn=turn, history=EMPTY)


@given(policy=st.sampled_from([Bernoulli(0.5), Alternating()]), seed=seeds, turn=turns, history=histories())
def test_coins_depend_on_seed_and_turn_alone(policy, seed, turn, history):
    """The history changes nothing, and asking twice gives the same answer."""
    answers = {policy.advisor_serves(seed=seed, turn=turn, history=told) for told in (EMPTY, history, history)}
    assert 1 == len(answers)


@given(seed=seeds)
def test_neighbouring_seeds_throw_other_coins(seed):
    """Two seeds agree on about half of the turns."""
    first, second = (
        [Bernoulli().advisor_serves(seed=s, turn=turn, history=EMPTY) for turn in range(400)] for s in (seed, seed + 1)
    )
    assert 0.3 < sum(a == b for a, b in zip(first, second, strict=True)) / 400 < 0.7


def test_alternating_serves_the_odd_turns():
    """The advisor has every second turn."""
    served = [Alternating().advisor_serves(seed=0, turn=turn, history=EMPTY) for turn in range(4)]
    assert [False, True, False, True] == served


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_what_is_no_probability_is_refused(p):
    """A p outside [0, 1] is refused with its value."""
    with pytest.raises(ConfigError, match="p="):
        Bernoulli(p)


@pytest.mark.parametrize("mixing", [Bernoulli(0.5), Alternating()], ids=repr)
def test_all_hooks_of_a_trial_agree(mixing):
    """Every parameter of a trial comes from the side that the policy names for its turn: no trial is a mixture."""
    space = SearchSpace({f"x{i}": Float(0.0, 1.0, default=0.5) for i in range(6)})

    def corner(request):
        """Points that no partner draws: all values below a millionth."""
        rng = generator(request.seed, request.turn)
        return [{name: float(rng.random()) * 1e-6 for name in request.space} for _ in range(request.n)]

    study = optuna.create_study(
        sampler=LLMTPESampler(
            ScriptedAdvisor(corner), space=space, mixing=mixing, judging=False, init="default", seed=8
        ),
        direction="maximize",
    )

    def objective(trial):
        # Half of the parameters are first suggested with another range, so that they are sampled independently.
        return sum(trial.suggest_float(name, 0.0, 1.0 + (name > "x2") * trial.number) for name in space)

    study.optimize(objective, n_trials=30)
    for trial in study.trials[1:]:
        by_advisor = mixing.advisor_serves(seed=8, turn=trial.number, history=EMPTY)
        assert ("scripted" if by_advisor else "tpe") == trial.user_attrs[SOURCE]
        assert {by_advisor} == {value < 1e-6 for value in trial.params.values()}


def _history(rows, direction="minimize"):
    return History(
        direction,
        tuple(
            Observation(i, {"x": 0.0}, state="failed" if value is None else "complete", value=value, source=source)
            for i, (source, value) in enumerate(rows)
        ),
    )


def test_adaptive_starts_at_one_half():
    """Before either side has served a trial, the advisor's share is a half."""
    assert 0.5 == Adaptive().standing(_history([("default", 1.0)])).share


def test_a_better_advisor_earns_a_larger_share_but_never_the_partners_floor():
    """An advisor whose trials are all better than the partner's serves three quarters of the turns, and no more."""
    rows = [("llm", float(i)) for i in range(10)] + [("tpe", 100.0 + i) for i in range(10)]
    assert 0.75 == Adaptive().standing(_history(rows)).share


@pytest.mark.parametrize("partner", ["tpe", "random"])
def test_trials_of_other_samplers_are_nobodys(partner):
    """A study that another sampler opened or began is judged by its own two sides, whichever they are."""
    rows = [("llm", 5.0 + i) for i in range(5)] + [(partner, 100.0 + i) for i in range(5)]
    others = [("gp", 1.0), ("cma", 2.0), ({"tpe": "random", "random": "tpe"}[partner], 3.0)]
    standing = Adaptive(partner=partner).standing(_history(others + rows))
    assert standing.advisor > 0.5 > standing.partner
    assert standing.n_advisor == pytest.approx(standing.n_partner * 0.95**5)


def test_the_partner_of_the_sampler_is_the_one_that_adaptive_judges():
    """Its trials count for it, also where only another number of the mixing was given."""
    partner = optuna.samplers.RandomSampler()
    sampler = LLMTPESampler(ScriptedAdvisor([]), partner=partner, mixing=Adaptive(decay=0.9))
    assert Adaptive("random", decay=0.9) == sampler._mixing


@pytest.mark.parametrize("worse", [100.0, None], ids=["bad values", "failures"])
def test_an_advisor_that_is_clearly_worse_is_switched_off(worse):
    """Bad values and failures of the advisor end its turns, whatever the seed."""
    rows = [("tpe", float(i)) for i in range(10)] + [("llm", worse)] * 10
    standing = Adaptive().standing(_history(rows))
    assert 0.0 == standing.share
    assert str(standing).startswith("switched off")
    served = [Adaptive().advisor_serves(seed=s, turn=20, history=_history(rows)) for s in range(50)]
    assert not any(served)


def test_an_advisor_that_was_switched_off_is_tried_again():
    """The evidence against an advisor fades: it comes back after more than 5 and fewer than 40 turns of the partner."""
    rows = [("tpe", float(i)) for i in range(8)] + [("llm", 100.0)] * 6
    assert 0.0 == Adaptive().standing(_history(rows)).share
    waited = 0
    while Adaptive().standing(_history(rows)).share == 0.0 and waited < 60:
        rows.append(("tpe", 50.0))
        waited += 1
    assert 5 < waited < 40


@given(
    st.lists(st.tuples(st.sampled_from(["tpe", "llm", "default"]), st.none() | st.floats(-1e6, 1e6)), max_size=30),
    st.sampled_from(["minimize", "maximize"]),
)
def test_the_share_is_a_probability_that_depends_on_order_and_ranks_alone(rows, direction):
    """Any history has a share between 0 and 1 - floor, and stretching its values changes nothing."""
    standing = Adaptive().standing(_history(rows, direction))
    assert 0.0 <= standing.share <= 0.75
    stretched = [(source, None if value is None else 4.0 * value) for source, value in rows]
    assert standing == Adaptive().standing(_history(stretched, direction))


@pytest.mark.parametrize("name", ["partner_floor", "decay", "switch_off"])
def test_numbers_of_adaptive_outside_0_and_1_are_refused(name):
    """A number that is no probability is refused with its name."""
    with pytest.raises(ConfigError, match=name):
        Adaptive(**{name: 1.5})
