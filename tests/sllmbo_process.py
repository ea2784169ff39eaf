"""
Processes of their own that begin with everything imported: a server has done that once, and forks each of them.

What else a fresh interpreter does, such as finding packages and running exit handlers, is not seen this way.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sqlite3
import sys
import tempfile
import warnings
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from typing import Any

from sqlalchemy import Engine, event

from sllmbo.samplers import _turns

FORKS: Any = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        *("sllmbo.cli.app", "sllmbo.cli.watch", "sllmbo.cli.rerun", "sllmbo.cli.summary", "sllmbo.testing"),
        *("sllmbo.tuner.preprocess", "sllmbo.tuner.retuning", "sllmbo.llm.gateway", "pydantic_ai", "openai"),
        *("optuna.storages.journal", "optuna.storages._rdb.models", "alembic.command", "sqlalchemy.dialects.sqlite"),
        *("pandas", "pyarrow.parquet", "narwhals._pandas_like.dataframe", "scipy.stats", "hypothesis", "pytest"),
        *("sklearn.compose", "sklearn.ensemble", "sklearn.impute", "sklearn.linear_model", "sklearn.pipeline"),
    ]
)


@event.listens_for(Engine, "connect")
def _leave_writing_to_the_system(connection: Any, _: object) -> None:
    """Do not wait for the disk: a process that dies loses nothing by that, only a machine would."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")


def environment(**more: str) -> dict[str, str]:
    """The environment without what names a chat model or a key, and with *more*."""
    clean = {name: v for name, v in os.environ.items() if not name.startswith(("OPENAI_", "SLLMBO_"))}
    return {**clean, "OMP_NUM_THREADS": "1", **more}


def begin() -> None:
    """Let this process be one that has just begun."""
    _turns.HERE_SINCE = datetime.now()


def _main(words: list[str], folder: str, env: Mapping[str, str], streams: list[str]) -> None:
    begin()
    for number, path in enumerate(streams, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    warnings.filterwarnings("error", category=DeprecationWarning, module="sllmbo")
    if words[0] == "-m":
        sys.path.insert(0, folder)
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(words[0]).parent))
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


def python(*words: object, cwd: Path, env: Mapping[str, str], timeout: float = 240) -> CompletedProcess[str]:
    """Run a module or a script in folder *cwd* as `python -m MODULE ...` or `python SCRIPT ...` would."""
    texts = [str(word) for word in words]
    with tempfile.TemporaryDirectory() as folder:
        streams = [f"{folder}/out", f"{folder}/err"]
        process = FORKS.Process(target=_main, args=(texts, str(cwd), dict(env), streams))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutExpired(texts, timeout)
        out, err = (Path(stream).read_text(encoding="utf-8") for stream in streams)
    return CompletedProcess(texts, process.exitcode, out, err)


def sllmbo(*arguments: object, cwd: Path, **more: str) -> CompletedProcess[str]:
    """Run the command `sllmbo` in folder *cwd*, without settings but *more*."""
    return python("-m", "sllmbo", *arguments, cwd=cwd, env=environment(**more))
