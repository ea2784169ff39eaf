"""
One event loop in a background thread, on which all requests to chat models run.

Clients of chat models are bound to the loop that first used them, while Optuna asks from many threads, notebooks have a
running loop of their own, and forked children have lost all threads but one. One loop for all callers serves them all.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """An event loop in a daemon thread, started when first needed, and anew in a forked child."""

    def __init__(self) -> None:
        self._forget()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._loop.getaddrinfo = _getaddrinfo  # type: ignore[method-assign]
                threading.Thread(target=self._loop.run_forever, name="sllmbo-llm", daemon=True).start()
            return self._loop

    def run(self, coroutine: Coroutine[Any, Any, T], *, timeout: float) -> T:
        """
        Run *coroutine* on the loop, wait for it, and return its result. It is cancelled when the waiting ends.

        Args:
            coroutine: What to run.
            timeout: Seconds to wait at most.

        Raises:
            TimeoutError: If it was not done in time.
        """
        future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, self._running())
        try:
            return future.result(timeout)
        finally:
            future.cancel()


async def _getaddrinfo(*about: Any, **more: Any) -> Any:
    """Resolve a name in a daemon thread: those of asyncio's executor are joined at exit, however long one hangs."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()  # who waits may leave, and the thread still set a result

    def resolve() -> None:
        try:
            future.set_result(socket.getaddrinfo(*about, **more))
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            future.set_exception(error)

    threading.Thread(target=resolve, name="sllmbo-resolver", daemon=True).start()
    return await asyncio.wrap_future(future)


LOOP = LoopThread()
