"""
How features are prepared for an estimator that cannot take them as they are, as parameters that can be tuned.

The first choice of each is what is done where nothing is tuned. Estimators that take categories and missing values
themselves, pipelines, and instances that take the rows as they are have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, QuantileTransformer, StandardScaler, TargetEncoder

from sllmbo.space import Categorical
from sllmbo.task import Kind
from sllmbo.tuner.preprocess import Columns

SCALING = Categorical(
    ("standard", "quantile", "none"),
    default="standard",
    description="Numbers get mean 0 and deviation 1, or a normal distribution by their ranks, or stay as they are.",
)
ENCODING: Mapping[bool, Categorical] = {
    trees: Categorical(
        choices,
        default=choices[0],
        description="A category becomes one column per level, its code, or the mean target of its level.",
    )
    for trees, choices in ((False, ("one_hot", "target")), (True, ("ordinal", "one_hot", "target")))
}
IMPUTATION = Categorical(
    ("median", "indicator"),
    default="median",
    description="Missing numbers become the median; indicator adds a column that tells where they were missing.",
)


def choices(columns: Columns, *, trees: bool, missing: bool) -> dict[str, Categorical]:
    """
    Return what of the preparation can be tuned, by name.

    Args:
        columns: The plan that gives the features.
        trees: Whether the estimator is made of trees, to which scales mean nothing.
        missing: Whether a number is missing anywhere.
    """
    found = {} if trees or not columns.numeric else {"scaling": SCALING}
    if columns.categorical:
        found["encoding"] = ENCODING[trees]
    if missing:
        found["imputation"] = IMPUTATION
    return found


def dense(
    columns: Columns, kind: Kind, *, scaling: str = "none", encoding: str = "ordinal", imputation: str = "median"
) -> ColumnTransformer:
    """
    Return a transformer of features into dense numbers without missing values.

    Args:
        columns: The plan that gave the features.
        kind: The kind of the data, for encoding by the target.
        scaling: One of `SCALING`.
        encoding: One of `ENCODING`; of one column per level, rare levels share one.
        imputation: One of `IMPUTATION`.
    """
    impute = SimpleImputer(strategy="median", keep_empty_features=True, add_indicator=imputation == "indicator")
    scalers: Mapping[str, Any] = {
        "standard": StandardScaler(),
        "quantile": QuantileTransformer(n_quantiles=200, output_distribution="normal", random_state=0),
    }
    numbers = Pipeline([("impute", impute), ("scale", scalers[scaling])]) if scaling in scalers else impute
    encoders: Mapping[str, Any] = {
        "one_hot": OneHotEncoder(
            handle_unknown="infrequent_if_exist", min_frequency=5, max_categories=50, sparse_output=False
        ),
        "ordinal": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
        "target": TargetEncoder(target_type="continuous" if kind == "regression" else "auto", random_state=0),
    }
    return ColumnTransformer(
        [("numeric", numbers, columns.numeric), ("categorical", encoders[encoding], columns.categorical)]
    )
