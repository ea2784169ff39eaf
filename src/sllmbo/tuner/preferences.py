"""
Preferences in words ("small, and at most 2 ms a prediction") read as constraints and objectives, by documented words.
"""

from __future__ import annotations

import re

from sllmbo.errors import ConfigError

_MEANS = {
    "fit_seconds": r"\b(?:train\w*|fit\w*|retrain\w*)\b",
    "predict_ms": r"\b(?:fast\w*|quick\w*|latency|speed\w*|slow\w*|predict\w*|inference|respon\w+|answer\w*|ms|milliseconds?)\b",
    "model_size_mb": r"\b(?:small\w*|compact|tiny|light\w*|size|memory|disk|large|big\w*|[kmg]b|(?:kilo|mega|giga)bytes?)\b",
}
"""The words that mean a measure; of several the first one."""

_BOUND = re.compile(
    r"(?P<upper>under|below|at most|within|no more than|not more than|up to|less than|max(?:imum)?(?: of)?|<=?)?\s*"
    r"(?P<lower>at least|above|over|no less than|more than|min(?:imum)?(?: of)?|>=?)?\s*"
    r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>kb|mb|gb|kilobytes?|megabytes?|gigabytes?|ms|milliseconds?|seconds?|s|minutes?|%)?(?=$|[^\w.])"
)
_UNITS = {
    "model_size_mb": {"k": 1e-3, "m": 1.0, "g": 1e3, "": 1.0},
    "predict_ms": {"m": 1.0, "s": 1e3, "": 1.0},
    "fit_seconds": {"ms": 1e-3, "s": 1.0, "mi": 60.0, "": 1.0},
}
_METRIC = re.compile(r"\b([a-z][a-z0-9]*(?:_[a-z0-9]+)*)\b")


def read_preferences(text: str, metrics: tuple[str, ...] = ()) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """
    Return the constraints and the further objectives that *text* asks for.

    A part with a number is a constraint ("at most 5 MB", "recall at least 0.9"), one without an objective ("prefer
    smaller"). Parts are separated by commas, semicolons, "and" or "but".

    Args:
        text: A few words.
        metrics: Names of metrics that may be bounded.

    Raises:
        ConfigError: If a part is not understood.

    Example:
        >>> read_preferences("prefer smaller models, at most 2 ms a prediction")
        (('predict_ms<=2',), ('model_size_mb',))
    """
    constraints, objectives = [], []
    for part in re.split(r"[,;]|\band\b|\bbut\b", text.lower()):
        if not part.strip():
            continue
        name, is_metric = _meant(part, metrics)
        bound = _BOUND.search(part)
        if name is None or (is_metric and bound is None):
            raise ConfigError(
                f"The preference {part.strip()!r} is not understood; say it with --constraint 'NAME<=NUMBER' or "
                "--objective NAME."
            )
        if bound is None:
            objectives.append(name)
        else:
            constraints.append(_constraint(name, bound, is_metric=is_metric))
    return tuple(dict.fromkeys(constraints)), tuple(dict.fromkeys(objectives))


def _meant(part: str, metrics: tuple[str, ...]) -> tuple[str | None, bool]:
    for word in _METRIC.findall(part):
        if word in metrics:
            return word, True
    unit = next((m.group("unit") or "" for m in _BOUND.finditer(part)), "")
    by_unit = "model_size_mb" if unit[1:2] == "b" or unit.endswith(("byte", "bytes")) else None
    return by_unit or next((name for name, words in _MEANS.items() if re.search(words, part)), None), False


def _constraint(name: str, bound: re.Match[str], *, is_metric: bool) -> str:
    number, unit = float(bound.group("number")), bound.group("unit") or ""
    if is_metric:
        return f"{name}{'<=' if bound.group('upper') else '>='}{number / 100 if unit == '%' else number:g}"
    if bound.group("lower"):
        raise ConfigError(f"The preference {bound.group().strip()!r} bounds {name} from below; of it less is better.")
    factors = _UNITS[name]
    factor = next((factors[start] for start in (unit[:2], unit[:1], "") if start in factors), 1.0)
    if name == "predict_ms" and unit.startswith("s"):
        factor = 1e3
    return f"{name}<={number * factor:g}"
