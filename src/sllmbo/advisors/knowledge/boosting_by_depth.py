"""
Gradient boosting of trees that grow level by level: XGBoost and CatBoost.
"""

from __future__ import annotations

from sllmbo.advisors.knowledge._boosted import (
    BETTER_BY_DEFAULT,
    FRIEDMAN,
    TUNABILITY,
    many_small_trees,
    meta_tuned,
    size_for,
)
from sllmbo.advisors.knowledge._entry import KnownEstimator, StartingPoint, weighted
from sllmbo.space import Float, Int, SearchSpace
from sllmbo.task import DataFacts


def _xgboost_size(facts: DataFacts) -> StartingPoint:
    size = size_for(facts)
    params = {
        "learning_rate": size.learning_rate,
        "n_estimators": size.trees,
        "max_depth": size.depth,
        "min_child_weight": 5.0 if size.name == "large data" else 1.0,
        "subsample": 0.8,
        "colsample_bytree": size.columns,
        "reg_lambda": size.l2,
    }
    return StartingPoint(
        size.name, params, rationale=size.why, source=f"XGBoost documentation, Notes on Parameter Tuning; {FRIEDMAN}"
    )


def _xgboost_thorough(facts: DataFacts) -> StartingPoint | None:
    return many_small_trees(
        {
            "learning_rate": "rate",
            "n_estimators": "trees",
            "max_depth": "depth",
            "subsample": "subsample",
            "colsample_bytree": "columns",
        },
        facts,
    )


XGBOOST_SPACE = SearchSpace(
    {
        "learning_rate": Float(
            0.01, 0.5, log=True, default=0.3, description="Shrinks what each tree adds; smaller needs more trees."
        ),
        "n_estimators": Int(
            50, 1000, log=True, default=100, description="Number of boosted trees; time grows with it."
        ),
        "max_depth": Int(2, 12, default=6, description="Depth of a tree, the main control of how complex it is."),
        "min_child_weight": Float(
            1e-3, 64.0, log=True, default=1.0, description="Least sum of hessians in a leaf; more makes splits rarer."
        ),
        "subsample": Float(0.4, 1.0, default=1.0, description="Share of the rows drawn for each tree."),
        "colsample_bytree": Float(0.3, 1.0, default=1.0, description="Share of the features drawn for each tree."),
        "reg_lambda": Float(1e-3, 100.0, log=True, default=1.0, description="L2 penalty on the leaf values."),
        "reg_alpha": Float(
            0.0, 10.0, default=0.0, description="L1 penalty on the leaf values, which sets some to zero."
        ),
    }
)

XGBOOST = KnownEstimator(
    name="xgboost",
    aliases=("xgb", "xgbclassifier", "xgbregressor", "extreme gradient boosting"),
    class_paths={"classification": "xgboost.XGBClassifier", "regression": "xgboost.XGBRegressor"},
    spaces={"classification": XGBOOST_SPACE, "regression": XGBOOST_SPACE},
    class_weights={
        "scale_pos_weight": Float(
            0.05, 20.0, log=True, default=1.0, description="Weight of the second of two classes; 1 weighs rows alike."
        )
    },
    tuned_defaults={
        "classification": (
            meta_tuned(
                "XGB_TD",
                {
                    "learning_rate": 0.08,
                    "n_estimators": 250,
                    "max_depth": 6,
                    "min_child_weight": 1e-3,
                    "subsample": 0.65,
                    "reg_lambda": 1e-3,
                    "reg_alpha": 0.0,
                },
                note=" Published min_child_weight 5e-6, reg_lambda 0 and colsample_bylevel 0.9 are not in the space.",
            ),
            StartingPoint(
                "tunability default",
                {
                    "learning_rate": 0.018,
                    "n_estimators": 1000,
                    "max_depth": 12,
                    "min_child_weight": 2.06,
                    "subsample": 0.839,
                    "colsample_bytree": 0.752,
                    "reg_lambda": 0.982,
                    "reg_alpha": 1.113,
                },
                rationale="The best configuration over 38 data sets, with 1000 trees (of 4168) and depth 12 (of 13).",
                source=TUNABILITY,
            ),
        ),
        "regression": (
            meta_tuned(
                "XGB_TD",
                {
                    "learning_rate": 0.05,
                    "n_estimators": 400,
                    "max_depth": 9,
                    "min_child_weight": 2.0,
                    "subsample": 0.7,
                    "reg_lambda": 1e-3,
                },
                note=" Published reg_lambda 0 is not in the space.",
            ),
        ),
    },
    start_rules=(_xgboost_size, _xgboost_thorough),
    source=(
        "XGBoost documentation, XGBoost Parameters and Notes on Parameter Tuning",
        "Chen and Guestrin, XGBoost: A Scalable Tree Boosting System (2016)",
        BETTER_BY_DEFAULT,
        TUNABILITY,
    ),
)


def _catboost_size(facts: DataFacts) -> StartingPoint:
    size = size_for(facts)
    params = {
        "learning_rate": size.learning_rate,
        "iterations": size.trees,
        "depth": min(size.depth + 1, 8),
        "l2_leaf_reg": 3.0 * size.l2,
        "colsample_bylevel": size.columns,
    }
    return StartingPoint(size.name, params, rationale=size.why, source="CatBoost documentation, Parameter tuning")


def _catboost_thorough(facts: DataFacts) -> StartingPoint | None:
    return many_small_trees(
        {
            "learning_rate": "rate",
            "iterations": "trees",
            "depth": "depth",
            "colsample_bylevel": "columns",
        },
        facts,
    )


CATBOOST_SPACE = SearchSpace(
    {
        "learning_rate": Float(
            0.01,
            0.3,
            log=True,
            default=0.03,
            description="Shrinks what each tree adds; 0.03 is the default once l2_leaf_reg is set, which turns the "
            "automatic choice off.",
        ),
        "iterations": Int(50, 1000, log=True, default=1000, description="Number of boosted trees; time grows with it."),
        "depth": Int(3, 10, default=6, description="Depth of the symmetric trees; time doubles with each level."),
        "l2_leaf_reg": Float(1e-3, 50.0, log=True, default=3.0, description="L2 penalty on the leaf values."),
        "random_strength": Float(0.0, 5.0, default=1.0, description="Noise added to the scores of splits."),
        "colsample_bylevel": Float(
            0.3, 1.0, default=1.0, description="Share of the features drawn for each split (rsm)."
        ),
    }
)

CATBOOST = KnownEstimator(
    name="catboost",
    aliases=("cat boost", "catboostclassifier", "catboostregressor"),
    class_paths={"classification": "catboost.CatBoostClassifier", "regression": "catboost.CatBoostRegressor"},
    spaces={"classification": CATBOOST_SPACE, "regression": CATBOOST_SPACE},
    class_weights={"auto_class_weights": weighted("Balanced")},
    fixed={"verbose": False, "allow_writing_files": False},
    tuned_defaults={
        "classification": (
            meta_tuned(
                "CB_TD",
                {"learning_rate": 0.08, "iterations": 300, "depth": 7, "l2_leaf_reg": 1e-3, "random_strength": 0.8},
                note=" Published l2_leaf_reg 1e-5 is not in the space.",
            ),
        ),
        "regression": (
            meta_tuned(
                "CB_TD",
                {"learning_rate": 0.09, "iterations": 400, "depth": 9, "l2_leaf_reg": 1e-3, "random_strength": 0.0},
                note=" Published l2_leaf_reg 1e-5 is not in the space.",
            ),
        ),
    },
    start_rules=(_catboost_size, _catboost_thorough),
    source=(
        "CatBoost documentation, Training parameters and Parameter tuning",
        "Prokhorenkova et al., CatBoost: unbiased boosting with categorical features (2018)",
        BETTER_BY_DEFAULT,
    ),
)
