"""
Which process runs a trial, and whether it is still there.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

HERE_SINCE = datetime.now()
"""When this process began to use the package, in local time, as Optuna stamps its trials."""


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> str:
    """
    Return when process *pid* started, in ticks since boot; empty where the system does not tell.

    One that is dead, and whose parent has not asked for it yet, has never started.
    """
    # Fields 3 and 22 of proc(5) stat; the name in field 2 may hold spaces and brackets, so count from its end.
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if fields and fields[0] in "ZX":
        return "never"
    return fields[19] if len(fields) > 19 else ""


@cache
def _place() -> dict[str, str]:
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return {
        "host": socket.gethostname(),
        "machine": _read("/etc/machine-id"),
        "boot": _read("/proc/sys/kernel/random/boot_id"),
        "namespace": namespace,
    }


@cache
def _own_start(pid: int) -> str:  # by number, since a fork inherits the cache
    return _started(pid)


def this_worker() -> dict[str, Any]:
    """Return what identifies this process among all that may work on a study."""
    pid = os.getpid()
    return {**_place(), "pid": pid, "started": _own_start(pid)}


def is_gone(worker: Mapping[str, Any]) -> bool:
    """
    Tell whether the process that *worker* identifies has certainly ended.

    False where this host cannot know, as of another host or container: there, Optuna's heartbeat tells.
    """
    here = _place()
    if any(worker.get(key) != here[key] for key in ("host", "machine")):
        return False
    if worker.get("boot") != here["boot"]:
        return bool(here["machine"])  # without a name of its own, it may be another machine that runs
    if worker.get("namespace") != here["namespace"]:
        return False
    pid = int(worker["pid"])
    if pid == os.getpid():
        return worker.get("started") != _own_start(pid)
    return not _is_alive(pid, str(worker.get("started", "")))


def _is_alive(pid: int, started: str) -> bool:
    if os.name == "nt":  # there, os.kill ends the process that it asks about
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not started or started == _started(pid)
