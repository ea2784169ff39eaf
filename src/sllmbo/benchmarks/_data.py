"""
Where the data of the suites lies: in the folder that the environment variable SLLMBO_DATA names.
"""

from __future__ import annotations

import os
from pathlib import Path

from sllmbo.errors import ConfigError

VARIABLE = "SLLMBO_DATA"


def data_file(name: str) -> Path:
    """
    Return the path of the file *name* in the data folder.

    Raises:
        ConfigError: If no folder is named, or it has no such file.
    """
    folder = os.environ.get(VARIABLE, "")
    if not folder:
        raise ConfigError(
            f"{VARIABLE} is not set and the suite needs {name!r}; set it to the folder that holds this file."
        )
    path = Path(folder) / name
    if not path.is_file():
        raise ConfigError(f"{VARIABLE}={folder!r} has no file {name!r}; name a folder that holds it.")
    return path
