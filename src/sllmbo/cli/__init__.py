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
        for package in ("typer", "rich"):
            require(package, extra="cli", purpose="The command line")
    except MissingExtra as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    from sllmbo.cli.app import run

    sys.exit(run(sys.argv[1:]))
