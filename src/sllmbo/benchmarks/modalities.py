"""
`Modalities`: real training beyond tables of numbers, on data that comes with packages.

Images of digits (a perceptron; a convolutional network where PyTorch is installed), sentences, and a time series. Each
evaluation takes up to about two seconds on one core, with fixed seeds, so that a configuration has one value. `truth`
is the score on data that was set aside, after training on all the rest. What could be reached at best is not known, so
no regret is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec

from sllmbo.benchmarks._digits import digits_cnn, digits_mlp
from sllmbo.benchmarks._docstrings import text
from sllmbo.benchmarks._series import series
from sllmbo.benchmarks.problem import Problem
from sllmbo.errors import ConfigError

_PROBLEMS: Mapping[str, Callable[[str], Problem]] = {
    "digits-mlp": digits_mlp,
    "digits-cnn": digits_cnn,
    "text": text,
    "series": series,
}


class Modalities:
    """Images, text and a time series, by real training on data that comes with packages."""

    name = "modalities"
    extra: str | None = "bench"

    def problems(self) -> tuple[str, ...]:
        """Return the names of the problems; "digits-cnn" is one of them only where PyTorch is installed."""
        return tuple(name for name in _PROBLEMS if name != "digits-cnn" or find_spec("torch"))

    def load(self, problem: str) -> Problem:
        """
        Return a problem by name.

        Raises:
            ConfigError: If there is none of that name.
            MissingExtra: If a package that it needs is not installed.
        """
        if problem not in _PROBLEMS:
            raise ConfigError(f"The suite {self.name!r} has no problem {problem!r}; it has {', '.join(_PROBLEMS)}.")
        return _PROBLEMS[problem](self.name)
