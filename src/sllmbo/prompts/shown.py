"""
What a chat model is shown of a study: first what may leave the machine, then under which names. Pure.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from sllmbo.history import History
from sllmbo.prompts import words
from sllmbo.prompts.masking import Masking, mask_all, mask_awkward
from sllmbo.prompts.privacy import Privacy, visible, visible_history, visible_space
from sllmbo.prompts.render import space_table
from sllmbo.prompts.replies import suggestions_schema
from sllmbo.space import SearchSpace
from sllmbo.space.branches import ROOT, branches, only
from sllmbo.task import Task


@dataclass(frozen=True, slots=True)
class Shown:
    """A task, a search space and trials as they may be rendered, and how to read the reply."""

    task: Task
    space: SearchSpace
    history: History
    masking: Masking
    """Turns values and words of a reply back into the true names."""


_IN_PLAY_TOKENS = (750, 450)
"""What the parameters of several estimators may take of a question, before and after enough trials are to be told."""
_ENOUGH_TRIALS = 10


def in_play(space: SearchSpace, history: History) -> SearchSpace:
    """
    Return what of a space of several estimators is told: the parameters of the best of them, as many as there is room.

    All of them can still be named, and their trials are told. Any other space is returned as it is.
    """
    best_first = ranked_branches(branches(space), history)
    room = _IN_PLAY_TOKENS[len(history) >= _ENOUGH_TRIALS]
    for n in range(len(best_first), 0, -1):
        told = only(space, tuple(best_first[:n]))
        schema = json.dumps(suggestions_schema(told, 1), separators=(",", ":"))
        size = words.tokens(space_table(told, 0)) + words.tokens(schema)
        if size <= room or n == 1:
            return told
    return space


def ranked_branches(names: Sequence[str], history: History) -> list[str]:
    """Return the branches by their best value, the best first; those without one at the end, in their order."""
    best: dict[str, int] = {}
    for place, observation in enumerate(history.ranked()):
        best.setdefault(str(observation.params.get(ROOT)), place)
    return sorted(names, key=lambda name: (best.get(name, math.inf), names.index(name)))


def shown(task: Task, space: SearchSpace, history: History, *, privacy: Privacy, mask_names: bool = False) -> Shown:
    """
    Return what is shown of a study at a level of privacy.

    Args:
        task: What is tuned.
        space: The present search space; of one of several estimators only what is in play is shown.
        history: All trials.
        privacy: See `sllmbo.prompts.privacy`.
        mask_names: Whether parameters and categories are called x1, c1 and so on, and nothing else is named.
    """
    space = visible_space(in_play(space, history), privacy)
    masking = mask_all(space) if mask_names else mask_awkward(space)
    return Shown(
        task=masking.task(visible(task, privacy)),
        space=masking.masked,
        history=masking.history(visible_history(history, privacy, space)),
        masking=masking,
    )
