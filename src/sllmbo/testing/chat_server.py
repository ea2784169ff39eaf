"""
A chat-completions server on the loopback interface that answers by script, well or badly.

It is a real HTTP server, so that everything between a prompt and a reply is tried: no key, no network, no chat model.

Example:
    >>> from sllmbo.testing.chat_server import ChatServer
    >>> with ChatServer() as server:  # every question gets valid random values
    ...     server.base_url.startswith("http://127.0.0.1:")
    True
"""

from __future__ import annotations

import json
import math
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, TypeAlias

_Manner: TypeAlias = Literal["body", "drop", "silence", "drip"]

_DRIP_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a client asked."""

    body: Mapping[str, Any]
    """The request of the chat-completions protocol."""

    headers: Mapping[str, str]
    """HTTP headers, their names in lower case."""

    @property
    def text(self) -> str:
        """All messages, one after the other."""
        contents = (message.get("content") for message in self.body.get("messages", ()))
        return "\n".join(content if isinstance(content, str) else json.dumps(content) for content in contents)

    @property
    def schema(self) -> dict[str, Any] | None:
        """The JSON Schema of the first tool, or None where no tool was sent."""
        tools = self.body.get("tools") or ()
        return tools[0]["function"]["parameters"] if tools else None


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted reply, as it goes over the wire. The functions below make them."""

    body: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    manner: _Manner = "body"


Scripted: TypeAlias = "Reply | Mapping[str, Any] | str"
"""A reply; or the arguments of a tool call as a mapping; or plain text."""


def completion(message: Mapping[str, Any], *, finish_reason: str = "stop", chat_model: str = "scripted-1") -> Reply:
    """Return a well-formed chat completion that holds *message*."""
    size = len(json.dumps(message))
    usage = {"prompt_tokens": 100, "completion_tokens": size // 4, "total_tokens": 100 + size // 4}
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": None, **message}}
    envelope = {"id": "chatcmpl-0", "object": "chat.completion", "created": 1, "model": chat_model}
    return Reply(json.dumps({**envelope, "choices": [choice], "usage": usage}))


def tool_call(arguments: Mapping[str, Any] | str, *, chat_model: str = "scripted-1") -> Reply:
    """Return a call of the first tool. Text goes out as it is, so it can be malformed JSON."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    call = {"id": "call_0", "type": "function", "function": {"name": "answer", "arguments": text}}
    return completion({"tool_calls": [call]}, finish_reason="tool_calls", chat_model=chat_model)


def text(content: str) -> Reply:
    """Return plain text, as servers do that ignore tools."""
    return completion({"content": content})


def fenced(arguments: Mapping[str, Any]) -> Reply:
    """Return JSON in a code fence amid prose."""
    return text(f"Sure! Here you go:\n```json\n{json.dumps(arguments, indent=1)}\n```\nGood luck!")


def refusal(words: str = "I cannot help with that.") -> Reply:
    """Return a refusal by the provider's content policy."""
    return completion({"refusal": words}, finish_reason="content_filter")


def status(code: int, message: str = "scripted error", *, retry_after: float | None = None) -> Reply:
    """Return an HTTP error, with the seconds to wait before the next request if given."""
    headers = {}
    if retry_after is not None:  # Retry-After holds whole seconds; OpenAI's clients read the other one first
        headers = {"Retry-After": str(math.ceil(retry_after)), "Retry-After-Ms": f"{retry_after * 1000:.0f}"}
    return Reply(json.dumps({"error": {"message": message, "type": "error", "code": None}}), code, headers)


def html() -> Reply:
    """Return a web page, as a wrong base URL or a gateway does."""
    return Reply("<html><body>Welcome</body></html>", headers={"Content-Type": "text/html"})


def dropped() -> Reply:
    """Close the connection without an answer."""
    return Reply(manner="drop")


def silence() -> Reply:
    """Accept the question and never answer."""
    return Reply(manner="silence")


def drip() -> Reply:
    """Send a byte every 50 milliseconds, without end."""
    return Reply(manner="drip")


def answer_from_schema(request: ChatRequest, rng: random.Random) -> Reply:
    """Return a tool call whose arguments are drawn by *rng* and valid by the schema of the request."""
    return tool_call(_draw(request.schema or {}, rng))


def _draw(schema: Mapping[str, Any], rng: random.Random) -> Any:
    if "enum" in schema:
        return rng.choice(schema["enum"])
    kind = schema.get("type", "object")
    if kind == "object":
        return {name: _draw(entry, rng) for name, entry in schema.get("properties", {}).items()}
    if kind == "array":
        n = schema.get("maxItems", max(1, schema.get("minItems", 1)))
        return [_draw(schema.get("items", {}), rng) for _ in range(n)]
    if kind == "integer":
        return rng.randint(schema.get("minimum", 0), schema.get("maximum", 100))
    if kind == "number":
        return rng.uniform(schema.get("minimum", 0.0), schema.get("maximum", 1.0))
    return rng.random() < 0.5 if kind == "boolean" else "drawn at random"


class ChatServer:
    """
    The server, as a context manager; it listens on a free port of 127.0.0.1.

    Args:
        replies: The replies in turn, the last one repeated for ever; or a function of the request, called by several
            threads at once. Left out, each question gets random values that are valid by its schema.
        seed: Seed of those random values; they depend on it and on how many questions came before.

    Example:
        >>> from sllmbo.testing import chat_server
        >>> with chat_server.ChatServer([chat_server.status(500), {"answer": 42}, "plain text"]) as server:
        ...     server.requests
        []
    """

    def __init__(
        self, replies: Sequence[Scripted] | Callable[[ChatRequest], Scripted] | None = None, *, seed: int = 0
    ) -> None:
        self.requests: list[ChatRequest] = []
        """What was asked, in order of arrival."""

        self._replies = replies
        self._seed = seed
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def base_url(self) -> str:
        """What a client is told: `LLMAdvisor("openai:any", base_url=server.base_url)`."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> ChatServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _reply_to(self, request: ChatRequest) -> Reply:
        with self._lock:
            number = len(self.requests)
            self.requests.append(request)
        if self._replies is None:
            return answer_from_schema(request, random.Random(f"{self._seed}/{number}"))
        if callable(self._replies):
            return _as_reply(self._replies(request))
        return _as_reply(self._replies[min(number, len(self._replies) - 1)])


def _as_reply(scripted: Scripted) -> Reply:
    if isinstance(scripted, Reply):
        return scripted
    return text(scripted) if isinstance(scripted, str) else tool_call(scripted)


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for the handlers, so that no thread outlives the server
    request_queue_size = 64

    def __init__(self, owner: ChatServer) -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that give up and close are part of the play."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10  # a connection on which nothing is asked does not hold up the closing for ever

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        owner = self.server.owner
        reply = owner._reply_to(ChatRequest(json.loads(self.rfile.read(size) or b"{}"), headers))
        if reply.manner == "drop":
            return
        if reply.manner == "silence":
            owner._closing.wait()
            return
        body = reply.body.encode()
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(10**9 if reply.manner == "drip" else len(body)))
        self.end_headers()
        self.wfile.write(body)
        while reply.manner == "drip" and not owner._closing.wait(_DRIP_SECONDS):
            self.wfile.write(b" ")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Keep quiet."""
