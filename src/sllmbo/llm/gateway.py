"""
`Gateway`: one typed question to a chat model, with a deadline, few retries and one chance to correct itself.

It knows nothing of what is tuned: words and a JSON Schema go out, a checked value and its cost come back.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlsplit

from sllmbo.errors import AdviceError, ConfigError, ProviderError, ReplyError, Unavailable
from sllmbo.llm import _wire, resolve
from sllmbo.llm._loop import LOOP
from sllmbo.usage import Usage

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import Model

T = TypeVar("T")

_LOG = logging.getLogger("sllmbo.llm")
_FIRST_PAUSE = 0.5  # seconds before the first retry when the provider names none; doubled each time

_requests_allowed = True


def allow_requests(allowed: bool) -> None:
    """
    Allow or forbid requests to servers other than loopback ones, in this process.

    Test suites forbid them, so that no test can spend money: a forbidden request raises `ConfigError`.
    """
    global _requests_allowed
    _requests_allowed = allowed


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What came back for one question."""

    value: T

    chat_model: str
    """Name of the chat model, as the server gave it."""

    usage: Usage
    """The cost of all requests of this question."""

    repairs: int = 0
    """How often the chat model was asked to correct its reply."""


class Gateway:
    """
    A chat model that answers typed questions. Safe to share between threads; pickles without client and key.

    Args:
        llm: "provider:name" of the chat model.
        base_url: An OpenAI-compatible server to ask instead of the provider's own.
        timeout: Seconds that one question may take in all, retries and corrections included.
        retries: How often a request is repeated after a rate limit, a server error or a lost connection.
        repairs: How often an unusable reply is sent back with the reason.
        max_parallel: Questions that may be under way at once; further ones wait, within their timeout.

    Raises:
        ConfigError: If *llm* or *base_url* is malformed or *timeout* is not positive.

    Example:
        >>> gateway = Gateway("openai:gpt-5-mini", base_url="http://localhost:8000/v1", timeout=30)
        >>> gateway
        Gateway('openai:gpt-5-mini', base_url='http://localhost:8000/v1', timeout=30)
    """

    def __init__(
        self,
        llm: str,
        *,
        base_url: str | None = None,
        timeout: float = 60.0,
        retries: int = 2,
        repairs: int = 1,
        max_parallel: int = 8,
    ) -> None:
        resolve.split_spec(llm)
        if base_url is not None:
            resolve.check_base_url(base_url)
        if not 0 < timeout < threading.TIMEOUT_MAX:
            raise ConfigError(f"timeout={timeout!r} must be a positive number of seconds.")
        self.llm = llm
        self.base_url = base_url
        self.timeout = timeout
        self._retries = retries
        self._repairs = repairs
        self._max_parallel = max_parallel
        self._live = _Live(max_parallel)

    def __repr__(self) -> str:
        base_url = f", base_url={resolve.without_secrets(self.base_url)!r}" if self.base_url is not None else ""
        return f"Gateway({self.llm!r}{base_url}, timeout={self.timeout!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_live"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._live = _Live(self._max_parallel)

    def check_config(self) -> None:
        """
        Check that the chat model can be asked: provider, installed client, key. Nothing is sent.

        Raises:
            ConfigError: If the provider is unknown or its key is missing.
            MissingExtra: If the provider's client is not installed.
        """
        self._chat_model()

    def ask(self, *, instructions: str, prompt: str, schema: dict[str, Any], check: Callable[[Any], T]) -> Answer[T]:
        """
        Ask one question and return the checked answer.

        Args:
            instructions: The part of the question that stays the same from call to call.
            prompt: The part that is new.
            schema: JSON Schema of the reply, an object. It is sent; *check* is what enforces it.
            check: Turns the reply (a JSON object or list of objects) into a value, or raises `ReplyError` with words
                that are sent back to the chat model.

        Raises:
            ReplyError: If the reply was still unusable after the corrections.
            ProviderError: If no reply was had: `AuthenticationFailed`, `RateLimited`, `Refused`, `Unavailable`.
            ConfigError: As for `check_config`, or if requests are forbidden by `allow_requests`.
        """
        chat_model = self._chat_model()
        self._check_allowed(chat_model)
        question = _Question(chat_model, self._who(chat_model), self.timeout, self._retries)
        try:
            with self._slot(question):
                return self._answer(question, instructions, prompt, schema, check)
        except AdviceError as error:
            error.usage = question.usage()
            raise

    def _answer(
        self, question: _Question, instructions: str, prompt: str, schema: dict[str, Any], check: Callable[[Any], T]
    ) -> Answer[T]:
        messages = _wire.first_messages(instructions, prompt)
        for repairs in range(self._repairs + 1):
            response = self._request(question, messages, schema)
            try:
                value = check(_wire.reply_in(response, question.who))
            except ReplyError as error:
                _LOG.debug("unusable reply: who=%s reason=%s", question.who, error)
                reason = error
                messages = [*messages, *_wire.correction(response, str(error))]
            else:
                return Answer(value, response.model_name or self.llm, question.usage(), repairs)
        raise ReplyError(
            f"{question.who} gave no usable reply in {self._repairs + 1} attempts: {reason} "
            "Try again, or use a more capable chat model."
        ) from reason

    def _request(self, question: _Question, messages: list[ModelMessage], schema: dict[str, Any]) -> ModelResponse:
        live = self._living()
        if live.takes_tools:
            try:
                return question.request(messages, _wire.tool_parameters(schema))
            except ProviderError as error:
                if not _wire.is_about_tools(error):
                    raise
                live.takes_tools = False
        return question.request(_wire.with_schema_in_words(messages, schema), _wire.text_parameters())

    def _chat_model(self) -> Model:
        live = self._living()
        with live.lock:
            if live.chat_model is None:
                live.chat_model = resolve.resolve(self.llm, base_url=self.base_url)
            return live.chat_model

    def _living(self) -> _Live:
        if self._live.pid != os.getpid():
            self._live = _Live(self._max_parallel)
        return self._live

    def _who(self, chat_model: Model) -> str:
        url = self.base_url or chat_model.base_url
        return f"The chat model {self.llm!r}" + (f" at {resolve.without_secrets(url)}" if url else "")

    def _check_allowed(self, chat_model: Model) -> None:
        host = urlsplit(self.base_url or chat_model.base_url or "").hostname
        if not _requests_allowed and host not in ("localhost", "127.0.0.1", "::1"):
            raise ConfigError(
                f"A request to {self.llm!r} was about to leave this machine, which allow_requests(False) forbids; "
                "use a loopback server, or call sllmbo.llm.allow_requests(True)."
            )

    @contextmanager
    def _slot(self, question: _Question) -> Iterator[None]:
        slots = self._living().slots
        if not slots.acquire(timeout=question.remaining()):
            raise Unavailable(
                f"{question.who} was not asked: {self._max_parallel} questions to it were under way for all of "
                f"{self.timeout:g} s; run fewer workers or raise the timeout."
            )
        try:
            yield
        finally:
            slots.release()


@dataclass(slots=True)
class _Live:
    """What belongs to one process and is left behind by pickle and fork."""

    max_parallel: int
    pid: int = field(default_factory=os.getpid)
    lock: threading.Lock = field(default_factory=threading.Lock)
    chat_model: Model | None = None
    takes_tools: bool = True
    slots: threading.BoundedSemaphore = field(init=False)

    def __post_init__(self) -> None:
        self.slots = threading.BoundedSemaphore(self.max_parallel)


class _Question:
    """One question under way: its deadline, and what it has cost so far."""

    def __init__(self, chat_model: Model, who: str, timeout: float, retries: int) -> None:
        self.who = who
        self._chat_model = chat_model
        self._timeout = timeout
        self._retries = retries
        self._start = time.monotonic()
        self._spent: list[Usage] = []

    def remaining(self) -> float:
        return max(0.0, self._start + self._timeout - time.monotonic())

    def usage(self) -> Usage:
        return sum(self._spent, Usage()) + Usage(seconds=time.monotonic() - self._start)

    def request(self, messages: list[ModelMessage], parameters: Any) -> ModelResponse:
        """Send one request, again after a passing failure, as long as there is time."""
        for retry in range(self._retries + 1):
            try:
                response = LOOP.run(_wire.send(self._chat_model, messages, parameters), timeout=self.remaining())
            except TimeoutError as error:
                raise Unavailable(
                    f"{self.who} did not finish its answer within {self._timeout:g} s; raise the timeout, or use a "
                    "faster chat model."
                ) from error
            except Exception as error:  # clients raise what they like on broken answers; none may end a study
                pause = _wire.pause_after(error, _FIRST_PAUSE * 2**retry)
                if pause is None or retry == self._retries or pause >= self.remaining():
                    raise _wire.provider_error(self.who, error) from error
                _LOG.debug("retry: who=%s pause=%.2f error=%s", self.who, pause, type(error).__name__)
                time.sleep(pause)
            else:
                self._spent.append(_wire.usage_of(response))
                return response
        raise AssertionError("the last retry returns or raises")
