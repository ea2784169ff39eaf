"""
`RuleAdvisor`: documented rules instead of a chat model. Offline, deterministic, and it says why.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sllmbo._random import generator
from sllmbo.advisors.advisor import Advice, AdviceRequest, SpaceDesign
from sllmbo.advisors.knowledge import KnownEstimator, find_estimator, joint_space
from sllmbo.advisors.knowledge.shortlist import shortlist
from sllmbo.advisors.rules.branched import advised
from sllmbo.advisors.rules.moves import RULES
from sllmbo.advisors.rules.opening import filling, published
from sllmbo.advisors.rules.proposal import Proposal
from sllmbo.advisors.rules.selection import by_outlook, distinct, in_order
from sllmbo.advisors.rules.view import View, look
from sllmbo.errors import AdviceError
from sllmbo.space import Categorical, Parameter, SearchSpace, SpaceEdit
from sllmbo.space.branches import branches
from sllmbo.task import Kind, Task

__all__ = ["RuleAdvisor"]

_SIGNS_OF_REGRESSION = ("regress", "svr", "error", "rmse", "mae", "mse", "mape", "r2", "pinball")


class RuleAdvisor:
    """
    Advice from documented knowledge of common estimators and from rules over the history.

    It keeps nothing between calls and draws only from generators seeded by (seed, turn): the same request has the same
    advice in any process.

    Example:
        >>> design = RuleAdvisor().design_space(Task(estimator="lightgbm"))
        >>> design.space["num_leaves"].default
        31
    """

    def design_space(self, task: Task) -> SpaceDesign:
        """
        Return the documented space of the estimator that *task* names, or one over those worth a try of its candidates.

        Parameters that the estimator at hand lacks are left out, and its own values become the defaults.

        Raises:
            AdviceError: If the estimator is not known, or does not solve this kind of problem.
        """
        if task.candidates:
            return _joint(task)
        known = _known(task)
        if known is None:
            raise AdviceError(
                f"The rules know no estimator in {(task.estimator or task.description)[:100]!r}; name one that they "
                "know, such as 'lightgbm', or give a search space."
            )
        kind = _kind(task, known)
        if kind not in known.kinds:
            raise AdviceError(f"{known.name!r} does not do {kind}; name another estimator, or give a search space.")
        space = _fitted(known.space(kind, task.data), task.estimator_params)
        if not space:
            raise AdviceError(
                f"{task.estimator[:100]!r} has none of the parameters that the rules know for {known.name!r}; "
                "give a search space."
            )
        rationale = f"What is usually tuned of {known.name}, with its defaults. Sources: {'; '.join(known.source)}."
        return SpaceDesign(space=space, rationale=rationale, source="rules", origin=known.name)

    def suggest(self, request: AdviceRequest) -> Sequence[Advice]:
        """Return up to `request.n` configurations that were not tried yet; the incumbent again if all were."""
        if branches(request.space):
            return advised(request, self.suggest)
        view = look(request.task, request.space, request.history)
        rng = generator(request.seed, "rules", request.turn)
        n = max(request.n, 1)
        return [
            Advice(
                params=dict(proposal.params),
                rationale=proposal.rationale,
                source="rules",
                origin=proposal.rule,
                edits=_widened(request) if index == 0 else (),
            )
            for index, proposal in enumerate(distinct(view, _proposals(view, request, rng, n), n))
        ]


def _joint(task: Task) -> SpaceDesign:
    chosen = shortlist(task)
    names = [name for name, _ in chosen]
    return SpaceDesign(
        space=joint_space(names, task),
        rationale=f"The estimators that the rules would try on these data: {', '.join(names)}.",
        source="rules",
        origin="shortlist",
        shortlist=chosen,
    )


def _widened(request: AdviceRequest) -> tuple[SpaceEdit, ...]:
    """Widen, as far as it is allowed, what the best trials lie at an edge of; to narrow is TPE's own business."""
    edits = []
    for name, leeway in request.leeways.items():
        parameter = request.space[name]
        if isinstance(parameter, Categorical):
            continue
        low, high = min(leeway.low[0], parameter.low), max(leeway.high[1], parameter.high)
        if (low, high) != (parameter.low, parameter.high):
            edits.append(SpaceEdit(name, low, high, leeway.evidence))
    return tuple(edits)


def _proposals(view: View, request: AdviceRequest, rng: np.random.Generator, n: int) -> Iterator[Proposal]:
    """Yield what is published or what the rules say, the one to try first in front, then points that fill the space."""
    known = _known(request.task)
    kind = _kind(request.task, known)
    anchors = published(view.space, known, kind, request.task.data)
    yield from in_order(view, anchors)
    if request.purpose == "next" and view.ranked:
        yield from by_outlook(view, itertools.chain.from_iterable(rule(view, rng) for rule in RULES))
    yield from in_order(view, itertools.islice(filling(view.space, rng), 8 * n + 24))


def _known(task: Task) -> KnownEstimator | None:
    return find_estimator(task.estimator) or find_estimator(task.description)


def _kind(task: Task, known: KnownEstimator | None) -> Kind:
    """Read the kind of problem from the data, else from what the estimator can do, else from the words of the task."""
    if task.data is not None:
        return task.data.kind
    if known is not None and len(known.kinds) == 1:
        return known.kinds[0]
    words = f"{task.estimator} {task.metric} {task.description}".casefold()
    return "regression" if any(sign in words for sign in _SIGNS_OF_REGRESSION) else "classification"


def _fitted(space: SearchSpace, own: Any) -> SearchSpace:
    """Leave out what the estimator lacks, and take its own values as defaults where the ranges hold them."""
    kept: dict[str, Parameter] = {}
    for name, parameter in space.items():
        lacks = bool(own) and name not in own
        orphan = parameter.condition is not None and parameter.condition.parameter not in kept
        if lacks or orphan:
            continue
        value = own.get(name)
        kept[name] = replace(parameter, default=value) if value is not None and parameter.contains(value) else parameter
    return SearchSpace(kept)
