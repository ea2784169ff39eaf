"""
JSON is found in whatever chat models write around it, and nearly right JSON is read as it was meant.
"""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sllmbo.errors import ReplyError
from sllmbo.llm import read_json

PARAMS = {"lr": 0.01, "kernel": "rbf"}
ANSWER = {"candidates": [{"params": PARAMS, "rationale": "it's small"}]}
WHOLE = json.dumps(ANSWER)


@pytest.mark.parametrize(
    "text",
    [
        WHOLE,
        f"```json\n{json.dumps(ANSWER, indent=2)}\n```",
        f"Sure! Here you go:\n```\n{WHOLE}\n```\nGood luck with {{your}} study!",
        f"I looked at [1, 2] and {{lr}} first. {WHOLE} Hope that helps.",
        f'<think>Perhaps {{"candidates": [{{"params": {{"lr": 0.5}}}}]}}? No, smaller.</think>{WHOLE}',
        f'The user wants {{"candidates": "a list"}} ...</think>\n\n{WHOLE}',
        f"<think>{WHOLE}</think>",
        f"<think>Easy: {WHOLE}",
        """{'candidates': [{'params': {'lr': 0.01, 'kernel': 'rbf'}, 'rationale': "it's small"}]}""",
        WHOLE.replace("}]}", ",},],}"),
        WHOLE.replace("[{", "[ // the first\n{"),
        WHOLE[:-2],
        f"```json\n{WHOLE[:-1]}\n```",
        """{candidates: [{params: {lr: 0.01, kernel: "rbf"}, rationale: "it's small"}]}""",
    ],
)
def test_what_was_meant_is_read(text: str) -> None:
    """Fences, prose, thinking, single quotes, missing and surplus commas, comments and missing ends do not matter."""
    assert ANSWER == read_json(text, ["candidates"])


@pytest.mark.parametrize("value", ["10^-2", "2**-3", "1e-3*2", "5%", "1/100", "1 000", "1\u00d710^-3"])
def test_arithmetic_is_no_number(value: str) -> None:
    """What nobody has worked out stays a text, which no parameter of numbers takes; nothing beside it is lost."""
    text = f'{{"candidates": [{{"params": {{"C": {value}, "n": 5}}, "rationale": "at 5%: more"}}]}}'
    found = {"params": {"C": value, "n": 5}, "rationale": "at 5%: more"}
    assert {"candidates": [found]} == read_json(text, ("candidates",))


@pytest.mark.parametrize("value", ["0.1 /* C */", ".1", "+0.1", "0.1 // C\n", "1e-1"])
def test_a_number_with_a_comment_is_a_number(value: str) -> None:
    """Slips in writing one are mended."""
    text = f'{{"candidates": [{{"params": {{"n": 5, "C": {value}}}}},]}}'
    assert {"candidates": [{"params": {"n": 5, "C": 0.1}}]} == read_json(text, ("candidates",))


def test_the_value_that_has_the_keys_is_preferred() -> None:
    """Of several objects the last with what was asked for is read, also if it must be repaired; else the largest."""
    assert {"a": {"b": 1}} == read_json('{} {"a": {"b": 1}} {"x": 1}', ["candidates"])
    assert [{"x": 1}, {"x": 2}] == read_json('[{"x": 1}, {"x": 2}]')
    assert {"candidates": [{"p": 1}, {"p": 2}]} == read_json('{"candidates": [{"p": 1}, {"p": 2}', ["candidates"])


@pytest.mark.parametrize(
    "before",
    [
        "The trials so far: " + json.dumps([{"trial": i, "lr": 0.1, "value": 0.5} for i in range(60)]),
        " ".join(f"{{{i}}}: " + json.dumps({"trial": i, "lr": 0.1}) for i in range(40)),
        " ".join(json.dumps({"trial": i}) for i in range(60)),
        "The schema is "
        + json.dumps({"type": "object", "properties": {"candidates": {"type": "array"}}, "x": "y" * 99}),
        "First I thought of " + json.dumps({"candidates": [{"params": PARAMS}] * 5}) + ", but no:",
    ],
)
def test_the_answer_comes_last(before: str) -> None:
    """Trials that are quoted, the schema and a draft that was withdrawn are not the answer, however long they are."""
    assert ANSWER == read_json(f"{before}\n{WHOLE}", ["candidates"])


@pytest.mark.parametrize("size", range(len(WHOLE)))
def test_a_value_that_was_cut_off_is_not_read(size: int) -> None:
    """Wherever a reply ends, no number or text in it is read that may go on."""
    try:
        reply = read_json(WHOLE[:size], ["candidates"])
    except ReplyError:
        return
    for candidate in reply.get("candidates", [reply]):
        assert PARAMS.items() >= candidate.get("params", candidate).items()
        assert "rationale" not in candidate or size > WHOLE.index("}]}")


@pytest.mark.parametrize("text", ["", "  ", "no", "42", "[]", "[1, 2]", '"text"', "{", "}", "null"])
def test_what_is_no_object_is_refused(text: str) -> None:
    """A reply without an object is an error in words that can be sent back."""
    with pytest.raises(ReplyError, match="JSON object"):
        read_json(text)


@settings(max_examples=200)
@given(
    st.one_of(
        st.text(),
        st.text(alphabet="{}[]\":,x1 \n\\'/<think>"),
        st.integers(1, 5000).map(lambda n: '{"a":[' * n),
    )
)
def test_any_text_is_read_or_refused(text: str) -> None:
    """Any text gives an object or a list of objects, or a `ReplyError`, never another exception."""
    try:
        value = read_json(text, ["a"])
    except ReplyError:
        return
    assert isinstance(value, dict) or all(isinstance(item, dict) for item in value)


@pytest.mark.parametrize("unit", ['{"', "{'a':", '{"},', "<think>", "[{]}", "{", '"', "```json{"])
def test_hostile_text_takes_no_time(unit: str) -> None:
    """A long reply that is all brackets and quotes is given up soon."""
    start = time.process_time()
    for text in (unit * 40_000, "[" + unit * 4_000 + "]"):
        try:
            read_json(text, ["a"])
        except ReplyError:
            continue
    assert time.process_time() - start < 8
