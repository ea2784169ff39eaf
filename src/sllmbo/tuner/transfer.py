"""
Memory across studies: the best configurations of earlier studies on similar data become starting points of a new one.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.study._frozen import FrozenStudy

from sllmbo.errors import SpaceError
from sllmbo.samplers import chosen, study_history
from sllmbo.samplers._ask import is_near
from sllmbo.samplers._record import Decision
from sllmbo.samplers._turns import all_trials
from sllmbo.space import SearchSpace
from sllmbo.task import DataFacts, EarlierBest, Task

_logger = logging.getLogger("sllmbo")

CARD = "sllmbo:task"
"""User attribute of a study: what it tunes."""
FACTS = "sllmbo:facts"
"""User attribute of a study: aggregates of its data, by which later studies find it."""
TRANSFER = "sllmbo:transfer"
"""User attribute of a study: the configurations of earlier studies that it starts from."""
SOURCE = "transfer"
"""The source of a trial that evaluates one of them."""

MOST, SHARE = 3, 0.25
"""So many configurations are transferred at most, and for this share of the trials: each costs one."""
SIMILAR = 1.0
"""The largest distance at which data are similar."""
_LOOKED_AT = 10
"""So many of the nearest studies are read at most."""


def starts_of(
    study: Study,
    task: Task,
    space: SearchSpace,
    transfer: bool | Sequence[EarlierBest],
    *,
    but: Sequence[Mapping[str, Any]] = (),
) -> list[Decision]:
    """
    Return the decisions to evaluate what earlier studies found best, and write down on *study* what they are.

    It is decided once, before the first trial. From then on the study says it, whatever else its storage holds.

    Args:
        study: The study that begins, or is gone on with.
        task: What it tunes.
        space: Its search space.
        transfer: Whether to look for earlier studies in the storage, or what to start from.
        but: Configurations that are tried anyway, as is the default.
    """
    stored = study.user_attrs.get(TRANSFER)
    most = None
    if stored is not None:
        transfer = [EarlierBest(**best) for best in stored]
    elif all_trials(study):
        return []
    elif isinstance(transfer, bool):
        transfer = find_starts(study._storage, task, but=study.study_name) if transfer else []
        most = MOST if task.n_trials is None else min(MOST, int(SHARE * task.n_trials))
    starts = _decisions(transfer, space, but)[:most]
    if starts and stored is None:
        study.set_user_attr(TRANSFER, [asdict(best) for best, _ in starts])
    return [decision for _, decision in starts]


def earlier_of(study: Study) -> tuple[EarlierBest, ...]:
    """Return what *study* started from, of earlier studies."""
    return tuple(EarlierBest(**best) for best in study.user_attrs.get(TRANSFER, ()))


def find_starts(storage: BaseStorage, task: Task, *, but: str = "") -> list[EarlierBest]:
    """
    Return the best configurations of the studies in *storage* that tune the same estimator on similar data.

    The most similar first, one of each study, and only those that were better than the study's default. A study that
    cannot be read is left out.

    Args:
        storage: The storage.
        task: What is to be tuned; without facts on its data nothing is known to be similar.
        but: Name of the study that is left out.
    """
    if task.data is None or not task.estimator:
        return []
    near: list[tuple[float, str]] = []
    for earlier in storage.get_all_studies():
        apart = math.inf if earlier.study_name == but else _apart(task, earlier)
        if apart <= SIMILAR:
            near.append((apart, earlier.study_name))
    found = (_best_of(storage, name) for _, name in sorted(near)[:_LOOKED_AT])
    return [best for best in found if best is not None]


def _apart(task: Task, earlier: FrozenStudy) -> float:
    card, told = earlier.user_attrs.get(CARD), earlier.user_attrs.get(FACTS)
    if not isinstance(card, dict) or not isinstance(told, dict) or card.get("estimator") != task.estimator:
        return math.inf
    if len(earlier.directions) > 1:  # its best is a compromise
        return math.inf
    assert task.data is not None
    try:
        return distance(task.data, DataFacts(**{f.name: told[f.name] for f in fields(DataFacts) if f.name in told}))
    except (TypeError, ValueError, ArithmeticError):  # written by another version, or by somebody else
        return math.inf


def distance(one: DataFacts, other: DataFacts) -> float:
    """
    Return how far apart two data sets are: the sum over their facts, of which each adds 0 to 1; infinite across kinds.

    Rows, features and levels count by their ratio (a hundredfold is 1), classes by theirs (16-fold), shares by their
    difference, the rarest class against even classes, skewness by its logarithm.

    Example:
        >>> small = DataFacts(kind="regression", n_rows=1_000, n_features=10)
        >>> distance(small, DataFacts(kind="regression", n_rows=10_000, n_features=10))
        0.5
    """
    if one.kind != other.kind:
        return math.inf
    pair = one, other
    parts = [
        *(_ratio(*(getattr(d, name) for d in pair)) / 2 for name in ("n_rows", "n_features")),
        _ratio(*(1 + d.max_cardinality for d in pair)) / 2,
        abs(_share(one) - _share(other)),
        abs(one.missing_share - other.missing_share),
        float(one.ordered != other.ordered),
    ]
    if one.kind == "classification":
        parts.append(_ratio(*(d.n_classes for d in pair)) / math.log10(16))
        parts.append(abs(one.minority_share * one.n_classes - other.minority_share * other.n_classes))
    else:
        parts.append(abs(_bent(one.target_skew) - _bent(other.target_skew)) / 2)
    return math.fsum(min(part, 1.0) for part in parts)


def _ratio(one: float, other: float) -> float:
    """Return by how many powers of ten two counts differ."""
    return abs(math.log10(max(one, 1)) - math.log10(max(other, 1)))


def _share(data: DataFacts) -> float:
    return data.n_categorical / max(data.n_features, 1)


def _bent(skew: float) -> float:
    return math.copysign(math.log1p(abs(skew)), skew)


def _best_of(storage: BaseStorage, name: str) -> EarlierBest | None:
    """Return the best configuration of a study; None if it is its default, or cannot be read."""
    try:
        study = optuna.load_study(study_name=name, storage=storage)
        history, best = study_history(study), chosen(study)
        default = next((o for o in history.complete() if o.source == "default"), None)
        if best is None or default is None or default.value is None or not history.is_better(best.value, default.value):
            return None
        card = study.user_attrs[CARD]
        gain = abs(best.value - default.value)
        return EarlierBest(study=name, params=dict(best.params), metric=card.get("metric", ""), gain=gain)
    except Exception as error:  # noqa: BLE001  # whatever an old study holds, the new one begins
        _logger.debug("The study %r is not learned from: %r", name, error)
        return None


def _decisions(
    found: Sequence[EarlierBest], space: SearchSpace, but: Sequence[Mapping[str, Any]]
) -> list[tuple[EarlierBest, Decision]]:
    """Return what of *found* can be tried in *space* and differs from its default, from *but* and from one another."""
    default = space.default_params()
    tried = [*but, *([default] if default is not None else [])]
    starts: list[tuple[EarlierBest, Decision]] = []
    for best in found:
        known = {name: value for name, value in best.params.items() if name in space}
        try:
            params, repairs = space.repair(known)
        except SpaceError:
            continue
        if 2 * len(known.keys() & params.keys()) < len(params) or any(is_near(params, other, space) for other in tried):
            continue
        tried.append(params)
        decision = Decision(
            source=SOURCE,
            params=params,
            rationale=_rationale(best),
            origin=best.study,
            repairs=tuple(repair for repair in repairs if repair.given is not None),
        )
        starts.append((best, decision))
    return starts


def _rationale(best: EarlierBest) -> str:
    gained = "" if best.gain is None else f", where it gained {best.gain:.3g} ({best.metric}) over the default"
    return f"The best configuration of the earlier study {best.study!r}{gained}."
