"""
Images of handwritten digits, read by a perceptron and by a convolutional network.

1,797 images of 8 x 8 pixels that come with scikit-learn: half to train on, a quarter to validate, a quarter set aside.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from sllmbo._optional import require
from sllmbo.benchmarks.problem import Problem
from sllmbo.space import Categorical, Float, Int, SearchSpace, When
from sllmbo.task import DataFacts, Task

EPOCHS = {"digits-mlp": 30, "digits-cnn": 12}

_IMAGES = "Tell which digit was written by hand, from an image of 8 x 8 pixels in 17 shades (scikit-learn's digits)."

MLP_SPACE = SearchSpace(
    {
        "width": Int(8, 128, log=True, default=100, description="Units of each hidden layer."),
        "depth": Int(1, 3, default=1, description="Hidden layers."),
        "activation": Categorical(["relu", "tanh", "logistic"], default="relu"),
        "batch_size": Int(16, 256, log=True, default=200, description="Images per step."),
        "learning_rate_init": Float(1e-4, 0.1, log=True, default=1e-3, description="Size of the steps."),
        "alpha": Float(1e-6, 1.0, log=True, default=1e-4, description="L2 penalty on the weights."),
        "solver": Categorical(["adam", "sgd"], default="adam"),
        "momentum": Float(0.0, 0.99, default=0.9, condition=When("solver", ["sgd"])),
    }
)

CNN_SPACE = SearchSpace(
    {
        "channels": Int(4, 32, log=True, default=16, description="Of the first convolution; the second has twice."),
        "dropout": Float(0.0, 0.7, default=0.0, description="Share of features dropped before the last layer."),
        "batch_size": Int(16, 256, log=True, default=64, description="Images per step."),
        "optimizer": Categorical(["adam", "sgd"], default="adam"),
        "learning_rate": Float(1e-4, 0.1, log=True, default=1e-3, description="Size of the steps."),
        "momentum": Float(0.0, 0.99, default=0.0, condition=When("optimizer", ["sgd"])),
        "weight_decay": Float(1e-6, 0.01, log=True, default=1e-6, description="L2 penalty on the weights."),
    }
)

Images: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Labels: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True, eq=False)
class _Digits:
    train: tuple[Images, Labels]
    valid: tuple[Images, Labels]
    test: tuple[Images, Labels]

    @property
    def all_but_test(self) -> tuple[Images, Labels]:
        (X, y), (X_more, y_more) = self.train, self.valid
        return np.concatenate([X, X_more]), np.concatenate([y, y_more])

    @property
    def facts(self) -> DataFacts:
        X, y = self.train
        rarest = float(np.bincount(y).min() / len(y))
        return DataFacts(
            kind="classification",
            n_rows=len(y),
            n_features=X.shape[1],
            n_numeric=X.shape[1],
            n_classes=10,
            minority_share=rarest,
        )


def _digits() -> _Digits:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, y = load_digits(return_X_y=True)
    X_rest, X_test, y_rest, y_test = train_test_split(X / 16.0, y, test_size=0.25, random_state=0, stratify=y)
    X_train, X_valid, y_train, y_valid = train_test_split(
        X_rest, y_rest, test_size=1 / 3, random_state=0, stratify=y_rest
    )
    return _Digits((X_train, y_train), (X_valid, y_valid), (X_test, y_test))


def digits_mlp(suite: str) -> Problem:
    """Return the problem of tuning scikit-learn's perceptron on the images, by accuracy."""
    digits, epochs = _digits(), EPOCHS["digits-mlp"]

    def score(params: Mapping[str, Any], train: tuple[Images, Labels], test: tuple[Images, Labels]) -> float:
        from sklearn.neural_network import MLPClassifier

        rest = dict(params)
        layers = (rest.pop("width"),) * rest.pop("depth")
        with _calm():
            network = MLPClassifier(hidden_layer_sizes=layers, max_iter=epochs, random_state=0, **rest).fit(*train)
            return float(network.score(*test))

    return Problem(
        suite=suite,
        name="digits-mlp",
        task=Task(
            description=f"{_IMAGES} A perceptron is trained for {epochs} passes over the images and judged on others.",
            estimator="sklearn.neural_network.MLPClassifier",
            metric="accuracy",
            direction="maximize",
            data=digits.facts,
        ),
        space=MLP_SPACE,
        evaluate=lambda params, repeat: score(params, digits.train, digits.valid),  # noqa: ARG005
        truth=lambda params: score(params, digits.all_but_test, digits.test),
    )


def digits_cnn(suite: str) -> Problem:
    """
    Return the problem of tuning a small convolutional network in PyTorch on the images, by cross entropy.

    Raises:
        MissingExtra: If PyTorch is not installed.
    """
    require("torch", extra="gp", purpose="The problem 'digits-cnn'")
    digits, epochs = _digits(), EPOCHS["digits-cnn"]
    return Problem(
        suite=suite,
        name="digits-cnn",
        task=Task(
            description=f"{_IMAGES} A network of two convolutions, each followed by pooling, and one linear layer is "
            f"trained for {epochs} passes over the images and judged on others.",
            estimator="convolutional network in PyTorch",
            metric="logloss",
            direction="minimize",
            data=digits.facts,
        ),
        space=CNN_SPACE,
        evaluate=lambda params, repeat: _cross_entropy(params, digits.train, digits.valid, epochs),  # noqa: ARG005
        truth=lambda params: _cross_entropy(params, digits.all_but_test, digits.test, epochs),
    )


def _cross_entropy(
    params: Mapping[str, Any], train: tuple[Images, Labels], test: tuple[Images, Labels], epochs: int
) -> float:
    """Train from the same random state each time; that of others is left as it is."""
    import torch

    X, y = _tensors(train)
    with _one_torch_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _network(params["channels"], params["dropout"])
        optimizer = _optimizer(network, params)
        for _ in range(epochs):
            for batch in torch.randperm(len(X)).split(params["batch_size"]):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(network(X[batch]), y[batch]).backward()
                optimizer.step()
        network.eval()
        X_test, y_test = _tensors(test)
        with torch.no_grad():
            loss = float(torch.nn.functional.cross_entropy(network(X_test), y_test))
    if not math.isfinite(loss):
        raise FloatingPointError(f"The cross entropy is {loss}: the training diverged.")
    return loss


def _tensors(data: tuple[Images, Labels]) -> tuple[Any, Any]:
    import torch

    X, y = data
    return torch.as_tensor(X, dtype=torch.float32).reshape(-1, 1, 8, 8), torch.as_tensor(y)


def _network(channels: int, dropout: float) -> Any:
    from torch import nn

    return nn.Sequential(
        *(nn.Conv2d(1, channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(channels, 2 * channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(dropout), nn.Linear(8 * channels, 10)),
    )


def _optimizer(network: Any, params: Mapping[str, Any]) -> Any:
    from torch import optim

    step, decay = params["learning_rate"], params["weight_decay"]
    if params["optimizer"] == "sgd":
        return optim.SGD(network.parameters(), lr=step, momentum=params["momentum"], weight_decay=decay)
    return optim.Adam(network.parameters(), lr=step, weight_decay=decay)


@contextmanager
def _calm() -> Iterator[None]:
    """One thread, and no warning that the passes ended before convergence or numbers overflowed."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has none

    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
