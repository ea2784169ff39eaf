"""
A chat server on the loopback interface that answers by script, well or badly, in the wire formats of four APIs.

It is a real HTTP server, so that everything between a prompt and a reply is tried: no key, no network, no chat model.
The clients of OpenAI, Anthropic and Google can talk to it, and so can whatever speaks OpenAI chat completions.

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
import socket
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, TypeAlias

from sllmbo.testing._wire_formats import Message, WireFormat, plain, wire_format

_Manner: TypeAlias = Literal["body", "drop", "reset", "silence", "drip"]

_DRIP_SECONDS = 0.05
_SCHEMA_FOLLOWS = "JSON Schema"


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a client asked."""

    body: Mapping[str, Any]
    """The request, in the wire format of its path."""

    headers: Mapping[str, str]
    """HTTP headers, their names in lower case."""

    path: str = "/v1/chat/completions"

    @property
    def text(self) -> str:
        """Instructions and messages, one after the other."""
        return "\n".join(map(plain, self._format.texts(self.body)))

    @property
    def schema(self) -> dict[str, Any] | None:
        """The JSON Schema of the reply that is asked for: of the tool, of the response format, or in the words."""
        tools = self._format.tools(self.body)
        given = next(iter(tools.values()), None) or self._format.response_schema(self.body)
        return given or _schema_in(self.text)

    @property
    def reply_mode(self) -> str:
        """How the reply is asked for: "tool", "native" (by a response format) or "prompted" (in words)."""
        if self._format.tools(self.body):
            return "tool"
        return "prompted" if self._format.response_schema(self.body) is None else "native"

    @property
    def _format(self) -> WireFormat:
        spoken = wire_format(self.path)
        assert spoken is not None, self.path
        return spoken


def _schema_in(text: str) -> dict[str, Any] | None:
    _, found, rest = text.rpartition(_SCHEMA_FOLLOWS)
    try:
        schema = json.JSONDecoder().raw_decode(rest, rest.index("{"))[0] if found else None
    except ValueError:
        return None
    return schema if isinstance(schema, dict) else None


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted reply: what the chat model says, or a raw body. The functions below make them."""

    body: str = ""
    """What goes over the wire as it is, unless there is a message or an error."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    manner: _Manner = "body"

    message: Message | None = None
    """What goes over the wire in the format of the request."""

    error: str | None = None
    """The words of an HTTP error, in the format of the request."""

    def written_for(self, request: ChatRequest) -> str:
        """Return the body of the response to *request*. Arguments are plain text where no tool was offered."""
        spoken = request._format
        if self.error is not None:
            return json.dumps(spoken.error(self.status, self.error))
        if self.message is None:
            return self.body
        message, tool = self.message, next(iter(spoken.tools(request.body)), None)
        if message.arguments is None or tool is None:
            message, tool = replace(message, text=message.arguments or message.text, arguments=None), None
        return json.dumps(spoken.write(message, tool))


Scripted: TypeAlias = "Reply | Mapping[str, Any] | str"
"""A reply; or the answer as a mapping, by tool call or as text, as it is asked for; or plain text."""


def tool_call(arguments: Mapping[str, Any] | str, **about: Any) -> Reply:
    """
    Return an answer: a call of the tool, or plain text where none was offered.

    Args:
        arguments: The answer. Text goes out as it is, so it can be malformed JSON.
        about: Further fields of the message: chat_model, truncated, input_tokens, cached_tokens.
    """
    return Reply(message=Message(arguments=arguments if isinstance(arguments, str) else json.dumps(arguments), **about))


def text(content: str, **about: Any) -> Reply:
    """Return plain text, as servers do that ignore tools; *about* as for `tool_call`."""
    return Reply(message=Message(text=content, **about))


def fenced(arguments: Mapping[str, Any]) -> Reply:
    """Return JSON in a code fence amid prose."""
    return text(f"Sure! Here you go:\n```json\n{json.dumps(arguments, indent=1)}\n```\nGood luck!")


def truncated(arguments: Mapping[str, Any], *, share: float = 0.5) -> Reply:
    """Return the first *share* of an answer, cut off by the token limit."""
    whole = json.dumps(arguments)
    return tool_call(whole[: int(share * len(whole))], truncated=True)


def refusal(words: str = "I cannot help with that.") -> Reply:
    """Return a refusal by the provider's content policy."""
    return text(words, refused=True)


def status(code: int, message: str = "scripted error", *, retry_after: float | None = None) -> Reply:
    """Return an HTTP error, with the seconds to wait before the next request if given."""
    headers = {}
    if retry_after is not None:  # Retry-After holds whole seconds; OpenAI's clients read the other one first
        headers = {"Retry-After": str(math.ceil(retry_after)), "Retry-After-Ms": f"{retry_after * 1000:.0f}"}
    return Reply(status=code, headers=headers, error=message)


def html() -> Reply:
    """Return a web page, as a wrong base URL or a gateway does."""
    return Reply("<html><body>Welcome</body></html>", headers={"Content-Type": "text/html"})


def dropped() -> Reply:
    """Close the connection without an answer."""
    return Reply(manner="drop")


def reset() -> Reply:
    """Reset the connection without an answer, as a server that crashes does."""
    return Reply(manner="reset")


def silence() -> Reply:
    """Accept the question and never answer."""
    return Reply(manner="silence")


def drip() -> Reply:
    """Send a byte every 50 milliseconds, without end."""
    return Reply(manner="drip")


def answer_from_schema(request: ChatRequest, rng: random.Random) -> Reply:
    """Return an answer that is drawn by *rng* and valid by the schema of the request."""
    return tool_call(_draw(request.schema or {}, rng))


def _draw(schema: Mapping[str, Any], rng: random.Random, *, beyond: float = 0.0) -> Any:
    """Draw a value that is valid by *schema*; numbers lie *beyond* their maximum by so many times their range."""
    if "enum" in schema:
        return rng.choice(schema["enum"])
    kind = schema.get("type", "object")
    if kind == "object":
        return {name: _draw(entry, rng, beyond=beyond) for name, entry in schema.get("properties", {}).items()}
    if kind == "array":
        n = schema.get("maxItems", max(1, schema.get("minItems", 1)))
        return [_draw(schema.get("items", {}), rng, beyond=beyond) for _ in range(n)]
    if kind in ("integer", "number"):
        low, high = schema.get("minimum", 0), schema.get("maximum", 100 if kind == "integer" else 1.0)
        drawn = rng.randint(low, high) if kind == "integer" else rng.uniform(low, high)
        return drawn + math.ceil(beyond * (high - low))
    return rng.random() < 0.5 if kind == "boolean" else "drawn at random"


FAULTS: Mapping[str, Callable[[ChatRequest], Scripted]] = {
    "rate limit": lambda _: status(429, retry_after=0.05),
    "server error": lambda _: status(500, retry_after=0.05),
    "reset": lambda _: reset(),
    "drip": lambda _: drip(),
    "hang": lambda _: silence(),
    "html": lambda _: html(),
    "refusal": lambda _: refusal(),
    "truncated": lambda request: truncated(_draw(request.schema or {}, random.Random(0)), share=0.3),
    "wrong schema": lambda _: {"colour": "blue", "weight": [1, 2, 3]},
    "out of range": lambda request: tool_call(_draw(request.schema or {}, random.Random(0), beyond=9.0)),
    "duplicate": lambda request: answer_from_schema(request, random.Random(0)),
    "prose": lambda _: "A smaller learning rate often helps, and so do more trees.",
}
"""What can go wrong with a chat model, by name: see `ChatServer.fault`."""


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
        ...     server.fault = "hang"
        ...     server.requests
        []
    """

    def __init__(
        self, replies: Sequence[Scripted] | Callable[[ChatRequest], Scripted] | None = None, *, seed: int = 0
    ) -> None:
        self.requests: list[ChatRequest] = []
        """What was asked, in order of arrival."""

        self.fault: str | None = None
        """A name of `FAULTS`: what goes wrong with every answer from now on; None for nothing."""

        self._replies = replies
        self._seed = seed
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def base_url(self) -> str:
        """What a client is told: `LLMAdvisor("openai:any", base_url=server.base_url)`, or "anthropic:", "google:"."""
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
        if self.fault is not None:
            return _as_reply(FAULTS[self.fault](request))
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
        content = json.loads(self.rfile.read(size) or b"{}")
        if wire_format(self.path) is None:
            self.send_error(404)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        owner, request = self.server.owner, ChatRequest(content, headers, self.path)
        reply = owner._reply_to(request)
        if reply.manner == "reset":  # closing a socket that lingers for 0 seconds sends RST
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if reply.manner in ("drop", "reset"):
            return
        if reply.manner == "silence":
            owner._closing.wait()
            return
        body = reply.written_for(request).encode()
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
