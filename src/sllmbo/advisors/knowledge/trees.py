"""
Averaged trees: random forest and extra trees.
"""

from __future__ import annotations

from sllmbo.advisors.knowledge._boosted import TUNABILITY_UNCHECKED
from sllmbo.advisors.knowledge._entry import KnownEstimator, StartingPoint
from sllmbo.space import Categorical, Float, Int, Parameter, SearchSpace, When
from sllmbo.task import DataFacts, Kind

_BREIMAN = "Breiman, Random Forests (2001)"
_GEURTS = "Geurts, Ernst and Wehenkel, Extremely Randomized Trees (2006)"
_GUIDE = "scikit-learn user guide, Forests of randomized trees"


def _space(kind: Kind, *, bootstrap: bool) -> SearchSpace:
    features: Parameter = Float(
        0.1,
        1.0,
        default=1.0,
        description="Share of the features tried at each split; fewer make the trees more unlike.",
    )
    if kind == "classification":
        features = Categorical(
            ("sqrt", "log2", 0.25, 0.5, 0.75, 1.0),
            default="sqrt",
            description="Features tried at each split: a function of their number, or a share; fewer make the trees "
            "more unlike.",
        )
    parameters: dict[str, Parameter] = {
        "n_estimators": Int(
            50, 500, log=True, default=100, description="Number of trees; more never hurt, but cost time."
        ),
        "max_features": features,
        "min_samples_leaf": Int(
            1, 50, log=True, default=1, description="Fewest rows in a leaf; more of them smooth the prediction."
        ),
        "bootstrap": Categorical(
            (True, False),
            default=bootstrap,
            description="Whether each tree sees a resample of the rows, or all of them.",
        ),
        "max_samples": Float(
            0.2,
            1.0,
            default=1.0,
            condition=When("bootstrap", (True,)),
            description="Size of a resample as a share of the rows; the default None means all, which is 1.0.",
        ),
    }
    if kind == "classification":
        parameters["criterion"] = Categorical(
            ("gini", "entropy"), default="gini", description="Impurity that the splits reduce."
        )
        parameters["class_weight"] = Categorical(
            (None, "balanced"), default=None, description="Whether rare classes weigh more, up to equal total weight."
        )
    return SearchSpace(parameters)


def _smooth_leaves(facts: DataFacts) -> StartingPoint:
    if facts.kind == "regression":
        return StartingPoint(
            "a third of the features",
            {"n_estimators": 300, "max_features": 0.333, "min_samples_leaf": 5},
            rationale="For regression, a third of the features per split and five rows per leaf are usual.",
            source="Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, section 15.3",
        )
    leaf = 5 if facts.n_rows > 5_000 else 2
    return StartingPoint(
        "smoother leaves",
        {"n_estimators": 300, "min_samples_leaf": leaf, "criterion": "entropy"},
        rationale=f"With {facts.n_rows} rows, leaves of {leaf} rows smooth the probabilities of full trees.",
        source=_GUIDE,
    )


def _rare_class(facts: DataFacts) -> StartingPoint | None:
    if facts.kind != "classification" or not 0 < facts.minority_share < 0.2:
        return None
    return StartingPoint(
        "rare class",
        {"n_estimators": 300, "min_samples_leaf": 3, "class_weight": "balanced"},
        rationale=f"The rarest class has {facts.minority_share:.0%} of the rows, so classes are weighted equally.",
        source="Chen, Liaw and Breiman, Using Random Forest to Learn Imbalanced Data (2004)",
    )


RANDOM_FOREST = KnownEstimator(
    name="random_forest",
    aliases=("randomforest", "randomforestclassifier", "randomforestregressor", "random forests"),
    class_paths={
        "classification": "sklearn.ensemble.RandomForestClassifier",
        "regression": "sklearn.ensemble.RandomForestRegressor",
    },
    spaces={
        "classification": _space("classification", bootstrap=True),
        "regression": _space("regression", bootstrap=True),
    },
    tuned_defaults={
        "classification": (
            StartingPoint(
                "tunability default",
                {"n_estimators": 500, "max_features": 0.25, "min_samples_leaf": 1, "max_samples": 0.7},
                rationale="The best single configuration over 38 data sets tries a quarter of the features on 70 % of "
                "the rows, with many trees (983, here 500).",
                source=TUNABILITY_UNCHECKED,
            ),
        ),
    },
    start_rules=(_smooth_leaves, _rare_class),
    source=(_GUIDE, _BREIMAN, TUNABILITY_UNCHECKED),
)

EXTRA_TREES = KnownEstimator(
    name="extra_trees",
    aliases=(
        "extratrees",
        "extratreesclassifier",
        "extratreesregressor",
        "extremely randomized trees",
        "extremely randomised trees",
    ),
    class_paths={
        "classification": "sklearn.ensemble.ExtraTreesClassifier",
        "regression": "sklearn.ensemble.ExtraTreesRegressor",
    },
    spaces={
        "classification": _space("classification", bootstrap=False),
        "regression": _space("regression", bootstrap=False),
    },
    start_rules=(_smooth_leaves, _rare_class),
    source=(_GUIDE, _GEURTS),
)
