"""
Gradient boosting of trees that grow leaf by leaf: LightGBM, and scikit-learn's histogram gradient boosting.
"""

from __future__ import annotations

from sllmbo.advisors.knowledge._boosted import (
    BETTER_BY_DEFAULT,
    FRIEDMAN,
    many_small_trees,
    meta_tuned,
    size_for,
)
from sllmbo.advisors.knowledge._entry import KnownEstimator, StartingPoint, weighted
from sllmbo.space import Float, Int, SearchSpace
from sllmbo.task import DataFacts


def _few_of_a_class(facts: DataFacts) -> str | None:
    """Return a sentence if the rarest class has too few rows for leaves of the usual size, else None."""
    rarest = facts.minority_share * facts.n_rows
    if facts.kind != "classification" or not 0 < rarest < 200:
        return None
    return f"The rarest class has about {rarest:.0f} rows, so leaves must be allowed to hold few rows."


def _lightgbm_size(facts: DataFacts) -> StartingPoint:
    size = size_for(facts)
    params = {
        "learning_rate": size.learning_rate,
        "n_estimators": size.trees,
        "num_leaves": size.leaves,
        "min_child_samples": size.rows_per_leaf,
        "subsample": 0.8,
        "colsample_bytree": size.columns,
        "reg_lambda": size.l2,
    }
    return StartingPoint(
        size.name, params, rationale=size.why, source=f"LightGBM documentation, Parameters Tuning; {FRIEDMAN}"
    )


def _lightgbm_thorough(facts: DataFacts) -> StartingPoint | None:
    return many_small_trees(
        {
            "learning_rate": "rate",
            "n_estimators": "trees",
            "num_leaves": "leaves",
            "min_child_samples": "rows",
            "subsample": "subsample",
            "colsample_bytree": "columns",
        },
        facts,
    )


def _lightgbm_rare(facts: DataFacts) -> StartingPoint | None:
    why = _few_of_a_class(facts)
    if why is None:
        return None
    params = {"min_child_samples": 5, "num_leaves": 15, "learning_rate": 0.05, "n_estimators": 200}
    return StartingPoint(
        "rare class", params, rationale=why, source="LightGBM documentation, Parameters Tuning (min_data_in_leaf)"
    )


LIGHTGBM_SPACE = SearchSpace(
    {
        "learning_rate": Float(
            0.01, 0.3, log=True, default=0.1, description="Shrinks what each tree adds; smaller needs more trees."
        ),
        "n_estimators": Int(
            50, 1000, log=True, default=100, description="Number of boosted trees; time grows with it."
        ),
        "num_leaves": Int(
            4, 256, log=True, default=31, description="Leaves per tree, the main control of how complex a tree is."
        ),
        "min_child_samples": Int(
            2, 200, log=True, default=20, description="Fewest rows in a leaf; more of them smooth the prediction."
        ),
        "subsample": Float(
            0.4,
            1.0,
            default=1.0,
            description="Share of the rows drawn for each tree (live because subsample_freq is 1).",
        ),
        "colsample_bytree": Float(0.3, 1.0, default=1.0, description="Share of the features drawn for each tree."),
        "reg_lambda": Float(0.0, 20.0, default=0.0, description="L2 penalty on the leaf values."),
    }
)

LIGHTGBM = KnownEstimator(
    name="lightgbm",
    aliases=("light gbm", "lgbm", "lgb", "lgbmclassifier", "lgbmregressor"),
    class_paths={"classification": "lightgbm.LGBMClassifier", "regression": "lightgbm.LGBMRegressor"},
    spaces={"classification": LIGHTGBM_SPACE, "regression": LIGHTGBM_SPACE},
    class_weights={"class_weight": weighted("balanced")},
    fixed={"subsample_freq": 1, "verbosity": -1},  # without a frequency, subsample does nothing
    tuned_defaults={
        "classification": (
            meta_tuned(
                "LGBM_TD",
                {
                    "learning_rate": 0.04,
                    "n_estimators": 400,
                    "num_leaves": 50,
                    "min_child_samples": 40,
                    "subsample": 0.75,
                    "colsample_bytree": 1.0,
                },
            ),
        ),
        "regression": (
            meta_tuned(
                "LGBM_TD",
                {
                    "learning_rate": 0.05,
                    "n_estimators": 400,
                    "num_leaves": 100,
                    "min_child_samples": 3,
                    "subsample": 0.7,
                    "colsample_bytree": 1.0,
                },
            ),
        ),
    },
    start_rules=(_lightgbm_size, _lightgbm_thorough, _lightgbm_rare),
    source=(
        "LightGBM documentation, Parameters and Parameters Tuning",
        "Ke et al., LightGBM: A Highly Efficient Gradient Boosting Decision Tree (2017)",
        BETTER_BY_DEFAULT,
    ),
)


def _histogram_size(facts: DataFacts) -> StartingPoint:
    size = size_for(facts)
    params = {
        "learning_rate": size.learning_rate,
        "max_iter": size.trees,
        "max_leaf_nodes": size.leaves,
        "min_samples_leaf": size.rows_per_leaf,
        "max_features": size.columns,
        "l2_regularization": size.l2,
    }
    return StartingPoint(
        size.name,
        params,
        rationale=size.why,
        source=f"scikit-learn user guide, Histogram-Based Gradient Boosting; {FRIEDMAN}",
    )


def _histogram_thorough(facts: DataFacts) -> StartingPoint | None:
    return many_small_trees(
        {
            "learning_rate": "rate",
            "max_iter": "trees",
            "max_leaf_nodes": "leaves",
            "min_samples_leaf": "rows",
            "max_features": "columns",
        },
        facts,
    )


HISTOGRAM_SPACE = SearchSpace(
    {
        "learning_rate": Float(
            0.01, 0.5, log=True, default=0.1, description="Shrinks what each tree adds; smaller needs more trees."
        ),
        "max_iter": Int(
            50, 1000, log=True, default=100, description="Most trees; above 10,000 rows early stopping may use fewer."
        ),
        "max_leaf_nodes": Int(
            4, 256, log=True, default=31, description="Leaves per tree, the main control of how complex a tree is."
        ),
        "min_samples_leaf": Int(
            2, 200, log=True, default=20, description="Fewest rows in a leaf; more of them smooth the prediction."
        ),
        "l2_regularization": Float(0.0, 20.0, default=0.0, description="L2 penalty on the leaf values."),
        "max_features": Float(0.2, 1.0, default=1.0, description="Share of the features drawn for each split."),
    }
)

HIST_GRADIENT_BOOSTING = KnownEstimator(
    name="hist_gradient_boosting",
    aliases=(
        "histgradientboosting",
        "histgradientboostingclassifier",
        "histgradientboostingregressor",
        "histogram gradient boosting",
        "hgb",
        "hgbt",
    ),
    class_paths={
        "classification": "sklearn.ensemble.HistGradientBoostingClassifier",
        "regression": "sklearn.ensemble.HistGradientBoostingRegressor",
    },
    spaces={"classification": HISTOGRAM_SPACE, "regression": HISTOGRAM_SPACE},
    class_weights={"class_weight": weighted("balanced")},
    tuned_defaults={
        "classification": (
            meta_tuned(
                "LGBM_TD",
                {"learning_rate": 0.04, "max_iter": 400, "max_leaf_nodes": 50, "min_samples_leaf": 40},
                note=" Carried over from LightGBM, without its row sampling.",
            ),
        ),
        "regression": (
            meta_tuned(
                "LGBM_TD",
                {"learning_rate": 0.05, "max_iter": 400, "max_leaf_nodes": 100, "min_samples_leaf": 3},
                note=" Carried over from LightGBM, without its row sampling.",
            ),
        ),
    },
    start_rules=(_histogram_size, _histogram_thorough),
    source=("scikit-learn user guide, Histogram-Based Gradient Boosting", FRIEDMAN, BETTER_BY_DEFAULT),
)
