"""
From what users write to an advisor: "offline", "provider:model", "replay:FILE", or an `Advisor` as it is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sllmbo.advisors.advisor import Advisor
from sllmbo.errors import ConfigError
from sllmbo.llm import ReplyMode
from sllmbo.prompts import MemoryName, Privacy, check_memory, check_privacy

REPLAYS = ("replay:", "replay-lenient:")
"""How the name of a recording begins."""


def choose_advisor(
    llm: str | Advisor | None = None,
    *,
    base_url: str | None = None,
    reply_mode: ReplyMode = "auto",
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
        reply_mode: How "provider:model" is asked for its replies: "tool" (a tool call), "native" (a JSON Schema as the
            response format), "prompted" (in words), or "auto" for what works.
        privacy: What "provider:model" is told at most, see `LLMAdvisor`. The other advisors send nothing.
        mask_names: Whether "provider:model" is told no names, see `LLMAdvisor`.
        memory: What "provider:model" is told of the trials: "digest", "summary" or "chat", see `LLMAdvisor`.

    Raises:
        ConfigError: If *llm* names nothing that there is, a key is missing, *privacy*, *memory* or *reply_mode* is
            none that there is, or is given beside an advisor that would not heed it.
        MissingExtra: If the provider's package is not installed.
    """
    if llm is None:
        llm = os.environ.get("SLLMBO_LLM") or "offline"
    check_privacy(privacy)
    check_memory(memory)
    asked = {"base_url": (base_url, None), "reply_mode": (reply_mode, "auto")}
    told = {"privacy": (privacy, "description"), "mask_names": (mask_names, False), "memory": (memory, "digest")}
    if not isinstance(llm, str):
        if foreign := _given({**asked, **told}):
            raise ConfigError(f"{foreign} would not reach {llm!r}; give it to LLMAdvisor(...) itself.")
        return llm
    if (llm == "offline" or llm.startswith(REPLAYS)) and (foreign := _given(asked)):
        raise ConfigError(f"{foreign} needs a chat model, but llm={llm!r} is none; name it 'openai:NAME'.")
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

    return LLMAdvisor(
        llm, base_url=base_url, reply_mode=reply_mode, privacy=privacy, mask_names=mask_names, memory=memory
    )


def _given(arguments: Mapping[str, tuple[Any, Any]]) -> str:
    """Return in words the arguments that are not what they are by default."""
    return ", ".join(f"{name}={value!r}" for name, (value, default) in arguments.items() if value != default)
