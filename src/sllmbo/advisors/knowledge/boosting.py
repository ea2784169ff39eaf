"""
Gradient boosting: LightGBM, XGBoost, CatBoost, and scikit-learn's histogram gradient boosting.

Published tuned defaults were found with 1000 trees and early stopping. Tuning here has no early stopping, so they are
given with a number of trees that suits their learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sllmbo.advisors.knowledge._entry import KnownEstimator, StartingPoint
from sllmbo.space import Float, Int, Scalar, SearchSpace
from sllmbo.task import DataFacts

BETTER_BY_DEFAULT = "Holzmüller et al., Better by Default, arXiv 2407.04491 (pytabkit, DefaultParams)"
TUNABILITY = "Probst, Boulesteix and Bischl, Tunability, JMLR 20 (2019), table of optimal defaults"
_FRIEDMAN = "Friedman, Greedy Function Approximation (2001) and Stochastic Gradient Boosting (2002)"


@dataclass(frozen=True, slots=True)
class _Size:
    """How a boosted ensemble should be sized for the data."""

    name: str
    leaves: int
    depth: int
    rows_per_leaf: int
    learning_rate: float
    trees: int
    columns: float
    l2: float
    why: str


def _size_for(facts: DataFacts) -> _Size:
    """Small data: small trees and more regularisation; large data: larger trees and leaves that hold more rows."""
    columns = 0.4 if facts.n_features > 100 else 0.8
    if facts.n_rows < 2_000:
        why = f"{facts.n_rows} rows are few: small trees, a small learning rate and an L2 penalty guard against noise."
        return _Size("small data", 8, 3, max(5, min(20, facts.n_rows // 50)), 0.05, 200, columns, 2.0, why)
    if facts.n_rows < 20_000:
        why = f"{facts.n_rows} rows: a smaller learning rate with more trees, on samples of rows and features."
        return _Size("medium data", 31, 6, 20, 0.05, 300, columns, 1.0, why)
    why = f"{facts.n_rows} rows carry larger trees, whose leaves should hold more rows each."
    return _Size("large data", 127, 8, 100, 0.08, 500, columns, 1.0, why)


def _meta_tuned(preset: str, params: Mapping[str, Scalar], *, note: str = "") -> StartingPoint:
    trees = params.get("n_estimators", params.get("iterations"))
    return StartingPoint(
        "tuned default",
        params,
        rationale=f"{preset}, tuned over many data sets; {trees} trees instead of 1000 with early stopping.{note}",
        source=BETTER_BY_DEFAULT,
    )


def _few_of_a_class(facts: DataFacts) -> str | None:
    """Return a sentence if the rarest class has too few rows for leaves of the usual size, else None."""
    rarest = facts.minority_share * facts.n_rows
    if facts.kind != "classification" or not 0 < rarest < 200:
        return None
    return f"The rarest class has about {rarest:.0f} rows, so leaves must be allowed to hold few rows."


def _lightgbm_size(facts: DataFacts) -> StartingPoint:
    size = _size_for(facts)
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
        size.name, params, rationale=size.why, source=f"LightGBM documentation, Parameters Tuning; {_FRIEDMAN}"
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
    fixed={"subsample_freq": 1, "verbosity": -1},  # without a frequency, subsample does nothing
    tuned_defaults={
        "classification": (
            _meta_tuned(
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
            _meta_tuned(
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
    start_rules=(_lightgbm_size, _lightgbm_rare),
    source=(
        "LightGBM documentation, Parameters and Parameters Tuning",
        "Ke et al., LightGBM: A Highly Efficient Gradient Boosting Decision Tree (2017)",
        BETTER_BY_DEFAULT,
    ),
)


def _xgboost_size(facts: DataFacts) -> StartingPoint:
    size = _size_for(facts)
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
        size.name, params, rationale=size.why, source=f"XGBoost documentation, Notes on Parameter Tuning; {_FRIEDMAN}"
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
    tuned_defaults={
        "classification": (
            _meta_tuned(
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
            _meta_tuned(
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
    start_rules=(_xgboost_size,),
    source=(
        "XGBoost documentation, XGBoost Parameters and Notes on Parameter Tuning",
        "Chen and Guestrin, XGBoost: A Scalable Tree Boosting System (2016)",
        BETTER_BY_DEFAULT,
        TUNABILITY,
    ),
)


def _catboost_size(facts: DataFacts) -> StartingPoint:
    size = _size_for(facts)
    params = {
        "learning_rate": size.learning_rate,
        "iterations": size.trees,
        "depth": min(size.depth + 1, 8),
        "l2_leaf_reg": 3.0 * size.l2,
        "colsample_bylevel": size.columns,
    }
    return StartingPoint(size.name, params, rationale=size.why, source="CatBoost documentation, Parameter tuning")


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
    fixed={"verbose": False, "allow_writing_files": False},
    tuned_defaults={
        "classification": (
            _meta_tuned(
                "CB_TD",
                {"learning_rate": 0.08, "iterations": 300, "depth": 7, "l2_leaf_reg": 1e-3, "random_strength": 0.8},
                note=" Published l2_leaf_reg 1e-5 is not in the space.",
            ),
        ),
        "regression": (
            _meta_tuned(
                "CB_TD",
                {"learning_rate": 0.09, "iterations": 400, "depth": 9, "l2_leaf_reg": 1e-3, "random_strength": 0.0},
                note=" Published l2_leaf_reg 1e-5 is not in the space.",
            ),
        ),
    },
    start_rules=(_catboost_size,),
    source=(
        "CatBoost documentation, Training parameters and Parameter tuning",
        "Prokhorenkova et al., CatBoost: unbiased boosting with categorical features (2018)",
        BETTER_BY_DEFAULT,
    ),
)


def _histogram_size(facts: DataFacts) -> StartingPoint:
    size = _size_for(facts)
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
        source=f"scikit-learn user guide, Histogram-Based Gradient Boosting; {_FRIEDMAN}",
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
    start_rules=(_histogram_size,),
    source=("scikit-learn user guide, Histogram-Based Gradient Boosting", _FRIEDMAN),
)
