"""
Preferences in words ("small, and at most 2 ms a prediction") read as constraints and objectives, by documented words.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from sllmbo.errors import ConfigError

_MEANT = {
    "fit_seconds": ("train", "fit", "retrain"),
    "predict_ms": ("fast", "quick", "latency", "speed", "slow", "predict", "inference", "respon", "answer"),
    "model_size_mb": ("small", "compact", "tiny", "light", "size", "memory", "disk", "large", "big"),
}
"""How the words begin that mean a measure; of several measures the first one."""

_MEGABYTES = {"kb": 1e-3, "mb": 1.0, "gb": 1e3}
_SECONDS = {"ms": 1e-3, "s": 1.0, "second": 1.0, "seconds": 1.0, "minute": 60.0, "minutes": 60.0}
_UPPER = r"under|below|at most|within|no more than|up to|less than|<=?"
_LOWER = r"at least|above|over|no less than|more than|>=?"
_NUMBER = re.compile(rf"(?:(?P<upper>{_UPPER})|(?P<lower>{_LOWER}))?\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>%|[a-z]+)?")


def read_preferences(text: str, metrics: Collection[str] = ()) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """
    Return the constraints and the further objectives that *text* asks for.

    A part with a number is a constraint ("at most 5 MB", "recall at least 0.9"), one without is an objective ("prefer
    smaller"). Commas, semicolons, "and" and "but" stand between parts.

    Args:
        text: A few words.
        metrics: Names of metrics that may be bounded.

    Raises:
        ConfigError: If a part is not understood.

    Example:
        >>> read_preferences("prefer smaller models, at most 2 ms a prediction")
        (('predict_ms<=2',), ('model_size_mb',))
    """
    constraints: dict[str, None] = {}
    objectives: dict[str, None] = {}
    for part in filter(str.strip, re.split(r"[,;]|\band\b|\bbut\b", text.lower())):
        bound = _NUMBER.search(part)
        words = re.findall(r"[a-z]\w*", part)
        metric = next((word for word in words if word in metrics), None)
        unit = (bound.group("unit") or "") if bound else ""
        name = metric or ("model_size_mb" if unit in _MEGABYTES else _measure(words))
        name = name or ("predict_ms" if unit == "ms" else None)
        if name is None or (metric and bound is None) or (bound and not metric and bound.group("lower")):
            raise ConfigError(
                f"The preference {part.strip()!r} is not understood; say it with --constraint 'NAME<=NUMBER' or "
                "--objective NAME."
            )
        if bound is None:
            objectives[name] = None
        else:
            relation = ">=" if metric and not bound.group("upper") else "<="
            constraints[f"{name}{relation}{float(bound.group('number')) * _factor(name, unit):g}"] = None
    return tuple(constraints), tuple(objectives)


def _measure(words: Collection[str]) -> str | None:
    return next((name for name, begins in _MEANT.items() if any(word.startswith(begins) for word in words)), None)


def _factor(name: str, unit: str) -> float:
    """Return what a number in *unit* is to be multiplied by for the measure or metric *name*."""
    if name == "model_size_mb":
        return _MEGABYTES.get(unit, 1.0)
    if name in _MEANT and unit in _SECONDS:
        return _SECONDS[unit] * (1e3 if name == "predict_ms" else 1.0)
    return 0.01 if unit == "%" else 1.0
