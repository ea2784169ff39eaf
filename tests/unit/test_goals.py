"""
Constraints, Pareto ranks, and preferences in words.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sllmbo.errors import ConfigError
from sllmbo.goals import Constraint, improvements_of_front, on_front, pareto_ranks
from sllmbo.tuner.metrics import metric_names
from sllmbo.tuner.preferences import read_preferences

NAMES = st.from_regex(r"[A-Za-z_][\w.-]{0,20}", fullmatch=True).filter(str.isascii)
NUMBERS = st.floats(-1e6, 1e6).map(lambda x: float(f"{x:g}"))
ROWS = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(st.integers(-5, 5), min_size=width, max_size=width), min_size=1, max_size=12)
)


@given(NAMES, st.sampled_from(["<=", ">="]), NUMBERS)
def test_a_constraint_reads_back_what_it_writes(name, relation, bound) -> None:
    """The text of a constraint parses to the same constraint."""
    constraint = Constraint(name, relation, bound)

    assert constraint == Constraint.parse(str(constraint))


@given(st.sampled_from(["<=", ">="]), NUMBERS, NUMBERS)
def test_a_constraint_is_broken_beyond_its_bound_only(relation, bound, measured) -> None:
    """The violation is positive exactly where the relation does not hold."""
    holds = measured <= bound if relation == "<=" else measured >= bound

    assert holds == (Constraint("size", relation, bound).violation(measured) <= 0.0)


@pytest.mark.parametrize(
    "text", ["size", "size<5", "size==5", "<=5", "size<=", "size<=five", "size<=nan", "5>=size", ""]
)
def test_what_is_no_constraint_is_refused_with_an_example(text) -> None:
    """The error quotes what was written and shows what may be."""
    with pytest.raises(ConfigError, match="such as 'model_size_mb<=5'") as raised:
        Constraint.parse(text)

    assert repr(text) in str(raised.value)


@given(ROWS)
def test_who_improved_was_on_the_front_of_those_before_it(rows) -> None:
    """Each row but equal ones, held against all before it and the default; the default itself improves nothing."""
    known = {n: ("default" if n == len(rows) // 2 else "", row) for n, row in enumerate(rows)}
    default = rows[len(rows) // 2]
    improved = improvements_of_front(known)

    for n, row in enumerate(rows):
        before = [default, *rows[:n]]
        assert (n in improved) == (row not in before and on_front([*before, row])[-1])


@given(ROWS)
def test_a_dominated_row_ranks_behind_whoever_dominates_it(rows) -> None:
    """A row that is worse in one column and better in none has the higher rank."""
    ranks = pareto_ranks(rows)

    for one, rank in zip(rows, ranks, strict=True):
        for other, other_rank in zip(rows, ranks, strict=True):
            if one != other and all(a <= b for a, b in zip(one, other, strict=True)):
                assert rank < other_rank


@given(ROWS)
def test_the_front_has_the_ranks_below_one(rows) -> None:
    """What no row dominates, and nothing else, ranks below 1."""
    assert on_front(rows) == [rank < 1.0 for rank in pareto_ranks(rows)]


@given(ROWS)
def test_ranks_do_not_depend_on_the_scale(rows) -> None:
    """Any increasing transformation of a column leaves the ranks as they are."""
    assert pareto_ranks(rows) == pareto_ranks([[7.0 * value**3 - 2.0 for value in row] for row in rows])


def test_the_best_compromise_leads_the_front() -> None:
    """Of a front's rows the one that is fair in both columns ranks before those that are best in one."""
    assert pareto_ranks([[0, 9], [9, 0], [3, 3]]).index(min(pareto_ranks([[0, 9], [9, 0], [3, 3]]))) == 2


@pytest.mark.parametrize(
    ("text", "constraints", "objectives"),
    [
        ("prefer smaller", (), ("model_size_mb",)),
        ("small and fast", (), ("model_size_mb", "predict_ms")),
        ("under 500 KB", ("model_size_mb<=0.5",), ()),
        ("answers in under 0.01 seconds", ("predict_ms<=10",), ()),
        ("trains within 2 minutes; compact", ("fit_seconds<=120",), ("model_size_mb",)),
        ("at most 2 ms, recall at least 90%", ("predict_ms<=2", "recall>=0.9"), ()),
        ("rmse below 3", ("rmse<=3",), ()),
    ],
)
def test_preferences_in_words_become_constraints_and_objectives(text, constraints, objectives) -> None:
    """A part with a number bounds what it names; a part without one is optimised."""
    assert (constraints, objectives) == read_preferences(text, metric_names())


@pytest.mark.parametrize("text", ["make it pretty", "at least 5 MB", "accuracy", "smaller, and cheaper"])
def test_a_preference_that_is_not_understood_is_never_guessed(text) -> None:
    """What the words do not settle is refused, with the options that would."""
    with pytest.raises(ConfigError, match="is not understood; say it with --constraint"):
        read_preferences(text, metric_names())
