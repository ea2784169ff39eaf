"""
Load and fill a prompt template: a file with a version in its first line and named parts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template

_VERSION = re.compile(r"<!-- version: (\S+) -->")
_PART = re.compile(r"<!-- part: (\w+) -->")


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """The words of one kind of question."""

    version: str
    """Name and number, such as "suggest/1"; raised with every change of the words."""

    parts: dict[str, Template]

    def fill(self, part: str, **variables: str) -> str:
        """
        Return a part with its variables filled in.

        Raises:
            ValueError: If a variable of the part is missing, or one is given that it does not have.
        """
        template = self.parts[part]
        wanted = set(template.get_identifiers())
        if wanted != set(variables):
            raise ValueError(
                f"Part {part!r} of prompt {self.version!r} has the variables {sorted(wanted)}, "
                f"and was given {sorted(variables)}; give exactly its own."
            )
        return template.substitute(variables).strip()


def parse_template(text: str) -> PromptTemplate:
    """
    Read a template.

    Raises:
        ValueError: If the first line is no version, text stands before the first part, or a variable is malformed.
    """
    first, _, rest = text.partition("\n")
    version = _VERSION.fullmatch(first.strip())
    if version is None:
        raise ValueError(f"The first line of a prompt template is its version, not {first!r}.")
    head, *split = _PART.split(rest)
    if head.strip() or not split:
        raise ValueError(f"Prompt {version.group(1)!r} must begin with a part: <!-- part: name -->.")
    parts = {name: Template(words.strip()) for name, words in zip(split[::2], split[1::2], strict=True)}
    for name, part in parts.items():
        if not part.is_valid():
            raise ValueError(f"Part {name!r} of prompt {version.group(1)!r} has a malformed variable; write $$ for $.")
    return PromptTemplate(version.group(1), parts)


@cache
def load_template(name: str) -> PromptTemplate:
    """Return the template that ships under *name*."""
    return parse_template((files("sllmbo.prompts") / "templates" / f"{name}.md").read_text(encoding="utf-8"))
