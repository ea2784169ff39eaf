"""
Import an optional package, or say which extra to install.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from sllmbo.errors import MissingExtra


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """
    Import *module*, or raise `MissingExtra` naming the extra that brings it.

    Args:
        module: Dotted name of the module.
        extra: The extra of sllmbo that installs it.
        purpose: What needs it, as the subject of a sentence ("Reading Parquet files").
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(
            f"{purpose} needs the package {module.split('.')[0]!r}, which is not installed: "
            f'pip install "sllmbo[{extra}]".'
        ) from error
