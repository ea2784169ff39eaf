"""
What providers and their clients raise, as errors of sllmbo, and what can be done about it.
"""

from __future__ import annotations

import json

from sllmbo.errors import AuthenticationFailed, ContextTooLong, ProviderError, RateLimited, Refused, Unavailable
from sllmbo.llm.resolve import without_keys

_MAX_QUOTED = 300
_ABOUT_THE_MODE = ("tool", "function call", "response_format", "response format", "schema", "grammar")
_ABOUT_THE_LIMIT = ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxoutputtokens", "context length")
_TOO_LONG = ("context length", "context window", "context_length", "prompt is too long", "too many tokens")
_FIRST_ERROR = 400  # of HTTP
_PASSING = (408, 409)
"""Statuses of HTTP that say to try again, beside those that the client has classes for."""
_NOT_CONNECTED = ("ConnectionRefusedError", "ConnectError", "ConnectTimeout", "EndpointConnectionError")
_WITHOUT_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError")


def pause_after(error: Exception, pause: float) -> float | None:
    """Return the seconds to wait before the request is repeated, or None if repeating is no use."""
    from pydantic_ai import exceptions

    passing = (
        exceptions.ModelRateLimitError,
        exceptions.ModelServerError,
        exceptions.ModelUnavailableError,
        exceptions.ModelConnectionError,
    )
    is_passing = isinstance(error, passing) or getattr(error, "status_code", None) in _PASSING
    if not is_passing or is_about_the_mode(error):
        return None
    after = getattr(error, "retry_after", None)
    return pause if after is None else max(after, 0.0)


def is_about_the_mode(error: BaseException | None) -> bool:
    """
    Tell whether the server may have rejected the tool or the response format, not the question.

    A rejection (HTTP 400, 422) may always be about it, since servers explain themselves badly. Some of them say with
    another status that they know no tools (OpenRouter 404, llama.cpp 500): then the words must say so.
    """
    from pydantic_ai import exceptions

    if isinstance(error, exceptions.ModelAuthenticationError):
        return False
    if isinstance(error, (exceptions.ModelNotFoundError, exceptions.ModelServerError)):
        return any(word in _detail(error).lower() for word in _ABOUT_THE_MODE)
    return isinstance(error, exceptions.ModelRequestRejectedError) and not is_about_the_limit(error)


def is_about_the_limit(error: BaseException | None) -> bool:
    """Tell whether the server rejected the token limit: by its name, or as too large for its context."""
    from pydantic_ai import exceptions

    rejected = isinstance(error, exceptions.ModelRequestRejectedError)
    return rejected and any(word in _detail(error).lower() for word in _ABOUT_THE_LIMIT)


def words_in(error: BaseException) -> str | None:
    """
    Return what a server said that is no answer of a chat API, as far as its client tells; None if nothing came.

    Some clients keep the body, some the text that was no JSON, some quote it in their message.
    """
    body = getattr(error, "body", None)
    if isinstance(body, str):
        return body
    cause = error.__cause__
    if isinstance(cause, json.JSONDecodeError):
        return cause.doc
    return str(error) if "a JSON response" in str(error) else None


def is_unbilled(error: BaseException) -> bool:
    """
    Tell whether a failed request cost nothing for sure: the server told an error, or nothing was sent to it.

    A connection that was lost later may have carried a question that was answered, and billed.
    """
    status = getattr(error, "status_code", None)
    if (isinstance(status, int) and status >= _FIRST_ERROR) or type(error).__name__ in _WITHOUT_CREDENTIALS:
        return True
    causes, cause = [error], error.__cause__ or error.__context__
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    return any(type(cause).__name__ in _NOT_CONNECTED for cause in causes)


def provider_error(who: str, error: Exception) -> ProviderError:
    """Return the error of sllmbo for one of a provider's client, in one sentence."""
    from pydantic_ai import exceptions

    detail = _detail(error)
    if isinstance(error, exceptions.ModelAuthenticationError):
        return AuthenticationFailed(f"{who} refused the key ({detail}); check the provider's key in the environment.")
    if type(error).__name__ in _WITHOUT_CREDENTIALS:
        return AuthenticationFailed(f"{who} was not asked ({detail}); give the provider's credentials.")
    if isinstance(error, exceptions.ModelQuotaExceededError):
        return RateLimited(f"{who} has no quota left ({detail}); raise the quota, or use another chat model.")
    if isinstance(error, exceptions.ModelRateLimitError):
        wait = "" if error.retry_after is None else f", retry after {error.retry_after:g} s"
        return RateLimited(f"{who} gets too many requests ({detail}{wait}); run fewer workers or raise the timeout.")
    if isinstance(error, exceptions.ModelNotFoundError):
        return Refused(f"{who} is not known to the server ({detail}); check the name and the base URL.")
    if isinstance(error, exceptions.ModelRequestRejectedError):
        return _rejected(who, detail)
    if isinstance(error, exceptions.ModelConnectionError):
        return Unavailable(f"{who} cannot be reached ({detail}); check that the server runs and the base URL is right.")
    if isinstance(error, exceptions.ContentFilterError):
        return Refused(f"{who} refused to answer by its content policy; reword the descriptions, or use another one.")
    if isinstance(error, exceptions.ModelAPIError) and "JSON" not in detail:
        return Unavailable(f"{who} failed ({detail}); try again later, or use another chat model.")
    return Unavailable(f"{who} answered with something that is no answer of a chat API ({detail}); check the base URL.")


def _rejected(who: str, detail: str) -> Refused:
    if any(words in detail.lower() for words in _TOO_LONG):
        return ContextTooLong(f"{who} takes no question of this length ({detail}); use one with a larger context.")
    return Refused(f"{who} rejected the request ({detail}); check the name, or use another chat model.")


def _detail(error: BaseException | None) -> str:
    body = getattr(error, "body", None)
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    message = body.get("message") if isinstance(body, dict) else None
    status = getattr(error, "status_code", None)
    words = " ".join(str(message or error).split())[:_MAX_QUOTED] or type(error).__name__
    words = without_keys(words)
    return f"HTTP {status}: {words}" if status else words
