"""
`Exchange`: one question put to one chat model, with retries, corrections and concessions, until it is answered.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sllmbo.errors import AdviceError, ProviderError, ReplyError, Unavailable
from sllmbo.llm import _faults, _wire
from sllmbo.llm._chat_model import ChatModel
from sllmbo.llm._loop import LOOP
from sllmbo.llm._wire import Mode
from sllmbo.llm.meter import Call, counted, is_limited
from sllmbo.llm.resolve import without_keys
from sllmbo.usage import Usage

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse

T = TypeVar("T")

_LOG = logging.getLogger("sllmbo.llm")
_WIND_UP = 0.03  # seconds of a deadline that are kept back, to notice that it is over and to say so
_FIRST_PAUSE = 0.5  # seconds before the first retry when the provider names none; doubled each time
_BYTES_PER_TOKEN = 2  # few enough for tables of numbers, so that a budget holds
"""By which input is estimated before it is sent."""

_OVERHEAD = 500
"""Input tokens that a provider may add for roles and tools."""

_MAX_KEPT = 20_000
"""Characters of a reply that are kept; a usable one has a few hundred."""

_MORE_ROOM = 2
"""How many times larger the token limit is when a reply that it cut off is asked for again."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What came back for one question."""

    value: T

    chat_model: str
    """Name of the chat model, as the server gave it."""

    usage: Usage
    """The cost of all requests of this question, also to other chat models that were asked before."""

    repairs: int = 0
    """How often the chat model was asked to correct its reply."""

    llm: str = ""
    """The chat model as it was asked for, "provider:name"."""

    reply_mode: str = ""
    """How the reply was had: "tool", "native" or "prompted"."""

    raw: str = ""
    """What was replied, the unusable replies first: see `Spending.raw`."""


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """What is asked: see `Gateway.ask`."""

    instructions: str
    prompt: str
    schema: dict[str, Any]
    check: Callable[[Any], T]
    conversation: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Patience:
    """How much is put up with."""

    retries: int
    repairs: int
    max_tokens: int
    reply_mode: str
    """The mode of all requests, or "auto"."""


class Spending:
    """What a question has cost so far and what came back, over all chat models that were asked."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._spent: list[Usage] = []
        self._heard: list[str] = []

    def add(self, usage: Usage) -> None:
        """Count one answered request."""
        self._spent.append(usage)

    def hear(self, reply: str) -> None:
        """Keep what was replied, usable or not: without keys, and its beginning where it is long."""
        words = without_keys(reply)
        try:
            value = json.loads(words)
        except (ValueError, RecursionError):
            value = words
        line = json.dumps(value)
        if len(line) > _MAX_KEPT:
            line = json.dumps(f"{words[:_MAX_KEPT]}... ({len(words)} characters)")
        self._heard.append(line)

    @property
    def raw(self) -> str:
        """One JSON text per line: a reply that was JSON, or the words of one that was not."""
        return "\n".join(self._heard)

    def total(self) -> Usage:
        """Return all of it until now."""
        return sum(self._spent, Usage()) + Usage(seconds=time.monotonic() - self._start)


class Exchange(Generic[T]):
    """
    One question put to one chat model.

    Args:
        chat_model: Who is asked.
        question: What is asked.
        patience: How much is put up with.
        seconds: How long it may take in all.
        spending: Where the cost is counted.
    """

    def __init__(
        self, chat_model: ChatModel, question: Question[T], patience: Patience, *, seconds: float, spending: Spending
    ) -> None:
        self._chat_model = chat_model
        self._question = question
        self._patience = patience
        self._seconds = seconds
        self._until = time.monotonic() + seconds - min(_WIND_UP, seconds / 10)
        self._spending = spending
        self._mode: Mode = chat_model.mode if patience.reply_mode == "auto" else patience.reply_mode  # type: ignore[assignment]
        self._max_tokens = patience.max_tokens if chat_model.takes_limit or is_limited() else None

    def answer(self) -> Answer[T]:
        """
        Return the checked answer.

        Raises:
            ReplyError: If the reply was still unusable after the corrections.
            ProviderError: If no reply was had.
        """
        asked = self._question
        messages = _wire.first_messages(asked.instructions, asked.conversation, asked.prompt)
        repairs = 0
        while True:
            response = self._request(messages)
            try:
                keys = asked.schema.get("required", ())
                value = asked.check(_wire.reply_in(response, self._chat_model.who, keys))
            except ReplyError as error:
                _LOG.debug("unusable reply: who=%s mode=%s reason=%s", self._chat_model.who, self._mode, error)
                if _wire.is_truncated(response) and self._widen():
                    continue  # nothing was wrong with what was said of it
                if repairs == self._patience.repairs:
                    raise self._unusable(error, response) from error
                repairs += 1
                words = f"It was cut off: be brief. {error}" if _wire.is_truncated(response) else str(error)
                messages = [*messages, *_wire.correction(response, words, asked.instructions)]
                if _wire.is_ignored(response, self._mode):
                    self._step_down()
            else:
                self._learn()
                name = response.model_name or self._chat_model.llm
                cost, raw = self._spending.total(), self._spending.raw
                return Answer(value, name, cost, repairs, self._chat_model.llm, self._mode, raw)

    def _unusable(self, reason: ReplyError, response: ModelResponse) -> ReplyError:
        cut = (
            f" (it was cut off at {self._max_tokens} tokens: raise max_tokens)" if _wire.is_truncated(response) else ""
        )
        return ReplyError(
            f"{self._chat_model.who} gave no usable reply in {self._patience.repairs + 1} attempts{cut}: {reason} "
            "Try again, or use a more capable chat model."
        )

    def _request(self, messages: list[ModelMessage]) -> ModelResponse:
        """
        Send *messages*, again with less asked of the server where it rejects the mode or the token limit.

        The token limit stays where a budget is in force, as nothing else bounds what the reply may cost.
        """
        while True:
            try:
                return self._send(messages)
            except ProviderError as error:
                if self._max_tokens is not None and _faults.is_about_the_limit(error.__cause__):
                    if is_limited():
                        raise
                    self._max_tokens = None
                elif not (_faults.is_about_the_mode(error.__cause__) and self._step_down()):
                    raise

    def _send(self, messages: list[ModelMessage]) -> ModelResponse:
        """Send one request, again after a passing failure, as long as there is time."""
        who = self._chat_model.who
        for retry in range(self._patience.retries + 1):
            try:
                with counted(self._bound(messages), self._chat_model.llm) as call:
                    return self._received(messages, call)
            except AdviceError:  # the budget is spent
                raise
            except TimeoutError as error:
                raise Unavailable(
                    f"{who} did not finish its answer within {self._seconds:.3g} s; raise the timeout, or use a faster "
                    "chat model."
                ) from error
            except Exception as error:  # clients raise what they like on broken answers; none may end a study
                pause = _faults.pause_after(error, _FIRST_PAUSE * 2**retry)
                if pause is None or retry == self._patience.retries or pause >= self._remaining():
                    raise _faults.provider_error(who, error) from error
                _LOG.debug("retry: who=%s pause=%.2f error=%s", who, pause, type(error).__name__)
                time.sleep(pause)
        raise AssertionError("the last retry returns or raises")

    def _received(self, messages: list[ModelMessage], call: Call) -> ModelResponse:
        request = self._chat_model.send(
            messages, schema=self._question.schema, mode=self._mode, max_tokens=self._max_tokens
        )
        try:
            response = LOOP.run(request, timeout=self._remaining())
        except TimeoutError:
            raise  # it may be answered, and billed, all the same
        except Exception as error:
            said = _faults.words_in(error)
            if said is not None:
                self._spending.hear(said)
            if _faults.is_unbilled(error):
                call.usage = Usage(calls=1, cost_usd=0.0)
            raise
        usage = self._chat_model.usage_of(response)
        call.usage = usage if usage.tokens else None  # servers that tell no tokens count them all the same
        call.chat_model = response.model_name or self._chat_model.llm
        self._spending.add(usage)
        self._spending.hear(_wire.text_in(response))
        return response

    def _bound(self, messages: list[ModelMessage]) -> Usage:
        """Return the most that sending *messages* once may cost; the input is estimated at 2 bytes a token."""
        sent = _wire.size_of(messages) + len(json.dumps(self._question.schema))
        input_tokens = sent // _BYTES_PER_TOKEN + _OVERHEAD
        output_tokens = self._max_tokens or self._patience.max_tokens
        cost = self._chat_model.cost_of(input_tokens, output_tokens)
        return Usage(calls=1, input_tokens=input_tokens, output_tokens=output_tokens, cost_usd=cost)

    def _remaining(self) -> float:
        return max(0.0, self._until - time.monotonic())

    def _widen(self) -> bool:
        """Give the reply more room, once; tell whether that could be done."""
        if self._max_tokens != self._patience.max_tokens:
            return False
        self._max_tokens *= _MORE_ROOM
        return True

    def _step_down(self) -> bool:
        """Ask in words from now on; tell whether that is another mode than before."""
        if self._patience.reply_mode != "auto" or self._mode == "prompted":
            return False
        self._mode = "prompted"
        return True

    def _learn(self) -> None:
        if self._patience.reply_mode == "auto":
            self._chat_model.mode = self._mode
        self._chat_model.takes_limit = self._max_tokens is not None
