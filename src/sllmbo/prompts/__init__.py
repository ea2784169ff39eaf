"""
The words: a task and its history become a question, and the reply becomes values. Pure; nothing is asked here.
"""

from sllmbo.prompts.masking import Masking
from sllmbo.prompts.memory import (
    ChatMemory,
    DigestMemory,
    Memory,
    MemoryName,
    Message,
    NoMemory,
    SummaryMemory,
    TableMemory,
    check_memory,
)
from sllmbo.prompts.privacy import Privacy, check_privacy, visible
from sllmbo.prompts.render import Prompt, offered, render_condense, render_design, render_suggestions
from sllmbo.prompts.replies import (
    Suggestion,
    condense_schema,
    design_schema,
    parse_condense,
    parse_design,
    parse_edits,
    parse_suggestions,
    suggestions_schema,
)
from sllmbo.prompts.shortlist import parse_shortlist, render_shortlist, shortlist_schema
from sllmbo.prompts.shown import Shown, shown

__all__ = [
    "ChatMemory",
    "DigestMemory",
    "Masking",
    "Memory",
    "MemoryName",
    "Message",
    "NoMemory",
    "Privacy",
    "Prompt",
    "Shown",
    "Suggestion",
    "SummaryMemory",
    "TableMemory",
    "check_memory",
    "check_privacy",
    "condense_schema",
    "design_schema",
    "offered",
    "parse_condense",
    "parse_design",
    "parse_edits",
    "parse_shortlist",
    "parse_suggestions",
    "render_condense",
    "render_design",
    "render_shortlist",
    "render_suggestions",
    "shortlist_schema",
    "shown",
    "suggestions_schema",
    "visible",
]
