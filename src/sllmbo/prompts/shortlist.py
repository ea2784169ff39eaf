"""
The question which estimators are worth a try on some data: its words, its schema, and how the reply is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sllmbo.errors import ReplyError
from sllmbo.prompts import words
from sllmbo.prompts.render import Prompt, task_card
from sllmbo.prompts.replies import unwrapped
from sllmbo.prompts.template import load_template
from sllmbo.task import Task

_MAX_REASON = 200


def render_shortlist(task: Task, most: int) -> Prompt:
    """Ask for up to *most* of the task's candidates."""
    template = load_template("shortlist")
    text = template.fill(
        "prompt",
        task=task_card(replace(task, estimator="")),
        candidates=", ".join(map(words.name, task.candidates)),
        most=str(most),
        budget=f" and its budget of {task.n_trials} trials in all" if task.n_trials else "",
    )
    return Prompt(template.version, template.fill("system"), text)


def shortlist_schema(task: Task, most: int) -> dict[str, Any]:
    """Return the JSON Schema of a reply that names up to *most* of the task's candidates."""
    entry = {
        "type": "object",
        "properties": {"name": {"type": "string", "enum": list(task.candidates)}, "reason": {"type": "string"}},
        "required": ["name", "reason"],
        "additionalProperties": False,
    }
    listed = {"type": "array", "minItems": 1, "maxItems": most, "items": entry}
    return {
        "type": "object",
        "properties": {"estimators": listed},
        "required": ["estimators"],
        "additionalProperties": False,
    }


def parse_shortlist(reply: Any, task: Task, most: int) -> tuple[tuple[str, str], ...]:
    """
    Return the candidates that *reply* names, at most *most*, each with the reason; what is no candidate is left out.

    Raises:
        ReplyError: If none is a candidate.
    """
    reply = unwrapped(reply, "estimators")
    entries = reply.get("estimators") if isinstance(reply, Mapping) else reply
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise ReplyError('The reply has no list "estimators"; give one.')
    chosen: dict[str, str] = {}
    given: list[str] = []
    for entry in entries:
        name, reason = (entry.get("name"), entry.get("reason")) if isinstance(entry, Mapping) else (entry, "")
        given.append(str(name)[:60])
        spelled = str(name).strip().casefold().replace("-", "_").replace(" ", "_")
        if spelled in task.candidates:
            chosen.setdefault(spelled, " ".join(str(reason or "").split())[:_MAX_REASON])
    if not chosen:
        raise ReplyError(
            f"None of {words.quoted(', '.join(given) or 'nothing', 200)} is a candidate; "
            f"choose among {', '.join(task.candidates)}."
        )
    return tuple(chosen.items())[:most]
