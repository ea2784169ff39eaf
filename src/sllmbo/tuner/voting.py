"""
Classifiers that vote by their probabilities, each fitted on the labels as they are.
"""

from __future__ import annotations

from typing import Any

from sklearn.base import clone
from sklearn.ensemble import VotingClassifier
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import Bunch


class LabelVoting(VotingClassifier):  # type: ignore[misc]  # scikit-learn has no types
    """
    Scikit-learn's soft voting, but for the labels that its members are fitted on.

    `VotingClassifier` numbers the classes first, so that what a member says of one class by its label (weights of
    classes, say) would be about another class, or none.
    """

    def fit(self, X: Any, y: Any) -> LabelVoting:
        """Fit a copy of each member on all rows."""
        self.le_ = LabelEncoder().fit(y)
        self.classes_ = self.le_.classes_
        self.estimators_ = [clone(member).fit(X, y) for _, member in self.estimators]
        names = (name for name, _ in self.estimators)
        self.named_estimators_ = Bunch(**dict(zip(names, self.estimators_, strict=True)))
        return self
