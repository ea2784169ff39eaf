"""
`retune()`: whether a deployed estimator has decayed on new data, and whether a new one would be better.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sllmbo.errors import ConfigError, SllmboError, TaskError
from sllmbo.goals import INFEASIBLE
from sllmbo.history import Direction
from sllmbo.space import SearchSpace
from sllmbo.space.branches import ROOT
from sllmbo.task import EarlierBest, Kind
from sllmbo.tuner.data import Dataset, from_arrays, holdout
from sllmbo.tuner.ensemble import Ensemble
from sllmbo.tuner.estimators import EstimatorSpec, estimator_names, resolve_estimator
from sllmbo.tuner.evaluation import fit, fitted
from sllmbo.tuner.metrics import Metric, Scorer, resolve_metric
from sllmbo.tuner.resampling import bootstrap
from sllmbo.tuner.result import TuneResult
from sllmbo.tuner.several import AUTO, is_auto, resolve_several
from sllmbo.tuner.storage import SPACE, open_storage
from sllmbo.tuner.tuning import tune

Verdict: TypeAlias = Literal["keep", "refit", "challenger"]

REPORT = "retune.json"


@dataclass(frozen=True, slots=True)
class Gain:
    """How much better one estimator is than another on the same held-out rows, in units of the metric."""

    value: float
    """Positive is better."""
    lower: float
    """Its lower bound at one-sided level alpha, by the paired bootstrap; above 0 it counts as shown."""

    @property
    def is_shown(self) -> bool:
        """Whether it is better beyond chance."""
        return self.lower > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetuneResult:
    """What became of a champion on new data."""

    metric: str
    direction: Direction
    alpha: float
    n_rows: int
    """New rows."""
    promised: float
    """What the earlier tuning expected of the champion: its value on the rows that were held out then."""
    promised_error: float | None
    """Standard error of that; None if it is not known, and the promise is taken as exact."""
    champion: float
    """The champion as it is deployed, on all new rows."""
    champion_error: float
    """Standard error of that."""
    p_value: float
    """Of the promise being kept, one-sided."""
    decayed: bool
    """Whether the champion is worse than promised, beyond chance."""
    verdict: Verdict
    """"keep" the champion, "refit" its configuration on new rows, or take the "challenger"."""
    heldout: Mapping[str, float]
    """On the new rows that no trial saw: "champion", "refit" and "challenger"; empty if nothing was tuned."""
    gains: Mapping[str, Gain]
    """On these rows: "challenger over champion", "challenger over refit" and "refit over champion"."""
    result: TuneResult | None = None
    """What is recommended, fitted on all new rows, as the next champion; what was found, where nothing is."""

    @property
    def replaces(self) -> bool:
        """Whether another estimator than the deployed one is recommended."""
        return self.verdict != "keep"

    def to_json(self) -> dict[str, Any]:
        """Return what `sllmbo retune --json` prints."""
        plain = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in ("gains", "result")}
        gains = {name: {"value": gain.value, "lower": gain.lower} for name, gain in self.gains.items()}
        params = dict(self.result.best_params) if self.result is not None and self.replaces else None
        n_trials = self.result.n_trials if self.result is not None else 0
        return {**plain, "heldout": dict(self.heldout), "gains": gains, "best_params": params, "n_trials": n_trials}

    def save(self, folder: str | Path) -> Path:
        """
        Write retune.json to *folder*, made if missing, and beside it what is recommended as `TuneResult.save` does.

        Where the champion is kept there is nothing else, so that nothing is deployed by mistake.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if self.result is not None and self.replaces:
            self.result.save(folder)
        (folder / REPORT).write_text(json.dumps(self.to_json(), indent=2) + "\n")
        return folder


def retune(
    champion: TuneResult | str | Path,
    X: Any,
    y: Any = None,
    *,
    estimator: Any = None,
    metric: str | Scorer | None = None,
    kind: Kind | None = None,
    groups: Any = None,
    ordered: bool = False,
    space: SearchSpace | None = None,
    n_trials: int = 30,
    holdout_share: float = 0.3,
    alpha: float = 0.05,
    force: bool = False,
    seed: int = 0,
    description: str = "",
    **options: Any,
) -> RetuneResult:
    """
    Score a deployed estimator on new data, tune again if it has decayed, and say whether to replace it.

    1. *Has it decayed?* The champion predicts all new rows. It has decayed if its value is worse than what the earlier
       tuning promised (the value on the rows held out then) by a one-sided z-test at level *alpha*, with the
       standard errors of both by the bootstrap over rows. If it has not, that is the answer, and no trial is spent.
    2. *Is there a better one?* A share of the new rows is set aside. On the others the estimator is tuned in the
       earlier search space, from the default and the champion's configuration on. On the rows set aside, the best
       configuration found (challenger), the champion's fitted on new rows (refit), and the champion as it is are
       compared by the paired bootstrap. The challenger is recommended if it is better than the other two, or than
       the champion while the refit is not; the refit if it is better than the champion and the challenger is not
       better than it; else the champion is kept. "Better" is one-sided at level *alpha*.

    Rows are resampled in groups, or in blocks where they are ordered (`sllmbo.tuner.resampling`).

    Args:
        champion: The result of the earlier tuning, or the folder that it was saved to.
        X: New rows of features, none of which the champion was fitted on; or a `Dataset`.
        y: Their target.
        estimator: What is tuned, if it was given as a class or an instance then; None: by the name in the result.
        metric: The metric, if it was a function then; None: by the name in the result.
        kind: "classification" or "regression"; found out from the champion if None.
        groups: One label per row; rows of one label stay together.
        ordered: Whether the rows are in the order of time; the last ones are then set aside.
        space: What is tuned. None: the space of the earlier study, where its storage is there, else as `tune` has it.
        n_trials: Trials of the new study; with 0 only the first question is answered.
        holdout_share: Share of the new rows that is set aside for the comparison.
        alpha: Level of each test, one-sided.
        force: Whether to tune although nothing has decayed.
        seed: Seed of the splits, the estimator, the search and the resamples.
        description: The problem in words, for the chat model; the decay is added to it.
        **options: Passed on to `tune`: llm, method, cv, storage, study_name, budget, callbacks, ... Constraints and
            further objectives are those of the earlier tuning unless given.

    Raises:
        TaskError: If the champion or the new rows cannot be used.
        ConfigError: If an argument breaks a rule.

    Example:
        >>> from sklearn.datasets import load_diabetes
        >>> X, y = load_diabetes(return_X_y=True)
        >>> champion = tune("ridge", X[:300], y[:300], n_trials=5, llm="offline")
        >>> retune(champion, X[300:], y[300:]).verdict
        'keep'
    """
    if not 0 < alpha < 0.5:
        raise ConfigError(f"alpha={alpha!r} must lie between 0 and 0.5; 0.05 is usual.")
    known = champion if isinstance(champion, TuneResult) else TuneResult.load(champion)
    if known.estimator is None:
        raise TaskError("The earlier result has no fitted estimator; keep estimator.joblib beside result.json.")
    kind = kind or kind_of(known.estimator)
    dataset = X if isinstance(X, Dataset) else from_arrays(X, y, kind=kind, groups=groups, ordered=ordered)
    named = estimator if estimator is not None else _named(known)
    several = is_auto(named)
    spec = resolve_several(named, dataset.kind, len(dataset)) if several else resolve_estimator(named, dataset.kind)
    measure = resolve_metric(
        known.metric if metric is None else metric,
        dataset.kind,
        dataset.n_classes,
        direction=known.direction if callable(metric) else None,
    )
    if not 0 < holdout_share < 1:
        raise TaskError(f"The hold-out share {holdout_share!r} must lie between 0 and 1; 0.2 is usual.")
    kept = _kept(known, dataset, measure, alpha=alpha, seed=seed)
    if n_trials == 0 or not (kept.decayed or force):
        return kept
    gained = None if known.gain is None else max(known.gain, 0.0)
    result = tune(
        named,
        dataset,
        metric=known.metric if metric is None else metric,
        direction=known.direction if callable(metric) else None,
        space=space if space is not None else _space_of(known),
        n_trials=n_trials,
        holdout_share=holdout_share,
        seed=seed,
        description=f"{description} {_drift(kept)}".strip(),
        transfer=[EarlierBest(study=known.study, params=known.best_params, metric=known.metric, gain=gained)],
        **{"constraints": known.constraints, "objectives": tuple(known.objectives), **options},
    )
    return _judged(kept, known, result, spec, dataset, measure, holdout_share=holdout_share, seed=seed)


def _kept(known: TuneResult, dataset: Dataset, metric: Metric, *, alpha: float, seed: int) -> RetuneResult:
    """Return the answer to the first question, as if there were no second."""
    values, drawn = bootstrap([known.estimator], dataset, metric, resamples=200, seed=seed)  # for a deviation
    promised, promised_error = _promise(known)
    now, error = float(values[0]), float(drawn.std())
    worse = _sign(metric) * (promised - now)
    spread = math.hypot(error, promised_error or 0.0)
    p_value = 1.0 - NormalDist().cdf(worse / spread) if spread else float(worse <= 0)
    return RetuneResult(
        metric=metric.name,
        direction=metric.direction,
        alpha=alpha,
        n_rows=len(dataset),
        promised=promised,
        promised_error=promised_error,
        champion=now,
        champion_error=error,
        p_value=p_value,
        decayed=p_value < alpha,
        verdict="keep",
        heldout={},
        gains={},
    )


def _promise(known: TuneResult) -> tuple[float, float | None]:
    """
    Return what the estimator of *known* was to have on unseen rows, and its standard error where that is known.

    That of an ensemble is taken to be that of its best member.
    """
    if known.ensemble:
        told = (known.heldout_ensemble, known.ensemble_value, known.best_value)
        return next(value for value in told if value is not None), known.heldout_error
    if known.heldout_best is None:
        return known.best_value, None
    return known.heldout_best, known.heldout_error


def _judged(
    kept: RetuneResult,
    known: TuneResult,
    result: TuneResult,
    spec: EstimatorSpec,
    dataset: Dataset,
    metric: Metric,
    *,
    holdout_share: float,
    seed: int,
) -> RetuneResult:
    """Return the answer to the second question: champion, refit and challenger on the rows set aside."""
    train, test = holdout(dataset, share=holdout_share, seed=seed)
    params = _usable(known, spec)
    found = fit(spec, result.best_params, train, seed)
    if result.ensemble:
        members = tuple((member["params"], member["weight"]) for member in result.ensemble)
        found = fitted(Ensemble(members=members, value=math.nan).build(spec, train, seed), train)
    values, drawn = bootstrap([known.estimator, fit(spec, params, train, seed), found], test, metric, seed=seed)
    champion, refit, challenger = (_sign(metric) * column for column in np.vstack([values, drawn]).T)
    gains = {
        "challenger over champion": _gain(challenger - champion, kept.alpha),
        "challenger over refit": _gain(challenger - refit, kept.alpha),
        "refit over champion": _gain(refit - champion, kept.alpha),
    }
    verdict: Verdict = "keep"
    if gains["challenger over champion"].is_shown and (
        gains["challenger over refit"].is_shown or not gains["refit over champion"].is_shown
    ):
        verdict = "challenger"
    elif gains["refit over champion"].is_shown and not _breaks(result, params):
        verdict = "refit"
        scored = float(values[1]), float(drawn[:, 1].std())
        result = _of_refit(result, spec, params, dataset, heldout=scored, seed=seed)
    names = ("champion", "refit", "challenger")
    heldout = {name: float(value) for name, value in zip(names, values, strict=True)}
    return replace(kept, verdict=verdict, heldout=heldout, gains=gains, result=result)


def _gain(differences: NDArray[np.float64], alpha: float) -> Gain:
    """Return the first difference, with its bound by the quantile of the others."""
    return Gain(float(differences[0]), float(np.quantile(differences[1:], alpha)))


def _of_refit(
    result: TuneResult,
    spec: EstimatorSpec,
    params: Mapping[str, Any],
    dataset: Dataset,
    *,
    heldout: tuple[float, float],
    seed: int,
) -> TuneResult:
    """Return *result* with the champion's configuration, and its held-out value and error, in place of the best."""
    tried = [t for t in result.trials if t["params"] == dict(params) and t["value"] is not None]
    return replace(
        result,
        best_params=dict(params),
        best_value=tried[0]["value"] if tried else heldout[0],
        best_interval=None,
        measures=tried[0].get("measures", {}) if tried else {},
        heldout_best=heldout[0],
        heldout_error=heldout[1],
        ensemble=(),
        ensemble_value=None,
        heldout_ensemble=None,
        estimator_name=str(params.get(ROOT, result.estimator_name)),
        estimator=fit(spec, params, dataset, seed),
    )


def _breaks(result: TuneResult, params: Mapping[str, Any]) -> bool:
    """Tell whether a configuration broke a constraint on the new rows."""
    return any(trial["state"] == INFEASIBLE and trial["params"] == dict(params) for trial in result.trials)


def _sign(metric: Metric) -> float:
    return -1.0 if metric.direction == "minimize" else 1.0


def _drift(kept: RetuneResult) -> str:
    return (
        f"Tuned again on new data: the estimator of an earlier study scores {kept.champion:.4g} ({kept.metric}) there, "
        f"where {kept.promised:.4g} was expected."
    )


def _usable(known: TuneResult, spec: EstimatorSpec) -> dict[str, Any]:
    return {name: value for name, value in known.best_params.items() if name in spec.parameters()}


def kind_of(estimator: Any) -> Kind:
    """Return what a fitted estimator is for."""
    from sklearn.base import is_classifier

    return "classification" if is_classifier(estimator) else "regression"


def _named(known: TuneResult) -> str:
    if known.shortlist:
        return f"{AUTO}:{','.join(entry['estimator'] for entry in known.shortlist)}"
    if known.estimator_name not in {listed.name for listed in estimator_names()}:
        raise TaskError(
            f"The earlier study tuned {known.estimator_name!r}, which is no name of `sllmbo tune --list`; "
            "give the estimator as it was given then."
        )
    return known.estimator_name


def _space_of(known: TuneResult) -> SearchSpace | None:
    """Return the search space of the earlier study, if it can be read."""
    import optuna

    if known.storage is None:
        return None
    path = Path(known.storage.removeprefix("sqlite:///").partition("?")[0])
    if known.storage.startswith("sqlite:///") and not path.exists():
        return None
    try:
        storage = open_storage(known.storage)
        assert storage is not None
        study = optuna.load_study(study_name=known.study, storage=storage)
        return SearchSpace.from_json(study.user_attrs[SPACE]["space"])
    except (KeyError, SllmboError):
        return None
