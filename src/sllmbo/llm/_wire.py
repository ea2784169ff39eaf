"""
The words of pydantic-ai on one side, the words of sllmbo on the other. Nothing else here touches pydantic-ai.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from sllmbo.errors import AuthenticationFailed, ProviderError, RateLimited, Refused, Unavailable
from sllmbo.llm.reading import read_json
from sllmbo.usage import Usage

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import Model, ModelRequestParameters

_TOOL = "answer"
_MAX_QUOTED = 300
_KEY = re.compile(r"\b(?:sk-|AIza)[\w*-]+")  # servers may quote a refused key


async def send(chat_model: Model, messages: list[ModelMessage], parameters: ModelRequestParameters) -> ModelResponse:
    """Send one request, once."""
    from pydantic_ai.direct import model_request
    from pydantic_ai.settings import ModelSettings

    settings = ModelSettings(max_retries=0)  # retrying is the gateway's, which knows the deadline
    return await model_request(chat_model, messages, model_settings=settings, model_request_parameters=parameters)


def first_messages(instructions: str, prompt: str) -> list[ModelMessage]:
    """Return the messages that open a question."""
    from pydantic_ai.messages import ModelRequest, UserPromptPart

    return [ModelRequest(parts=[UserPromptPart(prompt)], instructions=instructions)]


def correction(response: ModelResponse, words: str) -> list[ModelMessage]:
    """
    Return the messages that send a reply back with what is wrong with it.

    The reply goes back as text, even if it was a tool call: many servers refuse a history with malformed arguments.
    """
    from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, UserPromptPart

    said = _text_in(response)[:4000] or "(nothing)"
    return [
        ModelResponse(parts=[TextPart(said)]),
        ModelRequest(parts=[UserPromptPart(f"That reply cannot be used. {words}\nGive the whole reply again.")]),
    ]


def tool_parameters(schema: dict[str, Any]) -> ModelRequestParameters:
    """Return the request for a reply by a tool call with arguments of *schema*."""
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.tools import ToolDefinition

    tool = ToolDefinition(name=_TOOL, parameters_json_schema=schema, description="Give the answer.", kind="output")
    return ModelRequestParameters(output_mode="tool", output_tools=[tool], allow_text_output=False)


def text_parameters() -> ModelRequestParameters:
    """Return the request for a reply in plain text."""
    from pydantic_ai.models import ModelRequestParameters

    return ModelRequestParameters()


def with_schema_in_words(messages: list[ModelMessage], schema: dict[str, Any]) -> list[ModelMessage]:
    """Return *messages* with the schema in the words of the last one, for servers that take no tools."""
    from pydantic_ai.messages import ModelRequest, UserPromptPart

    words = f"Answer with one JSON object and nothing else. It follows this JSON Schema:\n{json.dumps(schema)}"
    last = messages[-1]
    assert isinstance(last, ModelRequest)
    return [*messages[:-1], ModelRequest(parts=[*last.parts, UserPromptPart(words)], instructions=last.instructions)]


def reply_in(response: ModelResponse, who: str) -> Any:
    """
    Return the JSON value that *response* holds, in a tool call or in text.

    Raises:
        Refused: If the provider's content policy stopped the answer.
        ReplyError: If there is no such value.
    """
    for part in response.tool_calls:
        if isinstance(part.args, dict):
            return part.args
    if response.finish_reason == "content_filter":
        raise Refused(
            f"{who} refused to answer by its content policy; reword the descriptions, or use another chat model."
        )
    return read_json(_text_in(response))


def _text_in(response: ModelResponse) -> str:
    calls = [part.args if isinstance(part.args, str) else json.dumps(part.args or {}) for part in response.tool_calls]
    return "\n".join(calls) or response.text or ""


def usage_of(response: ModelResponse) -> Usage:
    """Return what one answered request cost; the price is None where pydantic-ai does not know it."""
    try:
        cost = float(response.cost().total_price)
    except (LookupError, ValueError, AssertionError):
        cost = None
    return Usage(
        calls=1,
        input_tokens=response.usage.input_tokens,
        output_tokens=response.usage.output_tokens,
        cost_usd=cost,
    )


def pause_after(error: Exception, pause: float) -> float | None:
    """Return the seconds to wait before the request is repeated, or None if repeating is no use."""
    from pydantic_ai import exceptions

    passing = (
        exceptions.ModelRateLimitError,
        exceptions.ModelServerError,
        exceptions.ModelUnavailableError,
        exceptions.ModelConnectionError,
    )
    if not isinstance(error, passing):
        return None
    return pause if error.retry_after is None else max(error.retry_after, 0.0)


def provider_error(who: str, error: Exception) -> ProviderError:
    """Return the error of sllmbo for one of pydantic-ai, in one sentence."""
    from pydantic_ai import exceptions

    detail = _detail(error)
    if isinstance(error, exceptions.ModelAuthenticationError):
        return AuthenticationFailed(f"{who} refused the key ({detail}); check the provider's key in the environment.")
    if isinstance(error, exceptions.ModelQuotaExceededError):
        return RateLimited(f"{who} has no quota left ({detail}); raise the quota, or use another chat model.")
    if isinstance(error, exceptions.ModelRateLimitError):
        wait = "" if error.retry_after is None else f", retry after {error.retry_after:g} s"
        return RateLimited(f"{who} gets too many requests ({detail}{wait}); run fewer workers or raise the timeout.")
    if isinstance(error, exceptions.ModelNotFoundError):
        return Refused(f"{who} is not known to the server ({detail}); check the name and the base URL.")
    if isinstance(error, exceptions.ModelRequestRejectedError):
        return Refused(f"{who} rejected the request ({detail}); check the name, or use another chat model.")
    if isinstance(error, exceptions.ModelConnectionError):
        return Unavailable(f"{who} cannot be reached ({detail}); check that the server runs and the base URL is right.")
    if isinstance(error, exceptions.ModelAPIError):
        return Unavailable(f"{who} failed ({detail}); try again later, or use another chat model.")
    return Unavailable(f"{who} answered with something that is no chat completion ({detail}); check the base URL.")


def is_about_tools(error: ProviderError) -> bool:
    """Tell whether a request was rejected because the server or the chat model takes no tools."""
    cause = error.__cause__
    return isinstance(error, Refused) and isinstance(cause, Exception) and "tool" in _detail(cause).lower()


def _detail(error: Exception) -> str:
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, dict) else None
    status = getattr(error, "status_code", None)
    words = " ".join(str(message or error).split())[:_MAX_QUOTED] or type(error).__name__
    words = _KEY.sub("<key>", words)
    return f"HTTP {status}: {words}" if status else words
