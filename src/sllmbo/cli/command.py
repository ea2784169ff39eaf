"""
`sllmbo tune --command`: the same search over the runs of a program.
"""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from sllmbo.cli.options import (
    advisor_in_words,
    default_study_name,
    made,
    make_advisor,
    make_budget,
    make_pruner,
    read_space,
    slug,
)
from sllmbo.errors import ConfigError, SllmboError

_OF_DATA = ("data", "target", "kind", "drop", "time_column", "group", "cv", "holdout", "estimator", "max_rows")
_NOT_MEASURED = ("constraint", "objective", "prefer", "ensemble", "preprocessing")
_OF_COMMANDS = ("value_file", "time_limit")
_ADVICE = ("llm", "base_url", "reply_mode", "privacy", "mask_names", "memory")
_SEARCH = ("patience", "method", "init", "prefetch", "fixed_space", "repeats", "seed", "description")


def check_data(context: typer.Context, data: Path | None, target: str | None) -> tuple[Path, str]:
    """
    Return data and target, which are there.

    Raises:
        ConfigError: If one is missing, or an option is given that only a command has.
    """
    if data is None:
        raise ConfigError("There is nothing to tune; give DATA and --target, or --command and --space.")
    if target is None:
        raise ConfigError(f"The column of {str(data)!r} to predict is missing; name it with --target.")
    for name in _given(context, _OF_COMMANDS):
        raise ConfigError(f"{_spelled(name)} is of a --command, not of data; leave it out.")
    return data, target


def tune_command(context: typer.Context, options: Mapping[str, Any]) -> int:
    """Do what the *options* of `sllmbo tune` say of a command, and return the exit code."""
    from sllmbo.cli.progress import Progress, listen
    from sllmbo.cli.session import Interrupts, run_session, take_over

    streams = take_over(keep_chatter=options["debug"])
    progress = Progress(streams.err, plain=options["plain"])
    interrupts = Interrupts(streams.err)

    def work() -> None:
        progress.status("starting")
        _check(context)
        import optuna

        from sllmbo import tuner
        from sllmbo.cli.summary import keep_and_tell
        from sllmbo.cli.watch import Watch
        from sllmbo.tuner.storage import without_password

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        listen(progress)
        trials, llm, metric = options["trials"], options["llm"], options["metric"]
        advice = {name: options[name] for name in _ADVICE}
        budget = make_budget(
            trials=trials,
            seconds=options["timeout"],
            calls=options["max_calls"],
            tokens=options["max_tokens"],
            cost_usd=options["max_cost"],
        )
        space = read_space(options["space"])
        if space is None:
            raise ConfigError("A command needs a search space; give a .toml or .json file with --space.")
        advisor = make_advisor(record=options["record"], method=options["method"], **advice)
        name = options["study"] or _study_name(options)
        folder = Path(options["out"] or Path("sllmbo-out") / slug(name))
        command = tuner.Command(
            options["command"],
            value_file=options["value_file"],
            metric=metric or "",
            time_limit=options["time_limit"],
            seed=options["seed"],
            logs=folder / "logs",
        )
        command.check(space)
        made(folder)
        url = options["storage"] or f"sqlite:///{folder / 'study.db'}"
        limit = f"; a run may take {options['time_limit']:g} s" if options["time_limit"] else ""
        watch = Watch(
            progress,
            n_trials=trials,
            label="Command",
            data=command.text,
            judging=f"read from {command.value_file or 'the last line of standard output'}{limit}",
            advisor=advisor_in_words(
                *(options["method"], llm, advice["base_url"]),
                privacy=advice["privacy"],
                mask_names=advice["mask_names"],
            ),
            storage=without_password(url),
        )
        try:
            result = tuner.tune_objective(
                command,
                space,
                metric=metric or "value",
                n_trials=trials,
                timeout=options["timeout"],
                budget=budget,
                llm=advisor,
                pruner=make_pruner(options["pruner"], None),
                storage=url,
                study_name=name,
                on_start=watch.on_start,
                callbacks=(watch.after_trial, interrupts.check),
                **{name: options[name] for name in _SEARCH},
                direction=options["direction"] or "minimize",
            )
        except SllmboError:
            with contextlib.suppress(OSError):  # it is kept where it holds anything
                folder.rmdir()
            raise
        keep_and_tell(progress, result, folder, n_trials=trials, offline=llm == "offline")
        if options["as_json"]:
            print(json.dumps(result.to_json()), file=streams.out, flush=True)

    return run_session(work, progress, interrupts, debug=options["debug"])


def _check(context: typer.Context) -> None:
    for name in _given(context, _OF_DATA):
        raise ConfigError(f"{_spelled(name)} is of data, not of a --command; leave one of the two out.")
    for name in _given(context, _NOT_MEASURED):
        raise ConfigError(
            f"{_spelled(name)} needs an estimator, of which more is measured; a --command gives one value."
        )


def _study_name(options: Mapping[str, Any]) -> str:
    """Return a readable name that is the same for the same command: that of its script, or of its program."""
    try:
        words = shlex.split(options["command"])
    except ValueError:
        words = []  # `Command` tells it better
    script = next((word for word in words[1:] if Path(word).suffix and not word.startswith("-")), (words or [""])[0])
    stem = Path(Path(script).stem)
    return default_study_name(stem, "command", options["method"], options["llm"], options["seed"], options["memory"])


def _given(context: typer.Context, names: tuple[str, ...]) -> list[str]:
    """Return those of *names* that stand on the command line."""
    return [name for name in names if str(context.get_parameter_source(name)).endswith("COMMANDLINE")]


def _spelled(name: str) -> str:
    return {"data": "DATA", "time_column": "--time"}.get(name, f"--{name.replace('_', '-')}")
