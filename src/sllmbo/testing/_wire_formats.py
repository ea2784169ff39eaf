"""
The wire formats of four chat APIs, as a server sees them: what a request asks, and how a message goes back.

OpenAI chat completions and responses, Anthropic messages, Google generateContent; after the providers' API references.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

Body: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What the chat model says, before it is written in a wire format."""

    text: str = ""

    arguments: str | None = None
    """Arguments of a call of the requested tool, as JSON (or as malformed JSON); plain text where none was offered."""

    refused: bool = False
    """The content policy stopped it; the text says so."""

    truncated: bool = False
    """The token limit cut it off."""

    chat_model: str = "scripted-1"
    input_tokens: int = 100

    cached_tokens: int = 0
    """Of the input tokens, those that were read from the cache."""

    @property
    def output_tokens(self) -> int:
        """A quarter of the characters."""
        return len(self.arguments or self.text) // 4


class WireFormat(Protocol):
    """How one API is spoken."""

    path: str
    """A regular expression for the paths of its requests."""

    def texts(self, body: Body) -> Iterable[Any]:
        """Return the instructions and what was said so far: text, or lists of parts with text."""
        ...

    def tools(self, body: Body) -> Mapping[str, Any]:
        """Return the JSON Schema of each tool by name."""
        ...

    def response_schema(self, body: Body) -> Any:
        """Return the JSON Schema of the response format, or None."""
        ...

    def write(self, message: Message, tool: str | None) -> dict[str, Any]:
        """Return *message* as the body of a response; its arguments are for *tool*, if there is one."""
        ...

    def error(self, status: int, words: str) -> dict[str, Any]:
        """Return the body of an HTTP error."""
        ...


def plain(content: Any) -> str:
    """Return the text in a content, which may be text, a part, or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        inner = next((content[key] for key in ("text", "parts", "content") if key in content), None)
        return json.dumps(content) if inner is None else plain(inner)
    return "\n".join(map(plain, content or ()))


def _parsed(arguments: str) -> dict[str, Any] | None:
    try:
        value = json.loads(arguments)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


class ChatCompletions:
    """OpenAI chat completions, which most servers speak."""

    path = r"/v1/chat/completions$"

    def texts(self, body: Body) -> Iterable[Any]:
        return [message.get("content") for message in body.get("messages", ())]

    def tools(self, body: Body) -> Mapping[str, Any]:
        return {tool["function"]["name"]: tool["function"]["parameters"] for tool in body.get("tools") or ()}

    def response_schema(self, body: Body) -> Any:
        return body.get("response_format", {}).get("json_schema", {}).get("schema")

    def write(self, message: Message, tool: str | None) -> dict[str, Any]:
        said: dict[str, Any] = {"role": "assistant", "content": message.text}
        if message.refused:
            said |= {"content": None, "refusal": message.text}
        elif tool is not None:
            function = {"name": tool, "arguments": message.arguments}
            said |= {"content": None, "tool_calls": [{"id": "call_0", "type": "function", "function": function}]}
        finish = "content_filter" if message.refused else "tool_calls" if tool else "stop"
        usage = {
            "prompt_tokens": message.input_tokens,
            "completion_tokens": message.output_tokens,
            "total_tokens": message.input_tokens + message.output_tokens,
            "prompt_tokens_details": {"cached_tokens": message.cached_tokens},
        }
        choice = {"index": 0, "finish_reason": "length" if message.truncated else finish, "message": said}
        envelope = {"id": "chatcmpl-0", "object": "chat.completion", "created": 1, "model": message.chat_model}
        return {**envelope, "choices": [choice], "usage": usage}

    def error(self, status: int, words: str) -> dict[str, Any]:  # noqa: ARG002 - one protocol for all
        return {"error": {"message": words, "type": "error", "code": None}}


class Responses(ChatCompletions):
    """OpenAI responses, which OpenAI's own newest chat models need."""

    path = r"/v1/responses$"

    def texts(self, body: Body) -> Iterable[Any]:
        return [*filter(None, [body.get("instructions")]), body.get("input")]

    def tools(self, body: Body) -> Mapping[str, Any]:
        return {tool["name"]: tool["parameters"] for tool in body.get("tools") or ()}

    def response_schema(self, body: Body) -> Any:
        return body.get("text", {}).get("format", {}).get("schema")

    def write(self, message: Message, tool: str | None) -> dict[str, Any]:
        status = "incomplete" if message.truncated else "completed"
        kind = {"type": "refusal", "refusal": message.text} if message.refused else _output_text(message.text)
        item: dict[str, Any] = {
            "type": "message",
            "id": "msg_0",
            "role": "assistant",
            "status": status,
            "content": [kind],
        }
        if tool is not None:
            item = {"type": "function_call", "id": "fc_0", "call_id": "call_0", "status": status, "name": tool}
            item["arguments"] = message.arguments
        usage = {
            "input_tokens": message.input_tokens,
            "input_tokens_details": {"cached_tokens": message.cached_tokens, "cache_write_tokens": 0},
            "output_tokens": message.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": message.input_tokens + message.output_tokens,
        }
        envelope = {"id": "resp_0", "object": "response", "created_at": 1, "model": message.chat_model}
        settings = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "error": None}
        reason = {"reason": "max_output_tokens"} if message.truncated else None
        return {
            **envelope,
            **settings,
            "status": status,
            "incomplete_details": reason,
            "output": [item],
            "usage": usage,
        }


def _output_text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


class Messages:
    """Anthropic messages."""

    path = r"/v1/messages$"

    def texts(self, body: Body) -> Iterable[Any]:
        return [*filter(None, [body.get("system")]), *(message.get("content") for message in body.get("messages", ()))]

    def tools(self, body: Body) -> Mapping[str, Any]:
        return {tool["name"]: tool["input_schema"] for tool in body.get("tools") or ()}

    def response_schema(self, body: Body) -> Any:
        return body.get("output_config", {}).get("format", {}).get("schema")

    def write(self, message: Message, tool: str | None) -> dict[str, Any]:
        content: dict[str, Any] = {"type": "text", "text": message.text}
        if tool is not None:
            given = _parsed(message.arguments or "") or {}  # the API parses arguments itself and gives an object
            content = {"type": "tool_use", "id": "toolu_0", "name": tool, "input": given}
        stop = "refusal" if message.refused else "tool_use" if tool else "end_turn"
        usage = {
            "input_tokens": message.input_tokens - message.cached_tokens,  # here the cached ones are not part of it
            "cache_read_input_tokens": message.cached_tokens,
            "cache_creation_input_tokens": 0,
            "output_tokens": message.output_tokens,
        }
        envelope = {"id": "msg_0", "type": "message", "role": "assistant", "model": message.chat_model}
        stop = "max_tokens" if message.truncated else stop
        return {**envelope, "content": [content], "stop_reason": stop, "stop_sequence": None, "usage": usage}

    def error(self, status: int, words: str) -> dict[str, Any]:  # noqa: ARG002 - one protocol for all
        return {"type": "error", "error": {"type": "api_error", "message": words}}


class GenerateContent:
    """Google generateContent."""

    path = r"/v1beta/models/[^/]+:generateContent$"

    def texts(self, body: Body) -> Iterable[Any]:
        return [*filter(None, [body.get("systemInstruction")]), *body.get("contents", ())]

    def tools(self, body: Body) -> Mapping[str, Any]:
        declared = [entry for tool in body.get("tools") or () for entry in tool.get("functionDeclarations", ())]
        keys = ("parametersJsonSchema", "parameters_json_schema", "parameters")  # the API takes both spellings
        return {entry["name"]: next((entry[key] for key in keys if key in entry), {}) for entry in declared}

    def response_schema(self, body: Body) -> Any:
        settings = body.get("generationConfig", {})
        return settings.get("responseJsonSchema") or settings.get("responseSchema")

    def write(self, message: Message, tool: str | None) -> dict[str, Any]:
        parts: list[dict[str, Any]] = [{"text": message.text}]
        finish = "SAFETY" if message.refused else "STOP"
        if tool is not None:
            given = _parsed(message.arguments or "")
            parts = [] if given is None else [{"functionCall": {"name": tool, "args": given}}]
            finish = "STOP" if parts else "MALFORMED_FUNCTION_CALL"
        finish = "MAX_TOKENS" if message.truncated else finish
        candidate = {"index": 0, "finishReason": finish, "content": {"role": "model", "parts": parts}}
        if message.refused:
            del candidate["content"]
        usage = {
            "promptTokenCount": message.input_tokens,
            "cachedContentTokenCount": message.cached_tokens,
            "candidatesTokenCount": message.output_tokens,
            "totalTokenCount": message.input_tokens + message.output_tokens,
        }
        return {
            "candidates": [candidate],
            "usageMetadata": usage,
            "modelVersion": message.chat_model,
            "responseId": "r0",
        }

    def error(self, status: int, words: str) -> dict[str, Any]:
        return {"error": {"code": status, "message": words, "status": "UNKNOWN"}}


WIRE_FORMATS: tuple[WireFormat, ...] = (ChatCompletions(), Responses(), Messages(), GenerateContent())


def wire_format(path: str) -> WireFormat | None:
    """Return the wire format that is spoken at *path*, or None."""
    return next((spoken for spoken in WIRE_FORMATS if re.search(spoken.path, path.partition("?")[0])), None)
