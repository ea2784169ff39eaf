"""
Facts about the package as a whole: who imports whom, what an import loads, which names are promised.
"""

import ast
import doctest
import functools
import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import sllmbo

ROOT = Path(__file__).parents[2]
PACKAGE = Path(sllmbo.__file__).parent
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(sllmbo.__path__, "sllmbo.") if not module.name.endswith("__main__")
)
HEAVY = ("pydantic_ai", "openai", "sklearn", "pandas", "lightgbm", "xgboost", "catboost", "typer", "rich", "pytest")


@functools.cache
def modules_after(statement):
    """The names of all modules that a fresh process has after *statement*."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def loaded(names):
    return sorted({name.partition(".")[0] for name in names} & set(HEAVY))


def test_every_import_runs_downwards():
    """The import contract of pyproject.toml is kept."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr


def test_importing_the_package_loads_no_optional_and_no_heavy_package():
    """`import sllmbo` loads neither an extra nor the gateway, nor what only tuning of estimators needs."""
    assert [] == loaded(modules_after("import sllmbo"))


def test_the_samplers_load_optuna_and_no_more():
    """Whoever swaps the sampler of a study pays for Optuna alone, until a chat model is asked."""
    assert [] == loaded(modules_after("from sllmbo import LLMSampler, LLMTPESampler"))


def test_the_import_is_no_larger_than_that_of_optuna():
    """`import sllmbo` stays within 1.3 times `import optuna`, counted in modules: a measure that no load can shake."""
    assert len(modules_after("import sllmbo")) <= 1.3 * len(modules_after("import optuna"))


def test_the_public_names_are_these():
    """The names of the package are the promised fourteen, and all of them are there."""
    names = (
        "Budget Categorical Command Float Int LLMSampler LLMTPESampler SearchSpace SllmboError Task TuneResult Tuner "
        "tune tune_objective"
    )
    assert names.split() == list(sllmbo.__all__)
    for name in sllmbo.__all__:
        assert getattr(sllmbo, name).__module__.startswith("sllmbo.")
    ours = [
        name
        for name, value in vars(sllmbo).items()
        if not name.startswith("_") and str(getattr(value, "__module__", "")).startswith("sllmbo.")
    ]
    assert set(ours) <= set(sllmbo.__all__)


@pytest.mark.parametrize("name", [name for name in MODULES if (PACKAGE.parent / name.replace(".", "/")).is_dir()])
def test_every_package_exports_what_it_says(name):
    """What a package lists in `__all__` is there, sorted and once."""
    package = importlib.import_module(name)
    exported = list(getattr(package, "__all__", []))
    assert sorted(set(exported)) == sorted(exported)
    assert [] == [entry for entry in exported if not hasattr(package, entry)]


@pytest.mark.parametrize("name", ["sllmbo", *MODULES])
def test_the_examples_of_docstrings_run(name):
    """Each example in a docstring gives what it shows."""
    module = importlib.import_module(name)
    assert 0 == doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).failed


def test_nothing_inside_imports_public_names_from_the_root():
    """The root is the door for others: inside, names are imported from where they are defined."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, (ast.Import, ast.ImportFrom)):
                continue
            names = [alias.name for alias in node.names]
            bare = isinstance(node, ast.Import) and "sllmbo" in names
            named = isinstance(node, ast.ImportFrom) and node.module == "sllmbo" and set(names) & {"*", *sllmbo.__all__}
            if bare or named:
                found.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert [] == found


SOURCES = [path.relative_to(PACKAGE).as_posix() for path in sorted(PACKAGE.rglob("*.py"))]


@pytest.mark.parametrize("path", [path for path in SOURCES if not path.startswith("advisors/knowledge/")])
def test_files_stay_short(path):
    """No file of the package is longer than 400 lines, but for tables of knowledge."""
    assert len((PACKAGE / path).read_text(encoding="utf-8").splitlines()) <= 400
