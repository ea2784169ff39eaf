"""
The options that several commands share: each is written once, as a type, and a command takes those that it needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import typer

from sllmbo.prompts.privacy import Privacy as Level

DATA, COMMAND, SEARCH = "Data", "Command, instead of data", "Search"
ADVICE, KEPT, SHOWN = "Advice", "What is kept", "What is shown"
"""The panels of a command's help."""


def _option(panel: str, explained: str, *names: str, **about: Any) -> Any:
    return typer.Option(*names, help=explained, rich_help_panel=panel, **about)


def _show_list(wanted: bool) -> None:
    if wanted:
        from sllmbo.cli.listing import listing

        print(listing())
        raise typer.Exit


_DATA = typer.Argument(metavar="DATA", help="The table: a .csv, .tsv (also .gz) or .parquet file.")
_TARGET = _option(DATA, "The column to predict.", metavar="COL")

Data: TypeAlias = Annotated[Path, _DATA]
DataIfAny: TypeAlias = Annotated[Path | None, _DATA]
Target: TypeAlias = Annotated[str, _TARGET]
TargetIfAny: TypeAlias = Annotated[str | None, _TARGET]
Kind: TypeAlias = Annotated[
    Literal["classification", "regression"] | None, _option(DATA, "What the target is; found out if left out.")
]
Drop: TypeAlias = Annotated[list[str] | None, _option(DATA, "A column to leave out; may be repeated.", metavar="COL")]
TimeColumn: TypeAlias = Annotated[
    str | None,
    _option(
        DATA,
        "A column of dates or numbers: rows are validated on later rows than they are fitted on.",
        "--time",
        metavar="COL",
    ),
]
Group: TypeAlias = Annotated[
    str | None, _option(DATA, "A column whose rows of one value stay together in every split.", metavar="COL")
]
Folds: TypeAlias = Annotated[int, _option(DATA, "Folds of the cross-validation.", metavar="FOLDS")]
Holdout: TypeAlias = Annotated[
    float,
    _option(DATA, "Share of the rows that no trial sees, for an honest last check; 0 for none.", metavar="SHARE"),
]

Command: TypeAlias = Annotated[
    str | None,
    _option(
        COMMAND,
        "A program to tune, with {NAME} for each parameter of --space: 'python train.py --lr {lr}'. No shell runs it. "
        "The value is read from the last line of its standard output.",
        metavar="LINE",
    ),
]
ValueFile: TypeAlias = Annotated[
    str | None,
    _option(COMMAND, "Read the value from a JSON file that each run writes.", "--value-file", metavar="FILE[:KEY]"),
]
TimeLimit: TypeAlias = Annotated[
    float | None,
    _option(COMMAND, "End a run after so long; its trial fails.", "--time-limit", metavar="SECONDS"),
]
MaxRows: TypeAlias = Annotated[
    int | None,
    _option(
        DATA,
        "Let trials see a sample of at most N rows, the latest ones with --time; the held-out check and the final fit "
        "use all.",
        metavar="N",
    ),
]

Estimator: TypeAlias = Annotated[
    str,
    _option(
        SEARCH,
        "A name (see --list), the import path of a class, or auto for the best of several (auto:NAME,NAME of these).",
        metavar="NAME",
    ),
]
Metric: TypeAlias = Annotated[
    str | None,
    _option(
        SEARCH,
        "What is optimised (see --list), or MODULE:FUNCTION of your own, called with estimator, X and y; f1_weighted "
        "for classes and mae for numbers if left out.",
        metavar="NAME",
    ),
]
Constraint: TypeAlias = Annotated[
    list[str] | None,
    _option(
        SEARCH,
        "What must hold of a trial, such as 'model_size_mb<=5', 'predict_ms<=1' or 'recall>=0.9'; may be repeated.",
        metavar="BOUND",
    ),
]
Objective: TypeAlias = Annotated[
    list[str] | None,
    _option(
        SEARCH,
        "What to optimise beside the metric: model_size_mb, predict_ms, fit_seconds or a metric; may be repeated.",
        metavar="NAME",
    ),
]
Prefer: TypeAlias = Annotated[
    str | None,
    _option(
        SEARCH,
        "The same in words, such as 'smaller, at most 2 ms a prediction'; what it is read as is shown and confirmed.",
        metavar="TEXT",
    ),
]
Yes: TypeAlias = Annotated[bool, _option(SEARCH, "Confirm what --prefer is read as.", "--yes")]
Direction: TypeAlias = Annotated[
    Literal["minimize", "maximize"] | None,
    _option(
        SEARCH,
        "Which values are better, of a command (minimize if left out) or of a metric of your own; named metrics have a "
        "direction.",
    ),
]
Trials: TypeAlias = Annotated[
    int, _option(SEARCH, "Trials of the study in all; those of earlier runs count.", metavar="N")
]
Timeout: TypeAlias = Annotated[
    float | None, _option(SEARCH, "Begin no further trial after so long.", metavar="SECONDS")
]
Patience: TypeAlias = Annotated[int | None, _option(SEARCH, "Stop after N trials without improvement.", metavar="N")]
Method: TypeAlias = Annotated[
    str,
    _option(SEARCH, "llm-tpe (advisor and TPE in turns), llm (advisor alone), tpe, random, gp or cma.", metavar="NAME"),
]
Init: TypeAlias = Annotated[
    Literal["llm", "random", "default"],
    _option(SEARCH, "What follows the default configuration: the advisor's batch, random points, or nothing."),
]
Space: TypeAlias = Annotated[
    Path | None,
    _option(
        SEARCH,
        "The search space, as `sllmbo space --json` and SearchSpace.to_json() write it, or the same as .toml.",
        metavar="FILE",
    ),
]
Repeats: TypeAlias = Annotated[
    bool,
    _option(
        SEARCH,
        "Evaluate the leaders again in the last two fifths of the trials, on other folds and with another seed, and "
        "choose the best configuration by all its values.",
        "--repeats",
    ),
]
Transfer: TypeAlias = Annotated[
    bool,
    _option(
        SEARCH,
        "Whether a study that begins starts from the best of earlier studies in its --storage, of the same estimator "
        "on similar data. Without --storage there are none: each study has a file of its own.",
        "--transfer/--no-transfer",
    ),
]
Ensemble: TypeAlias = Annotated[
    int | None,
    _option(
        SEARCH,
        "Average the best of N different configurations, with weights found on rows they were not fitted on; costs as "
        "much as N trials.",
        metavar="N",
    ),
]
Preprocessing: TypeAlias = Annotated[
    bool,
    _option(
        SEARCH,
        "Tune how features are scaled, encoded and filled in, too, where the estimator does not do it itself.",
        "--preprocessing",
    ),
]
FixedSpace: TypeAlias = Annotated[
    bool,
    _option(
        SEARCH,
        "Let nobody edit the search space during the study. Else the advisor may narrow ranges, and widen those that "
        "you have not given, where the trials show cause; what does not pay is undone.",
        "--fixed-space",
    ),
]
Pruner: TypeAlias = Annotated[
    Literal["none", "median", "halving", "hyperband"],
    _option(SEARCH, "Stops a trial after some folds, or reports of a command, where it does not promise."),
]
Seed: TypeAlias = Annotated[
    int, _option(SEARCH, "Seed of splits, estimator and search.", metavar="N", min=0, max=2**32 - 1)
]

Llm: TypeAlias = Annotated[
    str,
    _option(
        ADVICE,
        "offline (documented rules, no chat model), PROVIDER:NAME (the key comes from the environment), or "
        "replay:FILE (replay-lenient:FILE answers by turn where a question differs).",
        metavar="SPEC",
        envvar="SLLMBO_LLM",
    ),
]
BaseUrl: TypeAlias = Annotated[
    str | None, _option(ADVICE, "An OpenAI-compatible server that has the chat model.", metavar="URL")
]
ReplyMode: TypeAlias = Annotated[
    Literal["auto", "tool", "native", "prompted"],
    _option(
        ADVICE,
        "How a chat model is asked for its replies: by a tool call, by a JSON Schema as the response format (native), "
        "in words (prompted), or by what works.",
    ),
]
Description: TypeAlias = Annotated[str, _option(ADVICE, "The problem in words, for the chat model.", metavar="TEXT")]
Privacy: TypeAlias = Annotated[
    Level,
    _option(
        ADVICE,
        "What a chat model is told at most: none (search space and trials), schema (and the kind of the task), "
        "statistics (and aggregates of the data), description (and what was written in words). Rows never.",
    ),
]
MaskNames: TypeAlias = Annotated[
    bool, _option(ADVICE, "Tell a chat model x1, c1 and so on instead of names.", "--mask-names")
]
Memory: TypeAlias = Annotated[
    Literal["digest", "summary", "chat"],
    _option(
        ADVICE,
        "What of the trials a chat model is told: a digest of all, its own summaries, or the whole conversation.",
    ),
]
Prefetch: TypeAlias = Annotated[
    bool,
    _option(
        ADVICE,
        "Ask while trials run. Nobody waits for the chat model, and a trial for which no answer is ready is served "
        "without; the same seed then no longer gives the same trials.",
        "--prefetch",
    ),
]
MaxCalls: TypeAlias = Annotated[
    int | None, _option(ADVICE, "Requests to chat models, over the whole study.", "--max-calls", metavar="N")
]
MaxTokens: TypeAlias = Annotated[
    int | None, _option(ADVICE, "Tokens to and from chat models, over the whole study.", "--max-tokens", metavar="N")
]
MaxCost: TypeAlias = Annotated[
    float | None, _option(ADVICE, "US dollars for chat models, over the whole study.", "--max-cost", metavar="USD")
]
Record: TypeAlias = Annotated[
    Path | None, _option(ADVICE, "Write all advice down here, for `sllmbo replay FILE`.", metavar="FILE")
]

Out: TypeAlias = Annotated[
    Path | None, _option(KEPT, "Folder of the results; sllmbo-out/STUDY if left out.", metavar="DIR")
]
Study: TypeAlias = Annotated[
    str | None,
    _option(
        KEPT,
        "Name of the study; made of data, estimator, method, chat model and seed if left out.",
        metavar="NAME",
    ),
]
Storage: TypeAlias = Annotated[
    str | None, _option(KEPT, "Where Optuna keeps the study; sqlite in the folder if left out.", metavar="URL")
]

AsJson: TypeAlias = Annotated[bool, _option(SHOWN, "Print the result as one JSON object on standard output.", "--json")]
Plain: TypeAlias = Annotated[
    bool, _option(SHOWN, "No colours and no status line, as where there is no terminal.", "--plain")
]
Debug: TypeAlias = Annotated[bool, _option(SHOWN, "Show tracebacks and what the libraries print.", "--debug")]
ShowList: TypeAlias = Annotated[
    bool,
    _option(
        SHOWN,
        "Show the estimators and metrics that can be named, and exit.",
        "--list",
        callback=_show_list,
        is_eager=True,
    ),
]
