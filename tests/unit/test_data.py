"""Facts about reading, checking and splitting data."""

import datetime
import gzip
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sllmbo.errors import TaskError
from sllmbo.tuner.data import facts, from_arrays, from_frame, holdout, read_table
from sllmbo.tuner.preprocess import to_text


def _frame(n=60):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "size": rng.normal(size=n),
            "colour": rng.choice(["red", "green", "blue"], size=n),
            "sold": pd.date_range("2024-01-01", periods=n, freq="D"),
            "on": rng.integers(0, 2, n).astype(bool),
            "price": rng.normal(size=n),
        }
    )


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.tsv", "t.parquet"])
def test_read_table_formats(tmp_path, name):
    """Every supported type of file gives the table that was written."""
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "ü"]})
    path = tmp_path / name
    if name.endswith("parquet"):
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if "tsv" in name else ",")
    assert frame.to_dict("list") == read_table(path).to_dict("list")


def test_read_table_semicolons(tmp_path):
    """A table separated by semicolons is read as such."""
    (tmp_path / "t.csv").write_text("a;b\n1;2\n")
    assert ["a", "b"] == list(read_table(tmp_path / "t.csv").columns)


def test_decimal_commas_are_numbers_where_commas_separate_nothing(tmp_path):
    """A target like '275,79' is a number, and that is noted; texts that only look alike stay as they are."""
    frame = _frame(30)[["size", "colour", "price"]].assign(at="1,2 m", when="01.02.2024", code=["1,5", None, "x"] * 10)
    for name, separator in [("t.csv", ";"), ("t.tsv", "\t")]:
        frame.to_csv(tmp_path / name, sep=separator, decimal=",", index=False)
        read = read_table(tmp_path / name)
        dataset = from_frame(read, "price")
        pd.testing.assert_frame_equal(frame, read, check_exact=False, check_dtype=False)
        assert "regression" == dataset.kind
        (note,) = [note for note in dataset.notes if "ecimal" in note]
        assert note.startswith("Decimal commas, as in '0,")
        assert note.endswith("of 'size', are read as such in 2 columns.")


@pytest.mark.parametrize("end", [",", ";"])
def test_rows_may_end_with_separators(tmp_path, end):
    """The columns stay under their names; nothing is taken for an index."""
    rows = ["z{0}a{0}b", "5.2{0}0.1{0}5", "2.7{0}-0.1{0}3"]
    text = [rows[0].format(end), *(row.format(end) + end for row in rows[1:])]
    (tmp_path / "t.csv").write_text("\n".join(text) + "\n")
    assert {"z": [5.2, 2.7], "a": [0.1, -0.1], "b": [5, 3]} == read_table(tmp_path / "t.csv").to_dict("list")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.csv", None, "does not exist"),
        ("t.xlsx", b"x", "no known type"),
        ("t.csv", b"", "is empty"),
        ("t.csv", b"a,b\n", "no rows"),
        ("t.csv", b"a,b\n\xff\xfe,1\n", "cannot be read"),
        ("t.csv.gz", b"no gzip", "cannot be read"),
        ("t.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:30], "cannot be read"),
        ("t.parquet", b"no parquet", "cannot be read"),
        ("t.csv", b"a,b\n1,2,3\n4,5,6\n", "rows have more fields than the 2 of the header"),
        ("t.csv", b"a,b\n1,2,3,4\n", "rows have more fields than the 2 of the header"),
    ],
)
def test_read_table_refuses(tmp_path, name, content, words):
    """What is no table is refused with its reason."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TaskError, match=words):
        read_table(tmp_path / name)


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (["a", "b"] * 15, "classification"),
        ([True, False] * 15, "classification"),
        ([0, 1, 2] * 10, "classification"),
        ([0.0, 1.0] * 15, "classification"),
        (list(range(30)), "regression"),
        ([0.5, 1.5, 2.0] * 10, "regression"),
        (pd.Categorical(["x", "y"] * 15), "classification"),
    ],
)
def test_kind_is_inferred(target, kind):
    """Text, booleans, categories and few integers are classes; other numbers are not."""
    dataset = from_frame(pd.DataFrame({"x": np.arange(30.0), "y": target}), "y")
    assert kind == dataset.kind


def test_kind_is_forced():
    """A target of few integers is a number where the kind says so, and then nothing is noted."""
    dataset = from_frame(pd.DataFrame({"x": np.arange(30.0), "y": [1, 2, 3] * 10}), "y", kind="regression")
    assert ("regression", ()) == (dataset.kind, dataset.notes)


@pytest.mark.parametrize(
    ("change", "arguments", "words"),
    [
        ({}, {"target": "prise"}, "'prise' is not in the data; did you mean 'price'"),
        ({}, {"target": "colour", "kind": "regression"}, "needs numbers"),
        ({"price": [np.nan] * 3 + [1.5] * 57}, {}, "missing in 3 of 60 rows"),
        ({"price": 1.5}, {}, "in every row"),
        ({"price": [np.inf, *range(59)]}, {}, "infinite"),
        ({"size": [np.inf, -np.inf, *range(58)]}, {}, "'size' is infinite in 2 rows"),
        ({}, {"group": "shop"}, "group column 'shop'"),
        ({}, {"time": "when"}, "time column 'when'"),
        ({}, {"time": "colour"}, "neither a number nor a date"),
        ({}, {"drop": ["colours"]}, "drop column 'colours'.*'colour'"),
        ({}, {"drop": ["size", "colour", "sold", "on"]}, "No feature column"),
    ],
)
def test_from_frame_refuses(change, arguments, words):
    """Data that cannot be used is refused with the value, the rule and the remedy."""
    with pytest.raises(TaskError, match=words):
        from_frame(_frame().assign(**change), **{"target": "price", **arguments})


def test_too_few_rows_are_refused():
    """Nine rows are refused."""
    with pytest.raises(TaskError, match="9 rows"):
        from_frame(_frame(9), "price")


def test_columns_become_features():
    """Dates become calendar parts that vary, booleans integers, and useless columns go with a note."""
    frame = _frame().assign(
        nothing=np.nan, same=1, id=[f"id-{i}" for i in range(60)], text=[f"{i % 28 + 1}/02/2024" for i in range(60)]
    )
    dataset = from_frame(frame, "price")
    features = dataset.columns.apply(dataset.X)
    assert [
        "size",
        "colour",
        "sold_month",
        "sold_day",
        "sold_day_of_week",
        "on",
        "text_day",
        "text_day_of_week",
    ] == list(features.columns)
    assert "iu"[0] == features["on"].dtype.kind
    assert [1.0, 2.0] == list(features["text_day"][:2])
    assert {"nothing", "same", "id", "sold", "text"} == {note.split("'")[1] for note in dataset.notes}


def test_columns_of_new_rows():
    """New rows need the feature columns alone, in any order; a missing one is named."""
    dataset = from_frame(_frame(), "price")
    rows = dataset.X.iloc[:2]
    shuffled = rows[list(reversed(rows.columns))].assign(more=1)
    pd.testing.assert_frame_equal(dataset.columns.apply(rows), dataset.columns.apply(shuffled))
    with pytest.raises(TaskError, match="'colour' is not in the rows"):
        dataset.columns.apply(rows.drop(columns="colour"))


def test_odd_cells():
    """Decimals, nullable numbers, date objects, mixed objects and missing booleans have numbers or text."""
    n = 30
    frame = pd.DataFrame(
        {
            "nullable": pd.array([1, None, 3] * 10, dtype="Int64"),
            "maybe": [True, None, False] * 10,
            "day": [datetime.date(2024, 1, 1 + i % 20) for i in range(n)],
            "mixed": [1, "a", None] * 10,
            "lists": [[1], [2], [1]] * 10,
            "y": np.arange(n) / 7,
        }
    )
    features = (dataset := from_frame(frame, "y")).columns.apply(dataset.X)
    assert ["mixed", "lists"] == dataset.columns.categorical
    assert [1.0, 0.0] == list(features["maybe"].dropna()[:2])
    assert 10 == features["nullable"].isna().sum()
    assert ["1", "a"] == list(features["mixed"].dropna()[:2])


def test_time_orders_rows():
    """A time column sorts the rows, marks them as ordered and becomes calendar features."""
    frame = _frame().sample(frac=1, random_state=1)
    dataset = from_frame(frame, "price", time="sold")
    assert dataset.ordered
    assert dataset.X["sold"].is_monotonic_increasing
    train, test = holdout(dataset, share=0.25, seed=0)
    assert train.X["sold"].max() < test.X["sold"].min()
    assert (45, 15) == (len(train), len(test))


def test_running_number_is_no_feature():
    """A running number that gives the order is left out of the features."""
    dataset = from_frame(_frame().assign(step=range(60)), "price", time="step")
    assert "step" not in dataset.columns.features()


@pytest.mark.parametrize(
    ("values", "is_noted"),
    [
        (np.arange(60), True),
        (np.arange(1060, 1000, -1), True),
        (np.cumsum(np.arange(60) % 3 + 1), True),
        (np.arange(60) % 30, False),
        (np.arange(60) * 7 % 61, False),
        (np.arange(60) / 7, False),
    ],
)
def test_a_column_that_numbers_the_rows_is_kept_and_noted(values, is_noted):
    """Whether a number identifies its row is for the user to say."""
    dataset = from_frame(_frame().assign(id=values), "price")
    assert "id" in dataset.columns.features()
    assert is_noted == any("row number" in note and "--drop id" in note for note in dataset.notes)


def test_groups_stay_together():
    """A hold-out by groups shares no group with the rest, and the group column is no feature."""
    dataset = from_frame(_frame().assign(shop=np.arange(60) % 10), "price", group="shop")
    train, test = holdout(dataset, seed=3)
    assert set() == set(train.groups) & set(test.groups)
    assert "shop" not in dataset.X.columns


def test_groups_and_time_exclude_each_other():
    """A group that goes on would be on both sides of a split."""
    X, y = np.arange(60.0)[:, None] % 7, np.arange(60) / 7
    with pytest.raises(TaskError, match="give one of both"):
        from_arrays(X, y, groups=np.arange(60) % 6, ordered=True)


def test_rows_of_texts_and_numbers_keep_their_numbers():
    """A list of mixed rows is read column by column."""
    dataset = from_arrays([[n * 1.5, "ab"[n % 2]] for n in range(60)], [n * 2.0 + 0.1 for n in range(60)])
    assert ["x0"] == list(dataset.columns.features("numeric"))


def test_a_code_is_the_same_category_in_a_file_that_makes_floats_of_it():
    """Where a file has no letter among its codes, and an empty cell, they are read as numbers."""
    assert ["1", "2"] == to_text(pd.Series([1.0, 2.0, np.nan])).dropna().tolist()
    assert ["1", "A", "v1.0", "-2"] == to_text(pd.Series(["1.0", "A", "v1.0", "-2.0"])).tolist()
    assert ["1.5", "inf", "True"] == to_text(pd.Series([1.5, np.inf, True], dtype=object)).tolist()


def test_from_arrays_takes_arrays_and_frames():
    """Arrays and frames give the same data; the index of a frame does not matter."""
    X, y = np.arange(40.0).reshape(20, 2) % 7, np.arange(20) % 2
    dataset = from_arrays(X, y)
    frame = pd.DataFrame(X, columns=["x0", "x1"], index=range(100, 120))
    other = from_arrays(frame, pd.Series(y, index=frame.index))
    pd.testing.assert_frame_equal(dataset.columns.apply(dataset.X), other.columns.apply(other.X))
    pd.testing.assert_frame_equal(dataset.columns.apply(dataset.X), dataset.columns.apply(X))
    assert list(dataset.y) == list(other.y)


@pytest.mark.parametrize(
    ("X", "y", "words"),
    [
        (np.zeros(20), np.arange(20), "two dimensions"),
        (np.eye(20), np.arange(19), "19 values and X has 20 rows"),
        (np.eye(20), np.eye(20), "one dimension"),
    ],
)
def test_from_arrays_refuses_shapes(X, y, words):
    """Arrays that do not fit together are refused."""
    with pytest.raises(TaskError, match=words):
        from_arrays(X, y)


def test_facts_are_aggregates():
    """The facts count columns, levels, missing cells and classes."""
    frame = _frame().assign(size=[np.nan] * 6 + [1.0, 2.0] * 27, y=["yes", "no", "no"] * 20)
    card = facts(from_frame(frame, "y"))
    assert ("classification", 60, 7, 6, 1, 3) == (
        card.kind,
        card.n_rows,
        card.n_features,
        card.n_numeric,
        card.n_categorical,
        card.max_cardinality,
    )
    assert pytest.approx(6 / 420) == card.missing_share
    assert (2, pytest.approx(1 / 3)) == (card.n_classes, card.minority_share)


@given(n=st.integers(12, 80), share=st.floats(0.2, 0.5), seed=st.integers(0, 2**31))
@settings(max_examples=20)
def test_holdout_is_a_partition(n, share, seed):
    """Every row is on exactly one side, in the proportion of the classes, the same for the same seed."""
    dataset = from_arrays(np.arange(n, dtype=float)[:, None], np.arange(n) % 2)
    train, test = holdout(dataset, share=share, seed=seed)
    assert list(range(n)) == sorted([*train.X["x0"], *test.X["x0"]])
    assert abs(test.y.mean() - dataset.y.mean()) <= 1 / len(test)
    assert list(test.X["x0"]) == list(holdout(dataset, share=share, seed=seed)[1].X["x0"])


def test_holdout_needs_rows_of_every_class():
    """A class of one row cannot be on both sides."""
    dataset = from_arrays(np.arange(20.0)[:, None], ["a"] * 19 + ["b"])
    with pytest.raises(TaskError, match="one row only"):
        holdout(dataset, seed=0)


def test_modules_are_light():
    """Importing the modules loads neither pandas nor scikit-learn."""
    code = (
        "import sys, sllmbo.tuner.data, sllmbo.tuner.metrics, sllmbo.tuner.estimators, sllmbo.tuner.evaluation;"
        "print([m for m in ('pandas', 'sklearn', 'lightgbm') if m in sys.modules])"
    )
    assert (
        "[]" == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    )


_CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(),
    st.text(max_size=4),
    st.dates(),
    st.datetimes(),
    st.timedeltas(),
    st.decimals(allow_nan=False, allow_infinity=False, places=2),
    st.sampled_from(["2024-01-31", "31/12/2024", "2024-01-31 13:00", "1.2.3", ()]),
)
_COLUMN = st.one_of(
    st.lists(_CELLS, min_size=12, max_size=12),
    _CELLS.flatmap(lambda cell: st.lists(st.sampled_from([cell, None, cell]), min_size=12, max_size=12)),
    st.lists(st.datetimes(), min_size=12, max_size=12),
    st.lists(st.dates().map(str), min_size=12, max_size=12),
)


@given(columns=st.lists(_COLUMN, min_size=1, max_size=3))
@settings(max_examples=60)
def test_any_table_becomes_numbers_and_text(columns):
    """Whatever the cells hold, the features are plain numbers and text, or the table is refused with a reason."""
    frame = pd.DataFrame({f"c{i}": pd.Series(cells, dtype=object) for i, cells in enumerate(columns)})
    for table in (frame, frame.infer_objects()):
        try:
            dataset = from_frame(table.assign(y=np.arange(12) % 2), "y")
        except TaskError:
            continue
        features = dataset.columns.apply(dataset.X)
        assert dataset.columns.features() == list(features.columns)
        for name in dataset.columns.numeric:
            assert features[name].dtype.kind in "iuf"
        for name in dataset.columns.categorical:
            assert all(isinstance(cell, str) for cell in features[name].dropna())
        assert facts(dataset).n_features == features.shape[1]
