"""
`sllmbo bench`: methods on problems whose answers are known, paired over seeds, with intervals.
"""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sllmbo._optional import require
from sllmbo.errors import ConfigError

if TYPE_CHECKING:
    from sllmbo.benchmarks.cell import Cell
    from sllmbo.benchmarks.runner import Plan

_MOST_SEEDS = 10_000

HELP = (
    "Compare methods on problems of known answers: each method on each problem with each seed.\n\n"
    "The folder keeps every finished study; the same command goes on where it was interrupted, and more methods, "
    "problems and seeds can be run into it later. It then holds results.csv (one line for each trial), summary.json, "
    "summary.md, report.md and pictures.\n\n"
    "Progress goes to standard error, the tables to standard output. Exit code: 0 if all was run, 1 for an unexpected "
    "error, 2 for a mistake in what was asked for, 130 if interrupted, 143 after SIGTERM."
)


def _show_list(wanted: bool) -> None:
    if wanted:
        from sllmbo.benchmarks.listing import listing

        print(listing())
        raise typer.Exit


def bench(
    suite: Annotated[str, typer.Option(metavar="NAME", help="The problems: see --list.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the studies and results.")],
    methods: Annotated[
        str, typer.Option(metavar="NAME,...", help="Methods with commas between them: see --list.")
    ] = "llm-tpe,tpe+default",
    problems: Annotated[
        str | None,
        typer.Option(metavar="NAME,...", help="Some of the suite's problems, or groups of them, such as hpobench."),
    ] = None,
    advisor: Annotated[
        list[str] | None,
        typer.Option(metavar="SPEC", help="Whom advised methods ask, rules if left out; may be repeated: see --list."),
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="A-B,...", help="Seeds, and ranges of them.")] = "0-19",
    trials: Annotated[int, typer.Option(metavar="N", help="Trials of each study.")] = 50,
    jobs: Annotated[int, typer.Option(metavar="N", help="Studies that run at once, each in a process.")] = 1,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The method that the others are compared with; tpe+default, or else the first one."
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(metavar="REGRET", help="Differences of regret up to this are ties.")
    ] = 0.01,
    label: Annotated[
        str, typer.Option(metavar="TEXT", help="What the run is, such as development or report; stands in report.md.")
    ] = "",
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", envvar="SLLMBO_DATA", help="Where suites of real data find their files."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object instead.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="No colours and no status line.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and what the libraries print.")] = False,
    show_list: Annotated[  # noqa: ARG001  # its callback does all
        bool,
        typer.Option("--list", help="Show suites, methods and advisors, and exit.", callback=_show_list, is_eager=True),
    ] = False,
) -> int:
    """Do what `HELP` says."""
    from sllmbo.cli.progress import Progress
    from sllmbo.cli.session import Interrupts, run_session, take_over

    if data is not None:
        os.environ["SLLMBO_DATA"] = str(data)
    streams = take_over(keep_chatter=debug)
    progress = Progress(streams.err, plain=plain)
    interrupts = Interrupts(streams.err)

    def work() -> None:
        progress.status("starting")
        from sllmbo.benchmarks.report import write_report
        from sllmbo.benchmarks.results import arms_in, read_results
        from sllmbo.benchmarks.runner import make_plan, run_plan
        from sllmbo.benchmarks.summary import find_arm, to_text

        if str(out) == ".":
            raise ConfigError(f"--out {str(out)!r} must be a folder of its own; name a new one.")
        for option, number in (("--trials", trials), ("--jobs", jobs)):
            if number < 1:
                raise ConfigError(f"{option} {number} must be at least 1.")
        if not 0.0 <= tolerance < math.inf:
            raise ConfigError(f"--tolerance {tolerance:g} must be a number from 0 on, such as 0.01.")
        require("matplotlib", extra="bench", purpose="The command 'bench'")
        plan = make_plan(
            suite,
            methods=_listed(methods, "--methods"),
            problems=None if problems is None else _listed(problems, "--problems"),
            advisors=advisor or ["rules"],
            seeds=read_seeds(seeds),
            trials=trials,
        )
        arms = tuple(dict.fromkeys((*plan.arms(), *arms_in(out))))
        against = baseline or ("tpe+default" if "tpe+default" in arms else plan.methods[0])
        find_arm(against, arms)
        _tell_plan(progress, plan)
        run_plan(plan, out, jobs=jobs, on_cell=lambda *done: _tell_cell(progress, out, *done))
        if interrupts.happened:
            raise KeyboardInterrupt
        progress.status("summarising")
        results = read_results(out)
        summary = write_report(out, results, baseline=against, tolerance=tolerance, label=label)
        progress.fact("Files", f"results.csv, summary.json, summary.md and report.md in {out}")
        width = os.get_terminal_size(streams.out.fileno()).columns if streams.out.isatty() else None
        text = json.dumps(summary.to_json()) if as_json else to_text(summary, width=width or None)
        print(text, file=streams.out, flush=True)

    return run_session(work, progress, interrupts, debug=debug)


def _listed(text: str, option: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise ConfigError(f"{option} {text!r} names nothing; name at least one, with commas between them.")
    return names


def read_seeds(text: str) -> list[int]:
    """
    Return the seeds that *text* names.

    Raises:
        ConfigError: If it is no list of numbers and ranges.

    Example:
        >>> read_seeds("0-2,7")
        [0, 1, 2, 7]
    """
    seeds: list[int] = []
    for part in _listed(text, "--seeds"):
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if found is None or int(found[2] or found[1]) < int(found[1]):
            raise ConfigError(
                f"--seeds {text!r} must be numbers and ranges, the smaller end first, such as '0-19' or '1,5,10-12'."
            )
        first, last = int(found[1]), int(found[2] or found[1])
        if len(seeds) + last - first >= _MOST_SEEDS:
            raise ConfigError(f"--seeds {text!r} must name at most {_MOST_SEEDS} seeds.")
        seeds.extend(range(first, last + 1))
    return seeds


def _tell_plan(progress: Any, plan: Plan) -> None:
    n_cells = len(plan.cells())
    progress.fact(
        "Studies",
        f"{n_cells}, each of {plan.trials} trials: problems {', '.join(plan.problems)}; "
        f"methods {', '.join(plan.arms())}; {len(plan.seeds)} seed{'s' * (len(plan.seeds) > 1)}",
    )


def _tell_cell(progress: Any, folder: Path, cell: Cell, record: dict[str, Any], done: int, total: int) -> None:
    from sllmbo.benchmarks.folder import lost_advice
    from sllmbo.benchmarks.results import arm_of

    failed = sum(trial["failed"] for trial in record["trials"])
    lost = f"  {failed} of {cell.trials} trials failed" if failed else ""
    mute = lost_advice(record)
    if mute:
        lost += f"  no advice in {mute.total()} turns ({', '.join(mute)})"
    progress.keep(f"The finished studies are kept in {folder}; the same command goes on.")
    progress.line(f"{done:>5}/{total}  {cell.problem}  {arm_of(cell.method, cell.advisor)}  seed {cell.seed}{lost}")
