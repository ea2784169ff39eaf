"""
Ask and tell over one study.
"""

from __future__ import annotations

import logging

import optuna
import pytest

import sllmbo
from sllmbo import Categorical, Float, Int, SearchSpace, Task, Tuner
from sllmbo.errors import ConfigError, SpaceError, StudyError
from sllmbo.samplers import study_history
from sllmbo.space import When
from sllmbo.tuner.methods import METHODS

SPACE = SearchSpace(
    {
        "kernel": Categorical(["rbf", "linear"], default="rbf"),
        "C": Float(1e-3, 1e3, log=True, default=1.0),
        "gamma": Float(1e-4, 1.0, log=True, default=0.1, condition=When("kernel", ["rbf"])),
        "degree": Int(1, 5, default=3),
    }
)


def _tuner(**options):
    options = {"task": Task(direction="minimize"), "llm": "offline", "seed": 0} | options
    return Tuner(options.pop("space", SPACE), **options)


def _run(tuner, n):
    for _ in range(n):
        trial = tuner.ask()
        tuner.tell(trial, trial.params["C"] + trial.params["degree"])
    return tuner.study.trials


@pytest.mark.parametrize("method", [method for method in METHODS if method != "gp"])
def test_every_method_starts_from_the_default(method) -> None:
    """All methods evaluate the default configuration first, and only valid configurations after it."""
    trials = _run(_tuner(method=method), 14)

    assert SPACE.default_params() == trials[0].params
    assert "default" == trials[0].user_attrs["sllmbo:source"]
    assert all(SPACE.contains(trial.params) for trial in trials)


def test_methods_without_an_advisor_never_use_one() -> None:
    """The classical methods have the default and their own sampler as sources, nothing else."""
    for method in ("tpe", "random", "cma"):
        trials = _run(_tuner(method=method), 12)

        assert {"default", method} == {trial.user_attrs["sllmbo:source"] for trial in trials}


def test_gp_names_its_extra_where_torch_is_missing() -> None:
    """A method whose package is not installed says how to install it."""
    try:
        import torch  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match=r'pip install "sllmbo\[gp\]"'):
            _tuner(method="gp")
    else:
        assert "gp" in {trial.user_attrs["sllmbo:source"] for trial in _run(_tuner(method="gp"), 3)}


def test_a_failure_is_told_with_class_and_message() -> None:
    """A failed trial keeps its reason, and the history tells it."""
    tuner = _tuner()
    trial = tuner.ask()
    tuner.tell(trial, failure=MemoryError("no room"))

    assert "MemoryError: no room" == study_history(tuner.study)[0].reason


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_a_failure(value) -> None:
    """No such value reaches the densities of TPE."""
    tuner = _tuner()
    tuner.tell(tuner.ask(), value)

    assert "failed" == study_history(tuner.study)[0].state


def test_an_abandoned_trial_gives_its_place_to_the_next() -> None:
    """A trial that was given up counts nowhere; the next one repeats its configuration."""
    tuner = _tuner()
    first = tuner.ask()
    tuner.abandon(first)
    second = tuner.ask()

    assert first.params == second.params
    assert 1 == len(study_history(tuner.study))


def _end(tuner, error, *, tells):
    with tuner.trial() as trial:
        if tells:
            tuner.tell(trial, 1.0)
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_trial_that_an_error_ends_is_abandoned_unless_it_was_told(error) -> None:
    """An error that leaves the context of a trial passes on, and only what was told counts."""
    tuner = _tuner()
    for tells in (False, True):
        with pytest.raises(error):
            _end(tuner, error, tells=tells)

    assert ["FAIL", "COMPLETE"] == [trial.state.name for trial in tuner.study.trials]
    assert tuner.study.trials[0].params == tuner.study.trials[1].params
    assert 1 == len(study_history(tuner.study))


@pytest.mark.parametrize(
    ("number", "rule"),
    [(7, "has no trial 7"), (-1, "no trial -1"), (0, "has ended as COMPLETE"), ("0", "no trial '0'")],
)
def test_only_a_running_trial_is_told_or_given_up(number, rule) -> None:
    """What was told stays, and what was never asked for is refused."""
    tuner = _tuner()
    tuner.tell(tuner.ask().number, 1.0)
    for ends in (lambda: tuner.tell(number, 2.0), lambda: tuner.abandon(number)):
        with pytest.raises(StudyError, match=rule):
            ends()

    assert [1.0] == [trial.value for trial in tuner.study.trials]


def test_a_stored_study_keeps_its_space(tmp_path) -> None:
    """A study that is gone on with has the space that it began with, without being told."""
    url = f"sqlite:///{tmp_path}/study.db"
    _run(_tuner(storage=url, study_name="s"), 3)
    resumed = Tuner(task=Task(direction="minimize"), llm="offline", storage=url, study_name="s", seed=0)

    assert SPACE == resumed.space
    assert 6 == len(_run(resumed, 3))


def test_another_space_for_a_stored_study_is_refused(tmp_path) -> None:
    """A study has one search space."""
    url = f"sqlite:///{tmp_path}/study.db"
    _tuner(storage=url, study_name="s")

    with pytest.raises(StudyError, match="another search space"):
        _tuner(space=SearchSpace({"x": Float(0, 1)}), storage=url, study_name="s")


@pytest.mark.parametrize(
    ("other", "words"),
    [(Task(direction="maximize"), "direction"), (Task(direction="minimize", metric="mae"), "metric")],
)
def test_another_task_for_a_stored_study_is_refused(tmp_path, other, words) -> None:
    """A study is about one metric in one direction; the message names what differs."""
    url = f"sqlite:///{tmp_path}/study.db"
    _tuner(storage=url, study_name="s")

    with pytest.raises(StudyError, match=words):
        _tuner(task=other, storage=url, study_name="s")


@pytest.mark.parametrize("url", ["study.db", "nonsense://x", "sqlite:////no/such/folder/study.db"])
def test_a_storage_that_cannot_be_opened_is_one_sentence(url) -> None:
    """A wrong storage is a mistake of the user's, told with the URL."""
    with pytest.raises(ConfigError, match="storage"):
        _tuner(storage=url)


def test_a_password_in_a_storage_url_is_not_shown() -> None:
    """Error messages never show a password."""
    with pytest.raises(ConfigError) as caught:
        _tuner(storage="postgresql+psycopg://me:secret@127.0.0.1:1/x")

    assert "secret" not in str(caught.value)


def test_an_unknown_method_is_refused() -> None:
    """The message quotes the method and names those there are."""
    with pytest.raises(ConfigError, match="method='bo' must be one of llm-tpe"):
        _tuner(method="bo")


def test_same_seed_same_trials() -> None:
    """Two tuners of one seed ask for the same configurations."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    one, two = _run(_tuner(), 25), _run(_tuner(), 25)

    assert [trial.params for trial in one] == [trial.params for trial in two]


def test_a_trial_that_its_context_leaves_untold_is_given_up(caplog) -> None:
    """Its configuration is the next one's, and a warning says so."""
    tuner = _tuner()
    with caplog.at_level(logging.WARNING, logger="sllmbo"), tuner.trial() as trial:
        pass

    assert ["Trial 0 was not told in its context, and is given up."] == caplog.messages[-1:]
    assert trial.params == tuner.ask().params


@pytest.mark.parametrize("value", ["abc", [71.5, 2.0], {}])
def test_what_is_no_number_is_refused_and_the_trial_stays_open(value) -> None:
    """A slip of whoever tells costs no trial."""
    tuner = _tuner()
    trial = tuner.ask()
    with pytest.raises(ConfigError, match="not a number"):
        tuner.tell(trial, value)
    tuner.tell(trial, 71.5)

    assert [71.5] == [trial.value for trial in tuner.study.trials]


def test_a_callback_or_an_objective_may_stop_the_study() -> None:
    """As in `Study.optimize`, with Optuna's own callbacks."""

    def objective(trial):
        if trial.number == 4:
            trial.study.stop()
        return trial.params["C"]

    def tuned(**arguments):
        result = sllmbo.tune_objective(objective, SPACE, n_trials=9, llm="offline", seed=0, **arguments)
        return result.n_trials, result.stop_reason

    assert (3, "stopped") == tuned(callbacks=[optuna.study.MaxTrialsCallback(3)])
    assert (5, "stopped") == tuned()


def test_an_error_without_words_is_a_failure_as_any_other() -> None:
    """What cannot even be printed makes its trial fail, not the study."""

    class Mute(Exception):
        def __str__(self):
            raise ValueError

    tuner = _tuner()
    tuner.tell(tuner.ask(), failure=Mute())

    assert "Mute" == study_history(tuner.study)[0].reason


def test_a_dictionary_of_parameters_is_a_search_space() -> None:
    """As `SearchSpace` takes it; what is no parameter is told as there."""
    assert {"C": 1.0} == _tuner(space={"C": SPACE["C"]}).ask().params
    with pytest.raises(SpaceError, match="use Float, Int or Categorical"):
        _tuner(space={"C": optuna.distributions.FloatDistribution(0, 1)})
