"""
Which proposals are given, and in which order: promising ones first, away from failures, none twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sllmbo.advisors.rules.opening import every_configuration
from sllmbo.advisors.rules.outlook import expected_improvement, feasibility
from sllmbo.advisors.rules.proposal import Proposal
from sllmbo.advisors.rules.view import Key, Trial, View, completed, key, position
from sllmbo.space import Scalar

_SAME = 0.02
"""Configurations nearer than this teach hardly anything new about each other."""

_RISKY = 0.5
"""Below this feasibility a proposal is put off."""


def by_outlook(view: View, proposals: Iterable[Proposal]) -> Iterator[Proposal]:
    """Yield *proposals* by expected improvement times feasibility, the best first."""
    pool = [proposal for proposal in proposals if proposal.params]
    if not pool:
        return
    places = np.stack([position(view.space, proposal.params) for proposal in pool])
    safe = feasibility(view, places)
    gain = expected_improvement(view, places) * np.array([proposal.weight for proposal in pool])
    caution = _caution(view, safe[int(np.argmax(gain))])
    for index in np.argsort(-np.round(gain * safe**2, 12), kind="stable"):
        yield _with(pool[index], caution if safe[index] >= _RISKY else "")


def in_order(view: View, proposals: Iterable[Proposal]) -> Iterator[Proposal]:
    """Yield *proposals* in their order, those that lie where trials failed at the end."""
    risky: list[Proposal] = []
    caution = ""
    for proposal in proposals:
        safe = _feasibility_of(view, proposal)
        if safe < _RISKY:
            caution = _caution(view, safe)
            risky.append(proposal)
        else:
            yield _with(proposal, caution)
    yield from risky


def distinct(view: View, proposals: Iterable[Proposal], n: int) -> list[Proposal]:
    """Take *n* proposals that are neither tried nor alike; then alike ones, what is left, and the incumbent again."""
    tried = {key(trial.params) for trial in view.tried}
    default = completed(view.space, {})
    places = [trial.position for trial in view.tried] + [position(view.space, default)]
    chosen: list[Proposal] = []
    alike: list[Proposal] = []
    for proposal in proposals:
        if len(chosen) == n:
            return chosen
        place = position(view.space, proposal.params)
        if min(float(np.linalg.norm(place - other)) for other in places) < _SAME:
            alike.append(proposal)
        else:
            places.append(place)
            chosen.append(proposal)
    resolution = len(tried) + len(chosen) + n + 1
    left = (
        Proposal("what is left", params, "Little of the space is left untried; this is.")
        for params in every_configuration(view.space, resolution)
    )
    untried = _untried(itertools.chain(alike, left), tried | {key(proposal.params) for proposal in chosen})
    chosen += itertools.islice(untried, n - len(chosen))
    return chosen or [_again(view.ranked, default)]


def _untried(proposals: Iterable[Proposal], seen: set[Key]) -> Iterator[Proposal]:
    for proposal in proposals:
        if key(proposal.params) not in seen:
            seen.add(key(proposal.params))
            yield proposal


def _again(ranked: tuple[Trial, ...], default: Mapping[str, Scalar]) -> Proposal:
    if not ranked:
        return Proposal("again", default, "Every configuration of the space was tried; this is the default.")
    text = f"Every configuration of the space was tried; measure trial {ranked[0].number}, the best, again."
    return Proposal("again", ranked[0].params, text)


def _feasibility_of(view: View, proposal: Proposal) -> float:
    if not view.failed or not proposal.params:
        return 1.0
    return float(feasibility(view, position(view.space, proposal.params)[None, :])[0])


def _caution(view: View, safe: float | NDArray[np.float64]) -> str:
    if safe >= _RISKY:
        return ""
    numbers = [str(trial.number) for trial in view.failed[-5:]]
    trials = f"trial {numbers[0]}" if len(numbers) == 1 else f"trials {', '.join(numbers)}"
    return f" Kept away from where {trials} failed."


def _with(proposal: Proposal, caution: str) -> Proposal:
    return replace(proposal, rationale=proposal.rationale + caution) if caution else proposal
