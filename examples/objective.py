"""
Anything that gives a value for some parameters: how small LZMA can make text, with combinations that it refuses.
"""

import argparse
import ast
import inspect
import lzma

import optuna

import sllmbo

TEXT = "".join(inspect.getsource(module) for module in (argparse, ast, inspect, lzma)).encode()

space = sllmbo.SearchSpace(
    {
        "lc": sllmbo.Int(0, 4, default=3, description="bits of the byte before that a literal is judged by"),
        "lp": sllmbo.Int(0, 4, default=0, description="bits of the position that a literal is judged by; lc + lp <= 4"),
        "pb": sllmbo.Int(0, 4, default=2, description="bits of the position that a match is judged by"),
        "nice_len": sllmbo.Int(2, 273, log=True, default=64, description="a match that long is not improved on"),
        "mode": sllmbo.Categorical(["fast", "normal"], default="normal"),
    }
)


def objective(trial: optuna.Trial) -> float:
    options = {**trial.params, "mode": {"fast": lzma.MODE_FAST, "normal": lzma.MODE_NORMAL}[trial.params["mode"]]}
    filters = [{"id": lzma.FILTER_LZMA2, **options}]
    return len(lzma.compress(TEXT, lzma.FORMAT_RAW, filters=filters)) / len(TEXT)


result = sllmbo.tune_objective(
    objective,
    space,
    metric="share of the size",
    direction="minimize",
    n_trials=30,
    llm="offline",
    description="Compress Python source by LZMA2.",
    seed=0,
)

for trial in result.trials:
    print(trial["number"], trial["value"], trial["source"], trial["failure"])
print("default", result.default_value, "best", result.best_value, result.best_params)
