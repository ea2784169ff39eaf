"""
The data of a tuning: read a table, check it, say what its columns are, set a hold-out aside.

Every complaint about the data is made here, before a trial is spent.
"""

from __future__ import annotations

import difflib
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sllmbo._optional import require
from sllmbo.errors import TaskError
from sllmbo.task import DataFacts, Kind
from sllmbo.tuner._separated import HEAD, NOTES, read_text

if TYPE_CHECKING:
    import pandas as pd

    from sllmbo.tuner.preprocess import Columns

MIN_ROWS = 10
"""Fewer rows than this are refused."""

MAX_INTEGER_CLASSES = 20
"""A target of up to so many distinct integers is taken as classes unless the kind is said."""

_SEPARATORS = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t"}
_PARQUET = (".parquet", ".pq")
"""Attribute of a table that was read: what was done to it, one sentence each."""


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Checked data for supervised learning. Made by `from_frame` and `from_arrays`."""

    X: pd.DataFrame
    """The raw rows, without the target; numbered from 0."""
    y: pd.Series[Any]
    kind: Kind
    columns: Columns
    """What each column of X becomes for an estimator."""
    ordered: bool = False
    """Whether the rows are in the order of time."""
    groups: pd.Series[Any] | None = None
    """Rows of one group stay on one side of every split."""
    target: str = "target"
    notes: tuple[str, ...] = ()
    """What was done to the columns, one sentence each."""

    def __len__(self) -> int:
        return len(self.y)

    @property
    def n_classes(self) -> int:
        """The classes of the target; 0 for regression."""
        return int(self.y.nunique()) if self.kind == "classification" else 0

    def take(self, rows: np.ndarray[Any, Any]) -> Dataset:
        """Return the rows at these positions, renumbered."""
        groups = None if self.groups is None else self.groups.iloc[rows].reset_index(drop=True)
        X, y = self.X.iloc[rows].reset_index(drop=True), self.y.iloc[rows].reset_index(drop=True)
        return replace(self, X=X, y=y, groups=groups)


def read_table(path: str | Path) -> pd.DataFrame:
    """
    Read a table from a file: .csv, .tsv (both also .gz), or .parquet.

    Where commas do not separate the columns, those that hold nothing but numbers with decimal commas are numbers.

    Raises:
        TaskError: If the file is missing, empty, unreadable, or of another type.
        MissingExtra: If a Parquet file is given and pyarrow is not installed.
    """
    import pandas as pd

    path = Path(path)
    suffix = next((s for s in (*_SEPARATORS, *_PARQUET) if path.name.lower().endswith(s)), None)
    if suffix is None:
        raise TaskError(f"The file {str(path)!r} is of no known type; give a .csv, .tsv or .parquet file.")
    if not path.is_file():
        raise TaskError(f"The file {str(path)!r} does not exist; check the path.")
    if suffix in _PARQUET:
        require("pyarrow", extra="cli", purpose="Reading Parquet files")
    try:
        frame = pd.read_parquet(path) if suffix in _PARQUET else read_text(path, _SEPARATORS[suffix])
    except pd.errors.EmptyDataError:
        raise TaskError(f"The file {str(path)!r} is empty; give a table with a header and rows.") from None
    except (ValueError, OSError, EOFError, zlib.error) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TaskError(f"The file {str(path)!r} cannot be read as {suffix} ({reason}).") from error
    _check_names(frame.attrs.pop(HEAD, frame.columns))
    if frame.empty:
        raise TaskError(f"The file {str(path)!r} has no rows; give a table with a header and rows.")
    return frame


def from_frame(
    frame: pd.DataFrame,
    target: str,
    *,
    kind: Kind | None = None,
    time: str | None = None,
    group: str | None = None,
    drop: Sequence[str] = (),
) -> Dataset:
    """
    Return the checked data of a table.

    Args:
        frame: The table.
        target: The column to predict.
        kind: Classification or regression; None to tell by the target.
        time: A column of dates or numbers: the rows are sorted by it and validated in that order.
        group: A column whose rows of one value stay together; it is no feature.
        drop: Columns to leave out.

    Raises:
        TaskError: If the data cannot be used as given.
    """
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    for role, name in [("target", target), ("time", time), ("group", group), *(("drop", name) for name in drop)]:
        if name is not None and name not in frame.columns:
            raise TaskError(_unknown_column(role, name, frame.columns))
    notes: list[str] = list(frame.attrs.get(NOTES, ()))
    ordered = time is not None
    if time is not None:
        frame = frame.iloc[np.argsort(_time_of(frame[time]), kind="stable")]
        if _is_running_number(frame[time]):
            notes.append(f"Column {time!r} only gave the order: a running number tells nothing of later rows.")
            drop = [*drop, time]
    frame = frame.reset_index(drop=True)
    groups = None if group is None else frame[group]
    if groups is not None and groups.isna().any():
        raise TaskError(f"The group column {group!r} is missing in {groups.isna().sum()} rows; fill them first.")
    X = frame.drop(columns=[name for name in {target, group, *drop} if name is not None])
    return _checked(X, frame[target], kind=kind, ordered=ordered, groups=groups, target=target, notes=notes)


def from_arrays(X: Any, y: Any, *, kind: Kind | None = None, groups: Any = None, ordered: bool = False) -> Dataset:
    """
    Return the checked data of features and target, as NumPy arrays, pandas objects or lists.

    Raises:
        TaskError: If the data cannot be used as given.
    """
    import pandas as pd

    if hasattr(X, "toarray"):
        raise TaskError(f"X is a sparse {type(X).__name__}; give a dense array or a DataFrame.")
    if not isinstance(X, pd.DataFrame):
        has_texts = isinstance(X, list) and np.asarray(X).dtype.kind == "U"  # and numbers perhaps, which stay some
        array = np.asarray(X, dtype=object if has_texts else None)
        if array.ndim != 2:
            raise TaskError(f"X of shape {array.shape!r} must have two dimensions: rows and columns.")
        X = pd.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])]).infer_objects()
    X = X.set_axis([str(name) for name in X.columns], axis=1).reset_index(drop=True)
    target = str(getattr(y, "name", None) or "target")
    y, groups = _one_column("y", y, len(X)), None if groups is None else _one_column("groups", groups, len(X))
    return _checked(X, y, kind=kind, ordered=ordered, groups=groups, target=target, notes=[])


def _one_column(name: str, values: Any, n_rows: int) -> pd.Series[Any]:
    import pandas as pd

    if isinstance(values, pd.Series):
        series = values.reset_index(drop=True)
    else:
        array = np.asarray(values)
        if array.ndim == 2 and array.shape[1] == 1:
            array = array.ravel()
        if array.ndim != 1:
            raise TaskError(f"{name} of shape {array.shape!r} must have one dimension; give one value per row.")
        series = pd.Series(array)
    if len(series) != n_rows:
        raise TaskError(f"{name} has {len(series)} values and X has {n_rows} rows; give one value per row.")
    return series


def _checked(
    X: pd.DataFrame,
    y: pd.Series[Any],
    *,
    kind: Kind | None,
    ordered: bool,
    groups: pd.Series[Any] | None,
    target: str,
    notes: list[str],
) -> Dataset:
    from sllmbo.tuner.preprocess import plan_columns

    _check_shape(X)
    if ordered and groups is not None:
        raise TaskError("Rows in the order of time cannot be kept together by groups as well; give one of both.")
    inferred = _check_target(y, target, kind)
    if kind is None and inferred == "classification" and is_number(y):
        notes.append(
            f"The target {target!r} has {y.nunique()} distinct integers and is taken as classes; "
            "kind='regression' takes it as a number."
        )
    kind = kind or inferred
    y = _plain_labels(y) if kind == "classification" else y.astype(float)
    columns, column_notes = plan_columns(X)
    if not columns.kept:
        raise TaskError(f"No feature column is left; {' '.join(column_notes) or 'give a table with more columns.'}")
    _check_finite(X, columns)
    return Dataset(X, y, kind, columns, ordered, groups, target, (*notes, *column_notes))


def _check_names(names: pd.Index[Any] | pd.Series[Any]) -> None:
    for name in names[names.duplicated()]:
        raise TaskError(f"The column name {name!r} appears more than once; rename the columns.")


def _check_shape(X: pd.DataFrame) -> None:
    _check_names(X.columns)
    if len(X) < MIN_ROWS:
        raise TaskError(f"The data has {len(X)} rows; at least {MIN_ROWS} are needed.")


def _check_finite(X: pd.DataFrame, columns: Columns) -> None:
    from sllmbo.tuner.preprocess import to_numbers

    for name in columns.features("numeric"):
        infinite = int(np.isinf(to_numbers(X[name]).to_numpy(dtype=float)).sum())
        if infinite:
            raise TaskError(f"Column {name!r} is infinite in {infinite} rows; make these values missing first.")


def _check_target(y: pd.Series[Any], target: str, kind: Kind | None) -> Kind:
    """Check the target and return the kind that it suggests."""
    missing = int(y.isna().sum())
    if missing:
        raise TaskError(f"The target {target!r} is missing in {missing} of {len(y)} rows; drop these rows first.")
    if y.map(str).nunique() < 2:
        raise TaskError(f"The target {target!r} is {str(y.iloc[0])!r} in every row; there is nothing to learn.")
    number = is_number(y)
    if kind == "regression" and not number:
        raise TaskError(
            f"The target {target!r} is {y.dtype} ({y.iloc[0]!r}, ...), and kind='regression' needs numbers; "
            "use kind='classification' or another target."
        )
    if number and np.isinf(y.to_numpy(dtype=float)).any():
        raise TaskError(f"The target {target!r} is infinite in some rows; drop these rows first.")
    if not number:
        return "classification"
    few = y.nunique() <= min(MAX_INTEGER_CLASSES, max(2, len(y) // 5))
    return "classification" if few and bool((y.astype(float) % 1 == 0).all()) else "regression"


def is_number(series: pd.Series[Any]) -> bool:
    """Tell whether *series* holds plain numbers; booleans are none."""
    return getattr(series.infer_objects().dtype, "kind", "O") in "iuf"


def _plain_labels(y: pd.Series[Any]) -> pd.Series[Any]:
    """Return labels that scikit-learn sorts: integers and booleans as they are, the rest as text objects."""
    if is_number(y):
        return y.astype("int64") if bool((y.astype(float) % 1 == 0).all()) else y.astype(float).map(str).astype(object)
    if all(isinstance(value, (bool, np.bool_)) for value in y):
        return y.astype(bool)
    return y.astype(object).map(str).astype(object)


def _time_of(series: pd.Series[Any]) -> np.ndarray[Any, Any]:
    """Return sortable times of a column of dates or numbers."""
    from sllmbo.tuner.preprocess import date_format_of, holds_dates, to_dates

    name = series.name
    if series.isna().any():
        raise TaskError(f"The time column {name!r} is missing in {series.isna().sum()} rows; fill or drop these rows.")
    if is_number(series):
        return series.to_numpy(dtype=float)
    date_format = date_format_of(series)
    if date_format is None and not holds_dates(series):
        raise TaskError(
            f"The time column {name!r} holds {series.iloc[0]!r}, which is neither a number nor a date such as "
            "'2026-01-31 13:00'; convert it first."
        )
    return to_dates(series, date_format).astype("int64").to_numpy()


def _is_running_number(series: pd.Series[Any]) -> bool:
    return is_number(series) and series.is_unique


def _unknown_column(role: str, name: str, columns: Iterable[str]) -> str:
    known = list(columns)
    close = difflib.get_close_matches(name.casefold(), [c.casefold() for c in known], n=3, cutoff=0.5)
    alike = [c for c in known if c.casefold() in close]
    remedy = f"did you mean {' or '.join(map(repr, alike))}?" if alike else f"the columns are {', '.join(known[:20])}."
    return f"The {role} column {name!r} is not in the data; {remedy}"


def facts(dataset: Dataset) -> DataFacts:
    """Return the aggregates of the data that an advisor may be told."""
    X, y = dataset.columns.apply(dataset.X), dataset.y
    classification = dataset.kind == "classification"
    categorical = dataset.columns.categorical
    skew = 0.0 if classification else float(y.skew())  # type: ignore[arg-type]  # a number for a numeric column
    return DataFacts(
        kind=dataset.kind,
        n_rows=len(X),
        n_features=X.shape[1],
        n_numeric=X.shape[1] - len(categorical),
        n_categorical=len(categorical),
        max_cardinality=max((int(X[name].nunique()) for name in categorical), default=0),
        missing_share=float(X.isna().to_numpy().mean()) if X.size else 0.0,
        n_classes=dataset.n_classes,
        minority_share=float(y.value_counts(normalize=True).min()) if classification else 0.0,
        target_skew=skew if np.isfinite(skew) else 0.0,
        ordered=dataset.ordered,
    )


def holdout(dataset: Dataset, *, share: float = 0.2, seed: int) -> tuple[Dataset, Dataset]:
    """
    Split off the rows that tuning must not see.

    The last rows where they are ordered, else whole groups where there are groups, else random rows, for
    classification in the proportion of the classes.

    Args:
        dataset: The data.
        share: Share of the rows (of the groups) that is set aside, between 0 and 1.
        seed: Which rows are drawn.

    Raises:
        TaskError: If too few rows, groups or rows of a class would be left.
    """
    from sklearn.model_selection import GroupShuffleSplit, train_test_split

    if not 0 < share < 1:
        raise TaskError(f"The hold-out share {share!r} must lie between 0 and 1; 0.2 is usual.")
    rows = np.arange(len(dataset))
    if dataset.ordered:
        cut = len(rows) - max(1, round(share * len(rows)))
        train, test = rows[:cut], rows[cut:]
    elif dataset.groups is not None:
        if dataset.groups.nunique() < 3:
            raise TaskError(f"{dataset.groups.nunique()} groups are too few to hold some out; at least 3 are needed.")
        splitter = GroupShuffleSplit(n_splits=1, test_size=share, random_state=seed)
        train, test = next(splitter.split(dataset.X, dataset.y, dataset.groups))
    else:
        labels = dataset.y if dataset.kind == "classification" else None
        _check_classes(labels, dataset.target)
        try:
            train, test = train_test_split(rows, test_size=share, random_state=seed, stratify=labels)
        except ValueError as error:
            raise TaskError(f"A hold-out of {share!r} of {len(rows)} rows is not possible: {error}") from error
    return dataset.take(train), dataset.take(test)


def _check_classes(labels: pd.Series[Any] | None, target: str) -> None:
    counts = labels.value_counts() if labels is not None else None
    if counts is not None and counts.min() < 2:
        raise TaskError(
            f"The class {counts.idxmin()!r} of {target!r} has one row only, too few to learn and to judge; "
            "drop the class or join it with another."
        )
