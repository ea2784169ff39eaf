"""
What a report says of a study: `Facts`, values that all formats show.
"""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial

from sllmbo.choosing import Choice, choose
from sllmbo.history import Direction, History
from sllmbo.prompts.privacy import AGGREGATES
from sllmbo.report._reasons import Reason, reasons_of
from sllmbo.report._view import View, ended_as, source_of
from sllmbo.samplers import study_history
from sllmbo.samplers._ask import NOT_FAILED
from sllmbo.samplers._importance import importance
from sllmbo.samplers._ledger import entries
from sllmbo.samplers._record import DETAILS, FALLBACK, REPAIRS, TURNED_DOWN, edits_of
from sllmbo.tuner.result import ESTIMATOR, TuneResult, study_worth, total_usage
from sllmbo.usage import Usage
from sllmbo.worth import Worth

_LEADERS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What to use, and what is gained over the default configuration."""

    trial: int
    """Number of the trial with this configuration."""
    value: float
    """Its value; what is to be expected of it where repeats have shown noise."""
    interval: tuple[float, float] | None
    """Of 95 % for the expected value, where repeats have shown noise."""
    params: Mapping[str, Any]
    measures: Mapping[str, float]
    """What else was measured of it: what constraints and further objectives are about."""
    constraints: tuple[str, ...]
    default_value: float | None
    default_params: Mapping[str, Any]
    gain: float | None
    """By how much it is better than the default; None without a default."""
    gain_interval: tuple[float, float] | None
    """The same for the interval; the default's value counts as exact."""
    std: float | None
    """Standard deviation of its value over the folds, if that was measured."""
    heldout_value: float | None
    """On rows that no trial saw, from a saved result."""
    heldout_default: float | None
    heldout_gain: float | None
    ensemble: int
    """How many configurations a saved result's estimator joins; 0 if it is this one alone."""
    ensemble_value: float | None
    """The ensemble's value over the folds, by which it was selected."""
    heldout_ensemble: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """One of the best trials; of several objectives, one of the Pareto front."""

    trial: int
    values: tuple[float, ...]
    source: str
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceEdit:
    """One edit of the search space."""

    trial: int
    """The trial that it came with."""
    parameter: str
    old: tuple[float, float]
    new: tuple[float, float]
    undoes: bool
    source: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureClass:
    """What failed in one way."""

    what: str
    """Class of the error, "infeasible", or what went wrong with the advice."""
    trials: tuple[int, ...]
    example: str
    """The message of the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What questions to chat models have cost."""

    usage: Usage
    by_purpose: Mapping[str, Usage]
    """By chat model and what was asked: "design", "opening" or "next"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a report says of a study."""

    study: str
    description: str
    """What is tuned, if the study says so."""
    metrics: tuple[str, ...]
    directions: tuple[Direction, ...]
    states: Mapping[str, int]
    """Trials by how they ended: "complete" (feasible), "infeasible", "pruned", "failed", "running"."""
    started: str
    """Date and time, in the local time of who ran it; empty without a trial."""
    seconds: float | None
    """From the first trial's start to the last one's end."""
    answer: Answer | None
    leaders: tuple[Leader, ...]
    worth: Worth | None
    """None of several objectives."""
    importances: Mapping[str, Mapping[str, float]]
    """By metric: by parameter its share of what puts a trial among the best quarter, the largest first."""
    edits: tuple[SpaceEdit, ...]
    failures: tuple[FailureClass, ...]
    advice: Mapping[str, int]
    """How often advice was repaired, turned down, not usable, or not asked for or not there in time."""
    unusable_advice: tuple[FailureClass, ...]
    spending: Spending
    reasons: tuple[Reason, ...]
    """Of each trial that an advisor served, in order."""
    notes: tuple[str, ...]
    """What this report lacks and why, and what was done to the data."""
    estimator_file: str
    """Where the fitted estimator lies; empty if it was not saved."""

    def to_json(self) -> dict[str, Any]:
        """Return the facts as one JSON object; null where a number is not finite, for which JSON has no word."""
        record = {name: getattr(self, name) for name in self.__dataclass_fields__}
        record["worth"] = self.worth.to_json() if self.worth is not None else None
        spending = {name: usage.to_json() for name, usage in self.spending.by_purpose.items()}
        record["spending"] = {"usage": self.spending.usage.to_json(), "by_purpose": spending}
        for name in ("answer", "leaders", "edits", "failures", "unusable_advice", "reasons"):
            found = record[name]
            record[name] = [asdict(one) for one in found] if isinstance(found, tuple) else found and asdict(found)
        return {name: _finite(part) for name, part in record.items()}


def collect(study: Study, folder: str | Path | None = None) -> Facts:
    """
    Return the facts of *study*, whoever made it.

    Args:
        study: Any Optuna study.
        folder: The folder of a tuning, for what its saved result knows beyond the study: held-out scores, notes, and
            where the fitted estimator lies.
    """
    view = View.of(study)
    single = len(view.directions) == 1
    history = view.history()
    saved = _saved(folder, view)
    current = saved if saved is not None and saved.n_trials == len(view.finished) else None
    notes: list[str] = list(saved.notes) if saved is not None else []
    if saved is not None and saved.constraints:
        notes.append(f"Trials have to keep: {', '.join(saved.constraints)}.")
    times = [(trial.datetime_start, trial.datetime_complete) for trial in view.finished]
    begins, ends = ([t for t in side if t is not None] for side in zip(*times, strict=True)) if times else ([], [])
    importances = _importances(view)
    return Facts(
        study=study.study_name,
        description=_description(view, saved),
        metrics=view.metrics,
        directions=view.directions,
        states=_states(view, history),
        started=min(begins).isoformat(sep=" ", timespec="minutes") if begins else "",
        seconds=_seconds(begins, ends),
        answer=_answer(view, history, current),
        leaders=_leaders(view, history) if single else _front(view),
        worth=study_worth(study) if single else None,
        importances=importances,
        edits=_edits(view),
        failures=_failures(view, history),
        advice=_advice(view.finished),
        unusable_advice=_unusable(view.finished),
        spending=_spending(study),
        reasons=tuple(reasons_of(view, history)),
        notes=(*notes, *_lacking(view, history, saved, folder, importances)),
        estimator_file=_estimator(folder, current),
    )


def _finite(part: Any) -> Any:
    if isinstance(part, Mapping):
        return {name: _finite(value) for name, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [_finite(value) for value in part]
    return None if isinstance(part, float) and not math.isfinite(part) else part


def _saved(folder: str | Path | None, view: View) -> TuneResult | None:
    """Return the saved result in *folder* if it is of this study."""
    if folder is None or not (Path(folder) / "result.json").is_file():
        return None
    result = TuneResult.load(folder, estimator=False)
    return result if result.study == view.study.study_name else None


def _estimator(folder: str | Path | None, saved: TuneResult | None) -> str:
    if folder is None or saved is None or not (Path(folder) / ESTIMATOR).is_file():
        return ""
    return str(Path(folder) / ESTIMATOR)


def _description(view: View, saved: TuneResult | None) -> str:
    return str(view.card.get("estimator") or view.card.get("description") or (saved.estimator_name if saved else ""))


def _states(view: View, history: History) -> dict[str, int]:
    counts = Counter(ended_as(view.trials[o.number], o) for o in history)
    return {name: counts[name] for name in ("complete", "infeasible", "pruned", "failed")} | {"running": view.running}


def _seconds(begins: Sequence[datetime.datetime], ends: Sequence[datetime.datetime]) -> float | None:
    return round((max(ends) - min(begins)).total_seconds(), 3) if begins and ends else None


def _answer(view: View, history: History, saved: TuneResult | None) -> Answer | None:
    choice = choose(history) if len(view.directions) == 1 else _compromise(view)
    if choice is None:
        return None
    value, interval, params, number = choice.value, choice.interval, choice.params, choice.trial
    if saved is not None:
        value, interval, params = saved.best_value, saved.best_interval, saved.best_params
        number = next((o.number for o in history.complete() if o.params == params), number)
    trial = view.trials[number]
    further = dict(zip(view.metrics[1:], trial.values[1:], strict=True))
    details = {name: told for name, told in trial.user_attrs.get(DETAILS, {}).items() if name not in AGGREGATES}
    default = next((o for o in history.complete() if o.source == "default"), None)
    chosen = default is not None and default.params == params
    start = None if default is None else value if chosen else default.value  # as expected, where it is chosen
    sign = -1.0 if history.direction == "minimize" else 1.0
    ends = [sign * (end - start) for end in interval or () if start is not None and not chosen]
    heldout = (saved.heldout_best, saved.heldout_default) if saved is not None else (None, None)
    return Answer(
        trial=trial.number,
        value=value,
        interval=interval,
        params=dict(params),
        measures={**further, **details},
        constraints=tuple(map(str, view.card.get("constraints", ()))),
        default_value=start,
        default_params=dict(default.params) if default is not None else {},
        gain=sign * (value - start) if start is not None else None,
        gain_interval=(min(ends), max(ends)) if ends else None,
        std=history[number].details.get("std"),
        heldout_value=heldout[0],
        heldout_default=heldout[1],
        heldout_gain=sign * (heldout[0] - heldout[1]) if heldout[0] is not None and heldout[1] is not None else None,
        ensemble=len(saved.ensemble) if saved is not None else 0,
        ensemble_value=saved.ensemble_value if saved is not None else None,
        heldout_ensemble=saved.heldout_ensemble if saved is not None else None,
    )


def _compromise(view: View) -> Choice | None:
    """Return the best compromise of a study of several objectives, valued by the first one."""
    best = study_history(view.study).best
    if best is None:
        return None
    value = view.trials[best.number].values[0]
    return Choice(trial=best.number, params=best.params, value=value, interval=None, repeats=0)


def _leaders(view: View, history: History) -> tuple[Leader, ...]:
    first = [o for o in history.ranked() if o.source != "repeat"]  # a luckier value is no better configuration
    return tuple(_leader(view.trials[o.number]) for o in first[:_LEADERS])


def _front(view: View) -> tuple[Leader, ...]:
    return tuple(_leader(trial) for trial in view.study.best_trials)


def _leader(trial: FrozenTrial) -> Leader:
    return Leader(trial=trial.number, values=tuple(trial.values), source=source_of(trial), params=dict(trial.params))


def _importances(view: View) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for objective, metric in enumerate(view.metrics):
        shares = importance(view.space, view.history(objective))
        if shares:
            found[metric] = dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))
    return found


def _edits(view: View) -> tuple[SpaceEdit, ...]:
    return tuple(
        SpaceEdit(
            trial=trial.number,
            parameter=edit.parameter,
            old=(edit.old_low, edit.old_high),
            new=(edit.low, edit.high),
            undoes=edit.undoes,
            source=edit.source,
            reason=edit.reason,
        )
        for trial in view.trials
        for edit in edits_of(trial.user_attrs)
    )


def _failures(view: View, history: History) -> tuple[FailureClass, ...]:
    told: dict[str, list[tuple[int, str]]] = {}
    for o in history.failures():
        what = o.reason.partition(":")[0] if o.reason else "no reason recorded"
        told.setdefault(what[:80], []).append((view.trials[o.number].number, o.reason))
    return _by_frequency(told)


def _unusable(trials: Sequence[FrozenTrial]) -> tuple[FailureClass, ...]:
    told: dict[str, list[tuple[int, str]]] = {}
    for trial in trials:
        fallback = trial.user_attrs.get(FALLBACK)
        if fallback:
            told.setdefault(str(fallback.get("kind")), []).append((trial.number, str(fallback.get("reason"))))
    return _by_frequency(told)


def _by_frequency(told: Mapping[str, Sequence[tuple[int, str]]]) -> tuple[FailureClass, ...]:
    classes = (
        FailureClass(what=what, trials=tuple(number for number, _ in found), example=found[-1][1])
        for what, found in told.items()
    )
    return tuple(sorted(classes, key=lambda one: (-len(one.trials), one.what)))


def _advice(trials: Sequence[FrozenTrial]) -> dict[str, int]:
    kinds = [trial.user_attrs[FALLBACK].get("kind") for trial in trials if FALLBACK in trial.user_attrs]
    return {
        "repaired": sum(REPAIRS in trial.user_attrs for trial in trials),
        "turned_down": sum(len(trial.user_attrs.get(TURNED_DOWN, ())) for trial in trials),
        "unusable": sum(kind not in NOT_FAILED for kind in kinds),
        "not_there": sum(kind in NOT_FAILED for kind in kinds),
    }


def _spending(study: Study) -> Spending:
    purposes: dict[str, Usage] = {}
    for entry in entries(study):
        if entry["state"] != "refused":
            name = f"{entry['chat_model']}: {entry['purpose']}"
            purposes[name] = purposes.get(name, Usage()) + Usage.from_json(entry["usage"])
    return Spending(usage=total_usage(study), by_purpose=purposes)


def _lacking(
    view: View,
    history: History,
    saved: TuneResult | None,
    folder: str | Path | None,
    importances: Mapping[str, object],
) -> list[str]:
    complete = len(history.complete())
    notes = []
    if not complete:
        notes.append("No trial is complete, so there is nothing to recommend yet.")
    if complete and not importances:
        notes.append(
            f"Importances need 20 complete trials, and values and parameters that differ; there are {complete} trials."
        )
    if len(view.directions) > 1:
        notes.append(
            "The study has several objectives: the best is a compromise of equal weights, and no worth is told."
        )
    elif complete and not any(o.source == "default" for o in history.complete()):
        why = "No trial is marked as the default configuration"
        for trial, o in zip(view.trials, history, strict=True):
            if o.source == "default":
                ended = f"trial {trial.number}: {ended_as(trial, o)}"
                why = f"The default configuration has no value to compare with ({ended})"
        notes.append(f"{why}, so a gain over it is not known.")
    if saved is not None and saved.n_trials != len(view.finished):
        notes.append(
            "The study has gone on since its result was saved; its held-out scores and its fitted estimator are left "
            "out as they are older."
        )
    if folder is not None and saved is None:
        notes.append("The folder holds no saved result of this study, so there are no held-out scores.")
    return notes
