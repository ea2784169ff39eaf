"""
`sllmbo retune`: whether a deployed estimator has decayed on new data, and whether to replace it.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sllmbo.cli import arguments
from sllmbo.cli.options import (
    advisor_in_words,
    data_in_words,
    judging_in_words,
    made,
    make_advisor,
    make_budget,
    read_dataset,
    slug,
)
from sllmbo.errors import ConfigError, SllmboError, TaskError

if TYPE_CHECKING:
    from sllmbo.cli.progress import Progress
    from sllmbo.tuner.retuning import RetuneResult

HELP = (
    "Score a tuned estimator on new data, tune again if it has decayed, and say whether to replace it.\n\n"
    "It has decayed if its value on the new rows is worse than what its tuning promised, beyond chance (--alpha); else "
    "no trial is spent. Then the deployed one (champion), its configuration fitted on new rows (refit) and the best "
    "one found (challenger) are compared on new rows that no trial saw. Nothing that is deployed is touched: what is "
    "recommended is written to --out.\n\n"
    "Exit code: 0 if the estimator keeps its promise, 3 if another one is better, 4 if it has decayed and none is "
    "better; 1 for an unexpected error, 2 for a mistake in what was asked for, 130 if interrupted, 143 after SIGTERM."
)

REPLACE, HELPLESS = 3, 4
"""Exit codes: another estimator is better; the deployed one has decayed, and none is."""


def retune(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="The folder with the results of the tuning, or the study's name.")
    ],
    data: arguments.Data,
    target: arguments.Target,
    kind: arguments.Kind = None,
    drop: arguments.Drop = None,
    time_column: arguments.TimeColumn = None,
    group: arguments.Group = None,
    cv: arguments.Folds = 5,
    holdout: arguments.Holdout = 0.3,
    estimator: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The import path of the class that was tuned; not needed where it was tuned by its name.",
            rich_help_panel=arguments.SEARCH,
        ),
    ] = None,
    alpha: Annotated[
        float,
        typer.Option(
            metavar="LEVEL", help="How rarely chance alone may pass a test.", rich_help_panel=arguments.SEARCH
        ),
    ] = 0.05,
    force: Annotated[
        bool,
        typer.Option("--force", help="Tune although nothing has decayed.", rich_help_panel=arguments.SEARCH),
    ] = False,
    trials: arguments.Trials = 30,
    timeout: arguments.Timeout = None,
    method: arguments.Method = "llm-tpe",
    seed: arguments.Seed = 0,
    llm: arguments.Llm = "offline",
    base_url: arguments.BaseUrl = None,
    reply_mode: arguments.ReplyMode = "auto",
    description: arguments.Description = "",
    privacy: arguments.Privacy = "description",
    mask_names: arguments.MaskNames = False,
    max_calls: arguments.MaxCalls = None,
    max_tokens: arguments.MaxTokens = None,
    max_cost: arguments.MaxCost = None,
    out: arguments.Out = None,
    storage: arguments.Storage = None,
    as_json: arguments.AsJson = False,
    plain: arguments.Plain = False,
    debug: arguments.Debug = False,
) -> None:
    """Do what `HELP` says."""
    from sllmbo.cli.progress import Progress, listen
    from sllmbo.cli.session import DONE, Interrupts, run_session, take_over

    streams = take_over(keep_chatter=debug)
    progress = Progress(streams.err, plain=plain)
    interrupts = Interrupts(streams.err)
    answers: list[RetuneResult] = []

    def work() -> None:
        progress.status("starting")
        import optuna

        from sllmbo.cli.watch import Watch
        from sllmbo.tuner import TuneResult
        from sllmbo.tuner.retuning import kind_of
        from sllmbo.tuner.retuning import retune as answer_of
        from sllmbo.tuner.storage import without_password

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        listen(progress)
        budget = make_budget(
            trials=trials or None,  # with 0 only the first question is asked
            seconds=timeout,
            calls=max_calls,
            tokens=max_tokens,
            cost_usd=max_cost,
        )
        advisor = make_advisor(
            llm, base_url, None, method, reply_mode=reply_mode, privacy=privacy, mask_names=mask_names
        )
        sys.path.append(str(Path.cwd()))  # where the class of --estimator may lie
        progress.status(f"reading {study} and {data}")
        earlier = _folder_of(study)
        if out is not None and out.resolve() == earlier.resolve():
            raise ConfigError(
                f"--out {str(out)!r} is the folder of the champion, which stays as it is; name another one."
            )
        champion = TuneResult.load(earlier)
        known = kind or (kind_of(champion.estimator) if champion.estimator is not None else None)
        dataset = read_dataset(data, target, kind=known, time_column=time_column, group=group, drop=drop)
        name = slug(f"{champion.study}-retuned-{data.stem}-seed{seed}")
        folder = out or Path("sllmbo-out") / name
        url = storage or f"sqlite:///{folder / 'study.db'}"
        watch = Watch(
            progress,
            n_trials=trials,
            data=data_in_words(data, dataset),
            judging=judging_in_words(dataset, cv, holdout),
            advisor=advisor_in_words(method, llm, base_url, privacy=privacy, mask_names=mask_names),
            storage=without_password(url),
        )
        is_new = not folder.exists()
        made(folder)
        progress.status("scoring the champion on the new rows")
        try:
            answer = answer_of(
                champion,
                dataset,
                estimator=estimator,
                n_trials=trials,
                holdout_share=holdout,
                alpha=alpha,
                force=force,
                seed=seed,
                description=description,
                timeout=timeout,
                budget=budget,
                method=method,
                llm=advisor,
                cv=cv,
                storage=url,
                study_name=name,
                on_start=watch.on_start,
                callbacks=(watch.after_trial, interrupts.check),
            )
        except SllmboError:
            if is_new:
                with contextlib.suppress(OSError):  # it is kept where it holds anything
                    folder.rmdir()
            raise
        answer.save(folder)
        answers.append(answer)
        _tell(progress, answer, folder)
        if as_json:
            print(json.dumps(answer.to_json()), file=streams.out, flush=True)

    code = run_session(work, progress, interrupts, debug=debug)
    if code == DONE and answers[0].replaces:
        code = REPLACE
    elif code == DONE and answers[0].decayed:
        code = HELPLESS
    raise typer.Exit(code)


def _folder_of(study: str) -> Path:
    from sllmbo.tuner.result import RESULT

    places = (Path(study), Path("sllmbo-out") / slug(study))
    place = next((place for place in places if (place / RESULT).is_file()), None)
    if place is None:
        raise TaskError(
            f"There are no results in {str(places[0])!r}, nor in {str(places[1])!r}; name the folder that "
            "`sllmbo tune` wrote."
        )
    return place


def _tell(progress: Progress, answer: RetuneResult, folder: Path) -> None:
    from sllmbo.cli.progress import number
    from sllmbo.tuner.retuning import REPORT

    show = progress.fact
    progress.line()
    error = "" if answer.promised_error is None else f" +- {answer.promised_error:.2g}"
    show("Promised", f"{answer.metric} {number(answer.promised)}{error}")
    show("Now", f"{number(answer.champion)} +- {answer.champion_error:.2g} on {answer.n_rows} new rows")
    is_worse = "worse than promised" if answer.decayed else "not worse than promised, as far as can be told"
    p = f"p {answer.p_value:.2g}" if answer.p_value >= 0.001 else "p < 0.001"
    show("Decayed", f"{'yes' if answer.decayed else 'no'}: {is_worse} ({p}, alpha {answer.alpha:g})")
    if answer.heldout:
        show("Held out", ", ".join(f"{name} {number(value)}" for name, value in answer.heldout.items()))
        for name, gain in answer.gains.items():
            shown = "better" if gain.is_shown else "not shown to be better"
            show("", f"{name}: {gain.value:+.3g}, at least {gain.lower:+.3g}: {shown}", "dim")
    untried = ", as no other was tried" if answer.decayed and not answer.heldout else ""
    show("Verdict", f"{_VERDICTS[answer.verdict]}{untried}", "bold green")
    show("Files", f"{REPORT}{' and what is recommended' if answer.replaces else ''} in {folder}")


_VERDICTS = {
    "keep": "keep the champion",
    "refit": "replace the champion: its configuration, fitted on new rows, is better",
    "challenger": "replace the champion: the challenger is better",
}
