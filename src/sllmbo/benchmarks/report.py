"""
The page of a benchmark: what was run, on what, and what came out.
"""

from __future__ import annotations

import json
from pathlib import Path

from sllmbo.benchmarks import plots
from sllmbo.benchmarks.folder import RUN, estimated, unadvised
from sllmbo.benchmarks.results import NOTHING_YET, Results, arm_of
from sllmbo.benchmarks.summary import TITLES, TOLERANCE, Summary, counted, summarise, to_markdown

REPORT = "report.md"

_FEW_SEEDS = 5


def write_report(
    folder: Path, results: Results, *, baseline: str, tolerance: float = TOLERANCE, label: str = ""
) -> Summary:
    """
    Write `summary.json`, `summary.md`, `report.md` and the pictures into *folder*, and return the summary.

    Args:
        folder: A folder of a benchmark.
        results: What its `results.csv` says.
        baseline: The arm that the others are compared with.
        tolerance: Differences of regret up to this are ties.
        label: What the run is, in words, such as "development" or "report"; it stands on the page.

    Raises:
        ConfigError: If there is no such arm.
    """
    summary = summarise(results, baseline=baseline, tolerance=tolerance)
    summary.save(folder)
    pictures = plots.draw(folder, results, baseline=summary.baseline)
    (folder / REPORT).write_text(_page(folder, summary, pictures, label, results.left_out), encoding="utf-8")
    return summary


def _page(folder: Path, summary: Summary, pictures: tuple[str, ...], label: str, left_out: int) -> str:
    run = json.loads((folder / RUN).read_text(encoding="utf-8"))
    guessed = estimated(folder)
    facts = [
        f"- Run as: {label or 'not said (--label)'}",
        f"- Suite: {summary.suite}; problems: {', '.join(summary.problems)}",
        f"- Methods: {', '.join(summary.arms)}; baseline: {summary.baseline}",
        f"- Studies: {counted(len(summary.problems), 'problem')} x {counted(len(summary.seeds), 'seed')} "
        f"({_in_words(summary.seeds)}) for each method, {summary.trials} trials each; all comparisons are paired by "
        "(problem, seed)",
        f"- Versions: {', '.join(f'{name} {version}' for name, version in run['versions'].items())}; "
        f"code {run['code'][:12]}",
        f"- Regret: (best - value) / (best - median) of true values; {NOTHING_YET:g} until a trial has succeeded, "
        "whose own may be more",
    ]
    if left_out:
        studies = "study of a problem or seed" if left_out == 1 else "studies of problems or seeds"
        facts.append(f"- Left out: {left_out} {studies} in this folder that not all methods have")
    if len(summary.seeds) < _FEW_SEEDS:
        facts.append(f"- Fewer than {_FEW_SEEDS} seeds: intervals are too narrow and tests tell nothing")
    facts += [
        f"- Without advice: {arm_of(*asked)} in {lost} of its {turns} turns (mostly {reason})"
        for asked, (lost, turns, reason) in unadvised(folder).items()
    ]
    if guessed:
        facts.append(
            f"- Best and median are not known, and those of all trials in this folder: {', '.join(guessed)}; "
            "regret of the best evaluated is by the values that were optimised, of the one chosen by its held-out score"
        )
    alt = {
        plots.ANYTIME: "Mean regret against trials",
        plots.PER_PROBLEM: "Regret against trials, problem by problem",
        plots.RANKS: "Mean ranks",
    }
    shown = "\n\n".join(f"![{alt[name]}]({name})" for name in pictures)
    head = f"# Benchmark: {summary.suite}\n\n" + "\n".join(facts)
    return f"{head}\n\n{shown}\n\n{to_markdown(summary)}" + (_by_problem(summary) if len(summary.problems) > 1 else "")


def _by_problem(summary: Summary) -> str:
    means = summary.measures["regret"].by_problem
    rows = [["problem", *summary.arms], ["---", *(["---:"] * len(summary.arms))]]
    last = {(arm, name): round(means[arm][name][-1], 3) + 0.0 for arm in summary.arms for name in summary.problems}
    rows += [[name, *(f"{last[arm, name]:.3f}" for arm in summary.arms)] for name in summary.problems]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    title = f"{TITLES['regret']}, problem by problem, after {counted(summary.trials, 'trial')}"
    return "\n".join([f"\n## {title}", "", *lines, ""])


def _in_words(seeds: tuple[int, ...]) -> str:
    if len(seeds) > 2 and seeds == tuple(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))
