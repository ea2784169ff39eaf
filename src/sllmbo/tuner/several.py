"""
Several estimators as one: which of them is fitted is a parameter like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sllmbo.advisors.knowledge.shortlist import too_slow
from sllmbo.errors import TaskError
from sllmbo.space import When
from sllmbo.space.branches import ROOT, inside
from sllmbo.task import Kind
from sllmbo.tuner.data import Dataset
from sllmbo.tuner.estimators import EstimatorSpec, estimator_names, resolve_estimator, with_preparation

AUTO = "auto"
"""The name by which not one estimator is tuned, but the best of several is found; "auto:NAME,NAME" says of which."""


def is_auto(estimator: Any) -> bool:
    """Tell whether *estimator* asks for the best of several."""
    return isinstance(estimator, str) and estimator.partition(":")[0].strip().casefold() == AUTO


@dataclass(frozen=True, slots=True)
class SeveralSpec(EstimatorSpec):
    """Estimators to choose among: a configuration says which one it is of. Made by `resolve_several`."""

    among: Mapping[str, EstimatorSpec] = field(default_factory=dict, kw_only=True)
    left_out: tuple[str, ...] = field(default=(), kw_only=True)
    """Which estimators are left out, and why: one sentence each."""

    def parameters(self) -> dict[str, Any]:
        """Return what can be set: the estimator, and its parameters with its name in front."""
        names = list(self.among)
        own = {f"{name}.{key}": value for name, spec in self.among.items() for key, value in spec.parameters().items()}
        return {ROOT: names[0], **own}

    def build(self, params: Mapping[str, Any], dataset: Dataset, seed: int, *, n_jobs: int | None = None) -> Any:
        """Return the unfitted estimator that *params* names; see `EstimatorSpec.build`."""
        name = str(params.get(ROOT))
        if name not in self.among:
            raise TaskError(f"The configuration names the estimator {name!r}; use one of {', '.join(self.among)}.")
        return self.among[name].build(inside(params, name), dataset, seed, n_jobs=n_jobs)


def resolve_several(estimator: str, kind: Kind, n_rows: int) -> SeveralSpec:
    """
    Return the known estimators for data of *kind*, but those whose packages are missing or that are too slow.

    Args:
        estimator: "auto" for all, or "auto:NAME,NAME" for some of them.
        kind: The kind of the data.
        n_rows: Rows that a trial sees.

    Raises:
        TaskError: If a name is unknown, or none is left.
    """
    wanted = [resolve_estimator(name.strip(), kind).name for name in estimator.partition(":")[2].split(",") if name]
    among: dict[str, EstimatorSpec] = {}
    left_out: list[str] = []
    for listed in estimator_names():
        if kind not in listed.kinds or (wanted and listed.name not in wanted):
            continue
        slow = too_slow(listed.name, n_rows)
        if not listed.available:
            left_out.append(f"Estimator {listed.name!r} was left out: its package is missing ({listed.install}).")
        elif slow:
            left_out.append(f"Estimator {listed.name!r} was left out: {slow}.")
        else:
            among[listed.name] = resolve_estimator(listed.name, kind)
    if not among:
        raise TaskError(f"No estimator is left to choose among. {' '.join(left_out)} Name others, or allow fewer rows.")
    first = next(iter(among.values()))
    return SeveralSpec(AUTO, first.import_path, kind, prototype=first.prototype, among=among, left_out=tuple(left_out))


def tuning_preparation(spec: EstimatorSpec, dataset: Dataset) -> EstimatorSpec:
    """Return *spec* with what of the preparation of the features of *dataset* can be tuned, of each estimator."""
    if not isinstance(spec, SeveralSpec):
        return with_preparation(spec, dataset)
    among = {name: with_preparation(one, dataset) for name, one in spec.among.items()}
    preparation = {
        f"{name}.{given}": replace(parameter, condition=When(ROOT, (name,)))
        for name, one in among.items()
        for given, parameter in one.preparation.items()
    }
    return replace(spec, among=among, preparation=preparation)
