"""
`TuneResult`: what a tuning found, with the estimator refitted. Saves and loads.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sllmbo.choosing import noise
from sllmbo.errors import TaskError
from sllmbo.goals import INFEASIBLE, improvements_of_front, on_front
from sllmbo.history import Direction
from sllmbo.prompts.privacy import AGGREGATES
from sllmbo.samplers import study_history
from sllmbo.samplers._convert import broken_constraints
from sllmbo.samplers._ledger import spent
from sllmbo.samplers._reader import objective_names
from sllmbo.samplers._record import (
    DETAILS,
    FAILURE,
    FALLBACK,
    ORIGIN,
    RATIONALE,
    REPAIRS,
    SOURCE,
    TURNED_DOWN,
    USAGE,
    edits_of,
)
from sllmbo.samplers._repeats import REPEAT
from sllmbo.samplers._turns import all_trials, is_abandoned
from sllmbo.space import SearchSpace
from sllmbo.space.branches import ROOT, branches
from sllmbo.usage import Usage
from sllmbo.worth import NEITHER, PARTNERS, Worth, measure_worth

RESULT, TRIALS, BEST, ESTIMATOR = "result.json", "trials.csv", "best_params.json", "estimator.joblib"


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneResult:
    """What a tuning found."""

    metric: str
    direction: Direction
    best_value: float
    """Mean over the folds of cross-validation, of the best trial; the expected one where repeats have shown noise."""
    best_params: Mapping[str, Any]
    default_value: float | None
    """The same for the default configuration; None if it was not evaluated."""
    heldout_best: float | None = None
    """The metric on the rows that no trial saw, of the best configuration; None without such rows."""
    heldout_error: float | None = None
    """Its standard error, by the bootstrap over these rows."""
    heldout_default: float | None = None
    """The same for the default configuration."""
    ensemble: tuple[Mapping[str, Any], ...] = ()
    """The members of the ensemble that `estimator` is, if one was asked for: "weight" and "params" of each."""
    ensemble_value: float | None = None
    """The ensemble's mean over the folds, by which it was selected."""
    heldout_ensemble: float | None = None
    """The metric of the ensemble on the rows that no trial saw."""
    best_interval: tuple[float, float] | None = None
    """Of 95 % for the expected value, where repeats have shown that values are noisy."""
    n_repeats: int = 0
    """Trials that evaluated a configuration again."""
    n_trials: int
    """Finished trials of the study: complete, pruned and failed."""
    n_failed: int = 0
    n_pruned: int = 0
    n_infeasible: int = 0
    """Trials that broke a constraint."""
    measures: Mapping[str, float] = field(default_factory=dict)
    """What constraints and further objectives are about, of the best trial."""
    constraints: tuple[str, ...] = ()
    objectives: Mapping[str, str] = field(default_factory=dict)
    """What was optimised beside the metric, and which values of it are better."""
    pareto: tuple[Mapping[str, Any], ...] = ()
    """With several objectives: "number", "params" and "values" (by name) of the trials than which none is better."""
    sources: Mapping[str, Mapping[str, int]]
    """Per source how many trials it served, and how many of them were improvements: "trials", "improvements"."""
    usage: Usage
    """What the advisor has cost, over the whole study."""
    worth: Worth | None = None
    """What each source has earned over the default, and whether the advisor was worth its price."""
    stop_reason: str
    """"trials", "seconds", "patience", "exhausted" (every configuration was tried), "stopped" (by `Study.stop`) or
    "interrupted"."""
    study: str
    storage: str | None
    """URL of the storage, without a password; None if the study was kept in memory."""
    estimator_name: str = ""
    """What was tuned; of several estimators the one that won."""
    shortlist: tuple[Mapping[str, Any], ...] = ()
    """
    Of several estimators: each with the "reason" it was tried, "trials", "failed", "default_value" and "best_value";
    infeasible trials count as failed.
    """
    advisor: str = ""
    """Who advised: "rules (no chat model)", a chat model's name, "" if nobody."""
    notes: tuple[str, ...] = ()
    """What was done to the data, one sentence each."""
    trials: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    """One record per finished trial: number, state, value, source, rationale, failure, parameters, ..."""
    estimator: Any = field(default=None, repr=False, compare=False)
    """The best configuration, or the ensemble, fitted on all rows; predicts from raw rows."""

    @property
    def gain(self) -> float | None:
        """How much better the best value is than the default's; positive is better. None without a default."""
        if self.default_value is None:
            return None
        better, worse = self.best_value, self.default_value
        return worse - better if self.direction == "minimize" else better - worse

    def to_json(self) -> dict[str, Any]:
        """Return what `sllmbo tune --json` prints."""
        return {
            "metric": self.metric,
            "direction": self.direction,
            "best_value": self.best_value,
            "best_interval": list(self.best_interval) if self.best_interval is not None else None,
            "n_repeats": self.n_repeats,
            "best_params": dict(self.best_params),
            "estimator": self.estimator_name,
            "shortlist": [dict(entry) for entry in self.shortlist],
            "default_value": self.default_value,
            "measures": dict(self.measures),
            "constraints": list(self.constraints),
            "objectives": dict(self.objectives),
            "pareto": [dict(point) for point in self.pareto],
            "n_trials": self.n_trials,
            "n_infeasible": self.n_infeasible,
            "sources": {source: dict(counts) for source, counts in self.sources.items()},
            "usage": {
                "calls": self.usage.calls,
                "tokens": self.usage.input_tokens + self.usage.output_tokens,
                "cost_usd": self.usage.cost_usd if self.usage.calls else 0.0,
            },
            "stop_reason": self.stop_reason,
            "study": self.study,
            "storage": self.storage,
        }

    def save(self, folder: str | Path) -> Path:
        """
        Write result.json, trials.csv, best_params.json and the fitted estimator to *folder*, made if missing.

        Returns:
            The folder.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        record = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "estimator"}
        record["usage"] = self.usage.to_json()
        record["worth"] = self.worth.to_json() if self.worth is not None else None
        if self.estimator is None:
            (folder / ESTIMATOR).unlink(missing_ok=True)  # an older result's
        else:
            import joblib

            with _replacing(folder / ESTIMATOR) as path:
                joblib.dump(self.estimator, path)
        _write(folder / RESULT, json.dumps(record, indent=2, default=str) + "\n")
        _write(folder / BEST, json.dumps(dict(self.best_params), indent=2) + "\n")
        _write_trials(folder / TRIALS, self.trials)
        return folder

    @classmethod
    def load(cls, folder: str | Path, *, estimator: bool = True) -> TuneResult:
        """
        Return the result that `save` wrote to *folder*.

        Args:
            folder: A folder that `save` wrote.
            estimator: Whether to load the fitted estimator too, if it is there. It is a pickle: load only what you
                trust.

        Raises:
            TaskError: If *folder* holds no result.
        """
        path = Path(folder) / RESULT
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TaskError(f"{str(path)!r} is no saved result ({error}); give the folder of a tuning.") from error
        record["usage"] = Usage.from_json(record["usage"])
        record["worth"] = Worth.from_json(record["worth"]) if record.get("worth") else None
        interval = record.get("best_interval")
        record["best_interval"] = tuple(interval) if interval is not None else None
        for name in ("notes", "trials", "constraints", "pareto", "shortlist", "ensemble"):
            record[name] = tuple(record.get(name, ()))
        fitted = None
        if estimator and (Path(folder) / ESTIMATOR).exists():
            import joblib

            fitted = joblib.load(Path(folder) / ESTIMATOR)
        return cls(**record, estimator=fitted)


def trial_records(study: Study) -> list[dict[str, Any]]:
    """
    Return one record per finished trial that was not abandoned, in order; the columns of trials.csv.

    An improvement betters all trials before it and the default configuration (without one, the first complete trial).
    """
    finished = [trial for trial in all_trials(study) if trial.state.is_finished() and not is_abandoned(trial)]
    known = {
        trial.number: (str(trial.user_attrs.get(SOURCE)), losses)
        for trial in finished
        if (losses := _losses(study, trial)) is not None and trial.user_attrs.get(SOURCE) != REPEAT
    }  # without repeats: a luckier value is no better configuration
    improved = improvements_of_front(known)
    return [_record(trial, trial.number in improved) for trial in finished]


def _losses(study: Study, trial: FrozenTrial) -> tuple[float, ...] | None:
    """Return the values of a trial that is complete and keeps its constraints, less is better."""
    if trial.state != TrialState.COMPLETE or broken_constraints(trial):
        return None
    maximized = [direction == StudyDirection.MAXIMIZE for direction in study.directions]
    return tuple(-value if sign else value for value, sign in zip(trial.values, maximized, strict=True))


def pareto_front(study: Study) -> tuple[dict[str, Any], ...]:
    """Return the trials of *study* than which none is better, by its first objective; nothing if it has only one."""
    if len(study.directions) == 1:
        return ()
    known = [(losses, trial) for trial in all_trials(study) if (losses := _losses(study, trial)) is not None]
    kept = on_front([losses for losses, _ in known]) if known else []
    best = sorted(
        (losses, trial.number, trial) for (losses, trial), is_kept in zip(known, kept, strict=True) if is_kept
    )
    names = objective_names(study)
    return tuple(
        {"number": n, "values": dict(zip(names, trial.values, strict=True)), "params": dict(trial.params)}
        for _, n, trial in best
    )


def _record(trial: FrozenTrial, improved: bool) -> dict[str, Any]:
    attrs = trial.user_attrs
    is_complete = trial.state == TrialState.COMPLETE
    measured = {name: told for name, told in attrs.get(DETAILS, {}).items() if name not in AGGREGATES}
    broken = broken_constraints(trial) if is_complete else ""
    usage = Usage.from_json(attrs.get(USAGE) or {})
    fallback = attrs.get(FALLBACK)
    seconds = trial.duration.total_seconds() if trial.duration is not None else None
    return {
        "number": trial.number,
        "state": INFEASIBLE if broken else trial.state.name.lower(),
        "value": trial.values[0] if is_complete else None,
        "improved": improved,
        "source": attrs.get(SOURCE, "user"),
        "rationale": attrs.get(RATIONALE, ""),
        "origin": attrs.get(ORIGIN, ""),
        "fallback": f"{fallback['kind']}: {fallback['reason']}" if fallback else "",
        "repairs": "; ".join(f"{r['parameter']}: {r['given']!r} became {r['used']!r}" for r in attrs.get(REPAIRS, ())),
        "turned_down": "; ".join(attrs.get(TURNED_DOWN, ())),
        "edits": "; ".join(map(str, edits_of(attrs))),
        "failure": attrs.get(FAILURE, "") or broken,
        "std": attrs.get(DETAILS, {}).get("std"),
        "train_value": attrs.get(DETAILS, {}).get("train_value"),
        "measures": measured,
        "calls": usage.calls,
        "tokens": usage.input_tokens + usage.output_tokens,
        "cost_usd": usage.cost_usd,
        "seconds": seconds,
        "params": dict(trial.params),
    }


def shortlist_records(study: Study, records: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Return one record for each estimator that *study* chooses among, the one with the best value first."""
    history = study_history(study)
    record = study.user_attrs.get("sllmbo:space", {})
    told = dict(record.get("shortlist") or ((name, "") for name in branches(SearchSpace.from_json(record["space"]))))
    found = []
    for name in told:
        own = [record for record in records if record["params"].get(ROOT) == name]
        kept = [record for record in own if record["state"] == "complete" and record["source"] != REPEAT]
        values = [record["value"] for record in kept]
        best = min(values, default=None) if history.direction == "minimize" else max(values, default=None)
        default = next((record["value"] for record in kept if record["source"] == "default"), None)
        found.append(
            {
                "estimator": name,
                "reason": told[name],
                "trials": len(own),
                "failed": sum(record["state"] in ("fail", INFEASIBLE) for record in own),
                "default_value": default,
                "best_value": best,
            }
        )
    sign = 1.0 if history.direction == "minimize" else -1.0
    return tuple(
        sorted(found, key=lambda entry: math.inf if entry["best_value"] is None else sign * entry["best_value"])
    )


def count_sources(records: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Return per source how many trials it served, and how many of them were improvements."""
    sources: dict[str, dict[str, int]] = {}
    for record in records:
        counts = sources.setdefault(record["source"], {"trials": 0, "improvements": 0})
        counts["trials"] += 1
        counts["improvements"] += record["improved"]
    return sources


def total_usage(study: Study) -> Usage:
    """Return what the advice of *study* has cost, that of abandoned trials and of the space's design included."""
    written = [trial.user_attrs.get(USAGE) for trial in all_trials(study)]
    written.append(study.user_attrs.get("sllmbo:space", {}).get("usage"))
    told = sum((Usage.from_json(usage) for usage in written if usage), Usage())
    entered = spent(study)
    return entered if entered.calls >= told.calls else told  # advisors of others enter nothing into the ledger


def study_worth(study: Study) -> Worth:
    """Return what each source of trials of *study* has earned, and what it cost."""
    history = study_history(study)
    advisors = {o.source for o in history} - PARTNERS - NEITHER
    by_source: dict[str, Usage] = {}
    for trial in all_trials(study):  # of abandoned ones too: what takes their turn over pays nothing
        source = str(trial.user_attrs.get(SOURCE, ""))
        if source not in advisors:  # it served where the answer was of no use; told of nobody, if of several advisors
            source = next(iter(advisors)) if len(advisors) == 1 else ""
        by_source[source] = by_source.get(source, Usage()) + Usage.from_json(trial.user_attrs.get(USAGE) or {})
    by_source.pop("", None)
    return measure_worth(history, total_usage(study), usage_by_source=by_source, noisy=bool(noise(history)))


def _write_trials(path: Path, trials: tuple[Mapping[str, Any], ...]) -> None:
    names = list(dict.fromkeys(name for trial in trials for name in trial["params"]))
    measured = list(dict.fromkeys(name for trial in trials for name in trial.get("measures", {})))
    columns = [name for name in (trials[0] if trials else {}) if name not in ("params", "measures")]
    rows = [
        [trial[name] for name in columns]
        + [trial.get("measures", {}).get(name) for name in measured]
        + [trial["params"].get(name) for name in names]
        for trial in trials
    ]
    with _replacing(path) as part, part.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        csv.writer(file).writerows([columns + measured + [f"param_{name}" for name in names], *rows])


def _write(path: Path, text: str) -> None:
    with _replacing(path) as part:
        part.write_text(text, encoding="utf-8")


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give a file to write, which then takes the place of *path* at once: what ends it before leaves the old one."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")  # workers may end at the same time
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
