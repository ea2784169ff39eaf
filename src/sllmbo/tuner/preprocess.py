"""
From the columns of a table to what an estimator takes.

`Columns` is the plan for one table: what each raw column is and what it becomes. The transformers learn the rest
(categories, medians, scales) from the training rows alone. They know neither metrics nor search spaces.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from pandas.tseries.api import guess_datetime_format
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.preprocessing import LabelEncoder, StandardScaler
from sklearn.utils.metaestimators import available_if

from sllmbo.errors import TaskError
from sllmbo.tuner.data import is_number

Role: TypeAlias = Literal["numeric", "categorical", "date"]

DATE_PARTS = ("year", "month", "day", "day_of_week", "hour")
"""Calendar features, coarse to fine."""

_WHOLE = re.compile(r"^(-?\d+)\.0$")
_MANY = 20
"""In so many rows values that are all different look like identifiers."""
_DATE_TEXT = r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})([ T].*)?"


@dataclass(frozen=True, slots=True)
class Column:
    """One raw column and what it becomes."""

    name: str
    role: Role
    date_format: str | None = None
    """How its text is read as dates; None where the column holds dates already."""
    parts: tuple[str, ...] = ()
    """The calendar features that a date column becomes."""

    def outputs(self) -> tuple[str, ...]:
        """Return the names of the features that the column becomes."""
        return tuple(f"{self.name}_{part}" for part in self.parts) if self.role == "date" else (self.name,)


@dataclass(frozen=True, slots=True)
class Columns:
    """The plan for the columns of a table."""

    names: tuple[str, ...]
    """All raw columns in order, dropped ones too."""
    kept: tuple[Column, ...]
    """The columns that become features, in order."""

    def features(self, role: Role | None = None) -> list[str]:
        """Return the names of the features, or of those that come from columns of one role."""
        return [output for column in self.kept if role in (None, column.role) for output in column.outputs()]

    @property
    def categorical(self) -> list[str]:
        """The names of the features that are text; the other ones are numbers."""
        return self.features("categorical")

    @property
    def numeric(self) -> list[str]:
        """The names of the features that are numbers."""
        text = set(self.categorical)
        return [name for name in self.features() if name not in text]

    def apply(self, X: Any) -> pd.DataFrame:
        """
        Return the features of the rows *X*: numbers, and text with missing values.

        Columns that the plan does not know are ignored. An array has the raw columns in their order.

        Raises:
            TaskError: If a column of the plan is not there.
        """
        frame = self._frame(X)
        features: dict[str, pd.Series[Any]] = {}
        for column in self.kept:
            series = frame[column.name]
            if column.role == "numeric":
                features[column.name] = to_numbers(series)
            elif column.role == "categorical":
                features[column.name] = to_text(series)
            else:
                dates = to_dates(series, column.date_format)
                for part, output in zip(column.parts, column.outputs(), strict=True):
                    features[output] = getattr(dates.dt, part).astype(float)
        return pd.DataFrame(features, index=frame.index)

    def _frame(self, X: Any) -> pd.DataFrame:
        if not isinstance(X, pd.DataFrame):
            array = np.asarray(X)
            if array.ndim != 2 or array.shape[1] != len(self.names):
                raise TaskError(
                    f"Rows of shape {array.shape!r} were given where {len(self.names)} columns are known; "
                    "give a table with the columns of the training data."
                )
            return pd.DataFrame(array, columns=list(self.names))
        frame = X.set_axis([str(name) for name in X.columns], axis=1)
        absent = [column.name for column in self.kept if column.name not in frame.columns]
        if absent:
            raise TaskError(
                f"The column {absent[0]!r} is not in the rows that were given; "
                "give a table with the columns of the training data."
            )
        return frame


def plan_columns(X: pd.DataFrame) -> tuple[Columns, list[str]]:
    """Return what each column becomes, and a sentence for each that was dropped, became dates or numbers the rows."""
    kept: list[Column] = []
    notes: list[str] = []
    for name in X.columns:
        reason = _useless(X[name])
        if reason:
            notes.append(f"Column {name!r} was dropped: {reason}.")
            continue
        column = _column(X[name], set(X.columns))
        kept.append(column)
        if column.role == "date":
            notes.append(f"Column {name!r} became calendar features: {', '.join(column.parts) or 'none varies'}.")
        elif _numbers_rows(X[name]):
            notes.append(
                f"Column {name!r} looks like a row number ({X[name].min()} to {X[name].max()}, each once); "
                f"leave it out with drop= or --drop {name} if it is one."
            )
    return Columns(tuple(X.columns), tuple(kept)), notes


def _useless(series: pd.Series[Any]) -> str | None:
    """Return why a column can teach nothing, or None."""
    if series.isna().all():
        return "every value is missing"
    text = not is_number(series) and not hasattr(series, "cat") and series.dtype.kind not in "bmM"
    values = to_text(series) if text else series
    distinct = values.nunique()
    if distinct <= 1 and not series.isna().any():
        return "every value is the same"
    if text and len(series) >= _MANY and distinct >= 0.95 * series.notna().sum() and date_format_of(series) is None:
        return f"it looks like an identifier ({distinct} distinct texts in {len(series)} rows)"
    return None


def _numbers_rows(series: pd.Series[Any]) -> bool:
    """Tell whether *series* holds different integers, rising or without a gap."""
    if len(series) < _MANY or not is_number(series) or series.dtype.kind == "f" or not series.is_unique:
        return False
    return series.is_monotonic_increasing or bool(series.max() - series.min() == len(series) - 1)


def _column(series: pd.Series[Any], names: set[str]) -> Column:
    name = str(series.name)
    date_format = date_format_of(series)
    if date_format or holds_dates(series):
        dates = to_dates(series, date_format).dropna()
        parts = [p for p in DATE_PARTS if getattr(dates.dt, p).nunique() > 1 and f"{name}_{p}" not in names]
        return Column(name, "date", date_format, tuple(parts))
    dtype = pd.api.types.infer_dtype(series, skipna=True)
    number = is_number(series) or dtype in ("boolean", "decimal", "timedelta", "timedelta64")
    return Column(name, "numeric" if number else "categorical")


def holds_dates(series: pd.Series[Any]) -> bool:
    """Tell whether *series* holds date objects."""
    if pd.api.types.is_datetime64_any_dtype(series):
        return True
    return pd.api.types.infer_dtype(series, skipna=True) in ("date", "datetime", "datetime64")


def date_format_of(series: pd.Series[Any], pattern: str = _DATE_TEXT) -> str | None:
    """Return the format by which all texts of *series* are dates, or None."""
    if pd.api.types.infer_dtype(series, skipna=True) != "string" or hasattr(series, "cat"):
        return None
    texts = pd.Series(series.dropna().unique()).astype(object)
    if not all(re.fullmatch(pattern, text) for text in texts):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas warns of each guess that fails
        guesses = [guess_datetime_format(texts.iloc[0], dayfirst=dayfirst) for dayfirst in (False, True)]
    return next((f for f in (*guesses, "ISO8601") if f and to_dates(texts, f).notna().all()), None)


def to_numbers(series: pd.Series[Any]) -> pd.Series[Any]:
    """Return *series* as plain integers or floats; what is no number becomes NaN."""
    if pd.api.types.is_timedelta64_dtype(series):
        return pd.Series(series.dt.total_seconds())
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "iuf":
        return series
    if isinstance(series.dtype, np.dtype) and series.dtype.kind == "b":
        return series.astype("int64")
    numbers = pd.to_numeric(series.astype(object), errors="coerce")
    return pd.Series(numbers.to_numpy(dtype=float, na_value=np.nan), index=series.index, name=series.name)


def to_text(series: pd.Series[Any]) -> pd.Series[Any]:
    """
    Return *series* as text objects; what is missing becomes NaN.

    Whole numbers are without ".0", as numbers and as texts: which of them a file has depends on its other cells.
    """
    values = series.astype(object)
    if pd.api.types.infer_dtype(values, skipna=True) != "string":
        values = values.where(values.isna(), values.map(str))
    return values.where(values.notna(), np.nan).replace(_WHOLE, r"\1", regex=True)


def to_dates(series: pd.Series[Any], date_format: str | None) -> pd.Series[Any]:
    """Return *series* as dates; what is none becomes NaT."""
    if pd.api.types.is_datetime64_any_dtype(series):
        return series
    if date_format is None:
        return pd.to_datetime(series, errors="coerce")
    # With utc, texts of mixed offsets have one calendar; for texts without an offset it changes nothing.
    return pd.to_datetime(series, format=date_format, errors="coerce", utc=True)


def safe_names(names: Iterable[str]) -> list[str]:
    """Return distinct feature names that every library takes: letters, digits and underscores."""
    taken: set[str] = set()
    safe = []
    for name in names:
        base = candidate = re.sub(r"\W", "_", name) or "_"
        number = 2
        while candidate in taken:
            candidate, number = f"{base}_{number}", number + 1
        taken.add(candidate)
        safe.append(candidate)
    return safe


class SelectColumns(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Apply a plan for columns to raw rows."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns

    def fit(self, X: Any, y: Any = None) -> SelectColumns:  # noqa: ARG002  # scikit-learn's signature
        """Learn nothing."""
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> pd.DataFrame:
        """Return the features of the raw rows."""
        return self.columns.apply(X)


class NativeCategories(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """
    Give text as categories to an estimator that takes them and missing values itself.

    Args:
        categorical: Names of the text features.
        max_levels: Keep as many of the most frequent levels; the other ones count as missing. None keeps all.
        as_text: Keep the text and say "missing" where there is none, as CatBoost wants it.
    """

    def __init__(self, categorical: Sequence[str], *, max_levels: int | None = None, as_text: bool = False) -> None:
        self.categorical = categorical
        self.max_levels = max_levels
        self.as_text = as_text

    def fit(self, X: pd.DataFrame, y: Any = None) -> NativeCategories:  # noqa: ARG002
        """Learn the levels of each text feature."""
        self.levels_ = {name: self._levels(X[name]) for name in self.categorical}
        self.empty_ = [name for name in X.columns if name not in self.levels_ and X[name].isna().all()]
        return self

    def _levels(self, series: pd.Series[Any]) -> list[str]:
        levels = series.value_counts().index[: self.max_levels]
        return sorted(levels) or ["missing"]  # libraries refuse a category without levels

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the rows with categories; levels that were not learnt are missing."""
        columns = {str(name): self._feature(series) for name, series in X.items()}
        frame = pd.DataFrame(columns, index=X.index)
        return frame.set_axis(safe_names(map(str, X.columns)), axis=1)

    def _feature(self, series: pd.Series[Any]) -> pd.Series[Any]:
        name = str(series.name)
        if name in self.empty_:  # scikit-learn's histograms refuse a feature without values
            return pd.Series(0.0, index=series.index)
        if name not in self.levels_:
            return series
        if self.as_text:
            return series.fillna("missing")
        levels = pd.Index(self.levels_[name])
        codes = levels.get_indexer(pd.Index(series))  # -1, which means missing, for unknown levels
        return pd.Series(pd.Categorical.from_codes(codes, categories=levels), index=series.index)


def scaled_target(estimator: Any) -> TransformedTargetRegressor:
    """Return a regressor that learns the target with mean 0 and deviation 1, and predicts it in its own unit."""
    return TransformedTargetRegressor(estimator, transformer=StandardScaler())


def _estimator_has(name: str) -> Any:
    def check(self: EncodedClassifier) -> bool:
        return hasattr(getattr(self, "estimator_", self.estimator), name)

    return check


class EncodedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier that takes labels of any type around one that wants the integers from 0."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, X: Any, y: Any) -> EncodedClassifier:
        """Learn the labels and fit the estimator."""
        encoder = LabelEncoder()
        codes = encoder.fit_transform(np.asarray(y))
        self.classes_ = encoder.classes_
        self.estimator_ = clone(self.estimator).fit(X, codes)
        return self

    def predict(self, X: Any) -> Any:
        """Return the labels of the rows."""
        codes = np.asarray(self.estimator_.predict(X)).ravel()
        return self.classes_[codes.astype(int)]

    @available_if(_estimator_has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Any:
        """Return one column of probabilities per label, in the order of `classes_`."""
        return self.estimator_.predict_proba(X)

    @available_if(_estimator_has("decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> Any:
        """Return the estimator's scores."""
        return self.estimator_.decision_function(X)

    @property
    def feature_importances_(self) -> Any:
        """The estimator's feature importances."""
        return self.estimator_.feature_importances_
