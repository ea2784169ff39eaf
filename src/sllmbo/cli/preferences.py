"""
`--prefer`: what was said in words is shown as the options that it is read as, and confirmed before anything runs.
"""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from sllmbo.errors import ConfigError

if TYPE_CHECKING:
    from sllmbo.cli.progress import Progress


def confirmed(text: str | None, progress: Progress, *, yes: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """
    Return the constraints and objectives that *text* asks for, once the user has agreed.

    Raises:
        ConfigError: If it is not understood, or nobody agrees.
    """
    if text is None:
        return (), ()
    from sllmbo.tuner.metrics import metric_names
    from sllmbo.tuner.preferences import read_preferences

    constraints, objectives = read_preferences(text, metric_names())
    words = [word for bound in constraints for word in ("--constraint", bound)]
    words += [word for name in objectives for word in ("--objective", name)]
    said = shlex.join(words) or "nothing"
    if not yes and not sys.stdin.isatty():
        raise ConfigError(f"The preference {text!r} is read as {said}; give these options instead, or add --yes.")
    progress.fact("Preferred", f"{text!r} is read as {said}")
    if not yes:
        progress.line("Go on with that? [y/N]")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise ConfigError(f"The preference {text!r} was not confirmed; say it with --constraint and --objective.")
    return constraints, objectives
