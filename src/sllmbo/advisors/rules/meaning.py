"""
What a parameter does, told from its name: whether it makes the estimator more complex, and whether it costs memory.
"""

from __future__ import annotations

from collections.abc import Mapping

from sllmbo.advisors.rules.view import completed
from sllmbo.errors import SpaceError
from sllmbo.space import Categorical, Scalar, SearchSpace

_SYNONYMS = {
    "eta": "learning_rate",
    "lr": "learning_rate",
    "iterations": "n_estimators",
    "num_iterations": "n_estimators",
    "num_boost_round": "n_estimators",
    "num_trees": "n_estimators",
    "n_trees": "n_estimators",
    "depth": "max_depth",
    "max_leaves": "num_leaves",
    "min_data_in_leaf": "min_child_samples",
    "bagging_fraction": "subsample",
    "feature_fraction": "colsample_bytree",
    "rsm": "colsample_bylevel",
    "lambda": "reg_lambda",
    "lambda_l2": "reg_lambda",
    "lambda_l1": "reg_alpha",
    "l2_leaf_reg": "reg_lambda",
    "l2_regularization": "reg_lambda",
}

_COMPLEXITY = {
    **dict.fromkeys(
        ("max_depth", "num_leaves", "max_leaf_nodes", "hidden_layer_sizes", "C", "subsample", "degree", "max_samples"),
        1,
    ),
    **dict.fromkeys(("colsample_bytree", "colsample_bylevel", "max_features", "learning_rate", "n_estimators"), 1),
    **dict.fromkeys(("min_child_samples", "min_samples_leaf", "min_samples_split", "min_child_weight"), -1),
    **dict.fromkeys(("reg_lambda", "reg_alpha", "alpha", "ccp_alpha", "min_split_gain", "weight_decay"), -1),
    **dict.fromkeys(("n_neighbors", "dropout", "epsilon", "random_strength"), -1),
}

_SIZES = (
    *("n_estimators", "max_iter", "max_depth", "num_leaves", "max_leaf_nodes", "max_bin", "border_count", "degree"),
    *("hidden_layer_sizes", "hidden_size", "width", "units", "n_layers", "batch_size"),
)

_RATES = ("learning_rate", "learning_rate_init")
_ROUNDS = ("n_estimators", "max_iter")


def canonical(name: str) -> str:
    """Return the usual name of a parameter, without the prefix of a pipeline step ("clf__eta" is learning_rate)."""
    bare = name.rpartition("__")[2]
    return _SYNONYMS.get(bare, bare)


def complexity(name: str, space: SearchSpace) -> int:
    """Return 1 if raising the parameter makes the estimator fit closer, -1 if it regularises, 0 if that is unknown."""
    meaning = canonical(name)
    if isinstance(space[name], Categorical):
        return 0
    if meaning == "gamma":  # the reach of a kernel, or the least gain of a split
        return 1 if any(canonical(other) in ("C", "kernel") for other in space) else -1
    return _COMPLEXITY.get(meaning, 0)


def is_size(name: str, space: SearchSpace) -> bool:
    """Tell whether the parameter sets how much memory and time a fit takes."""
    return canonical(name) in _SIZES and not isinstance(space[name], Categorical)


def rate_and_rounds(space: SearchSpace) -> tuple[str, str] | None:
    """Return the names of the learning rate and of the number of rounds, which trade against each other, or None."""
    numeric = {canonical(name): name for name, parameter in space.items() if not isinstance(parameter, Categorical)}
    rate = next((numeric[name] for name in _RATES if name in numeric), None)
    rounds = next((numeric[name] for name in _ROUNDS if name in numeric), None)
    return (rate, rounds) if rate and rounds else None


def translated(space: SearchSpace, values: Mapping[str, Scalar]) -> dict[str, Scalar] | None:
    """Return the configuration of *space* that *values*, named as in the library, mean; None if none of them fits."""
    found = fitting(space, values)
    return completed(space, found) if found else None


def fitting(space: SearchSpace, values: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return what of *values*, named as in the library, *space* has, as near as it can be had."""
    known = {canonical(name): value for name, value in values.items()}
    found: dict[str, Scalar] = {}
    for name, parameter in space.items():
        if canonical(name) in known:
            try:
                found[name] = parameter.repair(known[canonical(name)])
            except SpaceError:
                continue
    return found
