"""
Which of an estimator's parameters are worth offering to be tuned: not what only changes speed, output or randomness.
And which of the others decide what a tuned one does.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Any

from sllmbo.task import DataFacts

_NEVER = frozenset(
    (
        # speed and hardware
        *(
            "n_jobs",
            "nthread",
            "num_threads",
            "thread_count",
            "device",
            "device_type",
            "devices",
            "task_type",
            "gpu_id",
        ),
        *("cache_size", "gpu_ram_part", "used_ram_limit", "pinned_memory_size", "subsample_for_bin", "force_col_wise"),
        *("force_row_wise", "copy_X", "copy_X_train", "precompute"),
        # randomness
        *("random_state", "random_seed", "seed", "shuffle"),
        # output and bookkeeping
        *("verbosity", "verbose", "silent", "logging_level", "metric_period", "importance_type", "callbacks", "name"),
        *("train_dir", "allow_writing_files", "save_snapshot", "snapshot_file", "snapshot_interval", "metadata"),
        *(
            "validate_parameters",
            "oob_score",
            "warm_start",
            "probability",
            "break_ties",
            "custom_metric",
            "eval_metric",
        ),
        # what the data or the user decide
        *("missing", "feature_types", "enable_categorical", "categorical_features", "cat_features", "text_features"),
        *("embedding_features", "ignored_features", "monotone_constraints", "monotonic_cst", "interaction_constraints"),
        *("interaction_cst", "num_class", "classes_count", "class_names", "feature_weights"),
    )
)
_OF_CLASSES = frozenset(
    (
        *("class_weight", "class_weights", "auto_class_weights", "is_unbalance", "scale_pos_weight", "multi_class"),
        *("decision_function_shape", "pos_bagging_fraction", "neg_bagging_fraction"),
    )
)
_OF_CATEGORIES = frozenset(
    ("max_cat_threshold", "max_cat_to_onehot", "min_data_per_group", "one_hot_max_size", "max_ctr_complexity")
)


_DEPENDS: tuple[tuple[str, str, tuple[Any, ...]], ...] = (
    ("subsample", "subsample_freq", (0,)),  # LightGBM
    ("bagging_fraction", "bagging_freq", (0,)),  # LightGBM's native names
    ("num_leaves", "max_depth", ()),  # LightGBM
    ("subsample", "bootstrap_type", ("Bayesian", "No")),  # CatBoost
    ("max_samples", "bootstrap", (False,)),  # forests
    ("max_iter", "early_stopping", ()),  # scikit-learn's boosting and networks
    ("learning_rate_init", "solver", ("lbfgs",)),  # networks
    ("degree", "kernel", ("linear", "rbf", "sigmoid")),  # support vector machines
    ("coef0", "kernel", ("linear", "rbf")),
    ("gamma", "kernel", ("linear",)),
)
"""Of which parameter another decides what it does, and the values of that with which it does nothing."""


def dependencies(space: Container[str], params: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """
    Yield each parameter of *space* of which one that is not tuned decides what it does, that one, and if it is idle.

    Args:
        space: The names of what is tuned.
        params: What the estimator has, with the values that are set; names of a pipeline's steps stand in front.
    """
    for other, value in params.items():
        step, underlines, own = other.rpartition("__")
        for name, decider, idle in _DEPENDS:
            if own == decider and other not in space and value is not None and f"{step}{underlines}{name}" in space:
                yield f"{step}{underlines}{name}", other, value in idle


def tunable(params: Mapping[str, Any], data: DataFacts | None) -> dict[str, Any]:
    """Return those of an estimator's parameters that can be tuned sensibly on *data*."""
    idle = set(_NEVER)
    if data is not None and data.kind == "regression":
        idle |= _OF_CLASSES
    no_categories = data is not None and data.n_rows > 0 and not data.n_categorical
    return {
        name: value
        for name, value in params.items()
        if name not in idle and not (no_categories and (name in _OF_CATEGORIES or name.startswith("cat_")))
    }
