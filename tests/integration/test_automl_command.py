"""
The real command over several estimators, as a process of its own.
"""

from __future__ import annotations

import json

import joblib
import numpy as np
import pandas as pd
import pytest

from sllmbo_process import sllmbo

ASKED = ("--target", "label", "--estimator", "auto:logistic_regression,ridge,knn", "--cv", "2", "--trials", "6")


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(160, 3)), columns=["size", "age", "weight"])
    frame["color"] = np.resize(["red", "green", "blue"], 160)
    frame["label"] = np.where(frame["size"] + 0.5 * rng.normal(size=160) > 0, "dear", "cheap")
    frame.to_csv(tmp_path / "houses.csv", index=False)
    (tmp_path / "own.py").write_text(
        "def hits(estimator, X, y):\n    return float((estimator.predict(X) == y).mean())\n"
    )
    return tmp_path


def test_the_best_of_several_with_all_that_goes_with_it(folder) -> None:
    """The list comes before the first trial, the table after the last; the ensemble is written; a replay agrees."""
    more = ("--max-rows", 100, "--ensemble", 2, "--preprocessing", "--metric", "own:hits", "--direction", "maximize")
    run = sllmbo("tune", "houses.csv", *ASKED, *more, "--record", "advice.jsonl", "--out", "out", "--json", cwd=folder)
    assert 0 == run.returncode, run.stderr
    told, result = run.stderr, json.loads(run.stdout)
    assert ["logistic_regression", "ridge"] == sorted(entry["estimator"] for entry in result["shortlist"])
    assert result["best_params"]["estimator"] == result["estimator"]
    head, _, rest = told.partition("trial       value")
    assert "the best of logistic_regression, ridge (chosen by the rules)" in head
    assert "logistic_regression: 100 rows are few" in head
    assert "Trials see 100 random rows of 128" in head
    assert "own:hits (maximize)" in head
    assert "estimator                trials  failed" in rest
    table = pd.read_csv(folder / "houses.csv")
    assert {"cheap", "dear"} == set(joblib.load(folder / "out" / "estimator.joblib").predict(table))

    again = sllmbo("replay", "advice.jsonl", cwd=folder)
    assert 0 == again.returncode, again.stderr


def test_space_and_question_of_several_are_shown(folder) -> None:
    """`space` lists each estimator's parameters under its name, `prompt` the candidates a chat model is told."""
    space = sllmbo("space", "houses.csv", *ASKED[:4], "--preprocessing", cwd=folder)
    assert "logistic_regression.C" in space.stdout
    assert "logistic_regression.scaling" in space.stdout
    assert "knn: " not in space.stdout
    prompt = sllmbo("prompt", "houses.csv", *ASKED[:4], cwd=folder)
    assert "CANDIDATES\nlogistic_regression, ridge, knn" in prompt.stdout
    assert "Nothing was sent" in prompt.stdout
