"""
A study whose processes are killed again and again ends with the trials of one that ran through.

Run as a script, this file is the study: "chain" kills itself at random writes to the storage until the study is done,
"once" runs until it is done or killed from outside.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import traceback
from datetime import datetime
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from sqlalchemy import event

from sllmbo._random import generator
from sllmbo.errors import AdviceError
from sllmbo.samplers import LLMSampler, LLMTPESampler, _turns
from sllmbo.samplers._record import SOURCE
from sllmbo.space import Categorical, Float, Int, SearchSpace
from sllmbo.testing import ScriptedAdvisor

N_TRIALS = 25
INTERRUPTED = 3
SPACE = SearchSpace(
    {
        "lr": Float(1e-4, 1.0, log=True, default=0.1),
        "depth": Int(1, 10, default=3),
        "kind": Categorical(["a", "b", None], default="a"),
    }
)


def reply(request):
    """Points that depend on all that was told, so that no difference in it stays unseen; now and then a failure."""
    told = [(o.number, sorted(o.params.items()), o.state, o.value, o.reason, o.source) for o in request.history]
    text = repr((request.turn, request.n, request.purpose, list(request.space), request.task, told))
    rng = generator(request.seed, hashlib.sha256(text.encode()).hexdigest())
    if rng.random() < 0.2:
        return AdviceError("down")
    return [request.space.sample(rng) for _ in range(request.n)]


def flat(trial):
    """Fails and prunes where the parameters say so."""
    lr = trial.suggest_float("lr", 1e-4, 1.0, log=True)
    depth = trial.suggest_int("depth", 1, 10)
    kind = trial.suggest_categorical("kind", ["a", "b", None])
    if depth == 7 or (kind is None and lr > 0.3):
        raise ValueError(f"depth={depth}, lr={lr}")
    trial.report(lr, 1)
    if depth >= 8:
        raise optuna.TrialPruned
    return (lr - 0.05) ** 2 * depth + (kind == "a")


def conditional(trial):
    """Parameters that appear late, and only for some."""
    x = trial.suggest_categorical("x", [True, False])
    if x:
        return trial.suggest_float("y", 0, 1)
    n = trial.suggest_int("n", 1, 100)
    if n % 5 == 0:
        raise RuntimeError(f"n={n}")
    return trial.suggest_float("z", 0, 1) + n


VARIANTS = {
    "declared": (
        lambda: LLMTPESampler(ScriptedAdvisor(reply), space=SPACE, seed=0),
        flat,
        {"lr": 0.3, "depth": 4, "kind": "b"},
    ),
    "undeclared": (lambda: LLMTPESampler(ScriptedAdvisor(reply), n_opening=3, seed=1), conditional, {"x": False}),
    "designed": (lambda: LLMSampler(ScriptedAdvisor(reply, space=SPACE), task="it", seed=2), flat, {"kind": None}),
}


def counted(study):
    trials = [t for t in _turns.all_trials(study) if t.state.is_finished() and not _turns.is_abandoned(t)]
    return [[t.params, t.values, t.state.name, t.user_attrs[SOURCE]] for t in trials]


def work(variant, storage):
    """Run the study of *variant*, or what is left of it."""
    sampler, objective, enqueued = VARIANTS[variant]
    study = optuna.create_study(study_name="s", storage=storage, sampler=sampler(), load_if_exists=True)
    study.enqueue_trial(enqueued, skip_if_exists=True)

    def stop(study, trial):
        if len(counted(study)) >= N_TRIALS:
            study.stop()

    if len(counted(study)) < N_TRIALS:
        study.optimize(objective, callbacks=[stop], catch=(ValueError, RuntimeError))
    return counted(study)


def sqlite(path):
    storage = RDBStorage(f"sqlite:///{path}")
    # A killed process loses nothing that it wrote; only a killed machine would.
    event.listen(storage.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
    storage.engine.dispose()
    return storage


WRITES = (
    "create_new_trial",
    "set_trial_system_attr",
    "set_trial_user_attr",
    "set_trial_param",
    "set_trial_state_values",
)


def end_at_write(storage, n, how):
    """Send this process the signal *how* before its *n*-th write about a trial."""
    left = [n]

    def armed(method):
        def write(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), how)
            return method(*args, **kwargs)

        return write

    for name in WRITES:
        setattr(storage, name, armed(getattr(storage, name)))


def child(path, variant, n, how):
    _turns.HERE_SINCE = datetime.now()  # as in a process that has just begun
    code = 1
    try:
        storage = sqlite(path)
        end_at_write(storage, n, how)
        work(variant, storage)
        code = 0
    except BaseException as error:  # Optuna may turn an interrupt into an error of its own
        code = INTERRUPTED if isinstance(error, KeyboardInterrupt | UnboundLocalError) else code
        traceback.print_exc()
    finally:
        os._exit(code)


def chain(path, variant, seed):
    """Run the study in one process after another, each of which is ended at a random write; return how many were."""
    rng = random.Random(seed)
    n_ended = 0
    while True:
        n, how = rng.randint(1, 60), rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT])
        pid = os.fork()
        if pid == 0:
            child(path, variant, n, how)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code == 0:
            return n_ended
        if code not in (-signal.SIGKILL, INTERRUPTED):
            raise RuntimeError(f"ended by {code}")
        n_ended += 1


def main(mode, path, variant, *seeds):
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    if mode == "once":
        storage = sqlite(path)
        VARIANTS[variant] = (VARIANTS[variant][0], announced(VARIANTS[variant][1]), VARIANTS[variant][2])
        print("done", json.dumps(work(variant, storage)), flush=True)
    else:
        for seed in seeds:
            n_ended = chain(f"{path}.{seed}", variant, int(seed))
            study = optuna.load_study(study_name="s", storage=f"sqlite:///{path}.{seed}")
            print(json.dumps([n_ended, counted(study)]), flush=True)


def announced(objective):
    def announcing(trial):
        print("trial", trial.number, flush=True)
        value = objective(trial)
        print("value", trial.number, flush=True)
        return value

    return announcing


def command(mode, path, variant, *seeds):
    return [sys.executable, __file__, mode, str(path), variant, *map(str, seeds)]


ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def uncut():
    """The trials of each variant without any kill."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    trials = {variant: work(variant, optuna.storages.InMemoryStorage()) for variant in VARIANTS}
    optuna.logging.set_verbosity(optuna.logging.INFO)
    return trials


def test_the_uncut_studies_hold_all_kinds_of_trials(uncut):
    """What is compared has trials of all sources and states."""
    kinds = {kind for trials in uncut.values() for _, _, state, source in trials for kind in (state, source)}
    assert {"COMPLETE", "PRUNED", "FAIL", "user", "default", "scripted", "tpe"} == kinds


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("variant", list(VARIANTS))
def test_killed_at_random_writes_the_study_ends_as_if_uncut(variant, uncut, tmp_path):
    """Ended by SIGKILL or SIGINT at random writes, resumed each time, the study has the uncut one's trials in order."""
    seeds = [1, 2]
    output = subprocess.run(
        command("chain", tmp_path / "s.db", variant, *seeds), env=ENVIRONMENT, capture_output=True, text=True
    )
    assert 0 == output.returncode, output.stderr
    for line in output.stdout.splitlines():
        n_ended, trials = json.loads(line)
        assert n_ended >= 2
        assert json.loads(json.dumps(uncut[variant])) == trials
    assert len(seeds) == len(output.stdout.splitlines())


@pytest.mark.parametrize(("how", "at"), [(signal.SIGKILL, [5, 17]), (signal.SIGINT, [8])])
def test_killed_from_outside_the_study_ends_as_if_uncut(how, at, uncut, tmp_path):
    """Whole processes, ended from outside while a trial runs, leave a study that later ones finish as if uncut."""
    for lines in [*at, None]:
        with subprocess.Popen(
            command("once", tmp_path / "s.db", "declared"),
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            said = []
            for line in process.stdout:
                said.append(line)
                if len(said) == lines:
                    process.send_signal(how)
        assert (lines is None) == (process.returncode == 0)
    assert json.loads(json.dumps(uncut["declared"])) == json.loads(said[-1].removeprefix("done"))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main(*sys.argv[1:])
