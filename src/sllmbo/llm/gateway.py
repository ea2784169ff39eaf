"""
`Gateway`: one typed question to a chat model, with a deadline, few retries and one chance to correct itself.

It knows nothing of what is tuned: words and a JSON Schema go out, a checked value and its cost come back.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from sllmbo.errors import AdviceError, BudgetExceeded, ConfigError, ProviderError, Unavailable
from sllmbo.llm import resolve
from sllmbo.llm._chat_model import ChatModel
from sllmbo.llm._exchange import Answer, Exchange, Patience, Question, Spending

T = TypeVar("T")

ReplyMode: TypeAlias = Literal["auto", "tool", "native", "prompted"]
"""How replies are asked for: by a tool call, by a response format, in words, or by what works."""

_LOG = logging.getLogger("sllmbo.llm")

_requests_allowed = True


def allow_requests(allowed: bool) -> None:
    """
    Allow or forbid requests to servers other than loopback ones, in this process.

    Test suites forbid them, so that no test can spend money: a forbidden request raises `ConfigError`.
    """
    global _requests_allowed
    _requests_allowed = allowed


class Gateway:
    """
    A chat model that answers typed questions. Safe to share between threads; pickles without client and key.

    Args:
        llm: "provider:name" of the chat model. Several, in a sequence or with commas between them, are a chain: the
            next one is asked when one does not answer, or not usably. While others follow, one may take half of the
            time that is left; after it did not answer, it is asked last for a minute.
        base_url: A server to ask instead of the provider's own, in all of the chain: "anthropic:" and "google:" speak
            their own protocols to it, any other name means OpenAI chat completions.
        timeout: Seconds that one question may take in all, retries, corrections and other chat models included.
        reply_mode: "tool" asks for a tool call, "native" for a response format with a JSON Schema, "prompted" in
            words. "auto" starts with what suits the chat model and goes on in words where its server rejects or ignores
            that; what worked is remembered.
        max_tokens: Tokens of one reply, thinking included; doubled once for a reply that was cut off. A server that
            rejects such a limit is asked without one, unless a budget is in force, which needs it: then it has refused.
        price: US dollars per million input and output tokens, for chat models that the price table does not know.
        retries: How often a request is repeated after a rate limit, a server error or a lost connection.
        repairs: How often an unusable reply is sent back with the reason.
        max_parallel: Questions that may be under way at once; further ones wait, within their timeout.

    Raises:
        ConfigError: If an argument is malformed.

    Example:
        >>> gateway = Gateway("openai:gpt-5-mini", base_url="http://localhost:8000/v1", timeout=30)
        >>> gateway
        Gateway('openai:gpt-5-mini', base_url='http://localhost:8000/v1', timeout=30)
    """

    def __init__(
        self,
        llm: str | Sequence[str],
        *,
        base_url: str | None = None,
        timeout: float = 60.0,
        reply_mode: ReplyMode = "auto",
        max_tokens: int = 8192,
        price: tuple[float, float] | None = None,
        retries: int = 2,
        repairs: int = 1,
        max_parallel: int = 8,
    ) -> None:
        self._specs = resolve.split_chain(llm)
        if base_url is not None:
            resolve.check_base_url(base_url)
        if not 0 < timeout < threading.TIMEOUT_MAX:
            raise ConfigError(f"timeout={timeout!r} must be a positive number of seconds.")
        if reply_mode not in get_args(ReplyMode):
            raise ConfigError(f"reply_mode={reply_mode!r} is none of {', '.join(map(repr, get_args(ReplyMode)))}.")
        if not max_tokens > 0:
            raise ConfigError(f"max_tokens={max_tokens!r} must be a positive number of tokens.")
        if price is not None and not (len(price) == 2 and all(0 <= part < math.inf for part in price)):
            raise ConfigError(f"price={price!r} must be US dollars per million input tokens and output tokens.")
        self.llm = ",".join(self._specs)
        self.base_url = base_url
        self.timeout = timeout
        self._price = price
        self._patience = Patience(retries, repairs, max_tokens, reply_mode)
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
        Check that every chat model can be asked: provider, installed client, key. Nothing is sent.

        Raises:
            ConfigError: If a provider is unknown or its key is missing.
            MissingExtra: If a provider's client is not installed.
        """
        self._chat_models()

    def ask(
        self,
        *,
        instructions: str,
        prompt: str,
        schema: dict[str, Any],
        check: Callable[[Any], T],
        conversation: Sequence[tuple[str, str]] = (),
    ) -> Answer[T]:
        """
        Ask one question and return the checked answer.

        Args:
            instructions: The part of the question that stays the same from call to call.
            prompt: The part that is new.
            schema: JSON Schema of the reply, an object. It is sent; *check* is what enforces it.
            check: Turns the reply (a JSON object or list of objects) into a value, or raises `ReplyError` with words
                that are sent back to the chat model.
            conversation: What was said before, oldest first, as ("user" or "assistant", words).

        Raises:
            BudgetExceeded: If the meter of this thread does not allow a request.
            ReplyError: If the reply was still unusable after the corrections.
            ProviderError: If no reply was had: `AuthenticationFailed`, `RateLimited`, `Refused`, `Unavailable`.
            ConfigError: As for `check_config`, or if requests are forbidden by `allow_requests`.
        """
        chat_models = self._chat_models()
        for chat_model in chat_models:
            _check_allowed(chat_model)
        until, spending = time.monotonic() + self.timeout, Spending()
        try:
            with self._slot(chat_models[0].who):
                question = Question(instructions, prompt, schema, check, conversation)
                return self._ask_in_turn(chat_models, question, until, spending)
        except AdviceError as error:
            error.usage, error.raw = spending.total(), spending.raw
            raise

    def _ask_in_turn(
        self, chat_models: Sequence[ChatModel], question: Question[T], until: float, spending: Spending
    ) -> Answer[T]:
        failures: list[AdviceError] = []
        in_turn = sorted(chat_models, key=lambda chat_model: chat_model.rests)
        for place, chat_model in enumerate(in_turn, start=1):
            left = max(0.0, until - time.monotonic())
            seconds = left if place == len(in_turn) else left / 2
            try:
                return Exchange(chat_model, question, self._patience, seconds=seconds, spending=spending).answer()
            except BudgetExceeded:
                raise
            except AdviceError as error:
                failures.append(error)
                if isinstance(error, ProviderError):
                    chat_model.rest()
                if place < len(in_turn):
                    _LOG.warning("%s Now %r is asked.", error, in_turn[place].llm)
        raise _all_of(failures)

    def _chat_models(self) -> Sequence[ChatModel]:
        if self._live.pid != os.getpid():
            self._live = _Live(self._max_parallel)
        live = self._live
        with live.lock:
            if not live.chat_models:
                about: dict[str, Any] = {
                    "base_url": self.base_url,
                    "reply_mode": self._patience.reply_mode,
                    "price": self._price,
                }
                live.chat_models = [ChatModel(spec, **about) for spec in self._specs]
            return live.chat_models

    @contextmanager
    def _slot(self, who: str) -> Iterator[None]:
        slots = self._live.slots
        if not slots.acquire(timeout=self.timeout):
            raise Unavailable(
                f"{who} was not asked: {self._max_parallel} questions to it were under way for all of "
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
    chat_models: list[ChatModel] = field(default_factory=list)
    slots: threading.BoundedSemaphore = field(init=False)

    def __post_init__(self) -> None:
        self.slots = threading.BoundedSemaphore(self.max_parallel)


def _check_allowed(chat_model: ChatModel) -> None:
    if not _requests_allowed and not chat_model.is_on_this_machine:
        raise ConfigError(
            f"A request to {chat_model.llm!r} was about to leave this machine, which allow_requests(False) forbids; "
            "use a loopback server, or call sllmbo.llm.allow_requests(True)."
        )


def _all_of(failures: Sequence[AdviceError]) -> AdviceError:
    """Return the error of a chain in which all have failed: of the last one's kind, with the words of all."""
    last = failures[-1]
    if len(failures) == 1:
        return last
    error = type(last)(" ".join(["None of the chat models answered.", *map(str, failures)]))
    error.__cause__ = last
    return error
