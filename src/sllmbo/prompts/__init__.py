"""
The words: a task and its history become a question, and the reply becomes values. Pure; nothing is asked here.
"""

from sllmbo.prompts.render import Prompt, render_design, render_suggestions
from sllmbo.prompts.replies import Suggestion, design_schema, parse_design, parse_suggestions, suggestions_schema

__all__ = [
    "Prompt",
    "Suggestion",
    "design_schema",
    "parse_design",
    "parse_suggestions",
    "render_design",
    "render_suggestions",
    "suggestions_schema",
]
