"""
Privacy: each level tells what it says, and nothing beyond it reaches any prompt.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sllmbo.advisors import choose_advisor
from sllmbo.advisors.llm import LLMAdvisor, documented_space
from sllmbo.advisors.rules import RuleAdvisor
from sllmbo.errors import ConfigError, ReplyError
from sllmbo.history import History, Observation
from sllmbo.prompts import (
    ChatMemory,
    DigestMemory,
    NoMemory,
    Prompt,
    SummaryMemory,
    TableMemory,
    parse_design,
    render_condense,
    render_design,
    render_suggestions,
    shown,
    suggestions_schema,
    visible,
)
from sllmbo.prompts.privacy import LEVELS, error_class, visible_history
from sllmbo.samplers._failure import describe_error
from sllmbo.space import Categorical, Float, Int, SearchSpace, When
from sllmbo.task import DataFacts, Task

MARKS = {
    "estimator": "none",
    "metric": "none",
    "name": "none",
    "choice": "none",
    "class": "none",
    "column": "schema",
    "default": "schema",
    "description": "description",
    "note": "description",
    "message": "description",
    "reason": "description",
    "rationale": "description",
}
"""Where a marker string stands, and from which level on it may be told."""

NUMBERS = {"rows": (4242421, "statistics"), "std": (0.4243, "statistics"), "train_value": (0.4244, "statistics")}


def mark(where: str) -> str:
    return f"{where.upper()}Zq7"


def task_with_marks() -> Task:
    return Task(
        description=f"we predict {mark('description')}",
        estimator=mark("estimator"),
        metric=mark("metric"),
        data=DataFacts(kind="regression", n_rows=NUMBERS["rows"][0], n_features=7, target_skew=0.4242, ordered=True),
        n_trials=60,
        estimator_params={mark("column"): mark("default"), mark("name"): 1.0},
    )


def space_with_marks() -> SearchSpace:
    return SearchSpace(
        {
            mark("name"): Float(0.1, 10, log=True, default=1.0, description=f"between {mark('note')} and"),
            "kind": Categorical([mark("choice"), "other"], default="other", description=mark("note")),
            "degree": Int(2, 5, default=3, condition=When("kind", [mark("choice")]), description=mark("note")),
        }
    )


def history_with_marks(n: int, reasons: list[str]) -> History:
    """Return trials of all states, whose failures have *reasons* and whose words and measurements are marked."""
    trials = []
    for number in range(n):
        state = ("complete", "failed", "pruned", "complete", "running")[number % 5]
        trials.append(
            Observation(
                number,
                {mark("name"): 0.1 + number / 10, "kind": "other"},
                state=state,  # type: ignore[arg-type]
                value=0.5 + number if state in ("complete", "pruned") else None,
                reason=reasons[number // 5 % len(reasons)] if state in ("failed", "pruned") else "",
                source=("llm", "tpe", "default")[number % 3],
                rationale=f"exploit: {mark('rationale')}",
                details={"std": NUMBERS["std"][0], "train_value": NUMBERS["train_value"][0]},
            )
        )
    return History("maximize", tuple(trials))


REASONS = [
    f"{mark('class')}Error: the cell {mark('message')} is wrong",
    f"{mark('reason')}",
    f"{mark('reason')}: {mark('message')}",
    f"the row '{mark('message')}' of {mark('reason')}",
]


def rendered(task: Task, space: SearchSpace, history: History, privacy: Any) -> list[str]:
    """Return all that may be sent at a level, whole: each kind of question, by each memory."""
    told = shown(task, space, history, privacy=privacy)
    purposes: list[Any] = ["opening", "next"]
    prompts: list[Prompt] = [
        render_design(visible(task, privacy), documented_space(visible(task, privacy))),
        render_condense(told.task, told.space, told.history, SummaryMemory()),
        *(
            render_suggestions(told.task, told.space, told.history, n=3, purpose=purpose, memory=memory)
            for memory in (DigestMemory(), TableMemory(), NoMemory(), SummaryMemory("what I noted", 2), ChatMemory())
            for purpose in purposes
        ),
    ]
    sent = [f"{p.instructions}\n{p.text}\n{p.conversation}" for p in prompts]
    return [*sent, str(suggestions_schema(told.space, 3))]


@pytest.mark.parametrize("privacy", LEVELS)
@pytest.mark.parametrize("n", [0, 3, 12, 80])
def test_nothing_beyond_the_level_is_told(privacy: str, n: int) -> None:
    """A marker in every field is in some prompt from its level on, and in none below."""
    sent = "\n".join(rendered(task_with_marks(), space_with_marks(), history_with_marks(n, REASONS), privacy))
    level = LEVELS.index(privacy)

    for where, first in MARKS.items():
        if LEVELS.index(first) > level:
            assert mark(where) not in sent, where
    for what, (number, first) in NUMBERS.items():
        if LEVELS.index(first) > level:
            assert str(number) not in sent, what
    if privacy == "none":
        assert "regression" not in sent
        assert "ordered in time" not in sent
        assert "skewness" not in sent
    if level < LEVELS.index("statistics"):
        assert "rows," not in sent


def test_each_level_tells_what_it_says() -> None:
    """What a level adds is there from that level on, so that none is empty."""
    for privacy in LEVELS:
        sent = "\n".join(rendered(task_with_marks(), space_with_marks(), history_with_marks(12, REASONS), privacy))
        told = {where: LEVELS.index(first) <= LEVELS.index(privacy) for where, first in MARKS.items()}

        assert told == {where: mark(where) in sent for where in MARKS}
        assert (privacy != "none") == ("regression" in sent)
        assert (privacy != "none") == ("rows ordered in time" in sent)
        assert (privacy in ("statistics", "description")) == (str(NUMBERS["rows"][0]) in sent)
        assert (privacy in ("statistics", "description")) == ("train_value" in sent)


@settings(max_examples=60)
@given(
    st.text(max_size=30),
    st.text(max_size=30),
    st.sampled_from(["", "ValueError: ", "KeyError:", "row ", "\n"]),
    st.sampled_from(LEVELS[:-1]),
)
def test_messages_of_errors_stay_here(before: str, after: str, start: str, privacy: Any) -> None:
    """Whatever words an error has, below the level of descriptions its class is all that is told."""
    history = history_with_marks(12, [f"{start}{before} cellWv9 {after}"])
    assert {"", "Error", "ValueError", "KeyError"} >= {
        o.reason for o in visible_history(history, privacy, space_with_marks())
    }
    assert not any("Wv9" in sent for sent in rendered(task_with_marks(), space_with_marks(), history, privacy))


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("", ""),
        ("ValueError: could not convert 'Miller'", "ValueError"),
        ("KeyboardInterrupt", "KeyboardInterrupt"),
        ("lightgbm.basic.LightGBMError: bad", "lightgbm.basic.LightGBMError"),
        ("TrialPruned", "TrialPruned"),
        ("Miller", "Error"),
        ("Miller: not found", "Error"),
        ("a ValueError: x", "Error"),
        ("ValueErrors are bad", "Error"),
        ("Müller-Error: x", "Error"),
        ("A" * 100 + "Error: x", "Error"),
    ],
)
def test_class_of_an_error(reason: str, expected: str) -> None:
    """Only a name that ends as classes of errors do is taken for one; free text is told as "Error"."""
    assert expected == error_class(reason)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("could not convert 'Jane Doe' for \"C\" with 'poly'", "could not convert '...' for \"C\" with 'poly'"),
        ("can't convert 'Jane Doe': it's a string", "can't convert '...': it's a string"),
        ("could not convert string to float: 'Jane Doe, 12 Elm", "could not convert string to float: '...'"),
        ("bad value b'Jane' and np.str_('Doe')", "bad value b'...' and np.str_('...')"),
        ("cells ['Jane', \"O'Doe\"]", "cells ['...', \"...\"]"),
        ("cell 'Jane\\'s \"dear\" Doe' is odd", "cell '...' is odd"),
        ("column `Jane`\nof row 'Doe\nElm'", "column `...`\nof row '...'"),
        ("parameters' values 'Jane'", "parameters'...'"),
    ],
)
def test_cells_that_errors_quote_stay_here(reason: str, expected: str) -> None:
    """What an error quotes is cut out of each memory's question, unless it is a name or category of the space."""
    space = SearchSpace({"C": Float(0.1, 10), "kernel": Categorical(["rbf", "poly"])})
    history = History("maximize", (Observation(0, {"C": 1.0}, state="failed", reason=f"ValueError: {reason}"),))
    sent = rendered(Task(), space, history, "description")

    assert [f"ValueError: {expected}"] == [o.reason for o in visible_history(history, "description", space)]
    assert not any(cell in text for text in sent for cell in ("Jane", "Doe", "Elm"))
    assert sum("ValueError" in text for text in sent) >= 4


def test_a_cell_in_an_error_that_was_cut_to_length_stays_here() -> None:
    """A quoted cell whose end was cut off with the message is cut out all the same."""
    reason = describe_error(ValueError(f"could not convert string to float: '{'Jane Doe ' * 60}'"))
    history = History("maximize", (Observation(0, {}, state="failed", reason=reason),))

    assert not reason.endswith("'")
    assert not any("Jane" in text for text in rendered(Task(), space_with_marks(), history, "description"))


def test_collections_among_the_defaults_stay_here() -> None:
    """Defaults that are no scalars may hold classes or categories of the data: only their names are told."""
    params = {"alpha": 1.5, "priors": (0.123, 0.877), "class_weight": {"cancer": 5.0}, "levels": [["Elm Street"]]}
    text = render_design(Task(estimator_params=params)).text

    assert "alpha=1.5, priors, class_weight, levels" in text
    assert not any(told in text for told in ("cancer", "0.123", "Elm"))


def test_corrections_keep_to_the_level() -> None:
    """A reply that is sent back as wrong names no parameter of the estimator that the level keeps here."""
    task = Task(estimator_params={"secret_alpha": 1.0})
    reply = {"parameters": [{"name": "secret_alph", "type": "float", "low": 0, "high": 1}]}
    with pytest.raises(ReplyError, match="secret_alpha"):
        parse_design(reply, task)
    with pytest.raises(ReplyError) as caught:
        parse_design(reply, task, shown=visible(task, "none"))
    assert "secret_alpha" not in str(caught.value)
    assert "no such parameter" in str(caught.value)


def test_columns_have_no_place_in_a_task() -> None:
    """A task holds aggregates and words of the user's: its fields are these, and none can name a column."""
    fields = {"description", "estimator", "metric", "direction", "data", "n_trials", "estimator_params"}
    assert fields | {"candidates", "constraints", "objectives", "earlier"} == set(Task.__slots__)
    assert all(annotation in ("int", "float", "bool", "Kind") for annotation in DataFacts.__annotations__.values())


def test_levels_are_checked() -> None:
    """An unknown level is refused by name, and a level that would not reach its advisor is refused too."""
    with pytest.raises(ConfigError, match="'secret' must be one of none, schema, statistics, description"):
        LLMAdvisor("openai:x", base_url="http://127.0.0.1:9/v1", privacy="secret")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="would not reach"):
        choose_advisor(RuleAdvisor(), privacy="none")
    with pytest.raises(ConfigError, match="would not reach"):
        choose_advisor(RuleAdvisor(), mask_names=True)
    assert isinstance(choose_advisor("offline", privacy="none", mask_names=True), RuleAdvisor)
