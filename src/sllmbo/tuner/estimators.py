"""
What is tuned: an estimator by name, by import path or as an instance, made ready for raw rows.

`EstimatorSpec.build` gives an unfitted scikit-learn estimator that takes the raw rows of the data set, is quiet, and
gives the same result for the same seed.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from importlib.util import find_spec
from typing import Any

from sllmbo._optional import require
from sllmbo.advisors.knowledge import KnownEstimator, known_estimators
from sllmbo.errors import TaskError
from sllmbo.space import Categorical, SearchSpace
from sllmbo.space.branches import extended
from sllmbo.task import Kind
from sllmbo.tuner.data import Dataset
from sllmbo.tuner.own import keep_own, set_by_user

N_JOBS = 2
"""Threads of one fit. A fixed number, not that of the cores: for some libraries the last bits depend on it."""

SMALL = 200_000
"""Cells below which a fit gets one thread: two gain nothing there, and on a busy machine they wait for each other."""

_BOOSTING = ("lightgbm", "xgboost", "catboost")

_SCALED_TARGET = ("SVR", "NuSVR", "LinearSVR", "MLPRegressor")
"""Regressors whose defaults suppose a target of deviation 1; an instance that was given keeps its target."""

_LIGHTGBM_MORE: dict[str, Any] = {
    "cat_l2": 10.0,
    "cat_smooth": 10.0,
    "extra_trees": False,
    "feature_fraction_bynode": 1.0,
    "is_unbalance": False,
    "linear_tree": False,
    "max_bin": 255,
    "max_cat_threshold": 32,
    "max_delta_step": 0.0,
    "min_data_in_bin": 3,
    "path_smooth": 0.0,
    "scale_pos_weight": 1.0,
}
"""Parameters that LightGBM takes beyond its class's signature, with the defaults of its documentation (Parameters)."""

_CATBOOST_SYNONYMS = (
    ("iterations", "n_estimators", "num_boost_round", "num_trees"),
    ("depth", "max_depth"),
    ("learning_rate", "eta"),
    ("l2_leaf_reg", "reg_lambda"),
    ("rsm", "colsample_bylevel"),
    ("border_count", "max_bin"),
    ("min_data_in_leaf", "min_child_samples"),
    ("max_leaves", "num_leaves"),
    ("random_seed", "random_state"),
    ("verbose", "silent", "logging_level"),
)
"""Names of one parameter of CatBoost, which refuses two of them at once."""


@dataclass(frozen=True, slots=True)
class EstimatorSpec:
    """An estimator to tune, for one kind of data. Made by `resolve_estimator`."""

    name: str
    """A name that the knowledge base has ("lightgbm"), else the name of the class."""
    import_path: str
    kind: Kind
    _: KW_ONLY
    prototype: Any = field(compare=False, repr=False)
    """The unfitted estimator whose copies are tuned."""
    given: bool = False
    """Whether it was given as an instance: it then gets the rows as they are, where it can take them."""
    preparation: Mapping[str, Categorical] = field(default_factory=dict)
    """What of the preparation of features is tuned, too; see `sllmbo.tuner.preparation`."""

    def parameters(self) -> dict[str, Any]:
        """Return what can be set, with the values that are set now; sub-estimators themselves are left out."""
        own = {
            name: value
            for name, value in _all_parameters(self.prototype).items()
            if not hasattr(value, "get_params") and not name.endswith(("steps", "transformers", "transformer_list"))
        }
        return {**own, **{name: parameter.default for name, parameter in self.preparation.items()}}

    def adapted(self, space: SearchSpace) -> SearchSpace:
        """Return a designed *space* with what an instance sets itself, and what of the preparation is tuned."""
        return extended(keep_own(space, set_by_user(self.prototype)) if self.given else space, self.preparation)

    def build(self, params: Mapping[str, Any], dataset: Dataset, seed: int, *, n_jobs: int | None = None) -> Any:
        """
        Return an unfitted estimator that takes the raw rows of *dataset*.

        Args:
            params: Values of the estimator's parameters; the other ones keep theirs.
            dataset: What it will be fitted on, or on parts of it.
            seed: Seeds everything random in it that has no seed of its own.
            n_jobs: Threads of one fit, where none are set; None for 1 on small data and else 2.

        Raises:
            TaskError: If the estimator does not have one of the parameters.
        """
        known = _all_parameters(self.prototype)
        prepared = {name: str(value) for name, value in params.items() if name in self.preparation}
        params = {name: value for name, value in params.items() if name not in self.preparation}
        for name in params:
            if name not in known:
                raise TaskError(_unknown_parameter(name, self.name, known))
        n_jobs = threads_for(dataset) if n_jobs is None else n_jobs
        estimator = _set(self.prototype, {**_machine_settings(self.prototype, known, seed, n_jobs), **params})
        return _for_raw_rows(estimator, dataset, prepared, given=self.given)


@dataclass(frozen=True, slots=True)
class ListedEstimator:
    """One line of the list of names."""

    name: str
    kinds: tuple[Kind, ...]
    available: bool
    """Whether its library is installed."""
    install: str
    """How to install the library where it is not."""


def threads_for(dataset: Dataset) -> int:
    """Return how many threads a fit on *dataset* should have."""
    return 1 if dataset.X.size < SMALL else N_JOBS


def estimator_names() -> tuple[ListedEstimator, ...]:
    """Return the estimators that can be given by name, and whether their libraries are installed."""
    return tuple(
        ListedEstimator(
            known.name,
            known.kinds,
            find_spec(_library(known)) is not None,
            f'pip install "sllmbo[{_extra(known)}]"' if _extra(known) else "",
        )
        for known in known_estimators()
    )


def resolve_estimator(estimator: Any, kind: Kind) -> EstimatorSpec:
    """
    Return the estimator that is meant.

    Args:
        estimator: A name ("lightgbm"), the import path of a class that is compatible with scikit-learn
            ("sklearn.ensemble.AdaBoostClassifier", "package.module:Class"), a class, or an instance.
        kind: The kind of the data.

    Raises:
        TaskError: If it is unknown, no estimator, or for the other kind of data.
        MissingExtra: If its library is not installed.
    """
    if isinstance(estimator, str):
        known = _known_by_name(estimator)
        if known is not None:
            path = known.class_path(kind)
            return _from_class(_load(path, _extra(known)), path, known, kind)
        if "." not in estimator and ":" not in estimator:
            raise TaskError(_unknown_estimator(estimator))
        return _from_class(_load(estimator), estimator.replace(":", "."), None, kind)
    if isinstance(estimator, type):
        return _from_class(estimator, _path_of(estimator), None, kind)
    _check(estimator, _path_of(type(estimator)), kind)
    known = _known_by_class(type(estimator))
    name = known.name if known else type(estimator).__name__
    prototype = _with_fixed(estimator, known)
    return EstimatorSpec(name, _path_of(type(estimator)), kind, prototype=prototype, given=True)


def _from_class(cls: Callable[..., Any], path: str, known: KnownEstimator | None, kind: Kind) -> EstimatorSpec:
    try:
        instance = cls()
    except TypeError as error:
        raise TaskError(f"{path!r} cannot be made without arguments ({error}); give an instance instead.") from error
    _check(instance, path, kind)
    known = known or _known_by_class(type(instance))
    name = known.name if known else type(instance).__name__
    return EstimatorSpec(name, path, kind, prototype=_with_fixed(instance, known))


def _load(path: str, extra: str = "") -> Any:
    module_name, _, name = path.rpartition(":") if ":" in path else path.rpartition(".")
    if extra:
        return getattr(require(module_name, extra=extra, purpose=f"The estimator {path!r}"), name)
    try:
        return getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise TaskError(f"The estimator {path!r} cannot be imported ({error}); check the path.") from error


def _check(estimator: Any, path: str, kind: Kind) -> None:
    from sklearn.base import is_classifier, is_regressor

    if not (hasattr(estimator, "fit") and hasattr(estimator, "get_params") and hasattr(estimator, "predict")):
        raise TaskError(f"{path!r} is no estimator: it needs fit, predict and get_params as scikit-learn's have them.")
    wrong = is_regressor(estimator) if kind == "classification" else is_classifier(estimator)
    if wrong:
        other = "regression" if kind == "classification" else "classification"
        raise TaskError(f"{path!r} does {other} and the data is for {kind}; use another estimator or another kind.")


def _with_fixed(estimator: Any, known: KnownEstimator | None) -> Any:
    """Set what the knowledge base fixes, except where the estimator has a value of its own."""
    if known is None:
        return estimator
    own, usual = estimator.get_params(), type(estimator)().get_params()
    fixed = {name: v for name, v in known.fixed.items() if own.get(name) == usual.get(name) and not _synonym(name, own)}
    return _set(estimator, fixed)


def _set(estimator: Any, params: Mapping[str, Any]) -> Any:
    """Return an unfitted copy of *estimator* with *params*."""
    from sklearn.base import clone

    if _root(estimator) != "catboost":
        return clone(estimator).set_params(**params)
    own = {name: v for name, v in estimator.get_params().items() if not _synonym(name, params)}
    return type(estimator)(**{**own, **params})


def _synonym(name: str, params: Mapping[str, Any]) -> bool:
    group = next((group for group in _CATBOOST_SYNONYMS if name in group), ())
    return any(other in params for other in group if other != name)


def _all_parameters(estimator: Any) -> dict[str, Any]:
    params: dict[str, Any] = dict(estimator.get_params(deep=True))
    if _root(estimator) == "lightgbm":
        return {**_LIGHTGBM_MORE, **params}
    if _root(estimator) == "catboost":  # its get_params holds only what was set
        signature = inspect.signature(type(estimator).__init__).parameters
        return {**{name: None for name in signature if name != "self"}, **params}
    return params


def _machine_settings(estimator: Any, known: Mapping[str, Any], seed: int, n_jobs: int) -> dict[str, Any]:
    """Return what makes the estimator quiet and reproducible, except where it has a value of its own."""
    seed %= 2**31 - 1
    library = _root(estimator)
    settings: dict[str, Any] = {
        name: seed for name in known if name.rpartition("__")[2] == "random_state" and library != "catboost"
    }
    # Forests keep one thread: several add up the trees' votes in an order that differs between runs.
    if library == "lightgbm":
        settings |= {"n_jobs": n_jobs, "verbosity": -1, "deterministic": True}
        settings |= {} if known.get("force_row_wise") else {"force_col_wise": True}
    elif library == "xgboost":
        settings |= {"n_jobs": n_jobs, "verbosity": 0}
    elif library == "catboost":
        settings = {"random_seed": seed, "thread_count": n_jobs, "allow_writing_files": False, "verbose": False}
    own = {name for name, value in known.items() if value is not None}
    return {name: v for name, v in settings.items() if name not in own and not _synonym(name, dict.fromkeys(own))}


def with_preparation(spec: EstimatorSpec, dataset: Dataset) -> EstimatorSpec:
    """Return *spec* with what of the preparation of the features of *dataset* can be tuned for it."""
    from sklearn.pipeline import Pipeline

    from sllmbo.tuner.preparation import choices

    estimator = spec.prototype
    as_it_is = isinstance(estimator, Pipeline) or (spec.given and _takes_as_it_is(estimator, dataset))
    if as_it_is or _takes_categories(estimator):
        return spec
    columns = dataset.columns
    missing = bool(columns.apply(dataset.X)[columns.numeric].isna().to_numpy().any())
    return replace(spec, preparation=choices(columns, trees=_is_of_trees(estimator), missing=missing))


def _takes_categories(estimator: Any) -> bool:
    return _root(estimator) in _BOOSTING or _class_name(estimator).startswith("HistGradientBoosting")


def _is_of_trees(estimator: Any) -> bool:
    return any(word in _class_name(estimator) for word in ("Forest", "Tree", "AdaBoost", "GradientBoosting"))


def _for_raw_rows(estimator: Any, dataset: Dataset, prepared: Mapping[str, str], *, given: bool) -> Any:
    from sklearn.pipeline import Pipeline

    from sllmbo.tuner.preprocess import SelectColumns

    if isinstance(estimator, Pipeline):
        return estimator
    inner = _wrapped(estimator, dataset, given=given)
    if given and _takes_as_it_is(estimator, dataset):
        return inner
    columns = SelectColumns(dataset.columns)
    return Pipeline(
        [("columns", columns), ("prepare", _preparation(estimator, dataset, prepared)), ("estimator", inner)]
    )


def _preparation(estimator: Any, dataset: Dataset, prepared: Mapping[str, str]) -> Any:
    from sllmbo.tuner.preparation import dense
    from sllmbo.tuner.preprocess import NativeCategories

    columns = dataset.columns
    if _takes_categories(estimator):
        bins = getattr(estimator, "max_bins", None)  # scikit-learn refuses more levels than bins
        return NativeCategories(columns.categorical, max_levels=bins, as_text=_root(estimator) == "catboost")
    usual = {} if _is_of_trees(estimator) else {"scaling": "standard", "encoding": "one_hot"}
    return dense(columns, dataset.kind, **{**usual, **prepared})


def _wrapped(estimator: Any, dataset: Dataset, *, given: bool) -> Any:
    """Return the estimator told about categories, and wrapped where it wants other targets than there are."""
    from sllmbo.tuner.preprocess import EncodedClassifier, safe_names, scaled_target

    library, columns = _root(estimator), dataset.columns
    if columns.categorical and library == "xgboost":
        estimator = _set(estimator, {"enable_categorical": True})
    if columns.categorical and library == "catboost" and not estimator.get_params().get("cat_features"):
        safe = dict(zip(columns.features(), safe_names(columns.features()), strict=True))
        # A tuple, because scikit-learn cannot clone CatBoost's estimators with a list.
        estimator = _set(estimator, {"cat_features": tuple(safe[name] for name in columns.categorical)})
    if library in ("xgboost", "catboost") and dataset.kind == "classification":
        return EncodedClassifier(estimator)
    if not given and _class_name(estimator) in _SCALED_TARGET:
        return scaled_target(estimator)
    return estimator


def _takes_as_it_is(estimator: Any, dataset: Dataset) -> bool:
    from sllmbo.tuner.preprocess import safe_names

    X, names = dataset.X, list(dataset.X.columns)
    if dataset.columns.features("numeric") != names or any(dtype.kind not in "iuf" for dtype in X.dtypes):
        return False
    if _root(estimator) in _BOOSTING:
        return safe_names(names) == names
    return not X.isna().to_numpy().any() or _allows_missing(estimator)


def _allows_missing(estimator: Any) -> bool:
    from sklearn.utils import get_tags

    try:
        return bool(get_tags(estimator).input_tags.allow_nan)
    except (AttributeError, TypeError):  # an estimator of before scikit-learn had tags
        return False


def _class_name(estimator: Any) -> str:
    return type(estimator).__name__


def _root(estimator: Any) -> str:
    return type(estimator).__module__.split(".")[0]


def _path_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _library(known: KnownEstimator) -> str:
    return known.class_paths[known.kinds[0]].split(".")[0]


def _extra(known: KnownEstimator) -> str:
    return "boosting" if _library(known) in _BOOSTING else ""


def _known_by_name(name: str) -> KnownEstimator | None:
    plain = name.strip().casefold().replace("-", "_").replace(" ", "_")
    return next(
        (k for k in known_estimators() if plain in (k.name, *(alias.replace(" ", "_") for alias in k.aliases))), None
    )


def _known_by_class(cls: type) -> KnownEstimator | None:
    def is_it(path: str) -> bool:
        return path.split(".")[0] == cls.__module__.split(".")[0] and path.rpartition(".")[2] == cls.__name__

    return next((k for k in known_estimators() if any(map(is_it, k.class_paths.values()))), None)


def _unknown_estimator(name: str) -> str:
    names = [known.name for known in known_estimators()]
    close = difflib.get_close_matches(name.casefold(), names, n=3, cutoff=0.5)
    meant = f"did you mean {' or '.join(map(repr, close))}?" if close else f"the names are {', '.join(names)}."
    return f"The estimator {name!r} is unknown; {meant} An import path such as 'package.module.Class' works too."


def _unknown_parameter(name: str, estimator: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    meant = f"did you mean {' or '.join(map(repr, close))}?" if close else "look at its get_params()."
    return f"The estimator {estimator!r} has no parameter {name!r}; {meant}"
