"""
What is recorded is replayed equal; what differs is refused with its place.
"""

import json
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sllmbo import errors
from sllmbo.advisors import Advice, AdviceRequest, SpaceDesign
from sllmbo.advisors._recording import advice_question
from sllmbo.advisors.advisor import Memo
from sllmbo.advisors.choose import choose_advisor
from sllmbo.advisors.replay import ELSEWHERE, RecordingAdvisor, ReplayAdvisor, read_recording
from sllmbo.errors import AdviceError, ConfigError, ReplayMismatch, ReplyError
from sllmbo.history import History, Observation, Refusal
from sllmbo.space import Categorical, Float, SearchSpace
from sllmbo.task import Task
from sllmbo.usage import Usage
from sllmbo_strategies import advice_requests, json_values

SPACE = SearchSpace({"x": Float(0, 1, default=0.5), "kind": Categorical(["a", "b"], default="a")})
TASK = Task(description="a bowl", direction="minimize", n_trials=9)
USAGE = Usage(calls=1, input_tokens=900, output_tokens=41, cost_usd=0.00123, seconds=1.23456789)


def observation(number, value=0.25, **details):
    return Observation(number, {"x": 0.1, "kind": "a"}, state="complete", value=value, source="llm", details=details)


def request(turn=0, values=(), **changes):
    history = History("minimize", tuple(observation(number, value) for number, value in enumerate(values)))
    return replace(AdviceRequest(task=TASK, space=SPACE, history=history, turn=turn, seed=3), **changes)


class Fixed:
    """Gives the same answer to every question, or raises it."""

    def __init__(self, answer):
        self.answer = answer

    def suggest(self, request):
        return self.design_space(None)

    def design_space(self, task):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def advice(x=0.2):
    return Advice(
        params={"x": x, "kind": "b"},
        rationale="A smaller x — “bowl”.",
        source="llm",
        origin="openai:gpt-5-mini",
        prompt_version="suggest-1",
        usage=USAGE,
        raw='{"candidates": []}\n{"candidates": [{"x": 0.2}]}',
        memo=Memo(text="The bowl is flat.", after=7),
    )


def test_advice_comes_back_equal(tmp_path):
    """Every field of the advice, its source, origin and exact usage among them, survives the file."""
    given_advice = [advice(0.1 + 0.2), advice(1e-12)]
    told = RecordingAdvisor(Fixed(given_advice), tmp_path / "r.jsonl").suggest(request(n=2))
    assert given_advice == list(told)
    assert given_advice == list(ReplayAdvisor(tmp_path / "r.jsonl").suggest(request(n=2)))


def test_a_recording_from_before_refusals_were_told_is_still_answered_from():
    """What was turned down follows from the answers before, so it is no part of a question."""
    plain = request(values=[0.5])
    refused = replace(plain.history[0], turned_down=(Refusal({"x": 0.3}, "is next to trial 0"),))
    assert advice_question(plain) == advice_question(replace(plain, history=History("minimize", (refused,))))


def test_space_design_comes_back_equal(tmp_path):
    """A designed space is replayed with its order and its reasons."""
    design = SpaceDesign(space=SPACE, rationale="two matter", source="llm", origin="m", prompt_version="p", usage=USAGE)
    assert design == RecordingAdvisor(Fixed(design), tmp_path / "r").design_space(TASK)
    replayed = ReplayAdvisor(tmp_path / "r").design_space(TASK)
    assert design == replayed
    assert list(SPACE) == list(replayed.space)


@pytest.mark.parametrize(
    "cls", [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, AdviceError)]
)
def test_errors_are_raised_again(tmp_path, cls):
    """A recorded error is raised as the same class, with the same words and cost."""
    with pytest.raises(cls):
        RecordingAdvisor(Fixed(cls("No quota.", usage=USAGE)), tmp_path / "r").suggest(request())
    with pytest.raises(AdviceError) as caught:
        ReplayAdvisor(tmp_path / "r").suggest(request())
    assert (cls, "No quota.", USAGE) == (type(caught.value), str(caught.value), caught.value.usage)


def test_the_replies_of_a_failed_question_come_back(tmp_path):
    """What the chat model said is kept where it was of no use, too."""
    error = ReplyError("No candidates.", usage=USAGE)
    error.raw = '{"candidates": []}'
    with pytest.raises(ReplyError):
        RecordingAdvisor(Fixed(error), tmp_path / "r").suggest(request())
    with pytest.raises(ReplyError) as caught:
        ReplayAdvisor(tmp_path / "r").suggest(request())
    assert error.raw == caught.value.raw


def test_foreign_errors_are_replayed_as_advice_errors(tmp_path):
    """An exception that is none of ours passes the recorder unchanged and is replayed as AdviceError naming it."""
    recorder = RecordingAdvisor(Fixed(ZeroDivisionError("by zero")), tmp_path / "r")
    with pytest.raises(ZeroDivisionError):
        recorder.suggest(request())
    with pytest.raises(AdviceError, match="ZeroDivisionError: by zero"):
        ReplayAdvisor(tmp_path / "r").suggest(request())


def test_subclass_of_an_error_is_replayed_as_the_class_that_is_known(tmp_path):
    """A stranger's subclass of ReplyError comes back as ReplyError."""

    class Odd(ReplyError):
        pass

    with pytest.raises(Odd):
        RecordingAdvisor(Fixed(Odd("odd")), tmp_path / "r").design_space(TASK)
    with pytest.raises(ReplyError, match="odd"):
        ReplayAdvisor(tmp_path / "r").design_space(TASK)


def test_set_up_errors_are_not_recorded(tmp_path):
    """An error of the set-up is no answer: nothing is written."""
    with pytest.raises(ConfigError):
        RecordingAdvisor(Fixed(ConfigError("no such chat model")), tmp_path / "r").suggest(request())
    assert "" == (tmp_path / "r").read_text()


def test_wall_time_is_no_part_of_the_question(tmp_path):
    """Trials that took another time are the same trials."""
    slow, fast = (History("minimize", (observation(0, seconds=s, std=0.1),)) for s in (9.0, 0.1))
    RecordingAdvisor(Fixed([advice()]), tmp_path / "r").suggest(request(history=slow))
    assert [advice()] == list(ReplayAdvisor(tmp_path / "r").suggest(request(history=fast)))


def test_numpy_scalars_are_the_same_question(tmp_path):
    """A value that came as numpy's scalar asks the same as Python's."""
    RecordingAdvisor(Fixed([advice()]), tmp_path / "r").suggest(request(1, [np.float64(0.5)], seed=np.int64(3)))
    assert [advice()] == list(ReplayAdvisor(tmp_path / "r").suggest(request(1, [0.5])))


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"seed": 4}, "seed is 4, recorded was 3"),
        ({"n": 5}, "n is 5, recorded was 1"),
        ({"task": Task(description="a hill", direction="minimize")}, 'task.description is "a hill", recorded was "a b'),
        ({"space": SearchSpace({"x": Float(0, 2, default=0.5)})}, r"space[0].high is 2.0, recorded was 1.0"),
        ({"history": History("minimize", (observation(0), observation(1, 0.5)))}, r"history[1].value is 0.5, recorded"),
        ({"history": History("minimize", (observation(0),))}, r"history[1] is nothing, recorded was {"),
        ({"memo": Memo(text="flat", after=1)}, 'memo is {"text": "flat", "after": 1}, recorded was nothing'),
        ({"history": History("maximize", ())}, 'direction is "maximize", recorded was "minimize"'),
    ],
)
def test_mismatch_names_the_turn_and_the_first_difference(tmp_path, changes, place):
    """A question that differs is refused in one sentence with the place and both values."""
    RecordingAdvisor(Fixed([advice()]), tmp_path / "r").suggest(request(2, [0.25, 0.25]))
    with pytest.raises(ReplayMismatch) as caught:
        ReplayAdvisor(tmp_path / "r").suggest(request(2, [0.25, 0.25], **changes))
    assert "Turn 2 (next)" in str(caught.value)
    assert place in str(caught.value)
    assert 1 == str(caught.value).count(". ") + str(caught.value).endswith(".")


def test_order_of_parameters_is_part_of_the_question(tmp_path):
    """A space in another order asks another question."""
    RecordingAdvisor(Fixed([advice()]), tmp_path / "r").suggest(request())
    turned = SearchSpace({name: SPACE[name] for name in reversed(list(SPACE))})
    with pytest.raises(ReplayMismatch, match=r"space\[0\]"):
        ReplayAdvisor(tmp_path / "r").suggest(request(space=turned))


def test_question_beyond_the_recording_is_refused(tmp_path):
    """A turn that was never recorded is named, and so is a space that was never designed."""
    RecordingAdvisor(Fixed([advice()]), tmp_path / "r").suggest(request(4))
    replay = ReplayAdvisor(tmp_path / "r")
    with pytest.raises(ReplayMismatch, match=r"Turn 5 \(next\) is not in the recording"):
        replay.suggest(request(5))
    with pytest.raises(ReplayMismatch, match="The search space is not in the recording"):
        replay.design_space(TASK)


def test_last_answer_counts(tmp_path):
    """A question that was asked again after a crash is answered as the second time."""
    for x in (0.1, 0.9):
        RecordingAdvisor(Fixed([advice(x)]), tmp_path / "r").suggest(request())
    assert [advice(0.9)] == list(ReplayAdvisor(tmp_path / "r").suggest(request()))


@given(cut=st.integers(min_value=0))
def test_file_cut_anywhere_in_its_last_line_is_readable_and_can_be_continued(tmp_path_factory, cut):
    """A kill in the middle of a write costs that line alone, and the next recorder does not glue its own to it."""
    path = tmp_path_factory.mktemp("cut") / "r"
    recorder = RecordingAdvisor(Fixed([advice()]), path)
    recorder.suggest(request(0))
    first = path.stat().st_size
    recorder.suggest(request(1, [0.5]))
    whole = path.read_bytes()
    path.write_bytes(whole[: first + cut % (len(whole) - first - 1)])
    assert [advice()] == list(ReplayAdvisor(path).suggest(request(0)))
    with pytest.raises(ReplayMismatch):
        ReplayAdvisor(path).suggest(request(1, [0.5]))
    RecordingAdvisor(Fixed([advice(0.7)]), path).suggest(request(1, [0.5]))
    assert [advice(0.7)] == list(ReplayAdvisor(path).suggest(request(1, [0.5])))


def test_threads_write_whole_lines(tmp_path):
    """Questions from many threads at once are all readable and all answered."""
    recorder = RecordingAdvisor(Fixed([advice()]), tmp_path / "r")
    barrier = threading.Barrier(8)

    def ask(turn):
        barrier.wait(10)
        return recorder.suggest(request(turn, [0.5] * 30))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    lines = [json.loads(line) for line in (tmp_path / "r").read_text().splitlines()]
    assert list(range(8)) == sorted(line["question"]["turn"] for line in lines)
    assert [advice()] == list(ReplayAdvisor(tmp_path / "r").suggest(request(7, [0.5] * 30)))


def test_recording_grows_with_the_study_and_not_with_its_square(tmp_path):
    """Each trial is written once: the last line of a long study names its trials and does not repeat them."""
    recorder = RecordingAdvisor(Fixed([advice()]), tmp_path / "r")
    for turn in range(60):
        recorder.suggest(request(turn, [turn_value / 7 for turn_value in range(turn)]))
    lines = (tmp_path / "r").read_text().splitlines()
    assert 1 == len(json.loads(lines[-1])["parts"])
    assert 62 - 1 == sum(len(json.loads(line)["parts"]) for line in lines)


def test_both_pickle(tmp_path):
    """Copies in another process answer, and go on writing the same file."""
    recorder = pickle.loads(pickle.dumps(RecordingAdvisor(Fixed([advice()]), tmp_path / "r")))
    recorder.suggest(request())
    replay = pickle.loads(pickle.dumps(ReplayAdvisor(tmp_path / "r")))
    assert [advice()] == list(replay.suggest(request()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "is no recording"),
        ("[1]\n", "is no recording"),
        ('{"schema": 99}\n', "has schema 99"),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    """A file that is no recording of this version is refused by name."""
    (tmp_path / "r").write_text(text)
    with pytest.raises(ConfigError, match=message):
        ReplayAdvisor(tmp_path / "r")


def test_missing_file_and_folder_are_refused(tmp_path):
    """A path that cannot be read or written is refused before the study starts."""
    with pytest.raises(ConfigError, match="cannot be read"):
        ReplayAdvisor(tmp_path / "none")
    with pytest.raises(ConfigError, match="cannot be written"):
        RecordingAdvisor(Fixed([]), tmp_path / "none" / "r")


@given(asked=advice_requests(), params=st.dictionaries(st.text(), json_values()), rationale=st.text())
def test_any_question_and_any_values_are_replayed(tmp_path_factory, asked, params, rationale):
    """Whatever is asked and answered, the replay gives it back, and refuses the next turn."""
    path = tmp_path_factory.mktemp("any") / "r"
    answer = [Advice(params=params, rationale=rationale)]
    RecordingAdvisor(Fixed(answer), path).suggest(asked)
    replay = ReplayAdvisor(path)
    assert answer == list(replay.suggest(asked))
    with pytest.raises(ReplayMismatch):
        replay.suggest(replace(asked, turn=asked.turn + 1))


class Numbered:
    """Gives each turn its own points, and as many as are wanted; an opening those of the turns from its own on."""

    def suggest(self, request):
        places = range(request.turn, request.turn + request.n)
        return [Advice(params={"x": turn / 100}, source="llm", origin="m") for turn in places]


def lenient(tmp_path, *recorded):
    """A lenient replay of these questions' recording."""
    for asked in recorded:
        RecordingAdvisor(Numbered(), tmp_path / "r").suggest(asked)
    return choose_advisor(f"replay-lenient:{tmp_path / 'r'}")


def values(advice):
    return [item.params["x"] for item in advice]


def test_a_lenient_replay_gives_the_same_question_its_advice_unmarked(tmp_path):
    """Where the question is the recorded one, nothing is different from a strict replay."""
    replay = lenient(tmp_path, request(4, n=2))
    assert ["m", "m"] == [item.origin for item in replay.suggest(request(4, n=2))]


@pytest.mark.parametrize(("n", "expected"), [(1, [0.04]), (2, [0.04, 0.05]), (5, [0.04, 0.05])])
def test_a_lenient_replay_answers_by_turn_and_marks_it(tmp_path, n, expected):
    """Another question in the same turn gets as much of the turn's advice as is wanted and there, marked."""
    advice = lenient(tmp_path, request(4, n=2), request(5, n=1)).suggest(request(4, [0.5], n=n, seed=9))
    assert expected == values(advice)
    assert {f"m{ELSEWHERE}"} == {item.origin for item in advice}


def test_a_lenient_replay_raises_where_the_turn_was_never_recorded(tmp_path):
    """A turn without a recorded question, or with one for another purpose, has no advice."""
    replay = lenient(tmp_path, request(4))
    for asked in (request(5), request(4, purpose="opening")):
        with pytest.raises(AdviceError, match="is not in the recording"):
            replay.suggest(asked)
    with pytest.raises(AdviceError, match="The search space is not in the recording"):
        replay.design_space(TASK)


@pytest.mark.parametrize(
    ("turn", "n", "expected"), [(1, 5, [0.01, 0.02, 0.03, 0.04, 0.05]), (2, 1, [0.02]), (4, 9, [0.04, 0.05])]
)
def test_openings_of_parallel_workers_are_one_when_replayed_leniently(tmp_path, turn, n, expected):
    """An opening that several workers asked for in parts is answered from any of its turns on."""
    parts = [request(3, n=3, purpose="opening"), request(1, n=2, purpose="opening")]
    assert expected == values(lenient(tmp_path, *parts).suggest(request(turn, n=n, purpose="opening", seed=9)))


def test_a_lenient_replay_repeats_errors_and_designs(tmp_path):
    """A recorded error is raised for another question of its turn; a design for another task is marked."""
    with pytest.raises(ReplyError):
        RecordingAdvisor(Fixed(ReplyError("odd")), tmp_path / "r").suggest(request(2))
    with pytest.raises(ReplyError):
        RecordingAdvisor(Fixed(ReplyError("bad")), tmp_path / "r").suggest(request(1, purpose="opening"))
    RecordingAdvisor(Fixed(SpaceDesign(space=SPACE, origin="m")), tmp_path / "r").design_space(TASK)
    replay = ReplayAdvisor(tmp_path / "r", lenient=True)
    with pytest.raises(ReplyError, match="odd"):
        replay.suggest(request(2, seed=9))
    with pytest.raises(ReplyError, match="bad"):
        replay.suggest(request(1, seed=9, purpose="opening"))
    design = replay.design_space(replace(TASK, description="a hill"))
    assert (SPACE, f"m{ELSEWHERE}") == (design.space, design.origin)


def test_a_recording_is_read_as_values(tmp_path):
    """Questions come in order, whole, each with its answer, cost, time and repairs."""
    recorder = RecordingAdvisor(Fixed([advice(0.2), advice(7.0)]), tmp_path / "r")
    recorder.suggest(request(4, [0.5], n=2))
    RecordingAdvisor(Fixed(SpaceDesign(space=SPACE, usage=USAGE)), tmp_path / "r").design_space(TASK)
    with pytest.raises(ReplyError):
        RecordingAdvisor(Fixed(ReplyError("odd", usage=USAGE)), tmp_path / "r").suggest(request(5))
    recording = read_recording(tmp_path / "r")
    (first, second, third) = recording.questions
    assert ((advice(0.2), advice(7.0)), USAGE + USAGE, 1) == (first.advice, first.usage, first.repairs)
    assert 0.5 == first.question["history"][0]["value"]
    assert (SPACE, USAGE, None) == (second.design.space, second.usage, second.repairs)
    assert ("odd", USAGE) == (str(third.error), third.usage)
    assert [("next", 4), ("space", None), ("next", 5)] == [(q.purpose, q.turn) for q in recording.questions]
    assert all(q.seconds >= 0 for q in recording.questions)
    assert () == recording.runs
    assert "ReplyError: odd" == third.row()["error"]
    assert ("openai:gpt-5-mini", 2, 2 * 941) == tuple(
        first.row()[name] for name in ("chat_model", "candidates", "tokens")
    )


def test_runs_are_read_with_their_trials(tmp_path):
    """What a run was told to do, and its trials, come back with the questions between them."""
    recorder = RecordingAdvisor(Fixed([advice()]), tmp_path / "r")
    recorder.begin_run({"trials": 2})
    recorder.add_trial({"turn": 0})
    recorder.suggest(request(1))
    recorder.begin_run({"trials": 3})
    recorder.add_trial({"turn": 1})
    recording = read_recording(tmp_path / "r")
    assert [({"trials": 2}, ({"turn": 0},)), ({"trials": 3}, ({"turn": 1},))] == [
        (run.settings, run.trials) for run in recording.runs
    ]
    assert [advice()] == list(ReplayAdvisor(tmp_path / "r").suggest(request(1)))


def test_unusable_advice_counts_as_one_repair(tmp_path):
    """A configuration that has no meaning in the space is told as such, and does not break the table."""
    answer = [Advice(params={"x": "?"}), Advice(params=None), Advice(params={"x": 0.5, "kind": "a"})]
    RecordingAdvisor(Fixed(answer), tmp_path / "r").suggest(request(n=3))
    assert 2 == read_recording(tmp_path / "r").questions[0].repairs


def test_a_recording_that_can_no_longer_be_written_ends_the_study(tmp_path):
    """Advice is not lost silently: a full or vanished disk is a mistake of the set-up, which samplers let through."""
    recorder = RecordingAdvisor(Fixed([advice()]), tmp_path / "r")
    (tmp_path / "r").unlink()
    (tmp_path / "r").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        recorder.suggest(request())


def test_a_base_url_beside_a_recording_is_refused():
    """A recording has no server."""
    for llm in ("replay:r", "replay-lenient:r"):
        with pytest.raises(ConfigError, match="needs a chat model"):
            choose_advisor(llm, base_url="http://localhost:1/v1")


def test_nothing_is_added_to_a_file_that_is_no_recording(tmp_path):
    """The user's table that was named by a slip stays as it is."""
    (tmp_path / "d.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match=r"d.csv' is not a recording"):
        RecordingAdvisor(Fixed([]), tmp_path / "d.csv")
    assert "a,b\n1,2\n" == (tmp_path / "d.csv").read_text()
