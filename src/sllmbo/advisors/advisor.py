"""
The seam to whoever gives advice: the `Advisor` protocol and its values.

An advisor is asked and answers; it keeps no memory of a study. All that it may know of one comes in the request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from sllmbo.history import History
from sllmbo.space import Leeway, SearchSpace, SpaceEdit
from sllmbo.task import Task
from sllmbo.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Memo:
    """What an advisor wrote down for itself. It lies on the trial that it came with, and is told in later requests."""

    text: str
    after: int
    """How many trials of the history it is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One configuration to try, and why."""

    params: Mapping[str, Any]
    """Values by parameter name, as the advisor gave them. Whoever uses them repairs them first."""

    rationale: str = ""
    """The reason, one or two sentences."""

    source: str = "advisor"
    """Who gave it, in one word, as it is counted in reports: "llm", "rules", ..."""

    origin: str = ""
    """Who gave it, exactly: the chat model's name, the rule's name."""

    prompt_version: str = ""

    usage: Usage = Usage()
    """Its share of what the request cost: the usages of one answer add up to the whole."""

    raw: str = ""
    """
    What a chat model replied, one JSON text per line, corrected replies first: a reply that was JSON, or the words of
    one that was not. First of a reply only.
    """

    memo: Memo | None = None
    """What the advisor wants to be told next time; None leaves the last one in force. First of a reply only."""

    edits: tuple[SpaceEdit, ...] = ()
    """Edits of the search space, from the next trial on, within the request's leeways. First of a reply only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviceRequest:
    """All that an advisor is told when it is asked what to try."""

    task: Task
    space: SearchSpace
    """The present search space, edits included."""
    history: History

    leeways: Mapping[str, Leeway] = field(default_factory=dict)
    """The parameters whose bounds may be edited now, and how far."""

    importance: Mapping[str, float] = field(default_factory=dict)
    """How much each parameter matters: its share in [0, 1]; empty before enough is known. Follows from the trials."""

    memo: Memo | None = None
    """What the advisor last wrote down for itself."""

    n: int = 1
    """How many configurations are wanted at most."""

    purpose: Literal["opening", "next"] = "next"
    """An opening is a diverse batch at the start of a study; next is what to try now."""

    turn: int = 0
    """Which turn of the study this is: the trial's number, not counting abandoned trials."""

    seed: int = 0
    """The study's seed. An advisor that draws random numbers derives them from (seed, turn)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceDesign:
    """A search space that an advisor designed."""

    space: SearchSpace
    rationale: str = ""
    source: str = "advisor"
    origin: str = ""
    prompt_version: str = ""
    usage: Usage = Usage()
    raw: str = ""
    shortlist: tuple[tuple[str, str], ...] = ()
    """Where the task names candidates: those that the space is over, each with the reason, the most promising first."""


@runtime_checkable
class Advisor(Protocol):
    """Who is asked what to try. Called from several threads at once."""

    def design_space(self, task: Task) -> SpaceDesign:
        """
        Return a search space for *task*, with defaults.

        Raises:
            AdviceError: If no usable space could be had.
        """
        ...

    def suggest(self, request: AdviceRequest) -> Sequence[Advice]:
        """
        Return at least one and up to `request.n` configurations, the one to try first in front.

        Raises:
            AdviceError: If no usable advice could be had.
        """
        ...
