"""
The worth meter: who improved on the default, by how much, at what price.
"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sllmbo.history import History, Observation
from sllmbo.usage import Usage
from sllmbo.worth import ENOUGH, NEITHER, PARTNERS, Worth, measure_worth


def history(*trials, direction="maximize"):
    """Trials as (source, value); without a value they failed."""
    return History(
        direction,
        tuple(
            Observation(number, {}, state="failed" if value is None else "complete", value=value, source=source)
            for number, (source, value) in enumerate(trials)
        ),
    )


values = st.none() | st.floats(-1e6, 1e6)
histories = st.builds(
    lambda trials, direction: history(*trials, direction=direction),
    st.lists(st.tuples(st.sampled_from(["default", "llm", "rules", "tpe", "user"]), values), max_size=30),
    st.sampled_from(["minimize", "maximize"]),
)


@given(histories)
def test_gains_add_up_to_best_less_default(trials):
    """The gains of all sources add up to what the best value is better than where the study started."""
    worth = measure_worth(trials)
    assert sum(s.gain for s in worth.sources.values()) == pytest.approx(worth.gain, abs=1e-6)
    assert worth.improvements == sum(s.improvements for s in worth.sources.values())
    complete = trials.complete()
    default = next((o for o in complete if o.source == "default"), complete[0] if complete else None)
    if default is not None:
        assert worth.gain == pytest.approx(abs(trials.best.value - default.value), abs=1e-6)


@given(histories)
def test_counts_and_interval_are_consistent(trials):
    """Every finished trial counts once, the difference lies in its interval, and the interval within [-1, 1]."""
    worth = measure_worth(trials)
    assert sum(s.trials for s in worth.sources.values()) == len(trials)
    assert all(0 <= s.improvements <= s.trials and s.gain >= 0 for s in worth.sources.values())
    if worth.interval is not None:
        low, high = worth.interval
        assert -1 <= low <= worth.difference + 1e-12
        assert worth.difference - 1e-12 <= high <= 1


@given(histories)
def test_direction_is_a_sign(trials):
    """Negating all values and the direction changes nothing."""
    flipped = History(
        "minimize" if trials.direction == "maximize" else "maximize",
        tuple(
            Observation(o.number, {}, state=o.state, value=None if o.value is None else -o.value, source=o.source)
            for o in trials
        ),
    )
    assert measure_worth(trials) == measure_worth(flipped)


@given(histories)
def test_survives_json(trials):
    """What to_json wrote is read back the same."""
    worth = measure_worth(trials, Usage(calls=2, input_tokens=5), usage_by_source={"llm": Usage(calls=1)})
    assert Worth.from_json(json.loads(json.dumps(worth.to_json()))) == worth


def test_verdict_names_share_gain_and_price():
    """The sentence counts the advisor's improvements, what they are worth and what they cost."""
    trials = history(
        ("default", 0.0), ("llm", 0.5), ("tpe", 0.4), ("llm", 0.6), ("tpe", 0.9), ("llm", 0.1), ("llm", 1.1), ("llm", 0)
    )
    worth = measure_worth(trials, Usage(calls=3, cost_usd=0.02))
    assert worth.advisor_gain == pytest.approx(0.8)
    assert worth.verdict.startswith("the advisor found 3 of 4 improvements, worth 0.8 (of 1.1) for 0.02 USD")
    assert worth.verdict.endswith("cannot be told from its partner")


def test_verdict_says_that_it_did_not_pay():
    """An advisor that improved nothing in enough trials did not pay."""
    trials = history(("default", 1.0), ("tpe", 2.0), *[("llm", 0.5)] * 11, ("tpe", 3.0), ("llm", None))
    assert measure_worth(trials).verdict == "the advisor did not pay: 0 of 2 improvements in 12 trials"


@pytest.mark.parametrize("n", range(1, ENOUGH))
def test_verdict_admits_too_few_trials(n):
    """With few trials of the advisor the verdict is that there is none."""
    trials = history(("default", 0.0), *[("llm", float(i + 1)) for i in range(n)])
    assert measure_worth(trials).verdict.startswith(f"too few trials to tell (n={n})")


def test_comparison_is_clear_of_zero_only_on_evidence():
    """An advisor that always improves beside a partner that never does is told apart, the other way round too."""
    better = [(source, float(i) if source == "llm" else 0.0) for i in range(1, 13) for source in ("tpe", "llm")]
    worth = measure_worth(history(("default", 0.0), *better))
    assert worth.interval[0] > 0
    assert worth.verdict.endswith("improved more often than its partner")
    swapped = [({"tpe": "llm", "llm": "tpe"}[source], value) for source, value in better]
    worth = measure_worth(history(("default", 0.0), ("llm", 0.5), *swapped))
    assert worth.interval[1] < 0
    assert worth.verdict.endswith("improved less often than its partner")


def test_opening_is_not_held_against_the_partner():
    """Trials from before both sides had begun do not enter the comparison."""
    opening = [("llm", float(i)) for i in range(1, 6)]
    worth = measure_worth(history(("default", 0.0), *opening, ("tpe", 1.0), ("llm", 1.0)))
    assert worth.difference == 0


def test_no_source_is_on_two_sides():
    """A source is the partner's or neither's."""
    assert not PARTNERS & NEITHER
