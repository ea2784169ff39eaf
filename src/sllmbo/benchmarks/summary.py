"""
The summary of a benchmark: `summary.json` for programs, the same as tables for people.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sllmbo.benchmarks import statistics
from sllmbo.benchmarks.results import MEASURES, Array, Results
from sllmbo.errors import ConfigError

SUMMARY_JSON, SUMMARY_MD = "summary.json", "summary.md"
TOLERANCE = 0.01
"""Differences of regret up to this are ties."""

TITLES = {
    "regret": "True regret of the best configuration evaluated so far",
    "chosen_regret": "True regret of the configuration chosen so far (by one value; of :repeats by all values)",
}
_MEANING = "0 is the best configuration there is, 1 the median one; mean over problems and seeds."


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """An arm beside the baseline after some trials; differences are negative where the arm is better."""

    arm: str
    trials: int
    difference: float
    interval: tuple[float, float] | None
    """Stratified: for other seeds of these problems. None for a single seed."""
    interval_over_problems: tuple[float, float] | None
    """Hierarchical: for other problems too. None for a single problem or seed."""
    ratio: float | None
    """Mean regret over that of the baseline."""
    ratio_interval: tuple[float, float] | None
    """Stratified."""
    p_value: float
    """Wilcoxon's signed-rank test over (problem, seed), two-sided, not corrected for the number of comparisons."""
    pairs: tuple[int, int, int]
    """Wins, ties and losses over (problem, seed)."""
    problems: tuple[int, int, int]
    """Wins, ties and losses over problems, by means over seeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What is told of one kind of regret."""

    mean: Mapping[str, tuple[float, ...]]
    """Mean regret of each arm at the checkpoints."""
    by_problem: Mapping[str, Mapping[str, tuple[float, ...]]]
    ranks: Mapping[str, float]
    """Mean rank over problems after the last trial."""
    critical_difference: float
    friedman_p: float | None
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a benchmark has shown."""

    suite: str
    baseline: str
    tolerance: float
    arms: tuple[str, ...]
    problems: tuple[str, ...]
    seeds: tuple[int, ...]
    trials: int
    checkpoints: tuple[int, ...]
    failed: Mapping[str, float]
    """Share of failed trials."""
    failed_late: Mapping[str, float]
    """The same from two fifths of the trials on."""
    tokens: Mapping[str, float]
    """Tokens of a study."""
    seconds: Mapping[str, float]
    """Seconds of the sampler for one trial."""
    measures: Mapping[str, Measured]

    def to_json(self) -> dict[str, Any]:
        """Return the summary as a JSON object."""
        return asdict(self)

    def save(self, folder: Path) -> None:
        """Write both files into *folder*."""
        (folder / SUMMARY_JSON).write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
        (folder / SUMMARY_MD).write_text(to_markdown(self), encoding="utf-8")


def summarise(results: Results, *, baseline: str, tolerance: float = TOLERANCE) -> Summary:
    """
    Return what *results* show beside *baseline*, one of their arms or the method of one.

    Raises:
        ConfigError: If it is none of them, or *tolerance* is negative.
    """
    baseline = find_arm(baseline, results.arms)
    if not tolerance >= 0.0:
        raise ConfigError(f"tolerance={tolerance!r} must not be negative.")
    at = statistics.checkpoints(results.trials)
    return Summary(
        suite=results.suite,
        baseline=baseline,
        tolerance=tolerance,
        arms=results.arms,
        problems=results.problems,
        seeds=results.seeds,
        trials=results.trials,
        checkpoints=at,
        failed=_by_arm(results, results.failed),
        failed_late=_by_arm(results, results.failed_late),
        tokens=_by_arm(results, results.tokens),
        seconds=_by_arm(results, results.seconds),
        measures={name: _measured(results, results.regrets[name], at, baseline, tolerance) for name in MEASURES},
    )


def find_arm(name: str, arms: Sequence[str]) -> str:
    """
    Return which of *arms* has this *name*, with or without its advisor.

    Raises:
        ConfigError: If none has, or several have.

    Example:
        >>> find_arm("llm-tpe", ["tpe+default", "llm-tpe [rules]"])
        'llm-tpe [rules]'
    """
    found = [arm for arm in arms if name in (arm, arm.partition(" [")[0])]
    if len(found) != 1:
        what = "must be one of the methods that are run" if not found else "names several arms"
        raise ConfigError(f"The baseline {name!r} {what}: {', '.join(found or arms)}; choose one with --baseline.")
    return found[0]


def counted(n: int, what: str) -> str:
    """Return "1 seed", "2 seeds" and so on."""
    return f"{n} {what}{'s' * (n != 1)}"


def _by_arm(results: Results, values: Array) -> dict[str, float]:
    return dict(zip(results.arms, values.tolist(), strict=True))


def _measured(results: Results, regrets: Array, at: Sequence[int], baseline: str, tolerance: float) -> Measured:
    here = regrets[..., [trials - 1 for trials in at]]
    by_problem = here.mean(axis=2)
    last = by_problem[..., -1]
    return Measured(
        mean={arm: tuple(by_problem[i].mean(axis=0).tolist()) for i, arm in enumerate(results.arms)},
        by_problem={
            arm: {name: tuple(by_problem[i, p].tolist()) for p, name in enumerate(results.problems)}
            for i, arm in enumerate(results.arms)
        },
        ranks=_by_arm(results, statistics.mean_ranks(last)),
        critical_difference=statistics.critical_difference(*last.shape),
        friedman_p=statistics.friedman(last),
        comparisons=_comparisons(results, here, at, baseline, tolerance),
    )


def _comparisons(
    results: Results, here: Array, at: Sequence[int], baseline: str, tolerance: float
) -> tuple[Comparison, ...]:
    _, n_problems, n_seeds, _ = here.shape
    within = statistics.stratified_weights(n_problems, n_seeds) if n_seeds > 1 else None
    across = statistics.hierarchical_weights(n_problems, n_seeds) if n_seeds > 1 and n_problems > 1 else None
    base = here[results.arms.index(baseline)]
    made = []
    for i, arm in enumerate(results.arms):
        for c, trials in enumerate(at) if arm != baseline else ():
            regrets, of_base = here[i, ..., c], base[..., c]
            difference = regrets - of_base
            made.append(
                Comparison(
                    arm=arm,
                    trials=trials,
                    difference=float(difference.mean()),
                    interval=None if within is None else statistics.interval(within, difference),
                    interval_over_problems=None if across is None else statistics.interval(across, difference),
                    ratio=float(regrets.mean() / of_base.mean()) if of_base.any() else None,
                    ratio_interval=None if within is None else statistics.ratio_interval(within, regrets, of_base),
                    p_value=statistics.wilcoxon(difference),
                    pairs=statistics.win_tie_loss(difference, tolerance),
                    problems=statistics.win_tie_loss(difference.mean(axis=1), tolerance),
                )
            )
    return tuple(made)


# As tables.

Cells = list[list[str]]


def tables(summary: Summary) -> list[tuple[str, str, Cells]]:
    """Return title, explanation and cells of each table; the first row is the head."""
    n_problems, n_seeds = len(summary.problems), len(summary.seeds)
    about = f"{summary.suite}: {counted(n_problems, 'problem')}, {counted(n_seeds, 'seed')} each. "
    made = []
    for name in MEASURES:
        measured = summary.measures[name]
        explained = about + _MEANING + _on_ranks(summary, measured) + _on_columns(summary)
        made.append((TITLES[name], explained, _means(summary, measured)))
        about = ""  # said once
    if len(summary.arms) == 1:
        return made
    made.append((f"Against {summary.baseline}", _on_comparisons(summary), _against(summary, "regret")))
    made.append(
        (
            f"Against {summary.baseline}, by the configuration chosen",
            "",
            _against(summary, "chosen_regret"),
        )
    )
    return made


def _on_ranks(summary: Summary, measured: Measured) -> str:
    if min(len(summary.problems), len(summary.arms)) < 2:
        return ""
    friedman = "" if measured.friedman_p is None else f"; Friedman p {_p(measured.friedman_p)}"
    return f" Mean ranks nearer than {measured.critical_difference:.2f} are not told apart (Nemenyi, 5 %{friedman})."


def _on_columns(summary: Summary) -> str:
    late = f" failed late: of the trials from {2 * summary.trials // 5 + 1} on." if any(summary.failed.values()) else ""
    ranks = " rank: mean over problems after the last trial." if len(summary.problems) > 1 else ""
    return f"{ranks}{late} ms/trial: of the sampler and its advisor, without the evaluation."


def _on_comparisons(summary: Summary) -> str:
    return (
        "Difference of regret, negative is better; 95 % bootstrap intervals, for other seeds of these problems "
        "(stratified) and for other problems too (hierarchical); p by Wilcoxon over (problem, seed), not corrected for "
        f"the number of comparisons; wins/ties/losses with a tolerance of {summary.tolerance:g}."
    )


def _means(summary: Summary, measured: Measured) -> Cells:
    failing = any(summary.failed.values())
    asking = any(summary.tokens.values())
    ranked = len(summary.problems) > 1
    head = ["method", *(f"at {trials}" for trials in summary.checkpoints), *["rank"] * ranked]
    head += ["failed", "failed late"] * failing + ["tokens"] * asking + ["ms/trial"]
    rows = [head]
    for arm in sorted(summary.arms, key=lambda arm: measured.mean[arm][-1]):
        row = [arm, *(f"{mean:.3f}" for mean in measured.mean[arm]), *[f"{measured.ranks[arm]:.2f}"] * ranked]
        row += [f"{summary.failed[arm]:.0%}", f"{summary.failed_late[arm]:.0%}"] * failing
        row += [f"{summary.tokens[arm]:.0f}"] * asking + [f"{1000 * summary.seconds[arm]:.1f}"]
        rows.append(row)
    return rows


def _against(summary: Summary, name: str) -> Cells:
    rows = [["method", "at", "difference", "stratified", "hierarchical", "ratio", "p", "pairs w/t/l", "problems w/t/l"]]
    rows += [
        [
            c.arm,
            str(c.trials),
            f"{c.difference:+.3f}",
            _interval(c.interval),
            _interval(c.interval_over_problems),
            _ratio(c.ratio, c.ratio_interval),
            _p(c.p_value),
            "/".join(map(str, c.pairs)),
            "/".join(map(str, c.problems)),
        ]
        for c in summary.measures[name].comparisons
    ]
    return rows


def _interval(bounds: tuple[float, float] | None) -> str:
    return "-" if bounds is None else f"[{bounds[0]:+.3f}, {bounds[1]:+.3f}]"


def _ratio(ratio: float | None, bounds: tuple[float, float] | None) -> str:
    if ratio is None:
        return "-"
    return f"{ratio:.2f}" if bounds is None else f"{ratio:.2f} [{bounds[0]:.2f}, {bounds[1]:.2f}]"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def to_markdown(summary: Summary) -> str:
    """Return the tables as Markdown."""
    parts = []
    for title, explained, cells in tables(summary):
        head, *rows = cells
        rule = ["---" if i == 0 else "---:" for i in range(len(head))]
        lines = ["| " + " | ".join(row) + " |" for row in (head, rule, *rows)]
        parts.append("\n\n".join(part for part in (f"## {title}", explained, "\n".join(lines)) if part))
    return "\n\n".join(parts) + "\n"


_FIRST_TO_GO = ("hierarchical", "p", "problems w/t/l", "ratio", "pairs w/t/l", "ms/trial", "stratified")


def to_text(summary: Summary, *, width: int | None = None) -> str:
    """
    Return the tables as lines for a terminal.

    Args:
        summary: The summary.
        width: Columns of the terminal. Explanations are wrapped, and a table that is wider loses columns, which is
            told. None for no limit.
    """
    parts = []
    for title, explained, cells in tables(summary):
        shown, left_out = cells, []
        for name in _FIRST_TO_GO:
            if width is None or max(map(len, _lines(shown))) <= width:
                break
            if name in shown[0]:
                position = shown[0].index(name)
                shown = [row[:position] + row[position + 1 :] for row in shown]
                left_out.append(name)
        below = [f"Left out, as the terminal is narrow: {', '.join(left_out)}; {SUMMARY_MD} has all."] * bool(left_out)
        above = [title, *([explained] if explained else [])]
        parts.append("\n".join([*_wrapped(above, width), "", *_lines(shown), *_wrapped(below, width)]))
    return "\n\n\n".join(parts)


def _lines(cells: Cells) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def _wrapped(paragraphs: Sequence[str], width: int | None) -> list[str]:
    return [line for text in paragraphs for line in (textwrap.wrap(text, width) if width else [text])]
