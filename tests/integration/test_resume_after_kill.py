"""
A study whose processes are killed again and again ends with the trials of one that ran through.
"""

import contextlib
import hashlib
import json
import os
import random
import signal
import traceback

import optuna
import pytest
from optuna.storages import RDBStorage

from sllmbo._random import generator
from sllmbo.errors import AdviceError
from sllmbo.samplers import LLMSampler, LLMTPESampler, _turns
from sllmbo.samplers._record import SOURCE
from sllmbo.space import Categorical, Float, Int, SearchSpace
from sllmbo.testing import ScriptedAdvisor
from sllmbo_process import FORKS, begin

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


def suicide(url, variant, n, how):
    """Go on with the study until the *n*-th write, or to its end."""
    begin()
    code = 1
    try:
        storage = RDBStorage(url)
        end_at_write(storage, n, how)
        work(variant, storage)
        code = 0
    except BaseException as error:  # Optuna may turn an interrupt into an error of its own
        code = INTERRUPTED if isinstance(error, KeyboardInterrupt | UnboundLocalError) else code
        traceback.print_exc()
    finally:
        os._exit(code)


def victim(url, variant, said):
    """Go on with the study, and say where a trial begins and ends."""
    begin()
    sampler, objective, enqueued = VARIANTS[variant]

    def announcing(trial):
        said.send("trial")
        value = objective(trial)
        said.send("value")
        return value

    VARIANTS[variant] = (sampler, announcing, enqueued)
    work(variant, RDBStorage(url))
    said.send("done")


def told(url):
    """The trials of a study as `uncut` has them."""
    return json.loads(json.dumps(counted(optuna.load_study(study_name="s", storage=url))))


@pytest.fixture(scope="module")
def uncut():
    """The trials of each variant without any kill."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    trials = {variant: work(variant, optuna.storages.InMemoryStorage()) for variant in VARIANTS}
    optuna.logging.set_verbosity(optuna.logging.INFO)
    return json.loads(json.dumps(trials))


def test_the_uncut_studies_hold_all_kinds_of_trials(uncut):
    """What is compared has trials of all sources and states."""
    kinds = {kind for trials in uncut.values() for _, _, state, source in trials for kind in (state, source)}
    assert {"COMPLETE", "PRUNED", "FAIL", "user", "default", "scripted", "tpe"} == kinds


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("variant", list(VARIANTS))
def test_killed_at_random_writes_the_study_ends_as_if_uncut(variant, seed, uncut, tmp_path):
    """Ended by SIGKILL or SIGINT at random writes, resumed each time, the study has the uncut one's trials in order."""
    url, rng = f"sqlite:///{tmp_path}/s.db", random.Random(seed)
    codes = [None]
    while codes[-1] != 0:
        about = (url, variant, rng.randint(1, 60), rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT]))
        process = FORKS.Process(target=suicide, args=about, daemon=True)
        process.start()
        process.join(60)
        codes.append(process.exitcode)
        assert codes[-1] in (0, -signal.SIGKILL, INTERRUPTED)
    assert len(codes) >= 4
    assert uncut[variant] == told(url)


@pytest.mark.parametrize(("how", "at"), [(signal.SIGKILL, [5, 17]), (signal.SIGINT, [8])])
def test_killed_from_outside_the_study_ends_as_if_uncut(how, at, uncut, tmp_path):
    """Whole processes, ended from outside while a trial runs, leave a study that later ones finish as if uncut."""
    url = f"sqlite:///{tmp_path}/s.db"
    for n_messages in [*at, None]:
        reader, writer = FORKS.Pipe(duplex=False)
        process = FORKS.Process(target=victim, args=(url, "declared", writer), daemon=True)
        process.start()
        writer.close()
        n_said = 0
        with contextlib.suppress(EOFError):
            while reader.recv():
                n_said += 1
                if n_said == n_messages:
                    os.kill(process.pid, how)
        process.join(60)
        assert (n_messages is None) == (process.exitcode == 0)
    assert uncut["declared"] == told(url)
