"""
Storages and the studies in them.
"""

from __future__ import annotations

import time
import warnings

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.storages import BaseStorage, RDBStorage

from sllmbo.errors import ConfigError, StudyError
from sllmbo.samplers._edits import Edits
from sllmbo.task import Task
from sllmbo.tuner.transfer import CARD, FACTS

SPACE = "sllmbo:space"
"""User attribute of a study: its search space."""
_TUNED = ("estimator", "metric", "direction", "constraints", "objectives")


def open_storage(storage: str | BaseStorage | None, *, tries: int = 5) -> BaseStorage | None:
    """
    Return the storage at a URL; try again where another process makes its tables at the same time.

    SQLite waits for its lock; other databases keep heartbeats, so that a worker that died on another host is noticed.

    Raises:
        ConfigError: If the storage cannot be opened.
    """
    if storage is None or isinstance(storage, BaseStorage):
        return storage
    if "://" not in storage:
        raise ConfigError(f"storage={storage!r} is no storage URL; write for example 'sqlite:///study.db'.")
    try:
        if storage.startswith("sqlite"):
            return RDBStorage(storage, engine_kwargs={"connect_args": {"timeout": 60}})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return RDBStorage(storage, heartbeat_interval=30, grace_period=120)
    except Exception as error:  # SQLAlchemy and the drivers raise classes of their own
        if tries > 1 and (type(error).__name__ == "IntegrityError" or "already exists" in str(error)):
            time.sleep(0.2)
            return open_storage(storage, tries=tries - 1)
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()
        raise ConfigError(
            f"The storage {without_password(storage)!r} cannot be opened ({reason[0] if reason else error!r}); "
            "check the URL, the server and the driver."
        ) from error


def without_password(url: str) -> str:
    """Return *url* as it may be shown."""
    scheme, _, rest = url.partition("://")
    login, at, host = rest.rpartition("@")
    return f"{scheme}://{login.partition(':')[0]}{at}{host}"


def open_study(
    storage: str | BaseStorage | None, study_name: str | None, task: Task, pruner: BasePruner | None
) -> optuna.Study:
    """
    Return the study of this name in *storage*, made for *task* where there is none.

    Raises:
        ConfigError: If the storage cannot be opened.
        StudyError: If the stored study tunes something else.
    """
    study = optuna.create_study(
        storage=open_storage(storage),
        study_name=study_name,
        directions=[task.direction, *task.objectives.values()],
        pruner=pruner if pruner is not None else NopPruner(),
        load_if_exists=True,
    )
    card = {name: value for name, value in task.to_json().items() if name in _TUNED}
    stored = study.user_attrs.get(CARD)
    if stored is not None and stored != card:
        differing = next(name for name in {**stored, **card} if stored.get(name) != card.get(name))
        raise StudyError(
            f"The study {study.study_name!r} has {differing} {stored.get(differing)!r}, not {card.get(differing)!r}; "
            "name another study with study_name= or --study, or go on with what it has."
        )
    wanted, found = [task.direction, *task.objectives.values()], [d.name.lower() for d in study.directions]
    if found != wanted:
        raise StudyError(
            f"The study {study.study_name!r} is to {', '.join(found)}, not to {', '.join(wanted)}; name another study "
            "with study_name= or --study."
        )
    if task.objectives and stored is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([task.metric or "value", *task.objectives])
    if stored is None:
        study.set_user_attr(CARD, card)
    if task.data is not None and FACTS not in study.user_attrs:
        study.set_user_attr(FACTS, task.to_json()["data"])
    return study


def allowed_edits(study: optuna.Study, *, fixed_space: bool) -> Edits:
    """Return which edits an advisor may make: nobody but the user moves bounds that the user gave outwards."""
    if fixed_space:
        return "none"
    return "narrow" if study.user_attrs.get(SPACE, {}).get("source") == "user" else "all"
