"""
From what is written on the command line to what `tune()` takes, and to words for the header.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from sllmbo.budget import Budget
from sllmbo.errors import ConfigError, SpaceError

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

    from sllmbo.advisors import Advisor
    from sllmbo.llm import ReplyMode
    from sllmbo.prompts import MemoryName, Privacy
    from sllmbo.space import SearchSpace
    from sllmbo.task import Kind
    from sllmbo.tuner.data import Dataset


def make_budget(
    *, trials: int | None, seconds: float | None, calls: int | None, tokens: int | None, cost_usd: float | None
) -> Budget:
    """
    Return what may be spent.

    Raises:
        ConfigError: If a limit is not positive.
    """
    return Budget(trials=trials, seconds=seconds, calls=calls, tokens=tokens, cost_usd=cost_usd)


def slug(name: str) -> str:
    """Return *name* as one path component."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "study"


def default_study_name(data: Path, estimator: str, method: str, llm: str, seed: int, memory: str = "digest") -> str:
    """Return a readable name that is the same for the same command; a chat model and its memory are part of it."""
    from sllmbo.advisors.choose import REPLAYS
    from sllmbo.tuner.methods import ADVISED
    from sllmbo.tuner.several import is_auto

    stem = re.sub(r"(\.(csv|tsv|gz|parquet|pq))+$", "", data.name, flags=re.IGNORECASE)
    advised = ""
    if method in ADVISED and llm != "offline" and not llm.startswith(REPLAYS):
        advised = f"-{llm}" if memory == "digest" else f"-{llm}-{memory}"
    named = estimator if is_auto(estimator) else re.split("[.:]", estimator)[-1]
    return slug(f"{stem}-{named}-{method}{advised}-seed{seed}")


def made(folder: Path) -> Path:
    """
    Return *folder*, made if missing.

    Raises:
        ConfigError: If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The folder {str(folder)!r} cannot be made ({error.strerror}); name another with --out."
        ) from error
    return folder


def read_space(path: Path | None) -> SearchSpace | None:
    """
    Return the search space in a file: TOML where its name ends in .toml, else JSON.

    Raises:
        SpaceError: If the file is missing, cannot be parsed, or holds no search space.
    """
    from sllmbo.space import SearchSpace

    if path is None:
        return None
    is_toml = path.suffix.lower() == ".toml"
    try:
        text = path.read_text(encoding="utf-8")
        space = SearchSpace.from_json(tomllib.loads(text) if is_toml else json.loads(text))
    except SpaceError as error:
        raise SpaceError(f"The search space in {str(path)!r} is wrong: {error}") from error
    except OSError as error:
        raise SpaceError(f"The file {str(path)!r} cannot be read ({error.strerror}); check --space.") from error
    except ValueError as error:
        kind, remedy = ("TOML", "check its syntax") if is_toml else ("JSON", "write it with SearchSpace.to_json()")
        raise SpaceError(f"The file {str(path)!r} is no {kind} ({error}); {remedy}.") from error
    if not space:
        raise SpaceError(f"The search space in {str(path)!r} has no parameter; give at least one.")
    return space


def read_dataset(
    data: Path, target: str, *, kind: Kind | None, time_column: str | None, group: str | None, drop: list[str] | None
) -> Dataset:
    """
    Return the table in a file, checked.

    Raises:
        TaskError: If it cannot be read or used.
    """
    from sllmbo.tuner.data import from_frame, read_table

    return from_frame(read_table(data), target, kind=kind, time=time_column, group=group, drop=drop or ())


def make_advisor(
    llm: str,
    base_url: str | None,
    record: Path | None,
    method: str,
    *,
    reply_mode: ReplyMode,
    privacy: Privacy,
    mask_names: bool = False,
    memory: MemoryName = "digest",
) -> Advisor | None:
    """
    Return the advisor, recorded if that is wanted; None for a method that asks none.

    Raises:
        ConfigError: If there is no such advisor, or nothing to record.
    """
    from sllmbo.advisors import choose_advisor
    from sllmbo.advisors.replay import RecordingAdvisor
    from sllmbo.tuner.methods import ADVISED

    if method in ADVISED:
        advisor = choose_advisor(
            llm, base_url=base_url, reply_mode=reply_mode, privacy=privacy, mask_names=mask_names, memory=memory
        )
        return advisor if record is None else RecordingAdvisor(advisor, record)
    if record is not None:
        raise ConfigError(f"--record {str(record)!r} has nothing to record: the method {method!r} asks no advisor.")
    return None


def make_pruner(name: str, folds: int | None) -> BasePruner | None:
    """
    Return the Optuna pruner of this name.

    Args:
        name: Of the pruner.
        folds: How many folds it sees, each as the mean so far; None where a command reports as often as it does.
    """
    from optuna.pruners import HyperbandPruner, MedianPruner, SuccessiveHalvingPruner

    if name == "median":
        return MedianPruner(n_startup_trials=5, n_warmup_steps=0)
    if name == "halving":
        return SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
    if name == "hyperband":
        return HyperbandPruner(min_resource=1, max_resource="auto" if folds is None else max(folds, 1))
    return None


def data_in_words(path: Path, dataset: Dataset) -> str:
    """Return what the table is, for the header."""
    columns = dataset.X.shape[1]
    classes = f", {dataset.n_classes} classes" if dataset.n_classes else ""
    return f"{path.name}: {len(dataset)} rows, {columns} feature columns, {dataset.kind} of {dataset.target!r}{classes}"


def judging_in_words(dataset: Dataset, folds: int, holdout: float) -> str:
    """Return how a configuration is judged, for the header."""
    kept = "in order of time" if dataset.ordered else "groups kept together" if dataset.groups is not None else ""
    aside = f"{100 * holdout:.3g} % of the rows are set aside" if holdout else "no rows are set aside"
    return f"mean of {folds} folds{f' ({kept})' if kept else ''}; {aside}"


def advisor_in_words(method: str, llm: str, base_url: str | None, *, privacy: Privacy, mask_names: bool) -> str:
    """Return who advises, for the header."""
    from sllmbo.advisors.choose import REPLAYS
    from sllmbo.llm.resolve import without_secrets
    from sllmbo.tuner.methods import ADVISED

    if method not in ADVISED:
        return f"nobody is asked (method {method})"
    if llm == "offline":
        return "no chat model: documented rules"
    if llm.startswith(REPLAYS):
        return f"no chat model: the advice recorded in {llm.partition(':')[2]}"
    server = f" at {without_secrets(base_url)}" if base_url else ""
    told = {
        "none": "the search space and the trials",
        "schema": "the kind of the task and the trials",
        "statistics": "aggregates of the data",
        "description": "the description and aggregates of the data",
    }[privacy]
    return f"chat model {llm}{server}; it is told {told}{' without names' if mask_names else ''}, never rows"
