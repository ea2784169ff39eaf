"""
Advice over several estimators: which ones to look at, and each one's own rules within it.

That is successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943): all of them in the first part of the trials,
then the better half, and so on to the last one. Those that are left have the same number of trials: forests do well by
default and gain little by tuning, boosted trees the other way round (Probst et al. 2019), so the default alone is no
judge.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from sllmbo.advisors.advisor import Advice, AdviceRequest
from sllmbo.history import History
from sllmbo.prompts.shown import ranked_branches
from sllmbo.space.branches import ROOT, branch, branches, inside, outside

_TRIALS_EACH = 10
"""Trials that each estimator is thought to have where nobody said how many there are."""


def alive(names: Sequence[str], history: History, n_trials: int | None) -> list[str]:
    """
    Return the branches that are still in the running, the best first.

    Example:
        >>> alive(["svm", "knn"], History("maximize"), 20)
        ['svm', 'knn']
    """
    rounds = math.ceil(math.log2(len(names))) + 1
    share = len(history) / (n_trials or _TRIALS_EACH * len(names))
    halvings = min(int(share * rounds), rounds - 1)
    return ranked_branches(names, history)[: max(1, math.ceil(len(names) / 2**halvings))]


def advised(request: AdviceRequest, suggest: Callable[[AdviceRequest], Sequence[Advice]]) -> list[Advice]:
    """
    Return up to `request.n` configurations of the branches that are in the running.

    Args:
        request: The question over the whole space.
        suggest: Answers the question for one branch, under its own names.
    """
    order = list(_order(request, alive(branches(request.space), request.history, request.task.n_trials)))
    answers = {
        name: iter([_outside(advice, name) for advice in suggest(_inside(request, name, order.count(name)))])
        for name in dict.fromkeys(order)
    }
    return [advice for name in order if (advice := next(answers[name], None)) is not None]


def _order(request: AdviceRequest, left: Sequence[str]) -> Iterator[str]:
    """Yield the branch of each configuration: the one of *left* with the fewest trials, of equal ones the better."""
    trials = Counter(o.params.get(ROOT) for o in request.history)
    for _ in range(request.n):
        name = min(left, key=lambda name: trials[name])
        trials[name] += 1
        yield name


def _inside(request: AdviceRequest, name: str, n: int) -> AdviceRequest:
    own = (replace(o, params=inside(o.params, name)) for o in request.history if o.params.get(ROOT) == name)
    return replace(
        request,
        task=replace(request.task, estimator=name, candidates=()),
        space=branch(request.space, name),
        history=replace(request.history, observations=tuple(own)),
        leeways=inside(request.leeways, name),
        importance={},
        n=n,
    )


def _outside(advice: Advice, name: str) -> Advice:
    edits = tuple(replace(edit, parameter=f"{name}.{edit.parameter}") for edit in advice.edits)
    origin = advice.origin if advice.origin.startswith(f"{name}:") else f"{name}: {advice.origin}"
    return replace(advice, params=outside(advice.params, name), origin=origin, edits=edits)
