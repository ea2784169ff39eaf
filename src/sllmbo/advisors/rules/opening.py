"""
Where to start: what is published, what the data suggest, then points that fill the space.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from sllmbo.advisors.knowledge import KnownEstimator
from sllmbo.advisors.rules.meaning import canonical, fitting, translated
from sllmbo.advisors.rules.proposal import Proposal
from sllmbo.advisors.rules.view import completed, show, unit
from sllmbo.space import Categorical, Int, Parameter, Scalar, SearchSpace
from sllmbo.task import DataFacts, Kind

_NEIGHBOURHOOD = 0.5
"""Width of the box around the default, as a share of each range."""


def published(
    space: SearchSpace, known: KnownEstimator | None, kind: Kind, facts: DataFacts | None
) -> Iterator[Proposal]:
    """Yield the tuned defaults and the starting points that the data suggest, where *space* has their parameters."""
    if known is None or kind not in known.kinds:
        return
    foreign = (point for point in known.foreign_starts if point.params.keys() <= space.keys())
    for point in (*known.starting_points(kind, facts), *foreign):
        params = translated(space, point.params)
        if params is not None:
            part = _part(space, point.params)
            yield Proposal(f"{known.name}: {point.name}", params, f"{point.rationale}{part} Source: {point.source}.")


def _part(space: SearchSpace, values: Mapping[str, Scalar]) -> str:
    """Return what *space* has of *values*, unless it has all of them as they are."""
    taken, meant = fitting(space, values), {canonical(name): value for name, value in values.items()}
    if len(taken) == len(meant) and all(meant[canonical(name)] == value for name, value in taken.items()):
        return ""
    return f" Here only {', '.join(f'{name}={show(value)}' for name, value in taken.items())}."


def filling(space: SearchSpace, rng: np.random.Generator) -> Iterator[Proposal]:
    """
    Yield points without end that fill the box around the default (or the middle) and the whole space, in turns.

    The points follow the additive recurrence of Roberts (The Unreasonable Effectiveness of Quasirandom Sequences, 2018)
    from a random start.
    """
    base, default = completed(space, {}), space.default_params()
    centre = "the default" if default is not None else "the middle"
    ratio = _generalised_golden_ratio(len(space))
    increments = ratio ** -np.arange(1, len(space) + 1)
    start = rng.random(len(space))
    for index in itertools.count():
        places = dict(zip(space, ((start + (index + 1) * increments) % 1.0).tolist(), strict=True))
        if index % 2 == 0:
            near = completed(space, {name: _near(space[name], base.get(name), place) for name, place in places.items()})
            changes = _changes(default or {}, near)
            yield Proposal(f"around {centre}", near, f"Around {centre}, to learn what matters: {changes}.")
        else:
            far = completed(space, {name: space[name].from_unit(place) for name, place in places.items()})
            changes = _changes(default or {}, far)
            yield Proposal("across the space", far, f"From across the space, of which little is known: {changes}.")


def every_configuration(space: SearchSpace, resolution: int) -> Iterator[dict[str, Scalar]]:
    """Yield the configurations of *space*, at most *resolution* values of each parameter, each once."""
    yield from _extended(space, list(space), {}, resolution)


def _extended(
    space: SearchSpace, names: list[str], params: dict[str, Scalar], resolution: int
) -> Iterator[dict[str, Scalar]]:
    if not names:
        yield params
    elif not space.is_active(names[0], params):
        yield from _extended(space, names[1:], params, resolution)
    else:
        for value in _values(space[names[0]], resolution):
            yield from _extended(space, names[1:], {**params, names[0]: value}, resolution)


def _values(parameter: Parameter, resolution: int) -> list[Scalar]:
    if isinstance(parameter, Categorical):
        return list(parameter.choices)
    if isinstance(parameter, Int):
        return list(itertools.islice(range(parameter.low, parameter.high + 1, parameter.step), resolution))
    places = np.linspace(0.0, 1.0, resolution + 1)
    if parameter.step is not None:
        steps = round((parameter.high - parameter.low) / parameter.step)
        places = np.arange(min(steps, resolution) + 1) / max(steps, 1)
    return list(dict.fromkeys(parameter.from_unit(float(place)) for place in places))


def _near(parameter: Parameter, value: Scalar, place: float) -> Scalar:
    if isinstance(parameter, Categorical):
        # Half of the points keep the default's category.
        return parameter.from_unit(2 * place) if place < 0.5 else value
    centre = unit(parameter, value) if value is not None else 0.5
    return parameter.from_unit(min(max(centre + _NEIGHBOURHOOD * (place - 0.5), 0.0), 1.0))


def _changes(base: Mapping[str, Scalar], params: Mapping[str, Scalar]) -> str:
    changed = [f"{name}={show(value)}" for name, value in params.items() if name not in base or base[name] != value]
    return ", ".join(changed[:4]) + (" and others" if len(changed) > 4 else "") or "nothing else is left"


def _generalised_golden_ratio(n: int) -> float:
    """Return the root of x^(n+1) = x + 1."""
    ratio = 2.0
    for _ in range(60):
        ratio = (1.0 + ratio) ** (1.0 / (n + 1))
    return ratio
