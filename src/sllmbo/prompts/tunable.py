"""
Which of an estimator's parameters are worth offering to be tuned: not what only changes speed, output or randomness.
"""

from __future__ import annotations

from collections.abc import Mapping
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
