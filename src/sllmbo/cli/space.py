"""
`sllmbo space`: the search space that a tuning would use.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sllmbo.cli import arguments
from sllmbo.cli.options import make_advisor, read_dataset
from sllmbo.errors import SllmboError

if TYPE_CHECKING:
    from sllmbo.space import Parameter, SearchSpace

HELP = (
    "Show the search space that `sllmbo tune` would use: documented, derived from the estimator's defaults, or "
    "designed by the chat model that --llm names, which is asked one question.\n\n"
    "With --json it is written as `sllmbo tune --space FILE` reads it. Exit code: 0, or 2 for a mistake in what was "
    "asked for."
)

_MADE_BY = {"rules": "documented", "derived": "derived from the estimator's defaults", "llm": "designed by"}
_WIDEST = 70


def space(
    data: arguments.Data,
    target: arguments.Target,
    kind: arguments.Kind = None,
    drop: arguments.Drop = None,
    time_column: arguments.TimeColumn = None,
    group: arguments.Group = None,
    holdout: arguments.Holdout = 0.2,
    max_rows: arguments.MaxRows = None,
    estimator: arguments.Estimator = "lightgbm",
    metric: arguments.Metric = None,
    direction: arguments.Direction = None,
    preprocessing: arguments.Preprocessing = False,
    trials: arguments.Trials = 50,
    seed: arguments.Seed = 0,
    llm: arguments.Llm = "offline",
    base_url: arguments.BaseUrl = None,
    reply_mode: arguments.ReplyMode = "auto",
    description: arguments.Description = "",
    privacy: arguments.Privacy = "description",
    as_json: arguments.AsJson = False,
) -> int:
    """Do what `HELP` says."""
    import optuna

    from sllmbo.tuner.derive import derive_space
    from sllmbo.tuner.plan import make_plan
    from sllmbo.tuner.storage import SPACE
    from sllmbo.tuner.tuner import Tuner

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        advisor = make_advisor(llm, base_url, None, "llm-tpe", reply_mode=reply_mode, privacy=privacy)
        sys.path.append(str(Path.cwd()))  # where the class of --estimator may lie
        dataset = read_dataset(data, target, kind=kind, time_column=time_column, group=group, drop=drop)
        plan = make_plan(
            estimator,
            dataset,
            metric=metric,
            n_trials=trials,
            holdout_share=holdout,
            max_rows=max_rows,
            direction=direction,
            preprocessing=preprocessing,
            seed=seed,
            description=description,
        )
        tuner = Tuner(task=plan.task, llm=advisor, derive=lambda: derive_space(plan.spec), adapt=plan.spec.adapted)
    except SllmboError as error:
        print(error, file=sys.stderr)
        return 2
    found = tuner.space
    print(json.dumps(found.to_json()) if as_json else _table(found, plan.task.estimator, tuner.study.user_attrs[SPACE]))
    return 0


def _table(space: SearchSpace, estimator: str, record: dict[str, Any]) -> str:
    from sllmbo.cli.progress import printable

    made_by = " ".join(part for part in (_MADE_BY.get(record["source"], record["source"]), _origin(record)) if part)
    head = [f"Search space of {estimator}, {made_by}"]
    if record.get("rationale"):
        head.append(record["rationale"])
    head += [f"{name}: {reason}" for name, reason in record.get("shortlist", ())]
    columns = ("parameter", "type", "range", "default", "only when", "note")
    rows = [columns, *(_row(name, parameter) for name, parameter in space.items())]
    shown = [[printable(cell)[:_WIDEST] for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in shown) for i in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]
    return "\n".join([*map(printable, head), "", *lines])


def _origin(record: dict[str, Any]) -> str:
    return str(record.get("origin", "")) if record["source"] == "llm" else ""


def _row(name: str, parameter: Parameter) -> tuple[str, ...]:
    from sllmbo.prompts import words
    from sllmbo.space import Categorical

    if isinstance(parameter, Categorical):
        kind, extent = "categorical", ", ".join(map(words.value, parameter.choices))
        default = words.value(parameter.default) if parameter.has_default else ""
    else:
        kind = type(parameter).__name__.lower() + (" log" if parameter.log else "")
        step = f" in steps of {words.number(parameter.step)}" if parameter.step not in (None, 1) else ""
        extent = f"{words.number(parameter.low)} to {words.number(parameter.high)}{step}"
        default = "" if parameter.default is None else words.number(parameter.default)
    when = ""
    if parameter.condition is not None:
        when = f"{parameter.condition.parameter} is {' or '.join(map(words.value, parameter.condition.values))}"
    return name, kind, extent, default, when, parameter.description
