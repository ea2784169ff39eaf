"""
`tune_objective()`: tune whatever gives a value for some parameters, in one call.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence

from optuna.pruners import BasePruner
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import Trial

from sllmbo.advisors import Advisor
from sllmbo.budget import Budget
from sllmbo.errors import SpaceError, StudyError
from sllmbo.history import Direction
from sllmbo.llm import ReplyMode
from sllmbo.prompts import MemoryName, Privacy
from sllmbo.samplers import MixingPolicy
from sllmbo.samplers._open import Init
from sllmbo.space import SearchSpace
from sllmbo.task import Task
from sllmbo.tuner.command import Command
from sllmbo.tuner.conclude import conclude_study
from sllmbo.tuner.evaluation import Evaluation
from sllmbo.tuner.loop import Callback, joined, run
from sllmbo.tuner.result import TuneResult
from sllmbo.tuner.tuner import Tuner

COMMAND = "sllmbo:command"
"""User attribute of a study: a digest of the command that it runs."""


def tune_objective(
    objective: Callable[[Trial], float],
    space: SearchSpace,
    *,
    metric: str = "value",
    direction: Direction = "minimize",
    n_trials: int | None = None,
    timeout: float | None = None,
    budget: Budget | None = None,
    patience: int | None = None,
    method: str = "llm-tpe",
    llm: str | Advisor | None = None,
    base_url: str | None = None,
    reply_mode: ReplyMode = "auto",
    privacy: Privacy = "description",
    mask_names: bool = False,
    memory: MemoryName = "digest",
    init: Init = "llm",
    mixing: MixingPolicy | None = None,
    pruner: BasePruner | None = None,
    prefetch: bool = False,
    fixed_space: bool = False,
    repeats: bool = False,
    storage: str | BaseStorage | None = None,
    study_name: str | None = None,
    seed: int = 0,
    description: str = "",
    on_start: Callable[[Study], None] | None = None,
    callbacks: Sequence[Callback] = (),
) -> TuneResult:
    """
    Tune *objective*, the default configuration of *space* first.

    Whatever *objective* raises makes its trial fail, and the advisor is told; a `SllmboError` ends the tuning.
    Interrupting (Ctrl-C) ends it with what there is.

    Args:
        objective: Is given an Optuna trial that has all its parameters in `trial.params`, and returns the value. It may
            report values on the way (`trial.report`) and stop where `trial.should_prune()`; the advisor is told them. A
            `Command` runs a program.
        space: What is tuned.
        metric: What the value is, in a word.
        direction: Which values are better.
        n_trials: Trials of the study in all; those of a study that is gone on with count. None: those of *budget*,
            else 50.
        timeout: Seconds after which no further trial is begun. None: those of *budget*.
        budget: Trials and seconds, and what questions to the chat model may cost over the whole study.
        patience: Trials without improvement after which to stop.
        method: "llm-tpe", "llm", "tpe", "random", "gp" or "cma".
        llm: "offline", "provider:model", "replay:FILE" or an `Advisor`; None reads SLLMBO_LLM, else "offline".
        base_url: An OpenAI-compatible server that has the chat model.
        reply_mode: How the chat model is asked for replies, as for `tune`.
        privacy: What a chat model is told at most, as for `tune`.
        mask_names: Whether a chat model is told x1, c1 and so on instead of names.
        memory: What of the trials a chat model is told, as for `tune`.
        init: What opens the study: "llm", "random" or "default".
        mixing: Who serves which turn, for "llm-tpe"; `Adaptive` if None.
        pruner: An Optuna pruner; it sees what is reported.
        prefetch: Whether the advisor is asked while trials run, as for `tune`.
        fixed_space: Whether the advisor may not narrow the search space during the study.
        repeats: Whether the last two fifths of the trials may evaluate the leaders again, and the best configuration is
            chosen by all its values, if the first repeats show that they are noisy.
        storage: An Optuna storage or its URL; None keeps the study in memory.
        study_name: A study of this name in the storage is gone on with.
        seed: Seed of the search.
        description: The problem in words, for the chat model.
        on_start: Called with the study, once everything is checked and before the first trial.
        callbacks: Called after each trial with the study and the trial, as Optuna calls them.

    Returns:
        The best configuration and what it gained over the default; without rows set aside and a fitted estimator.

    Raises:
        SpaceError: If *space* does not fit a command.
        ConfigError: If an argument breaks a rule, or a program cannot be started.
        StudyError: If the stored study is about something else.
        TaskError: If no trial is complete.
        AdviceError: If the chat model cannot be reached before the first trial.

    Example:
        >>> from sllmbo import Float, SearchSpace
        >>> import optuna
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> space = SearchSpace({"x": Float(-5, 5, default=3.0)})
        >>> result = tune_objective(lambda trial: (trial.params["x"] - 1) ** 2, space, n_trials=15, seed=0)
        >>> result.default_value, result.best_value < 1
        (4.0, True)
    """
    if not space:
        raise SpaceError("The search space has no parameter; give at least one.")
    if isinstance(objective, Command):
        objective.check(space)
    budget = joined(budget, n_trials, timeout)
    tuner = Tuner(
        space,
        task=Task(description=description, metric=metric, direction=direction, n_trials=budget.trials),
        method=method,
        llm=llm,
        base_url=base_url,
        reply_mode=reply_mode,
        privacy=privacy,
        mask_names=mask_names,
        memory=memory,
        init=init,
        mixing=mixing,
        storage=storage,
        study_name=study_name,
        pruner=pruner,
        seed=seed,
        budget=budget,
        prefetch=prefetch,
        fixed_space=fixed_space,
        repeats=repeats,
    )
    _check_command(tuner.study, objective)

    def evaluate(trial: Trial) -> Evaluation:
        started = time.perf_counter()
        value = float(objective(trial))
        seconds = time.perf_counter() - started
        return Evaluation(value=value, fold_values=(value,), std=math.nan, train_value=math.nan, seconds=seconds)

    stop_reason = run(
        tuner,
        evaluate,
        budget=budget,
        patience=patience,
        on_start=on_start,
        callbacks=callbacks,
        repeats=repeats,
        suspects=f"the {'command' if isinstance(objective, Command) else 'objective'} and the search space",
    )
    return conclude_study(tuner, stop_reason=stop_reason, storage=storage)


def _check_command(study: Study, objective: Callable[[Trial], float]) -> None:
    """Remember which command the study runs, and refuse to mix two."""
    told = f"{objective.text}\0{objective.value_file}" if isinstance(objective, Command) else ""
    digest = hashlib.sha256(told.encode()).hexdigest()[:16]
    stored = study.user_attrs.get(COMMAND)
    if stored is None:
        study.set_user_attr(COMMAND, digest)
    elif stored != digest:
        raise StudyError(
            f"The study {study.study_name!r} runs another command, or reads its value from elsewhere; name another "
            "study with study_name= or --study, or go on with its own command."
        )
