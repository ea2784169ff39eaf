"""
What a benchmark can be made of, as text.
"""

from __future__ import annotations

from collections.abc import Mapping

from sllmbo.benchmarks.advisors import ADVISORS
from sllmbo.benchmarks.methods import ADVISED, CLASSICAL, VARIANTS
from sllmbo.benchmarks.suites import SUITES, load_suite
from sllmbo.errors import SllmboError


def listing() -> str:
    """Return suites with their problems, methods with their variants, and advisors."""
    lines = ["Suites (--suite) and their problems (--problems)", ""]
    lines += [f"  {name:<18}{_problems(name)}" for name in SUITES]
    lines += _section("Methods (--methods); with +default the first trial is the default configuration", CLASSICAL)
    lines += _section("Methods that ask an advisor (--methods); the first trial is the default configuration", ADVISED)
    lines += _section("Variants of those, each after a colon (llm-tpe:coin:no-judging)", VARIANTS)
    lines += _section("Advisors (--advisor)", ADVISORS)
    return "\n".join(lines)


def _problems(suite: str) -> str:
    try:
        return ", ".join(load_suite(suite).problems())
    except SllmboError as error:
        return str(error)


def _section(title: str, entries: Mapping[str, str]) -> list[str]:
    return ["", title, "", *(f"  {name:<18}{explained}" for name, explained in entries.items())]
