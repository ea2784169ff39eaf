"""
Memory: what of a history is told to a chat model.

`DigestMemory` tells one compact digest, computed anew each time. The others are here for comparison. The paper's two
(arXiv 2410.20302): `SummaryMemory`, in which the chat model condenses what was, and `ChatMemory`, in which the whole
conversation is sent. Two that show what a history is worth: `TableMemory`, the trials alone, and `NoMemory`. A memory
holds nothing but a summary, or what was computed of the trials: the study remembers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, get_args

from sllmbo.errors import ConfigError
from sllmbo.history import History, Observation
from sllmbo.prompts import words
from sllmbo.prompts.digest import digest
from sllmbo.prompts.standing import standing
from sllmbo.prompts.table import trial_table
from sllmbo.space import SearchSpace

MemoryName: TypeAlias = Literal["digest", "summary", "chat", "table", "none"]
Message: TypeAlias = tuple[Literal["user", "assistant"], str]

MAX_SUMMARY = 1_500
"""Characters of a summary; what is longer is cut."""


def check_memory(memory: str) -> None:
    """
    Check that *memory* is the name of one.

    Raises:
        ConfigError: If it is none.
    """
    if memory not in get_args(MemoryName):
        raise ConfigError(f"memory={memory!r} must be one of {', '.join(get_args(MemoryName))}.")


class Memory(Protocol):
    """Chooses what of a history is told."""

    def conversation(self, space: SearchSpace, history: History) -> tuple[Message, ...]:
        """Return what was said before, oldest first."""
        ...

    def state(self, space: SearchSpace, history: History, *, n_trials: int | None, limit: int) -> str:
        """Return the state of the study in words, within about *limit* tokens."""
        ...


@dataclass(frozen=True, slots=True)
class DigestMemory:
    """One compact digest of the whole history; nothing of what was said before."""

    importance: Mapping[str, float] = field(default_factory=dict)
    """How much each parameter matters, if that is known."""

    def conversation(self, space: SearchSpace, history: History) -> tuple[Message, ...]:  # noqa: ARG002
        """Return nothing."""
        return ()

    def state(self, space: SearchSpace, history: History, *, n_trials: int | None, limit: int) -> str:
        """Return the digest."""
        return digest(space, history, n_trials=n_trials, limit=limit, importance=self.importance)


@dataclass(frozen=True, slots=True)
class TableMemory:
    """The trials and their failures as in the digest, without what they come to."""

    def conversation(self, space: SearchSpace, history: History) -> tuple[Message, ...]:  # noqa: ARG002
        """Return nothing."""
        return ()

    def state(self, space: SearchSpace, history: History, *, n_trials: int | None, limit: int) -> str:
        """Return the digest without who has earned what, and without the parameters."""
        return digest(space, history, n_trials=n_trials, limit=limit, only_trials=True)


@dataclass(frozen=True, slots=True)
class NoMemory:
    """How many trials there are, and nothing of them."""

    def conversation(self, space: SearchSpace, history: History) -> tuple[Message, ...]:  # noqa: ARG002
        """Return nothing."""
        return ()

    def state(self, space: SearchSpace, history: History, *, n_trials: int | None, limit: int) -> str:  # noqa: ARG002
        """Return how many trials there are."""
        left = f" of {n_trials}" if n_trials else ""
        return f"STATE\n{len(history)}{left} trials were run; what they were and what came of them is not told."


@dataclass(frozen=True, slots=True)
class SummaryMemory:
    """
    What the chat model itself condensed of the first trials, and all trials since.

    The paper's "intelligent summary". Where condensing fails, the summary before it and all trials since are told, so
    nothing is lost.
    """

    summary: str = ""
    """The last summary; empty before the first."""

    after: int = 0
    """How many trials of the history the summary is about."""

    def conversation(self, space: SearchSpace, history: History) -> tuple[Message, ...]:  # noqa: ARG002
        """Return nothing."""
        return ()

    def state(self, space: SearchSpace, history: History, *, n_trials: int | None, limit: int) -> str:
        """Return the summary, the best trial, and the trials that came after the summary."""
        parts = []
        if self.summary:
            parts.append(f"YOUR SUMMARY of the first {self.after} trials\n{words.quoted(self.summary, MAX_SUMMARY)}")
        best = history.best
        since = [o for o in history if o.number >= self.after or (best is not None and o.number == best.number)]
        parts.append(_counted(history, n_trials))
        if since:
            recent = standing(space, History(history.direction, tuple(since)))
            parts.append(trial_table(recent, limit - sum(words.tokens(part) + 1 for part in parts)))
        return "\n\n".join(parts)


@dataclass(frozen=True, slots=True)
class ChatMemory:
    """
    The whole conversation: what was proposed and what came of it, in order.

    It is rebuilt from the study each time, so it survives a restart and is the same for every worker. Beyond
    *max_characters* the oldest part is left out, and that is said.
    """

    max_characters: int = 24_000

    def conversation(self, space: SearchSpace, history: History) -> tuple[Message, ...]:
        """Return the chat model's proposals as its own words, and the results as answers to them."""
        study = standing(space, history)
        turns: list[Message] = []
        for o in history:
            if o.source == "llm":
                said = {"params": dict(o.params), "rationale": o.rationale}
                turns.append(("assistant", json.dumps(said, default=str)))
            value = study.value(o.value) if o.value is not None else (o.reason or o.state)
            told = (
                words.quoted(value, 120) if o.value is None else f"pruned at {value}" if o.state == "pruned" else value
            )
            result = f"Trial {o.number}: {told}"
            turns.append(
                ("user", result if o.source == "llm" else f"{result} with {_params(o)}, by {words.name(o.source)}")
            )
        return _within(_joined(turns), self.max_characters)

    def state(self, space: SearchSpace, history: History, *, n_trials: int | None, limit: int) -> str:  # noqa: ARG002
        """Return how many trials there are, and the best."""
        best = history.best
        lines = [_counted(history, n_trials)]
        if best is not None:
            lines.append(f"Best: trial {best.number} with {standing(space, history).value(best.value or 0.0)}.")
        return "\n".join(lines)


def _counted(history: History, n_trials: int | None) -> str:
    left = f" of {n_trials}" if n_trials else ""
    return f"STATE\n{len(history)}{left} trials were run, {len(history.failures())} of them failed."


def _params(o: Observation) -> str:
    return ", ".join(f"{words.name(name)} {words.value(value, 4)}" for name, value in o.params.items())


def _joined(turns: list[Message]) -> list[Message]:
    """Join neighbouring words of one speaker: chat models expect the speakers to take turns."""
    joined: list[Message] = []
    for speaker, said in turns:
        if joined and joined[-1][0] == speaker:
            joined[-1] = (speaker, f"{joined[-1][1]}\n{said}")
        else:
            joined.append((speaker, said))
    return joined


def _within(turns: list[Message], limit: int) -> tuple[Message, ...]:
    kept: list[Message] = []
    left = limit
    for speaker, said in reversed(turns):
        left -= len(said)
        if left < 0:
            break
        kept.append((speaker, said))
    kept.reverse()
    if len(kept) < len(turns):
        note = f"(The first {len(turns) - len(kept)} messages are left out.)"
        if kept and kept[0][0] == "user":
            kept[0] = ("user", f"{note}\n{kept[0][1]}")
        else:
            kept.insert(0, ("user", note))
    elif kept and kept[0][0] == "assistant":
        kept.insert(0, ("user", "What should be run first?"))
    return tuple(kept)
