"""
The 14 tasks of the paper (arXiv 2410.20302): seven data sets, each with LightGBM and with XGBoost, and what the authors
recorded of them.

The search spaces are the paper's: static, and linear in every parameter. Their defaults are the libraries' own, but for
LightGBM's `max_depth`: its default is no limit, which the space does not have, so the deepest trees stand for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sllmbo.advisors.paper import PaperAdvisor
from sllmbo.benchmarks._data import data_file
from sllmbo.errors import ConfigError
from sllmbo.history import Direction
from sllmbo.space import Float, Int, SearchSpace
from sllmbo.task import DataFacts, Kind, Task

TRIALS = "sllmbo_paper_trials.csv.gz"
"""The file of recorded trials: task, model, method, trial, state, value, params (JSON), ..."""

SEED = 42
"""Seeds the split, the folds and the estimators."""

_DEPTH = "Deepest that a tree may grow."
_RATE = "Shrinks what each tree adds; smaller needs more trees."
_TREES = "Number of boosted trees."
_ROWS = "Share of the rows drawn for each tree."
_COLUMNS = "Share of the features drawn for each tree."

LIGHTGBM_SPACE = SearchSpace(
    {
        "num_leaves": Int(20, 3000, default=31, description="Most leaves of a tree; at most 2^max_depth can be there."),
        "max_depth": Int(3, 12, default=12, description=f"{_DEPTH} By default there is no limit."),
        "learning_rate": Float(0.01, 0.3, default=0.1, description=_RATE),
        "n_estimators": Int(100, 1000, default=100, description=_TREES),
        "min_child_samples": Int(1, 300, default=20, description="Fewest rows in a leaf."),
        "subsample": Float(0.7, 1.0, default=1.0, description=f"{_ROWS} Without effect here: subsample_freq is 0."),
        "colsample_bytree": Float(0.7, 1.0, default=1.0, description=_COLUMNS),
        "reg_alpha": Float(0.0, 5.0, default=0.0, description="L1 penalty on the leaf values."),
        "reg_lambda": Float(0.0, 5.0, default=0.0, description="L2 penalty on the leaf values."),
    }
)

XGBOOST_SPACE = SearchSpace(
    {
        "max_depth": Int(3, 12, default=6, description=_DEPTH),
        "learning_rate": Float(0.01, 0.3, default=0.3, description=_RATE),
        "n_estimators": Int(100, 1000, default=100, description=_TREES),
        "min_child_weight": Float(1.0, 10.0, default=1.0, description="Least sum of the rows' hessians in a leaf."),
        "subsample": Float(0.7, 1.0, default=1.0, description=_ROWS),
        "colsample_bytree": Float(0.7, 1.0, default=1.0, description=_COLUMNS),
        "gamma": Float(0.0, 5.0, default=0.0, description="Least gain that a split must bring."),
    }
)

SPACES: Mapping[str, SearchSpace] = {"lightgbm": LIGHTGBM_SPACE, "xgboost": XGBOOST_SPACE}
_SET = {
    "lightgbm": {**(LIGHTGBM_SPACE.default_params() or {}), "subsample_freq": 0},
    "xgboost": XGBOOST_SPACE.default_params() or {},
}
"""What the estimators have, as far as it is told: the libraries' own defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTask:
    """One data set of the paper, and how the paper used it."""

    name: str
    recorded_as: str = ""
    """Its name among the recorded trials, if that is another."""
    description: str
    target: str = ""
    keep: tuple[str, ...] = ()
    """The only columns that are features; empty for all but the target and those dropped."""
    drop: tuple[str, ...] = ()
    ordered: bool = False
    """Rows are in the order of time: split without shuffling, each fold scored on the 100 rows after its own."""
    data: DataFacts | None = None
    """Aggregates of the paper's training part, as far as they are known."""
    classes: bool = False
    """Classification by weighted F1; else regression by the mean absolute error."""

    @property
    def record(self) -> str:
        """Its name among the recorded trials."""
        return self.recorded_as or self.name

    @property
    def kind(self) -> Kind:
        """The kind of the data."""
        return "classification" if self.classes else "regression"

    @property
    def metric(self) -> str:
        """The metric's name."""
        return "f1_weighted" if self.classes else "mae"

    @property
    def direction(self) -> Direction:
        """Which values are better."""
        return "maximize" if self.classes else "minimize"

    @property
    def file(self) -> str:
        """The name of the data's file."""
        return f"{self.name}.parquet"

    def card(self, estimator: str, *, data: DataFacts | None, more: str = "") -> Task:
        """Return the card of the task with *estimator*; *more* says where the values come from."""
        folds = "five folds, each scored on the 100 rows after its training rows" if self.ordered else "five folds"
        if self.name == "m5":
            folds = "five rolling splits of 28 days"
        return Task(
            description=f"{self.description} The value is the mean over {folds}.{more}",
            estimator=estimator,
            metric=self.metric,
            direction=self.direction,
            data=data,
            estimator_params=_SET[estimator],
        )


TASKS = (
    PaperTask(
        name="concrete_strength",
        recorded_as="cement_strength",
        description="Predict the compressive strength of concrete from cement, slag, ash, water, superplasticizer and "
        "coarse aggregate. Its age and the fine aggregate are left out, so much stays unexplained.",
        target="strength",
        drop=("age", "fine_aggregate"),
        data=DataFacts(kind="regression", n_rows=824, n_features=6, n_numeric=6, target_skew=0.46),
    ),
    PaperTask(
        name="adult_census",
        description="Predict whether a person in the US census of 1994 earns more than 50,000 dollars a year, from "
        "age, years of education and working hours per week alone.",
        target="class",
        keep=("age", "education-num", "hours-per-week"),
        classes=True,
        data=DataFacts(
            kind="classification", n_rows=26_048, n_features=3, n_numeric=3, n_classes=2, minority_share=0.2407
        ),
    ),
    PaperTask(
        name="energy",
        description="Predict the energy that the appliances of a house use in ten minutes, from temperature and "
        "humidity of its rooms, its lights and the weather.",
        target="Appliances",
        drop=("date",),
        ordered=True,
        data=DataFacts(kind="regression", n_rows=15_788, n_features=27, n_numeric=27, target_skew=3.32, ordered=True),
    ),
    PaperTask(
        name="gas_drift",
        description="Predict which of six gases was given to a chemical sensor that drifts over months, from five "
        "features of its signal.",
        target="Class",
        classes=True,
        data=DataFacts(
            kind="classification", n_rows=11_128, n_features=5, n_numeric=5, n_classes=6, minority_share=0.1186
        ),
    ),
    PaperTask(
        name="cover_type",
        description="Predict which of seven cover types a patch of forest has, from its elevation, aspect, slope and "
        "distances to water alone.",
        target="Cover_Type",
        keep=(
            "Elevation",
            "Aspect",
            "Slope",
            "Horizontal_Distance_To_Hydrology",
            "Vertical_Distance_To_Hydrology",
        ),
        classes=True,
        data=DataFacts(
            kind="classification", n_rows=16_000, n_features=5, n_numeric=5, n_classes=7, minority_share=0.0043
        ),
    ),
    PaperTask(
        name="bike_sharing",
        description="Predict how many bicycles of a city's sharing scheme are rented in an hour, from calendar and "
        "weather.",
        target="cnt",
        drop=("instant", "dteday", "casual", "registered"),
        ordered=True,
        data=DataFacts(kind="regression", n_rows=13_903, n_features=12, n_numeric=12, target_skew=1.28, ordered=True),
    ),
    PaperTask(
        name="m5",
        description="Forecast the daily sales of 90 products in shops (from the M5 competition) out of lagged and "
        "rolling sales.",
        ordered=True,
    ),
)


def problem_name(task: PaperTask, estimator: str) -> str:
    """Return the name of the problem of tuning *estimator* on *task*."""
    return f"{task.name}-{estimator}"


def find_problem(problem: str, *, suite: str, names: tuple[str, ...]) -> tuple[PaperTask, str]:
    """
    Return task and estimator of a problem.

    Raises:
        ConfigError: If *problem* is none of the suite's *names*.
    """
    if problem not in names:
        raise ConfigError(f"The suite {suite!r} has no problem {problem!r}; it has {', '.join(names)}.")
    name, _, estimator = problem.rpartition("-")
    return next(task for task in TASKS if task.name == name), estimator


def recorded_advisor(problem: str, method: str = "llm_tpe_gpt4o_llm_init") -> PaperAdvisor:
    """
    Return the advisor that gives again what a chat model proposed in the published run of a problem.

    The later proposals were made in the knowledge of what that run had found, and the surrogates have seen them all:
    compare with them only methods that are given the same ones.

    Raises:
        ConfigError: If there is no such problem or method, or the file of recorded trials is not in the data folder.
    """
    names = tuple(problem_name(task, estimator) for task in TASKS for estimator in SPACES)
    task, estimator = find_problem(problem, suite="paper", names=names)
    return PaperAdvisor(data_file(TRIALS), task=task.record, estimator=estimator, method=method)


def recorded_trials(task: PaperTask, estimator: str) -> list[tuple[dict[str, Any], float]]:
    """
    Return the distinct configurations that the authors' runs of all methods evaluated, in their order, with the values.

    Raises:
        ConfigError: If the file of recorded trials is not in the data folder.
    """
    import pandas as pd

    table = pd.read_csv(data_file(TRIALS), dtype=str)  # text, so that no parser rounds the values
    mine = (table["task"] == task.record) & (table["model"] == estimator)
    rows = table[mine & (table["state"] == "COMPLETE")]
    found: dict[str, tuple[dict[str, Any], float]] = {}
    for text, value in zip(rows["params"], rows["value"], strict=True):
        params = json.loads(text)
        found.setdefault(json.dumps(params, sort_keys=True), (params, float(value)))
    return list(found.values())
