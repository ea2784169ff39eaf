"""
The default configuration: the first trial, and what every gain is reported over.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from sllmbo.advisors import choose_advisor
from sllmbo.errors import AdviceError
from sllmbo.history import History
from sllmbo.samplers._record import Decision
from sllmbo.space import Scalar, SearchSpace
from sllmbo.task import Task

_logger = logging.getLogger("sllmbo")


def with_documented_defaults(space: SearchSpace, task: Task, *, declared: bool = True) -> SearchSpace:
    """
    Return *space*, where parameters without a default have what is documented of *task*'s estimator and allowed.

    Where *space* is not *declared*, but made of distributions that say no default, that of a choice None is none.
    """
    lacking = {name for name, p in space.items() if not p.has_default or (not declared and p.default is None)}
    if not lacking:
        return space
    try:
        known = choose_advisor("offline").design_space(task).space
    except AdviceError:  # nothing is documented of it
        return space
    return SearchSpace(
        {
            name: replace(parameter, default=known[name].default)  # type: ignore[arg-type]  # it is contained
            if name in lacking and name in known and parameter.contains(known[name].default)
            else parameter
            for name, parameter in space.items()
        }
    )


def default_decision(space: SearchSpace) -> Decision | None:
    """Return the decision to evaluate the default configuration, or None where it is not known of every parameter."""
    params = space.default_params()
    if params:
        return Decision(source="default", params=params, rationale="The default configuration.")
    lacking = [name for name, parameter in space.items() if not parameter.has_default]
    if len(lacking) < len(space):
        _logger.warning(
            "No trial is the default configuration, as the search space has no default for %s; give it one.",
            ", ".join(lacking[:3]) + f" and {len(lacking) - 3} more" * (len(lacking) > 3),
        )
    return None


def request_of(params: dict[str, Scalar], anchors: Sequence[Decision]) -> Decision:
    """Return the decision to evaluate *params*, which the user gave: where they are the default, as the default."""
    is_default = any(anchor.source == "default" and anchor.params == params for anchor in anchors[:1])
    return Decision(source="default" if is_default else "user", params=params)


def anchor_of(anchor: Decision, history: History, *, partner: str) -> Decision:
    """Return *anchor*, unless a trial of *history* had its configuration; then the partner serves."""
    for observation in history:
        if dict(observation.params) == anchor.params:
            return Decision(source=partner, turned_down=(f"{anchor.source}: repeats trial {observation.number}",))
    return anchor
