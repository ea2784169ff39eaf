"""
The runner and the command: resumed, parallel and serial runs give one table; wrong input is told in one sentence.
"""

import csv
import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sllmbo.benchmarks import cell, runner
from sllmbo.benchmarks.cell import Cell
from sllmbo.benchmarks.failures import Failures
from sllmbo.benchmarks.folder import CELLS, COLUMNS, RESULTS, RUN, keep_cell, read_cells
from sllmbo.benchmarks.report import write_report
from sllmbo.benchmarks.results import read_results
from sllmbo.benchmarks.runner import make_plan, run_plan
from sllmbo.errors import ConfigError
from sllmbo_process import environment, sllmbo

pytest.importorskip("matplotlib", reason="the pictures need the extra bench")

METHODS = ("random", "tpe+default")


def plan(**changes):
    given = {"methods": METHODS, "problems": ["memory", "nan"], "seeds": [0, 1], "trials": 6}
    return make_plan("failures", **{**given, **changes})


def table(folder):
    """The rows of results.csv without the time that they took."""
    with (folder / RESULTS).open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


PLAIN = {"TERM": "dumb", "COLUMNS": "200"}


def bench(*arguments):
    return sllmbo("bench", *arguments, cwd=Path.cwd(), **PLAIN)


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serial")
    run_plan(plan(), folder)
    return folder


def test_the_table_is_tidy(serial):
    """One row for each trial, in order, with the promised columns."""
    rows = table(serial)
    assert 2 * 2 * 2 * 6 == len(rows)
    assert [name for name in COLUMNS if name != "seconds"] == list(rows[0])
    assert [str(trial) for trial in range(6)] == [row["trial"] for row in rows[:6]]
    assert {"memory", "nan"} == {row["problem"] for row in rows}
    assert {"0", "1"} == {row["failed"] for row in rows}
    assert all((row["value"] == "") == (row["failed"] == "1") for row in rows)
    regrets = [float(row["regret"]) for row in rows[:6] if row["regret"]]
    assert sorted(regrets, reverse=True) == regrets


def test_processes_give_the_table_of_one(serial, tmp_path):
    """Two workers finish in any order and write the same table."""
    run_plan(plan(), tmp_path, jobs=2)
    assert table(serial) == table(tmp_path)


def test_a_run_is_gone_on_with_and_widened(serial, tmp_path):
    """Seeds and methods may come later, in any order; finished cells are not run again."""
    run_plan(plan(seeds=[1], methods=["tpe+default"]), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / CELLS).iterdir()}
    told = []
    run_plan(plan(), tmp_path, on_cell=lambda cell, record, done, total: told.append((cell, done, total)))
    assert table(serial) == table(tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert ([3, 4, 5, 6, 7, 8], {8}) == ([done for _, done, _ in told], {total for _, _, total in told})


def test_an_interrupt_keeps_what_is_finished(serial, tmp_path):
    """A Ctrl-C after three cells leaves their table; the next run adds the rest."""

    def interrupt(cell, record, done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_plan(plan(), tmp_path, on_cell=interrupt)
    assert 3 * 6 == len(table(tmp_path))
    run_plan(plan(), tmp_path)
    assert table(serial) == table(tmp_path)


def test_a_killed_run_is_gone_on_with(tmp_path):
    """A run with two workers that is killed and repeated gives the results of an uncut one."""
    options = ["--suite", "failures", "--problems", "memory", "--methods", "random,tpe+default", "--seeds", "0-5"]
    options += ["--trials", "8"]
    killed, uncut = tmp_path / "killed", tmp_path / "uncut"
    words = [sys.executable, "-m", "sllmbo", "bench", *options, "--out", str(killed), "--jobs", "2"]
    streams = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(words, env=environment(**PLAIN), **streams) as process:
        for line in process.stderr:
            if "3/12" in line:
                process.send_signal(signal.SIGKILL)
                break
        process.stderr.read()  # ends when the last worker has closed it
    assert -signal.SIGKILL == process.returncode
    assert 3 <= len(list((killed / CELLS).glob("*.json"))) < 12
    for folder in (killed, uncut):
        done = bench(*options, "--out", folder)
        assert 0 == done.returncode, done.stderr
    assert table(killed) == table(uncut)


def test_a_folder_of_another_run_is_refused(tmp_path):
    """Another suite, number of trials or version contradicts the cells that are there."""
    run_plan(plan(seeds=[0], problems=["nan"], methods=["random"]), tmp_path)
    with pytest.raises(ConfigError, match=r"holds a run with trials 6, and now it is 7; name another folder"):
        run_plan(plan(trials=7), tmp_path)
    run = json.loads((tmp_path / RUN).read_text())
    (tmp_path / RUN).write_text(json.dumps({**run, "versions": {**run["versions"], "optuna": "4.0"}}))
    with pytest.raises(ConfigError, match=r"holds a run with versions optuna 4.0, and now it is optuna 5"):
        run_plan(plan(), tmp_path)
    (tmp_path / RUN).write_text(json.dumps({**run, "code": "0" * 64}))
    with pytest.raises(ConfigError, match=r"holds a run with code 000000000000, and now it is"):
        run_plan(plan(), tmp_path)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    """Files of the user's are not written over."""
    (tmp_path / "report.md").write_text("mine")
    with pytest.raises(ConfigError, match="holds something else; name a new one"):
        run_plan(plan(), tmp_path)
    assert ["report.md"] == [path.name for path in tmp_path.iterdir()]


def test_a_start_without_a_study_binds_the_folder_to_nothing(tmp_path, monkeypatch):
    """What failed before its first study may be started again as something else."""
    monkeypatch.setattr(runner, "run_cell", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_plan(plan(trials=7), tmp_path)
    monkeypatch.undo()
    run_plan(plan(), tmp_path)
    assert 6 == json.loads((tmp_path / RUN).read_text())["trials"]


@pytest.mark.parametrize("content", ["{", "null", "{}", '{"cell": 1}'])
def test_a_broken_cell_is_named(tmp_path, content):
    """Which file it is, and what to do."""
    (tmp_path / CELLS).mkdir()
    (tmp_path / CELLS / "a.json").write_text(content)
    with pytest.raises(ConfigError, match=r"a\.json' is broken; delete it, and that study runs again"):
        read_cells(tmp_path)


def test_a_broken_run_is_named(tmp_path):
    """What all studies have in common must be an object."""
    run_plan(plan(seeds=[0], problems=["nan"], methods=["random"]), tmp_path)
    (tmp_path / RUN).write_text("null")
    with pytest.raises(ConfigError, match=r"run.json' is broken; name another folder with --out"):
        run_plan(plan(), tmp_path)


def openings(folder, lr):
    folder.mkdir(exist_ok=True)
    path = folder / "o.json"
    path.write_text(json.dumps({"tasks": {"memory": {"opening": [{"batch_size": lr}]}}}))
    return f"openings:{path}"


def test_advice_from_a_file_that_has_changed_is_not_mixed_with_the_earlier_one(tmp_path):
    """A folder remembers what the files of its advisors were."""
    asked = {"methods": ["llm"], "problems": ["memory"], "seeds": [0], "trials": 2}
    run_plan(plan(**asked, advisors=[openings(tmp_path / "a", 16)]), tmp_path / "out")
    run_plan(plan(**asked, advisors=[openings(tmp_path / "a", 16)]), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"'o.json' of an advisor has changed since"):
        run_plan(plan(**asked, advisors=[openings(tmp_path / "a", 32)]), tmp_path / "out")


def test_advisors_that_would_be_called_the_same_are_refused(tmp_path):
    """Results are told by the names of files without their folders."""
    same = [openings(tmp_path / "a", 16), openings(tmp_path / "b", 32)]
    with pytest.raises(ConfigError, match="would be called the same; rename a file"):
        plan(methods=["llm"], problems=["memory"], advisors=same)


def test_the_page_says_what_is_left_out_and_who_was_mute(tmp_path):
    """Studies that not all methods have, failed questions, and too few seeds; pictures of an earlier page are gone."""
    run_plan(plan(), tmp_path)
    write_report(tmp_path, read_results(tmp_path), baseline="tpe+default")
    assert (tmp_path / "ranks.png").exists()
    more = plan(methods=["llm"], advisors=["hostile:always-raising"], problems=["nan"], seeds=[0])
    run_plan(more, tmp_path)
    write_report(tmp_path, read_results(tmp_path), baseline="tpe+default")
    page = (tmp_path / "report.md").read_text()
    assert "- Studies: 1 problem x 1 seed (0) for each method" in page
    assert "- Left out: 6 studies of problems or seeds in this folder that not all methods have" in page
    assert "- Fewer than 5 seeds" in page
    assert re.search(r"- Without advice: llm \[hostile:always-raising\] in 5 of its 5 turns \(mostly \w+\)", page)
    assert not (tmp_path / "ranks.png").exists()


def test_cells_whose_names_look_alike_have_files_of_their_own(tmp_path):
    """What is no letter in a name is replaced, and the file is told apart nevertheless."""
    (tmp_path / CELLS).mkdir()
    for method in ("llm-tpe:coin", "llm-tpe-coin"):
        keep_cell(tmp_path, Cell("failures", "memory", method, "rules", 0, 1), {"cell": {}, "trials": []})
    assert 2 == len(list((tmp_path / CELLS).iterdir()))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"trials": 0}, "trials=0 must be at least 1"),
        ({"seeds": []}, r"seeds=\[\] must name at least one"),
        ({"methods": []}, r"methods=\[\] must name at least one"),
        ({"problems": ["memory", "x"]}, "has no problem 'x'"),
        ({"methods": ["llm-chat"]}, "needs a chat model"),
    ],
)
def test_a_wrong_plan_is_refused_before_anything_runs(changes, sentence):
    """One sentence with the value and the rule."""
    with pytest.raises(ConfigError, match=sentence):
        plan(**changes)


def test_an_error_of_ours_is_no_failed_trial(tmp_path, monkeypatch):
    """Where the benchmark itself is wrong the run stops, in place of recording failures."""

    def without_data(params, repeat):
        raise ConfigError("There is no data; name its folder with --data.")

    class Broken(Failures):
        def load(self, problem):
            return replace(super().load(problem), evaluate=without_data)

    monkeypatch.setattr(cell, "load_suite", lambda name: Broken())
    with pytest.raises(ConfigError, match="There is no data"):
        run_plan(plan(), tmp_path)
    assert [] == read_cells(tmp_path)


def test_the_command_prints_the_table_and_writes_the_page(tmp_path):
    """Tables on standard output, progress on standard error, and every file of the folder."""
    out = tmp_path / "out"
    options = ["--suite", "failures", "--problems", "memory,nan", "--methods", "random,tpe+default,llm-tpe"]
    done = bench(*options, "--seeds", "0,1", "--trials", 5, "--out", out, "--label", "development")
    assert 0 == done.returncode, done.stderr
    assert "Against tpe+default" in done.stdout
    assert "llm-tpe [rules]" in done.stdout
    assert "12/12" in done.stderr
    names = {
        "results.csv",
        "summary.json",
        "summary.md",
        "report.md",
        "anytime.png",
        "anytime-problems.png",
        "ranks.png",
    }
    assert names <= {path.name for path in out.iterdir()}
    page = (out / "report.md").read_text()
    assert re.search(r"problem by problem, after 5 trials\n\n\| problem \|.*\n.*\n\| memory \| \d\.\d{3} \|", page)
    assert "Run as: development" in page
    assert "2 problems x 2 seeds (0, 1)" in page
    assert "![Mean ranks](ranks.png)" in page

    again = bench(*options, "--seeds", "0,1", "--trials", 5, "--out", out, "--json", "--baseline", "random")
    assert ("random", ["memory", "nan"]) == tuple(json.loads(again.stdout)[key] for key in ("baseline", "problems"))
    assert (0, 0) == (again.returncode, again.stderr.count("/12"))

    # what stands in the folder may be the baseline too, and may make a name ambiguous: told before anything is run
    more = ["--suite", "failures", "--problems", "memory,nan", "--methods", "llm-tpe", "--seeds", "0,1", "--trials", 5]
    asked = [*more, "--advisor", "hostile:repeater", "--out", out]
    refused = bench(*asked, "--baseline", "llm-tpe")
    assert (2, 0) == (refused.returncode, refused.stderr.count("/4"))
    assert "The baseline 'llm-tpe' names several arms" in refused.stderr
    added = bench(*asked, "--baseline", "llm-tpe [rules]")
    assert 0 == added.returncode, added.stderr
    assert "Against llm-tpe [rules]" in added.stdout


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--suite", "nothing"], "The suite 'nothing' must be one of tables,"),
        (["--suite", "failures", "--methods", "x"], "The method 'x' must begin with one of"),
        (["--suite", "failures", "--seeds", "5-1"], "--seeds '5-1' must be numbers and ranges"),
        (["--suite", "failures", "--methods", "tpe", "--baseline", "gp"], "The baseline 'gp' must be one of"),
        (["--suite", "failures", "--methods", ","], "--methods ',' names nothing; name at least one"),
        (["--suite", "failures", "--jobs", "0"], "--jobs 0 must be at least 1"),
        (["--suite", "failures", "--seeds", "0-9999999999"], "must name at most 10000 seeds"),
        (["--suite", "failures", "--tolerance", "nan"], "--tolerance nan must be a number from 0 on"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(tmp_path, options, sentence):
    """Exit code 2, nothing on standard output, no traceback."""
    done = bench(*options, "--out", tmp_path / "out")
    assert (2, "") == (done.returncode, done.stdout)
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_the_list_names_suites_methods_and_advisors():
    """`--list` shows what can be written, without a suite or a folder."""
    done = bench("--list")
    assert 0 == done.returncode, done.stderr
    for name in ("failures", "memory, nan", "tpe-paper", "llm-tpe", "no-judging", "quality:NAME"):
        assert name in done.stdout
