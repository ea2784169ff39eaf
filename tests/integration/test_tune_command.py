"""
`sllmbo tune --command`, as a process of its own that runs processes.
"""

import csv
import json
import os
import select
import shlex
import signal
import subprocess
import sys

import pytest

from sllmbo.cli.options import make_pruner, read_space
from sllmbo.errors import SpaceError
from sllmbo.space import Categorical, Float, Int, SearchSpace, When
from sllmbo.tuner import TuneResult
from sllmbo_process import environment, sllmbo

if os.name != "posix":
    pytest.skip("A command runs in a process group of POSIX.", allow_module_level=True)

SPACE = """
[lr]
type = "float"
low = 1e-4
high = 1
log = true
default = 0.01
description = "size of the steps"

[optimizer]
type = "categorical"
choices = ["adam", "sgd"]
default = "adam"

[momentum]
type = "float"
low = 0
high = 0.99
default = 0.9
condition = { parameter = "optimizer", values = ["sgd"] }
"""
TRAIN = """
import argparse, json, os, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--optimizer")
parser.add_argument("--momentum", type=float, default=0.0)
given = parser.parse_args()
loss = abs(given.lr - 0.1) + abs(given.momentum - 0.3) * (given.optimizer == "sgd")
if given.lr > 0.5:
    raise MemoryError("the steps are too large")
for epoch in range(1, 4):
    print(f"sllmbo: step={epoch} value={loss + 1 / epoch}")
if os.path.exists("held") and os.environ["SLLMBO_TRIAL"] == "3":
    os.write(os.open("held", os.O_WRONLY), b"!")
    time.sleep(60)
with open("metrics.json", "w") as file:
    json.dump({"val": {"loss": loss}}, file)
print("loss:", loss)
"""
COMMAND = [
    "--command",
    f"{shlex.quote(sys.executable)} -S train.py --lr {{lr}} --optimizer {{optimizer}} --momentum {{momentum}}",
]
TUNE = [*COMMAND, "--space", "space.toml"]


def _tune(*arguments, cwd):
    return sllmbo("tune", *arguments, cwd=cwd)


def _prepare(folder):
    (folder / "train.py").write_text(TRAIN)
    (folder / "space.toml").write_text(SPACE)
    (folder / "wrong.toml").write_text("[lr]\ntype = float")
    (folder / "data.csv").write_text("a,b\n" + "1,2\n2,3\n" * 20)


def _rows(folder):
    with (folder / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_command_is_tuned_and_gone_on_with(tmp_path) -> None:
    """Standard output is one JSON object; the folder has parameters, trials and logs; the same command goes on."""
    _prepare(tmp_path)
    first = _tune(*TUNE, "--trials", "8", "--metric", "loss", "--json", cwd=tmp_path)
    folder = tmp_path / "sllmbo-out" / "train-command-llm-tpe-seed0"
    rows = _rows(folder)
    more = _tune(*TUNE, "--trials", "10", "--metric", "loss", "--pruner", "median", cwd=tmp_path)

    assert (0, 0) == (first.returncode, more.returncode), first.stderr + more.stderr
    result = json.loads(first.stdout)
    assert ("loss", "minimize", 8) == (result["metric"], result["direction"], result["n_trials"])
    assert result["default_value"] == pytest.approx(0.09)
    assert json.loads((folder / "best_params.json").read_text())["lr"] == pytest.approx(result["best_params"]["lr"])
    assert "Going on with study train-command-llm-tpe-seed0: 8 trials done" in more.stderr
    assert "estimator.joblib" not in first.stderr
    assert rows[0]["source"] == "default"
    told = [(row["number"], row["state"], row["value"], row["param_lr"]) for row in rows]
    assert told == [(row["number"], row["state"], row["value"], row["param_lr"]) for row in _rows(folder)[:8]]
    failed = [row["failure"] for row in rows if row["state"] == "fail"]
    assert failed != []
    assert set(failed) == {"MemoryError: the steps are too large (exit code 1)"}
    assert len(list((folder / "logs").iterdir())) == 10
    assert 10 == TuneResult.load(folder).n_trials

    other = _tune(*TUNE, "--value-file", "metrics.json:val.loss", "--metric", "loss", cwd=tmp_path)
    assert (2, 1) == (other.returncode, other.stderr.count("\n"))
    assert "another command" in other.stderr
    fresh = [*TUNE, "--value-file", "metrics.json:val.loss", "--out", "o", "--trials", "3", "--direction", "maximize"]
    read = _tune(*fresh, "--method", "random", "--json", cwd=tmp_path)
    assert read.returncode == 0, read.stderr
    assert ("value", "maximize") == (json.loads(read.stdout)["metric"], json.loads(read.stdout)["direction"])


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_run_and_keeps_the_trials(asked, tmp_path) -> None:
    """Ctrl-C, or a scheduler's SIGTERM, ends what runs; the trials so far are kept, and the same command goes on."""
    _prepare(tmp_path)
    os.mkfifo(tmp_path / "held")
    reading = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    command = [*TUNE, "--trials", "6", "--method", "random", "--out", "out", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "sllmbo", "tune", *command],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert select.select([reading], [], [], 60)[0]
    assert os.read(reading, 1) == b"!"
    os.kill(process.pid, asked)
    out, err = process.communicate(timeout=60)

    assert process.returncode == {signal.SIGINT: 0, signal.SIGTERM: 143}[asked], err
    assert ("interrupted", 3) == (json.loads(out)["stop_reason"], json.loads(out)["n_trials"])
    assert select.select([reading], [], [], 10)[0]  # nobody holds the other end: the run has ended
    assert os.read(reading, 1) == b""
    os.close(reading)
    (tmp_path / "held").unlink()
    assert 0 == _tune(*command, cwd=tmp_path).returncode
    assert 6 == len(_rows(tmp_path / "out"))


WRONG = {
    "nothing": ([], ["DATA", "--command"]),
    "no target": (["data.csv"], ["'data.csv'", "--target"]),
    "both": (["data.csv", "--target", "b", *TUNE], ["DATA", "--command"]),
    "option of data": ([*TUNE, "--cv", "5"], ["--cv", "--command"]),
    "time of data": ([*TUNE, "--time", "a"], ["--time is"]),
    "constraint": ([*TUNE, "--constraint", "fit_seconds<=1"], ["--constraint", "--command"]),
    "option of a command": (["data.csv", "--target", "b", "--time-limit", "5"], ["--time-limit", "--command"]),
    "no space": (COMMAND, ["--space"]),
    "wrong space": ([*COMMAND, "--space", "wrong.toml"], ["'wrong.toml' is no TOML"]),
    "no program": (["--command", "nonsense {lr}", "--space", "space.toml"], ["'nonsense'"]),
    "no placeholder": (["--command", "echo {lr}", "--space", "space.toml"], ["{optimizer}"]),
    "no time": ([*TUNE, "--time-limit", "0"], ["time limit"]),
    "hopeless": (
        [
            "--command",
            f"{shlex.quote(sys.executable)} no.py {{lr}} {{optimizer}} {{momentum}}",
            "--space",
            "space.toml",
        ],
        ["The first 5 trials all failed", "exit code 2", "check the command and the search space"],
    ),
    "hopeless, and few": (
        [
            "--command",
            f"{shlex.quote(sys.executable)} no.py {{lr}} {{optimizer}} {{momentum}}",
            *["--space", "space.toml", "--trials", "2"],
        ],
        ["No trial was completed: 2 of 2 trials failed, the last one with", "exit code 2"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_command_line_is_told_in_one_sentence(tmp_path, name) -> None:
    """A mistake ends with code 2; its last line quotes it, and nothing is on standard output."""
    _prepare(tmp_path)
    run = _tune(*WRONG[name][0], cwd=tmp_path)

    assert (2, "") == (run.returncode, run.stdout), run.stderr
    lines = run.stderr.splitlines()
    assert len(lines) == 1 or name.startswith("hopeless"), run.stderr
    assert [words for words in WRONG[name][1] if words not in run.stderr] == [], run.stderr


def test_a_space_in_toml_is_that_in_json(tmp_path) -> None:
    """Types, scales, defaults, descriptions and conditions are read from either."""
    space = SearchSpace(
        {
            "lr": Float(1e-4, 1, log=True, default=0.01, description="size of the steps"),
            "optimizer": Categorical(["adam", "sgd"], default="adam"),
            "momentum": Float(0, 0.99, default=0.9, condition=When("optimizer", ["sgd"])),
        }
    )
    (tmp_path / "space.toml").write_text(SPACE)
    (tmp_path / "space.json").write_text(json.dumps(space.to_json()))
    (tmp_path / "int.toml").write_text('[depth]\ntype = "int"\nlow = 1\nhigh = 9\nstep = 2')
    (tmp_path / "date.toml").write_text('[depth]\ntype = "int"\nlow = 2024-01-01\nhigh = 9')

    assert read_space(tmp_path / "space.toml") == space == read_space(tmp_path / "space.json")
    assert SearchSpace({"depth": Int(1, 9, step=2)}) == read_space(tmp_path / "int.toml")
    with pytest.raises(SpaceError, match="'depth'"):
        read_space(tmp_path / "date.toml")


@pytest.mark.parametrize("folds", [5, None])
@pytest.mark.parametrize("name", ["median", "halving", "hyperband"])
def test_every_pruner_ends_what_does_not_promise(name, folds) -> None:
    """Of curves that keep their order, some bad ones are ended, and the best one never is."""
    import optuna

    study = optuna.create_study(pruner=make_pruner(name, folds), study_name="x")
    ended = []
    for level in [5, 1, 2, 3, 4, 9, 8, 7, 6, 0, 9, 8, 7, 6, 5]:
        trial = study.ask()
        for step in range(folds or 20):
            trial.report(level + 1 / (1 + step), step)
            if trial.should_prune():
                ended.append(level)
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, level)

    assert ended != []
    assert 0 not in ended
