"""
A forecast: carbon dioxide in the air of Mauna Loa half a year ahead. Each fold is validated on what comes after it.
"""

import sys

import pandas as pd

import sllmbo

try:
    from statsmodels.datasets import co2
except ImportError:
    print("This example takes its data from statsmodels: pip install statsmodels")
    sys.exit()

AHEAD = 6

months = co2.load_pandas().data["co2"].resample("MS").mean().interpolate()
table = pd.DataFrame({f"change_{lag}": months.diff(lag) for lag in (1, 2, 3, 6, 9, 12, 18, 24)})
table["month"] = (months.index.month + AHEAD - 1) % 12 + 1
table["target"] = months.shift(-AHEAD) - months  # the change, as trees cannot go beyond the levels they have seen
table = table.dropna()

space = sllmbo.SearchSpace(
    {
        "C": sllmbo.Float(0.01, 100, log=True, default=1.0),
        "gamma": sllmbo.Float(1e-4, 1, log=True, default=0.1),
        "epsilon": sllmbo.Float(1e-3, 1, log=True, default=0.1),
    }
)
result = sllmbo.tune(
    "svm",
    table.drop(columns="target"),
    table["target"],
    space=space,
    metric="mae",
    ordered=True,  # rows are in the order of time: folds look back only, and the last fifth is set aside
    n_trials=25,
    llm="offline",
    description="Change of carbon dioxide (ppm) in the next half year, from its changes until now and the season",
    seed=0,
)

last_year = (table["target"] - table["target"].shift(12)).abs().tail(len(table) // 5).mean()
print("cross-validated: default", result.default_value, "best", result.best_value, result.best_params)
print("last fifth of the years: default", result.heldout_default, "best", result.heldout_best)
print("last fifth of the years, by the change of the year before", last_year)
