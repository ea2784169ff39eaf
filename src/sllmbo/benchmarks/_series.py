"""
A time series: the carbon dioxide in the air of Mauna Loa from 1958 to 2001, which comes with statsmodels.

Monthly means, forecast 12 months ahead. The five years before the last five validate, the last five are set aside.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from sllmbo._optional import require
from sllmbo.benchmarks.problem import Problem
from sllmbo.space import Categorical, Float, Int, SearchSpace, When
from sllmbo.task import DataFacts, Task

HORIZON = 12
N_ORIGINS = 5
_BACK = {"none": 0, "month": 1, "year": 12}

SPACE = SearchSpace(
    {
        "difference": Categorical(
            list(_BACK),
            default="none",
            description="What is predicted: the level, or its change in a month or year.",
        ),
        "n_lags": Int(1, 36, default=12, description="Months that are looked back on."),
        "kernel": Categorical(["rbf", "linear"], default="rbf"),
        "C": Float(0.01, 1000.0, log=True, default=1.0, description="Weight of the errors against smoothness."),
        "epsilon": Float(1e-3, 1.0, log=True, default=0.1, description="Error that costs nothing, in deviations."),
        "gamma": Float(
            1e-4, 1.0, log=True, default=1 / 12, description="Inverse reach.", condition=When("kernel", ["rbf"])
        ),
    }
)

Levels: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


def series(suite: str) -> Problem:
    """
    Return the problem of tuning a support vector regression that forecasts the series, by its mean absolute error.

    Raises:
        MissingExtra: If statsmodels is not installed.
    """
    levels = _monthly()
    held_out = N_ORIGINS * HORIZON
    return Problem(
        suite=suite,
        name="series",
        task=Task(
            description="Forecast the monthly mean of carbon dioxide in the air of Mauna Loa (ppm) for the next 12 "
            "months, step by step from its own past, by a support vector regression on scaled lags. "
            "The value is the mean error of five years, each forecast from all before it.",
            estimator="sklearn.svm.SVR",
            metric="mae",
            direction="minimize",
            data=DataFacts(
                kind="regression", n_rows=len(levels) - 2 * held_out, n_features=1, n_numeric=1, ordered=True
            ),
        ),
        space=SPACE,
        evaluate=lambda params, repeat: _error(params, levels[:-held_out]),  # noqa: ARG005  # every repeat is the same
        truth=lambda params: _error(params, levels),
    )


def _monthly() -> Levels:
    co2 = require("statsmodels.datasets.co2", extra="bench", purpose="The problem 'series'")
    weekly = co2.load_pandas().data["co2"]
    return np.asarray(weekly.resample("MS").mean().interpolate(), dtype=float)


def _error(params: Mapping[str, Any], levels: Levels) -> float:
    """Return the mean absolute error over the last years of *levels*, each forecast from all before it."""
    origins = range(len(levels) - N_ORIGINS * HORIZON, len(levels), HORIZON)
    forecasts = np.concatenate([forecast(levels[:origin], params) for origin in origins])
    error = float(np.abs(forecasts - levels[origins[0] :]).mean())
    if not math.isfinite(error):
        raise FloatingPointError(f"The error of the forecast is {error}: the forecast diverged.")
    return error


def forecast(past: Levels, params: Mapping[str, Any]) -> Levels:
    """Return the next 12 months after *past*."""
    from sklearn.svm import SVR

    back, n_lags = _BACK[params["difference"]], params["n_lags"]
    changes = past[back:] - past[: len(past) - back] if back else past
    mean, deviation = changes.mean(), changes.std()
    windows = np.lib.stride_tricks.sliding_window_view((changes - mean) / deviation, n_lags + 1)
    settings = {name: params[name] for name in ("kernel", "C", "epsilon", "gamma") if name in params}
    regression = SVR(max_iter=30_000, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of steps that end before convergence
        regression.fit(windows[:, :-1], windows[:, -1])
    recent, levels = list(windows[-1, 1:]), list(past)
    for _ in range(HORIZON):
        recent = [*recent[1:], float(regression.predict([recent])[0])]
        levels.append(recent[-1] * deviation + mean + (levels[-back] if back else 0.0))
    return np.array(levels[-HORIZON:])
