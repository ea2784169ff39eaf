"""
From what users write to an advisor: "offline", "provider:model", "replay:FILE", or an `Advisor` as it is.
"""

from __future__ import annotations

import os
from pathlib import Path

from sllmbo.advisors.advisor import Advisor
from sllmbo.errors import ConfigError
from sllmbo.prompts import MemoryName, Privacy, check_privacy

REPLAYS = ("replay:", "replay-lenient:")
"""How the name of a recording begins."""


def choose_advisor(
    llm: str | Advisor | None = None,
    *,
    base_url: str | None = None,
    privacy: Privacy = "description",
    mask_names: bool = False,
    memory: MemoryName = "digest",
) -> Advisor:
    """
    Return the advisor that *llm* names.

    Args:
        llm: "offline" (documented rules, no chat model), "provider:model" ("openai:gpt-5-mini"), "replay:FILE" (a
            recording; "replay-lenient:FILE" answers by turn where a question differs), or an `Advisor`. None: what the
            environment variable SLLMBO_LLM says, else "offline". A key that happens to lie in the environment is never
            spent unasked.
        base_url: An OpenAI-compatible server for "provider:model", such as vLLM or llama.cpp.
        privacy: What "provider:model" is told at most, see `LLMAdvisor`. The other advisors send nothing.
        mask_names: Whether "provider:model" is told no names, see `LLMAdvisor`.

        memory: What "provider:model" is told of the trials: "digest", "summary" or "chat", see `LLMAdvisor`.

    Raises:
        ConfigError: If *llm* names nothing that there is, a key is missing, *privacy* is no level, or an `Advisor` is
            given that would not heed *privacy* and *mask_names*.
        MissingExtra: If the provider's package is not installed.
    """
    if llm is None:
        llm = os.environ.get("SLLMBO_LLM") or "offline"
    check_privacy(privacy)
    if not isinstance(llm, str):
        if (privacy, mask_names, memory, base_url) != ("description", False, "digest", None):
            raise ConfigError(
                f"privacy={privacy!r}, mask_names={mask_names!r}, memory={memory!r} and base_url={base_url!r} would "
                f"not reach {llm!r}; give them to LLMAdvisor(...) itself."
            )
        return llm
    if base_url is not None and (llm == "offline" or llm.startswith(REPLAYS)):
        raise ConfigError(f"base_url={base_url!r} needs a chat model, but llm={llm!r} is none; name it 'openai:NAME'.")
    if llm == "offline":
        from sllmbo.advisors.rules import RuleAdvisor

        return RuleAdvisor()
    if llm.startswith(REPLAYS):
        from sllmbo.advisors.replay import ReplayAdvisor

        kind, _, path = llm.partition(":")
        return ReplayAdvisor(Path(path), lenient=kind == "replay-lenient")
    if ":" not in llm:
        raise ConfigError(f"llm={llm!r} is neither 'offline' nor 'provider:model' nor 'replay:FILE'.")
    from sllmbo.advisors.llm import LLMAdvisor

    return LLMAdvisor(llm, base_url=base_url, privacy=privacy, mask_names=mask_names, memory=memory)
