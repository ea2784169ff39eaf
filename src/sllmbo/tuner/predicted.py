"""
Predictions that are there already, in the shape of estimators, so that any metric can be computed of them.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin


class PredictedNumbers(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A fitted regressor that says what it was told to."""

    def __init__(self, predictions: NDArray[Any]) -> None:
        self.predictions = predictions

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: ARG002  # scikit-learn's signature
        """Return the predictions."""
        return self.predictions


class PredictedProbabilities(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted classifier that says what it was told to."""

    def __init__(self, predictions: NDArray[Any], classes: NDArray[Any]) -> None:
        self.predictions = predictions
        self.classes = classes
        self.classes_ = classes

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict_proba(self, X: Any) -> NDArray[Any]:  # noqa: ARG002
        """Return the predictions."""
        return self.predictions

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: ARG002
        """Return the likeliest class of each row."""
        picked: NDArray[Any] = self.classes[self.predictions.argmax(axis=1)]
        return picked
