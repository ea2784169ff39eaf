"""
What a chat model is shown of a study: first what may leave the machine, then under which names. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from sllmbo.history import History
from sllmbo.prompts.masking import Masking, mask_all, mask_awkward
from sllmbo.prompts.privacy import Privacy, visible, visible_history, visible_space
from sllmbo.space import SearchSpace
from sllmbo.task import Task


@dataclass(frozen=True, slots=True)
class Shown:
    """A task, a search space and trials as they may be rendered, and how to read the reply."""

    task: Task
    space: SearchSpace
    history: History
    masking: Masking
    """Turns values and words of a reply back into the true names."""


def shown(task: Task, space: SearchSpace, history: History, *, privacy: Privacy, mask_names: bool = False) -> Shown:
    """
    Return what is shown of a study at a level of privacy.

    Args:
        task: What is tuned.
        space: The present search space.
        history: All trials.
        privacy: See `sllmbo.prompts.privacy`.
        mask_names: Whether parameters and categories are called x1, c1 and so on, and nothing else is named.
    """
    space = visible_space(space, privacy)
    masking = mask_all(space) if mask_names else mask_awkward(space)
    return Shown(
        task=masking.task(visible(task, privacy)),
        space=masking.masked,
        history=masking.history(visible_history(history, privacy, space)),
        masking=masking,
    )
