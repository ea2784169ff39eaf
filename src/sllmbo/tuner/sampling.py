"""
Fewer rows for the trials, where all of them would take too long.
"""

from __future__ import annotations

import numpy as np

from sllmbo._random import derive_seed, generator
from sllmbo.errors import TaskError
from sllmbo.tuner.data import MIN_ROWS, Dataset

MANY_ROWS = 500_000
"""Above so many rows it is said that trials can do with a sample."""


def sample_rows(dataset: Dataset, max_rows: int, *, seed: int) -> Dataset:
    """
    Return at most *max_rows* rows of *dataset*, in their order; *dataset* itself where it has no more.

    The latest rows where they are ordered, else whole groups where there are groups, else random rows, for
    classification in the proportion of the classes.

    Raises:
        TaskError: If *max_rows* is too few for the data.
    """
    if max_rows < MIN_ROWS:
        raise TaskError(f"max_rows={max_rows!r} is too few; trials need at least {MIN_ROWS} rows.")
    n = len(dataset)
    if n <= max_rows:
        return dataset
    if dataset.ordered:
        return dataset.take(np.arange(n - max_rows, n))
    if dataset.groups is not None:
        return dataset.take(_whole_groups(dataset, max_rows, seed))
    if dataset.kind == "regression":
        return dataset.take(np.sort(generator(seed, "sample").choice(n, max_rows, replace=False)))
    from sklearn.model_selection import train_test_split

    size = min(max_rows, n - dataset.n_classes)  # each class is among those left out, too
    if size < dataset.n_classes:
        raise TaskError(f"max_rows={max_rows!r} is too few for {dataset.n_classes} classes; allow more rows.")
    labels = dataset.y
    state = derive_seed(seed, "sample")
    rows, _ = train_test_split(np.arange(n), train_size=size, random_state=state, stratify=labels)
    return dataset.take(np.sort(rows))


def _whole_groups(dataset: Dataset, max_rows: int, seed: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return the rows of random groups, as many as fit."""
    assert dataset.groups is not None
    codes, names = dataset.groups.factorize()
    sizes = np.bincount(codes, minlength=len(names))
    order = generator(seed, "sample").permutation(len(names))
    kept = order[np.cumsum(sizes[order]) <= max_rows]
    if len(kept) < 2:
        raise TaskError(
            f"max_rows={max_rows!r} holds fewer than two groups of up to {sizes.max()} rows; allow more rows."
        )
    return np.flatnonzero(np.isin(codes, kept))
