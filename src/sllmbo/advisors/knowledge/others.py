"""
Support vector machines, linear estimators, nearest neighbours, and multi-layer perceptrons.

Ridge, elastic net and nearest neighbours have few parameters that change their predictions; solvers, tolerances and
index structures are left out, so these spaces are smaller than the others.
"""

from __future__ import annotations

import math

from sllmbo.advisors.knowledge._boosted import TUNABILITY_UNCHECKED
from sllmbo.advisors.knowledge._entry import KnownEstimator, StartingPoint
from sllmbo.space import Categorical, Float, Int, Parameter, SearchSpace, When
from sllmbo.task import DataFacts, Kind

_LINEAR_GUIDE = "scikit-learn user guide, Linear Models"
_LIBSVM_GUIDE = "Hsu, Chang and Lin, A Practical Guide to Support Vector Classification (2003)"
_ELEMENTS = "Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, chapter 3"
_CLASS_WEIGHT = Categorical(
    (None, "balanced"), default=None, description="Whether rare classes weigh more, up to equal total weight."
)
_INTERCEPT = Categorical((True, False), default=True, description="Whether a constant term is fitted.")
_POSITIVE = Categorical(
    (False, True), default=False, description="Whether the coefficients are kept from being negative."
)


def _svm_space(kind: Kind) -> SearchSpace:
    parameters: dict[str, Parameter] = {
        "kernel": Categorical(
            ("rbf", "poly", "linear"), default="rbf", description="Shape of the similarity between rows."
        ),
        "C": Float(
            1e-2, 1e3, log=True, default=1.0, description="Weight of errors against smoothness; more fits closer."
        ),
        "gamma": Categorical(
            ("scale", 0.0005, 0.005, 0.05, 0.5),
            default="scale",
            condition=When("kernel", ("rbf", "poly")),
            description="Reach of a row, larger is shorter; scale means 1 / (features * variance).",
        ),
        "degree": Int(2, 5, default=3, condition=When("kernel", ("poly",)), description="Degree of the polynomial."),
        "coef0": Float(
            0.0, 2.0, default=0.0, condition=When("kernel", ("poly",)), description="Weight of the lower degrees."
        ),
    }
    if kind == "classification":
        parameters["class_weight"] = _CLASS_WEIGHT
    else:
        parameters["epsilon"] = Float(
            1e-3, 1.0, log=True, default=0.1, description="Errors below it cost nothing, in units of the target."
        )
    return SearchSpace(parameters)


def _svm_kernel(facts: DataFacts) -> StartingPoint:
    if facts.n_features > facts.n_rows:
        return StartingPoint(
            "more features than rows",
            {"kernel": "linear", "C": 0.1},
            rationale=f"With {facts.n_features} features for {facts.n_rows} rows, a linear kernel is usually as good.",
            source=_LIBSVM_GUIDE,
        )
    return StartingPoint(
        "larger C",
        {"kernel": "rbf", "C": 10.0, "gamma": "scale"},
        rationale="On scaled features the best C of an RBF kernel tends to lie above its default of 1.",
        source=_LIBSVM_GUIDE,
    )


SVM = KnownEstimator(
    name="svm",
    aliases=("svc", "svr", "support vector machine", "support vector machines"),
    class_paths={"classification": "sklearn.svm.SVC", "regression": "sklearn.svm.SVR"},
    spaces={"classification": _svm_space("classification"), "regression": _svm_space("regression")},
    fixed={"max_iter": 200_000},  # else a polynomial with a large C, which does not converge, takes minutes
    tuned_defaults={
        "classification": (
            StartingPoint(
                "tunability default",
                {"kernel": "rbf", "C": 682.0, "gamma": 0.005},
                rationale="The best single configuration over 38 data sets pairs a wide kernel with a large C.",
                source=TUNABILITY_UNCHECKED,
            ),
        ),
    },
    start_rules=(_svm_kernel,),
    source=("scikit-learn user guide, Support Vector Machines", _LIBSVM_GUIDE, TUNABILITY_UNCHECKED),
)


def _penalty_start(facts: DataFacts) -> StartingPoint:
    if facts.n_features * 10 > facts.n_rows:
        return StartingPoint(
            "many features",
            {"C": 0.05},
            rationale=f"{facts.n_features} features for {facts.n_rows} rows ask for a stronger penalty than C=1.",
            source=_ELEMENTS,
        )
    return StartingPoint(
        "weak penalty",
        {"C": 20.0, "max_iter": 300},
        rationale=f"{facts.n_rows} rows determine {facts.n_features} coefficients well, so the penalty can be weak.",
        source=_ELEMENTS,
    )


def _weighted_start(facts: DataFacts) -> StartingPoint | None:
    if not 0 < facts.minority_share < 0.2:
        return None
    return StartingPoint(
        "rare class",
        {"class_weight": "balanced"},
        rationale=f"The rarest class has {facts.minority_share:.0%} of the rows, so classes are weighted equally.",
        source="King and Zeng, Logistic Regression in Rare Events Data (2001)",
    )


LOGISTIC_REGRESSION = KnownEstimator(
    name="logistic_regression",
    aliases=("logisticregression", "logreg", "logit"),
    class_paths={"classification": "sklearn.linear_model.LogisticRegression"},
    spaces={
        "classification": SearchSpace(
            {
                "C": Float(
                    1e-4, 1e4, log=True, default=1.0, description="Inverse of the penalty; smaller shrinks more."
                ),
                "solver": Categorical(
                    ("lbfgs", "saga"), default="lbfgs", description="lbfgs knows the L2 penalty only, saga also L1."
                ),
                "l1_ratio": Float(
                    0.0,
                    1.0,
                    default=0.0,
                    condition=When("solver", ("saga",)),
                    description="Share of L1 in the penalty; L1 drops features.",
                ),
                "class_weight": _CLASS_WEIGHT,
                "max_iter": Int(
                    50, 1000, log=True, default=100, description="Most iterations; too few end before convergence."
                ),
            }
        )
    },
    start_rules=(_penalty_start, _weighted_start),
    source=(_LINEAR_GUIDE, _ELEMENTS),
)

_RIDGE_ALPHA = Float(1e-4, 1e4, log=True, default=1.0, description="Weight of the L2 penalty; more shrinks more.")


def _ridge_start(facts: DataFacts) -> StartingPoint:
    alpha = float(min(max(facts.n_features, 2), 1_000)) if facts.n_features * 10 > facts.n_rows else 0.05
    return StartingPoint(
        "penalty by shape",
        {"alpha": alpha},
        rationale=f"{facts.n_features} features for {facts.n_rows} rows suggest a penalty of about {alpha:g}.",
        source=_ELEMENTS,
    )


RIDGE = KnownEstimator(
    name="ridge",
    aliases=("ridgeclassifier", "ridge regression", "ridge classifier"),
    class_paths={"classification": "sklearn.linear_model.RidgeClassifier", "regression": "sklearn.linear_model.Ridge"},
    spaces={
        "classification": SearchSpace(
            {
                "alpha": _RIDGE_ALPHA,
                "fit_intercept": _INTERCEPT,
                "positive": _POSITIVE,
                "class_weight": _CLASS_WEIGHT,
            }
        ),
        "regression": SearchSpace({"alpha": _RIDGE_ALPHA, "fit_intercept": _INTERCEPT, "positive": _POSITIVE}),
    },
    start_rules=(_ridge_start,),
    source=(_LINEAR_GUIDE, _ELEMENTS),
)


def _path_start(facts: DataFacts) -> StartingPoint:
    return StartingPoint(
        "weak penalty",
        {"alpha": 0.01, "l1_ratio": 0.9 if facts.n_features > 50 else 0.5},
        rationale="On a scaled target alpha=1 often drops every feature; the best of a path lies far below it.",
        source="Friedman, Hastie and Tibshirani, Regularization Paths via Coordinate Descent (2010)",
    )


ELASTIC_NET = KnownEstimator(
    name="elastic_net",
    aliases=("elasticnet",),
    class_paths={"regression": "sklearn.linear_model.ElasticNet"},
    spaces={
        "regression": SearchSpace(
            {
                "alpha": Float(
                    1e-4, 100.0, log=True, default=1.0, description="Weight of the penalty, in the target's scale."
                ),
                "l1_ratio": Float(0.01, 1.0, default=0.5, description="Share of L1 in the penalty; L1 drops features."),
                "fit_intercept": _INTERCEPT,
                "positive": _POSITIVE,
            }
        )
    },
    start_rules=(_path_start,),
    source=(_LINEAR_GUIDE, "Zou and Hastie, Regularization and Variable Selection via the Elastic Net (2005)"),
)

_KNN_SPACE = SearchSpace(
    {
        "n_neighbors": Int(
            1, 100, log=True, default=5, description="Neighbours that vote; more smooth the prediction."
        ),
        "weights": Categorical(
            ("uniform", "distance"), default="uniform", description="Whether nearer neighbours weigh more."
        ),
        "metric": Categorical(
            ("minkowski", "chebyshev", "canberra"), default="minkowski", description="How distance is measured."
        ),
        "p": Float(
            1.0,
            4.0,
            default=2.0,
            condition=When("metric", ("minkowski",)),
            description="Power of the Minkowski distance: 1 is Manhattan, 2 is Euclidean.",
        ),
    }
)


def _root_of_rows(facts: DataFacts) -> StartingPoint:
    k = min(max(round(math.sqrt(facts.n_rows)), 1), 100)
    return StartingPoint(
        "root of the rows",
        {"n_neighbors": k, "weights": "distance", "p": 1.0},
        rationale=f"About the square root of {facts.n_rows} rows as neighbours (at most 100), near ones weighing more.",
        source="Duda, Hart and Stork, Pattern Classification, section 4.4",
    )


KNN = KnownEstimator(
    name="knn",
    aliases=(
        "k nn",
        "kneighbors",
        "kneighborsclassifier",
        "kneighborsregressor",
        "nearest neighbors",
        "nearest neighbours",
        "nearest neighbor",
        "nearest neighbour",
    ),
    class_paths={
        "classification": "sklearn.neighbors.KNeighborsClassifier",
        "regression": "sklearn.neighbors.KNeighborsRegressor",
    },
    spaces={"classification": _KNN_SPACE, "regression": _KNN_SPACE},
    within_rows=("n_neighbors",),
    tuned_defaults={
        "classification": (
            StartingPoint(
                "tunability default",
                {"n_neighbors": 30, "weights": "distance"},
                rationale="The best single number of weighted neighbours over 38 data sets is 30.",
                source=TUNABILITY_UNCHECKED,
            ),
        ),
    },
    start_rules=(_root_of_rows,),
    source=("scikit-learn user guide, Nearest Neighbors", TUNABILITY_UNCHECKED),
)

_MLP_SPACE = SearchSpace(
    {
        "hidden_layer_sizes": Int(
            8, 512, log=True, default=100, description="Units of the one hidden layer; the default (100,) is 100."
        ),
        "learning_rate_init": Float(1e-4, 0.1, log=True, default=1e-3, description="First step size of Adam."),
        "alpha": Float(1e-6, 10.0, log=True, default=1e-4, description="Weight of the L2 penalty."),
        "activation": Categorical(
            ("relu", "tanh", "logistic"), default="relu", description="Nonlinearity of the hidden units."
        ),
        "batch_size": Int(
            16,
            512,
            log=True,
            default=200,
            description="Rows per step; the default auto is 200, or all if there are fewer.",
        ),
        "max_iter": Int(50, 500, log=True, default=200, description="Most passes over the data; fewer stop earlier."),
        "early_stopping": Categorical(
            (False, True), default=False, description="Whether a tenth of the rows is held out to stop in time."
        ),
    }
)


def _network_size(facts: DataFacts) -> StartingPoint:
    if facts.n_rows < 2_000:
        params = {"hidden_layer_sizes": 50, "alpha": 0.1, "learning_rate_init": 3e-3, "batch_size": 32}
        why = f"{facts.n_rows} rows are few: a small layer, a strong penalty and small batches."
    else:
        params = {"hidden_layer_sizes": 256, "alpha": 1e-3, "early_stopping": True, "batch_size": 256}
        why = f"{facts.n_rows} rows feed a wide layer, and leave enough to hold a tenth out for early stopping."
    return StartingPoint(
        "network by size",
        params,
        rationale=why,
        source="scikit-learn user guide, Neural network models (supervised), Tips on Practical Use",
    )


_PRACTICE = (
    "Bengio, Practical Recommendations for Gradient-Based Training of Deep Architectures (2012), sections 2 and 3"
)


def _network(
    name: str, rationale: str, *, width: int, depth: int, batch: int, step: float, alpha: float
) -> StartingPoint:
    params = {"width": width, "depth": depth, "batch_size": batch, "learning_rate_init": step, "alpha": alpha}
    return StartingPoint(name, params, rationale=rationale, source=_PRACTICE)


_MLP_STARTS = (
    _network(
        "small batches",
        "Batches of about 32 rows and steps of 0.001 suit most data; a layer may be larger than needed.",
        width=256,
        depth=2,
        batch=32,
        step=1e-3,
        alpha=1e-3,
    ),
    _network(
        "wide and regularised",
        "Too many units cost little if their weights are penalised.",
        width=512,
        depth=1,
        batch=64,
        step=1e-3,
        alpha=0.1,
    ),
    _network(
        "deeper, in small steps",
        "More layers fit finer structure, and want smaller steps.",
        width=256,
        depth=3,
        batch=32,
        step=3e-4,
        alpha=1e-2,
    ),
    _network(
        "larger steps",
        "If training is too slow to finish, three to five times larger steps help most.",
        width=128,
        depth=2,
        batch=64,
        step=5e-3,
        alpha=1e-3,
    ),
)

MLP = KnownEstimator(
    name="mlp",
    aliases=("mlpclassifier", "mlpregressor", "multi layer perceptron", "multilayer perceptron", "neural network"),
    class_paths={
        "classification": "sklearn.neural_network.MLPClassifier",
        "regression": "sklearn.neural_network.MLPRegressor",
    },
    spaces={"classification": _MLP_SPACE, "regression": _MLP_SPACE},
    foreign_starts=_MLP_STARTS,
    start_rules=(_network_size,),
    source=("scikit-learn user guide, Neural network models (supervised)",),
)
