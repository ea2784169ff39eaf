"""
The command line: `sllmbo`. What it runs on, typer and rich, is in the extra `cli`.
"""

from __future__ import annotations

import sys

from sllmbo._optional import require
from sllmbo.errors import MissingExtra

__all__ = ["main"]


def main() -> None:
    """Run the command line, and exit with its code."""
    try:
        sys.exit(_run())
    except KeyboardInterrupt:  # while it still loads
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)


def _run() -> int:
    try:
        for package in ("typer", "rich"):
            require(package, extra="cli", purpose="The command line")
    except MissingExtra as error:
        print(error, file=sys.stderr)
        return 2
    from sllmbo.cli.app import run

    return run(sys.argv[1:])
