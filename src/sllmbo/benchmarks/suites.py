"""
The suites by name, each imported when it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence

from sllmbo.benchmarks.problem import Suite
from sllmbo.errors import ConfigError

SUITES: Mapping[str, str] = {
    "tables": "sllmbo.benchmarks.tables:Tables",
    "failures": "sllmbo.benchmarks.failures:Failures",
    "paper-surrogate": "sllmbo.benchmarks.surrogate:PaperSurrogate",
    "paper": "sllmbo.benchmarks.paper:PaperTasks",
    "modalities": "sllmbo.benchmarks.modalities:Modalities",
}
"""Where the class of each suite is."""


def load_suite(name: str) -> Suite:
    """
    Return the suite of this name.

    Raises:
        ConfigError: If there is none.
        MissingExtra: If what it needs is not installed.
    """
    if name not in SUITES:
        raise ConfigError(f"The suite {name!r} must be one of {', '.join(SUITES)}.")
    module, _, cls = SUITES[name].partition(":")
    try:
        made: Suite = getattr(importlib.import_module(module), cls)()
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ConfigError(f"The suite {name!r} is not in this version of sllmbo; choose another one.") from None
    return made


def choose_problems(suite: Suite, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """
    Return the problems of *suite* that are *wanted*, in its order; all if None.

    "hpobench" stands for all of "hpobench:...", "gas_drift" for all of "gas_drift-...".

    Raises:
        ConfigError: If it has no such problem.
    """
    there = suite.problems()
    if wanted is None:
        return there
    chosen: set[str] = set()
    for name in wanted:
        alike = [problem for problem in there if problem.startswith((f"{name}:", f"{name}-"))]
        found = [name] if name in there else alike
        if not found:
            raise ConfigError(f"The suite {suite.name!r} has no problem {name!r}; it has {', '.join(there)}.")
        chosen.update(found)
    return tuple(problem for problem in there if problem in chosen)
