"""
`PaperAdvisor`: the chat model's own proposals from the published runs of the paper (arXiv 2410.20302), played again.

In those runs a coin decided for most parameters one by one whether the chat model or TPE gave the value, so that only
some trials are proposals of the chat model as a whole. The coin had one seed in all runs, so these are the same trials
in each run of an estimator: of 50 trials 14 for LightGBM (9 parameters) and 19 for XGBoost (7). The digits agree: after
the first trial these and no others have at most 4 decimals in every value in all seven runs with GPT-4o, as values that
TPE drew never have. The first trial is left out: there each parameter was a question of its own.
"""

from __future__ import annotations

import csv
import gzip
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sllmbo.advisors.advisor import Advice, AdviceRequest, SpaceDesign
from sllmbo.errors import AdviceError, ConfigError, SpaceError
from sllmbo.task import Task

CHAT_MODELS = {"llm_tpe_gpt4o_llm_init": "gpt-4o", "llm_tpe_gemini_llm_init": "gemini-1.5-flash"}
"""The chat model of each kind of run that opened with the chat model, to which the coin below belongs."""

_SEED = 42
_STARTUP = 10
"""Trials in which TPE has no joint sample to give."""


def joint_trials(n_parameters: int, n_trials: int = 50) -> tuple[int, ...]:
    """
    Return the trials of the published runs that are one proposal of the chat model, by the coin of their sampler.

    Args:
        n_parameters: How many parameters the estimator has.
        n_trials: How many trials a run has.

    Example:
        >>> len(joint_trials(9)), len(joint_trials(7))
        (14, 19)
    """
    coin = random.Random(_SEED)
    for _ in range(n_parameters + 1):  # the first trial is the chat model's however the coin falls
        coin.random()
    last_was_llm, joint = True, []
    for trial in range(1, n_trials):
        has_space, last_was_llm = (
            last_was_llm,
            coin.random() < 0.5,
        )  # after TPE's turn there is nothing to sample jointly
        if has_space and last_was_llm:
            joint.append(trial)
        elif not has_space or trial < _STARTUP:
            for _ in range(n_parameters):
                last_was_llm = coin.random() < 0.5
    return tuple(joint)


class PaperAdvisor:
    """
    Give the recorded proposals of GPT-4o or Gemini in their order, those first that the study has not tried.

    Args:
        path: The table of published trials, .csv or .csv.gz: task, model, method, trial, params (JSON), ...
        task: The data set: "adult_census", "bike_sharing", "cement_strength", ...
        estimator: "lightgbm" or "xgboost".
        method: Which run: "llm_tpe_gpt4o_llm_init" or "llm_tpe_gemini_llm_init".

    Raises:
        ConfigError: If the file cannot be read or has no such run.
    """

    def __init__(self, path: str | Path, *, task: str, estimator: str, method: str = "llm_tpe_gpt4o_llm_init") -> None:
        if method not in CHAT_MODELS:
            raise ConfigError(f"method={method!r} must be one of {', '.join(CHAT_MODELS)}.")
        run = [
            row for row in _read(Path(path)) if (row["task"], row["model"], row["method"]) == (task, estimator, method)
        ]
        if not run:
            raise ConfigError(f"The table {str(path)!r} has no run {method!r} of {estimator!r} on {task!r}.")
        configurations = {int(row["trial"]): json.loads(row["params"]) for row in run}
        self._method = method
        self.proposals: Mapping[int, Mapping[str, Any]] = {
            trial: configurations[trial] for trial in joint_trials(len(configurations[0]), len(configurations))
        }
        """The joint proposals by the trial that they were made for."""

    def design_space(self, task: Task) -> SpaceDesign:  # noqa: ARG002
        """Raise `AdviceError`: the runs had a given search space."""
        raise AdviceError("The paper's runs designed no search space; give one.")

    def suggest(self, request: AdviceRequest) -> Sequence[Advice]:
        """
        Return the next proposals that no trial of the request has tried.

        Raises:
            AdviceError: If all have been tried, or none is of the request's space.
        """
        tried = [dict(observation.params) for observation in request.history]
        unused: list[Advice] = []
        for trial, params in self.proposals.items():
            try:
                usable = request.space.repair(params)[0]
            except SpaceError:
                continue
            if usable not in tried:
                tried.append(usable)
                unused.append(self._advice(trial, params))
        if not unused:
            raise AdviceError(f"All {len(self.proposals)} recorded proposals of the paper's run have been tried.")
        return unused[: request.n]

    def _advice(self, trial: int, params: Mapping[str, Any]) -> Advice:
        return Advice(
            params=params,
            rationale=f"Proposed in trial {trial} of the published run {self._method}.",
            source="llm",
            origin=f"{CHAT_MODELS[self._method]} (published trial {trial})",
        )


def _read(path: Path) -> list[dict[str, str]]:
    try:
        with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise ConfigError(
            f"The table {str(path)!r} cannot be read: {error.strerror or error}; check the path."
        ) from error
    if not rows or not {"task", "model", "method", "trial", "params"} <= set(rows[0]):
        raise ConfigError(f"The table {str(path)!r} lacks columns; task, model, method, trial and params are needed.")
    return rows
