"""
From "provider:name" and a base URL to a chat model of pydantic-ai. The only place that reads keys.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sllmbo.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from pydantic_ai.models import Model

_OWN_EXTRAS = ("openai", "anthropic", "google")
_VALID = (
    'write "provider:name", for example "openai:gpt-5-mini", "anthropic:claude-haiku-4-5", "google:gemini-2.5-flash" '
    'or "ollama:qwen3", or give a base_url for any OpenAI-compatible server'
)
_OLLAMA_URL = "http://localhost:11434/v1"


def split_spec(llm: str) -> tuple[str, str]:
    """
    Return the provider and the name in "provider:name".

    Raises:
        ConfigError: If *llm* is not of this form.
    """
    provider, colon, name = llm.partition(":") if isinstance(llm, str) else ("", "", "")
    if (
        not (colon and provider and name)
        or llm != llm.strip()
        or any(part != part.strip() for part in (provider, name))
    ):
        raise ConfigError(f"{llm!r} names no chat model; {_VALID}.")
    return provider, name


def check_base_url(base_url: str) -> None:
    """
    Check that *base_url* is the address of a server.

    Raises:
        ConfigError: If it is not.
    """
    try:
        parts = urlsplit(base_url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except (ValueError, AttributeError, TypeError):
        valid = False
    if not valid:
        raise ConfigError(f'base_url={base_url!r} is no server address; write one like "http://localhost:8000/v1".')


def without_secrets(url: str) -> str:
    """Return *url* without user name, password and query, for messages."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def resolve(llm: str, *, base_url: str | None = None) -> Model:
    """
    Build the chat model that *llm* names.

    Args:
        llm: "provider:name".
        base_url: An OpenAI-compatible server. It is asked for *name* by the chat-completions protocol, with the key in
            OPENAI_API_KEY if that is set; its prices are unknown. Without it the provider's own server is asked.

    Raises:
        ConfigError: If the provider is unknown, its key is missing, or it cannot be set up.
        MissingExtra: If the provider's client is not installed.
    """
    provider, name = split_spec(llm)
    if base_url is not None:
        check_base_url(base_url)
    elif provider == "ollama" and not os.environ.get("OLLAMA_BASE_URL"):
        base_url = _OLLAMA_URL
    try:
        return _build(provider, name, base_url)
    except ImportError as error:
        raise _missing_extra(llm, error) from error
    except ConfigError:
        raise
    except Exception as error:  # each provider's client refuses its configuration with an exception of its own
        raise ConfigError(f"The chat model {llm!r} cannot be used: {_remedy(str(error))}") from error


def _build(provider: str, name: str, base_url: str | None) -> Model:
    from pydantic_ai.models import infer_model
    from pydantic_ai.providers import infer_provider_class

    if base_url is not None:
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

        key = os.environ.get("OPENAI_API_KEY") or None
        return OpenAIChatModel(name, provider=OpenAICompatibleProvider(provider, base_url=base_url, api_key=key))
    try:
        infer_provider_class(provider)
    except ValueError as error:
        raise ConfigError(f"{provider!r} in {f'{provider}:{name}'!r} is no known provider; {_VALID}.") from error
    return infer_model(f"{provider}:{name}")


def _missing_extra(llm: str, error: ImportError) -> MissingExtra:
    named = re.search(r"pydantic-ai-slim\[([\w-]+)\]", str(error))
    extra = named.group(1) if named else ""
    package = (
        f"sllmbo[{extra}]" if extra in _OWN_EXTRAS else f"pydantic-ai-slim[{extra}]" if extra else "sllmbo[openai]"
    )
    return MissingExtra(f'The chat model {llm!r} needs a package that is not installed: pip install "{package}".')


def _remedy(reason: str) -> str:
    variables = list(dict.fromkeys(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`", reason)))
    if variables:
        return f"set the environment variable {' or '.join(variables)}."
    return reason.split("\n")[0]
