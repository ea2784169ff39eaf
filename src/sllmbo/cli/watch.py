"""
`Watch`: told by `tune()` what happens, and telling it on: the header, one line per trial, what is under way.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from sllmbo.cli.progress import HEADINGS, Progress, duration
from sllmbo.samplers._repeats import REPEAT
from sllmbo.tuner.result import trial_records
from sllmbo.tuner.storage import SPACE
from sllmbo.tuner.transfer import CARD, TRANSFER
from sllmbo.tuner.tuning import NOTES


class Watch:
    """
    What a tuning calls when it starts and after each trial.

    Args:
        progress: Where it is told.
        n_trials: Trials of the study in all.
        data: The data in words, or the command.
        judging: How a configuration is judged, in words.
        advisor: Who advises, in words.
        storage: Where the study lies, as it may be shown.
        label: What *data* is.
    """

    def __init__(
        self,
        progress: Progress,
        *,
        n_trials: int,
        data: str,
        judging: str,
        advisor: str,
        storage: str,
        label: str = "Data",
    ) -> None:
        self._progress = progress
        self._n_trials = n_trials
        self._data, self._judging, self._advisor = data, judging, advisor
        self._storage, self._label = storage, label
        self._done_before = 0
        self._started = time.monotonic()

    def on_start(self, study: Study) -> None:
        """Print what is tuned, on what, and how."""
        card, space = study.user_attrs[CARD], study.user_attrs[SPACE]
        show = self._progress.fact
        show(self._label, self._data)
        for note in study.user_attrs.get(NOTES, ()):
            show("", note, "dim")
        self._tell_tuned(f"{card['estimator']}: " if "estimator" in card else "", space)
        show("Metric", f"{card['metric']} ({card['direction']}), {self._judging}")
        for bound in card.get("constraints", ()):
            show("", f"must keep {bound}")
        for name, better in card.get("objectives", {}).items():
            show("", f"and {name} ({better})")
        show("Advisor", self._advisor)
        earlier = [best["study"] for best in study.user_attrs.get(TRANSFER, ())]
        if earlier:
            show("Transfer", f"begins with the best of earlier studies: {', '.join(earlier)}")
        done = self._done_before = len(trial_records(study))
        if done:
            show("Study", f"Going on with study {study.study_name}: {done} trials done", "bold")
        else:
            show("Study", f"{study.study_name} in {self._storage}")
        self._keep(study, done)
        if done < self._n_trials:
            self._progress.line()
            self._progress.line(HEADINGS, "bold")
        self._started = time.monotonic()
        self._tell_next(done)

    def _tell_tuned(self, estimator: str, space: Mapping[str, Any]) -> None:
        show = self._progress.fact
        by_chat_model = space["source"] == "llm"
        if not space.get("shortlist"):
            designer = " (designed by the chat model)" if by_chat_model else ""
            show("Tuned", f"{estimator}{', '.join(space['space'])}{designer}")
            return
        names = [name for name, _ in space["shortlist"]]
        chooser = "the chat model" if by_chat_model else "the rules"
        show(
            "Tuned", f"the best of {', '.join(names)} (chosen by {chooser}), with {len(space['space']) - 1} parameters"
        )
        for name, reason in space["shortlist"]:
            show("", f"{name}: {reason}", "dim")

    def after_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Print the line of *trial*."""
        records = trial_records(study)
        best = None  # of several objectives there is none
        if len(study.directions) == 1:
            kept = [r["value"] for r in records if r["state"] == "complete" and r["source"] != REPEAT]
            best = max(kept, default=None) if study.direction is StudyDirection.MAXIMIZE else min(kept, default=None)
        for record in records:
            if record["number"] == trial.number:
                self._progress.trial(record, best)
        self._keep(study, len(records))
        self._tell_next(len(records))

    def _tell_next(self, done: int) -> None:
        if done >= self._n_trials:
            self._progress.status("concluding")
            return
        here = done - self._done_before
        seconds = (time.monotonic() - self._started) / here if here else 0.0
        pace = f": {duration(seconds)} a trial, {duration(seconds * (self._n_trials - done))} left" if here else ""
        self._progress.status(f"trial {done + 1} of {self._n_trials}{pace}")

    def _keep(self, study: Study, done: int) -> None:
        if done:
            self._progress.keep(
                f"{done} trials are kept in study {study.study_name} ({self._storage}); the same command goes on."
            )
