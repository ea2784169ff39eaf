"""
Questions and replies in the words of pydantic-ai. With `_faults` and `resolve`, all that touches it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sllmbo.errors import Refused, ReplyError
from sllmbo.llm.reading import has, read_json
from sllmbo.llm.resolve import server_of, split_spec
from sllmbo.usage import Usage

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import Model, ModelRequestParameters

Mode: TypeAlias = Literal["tool", "native", "prompted"]
"""How a reply is asked for: by a tool call, by a response format with a JSON Schema, or in words."""

_NAME = "answer"
_ABOUT = "The answer."
MAX_QUOTED = 4000
"""Characters of an unusable reply that are sent back at most."""

MAX_REASON = 1000
"""Characters of what is wrong with it that are sent back at most."""


async def send(
    chat_model: Model, messages: list[ModelMessage], *, schema: dict[str, Any], mode: Mode, max_tokens: int | None
) -> ModelResponse:
    """Send one request, once, for a reply of *schema*."""
    from pydantic_ai.direct import model_request
    from pydantic_ai.settings import ModelSettings

    settings = ModelSettings()
    if "max_retries" not in chat_model.unsupported_settings:
        settings["max_retries"] = 0  # retrying is the gateway's, which knows the deadline
    if max_tokens is not None:
        settings["max_tokens"] = max_tokens
    if mode == "prompted":
        messages = _with_schema_in_words(messages, schema)
    return await model_request(
        chat_model, messages, model_settings=settings, model_request_parameters=_parameters(schema, mode)
    )


def _parameters(schema: dict[str, Any], mode: Mode) -> ModelRequestParameters:
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.output import OutputObjectDefinition
    from pydantic_ai.tools import ToolDefinition

    if mode == "tool":
        tool = ToolDefinition(name=_NAME, parameters_json_schema=schema, description=_ABOUT, kind="output")
        return ModelRequestParameters(output_mode="tool", output_tools=[tool], allow_text_output=False)
    if mode == "native":
        wanted = OutputObjectDefinition(json_schema=schema, name=_NAME, description=_ABOUT)
        return ModelRequestParameters(output_mode="native", output_object=wanted)
    return ModelRequestParameters()


def mode_for(chat_model: Model) -> Mode:
    """Return the mode that pydantic-ai's profile of *chat_model* says is best."""
    mode = chat_model.profile.get("default_structured_output_mode", "tool")
    modes = modes_of(chat_model)
    return mode if mode in modes else modes[0]


def modes_of(chat_model: Model) -> list[Mode]:
    """Return the modes that pydantic-ai has for *chat_model*."""
    profile = chat_model.profile
    supported: dict[Mode, bool] = {
        "tool": profile.get("supports_tools", True),
        "native": profile.get("supports_json_schema_output", False),
        "prompted": True,
    }
    return [mode for mode, usable in supported.items() if usable]


def first_messages(instructions: str, conversation: Sequence[tuple[str, str]], prompt: str) -> list[ModelMessage]:
    """Return the messages that open a question, after what *conversation* says was said before."""
    from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, UserPromptPart

    said = list(conversation)
    if said and said[-1][0] == "user":  # speakers take turns
        prompt = f"{said.pop()[1]}\n\n{prompt}"
    return [
        ModelRequest(parts=[UserPromptPart(words)], instructions=instructions)
        if speaker == "user"
        else ModelResponse(parts=[TextPart(words)])
        for speaker, words in [*said, ("user", prompt)]
    ]


def size_of(messages: Sequence[ModelMessage]) -> int:
    """Return how many bytes of words *messages* hold."""
    words = [str(getattr(part, "content", "")) for message in messages for part in message.parts]
    words += [str(getattr(messages[-1], "instructions", "") or "")]
    return sum(len(text.encode("utf-8", "replace")) for text in words)


def correction(response: ModelResponse, words: str, instructions: str) -> list[ModelMessage]:
    """
    Return the messages that send a reply back with what is wrong with it.

    The reply goes back as text, even if it was a tool call: many servers refuse a history with malformed arguments.
    """
    from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, UserPromptPart

    said = text_in(response)[:MAX_QUOTED] or "(nothing)"
    told = f"That reply cannot be used. {words[:MAX_REASON]}\nGive the whole reply again."
    return [
        ModelResponse(parts=[TextPart(said)]),
        ModelRequest(parts=[UserPromptPart(told)], instructions=instructions),
    ]


def _with_schema_in_words(messages: list[ModelMessage], schema: dict[str, Any]) -> list[ModelMessage]:
    from pydantic_ai.messages import ModelRequest, UserPromptPart

    words = schema_in_words(schema)
    last = messages[-1]
    assert isinstance(last, ModelRequest)
    return [*messages[:-1], ModelRequest(parts=[*last.parts, UserPromptPart(words)], instructions=last.instructions)]


def schema_in_words(schema: dict[str, Any]) -> str:
    """Return the words that ask for a reply of *schema* in the mode "prompted"."""
    return f"Answer with one JSON object and nothing else. It follows this JSON Schema:\n{json.dumps(schema)}"


def reply_in(response: ModelResponse, who: str, keys: Collection[str]) -> Any:
    """
    Return the JSON value that *response* holds, in a tool call or in text.

    Args:
        response: What came back.
        who: The chat model, as the subject of a sentence.
        keys: What the value should have, to tell it from other JSON in a text.

    Raises:
        Refused: If the provider's content policy stopped the answer.
        ReplyError: If there is no such value.
    """
    if response.finish_reason == "content_filter":
        raise Refused(
            f"{who} refused to answer by its content policy; reword the descriptions, or use another chat model."
        )
    answers = [value for part in _calls_in(response) if has(value := _read(part, keys), keys)]
    return reduce(_joined, answers) if answers else read_json(text_in(response), keys)


def _read(arguments: str, keys: Collection[str]) -> Any:
    try:
        return read_json(arguments, keys)
    except ReplyError:
        return None


def _joined(answer: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return two parallel answers as one, whose lists go on with those of *more*."""
    lists = [
        name for name in answer.keys() & more.keys() if isinstance(answer[name], list) and isinstance(more[name], list)
    ]
    return {**more, **answer, **{name: answer[name] + more[name] for name in lists}}


def _calls_in(response: ModelResponse) -> list[str]:
    """Return the arguments of the tool calls that have any, as JSON."""
    given = [part.args for part in response.tool_calls if part.args and part.args != "{}"]
    return [args if isinstance(args, str) else json.dumps(args) for args in given]


def text_in(response: ModelResponse) -> str:
    """Return what was said, as it came: the arguments of tool calls, else the text, else the words of a refusal."""
    return "\n".join(_calls_in(response)) or response.text or str((response.provider_details or {}).get("refusal", ""))


def is_truncated(response: ModelResponse) -> bool:
    """Tell whether the token limit cut the reply off."""
    return response.finish_reason == "length"


def is_ignored(response: ModelResponse, mode: Mode) -> bool:
    """Tell whether the reply, being unusable, is not even of the form that was asked for."""
    if mode == "tool":
        return not response.tool_calls
    return mode == "native" and not text_in(response).lstrip().startswith("{")


def usage_of(response: ModelResponse, cost_usd: float | None) -> Usage:
    """Return what one answered request took; its price is given."""
    tokens = response.usage
    return Usage(
        calls=1,
        input_tokens=tokens.input_tokens,
        output_tokens=tokens.output_tokens,
        cached_tokens=tokens.cache_read_tokens,
        cost_usd=cost_usd,
    )


def listed_cost(response: ModelResponse) -> float | None:
    """Return the price of one answered request by the price table, in US dollars; None where it does not know it."""
    try:
        return float(response.cost().total_price)
    except (LookupError, ValueError, AssertionError):
        return None


def listed_price(llm: str, *, base_url: str | None = None, input_tokens: int, output_tokens: int = 0) -> float | None:
    """
    Return the price of so many tokens of "provider:name" by the price table, in US dollars.

    None where the table does not know it, and where another server is asked than the provider's own, as `server_of`
    says.
    """
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.usage import RequestUsage

    if server_of(llm, base_url) is not None:
        return None
    provider, name = split_spec(llm)
    usage = RequestUsage(input_tokens=input_tokens, output_tokens=output_tokens)
    return listed_cost(ModelResponse(parts=[], usage=usage, model_name=name, provider_name=provider))
