"""
From "provider:name" and a base URL to a chat model of pydantic-ai. The only place that reads keys.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sllmbo.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from pydantic_ai.exceptions import ModelHTTPError
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.models import Model
    from pydantic_ai.models.openai import OpenAIChatModel


@dataclass(frozen=True, slots=True)
class Provider:
    """What a provider needs. Its extra of sllmbo has the provider's name."""

    module: str
    """Its client, as it is imported."""

    keys: tuple[str, ...] = ()
    """Environment variables that may hold its key; the first that is set is used."""

    settings: tuple[str, ...] = ()
    """Further environment variables that it needs."""

    @property
    def installed(self) -> bool:
        """Tell whether its client is there."""
        try:
            return find_spec(self.module) is not None
        except ModuleNotFoundError:  # not even the package above it is there
            return False


PROVIDERS = {
    "openai": Provider("openai", ("OPENAI_API_KEY",)),
    "anthropic": Provider("anthropic", ("ANTHROPIC_API_KEY",)),
    "google": Provider("google.genai", ("GOOGLE_API_KEY", "GEMINI_API_KEY")),
    "azure": Provider("openai", ("AZURE_OPENAI_API_KEY",), ("AZURE_OPENAI_ENDPOINT", "OPENAI_API_VERSION")),
    "bedrock": Provider("boto3", ("AWS_BEARER_TOKEN_BEDROCK", "AWS_SECRET_ACCESS_KEY"), ("AWS_DEFAULT_REGION",)),
    "mistral": Provider("mistralai", ("MISTRAL_API_KEY",)),
    "groq": Provider("groq", ("GROQ_API_KEY",)),
    "openrouter": Provider("openai", ("OPENROUTER_API_KEY",)),
    "ollama": Provider("openai", ("OLLAMA_API_KEY",)),
}
"""The providers that are documented here; pydantic-ai knows more of them."""

_VALID = (
    'write "provider:name", for example "openai:gpt-5-mini", "anthropic:claude-haiku-4-5", "google:gemini-2.5-flash" '
    'or "ollama:qwen3", or give a base_url for any OpenAI-compatible server'
)
_OLLAMA_URL = "http://localhost:11434/v1"
_LOOKS_LIKE_A_KEY = re.compile(r"\b(?:sk-|AIza|gsk_|AKIA)[\w*-]+")  # servers may quote a refused key, or half of it
_KEYS = frozenset(name for provider in PROVIDERS.values() for name in provider.keys)
_ENDS_OF_KEYS = ("_API_KEY", "_TOKEN", "_SECRET")
_SHORTEST_KEY = 8  # what is shorter is a stand-in such as "none", and may be a part of words
_SERVERS_FAULT, _BAD_GATEWAY = 500, 502  # of HTTP
_NO_KEY = "none"  # clients insist on one where servers on one's own machine ask for none


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


def split_chain(llm: str | Sequence[str]) -> tuple[str, ...]:
    """
    Return the chat models in "provider:name,provider:name", or in a sequence of such names, each checked for its form.

    Raises:
        ConfigError: If one is not "provider:name", or there is none.
    """
    specs = llm.split(",") if isinstance(llm, str) else list(llm)
    if len(specs) > 1:
        specs = [spec.strip() if isinstance(spec, str) else spec for spec in specs]
    for spec in specs or [""]:
        split_spec(spec)
    return tuple(specs)


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


def without_keys(words: str) -> str:
    """Return *words* without anything that is a key or token in the environment, or looks like one."""
    known = {value.strip() for name, value in os.environ.items() if name in _KEYS or name.endswith(_ENDS_OF_KEYS)}
    for key in sorted(known, key=len, reverse=True):  # one may contain another
        if len(key) >= _SHORTEST_KEY:
            words = words.replace(key, "<key>")
    return _LOOKS_LIKE_A_KEY.sub("<key>", words)


def keys_set() -> list[str]:
    """Return the names of the environment variables that hold a key now."""
    names = [name for provider in PROVIDERS.values() for name in provider.keys]
    return [name for name in names if os.environ.get(name, "").strip()]


def server_of(llm: str, base_url: str | None) -> str | None:
    """Return the server that is asked for *llm* instead of the provider's own, or None."""
    if base_url is not None:
        return base_url
    provider, _ = split_spec(llm)
    if provider == "openai":
        return os.environ.get("OPENAI_BASE_URL") or None
    return (os.environ.get("OLLAMA_BASE_URL") or _OLLAMA_URL) if provider == "ollama" else None


def resolve(llm: str, *, base_url: str | None = None) -> Model:
    """
    Build the chat model that *llm* names.

    Args:
        llm: "provider:name".
        base_url: The server to ask instead of the provider's own, with the provider's key if that is set. "anthropic:"
            and "google:" speak their own protocols to it, "openai-responses:" that of OpenAI's responses, and any
            other name means chat completions. Its prices are unknown.

    Raises:
        ConfigError: If the provider is unknown, its key is missing, or it cannot be set up.
        MissingExtra: If the provider's client is not installed.
    """
    provider, name = split_spec(llm)
    server = server_of(llm, base_url)
    if server is not None:
        check_base_url(server)
    try:
        return _hosted(provider, name) if server is None else _at(server, provider, name)
    except ImportError as error:
        raise _missing_extra(llm, error, at_server=server is not None) from error
    except ConfigError:
        raise
    except Exception as error:  # each provider's client refuses its configuration with an exception of its own
        raise ConfigError(f"The chat model {llm!r} cannot be used: {_remedy(provider, str(error))}") from error


def _hosted(provider: str, name: str) -> Model:
    """Build a chat model at its provider. OpenAI's own are asked by the responses API: some of them know no other."""
    from pydantic_ai.models import infer_model
    from pydantic_ai.providers import infer_provider_class

    try:
        infer_provider_class(provider)
    except ValueError as error:
        raise ConfigError(f"{provider!r} in {f'{provider}:{name}'!r} is no known provider; {_VALID}.") from error
    if provider in ("openai", "openai-responses"):
        from pydantic_ai.providers.openai import OpenAIProvider

        return _responses(name, OpenAIProvider())
    return infer_model(f"{provider}:{name}")


def _responses(name: str, provider: object) -> Model:
    from pydantic_ai.models.openai import OpenAIResponsesModel, OpenAIResponsesModelSettings

    # by default the API keeps each question for 30 days
    return OpenAIResponsesModel(name, provider=provider, settings=OpenAIResponsesModelSettings(openai_store=False))  # type: ignore[arg-type]


def _at(server: str, provider: str, name: str) -> Model:
    key = _key_for(provider)
    root = re.sub(r"/v1(beta)?/?$", "", server)  # two of the clients add the version themselves
    if provider == "anthropic":
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        return AnthropicModel(name, provider=AnthropicProvider(api_key=key or _NO_KEY, base_url=root))
    if provider == "google":
        from pydantic_ai.models.google import GoogleModel
        from pydantic_ai.providers.google import GoogleProvider

        return GoogleModel(name, provider=GoogleProvider(api_key=key or _NO_KEY, base_url=root))
    from pydantic_ai.profiles.openai import OpenAIModelProfile
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    if provider == "openai-responses":
        return _responses(name, OpenAIProvider(api_key=key or _NO_KEY, base_url=server))
    # all such servers know max_tokens, fewer of them its successor
    profile = OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False, supports_json_schema_output=True)
    if provider == "ollama":
        from pydantic_ai.models.ollama import OllamaModel
        from pydantic_ai.providers.ollama import OllamaProvider

        return OllamaModel(name, provider=OllamaProvider(base_url=server, api_key=key), profile=profile)
    compatible = OpenAICompatibleProvider(provider, base_url=server, api_key=key)
    return _telling_chat_model()(name, provider=compatible, profile=profile)


def _telling_chat_model() -> type[OpenAIChatModel]:
    """Return the class of chat completions whose errors hold what a server said, also with HTTP 200."""
    from pydantic_ai.exceptions import UnexpectedModelBehavior
    from pydantic_ai.models.openai import OpenAIChatModel

    class TellingChatModel(OpenAIChatModel):
        def _process_response(self, response: Any, **about: Any) -> ModelResponse:
            if isinstance(response, str):
                raise UnexpectedModelBehavior("Expected a JSON response", response)
            told = getattr(response, "error", None)
            if told and not getattr(response, "choices", None):
                raise _error_told(told, self.model_name)
            return super()._process_response(response, **about)

    return TellingChatModel


def _error_told(told: object, name: str) -> ModelHTTPError:
    """Return the error that a server tells in an answer of HTTP 200, by the status in it: a proxy's habit."""
    from pydantic_ai import exceptions

    code = str(told.get("code")) if isinstance(told, dict) else ""
    status = int(code) if re.fullmatch("[45][0-9][0-9]", code) else _BAD_GATEWAY
    other = exceptions.ModelServerError if status >= _SERVERS_FAULT else exceptions.ModelRequestRejectedError
    categories: dict[int, Any] = {
        401: exceptions.ModelAuthenticationError,
        402: exceptions.ModelQuotaExceededError,
        403: exceptions.ModelAuthenticationError,
        404: exceptions.ModelNotFoundError,
        429: exceptions.ModelRateLimitError,
    }
    category = categories.get(status, other)
    return exceptions.ModelHTTPError.for_category(category, status_code=status, model_name=name, body=told)


def _key_for(provider: str) -> str | None:
    known = PROVIDERS.get(provider, PROVIDERS["openai"])
    return next((os.environ[name] for name in known.keys if os.environ.get(name)), None)


def _missing_extra(llm: str, error: ImportError, *, at_server: bool) -> MissingExtra:
    provider, _ = split_spec(llm)
    named = re.search(r"pydantic-ai-slim\[([\w-]+)\]", str(error))
    if provider in PROVIDERS and not (at_server and named and named.group(1) == "openai"):
        package = f"sllmbo[{provider}]"
    else:
        package = f"pydantic-ai-slim[{named.group(1)}]" if named and named.group(1) != "openai" else "sllmbo[openai]"
    return MissingExtra(f'The chat model {llm!r} needs a package that is not installed: pip install "{package}".')


def _remedy(provider: str, reason: str) -> str:
    needed = (
        [name for name in PROVIDERS[provider].settings if not os.environ.get(name)] if provider in PROVIDERS else []
    )
    if needed:
        return f"set the environment variables {', '.join((*needed, PROVIDERS[provider].keys[0]))}."
    variables = list(dict.fromkeys(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`", reason)))
    if variables:
        return f"set the environment variable {' or '.join(variables)}."
    return without_keys(reason.split("\n")[0])
