"""
`sllmbo tune`: the options of `sllmbo.tune()` on the command line, and what it tells meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from sllmbo.cli.options import (
    advisor_in_words,
    check_budget,
    data_in_words,
    default_study_name,
    judging_in_words,
    made,
    make_advisor,
    make_pruner,
    read_space,
    slug,
)
from sllmbo.errors import SllmboError

_DATA, _SEARCH, _ADVICE, _KEPT, _SHOWN = "Data", "Search", "Advice", "What is kept", "What is shown"


HELP = (
    "Tune an estimator on a table, the default configuration first.\n\n"
    "The same command again goes on with its study: with more --trials it continues, without it writes the result "
    "again. Ctrl-C ends the search and writes the result of the trials so far; a second one leaves at once.\n\n"
    "Progress goes to standard error. Exit code: 0 if a result was written (also after Ctrl-C), 1 for an unexpected "
    "error, 2 for a mistake in what was asked for, 130 if interrupted before there was a result."
)


def _show_list(wanted: bool) -> None:
    if wanted:
        from sllmbo.cli.listing import listing

        print(listing())
        raise typer.Exit


def tune(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="The table: a .csv, .tsv (also .gz) or .parquet file.")],
    target: Annotated[str, typer.Option(metavar="COL", help="The column to predict.", rich_help_panel=_DATA)],
    kind: Annotated[
        Literal["classification", "regression"] | None,
        typer.Option(help="What the target is; found out if left out.", rich_help_panel=_DATA),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(metavar="COL", help="A column to leave out; may be repeated.", rich_help_panel=_DATA),
    ] = None,
    time_column: Annotated[
        str | None,
        typer.Option(
            "--time",
            metavar="COL",
            help="A column of dates or numbers: rows are validated on later rows than they are fitted on.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COL", help="A column whose rows of one value stay together in every split.", rich_help_panel=_DATA
        ),
    ] = None,
    cv: Annotated[int, typer.Option(metavar="FOLDS", help="Folds of the cross-validation.", rich_help_panel=_DATA)] = 5,
    holdout: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Share of the rows that no trial sees, for an honest last check; 0 for none.",
            rich_help_panel=_DATA,
        ),
    ] = 0.2,
    estimator: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="A name (see --list) or the import path of a class.", rich_help_panel=_SEARCH
        ),
    ] = "lightgbm",
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What is optimised (see --list); f1_weighted for classes and mae for numbers if left out.",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    trials: Annotated[
        int,
        typer.Option(
            metavar="N", help="Trials of the study in all; those of earlier runs count.", rich_help_panel=_SEARCH
        ),
    ] = 50,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Begin no further trial after so long.", rich_help_panel=_SEARCH),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(metavar="N", help="Stop after N trials without improvement.", rich_help_panel=_SEARCH),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="llm-tpe (advisor and TPE in turns), llm (advisor alone), tpe, random, gp or cma.",
            rich_help_panel=_SEARCH,
        ),
    ] = "llm-tpe",
    init: Annotated[
        Literal["llm", "random", "default"],
        typer.Option(
            help="What follows the default configuration: the advisor's batch, random points, or nothing.",
            rich_help_panel=_SEARCH,
        ),
    ] = "llm",
    space: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The search space, as SearchSpace.to_json() writes it.", rich_help_panel=_SEARCH
        ),
    ] = None,
    pruner: Annotated[
        Literal["none", "median", "hyperband"],
        typer.Option(help="Stops a trial after some folds where it does not promise.", rich_help_panel=_SEARCH),
    ] = "none",
    seed: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            max=2**32 - 1,
            help="Seed of splits, estimator and search.",
            rich_help_panel=_SEARCH,
        ),
    ] = 0,
    llm: Annotated[
        str,
        typer.Option(
            metavar="SPEC",
            envvar="SLLMBO_LLM",
            help="offline (documented rules, no chat model), PROVIDER:NAME (the key comes from the environment), or "
            "replay:FILE (replay-lenient:FILE answers by turn where a question differs).",
            rich_help_panel=_ADVICE,
        ),
    ] = "offline",
    base_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="An OpenAI-compatible server that has the chat model.", rich_help_panel=_ADVICE
        ),
    ] = None,
    description: Annotated[
        str, typer.Option(metavar="TEXT", help="The problem in words, for the chat model.", rich_help_panel=_ADVICE)
    ] = "",
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write all advice down here, for `sllmbo replay FILE`.", rich_help_panel=_ADVICE
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the results; sllmbo-out/STUDY if left out.", rich_help_panel=_KEPT),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the study; made of data, estimator, method, chat model and seed if left out.",
            rich_help_panel=_KEPT,
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Where Optuna keeps the study; sqlite in the folder if left out.", rich_help_panel=_KEPT
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print the result as one JSON object on standard output.", rich_help_panel=_SHOWN),
    ] = False,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain", help="No colours and no status line, as where there is no terminal.", rich_help_panel=_SHOWN
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show tracebacks and what the libraries print.", rich_help_panel=_SHOWN),
    ] = False,
    show_list: Annotated[  # its callback does all
        bool,
        typer.Option(
            "--list",
            callback=_show_list,
            is_eager=True,
            help="Show the estimators and metrics that can be named, and exit.",
            rich_help_panel=_SHOWN,
        ),
    ] = False,
) -> None:
    """Do what `HELP` says."""
    options = dict(locals())  # for the recording
    from sllmbo.cli.progress import Progress, listen
    from sllmbo.cli.session import Interrupts, run_session, take_over

    streams = take_over(keep_chatter=debug)
    progress = Progress(streams.err, plain=plain)
    interrupts = Interrupts(streams.err)

    def work() -> None:
        progress.status("starting")
        import optuna

        from sllmbo import tuner
        from sllmbo.cli.rerun import record_run
        from sllmbo.cli.summary import tell_next_steps, tell_result
        from sllmbo.cli.watch import Watch
        from sllmbo.tuner.data import from_frame, read_table

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        listen(progress)
        check_budget(trials, timeout)
        given_space = read_space(space)
        advisor = make_advisor(llm, base_url, record, method)
        sys.path.append(str(Path.cwd()))  # where the class of --estimator may lie
        progress.status(f"reading {data}")
        dataset = from_frame(read_table(data), target, kind=kind, time=time_column, group=group, drop=drop or ())
        name = study or default_study_name(data, estimator, method, llm, seed)
        folder = made(out or Path("sllmbo-out") / slug(name))
        url = storage or f"sqlite:///{folder / 'study.db'}"
        watch = Watch(
            progress,
            n_trials=trials,
            data=data_in_words(data, dataset),
            judging=judging_in_words(dataset, cv, holdout),
            advisor=advisor_in_words(method, llm, base_url),
            notes=dataset.notes,
            storage=url,
        )
        recording = record_run(advisor, data, options, given_space)
        try:
            result = tuner.tune(
                estimator,
                dataset,
                metric=metric,
                space=given_space,
                n_trials=trials,
                timeout=timeout,
                patience=patience,
                method=method,
                llm=advisor,
                init=init,
                cv=cv,
                holdout_share=holdout,
                pruner=make_pruner(pruner, cv),
                storage=url,
                study_name=name,
                seed=seed,
                description=description,
                on_start=watch.on_start,
                callbacks=(watch.after_trial, *recording, interrupts.check),
            )
        except SllmboError:
            with contextlib.suppress(OSError):  # it is kept where it holds anything
                folder.rmdir()
            raise
        result.save(folder)
        tell_result(progress, result, folder)
        command = ["sllmbo", *sys.argv[1:]]
        tell_next_steps(progress, result, command, folder=folder, n_trials=trials, offline=llm == "offline")
        if as_json:
            print(json.dumps(result.to_json()), file=streams.out, flush=True)

    raise typer.Exit(run_session(work, progress, interrupts, debug=debug))
