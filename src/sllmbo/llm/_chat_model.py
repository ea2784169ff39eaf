"""
`ChatModel`: one chat model of a gateway in this process, and what was learned about it meanwhile.
"""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sllmbo.errors import ConfigError
from sllmbo.llm import _wire, resolve
from sllmbo.llm._wire import Mode
from sllmbo.usage import Usage

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import Model

_REST = 60.0  # seconds for which others are asked first, after this one did not answer


class ChatModel:
    """
    One chat model, built from its name at once. Threads may share it: what it learns are single assignments.

    Args:
        llm: "provider:name".
        base_url: The server to ask instead of the provider's own.
        reply_mode: The mode that is asked of it, or "auto".
        price: US dollars per million input and output tokens, where the price table has none.

    Raises:
        ConfigError, MissingExtra: As `resolve.resolve`, and if it has no such mode.
    """

    def __init__(self, llm: str, *, base_url: str | None, reply_mode: str, price: tuple[float, float] | None) -> None:
        self.llm = llm
        self._model: Model = resolve.resolve(llm, base_url=base_url)
        modes = _wire.modes_of(self._model)
        if reply_mode not in ("auto", *modes):
            known = " or ".join(map(repr, ["auto", *modes]))
            raise ConfigError(f"The chat model {llm!r} has no reply_mode={reply_mode!r}; use {known}.")
        self._server = resolve.server_of(llm, base_url)
        self._price = price
        self._resting_until = 0.0
        self.takes_limit = True
        """Whether the server takes a token limit; false once it rejected one."""

    @cached_property
    def mode(self) -> Mode:
        """The reply mode to start with; assigned when another one turned out to work."""
        return _wire.mode_for(self._model)

    @property
    def url(self) -> str:
        """Where it is asked, as it may be shown."""
        return resolve.without_secrets(self._server or self._model.base_url or "")

    @property
    def who(self) -> str:
        """What it is called in messages, as the subject of a sentence."""
        return f"The chat model {self.llm!r} at {self.url}"

    @property
    def is_on_this_machine(self) -> bool:
        """Tell whether its server is a loopback one."""
        return urlsplit(self.url).hostname in ("localhost", "127.0.0.1", "::1")

    @property
    def rests(self) -> bool:
        """Tell whether others should be asked first, because it did not answer lately."""
        return time.monotonic() < self._resting_until

    def rest(self) -> None:
        """Note that it did not answer."""
        self._resting_until = time.monotonic() + _REST

    async def send(
        self, messages: list[ModelMessage], *, schema: dict[str, Any], mode: Mode, max_tokens: int | None
    ) -> ModelResponse:
        """Send one request, once."""
        return await _wire.send(self._model, messages, schema=schema, mode=mode, max_tokens=max_tokens)

    def usage_of(self, response: ModelResponse) -> Usage:
        """Return what one answered request cost; its price is unknown where the server does not tell its tokens."""
        tokens = response.usage
        if not tokens.input_tokens + tokens.output_tokens:
            return _wire.usage_of(response, None)
        cost = None if self._server else _wire.listed_cost(response)
        return _wire.usage_of(
            response, self._stated(tokens.input_tokens, tokens.output_tokens) if cost is None else cost
        )

    def cost_of(self, input_tokens: int, output_tokens: int) -> float | None:
        """Return the price of so many tokens in US dollars; None where it is unknown."""
        tokens = {"input_tokens": input_tokens, "output_tokens": output_tokens}
        cost = _wire.listed_price(self.llm, base_url=self._server, **tokens)
        return self._stated(**tokens) if cost is None else cost

    def _stated(self, input_tokens: int, output_tokens: int) -> float | None:
        if self._price is None:
            return None
        return (input_tokens * self._price[0] + output_tokens * self._price[1]) / 1e6
