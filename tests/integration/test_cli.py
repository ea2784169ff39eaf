"""
The real command, as a process of its own, on small data.
"""

import csv
import functools
import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sllmbo import Float, SearchSpace
from sllmbo.tuner import TuneResult
from sllmbo_process import environment, sllmbo

KEYS = {
    *("metric", "direction", "best_value", "best_params", "default_value", "n_trials", "sources", "usage"),
    *("stop_reason", "study", "storage", "best_interval", "n_repeats", "estimator", "shortlist"),
    *("measures", "constraints", "objectives", "pareto", "n_infeasible"),
}
FILES = ["best_params.json", "estimator.joblib", "result.json", "trials.csv"]
QUICK = ["--estimator", "ridge", "--cv", "2", "--trials", "3"]


def _fresh(*arguments, cwd):
    """Run the command in an interpreter of its own, with all that this does before and after."""
    command = [sys.executable, "-m", "sllmbo", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=120)


def _rows(folder):
    with (Path(folder) / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def _same(rows):
    """What two equal studies share: all but the time that trials took."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def _write_tables(folder):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 3)), columns=["size", "age", "weight"])
    frame["price"] = frame["size"] * 2 + rng.normal(size=60)
    frame["label"] = np.where(frame["price"] > 0, "dear", "cheap")
    frame["color"] = np.resize(["red", "green", "blue"], 60)
    frame.to_csv(folder / "house prices.csv", index=False)
    frame.to_parquet(folder / "houses.parquet")
    frame.assign(price=1.5).to_csv(folder / "constant.csv", index=False)
    frame.assign(price=frame["price"].where(frame.index != 7)).to_csv(folder / "missing.csv", index=False)
    frame.assign(label=["alone"] + ["many", "more"] * 29 + ["many"]).to_csv(folder / "single.csv", index=False)
    (folder / "empty.csv").write_text("")
    (folder / "header.csv").write_text("size,age,price\n")
    (folder / "twice.csv").write_text("size,price,price\n" + "".join(f"{n},{n},{n}\n" for n in range(60)))
    (folder / "broken.json").write_text('{"alpha": ')
    (folder / "outside.json").write_text('{"alpha": {"type": "float", "low": 0.1, "high": 1.0, "default": 5.0}}')
    alpha = {"alpha": Float(0.1, 10, log=True, default=1.0)}
    (folder / "alpha.json").write_text(json.dumps(SearchSpace(alpha).to_json()))
    (folder / "other.json").write_text(json.dumps(SearchSpace({"beta": Float(0.1, 1, default=0.5)}).to_json()))


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    _write_tables(folder)
    return folder


P = "house prices.csv"
WRONG = {
    "missing file": (["nowhere.csv", "--target", "price"], ["'nowhere.csv' does not exist"]),
    "wrong column": ([P, "--target", "nonsense"], ["'nonsense' is not in the data", "size"]),
    "close column": ([P, "--target", "prise"], ["did you mean 'price'?"]),
    "text as regression": ([P, "--target", "label", "--kind", "regression"], ["'label'", "classification"]),
    "unknown kind": ([P, "--target", "label", "--kind", "ranking"], ["--kind", "'ranking'", "classification"]),
    "unknown metric": ([P, "--target", "price", "--metric", "rsme"], ["'rsme'", "did you mean 'rmse'"]),
    "unknown estimator": ([P, "--target", "price", "--estimator", "lightbgm"], ["did you mean 'lightgbm'"]),
    "empty file": (["empty.csv", "--target", "price"], ["'empty.csv' is empty"]),
    "header only": (["header.csv", "--target", "price"], ["'header.csv' has no rows"]),
    "constant target": (["constant.csv", "--target", "price"], ["in every row"]),
    "target with gaps": (["missing.csv", "--target", "price"], ["missing in 1 of 60 rows"]),
    "target twice": (["twice.csv", "--target", "price"], ["'price' appears more than once", "rename"]),
    "class of one row": (["single.csv", "--target", "label", *QUICK], ["class"]),
    "default outside": ([P, "--target", "price", "--space", "outside.json"], ["'alpha'", "5.0", "outside.json"]),
    "broken space": ([P, "--target", "price", "--space", "broken.json"], ["'broken.json' is no JSON"]),
    "missing space": ([P, "--target", "price", "--space", "no.json"], ["'no.json' cannot be read"]),
    "space of another": ([P, "--target", "price", *QUICK, "--space", "other.json"], ["'beta'", "'ridge'"]),
    "unreachable server": (
        [P, "--target", "price", *QUICK, "--llm", "openai:x", "--base-url", "http://127.0.0.1:9/v1"],
        ["127.0.0.1:9"],
    ),
    "no key": ([P, "--target", "price", "--llm", "openai:gpt-5-mini"], ["OPENAI_API_KEY"]),
    "malformed chat model": ([P, "--target", "price", "--llm", "gpt"], ["'gpt'", "provider:model", "offline"]),
    "no recording": ([P, "--target", "price", "--llm", "replay:no.jsonl"], ["'no.jsonl' cannot be read"]),
    "nothing to record": ([P, "--target", "price", "--method", "tpe", "--record", "r"], ["--record", "'tpe'"]),
    "no storage URL": ([P, "--target", "price", "--storage", "study.db"], ["'study.db'", "sqlite:///"]),
    "unknown storage": ([P, "--target", "price", "--storage", "nosql://x"], ["nosql://x"]),
    "no constraint": ([P, "--target", "price", "--constraint", "size<5"], ["'size<5'", "'model_size_mb<=5'"]),
    "unknown measure": ([P, "--target", "price", "--constraint", "weight<=5"], ["'weight'", "model_size_mb"]),
    "unconfirmed": (
        [P, "--target", "price", "--prefer", "smaller"],
        ["'smaller' is read as --objective model_size_mb", "--yes"],
    ),
    "not understood": ([P, "--target", "price", "--prefer", "prettier"], ["'prettier' is not understood"]),
    "no trials": ([P, "--target", "price", "--trials", "0"], ["trials=0 must be positive"]),
    "no patience": ([P, "--target", "price", "--patience", "0"], ["patience=0 must be at least 1"]),
    "unknown method": ([P, "--target", "price", "--method", "nonsense"], ["'nonsense'", "llm-tpe"]),
    "unknown option": ([P, "--target", "price", "--trails", "5"], ["--trails", "--trials"]),
    "negative seed": ([P, "--target", "price", "--seed", "-1"], ["--seed", "0"]),
    "no target": ([P], ["--target"]),
    "no data": ([], ["DATA"]),
    "folder is a file": ([P, "--target", "price", "--out", "empty.csv"], ["'empty.csv' cannot be made", "--out"]),
}


RIGHT = {
    "chatty": [
        *["houses.parquet", "--target", "price", "--estimator", "own:Chatty", "--cv", "2", "--trials", "8", "--json"],
    ],
    "classes": [
        *[P, "--target", "label", "--estimator", "logistic_regression", "--cv", "3", "--trials", "3"],
        *["--drop", "price", "--group", "color", "--metric", "accuracy", "--holdout", "0", "--json"],
    ],
    "unreachable": [
        *[P, "--target", "price", *QUICK, "--study", "unreachable", "--space", "alpha.json"],
        *["--llm", "openai:x", "--base-url", "http://127.0.0.1:9/v1"],
    ],
    "broken": [P, "--target", "price", "--estimator", "own:Broken"],
    "broken, debugged": [P, "--target", "price", "--estimator", "own:Broken", "--debug"],
    "list": ["--list"],
    "llm": [P, "--target", "price", *QUICK, "--method", "llm", "--pruner", "median"],
    "tpe": [P, "--target", "price", *QUICK, "--method", "tpe", "--time", "age", "--pruner", "hyperband"],
    "random": [P, "--target", "price", *QUICK, "--method", "random", "--init", "random"],
    "cma": [P, "--target", "price", *QUICK, "--method", "cma"],
    "gp": [P, "--target", "price", *QUICK, "--method", "gp"],
}
FRESH = ("chatty", "broken")
"""Those that get an interpreter of their own, as libraries in C print as late as at its end."""
OWN = '''
import ctypes, os, sys, warnings
from sklearn.linear_model import Ridge

class Chatty(Ridge):
    """Prints by every way there is, and fails for weak penalties."""
    def fit(self, X, y):
        print("chatter from Python")
        print("chatter on standard error", file=sys.stderr)
        os.write(1, b"chatter past Python\\n")
        if os.name == "posix":
            ctypes.CDLL(None).printf(b"chatter from C\\n")
        warnings.warn("chatter as a warning")
        if self.alpha < 0.9:
            raise ArithmeticError("the penalty is\\n\x1b[31m too weak")
        return super().fit(X, y)

class Broken(Ridge):
    """Has a bug that is nobody's mistake."""
    def get_params(self, deep=True):
        raise RuntimeError("a bug")
'''


@pytest.fixture(scope="module")
def run_of(tables):
    """Run a command, the first time that it is named."""
    (tables / "own.py").write_text(OWN)

    @functools.cache
    def run(name):
        return (_fresh if name in FRESH else sllmbo)("tune", *RIGHT[name], cwd=tables)

    return run


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_input_is_told_in_one_sentence(tables, name) -> None:
    """A mistake ends with code 2 and one line on standard error that quotes it; nothing else is printed."""
    run = sllmbo("tune", *WRONG[name][0], cwd=tables)

    assert run.returncode == 2, run.stderr
    assert run.stdout == ""
    assert run.stderr.count("\n") == 1, run.stderr
    assert [words for words in WRONG[name][1] if words not in run.stderr] == [], run.stderr


def test_a_study_is_tuned_and_gone_on_with(tmp_path) -> None:
    """The same command again goes on with its study, writes the result again, and with more trials adds to them."""
    _write_tables(tmp_path)
    folder = tmp_path / "sllmbo-out" / "house-prices-ridge-llm-tpe-seed0"

    first = sllmbo("tune", P, "--target", "price", *QUICK, cwd=tmp_path)
    rows = _rows(folder)
    (folder / "result.json").unlink()
    again = sllmbo("tune", P, "--target", "price", *QUICK, cwd=tmp_path)
    more = sllmbo("tune", P, "--target", "price", *QUICK, "--trials", "5", cwd=tmp_path)

    assert (0, 0, 0) == (first.returncode, again.returncode, more.returncode), first.stderr + again.stderr
    assert ("", "", "") == (first.stdout, again.stdout, more.stdout)
    assert "house-prices-ridge-llm-tpe-seed0 in sqlite:///" in first.stderr
    assert "no chat model: documented rules" in first.stderr
    assert "Going on with study house-prices-ridge-llm-tpe-seed0: 3 trials done" in again.stderr
    assert "Going on with study house-prices-ridge-llm-tpe-seed0: 3 trials done" in more.stderr
    assert sorted([*FILES, "study.db"]) == sorted(path.name for path in folder.iterdir())
    assert 3 == len(rows)
    assert 5 == len(_rows(folder))
    assert _same(rows) == _same(_rows(folder)[:3])
    assert "sllmbo tune" in more.stderr
    assert "--trials 10" in more.stderr
    frame = pd.read_csv(tmp_path / P)
    assert 60 == len(TuneResult.load(folder).estimator.predict(frame.drop(columns="price")))

    other = sllmbo("tune", P, "--target", "price", *QUICK, "--cv", "3", cwd=tmp_path)
    assert (2, 1) == (other.returncode, other.stderr.count("\n"))
    assert "folds" in other.stderr


@pytest.mark.parametrize("name", ["chatty", "classes"])
def test_json_is_one_object_and_nothing_else(run_of, tables, name) -> None:
    """With --json standard output is one object with the documented keys, whatever the estimator prints."""
    run = run_of(name)
    result = json.loads(run.stdout)

    assert 0 == run.returncode
    assert 1 == run.stdout.count("\n")
    assert set(result) == KEYS
    assert {"calls": 0, "tokens": 0, "cost_usd": 0.0} == result["usage"]
    assert result["n_trials"] == sum(counts["trials"] for counts in result["sources"].values())
    assert "trials" == result["stop_reason"]
    saved = json.loads((tables / "sllmbo-out" / result["study"] / "best_params.json").read_text())
    assert saved == result["best_params"]


def test_a_preference_that_is_confirmed_becomes_an_objective(tmp_path) -> None:
    """What --prefer is read as is shown, and the result has its Pareto front in words and in JSON."""
    _write_tables(tmp_path)
    told = ["--prefer", "smaller, at most 10 seconds of training", "--yes", "--json"]
    run = sllmbo("tune", P, "--target", "price", *QUICK, *told, cwd=tmp_path)

    assert 0 == run.returncode, run.stderr
    assert "is read as --constraint 'fit_seconds<=10' --objective model_size_mb" in run.stderr
    assert "on the Pareto front" in run.stderr
    result = json.loads(run.stdout)
    assert (["fit_seconds<=10"], {"model_size_mb": "minimize"}) == (result["constraints"], result["objectives"])
    assert {"mae", "model_size_mb"} == set(result["pareto"][0]["values"])


def test_nothing_that_an_estimator_prints_is_shown(run_of) -> None:
    """What an estimator prints, warns or raises reaches standard error only as the reason of a failed trial."""
    lines = run_of("chatty").stderr.splitlines()
    failed = [line for line in lines if line.split()[1:2] == ["failed"]]

    assert [] == [line for line in lines if "chatter" in line]
    assert [] == [line for line in lines if "\x1b" in line]
    assert failed != []
    assert all("ArithmeticError: the penalty is [31m too weak" in line for line in failed)


def test_the_metric_and_the_groups_are_those_that_were_asked_for(run_of) -> None:
    """Options reach `tune()`: the metric, the group column, the hold-out."""
    run = run_of("classes")
    result = json.loads(run.stdout)

    assert ("accuracy", "maximize") == (result["metric"], result["direction"])
    assert "groups kept together" in run.stderr
    assert "no rows are set aside" in run.stderr


@pytest.mark.parametrize("method", ["llm", "tpe", "random", "cma"])
def test_every_method_tunes(run_of, tables, method) -> None:
    """Each method gives a study of its own that starts with the default configuration."""
    run = run_of(method)
    rows = _rows(tables / "sllmbo-out" / f"house-prices-ridge-{method}-seed0")

    assert 0 == run.returncode, run.stderr
    assert 3 == len(rows)
    assert "default" == rows[0]["source"]
    assert {"rules" if method == "llm" else method} >= {row["source"] for row in rows[1:]} - {"tuned-default"}


def test_gp_tunes_or_says_what_it_needs(run_of) -> None:
    """The method gp works with torch, and without it names the extra in one sentence."""
    run = run_of("gp")

    if find_spec("torch"):
        assert 0 == run.returncode
    else:
        assert (2, 1) == (run.returncode, run.stderr.count("\n"))
        assert 'pip install "sllmbo[gp]"' in run.stderr


def test_a_bug_is_told_in_one_sentence_unless_debugged(run_of) -> None:
    """An unexpected error ends with code 1 and one line; --debug adds the traceback."""
    plain, debugged = run_of("broken"), run_of("broken, debugged")

    assert (1, 1) == (plain.returncode, debugged.returncode)
    assert "Unexpected RuntimeError: a bug; run with --debug for the traceback.\n" == plain.stderr
    assert "Traceback (most recent call last)" in debugged.stderr
    assert "" == plain.stdout + debugged.stdout


def test_the_list_names_estimators_and_metrics(run_of) -> None:
    """--list needs no data; it says kinds, availability and directions."""
    run = run_of("list")
    words = [line.split() for line in run.stdout.splitlines()]

    assert 0 == run.returncode
    assert ["ridge", "classification,", "regression", "installed"] in words
    assert ["rmse", "minimize"] in words
    assert ["neg_mean_absolute_error", "maximize"] in words


def test_a_recording_replays_to_equal_trials(tmp_path) -> None:
    """--record writes all advice down, and --llm replay:FILE gives the same trials without who advised."""
    _write_tables(tmp_path)
    common = [P, "--target", "price", *QUICK, "--trials", "8"]

    recorded = sllmbo("tune", *common, "--record", "advice.jsonl", "--out", "a", cwd=tmp_path)
    replayed = sllmbo("tune", *common, "--out", "b", cwd=tmp_path, SLLMBO_LLM="replay:advice.jsonl")

    assert (0, 0) == (recorded.returncode, replayed.returncode), recorded.stderr + replayed.stderr
    assert _same(_rows(tmp_path / "a")) == _same(_rows(tmp_path / "b"))
    assert "the advice recorded in advice.jsonl" in replayed.stderr


def test_a_chat_model_that_fails_is_told_on_its_trials(run_of) -> None:
    """Where the chat model cannot be reached within a study, the trial's line says so, and nothing says it twice."""
    run = run_of("unreachable")

    trials = [line for line in run.stderr.splitlines() if "no advice: Unavailable: The chat model" in line]
    assert 0 == run.returncode, run.stderr
    assert [["1", "tpe"], ["2", "tpe"]] == [
        [word for word in line.split() if word in ("1", "2", "tpe")] for line in trials
    ]
    assert 2 == run.stderr.count("cannot be reached")
    assert "chat model openai:x at http://127.0.0.1:9/v1" in run.stderr


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent as a signal")
def test_ctrl_c_keeps_what_there_is(tmp_path) -> None:
    """The first Ctrl-C ends the search, and the result of the trials so far is written."""
    _write_tables(tmp_path)
    arguments = ["tune", P, "--target", "price", *QUICK, "--trials", "100000", "--out", "out", "--json"]
    command = [sys.executable, "-m", "sllmbo", *arguments]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    told = ""
    for line in process.stderr:
        told += line
        if line.split()[:1] == ["3"]:
            break
    process.send_signal(signal.SIGINT)
    printed, rest = process.communicate(timeout=60)

    n_trials = len(_rows(tmp_path / "out"))
    result = json.loads(printed)
    assert 0 == process.returncode, told + rest
    assert ("interrupted", n_trials) == (result["stop_reason"], result["n_trials"])
    assert 4 <= n_trials
    assert f"interrupted: {n_trials} trials kept; the same command goes on" in rest
    assert sorted([*FILES, "study.db"]) == sorted(path.name for path in (tmp_path / "out").iterdir())


FORKING = """
import os, signal, sys, time
from sllmbo.cli.session import Interrupts

interrupts = Interrupts(sys.stderr)
ready, is_ready = os.pipe()
child = os.fork()
if child == 0:
    os.write(is_ready, b"!")
    time.sleep(30)
    os._exit(0)
os.read(ready, 1)
os.kill(child, signal.SIGTERM)
print(os.WTERMSIG(os.waitpid(child, 0)[1]), interrupts.happened)
"""


@pytest.mark.skipif(os.name != "posix", reason="processes are forked")
def test_what_is_forked_ends_by_sigterm_as_everywhere(tmp_path) -> None:
    """A worker that an estimator forks and ends says nothing of an interrupted run."""
    command = [sys.executable, "-c", FORKING]
    run = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)

    assert (f"{int(signal.SIGTERM)} False\n", "") == (run.stdout, run.stderr)


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["tune", "--help"], []])
def test_help_and_version_are_printed(arguments, tmp_path) -> None:
    """Version and help go to standard output with code 0; no command shows the help."""
    run = sllmbo(*arguments, cwd=tmp_path)

    assert (0, "") == (run.returncode, run.stderr)
    assert "sllmbo" in run.stdout


@pytest.mark.parametrize(
    ("command", "options"), [*((c, ["--nonsense", "1"]) for c in ("prompt", "retune", "bench")), ("tune", ["--target"])]
)
def test_a_wrong_option_names_the_help_of_its_command(command, options, tmp_path) -> None:
    """Whoever mistypes an option is told where that command explains them."""
    run = sllmbo(command, *options, cwd=tmp_path)

    assert (2, 1) == (run.returncode, run.stderr.count("\n"))
    assert options[0] in run.stderr
    assert f"`sllmbo {command} --help`" in run.stderr


def test_the_help_names_every_option(tmp_path) -> None:
    """`sllmbo tune --help` has every option of the specification, and the exit codes."""
    shown = sllmbo("tune", "--help", cwd=tmp_path, COLUMNS="160").stdout

    options = "target estimator metric trials timeout llm base-url method init patience storage study record out seed"
    options += " reply-mode memory json cv holdout time group drop kind space pruner description list debug plain"
    assert [] == [option for option in options.split() if f"--{option} " not in shown]
    assert "Exit code" in shown


def test_without_its_extra_the_command_says_how_to_get_it(tmp_path) -> None:
    """Without typer the command ends with code 2 and the sentence that names the extra."""
    (tmp_path / "typer.py").write_text("raise ImportError('not here')")

    run = _fresh("--version", cwd=tmp_path)

    assert (2, "") == (run.returncode, run.stdout)
    assert (
        "The command line needs the package 'typer', which is not installed: pip install \"sllmbo[cli]\".\n"
        == run.stderr
    )
