"""
What a rationale claims, and whether the trials support it.
"""

import pytest

from sllmbo import Categorical, Float, Int, SearchSpace
from sllmbo.history import History, Observation
from sllmbo.report.checks import Evidence, check, in_words, overall
from sllmbo.report.claims import Effect, Prediction, Standing, Vague, parse

SPACE = SearchSpace(
    {
        "learning_rate": Float(1e-4, 1.0, log=True),
        "n_estimators": Int(10, 1000),
        "max_depth": Int(1, 12),
        "C": Float(1e-3, 1e3, log=True),
        "clf__batch_size": Int(4, 256),
        "activation": Categorical(["relu", "tanh"]),
    }
)

READ = [
    ("A smaller learning_rate helped.", "trials with a smaller learning_rate are better", "before"),
    ("Deeper trees overfit.", "trials with a larger max_depth overfit more", "ever"),
    ("Higher C improves the score.", "trials with a larger C are better", "ever"),
    ("More trees did better so far.", "trials with a larger n_estimators are better", "before"),
    ("Larger batch sizes hurt.", "trials with a larger clf__batch_size are worse", "before"),
    ("Trials with learning rates above 0.05 were worse.", "trials with learning_rate above 0.05 are worse", "before"),
    ("relu outperformed the rest.", "trials with activation=relu are better", "before"),
    ("Lower C reduces the loss.", "trials with a smaller C are better", "ever"),
    ("Less C helped.", "trials with a smaller C are better", "before"),
    ("A C of less than 0.5 was worse.", "trials with C below 0.5 are worse", "before"),
    ("A C of at least 0.5 was worse.", "trials with C above 0.5 are worse", "before"),
    (
        "Move max_depth from 5 to 7 alone. The better third of the trials has larger values, too.",
        "trials with a larger max_depth are better",
        "before",
    ),
    ("Exploit: lower learning_rate helped (#4, #9)", "trials with a smaller learning_rate are better", "before"),
    ("Deeper trees overfit (#3, #7 and #12).", "trials with a larger max_depth overfit more", "ever"),
    ("Larger C hurt (see trials 3-7).", "trials with a larger C are worse", "before"),
    ("Shallower trees should improve generalisation.", "trials with a smaller max_depth are better", "outcome"),
]

VAGUE = [
    "A smaller learning_rate did not help.",
    "A larger C may help.",
    "A moderate C is best.",
    "A too large C hurts.",
    "Smaller learning_rate and larger C helped.",
    "learning_rate=0.1 was best.",
    "Larger C improved stability.",
    "Larger C improved the CPU utilization.",
    "A smaller learning rate prevents overfitting.",
    "A larger C helped with a small max_depth.",
    "Did a larger C help?",
    "More neurons and a larger C did better.",
    "Something helped.",
    "A smaller max_depth overfits less.",
    "Deeper trees overfit much less.",
    "Deeper trees are rarely better.",
    "A larger C seldom helped.",
    "A smaller max_depth hurts less.",
    "A larger C is less harmful.",
    "Raising learning_rate stopped helping.",
    "A higher learning_rate failed to bring any gains.",
    "Larger C fails to help.",
    "Larger C gained nothing.",
    "A larger C brought zero gain.",
    "A larger C minimises the damage of bad rows.",
    "A larger C helped (3 of 4).",
]


@pytest.mark.parametrize(("words", "claim", "when"), READ)
def test_a_clause_with_one_parameter_one_direction_and_one_outcome_is_a_claim(words, claim, when):
    """It is read as the parameter, the direction and the outcome that it names, and about the trials that it means."""
    (found,) = parse(words, SPACE)

    assert isinstance(found, Effect)
    assert (claim, when) == (in_words(found), found.when)


@pytest.mark.parametrize("words", VAGUE)
def test_what_the_grammar_does_not_cover_is_never_a_claim(words):
    """Negations, reservations, combinations, places and other outcomes are kept as what cannot be checked."""
    found = parse(words, SPACE)

    assert found
    assert all(isinstance(claim, Vague) for claim in found)


@pytest.mark.parametrize(
    "words",
    [
        *("Around the default, to learn what matters: C=3.", "", "Take a large step.", "\x00p0\x00"),
        *("Larger C hurt in trial 3.", "Larger C hurt #3 and #4."),
        *("A larger max_depth gave lower Brier scores so far.", "A larger C raised the metric."),
    ],
)
def test_words_without_an_outcome_claim_nothing(words):
    """What says nothing about better or worse is no claim."""
    assert [] == parse(words, SPACE)


@pytest.mark.parametrize(
    ("words", "trials"),
    [
        ("Trial 12 (0.8231) is best so far; move C.", [(12, False, "0.8231")]),
        ("Trials 3 and 7 are among the best; try half-way.", [(3, True, ""), (7, True, "")]),
        ("The best so far is trial 4.", [(4, False, "")]),
        ("#4 is the best so far.", [(4, False, "")]),
        ("Stay near the incumbent (#4).", [(4, False, "")]),
        ("#3 and #7 are among the best.", [(3, True, ""), (7, True, "")]),
        ("No improvement in 9 trials since trial 32; take a large step from it.", [(32, False, "")]),
    ],
)
def test_which_trial_is_best_is_a_claim(words, trials):
    """Its number, its value if that is said, and whether it is the best or one of them are read."""
    found = [claim for claim in parse(words, SPACE) if isinstance(claim, Standing)]

    assert trials == [(claim.trial, claim.among, claim.value) for claim in found]


def test_to_expect_a_new_best_is_a_prediction():
    """A trial that should beat the best one says so of itself."""
    assert [Prediction("This should beat the incumbent.")] == parse("This should beat the incumbent.", SPACE)


def a_history(values, params, **details):
    details = {name: list(given) for name, given in details.items()}
    return History(
        "minimize",
        tuple(
            Observation(
                i,
                p,
                state="complete",
                value=v,
                source="llm",
                details={name: given[i] for name, given in details.items()},
            )
            for i, (v, p) in enumerate(zip(values, params, strict=True))
        ),
    )


RISING = a_history(range(12), [{"C": 0.1 * (i + 1)} for i in range(12)], train_value=[0.0] * 12)


def verdict(words, history=RISING, known=None, own=None):
    evidence = Evidence(history, history if known is None else known, history[-1] if own is None else own)
    return overall([check(claim, evidence) for claim in parse(words, SPACE)])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("A smaller C helped.", "supported"),
        ("A larger C helped.", "contradicted"),
        ("A larger C hurts.", "supported"),
        ("A larger C overfits.", "supported"),
        ("Trials with C above 0.6 were worse.", "supported"),
        ("Trials with C below 0.6 were worse.", "contradicted"),
        ("A smaller learning_rate helped.", "unverifiable"),
        ("A larger C may hurt.", "unverifiable"),
        ("Trial 0 is best so far.", "supported"),
        ("Trial 0 (0.0) is best so far.", "supported"),
        ("Trial 0 (3.5) is best so far.", "contradicted"),
        ("Trial 1 is best so far.", "contradicted"),
        ("Trial 99 is best so far.", "contradicted"),
        ("Trial 4 is among the best.", "supported"),
        ("Trial 5 is among the best.", "unverifiable"),
        ("Trial 9 is among the best.", "contradicted"),
        ("", "unverifiable"),
    ],
)
def test_the_verdict_follows_from_the_trials(words, expected):
    """With values that rise with C, what is said of C and of the order of trials comes out as it is."""
    assert expected == verdict(words)


def test_what_is_said_in_the_past_tense_is_held_against_the_trials_before():
    """Ten trials after the claim do not support it."""
    assert "unverifiable" == verdict("A smaller C helped.", known=History("minimize", RISING.observations[:5]))
    assert "supported" == verdict("A smaller C is better.", known=History("minimize", RISING.observations[:5]))


def test_no_relation_is_no_verdict():
    """Where a parameter has nothing to do with the value, a claim about it is neither supported nor contradicted."""
    noise = a_history([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8], [{"C": float((5 * i) % 12)} for i in range(12)])

    assert "unverifiable" == verdict("A smaller C helped.", noise)
    assert "unverifiable" == verdict("A larger C helped.", noise)


def test_chance_gives_wrong_verdicts_as_often_as_the_level_says():
    """Of 400 claims about a parameter without effect, about 5 % get a verdict."""
    import numpy as np

    rng = np.random.default_rng(0)
    verdicts = []
    for _ in range(400):
        history = a_history(rng.normal(size=20).tolist(), [{"C": c} for c in rng.random(20)])
        verdicts.append(verdict("A larger C helped.", history))

    assert 8 <= sum(v != "unverifiable" for v in verdicts) <= 36


def test_a_prediction_is_compared_with_its_outcome():
    """For one parameter only where nothing else differs from the best trial before."""
    before = a_history([5.0, 4.0], [{"C": 1.0, "max_depth": 3}, {"C": 2.0, "max_depth": 3}])
    alone = Observation(2, {"C": 3.0, "max_depth": 3}, state="complete", value=3.0)
    both = Observation(2, {"C": 3.0, "max_depth": 4}, state="complete", value=3.0)

    assert "supported" == verdict("A larger C should improve it.", before, own=alone)
    assert "unverifiable" == verdict("A larger C should improve it.", before, own=both)
    assert "supported" == verdict("This should beat the incumbent.", before, own=both)


def test_a_parameter_named_like_a_word_of_the_grammar_claims_nothing():
    """Names such as "better" or "a" do not make claims of every sentence."""
    hostile = SearchSpace({"better": Float(0, 1), "a": Float(0, 1), "(.*)": Float(0, 1), "higher": Float(0, 1)})

    assert all(isinstance(claim, Vague) for claim in parse("A higher value is better.", hostile))
