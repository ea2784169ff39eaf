"""
The tree of commands, and how a wrong command line is told.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from sllmbo import __version__
from sllmbo.cli.bench import HELP as BENCH_HELP
from sllmbo.cli.bench import bench
from sllmbo.cli.doctor import HELP as DOCTOR_HELP
from sllmbo.cli.doctor import doctor
from sllmbo.cli.prompt import HELP as PROMPT_HELP
from sllmbo.cli.prompt import prompt
from sllmbo.cli.replay import HELP as REPLAY_HELP
from sllmbo.cli.replay import replay
from sllmbo.cli.report import HELP as REPORT_HELP
from sllmbo.cli.report import report
from sllmbo.cli.retune import HELP as RETUNE_HELP
from sllmbo.cli.retune import retune
from sllmbo.cli.space import HELP as SPACE_HELP
from sllmbo.cli.space import space
from sllmbo.cli.tune import HELP, tune

app = typer.Typer(
    name="sllmbo",
    help="Tune hyperparameters by a language model and TPE together, on Optuna.",
    epilog="Start with: sllmbo tune data.csv --target COLUMN (no key needed: without --llm, documented rules advise).",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command(help=HELP, short_help=HELP.partition("\n")[0])(tune)
app.command(help=RETUNE_HELP, short_help=RETUNE_HELP.partition("\n")[0])(retune)
app.command(help=SPACE_HELP, short_help=SPACE_HELP.partition(":")[0])(space)
app.command(help=PROMPT_HELP, short_help=PROMPT_HELP.partition(";")[0])(prompt)
app.command(help=DOCTOR_HELP, short_help=DOCTOR_HELP.partition("\n")[0])(doctor)
app.command(help=BENCH_HELP, short_help=BENCH_HELP.partition(":")[0])(bench)
app.command(help=REPORT_HELP, short_help=REPORT_HELP.partition(":")[0])(report)
app.command(help=REPLAY_HELP, short_help=REPLAY_HELP.partition("\n")[0])(replay)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"sllmbo {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an unexpected error.")] = False,
) -> None:
    """Options before the command."""


def run(arguments: Sequence[str]) -> int:
    """
    Run the command that *arguments* name, and return its exit code.

    A wrong command line is told in one sentence on standard error, and returns 2; an unexpected error returns 1.
    """
    try:
        code = app(list(arguments) or ["--help"], prog_name="sllmbo", standalone_mode=False)
    except Exception as error:
        if not hasattr(error, "format_message"):  # no usage error of the parser's
            if "--debug" in arguments:
                raise
            told = " ".join(str(error).split()).rstrip(".")
            remedy = "run `sllmbo --debug ...` for the traceback"
            print(f"Unexpected {type(error).__name__}: {told}; {remedy}.", file=sys.stderr)
            return 1
        command = " ".join(["sllmbo", *_command_of(arguments)])
        print(f"{_one_sentence(error.format_message())} `{command} --help` explains the options.", file=sys.stderr)
        return 2
    return code if isinstance(code, int) else 0


def _command_of(arguments: Sequence[str]) -> list[str]:
    known = [command.callback.__name__ for command in app.registered_commands if command.callback]
    return [word for word in arguments if word in known][:1]


def _one_sentence(message: str) -> str:
    text = " ".join(message.split()).replace("Value error, ", "")
    return text if text.endswith((".", "?")) else f"{text}."
