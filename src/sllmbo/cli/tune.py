"""
`sllmbo tune`: the options of `sllmbo.tune()` on the command line, and what it tells meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

import typer

from sllmbo.cli import arguments
from sllmbo.cli.command import check_data
from sllmbo.cli.options import (
    advisor_in_words,
    data_in_words,
    default_study_name,
    judging_in_words,
    made,
    make_advisor,
    make_budget,
    make_pruner,
    read_dataset,
    read_space,
    slug,
)
from sllmbo.errors import SllmboError

HELP = (
    "Tune an estimator on a table, or any command, the default configuration first.\n\n"
    "The same command again goes on with its study: with more --trials it continues, without it writes the result "
    "again. Ctrl-C or SIGTERM ends the search and writes the result of the trials so far; a second one leaves at "
    "once.\n\n"
    "Progress goes to standard error. Exit code: 0 if a result was written (also after Ctrl-C), 1 for an unexpected "
    "error, 2 for a mistake in what was asked for, 130 if interrupted before there was a result, 143 after SIGTERM."
)


def tune(
    context: typer.Context,
    data: arguments.DataIfAny = None,
    target: arguments.TargetIfAny = None,
    kind: arguments.Kind = None,
    drop: arguments.Drop = None,
    time_column: arguments.TimeColumn = None,
    group: arguments.Group = None,
    cv: arguments.Folds = 5,
    holdout: arguments.Holdout = 0.2,
    command: arguments.Command = None,
    value_file: arguments.ValueFile = None,
    time_limit: arguments.TimeLimit = None,
    max_rows: arguments.MaxRows = None,
    estimator: arguments.Estimator = "lightgbm",
    metric: arguments.Metric = None,
    constraint: arguments.Constraint = None,
    objective: arguments.Objective = None,
    prefer: arguments.Prefer = None,
    yes: arguments.Yes = False,
    direction: arguments.Direction = None,
    trials: arguments.Trials = 50,
    timeout: arguments.Timeout = None,
    patience: arguments.Patience = None,
    method: arguments.Method = "llm-tpe",
    init: arguments.Init = "llm",
    space: arguments.Space = None,
    fixed_space: arguments.FixedSpace = False,
    repeats: arguments.Repeats = False,
    transfer: arguments.Transfer = True,
    ensemble: arguments.Ensemble = None,
    preprocessing: arguments.Preprocessing = False,
    pruner: arguments.Pruner = "none",
    seed: arguments.Seed = 0,
    llm: arguments.Llm = "offline",
    base_url: arguments.BaseUrl = None,
    reply_mode: arguments.ReplyMode = "auto",
    description: arguments.Description = "",
    privacy: arguments.Privacy = "description",
    mask_names: arguments.MaskNames = False,
    memory: arguments.Memory = "digest",
    prefetch: arguments.Prefetch = False,
    max_calls: arguments.MaxCalls = None,
    max_tokens: arguments.MaxTokens = None,
    max_cost: arguments.MaxCost = None,
    record: arguments.Record = None,
    out: arguments.Out = None,
    study: arguments.Study = None,
    storage: arguments.Storage = None,
    as_json: arguments.AsJson = False,
    plain: arguments.Plain = False,
    debug: arguments.Debug = False,
    show_list: arguments.ShowList = False,  # its callback does all
) -> None:
    """Do what `HELP` says."""
    options = dict(locals())  # for the recording
    if command is not None:
        from sllmbo.cli.command import tune_command

        raise typer.Exit(tune_command(context, options))
    from sllmbo.cli.preferences import confirmed
    from sllmbo.cli.progress import Progress, listen
    from sllmbo.cli.session import Interrupts, run_session, take_over

    streams = take_over(keep_chatter=debug)
    progress = Progress(streams.err, plain=plain)
    interrupts = Interrupts(streams.err)

    def work() -> None:
        bounds, wanted = confirmed(prefer, progress, yes=yes)
        options["constraint"], options["objective"] = [*(constraint or ()), *bounds], [*(objective or ()), *wanted]
        progress.status("starting")
        table, column = check_data(context, data, target)
        import optuna

        from sllmbo import tuner
        from sllmbo.cli.rerun import record_run
        from sllmbo.cli.summary import keep_and_tell
        from sllmbo.cli.watch import Watch
        from sllmbo.tuner.storage import without_password

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        listen(progress)
        budget = make_budget(trials=trials, seconds=timeout, calls=max_calls, tokens=max_tokens, cost_usd=max_cost)
        given_space = read_space(space)
        advisor = make_advisor(
            llm,
            base_url,
            record,
            method,
            reply_mode=reply_mode,
            privacy=privacy,
            mask_names=mask_names,
            memory=memory,
        )
        sys.path.append(str(Path.cwd()))  # where the class of --estimator may lie
        progress.status(f"reading {table}")
        dataset = read_dataset(table, column, kind=kind, time_column=time_column, group=group, drop=drop)
        name = study or default_study_name(table, estimator, method, llm, seed, memory)
        folder = made(out or Path("sllmbo-out") / slug(name))
        url = storage or f"sqlite:///{folder / 'study.db'}"
        watch = Watch(
            progress,
            n_trials=trials,
            data=data_in_words(table, dataset),
            judging=judging_in_words(dataset, cv, holdout),
            advisor=advisor_in_words(method, llm, base_url, privacy=privacy, mask_names=mask_names),
            storage=without_password(url),
        )
        recording = record_run(advisor, table, options, given_space)
        try:
            result = tuner.tune(
                estimator,
                dataset,
                metric=metric,
                constraints=options["constraint"],
                objectives=options["objective"],
                direction=direction,
                space=given_space,
                n_trials=trials,
                timeout=timeout,
                budget=budget,
                patience=patience,
                method=method,
                llm=advisor,
                init=init,
                cv=cv,
                holdout_share=holdout,
                max_rows=max_rows,
                pruner=make_pruner(pruner, cv),
                prefetch=prefetch,
                fixed_space=fixed_space,
                repeats=repeats,
                transfer=transfer,
                ensemble=ensemble,
                preprocessing=preprocessing,
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
        keep_and_tell(progress, result, folder, n_trials=trials, offline=llm == "offline")
        if as_json:
            print(json.dumps(result.to_json()), file=streams.out, flush=True)

    raise typer.Exit(run_session(work, progress, interrupts, debug=debug))
