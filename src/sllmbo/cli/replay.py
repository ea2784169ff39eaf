"""
`sllmbo replay`: run a recorded study again and compare, or show what a recording holds.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from sllmbo.errors import ConfigError, SllmboError

HELP = (
    "Run a study again from what `sllmbo tune --record FILE` wrote, without network or key, and compare each trial.\n\n"
    "With --table or --csv it shows the questions to the advisor instead, and runs nothing. Exit code: 0 if every "
    "trial came out equal, 2 at the first difference or for a mistake in what was asked for, 130 if interrupted, 143 "
    "after SIGTERM."
)

_COLUMNS = ("turn", "purpose", "chat_model", "candidates", "repairs", "tokens", "cost_usd", "seconds", "error")
_WIDEST = 60


def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The recording.")],
    data: Annotated[
        Path | None, typer.Argument(metavar="[DATA]", help="The table, if it lies elsewhere than when it was recorded.")
    ] = None,
    table: Annotated[bool, typer.Option("--table", help="Show one line per question, and run nothing.")] = False,
    to_csv: Annotated[
        Path | None, typer.Option("--csv", metavar="OUT", help="Write the table to this file, and run nothing.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the results; sllmbo-out/replay-FILE if left out.")
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="No colours and no status line.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and what the libraries print.")] = False,
) -> int:
    """Do what `HELP` says."""
    if table or to_csv is not None:
        return _show(file, to_csv)
    return _rerun(file, data, out, plain=plain, debug=debug)


def _show(file: Path, to_csv: Path | None) -> int:
    import sys

    from sllmbo.advisors.replay import read_recording

    try:
        rows = [question.row() for question in read_recording(file).questions]
        if to_csv is not None:
            _write_csv(to_csv, rows)
        else:
            print(_table(rows))
    except SllmboError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]) if rows else list(_COLUMNS))
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise ConfigError(f"The table {str(path)!r} cannot be written: {error.strerror}; name another file.") from error


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return *rows* as lines of text, with the sums under them."""
    cells = [[_cell(name, row[name]) for name in _COLUMNS] for row in map(_with_advisor, rows)]
    cells.append(["", "sum", "", *(_cell(name, _sum(rows, name)) for name in _COLUMNS[3:-1]), ""])
    lines = [[name.replace("_", " ").replace("cost usd", "USD") for name in _COLUMNS], *cells]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if name in ("purpose", "chat_model", "error") else cell.rjust(width)
            for name, cell, width in zip(_COLUMNS, line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def _with_advisor(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**row, "chat_model": row["chat_model"] or (f"none: {row['source']}" if row["source"] else "-")}


def _sum(rows: Sequence[Mapping[str, Any]], name: str) -> Any:
    known = [row[name] for row in rows if row[name] is not None]
    return sum(known) if known else None


def _cell(name: str, value: Any) -> str:
    from sllmbo.cli.progress import printable

    if value is None:
        return "-"
    if name == "cost_usd":
        return f"{value:.4f}"
    if name == "seconds":
        return f"{value:.1f}"
    text = printable(value)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."


def _rerun(file: Path, data: Path | None, out: Path | None, *, plain: bool, debug: bool) -> int:
    from sllmbo.cli.options import made, slug
    from sllmbo.cli.progress import Progress, listen
    from sllmbo.cli.session import Interrupts, run_session, take_over

    streams = take_over(keep_chatter=debug)
    progress = Progress(streams.err, plain=plain)
    interrupts = Interrupts(streams.err)
    folder = out or Path("sllmbo-out") / slug(f"replay-{file.stem}")

    def work() -> None:
        import optuna

        from sllmbo.advisors.replay import read_recording
        from sllmbo.cli.rerun import Rerun
        from sllmbo.cli.summary import tell_result

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        listen(progress)
        if (folder / "study.db").exists():
            raise ConfigError(f"The folder {str(folder)!r} holds a study; give the replay one of its own with --out.")
        rerun = Rerun(file, read_recording(file), data)
        for change in rerun.changes:
            progress.fact("Changed", change, "yellow")
        result = rerun.run(progress, interrupts.check)
        if interrupts.happened:
            raise KeyboardInterrupt
        if rerun.n_equal < rerun.n_trials:
            raise ConfigError(f"The replay ended after {rerun.n_equal} of {rerun.n_trials} recorded trials.")
        if result is not None:
            result.save(made(folder))
            tell_result(progress, result, folder)
        print(f"All {rerun.n_trials} trials came out equal to the recorded ones.", file=streams.out, flush=True)

    return run_session(work, progress, interrupts, debug=debug)
