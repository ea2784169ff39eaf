"""
A command as an objective: what it is started with, what is read off it, and what its ways to fail are called.
"""

from __future__ import annotations

import json
import os
import select
import shlex
import sys
import time

import numpy as np
import optuna
import pytest

import sllmbo
from sllmbo import Categorical, Command, Float, SearchSpace
from sllmbo.errors import ConfigError, SpaceError, StudyError, TaskError
from sllmbo.samplers import study_history
from sllmbo.space import When
from sllmbo.tuner import Tuner

if os.name != "posix":
    pytest.skip("A command runs in a process group of POSIX.", allow_module_level=True)

X = SearchSpace({"x": Float(0, 1, default=0.5)})


def script(code: str) -> str:
    """Return a command that runs *code* with the value of x as its argument."""
    return shlex.join([sys.executable, "-S", "-c", code]) + " {x}"


def run(code: str, **about):
    """Return what the command raised or returned for x=0.5."""
    command = Command(script(code), **about)
    trial = Tuner(X, method="tpe", seed=0).ask()
    try:
        return command(trial)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("print('epoch 1'); print(0.25)", 0.25),
        ("print('loss=0.25')", 0.25),
        ("print('loss: 1e-3\\n\\n')", 1e-3),
        ("import sys; sys.stdout.write('0.25')", 0.25),
        ("print('sllmbo: value=0.25'); print('good bye')", 0.25),
        ("print('sllmbo: value=0.25')\nfor n in range(400): print('workers:', n)", 0.25),
        ("print('sllmbo: step=1 value=0.5'); print('sllmbo: step=2 value=0.25')", 0.25),
        ("import sys; print(0.25); print('a warning', file=sys.stderr)", 0.25),
    ],
)
def test_the_value_is_on_the_last_line(code: str, value: float) -> None:
    """A number, a name with one, or a report; a line `sllmbo: value=` comes before what is printed after it."""
    assert run(code) == value


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise SystemExit(3)", "ChildProcessError: exit code 3"),
        ("import sys; print('no data', file=sys.stderr); sys.exit(4)", "ChildProcessError: exit code 4: no data"),
        ("raise ArithmeticError('too large')", "ArithmeticError: too large (exit code 1)"),
        ("class OddError(Exception): ...\nraise OddError('odd')", "OddError: odd (exit code 1)"),
        ("bytearray(2**62)", "MemoryError: MemoryError (exit code 1)"),
        ("class _OneMemoryError(MemoryError): ...\nraise _OneMemoryError('2 GiB')", "MemoryError: 2 GiB (exit code 1)"),
        (
            "raise RuntimeError('CUDA out of memory. Tried 2 GiB')",
            "MemoryError: RuntimeError: CUDA out of memory. Tried 2 GiB (exit code 1)",
        ),
        (
            "import os; os.kill(os.getpid(), 9)",
            "MemoryError: the run was killed, as it is when memory is short (SIGKILL)",
        ),
        ("raise SystemExit(137)", "MemoryError: the run was killed, as it is when memory is short (exit code 137)"),
        ("import os; os.abort()", "ChildProcessError: SIGABRT"),
        ("print('nan')", "FloatingPointError: the value was nan"),
        ("print('loss=inf')", "FloatingPointError: the value was inf"),
        ("pass", "ValueError: the run printed no value on its standard output"),
        ("print('done in 3 s')", "ValueError: the last line of the standard output is no value: done in 3 s"),
        ("print('time=3 s')", "ValueError: the last line of the standard output is no value: time=3 s"),
    ],
)
def test_a_failure_has_its_class(code: str, told: str) -> None:
    """What went wrong is told by class, with what the run itself has said last."""
    assert run(code) == told


def test_the_name_on_the_last_line_is_that_of_the_metric() -> None:
    """A last line about something else is no value, where the metric has a name."""
    told = "ValueError: the last line of the standard output is about seconds, not about loss: seconds=3"
    assert run("print('seconds=3')", metric="loss") == told
    assert run("print('loss=3')", metric="loss") == 3.0


def test_the_value_is_read_from_a_file(tmp_path) -> None:
    """The file of the run, at its key; its name may have placeholders."""
    write = "import json, os; open('{}/' + os.environ['SLLMBO_TRIAL'], 'w').write(json.dumps({}))".replace(
        "{}", str(tmp_path), 1
    )
    told = {"loss": 0.25, "val": {"loss": 0.5}, "a.b": 1, "name": "x"}
    code = write.replace("{}", repr(told))
    assert run(code, value_file=f"{tmp_path}/{{trial}}:loss") == 0.25
    assert run(code, value_file=f"{tmp_path}/{{trial}}:val.loss") == 0.5
    assert run(code, value_file=f"{tmp_path}/{{trial}}:a.b") == 1.0
    assert run(code, value_file=f"{tmp_path}/{{trial}}:acc") == "ValueError: the file 0 has no acc"
    assert (
        run(code, value_file=f"{tmp_path}/{{trial}}:name")
        == "ValueError: what the file 0 has at name is no number: 'x'"
    )


def test_a_file_of_an_earlier_run_is_no_value(tmp_path) -> None:
    """A run that leaves the file as it was has measured nothing."""
    (tmp_path / "old.json").write_text("0.25")
    (tmp_path / "text.json").write_text("")
    assert run("pass", value_file=f"{tmp_path}/old.json") == "ValueError: the run did not write the file old.json"
    assert run("pass", value_file=f"{tmp_path}/none.json") == "ValueError: the run did not write the file none.json"
    written = run(f"open('{tmp_path}/text.json', 'w').write('loss')", value_file=f"{tmp_path}/text.json")
    assert written.startswith("ValueError: the file text.json is no JSON")


def test_a_value_is_never_more_than_its_word(tmp_path, monkeypatch) -> None:
    """No shell reads a value: what would be syntax there arrives as it is, inside one word."""
    odd = "a b; touch hacked $(id) '\" {x} *"
    space = SearchSpace({"x": Categorical([odd, "other"], default=odd)})
    code = "import json, sys; json.dump(sys.argv[1:], open('words.json', 'w')); print(1)"
    text = f"{shlex.join([sys.executable, '-c', code])} --text={{x}} {{x}} {{{{x}}}} '{{\"a\": 1}}'"
    monkeypatch.chdir(tmp_path)
    sllmbo.tune_objective(Command(text), space, n_trials=1, seed=0)
    assert json.loads((tmp_path / "words.json").read_text()) == [f"--text={odd}", odd, "{x}", '{"a": 1}']
    assert not (tmp_path / "hacked").exists()


def test_what_a_configuration_has_not_is_left_out(tmp_path, monkeypatch) -> None:
    """The word of a parameter whose condition is not met goes, and the option before it."""
    space = SearchSpace(
        {
            "kernel": Categorical(["linear", "rbf"], default="linear"),
            "gamma": Float(0.1, 1, default=0.5, condition=When("kernel", ["rbf"])),
        }
    )
    code = "import sys; print(sys.argv[1:], file=open('words', 'a')); print(1)"
    tail = "--kernel {kernel} --gamma {gamma} --g={gamma} --last"
    monkeypatch.chdir(tmp_path)
    command = Command(f"{shlex.join([sys.executable, '-c', code])} {tail}")
    study = Tuner(space, method="tpe", seed=0).study
    study.enqueue_trial({"kernel": "linear"})
    study.enqueue_trial({"kernel": "rbf", "gamma": 0.25})
    for _ in range(2):
        trial = study.ask()
        trial.suggest_categorical("kernel", ["linear", "rbf"])
        if trial.params["kernel"] == "rbf":
            trial.suggest_float("gamma", 0.1, 1)
        command(trial)
    assert (tmp_path / "words").read_text().splitlines() == [
        "['--kernel', 'linear', '--last']",
        "['--kernel', 'rbf', '--gamma', '0.25', '--g=0.25', '--last']",
    ]


@pytest.fixture
def witness(tmp_path):
    """A pipe, and a function that tells whether nobody holds its other end any more, soon."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    def is_free() -> bool:
        return bool(select.select([reading], [], [], 10)[0]) and os.read(reading, 1) == b""

    yield fifo, is_free
    os.close(reading)


def holding(fifo, then: str) -> str:
    """Return a program that opens *fifo*, hands it to a child that ignores requests to end, and does *then*."""
    child = "import signal, sys, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    return f"""
import os, subprocess, sys, time
held = os.open({str(fifo)!r}, os.O_WRONLY)
child = subprocess.Popen([sys.executable, "-S", "-c", {child!r}], pass_fds=[held], stdout=subprocess.PIPE)
child.stdout.readline()
{then}
"""


def test_the_time_limit_ends_the_whole_group(witness) -> None:
    """A run that takes too long fails, and nothing that it has started lives on."""
    fifo, is_free = witness
    told = run(holding(fifo, "print('begun', flush=True); time.sleep(60)"), time_limit=0.5)
    assert told == "TimeoutError: the run took longer than 0.5 s"
    assert is_free()


def test_what_a_run_leaves_behind_is_ended(witness) -> None:
    """A child that outlives the run, and has its streams open, is neither waited for nor left."""
    fifo, is_free = witness
    held_streams = 'subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=[held])'
    started = time.monotonic()
    assert run(holding(fifo, f"{held_streams}; print(0.25)")) == 0.25
    assert time.monotonic() - started < 30
    assert is_free()


def test_an_interrupt_ends_the_whole_group(witness) -> None:
    """Ctrl-C while a run goes on ends it, and the trial leaves no trace."""
    fifo, is_free = witness
    command = Command(script(holding(fifo, "print('sllmbo: step=1 value=1', flush=True); time.sleep(60)")))

    class Interrupt(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            raise KeyboardInterrupt  # where a real one arrives: while the report of a run is dealt with

    tuner = Tuner(X, method="tpe", pruner=Interrupt(), seed=0)
    with pytest.raises(KeyboardInterrupt):
        command(tuner.ask())
    assert is_free()


def test_a_pruner_ends_a_run_early() -> None:
    """What a run reports is told to the pruner as it comes; a pruned run is ended, and its reports are kept."""
    code = """
import sys, time
x = float(sys.argv[1])
for step in range(1, 4):
    print("sllmbo: step=%d value=%g" % (step, x / step))
    print("sllmbo: step=1 value=99")
if x > 0.5:
    time.sleep(60)
print("sllmbo: value=", x, sep="")
"""
    started = time.monotonic()
    pruner = optuna.pruners.ThresholdPruner(upper=0.5)
    result = sllmbo.tune_objective(Command(script(code)), X, n_trials=8, pruner=pruner, method="random", seed=0)
    states = {trial["state"]: trial["params"]["x"] for trial in result.trials}
    assert time.monotonic() - started < 30
    assert set(states) == {"complete", "pruned"}
    assert states["complete"] <= 0.5 < states["pruned"]
    assert result.n_pruned > 0


def test_reports_are_told_to_the_advisor_and_folds_are_not(tmp_path) -> None:
    """What a run reports is its trial's curve; means over folds, which a pruner is told, are none."""
    code = "import sys; [print('sllmbo: step=%d value=%g' % (s, float(sys.argv[1]) / s)) for s in (1, 2, 4)]"
    studies = []
    sllmbo.tune_objective(Command(script(code)), X, n_trials=1, seed=0, on_start=studies.append)
    assert [o.curve for o in study_history(studies[0])] == [((1, 0.5), (2, 0.25), (4, 0.125))]
    assert study_history(studies[0])[0].value == 0.125

    rng = np.random.default_rng(0)
    table = rng.normal(size=(40, 2)), rng.normal(size=40)
    pruner = optuna.pruners.MedianPruner()
    sllmbo.tune("ridge", *table, n_trials=2, cv=3, pruner=pruner, on_start=studies.append)
    assert [3, 3] == [len(trial.intermediate_values) for trial in studies[1].trials]
    assert [(), ()] == [o.curve for o in study_history(studies[1])]


def test_the_seed_of_a_repeat_is_another(tmp_path, monkeypatch) -> None:
    """{seed} is the same for all configurations, and goes up where one is evaluated again."""
    monkeypatch.chdir(tmp_path)
    code = "import sys; print(sys.argv[2], file=open('seeds', 'a')); print(float(sys.argv[1]) + float(sys.argv[2]))"
    command = Command(f"{script(code)} {{seed}}", seed=7)
    result = sllmbo.tune_objective(command, X, n_trials=20, method="tpe", repeats=True, seed=7)
    seeds = (tmp_path / "seeds").read_text().split()
    assert result.n_repeats > 0
    assert seeds.count("7") == 20 - result.n_repeats
    assert seeds.count("8") > 0


def test_failures_are_told_to_the_advisor_and_the_last_lines_kept(tmp_path) -> None:
    """The reason of a failed run is part of the history, and what it printed lies in a file."""
    code = "import sys; print('training'); x = float(sys.argv[1]); print(1 / (x - 0.5))"
    tuner = Tuner(X, method="tpe", seed=0)
    trial = tuner.ask()
    with pytest.raises(ChildProcessError) as caught:
        Command(script(code), logs=tmp_path / "logs")(trial)
    tuner.tell(trial, failure=caught.value)
    reasons = [o.reason.partition(" (")[0] for o in study_history(tuner.study)]
    assert len(reasons) == 1
    assert reasons[0].startswith("ZeroDivisionError: ")
    kept = (tmp_path / "logs" / "0.txt").read_text()
    assert "--- standard output\ntraining\n--- standard error\nTraceback" in kept


@pytest.mark.parametrize(
    ("text", "space", "error", "words"),
    [
        ("", X, ConfigError, "empty"),
        ("echo 'a {x}", X, ConfigError, "quotes"),
        ("nonsense-program {x}", X, ConfigError, "'nonsense-program'"),
        ("echo 1", X, SpaceError, "{x}"),
        ("echo {x} {y}", X, SpaceError, "{{y}}"),
        ("echo {seed}", SearchSpace({"seed": Float(0, 1)}), SpaceError, "'seed'"),
        ("echo 1", SearchSpace({}), SpaceError, "no parameter"),
    ],
)
def test_a_wrong_command_is_refused_before_a_trial(text, space, error, words) -> None:
    """A command that cannot be meant is told in one sentence that names what is wrong."""
    with pytest.raises(error, match=r"[.;]") as caught:
        sllmbo.tune_objective(Command(text), space, n_trials=1)
    assert words in str(caught.value)


def test_the_time_limit_is_positive() -> None:
    """No time at all is no limit that can be meant."""
    with pytest.raises(ConfigError, match="time limit"):
        Command("echo 1", time_limit=0)


def test_a_study_has_one_command() -> None:
    """Values of another command are not mixed in, and the same command goes on."""
    about = {"storage": optuna.storages.InMemoryStorage(), "study_name": "one", "method": "tpe"}
    sllmbo.tune_objective(Command("echo {x}"), X, n_trials=2, **about)
    assert sllmbo.tune_objective(Command("echo {x}"), X, n_trials=3, **about).n_trials == 3
    with pytest.raises(StudyError, match="another command"):
        sllmbo.tune_objective(Command("echo 0{x}"), X, n_trials=3, **about)


def test_an_objective_may_be_any_function() -> None:
    """What a function raises fails its trial; the result has the default, the best and the reasons."""

    def objective(trial: optuna.Trial) -> float:
        if trial.params["x"] > 0.6:
            raise MemoryError("too large")
        return abs(trial.params["x"] - 0.2)

    result = sllmbo.tune_objective(objective, X, metric="distance", n_trials=12, llm="offline", seed=0)
    assert (result.metric, result.direction, result.estimator) == ("distance", "minimize", None)
    assert result.default_value == pytest.approx(0.3)
    assert result.best_value < 0.1
    assert {trial["failure"] for trial in result.trials} == {"", "MemoryError: too large"}
    assert result.heldout_best is None


def test_a_result_of_a_function_is_kept(tmp_path) -> None:
    """It is saved and loaded as any other, without an estimator."""
    result = sllmbo.tune_objective(lambda trial: trial.params["x"], X, n_trials=3, direction="maximize", seed=0)
    result.save(tmp_path)
    assert type(result).load(tmp_path) == result
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best_params.json", "result.json", "trials.csv"]


def test_a_function_that_always_fails_ends_the_tuning() -> None:
    """After some failures without a value the last reason is told."""
    with pytest.raises(TaskError, match=r"ZeroDivisionError.*the objective and the search space"):
        sllmbo.tune_objective(lambda trial: 1 / 0, X, n_trials=50, seed=0)


def test_a_log_that_cannot_be_kept_costs_no_value(tmp_path, caplog):
    """A file lies where the folder of the logs should be."""
    (tmp_path / "logs").touch()
    trial = optuna.trial.FixedTrial({"x": 1.0}, number=0)
    assert 3.0 == Command(script("print('sllmbo: value=3.0')"), logs=tmp_path / "logs")(trial)
    assert "cannot be kept" in caplog.text
