"""
What is said of a study in the end: the result, the verdict on the advisor and the lines of the command agree.
"""

from __future__ import annotations

import io
import random
import shlex
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from sllmbo import Float, LLMTPESampler, SearchSpace, Task, Tuner, tune_objective
from sllmbo.cli.progress import Progress
from sllmbo.cli.summary import tell_next_steps, tell_result
from sllmbo.errors import ReplyError
from sllmbo.report import collect
from sllmbo.space.branches import joined
from sllmbo.testing import ScriptedAdvisor
from sllmbo.tuner.conclude import conclude_study
from sllmbo.tuner.result import TuneResult, shortlist_records, study_worth
from sllmbo.usage import Usage

SPACE = SearchSpace({"x": Float(0.0, 1.0, default=0.5)})


def told(result: TuneResult) -> str:
    out = io.StringIO()
    tell_result(Progress(out, plain=True), result, Path("out"))
    return out.getvalue()


def squared(trial) -> float:
    return (trial.params["x"] - 0.3) ** 2


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_partner_of_any_class_is_not_taken_for_the_advisor() -> None:
    """Whatever sampler serves beside the advisor, its improvements are not the advisor's."""
    space = SearchSpace({name: Float(0.0, 1.0, default=0.5) for name in ("x", "y")})
    partner = optuna.samplers.PartialFixedSampler({"y": 0.1}, optuna.samplers.TPESampler(seed=0))
    rng = random.Random(0)
    bad = ScriptedAdvisor(lambda request: {"x": rng.random(), "y": 0.9})
    study = optuna.create_study(sampler=LLMTPESampler(bad, space=space, partner=partner, seed=0))
    study.optimize(lambda t: (t.suggest_float("x", 0, 1) - 0.3) ** 2 + t.suggest_float("y", 0, 1), n_trials=20)
    worth = study_worth(study)
    assert {"default", "scripted", "partner"} == set(worth.sources)
    assert worth.sources["partner"].improvements > 0
    assert worth.verdict.startswith("the advisor did not pay: 0 of ")


def test_an_advisor_that_costs_and_gives_nothing_did_not_pay() -> None:
    """Neither its bill nor its verdict is passed over, and a study that goes on without it keeps its bill."""

    def nonsense(request):
        raise ReplyError("nonsense", usage=Usage(2, 1000, 100, 0.5, 1.0))

    storage = optuna.storages.InMemoryStorage()
    result = tune_objective(squared, SPACE, n_trials=10, llm=ScriptedAdvisor(nonsense), storage=storage, study_name="s")
    assert "Worth      the advisor did not pay: no trial came from an advisor for 2.5 USD" in told(result)
    result = tune_objective(squared, SPACE, n_trials=12, method="tpe", storage=storage, study_name="s")
    assert "2.5000 USD" in told(result)


def test_improvements_are_counted_once_whoever_tells_them() -> None:
    """The table, the result and the verdict: improvements are over the default, or over the first where it failed."""

    def failing_first(trial):
        if trial.number == 0:
            raise MemoryError("boom")
        return squared(trial)

    for objective in (squared, failing_first):
        result = tune_objective(objective, SPACE, n_trials=12, llm="offline", seed=1)
        assert result.worth is not None
        counted = {name: source.improvements for name, source in result.worth.sources.items()}
        assert counted == {name: counts["improvements"] for name, counts in result.sources.items()}
        assert result.worth.improvements == sum(record["improved"] for record in result.trials)
        assert 0 == result.sources["default"]["improvements"]


def test_the_default_is_not_better_than_itself() -> None:
    """Where repeats choose the default, nothing is gained, and gains of single noisy values are told as such."""
    rng, storage = random.Random(0), optuna.storages.InMemoryStorage()
    result = tune_objective(
        lambda trial: 1 + 30 * (trial.params["x"] - 0.5) ** 2 + rng.gauss(0, 0.05),
        SPACE,
        n_trials=20,
        repeats=True,
        llm="offline",
        storage=storage,
        study_name="s",
        seed=0,
    )
    assert ({"x": 0.5}, 0.0) == (result.best_params, result.gain)
    assert ": the default configuration, the best by repeats" in told(result)
    assert result.worth is not None
    assert "in single noisy values" in result.worth.verdict
    answer = collect(optuna.load_study(study_name="s", storage=storage)).answer
    assert answer is not None
    assert (result.default_value, 0.0, None) == (answer.default_value, answer.gain, answer.gain_interval)
    assert result.best_interval == answer.interval


@pytest.mark.parametrize(
    ("default", "front", "sentence"),
    [
        (0.1, lambda x: (0.9, 100 - 99 * x), "(default 0.900000, the same)"),
        (0.99, lambda x: (x, x**4), "(default 0.990000, worse by 0.195, 20 %)"),
    ],
)
def test_of_several_objectives_no_worth_is_told(default, front, sentence) -> None:
    """Ranks are no gains, and a compromise that is worse in the first objective is told as worse."""
    tuner = Tuner(
        SearchSpace({"x": Float(0.0, 1.0, default=default)}),
        task=Task(metric="acc", direction="maximize", n_trials=12),
        objectives={"size": "minimize"},
        llm="offline",
        seed=0,
    )
    for _ in range(12):
        trial = tuner.ask()
        acc, size = front(trial.params["x"])
        tuner.tell(trial, acc, details={"acc": acc, "size": size})
    result = conclude_study(tuner, stop_reason="trials", storage=None)
    assert result.worth is None
    assert sentence in told(result)
    assert "Worth" not in told(result)


def test_the_shortlist_knows_only_what_keeps_the_constraints() -> None:
    """An estimator whose trials all broke a constraint has no value, and they count as failed."""
    space = joined({name: SearchSpace({"a": Float(0.0, 1.0, default=0.5)}) for name in ("big", "small")})
    task = Task(metric="acc", direction="maximize", n_trials=12)
    tuner = Tuner(space, task=task, constraints=["size<=5"], method="tpe", seed=0)
    for _ in range(12):
        trial = tuner.ask()
        big = trial.params["estimator"] == "big"
        value = 0.95 if big else 0.8 + 0.05 * trial.params["small.a"]
        tuner.tell(trial, value, details={"size": 10.0 if big else 1.0})
    result = conclude_study(tuner, stop_reason="trials", storage=None)
    first, last = shortlist_records(tuner.study, result.trials)
    assert ("small", "big", None) == (first["estimator"], last["estimator"], last["best_value"])
    assert last["trials"] == last["failed"] > 0
    shown = told(replace(result, shortlist=(first, last)))
    assert "estimator=small, small.a=" in shown


def test_a_share_of_all_or_more_is_told_without_percent() -> None:
    """A gain of 100 % says nothing where the default is near 0."""
    result = tune_objective(
        lambda t: 0.001 - t.params["x"], SearchSpace({"x": Float(0.0, 1.0, default=0.0)}), n_trials=8
    )
    assert "better by" in told(result)
    assert "e+0" not in told(result)
    assert " %)" not in told(result)


def test_a_study_that_has_more_trials_than_are_asked_for_says_so() -> None:
    """The command that is named to go on adds trials to those that the study has."""
    result = tune_objective(squared, SPACE, n_trials=6, llm="offline")
    out = io.StringIO()
    tell_next_steps(
        Progress(out, plain=True), result, ["sllmbo", "tune"], folder=Path("out"), n_trials=2, offline=False
    )
    assert "the study has 6 trials already, and --trials 2 counts those of earlier runs" in out.getvalue()
    assert "sllmbo tune --trials 12\n" in out.getvalue()


@pytest.mark.parametrize("record", [["--record", "kept/r.jsonl"], ["--record=kept/r.jsonl"]])
def test_a_comparison_keeps_what_the_first_study_wrote(record) -> None:
    """The command that is named to compare with a chat model has a study, a folder and a recording of its own."""
    result = tune_objective(squared, SPACE, n_trials=6, llm="offline")
    out = io.StringIO()
    typed = ["sllmbo", "tune", "--out", "out", "--study", result.study, *record]
    tell_next_steps(Progress(out, plain=True), result, typed, folder=Path("out"), n_trials=6, offline=True)
    compare = shlex.split(out.getvalue().splitlines()[-1].replace("=", " "))
    assert "kept/r-llm.jsonl" == compare[compare.index("--record") + 1]
    assert "out-llm" == compare[compare.index("--out") + 1]


def test_a_study_that_has_tried_everything_says_so() -> None:
    """It is not told to go on."""
    space = SearchSpace({"x": Float(0.0, 1.0, step=0.5, default=0.5)})
    result = tune_objective(squared, space, n_trials=6, llm="offline")
    out = io.StringIO()
    tell_next_steps(
        Progress(out, plain=True), result, ["sllmbo", "tune"], folder=Path("out"), n_trials=6, offline=False
    )
    assert "every configuration of the search space was tried" in out.getvalue()
    assert "--trials" not in out.getvalue()
