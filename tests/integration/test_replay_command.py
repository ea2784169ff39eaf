"""
What `sllmbo tune --record` wrote, `sllmbo replay` does again and compares; where something differs, it says what.
"""

import csv
import inspect
import io
import json

import numpy as np
import pandas as pd
import pytest

from sllmbo.advisors.replay import RecordingAdvisor, read_recording
from sllmbo.advisors.rules import RuleAdvisor
from sllmbo.cli.progress import Progress
from sllmbo.cli.rerun import LATER, REPEATED, Rerun
from sllmbo.cli.tune import tune
from sllmbo.errors import ConfigError, ReplayMismatch, TaskError
from sllmbo.task import Task
from sllmbo.testing import chat_server
from sllmbo_process import sllmbo

LEFT_OUT = {
    **dict.fromkeys(["data", "space"], "written as a hash and a value of its own"),
    **dict.fromkeys(
        ["llm", "base_url", "reply_mode", "privacy", "mask_names", "memory", "record"], "the advice is in the recording"
    ),
    **dict.fromkeys(["max_calls", "max_tokens", "max_cost"], "a refused question is in the recording as well"),
    **dict.fromkeys(["prefetch"], "what the clock decided cannot be done again, so it is refused"),
    **dict.fromkeys(["prefer", "yes"], "what was confirmed is written as constraints and objectives"),
    **dict.fromkeys(["timeout"], "a replay ends with the last recorded trial"),
    **dict.fromkeys(["transfer"], "what came of it is in the recording"),
    **dict.fromkeys(["command", "value_file", "time_limit", "context"], "of a command, whose study is not replayed"),
    **dict.fromkeys(["out", "study", "storage"], "a replay has its own"),
    **dict.fromkeys(["as_json", "plain", "debug", "show_list"], "only about what is shown"),
}


def rewritten(path, change, to):
    """Write the recording to file *to* with *change* made to its lines, and return it."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    to.write_text("".join(f"{json.dumps(line)}\n" for line in change(lines)))
    return to


def run_again(path, data=None):
    rerun = Rerun(path, read_recording(path), data)
    rerun.run(Progress(io.StringIO(), plain=True), lambda: None)
    return rerun


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study of a chat model that was begun with 8 trials and gone on with to 12; the chat model is gone."""
    folder = tmp_path_factory.mktemp("recorded")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 3)), columns=["size", "age", "weight"])
    frame["price"] = frame["size"] * 2 + rng.normal(size=60)
    frame.to_csv(folder / "houses.csv", index=False)
    with chat_server.ChatServer() as server:
        for trials in (8, 12):
            done = sllmbo(
                *["tune", "houses.csv", "--target", "price", "--estimator", "ridge", "--cv", "2", "--trials", trials],
                *["--llm", "openai:any", "--base-url", server.base_url, "--record", "r.jsonl"],
                cwd=folder,
                OPENAI_API_KEY="sk-none-of-your-business",
            )
            assert 0 == done.returncode, done.stderr
    return folder


def test_a_recorded_study_comes_out_equal(folder):
    """Without options, key and server, both runs are done again, and the results are those of the study."""
    done = sllmbo("replay", "r.jsonl", cwd=folder)
    assert (0, "All 12 trials came out equal to the recorded ones.\n") == (done.returncode, done.stdout), done.stderr
    (then, now) = (next(folder.glob(f"sllmbo-out/{name}*/trials.csv")) for name in ("houses-ridge", "replay-r"))
    told = [
        [
            {name: v for name, v in row.items() if name != "seconds"}
            for row in csv.DictReader(path.read_text().splitlines())
        ]
        for path in (then, now)
    ]
    assert told[0] == told[1]
    assert "none-of-your-business" not in (folder / "r.jsonl").read_text()


def test_the_decision_behind_each_trial_is_recorded(folder):
    """A trial's line says who was meant to serve it, what was repaired or turned down, and what it cost."""
    trials = [trial for run in read_recording(folder / "r.jsonl").runs for trial in run.trials]
    advised = [trial["decision"] for trial in trials if trial["source"] == "llm"]
    assert 12 == len(trials)
    assert advised
    assert all({"origin", "prompt_version"} <= decision.keys() for decision in advised)
    assert sum(trial["decision"].get("usage", {}).get("calls", 0) for trial in trials) > 0


def test_a_study_that_was_recorded_before_decisions_were_comes_out_equal(folder, tmp_path):
    """A recording of schema 1, whose trials have no decision, is run again and compared as before."""

    def as_before(lines):
        for line in lines:
            line["schema"] = 1
            line.get("trial", {}).pop("decision", None)
        return lines

    assert (
        12 == run_again(rewritten(folder / "r.jsonl", as_before, tmp_path / "old.jsonl"), folder / "houses.csv").n_equal
    )


def test_the_table_shows_every_question(folder):
    """--table prints one line per question and the sums; --csv writes all columns; neither runs anything."""
    shown = sllmbo("replay", "r.jsonl", "--table", cwd=folder)
    written = sllmbo("replay", "r.jsonl", "--csv", "questions.csv", cwd=folder)
    questions = read_recording(folder / "r.jsonl").questions
    lines = shown.stdout.splitlines()
    rows = list(csv.DictReader((folder / "questions.csv").read_text().splitlines()))
    assert (0, 0) == (shown.returncode, written.returncode)
    assert len(questions) == len(rows) == len(lines) - 2
    assert "scripted-1" in lines[2]
    assert str(sum(question.usage.input_tokens + question.usage.output_tokens for question in questions)) in lines[-1]
    assert [question.usage.calls for question in questions] == [int(row["calls"]) for row in rows]


def test_changed_data_are_told(folder, tmp_path):
    """With other data the exit code is 2, and both the change and the first difference are said."""
    table = pd.read_csv(folder / "houses.csv")
    table.loc[3, "price"] += 1
    table.to_csv(tmp_path / "houses.csv", index=False)
    done = sllmbo("replay", folder / "r.jsonl", "houses.csv", cwd=tmp_path)
    assert 2 == done.returncode
    assert "the data in 'houses.csv' has changed" in done.stderr
    assert "recorded was" in done.stderr


def test_an_unchanged_copy_elsewhere_is_the_same_data(folder, tmp_path, monkeypatch):
    """The table is found beside the recording, from whichever folder the replay is run."""
    monkeypatch.chdir(tmp_path)
    rerun = run_again(folder / "r.jsonl")
    assert (12, 12, ()) == (rerun.n_equal, rerun.n_trials, rerun.changes)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [("value", 0.125, "value is "), ("source", "tpe", 'source is "default"'), ("state", "fail", 'is "complete"')],
)
def test_a_trial_that_differs_is_named(folder, tmp_path, field, value, words):
    """A recorded trial that does not come out is told with both values."""

    def change(lines):
        return [
            {**e, "trial": {**e["trial"], field: value}} if e.get("trial", {}).get("turn") == 0 else e for e in lines
        ]

    path = rewritten(folder / "r.jsonl", change, tmp_path / "r.jsonl")
    with pytest.raises(ReplayMismatch, match="Trial 0 differs from the recording") as caught:
        run_again(path, folder / "houses.csv")
    assert words in str(caught.value)


@pytest.mark.parametrize("cut", [9, 14, 23])
def test_a_study_that_was_killed_is_replayed_as_far_as_it_came(folder, tmp_path, cut):
    """The replay of a recording that ends anywhere ends with its last trial, all equal."""
    path = rewritten(folder / "r.jsonl", lambda lines: lines[:cut], tmp_path / "r.jsonl")
    n_trials = sum(len(run.trials) for run in read_recording(path).runs)
    rerun = run_again(path, folder / "houses.csv")
    assert n_trials > 0
    assert (n_trials, n_trials) == (rerun.n_equal, rerun.n_trials)


def test_other_versions_are_told(folder, tmp_path):
    """A package that has another version now is named with both."""

    def change(lines):
        for line in lines:
            if "settings" in line:
                line["settings"]["versions"]["optuna"] = "4.0.0"
        return lines

    path = rewritten(folder / "r.jsonl", change, tmp_path / "r.jsonl")
    changes = Rerun(path, read_recording(path), folder / "houses.csv").changes
    assert [True] == [change.startswith("optuna was 4.0.0 and is ") for change in changes]


def test_of_several_studies_in_a_file_the_last_is_replayed(folder, tmp_path):
    """A study that was begun anew in the same file takes the place of the one before."""
    path = rewritten(folder / "r.jsonl", lambda lines: lines + lines, tmp_path / "r.jsonl")
    assert 12 == run_again(path, folder / "houses.csv").n_trials


def test_what_cannot_be_run_again_is_refused(folder, tmp_path):
    """Recordings without settings or without their beginning, and missing data, are refused with the remedy."""
    RecordingAdvisor(RuleAdvisor(), tmp_path / "bare").design_space(Task(estimator="ridge"))
    with pytest.raises(ConfigError, match="holds no settings"):
        run_again(tmp_path / "bare")
    late = rewritten(
        folder / "r.jsonl", lambda lines: [e for e in lines if e.get("trial", {}).get("turn") != 0], tmp_path / "late"
    )
    with pytest.raises(ConfigError, match="no study from its beginning"):
        run_again(late)
    lone = rewritten(folder / "r.jsonl", lambda lines: lines, tmp_path / "lone")
    with pytest.raises(TaskError, match=r"name its file: sllmbo replay lone DATA"):
        run_again(lone)


def test_a_folder_with_a_study_is_left_alone(folder):
    """The results of a replay never overwrite those of a study."""
    study = next(path.parent for path in folder.glob("sllmbo-out/houses-*/study.db"))
    before = (study / "result.json").read_text()
    done = sllmbo("replay", "r.jsonl", "--out", study, cwd=folder)
    assert 2 == done.returncode
    assert "holds a study" in done.stderr
    assert before == (study / "result.json").read_text()


def test_a_study_in_which_the_clock_decided_is_refused(folder, tmp_path):
    """A recording that was made with --prefetch is not run again, and the message says what can be done with it."""

    def by_the_clock(lines):
        for line in lines:
            line.get("settings", {}).get("options", {})["prefetch"] = True
        return lines

    with pytest.raises(ConfigError, match="replay-lenient:FILE"):
        run_again(rewritten(folder / "r.jsonl", by_the_clock, tmp_path / "clock.jsonl"), folder / "houses.csv")


def test_every_option_of_tune_is_recorded_or_left_out_on_purpose():
    """A new option of `sllmbo tune` is sorted into one of two lists, so that no replay forgets it."""
    assert set(inspect.signature(tune).parameters) == {*REPEATED, *LATER, *LEFT_OUT}
