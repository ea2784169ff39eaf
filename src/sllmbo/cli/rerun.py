"""
What `sllmbo tune --record` writes beside the advice, and how `sllmbo replay` runs the study again by it.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from optuna.storages import InMemoryStorage
from optuna.study import Study
from optuna.trial import FrozenTrial

from sllmbo.advisors.replay import Recording, RecordingAdvisor, ReplayAdvisor, Run, first_difference
from sllmbo.cli.options import data_in_words, judging_in_words, make_pruner
from sllmbo.cli.watch import Watch
from sllmbo.errors import ConfigError, ReplayMismatch, SllmboError, TaskError
from sllmbo.samplers._record import (
    ASKED,
    FAILURE,
    FALLBACK,
    MIXING,
    ORIGIN,
    PROMPT_VERSION,
    REPAIRS,
    SOURCE,
    TURNED_DOWN,
    USAGE,
)
from sllmbo.samplers._turns import TURN
from sllmbo.space import SearchSpace
from sllmbo.stopping import PatienceCallback
from sllmbo.task import EarlierBest
from sllmbo.tuner.data import from_frame, read_table
from sllmbo.tuner.loop import Callback
from sllmbo.tuner.result import TuneResult
from sllmbo.tuner.transfer import TRANSFER
from sllmbo.tuner.tuning import tune

if TYPE_CHECKING:
    from sllmbo.advisors import Advisor
    from sllmbo.cli.progress import Progress

REPEATED = (
    *(
        "target",
        "kind",
        "drop",
        "time_column",
        "group",
        "cv",
        "holdout",
        "estimator",
        "metric",
        "constraint",
        "objective",
        "trials",
        "patience",
    ),
    *("method", "init", "fixed_space", "repeats", "pruner", "seed", "description"),
)
"""Options of `sllmbo tune` that decide what comes out, beside the data, the search space and the advice."""

LATER: Mapping[str, Any] = MappingProxyType(
    {"direction": None, "max_rows": None, "ensemble": None, "preprocessing": False}
)
"""The same that recordings from before them do not have, with what they were then."""

_PREFETCH = "prefetch"
"""The option of `sllmbo tune` with which the clock decides as well; recordings from before it have none."""

_DECISION = "decision"
_EARLIER = "earlier"
"""Beside the decision behind the first trial: what earlier studies the study starts from."""
_REASONS = (ORIGIN, PROMPT_VERSION, REPAIRS, FALLBACK, TURNED_DOWN, ASKED, MIXING, FAILURE, USAGE)

_PACKAGES = (
    *("sllmbo", "optuna", "numpy", "pandas", "scikit-learn", "lightgbm", "xgboost", "xgboost-cpu", "catboost"),
    *("torch", "cmaes"),
)


def record_run(
    advisor: Advisor | None, data: Path, options: Mapping[str, Any], space: SearchSpace | None
) -> tuple[Callback, ...]:
    """
    Begin a run in the recording, if *advisor* writes one.

    Args:
        advisor: Who is asked.
        data: The table.
        options: The options of `sllmbo tune` by name, of which those that decide what comes out are written.
        space: The search space, if one was given.

    Returns:
        A callback that writes each trial; nothing where nothing is recorded.
    """
    if not isinstance(advisor, RecordingAdvisor):
        return ()
    recorder = advisor
    recorder.begin_run(
        {
            "data": {"path": str(data), "sha256": _sha256(data)},
            "versions": _versions(),
            "options": {name: options[name] for name in (*REPEATED, *LATER, _PREFETCH)},
            "space": None if space is None else space.to_json(),
        }
    )

    def write(study: Study, trial: FrozenTrial) -> None:
        told = _told(trial)
        began = study.user_attrs.get(TRANSFER) if told["turn"] == 0 else None
        recorder.add_trial({**told, _DECISION: _decided(trial) | ({_EARLIER: began} if began else {})})

    return (write,)


def _told(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "turn": trial.system_attrs[TURN]["turn"],  # a trial's number counts abandoned ones, which a replay has not
        "state": trial.state.name.lower(),
        "value": trial.values[0] if trial.values and len(trial.values) == 1 else trial.values,
        "params": trial.params,
        "source": trial.user_attrs.get(SOURCE),
    }


def _decided(trial: FrozenTrial) -> dict[str, Any]:
    """Return why the trial is what it is, for whoever reads the recording; a replay does not compare it."""
    return {key.partition(":")[2]: trial.user_attrs[key] for key in _REASONS if key in trial.user_attrs}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


class Rerun:
    """
    The runs of a recorded study, to be done again in a study in memory. Of several studies in a file it is the last.

    Args:
        path: The recording.
        recording: What it holds.
        data: Where the table lies; None for where it lay.

    Raises:
        ConfigError: If the recording has no runs that could be done again.
        TaskError: If the data is not there.
    """

    def __init__(self, path: Path, recording: Recording, data: Path | None) -> None:
        self._path = path
        self._runs = _last_study(recording)
        if not self._runs:
            lacks = (
                "no study from its beginning" if recording.runs else "no settings, which `sllmbo tune --record` writes"
            )
            raise ConfigError(
                f"The recording {str(path)!r} holds {lacks}; --table shows what it holds, and --llm replay:FILE "
                "answers from it."
            )
        settings = self._runs[-1].settings
        if any(name not in settings["options"] for name in REPEATED):
            raise ConfigError(
                f"The recording {str(path)!r} was made by sllmbo {settings['versions']['sllmbo']}, which wrote other "
                "settings; --llm replay:FILE answers from it."
            )
        if settings["options"].get(_PREFETCH):
            raise ConfigError(
                f"The recording {str(path)!r} was made with --prefetch, where the clock decided which advice was in "
                "time; --llm replay-lenient:FILE answers from it, turn by turn."
            )
        self._data = data or _found(settings["data"]["path"], beside=path)
        self.changes = tuple(_changes(settings, self._data))
        """What has changed since the recording, in words."""
        self.n_equal = 0
        """How many trials have come out equal."""

    @property
    def n_trials(self) -> int:
        """How many trials were recorded."""
        return sum(len(run.trials) for run in self._runs)

    def run(self, progress: Progress, check: Callable[[], None]) -> TuneResult | None:
        """
        Run all again, up to the last recorded trial.

        Args:
            progress: Where it is told.
            check: Called after each trial.

        Returns:
            What came of it; None if there is no result because all trials failed, as when it was recorded.

        Raises:
            ReplayMismatch: At the first difference.
        """
        advisor, storage = ReplayAdvisor(self._path), InMemoryStorage()
        sys.path.append(str(Path.cwd()))  # where the class of the estimator may lie
        result = None
        for run in self._runs:
            before = self.n_equal
            try:
                result = self._run(run, advisor, storage, progress, check)
            except ReplayMismatch:
                raise
            except SllmboError:
                if self.n_equal - before < len(run.trials):
                    raise
        return result

    def _run(
        self, run: Run, advisor: Advisor, storage: InMemoryStorage, progress: Progress, check: Callable[[], None]
    ) -> TuneResult:
        given, space = {**LATER, **run.settings["options"]}, run.settings["space"]
        dataset = from_frame(
            read_table(self._data),
            given["target"],
            kind=given["kind"],
            time=given["time_column"],
            group=given["group"],
            drop=given["drop"] or (),
        )
        watch = Watch(
            progress,
            n_trials=self.n_trials,
            data=data_in_words(self._data, dataset),
            judging=judging_in_words(dataset, given["cv"], given["holdout"]),
            advisor=f"no chat model: the advice recorded in {self._path}",
            storage="memory",
        )

        def begin(study: Study) -> None:
            watch.on_start(study)
            progress.keep("")  # nothing is kept of a replay that ends early

        def compare(study: Study, trial: FrozenTrial) -> None:
            progress.keep("")
            check()
            self._compare(run, trial)
            if trial.system_attrs[TURN]["turn"] == run.trials[-1]["turn"] and not _ends_itself(study, given):
                raise KeyboardInterrupt  # it was ended here, and so is the replay

        return tune(
            given["estimator"],
            dataset,
            metric=given["metric"],
            constraints=given.get("constraint") or (),  # recordings from before there were any have none
            objectives=given.get("objective") or (),
            space=None if space is None else SearchSpace.from_json(space),
            n_trials=given["trials"],
            patience=given["patience"],
            method=given["method"],
            llm=advisor,
            init=given["init"],
            cv=given["cv"],
            holdout_share=given["holdout"],
            pruner=make_pruner(given["pruner"], given["cv"]),
            fixed_space=given["fixed_space"],
            repeats=given["repeats"],
            transfer=[EarlierBest(**best) for best in self._runs[0].trials[0].get(_DECISION, {}).get(_EARLIER, ())],
            **{name: given[name] for name in LATER},
            storage=storage,
            study_name=f"replay of {self._path.name}",
            seed=given["seed"],
            description=given["description"],
            on_start=begin,
            callbacks=(watch.after_trial, compare),
        )

    def _compare(self, run: Run, trial: FrozenTrial) -> None:
        now = _told(trial)
        then = next((recorded for recorded in run.trials if recorded["turn"] == now["turn"]), None)
        if then is None:
            return  # its line was lost to a kill
        difference = first_difference(now, {name: value for name, value in then.items() if name != _DECISION})
        if difference is not None:
            why = " and ".join(self.changes) or "an estimator that is not deterministic differs from run to run"
            raise ReplayMismatch(
                f"Trial {now['turn']} differs from the recording {str(self._path)!r}: {difference}; {why}."
            )
        self.n_equal += 1


def _last_study(recording: Recording) -> list[Run]:
    """Return the runs since a study last began, as far as they finished a trial."""
    runs = [run for run in recording.runs if run.trials]
    begins = [index for index, run in enumerate(runs) if run.trials[0]["turn"] == 0]
    return runs[begins[-1] :] if begins else []


def _ends_itself(study: Study, given: Mapping[str, Any]) -> bool:
    patience = given["patience"]
    done = sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))
    return done >= given["trials"] or (patience is not None and PatienceCallback(patience).is_exhausted(study))


def _found(recorded: str, *, beside: Path) -> Path:
    places = (Path(recorded), beside.parent / Path(recorded).name)
    place = next((place for place in places if place.is_file()), None)
    if place is None:
        raise TaskError(
            f"The data {recorded!r} of the recording is not here; name its file: sllmbo replay {beside.name} DATA."
        )
    return place


def _changes(settings: Mapping[str, Any], data: Path) -> list[str]:
    changes = []
    if data.is_file() and _sha256(data) != settings["data"]["sha256"]:
        changes.append(f"the data in {str(data)!r} has changed since the recording")
    now = _versions()
    for name, then in settings["versions"].items():
        if now.get(name) != then:
            changes.append(f"{name} was {then} and is {now.get(name, 'missing')}")
    return changes
