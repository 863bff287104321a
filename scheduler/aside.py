"""Runs file access in threads of its own: a network folder may be slow, or hang for ever.

The event loop's own threads are few, and resolve host names: what may hang must not take those.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


class Hangs(OSError):
    """A folder or file did not answer in time."""

    def __init__(self, what: str) -> None:
        super().__init__(None, f"{what} does not answer")


class Aside:
    """A limited number of daemon threads for one purpose. Nothing waits for a thread that hangs, not even the end of
    the process."""

    def __init__(self, what: str, seconds: float, at_once: int = 1) -> None:
        """`what` names it in errors; `seconds`: how long to wait for an answer."""
        self._what, self._seconds, self._at_once = what, seconds, at_once
        self._begun: dict[
            object, float
        ] = {}  # when each thread that has not ended began, on the loop's clock
        self._ended = asyncio.Event()

    async def run(self, function: Callable[[], T]) -> T:
        """The result of `function`, or its exception. Raises Hangs: at once, where earlier calls hang."""
        try:
            async with asyncio.timeout(self._seconds):
                await self._turn()
                return await self._in_thread(function)
        except TimeoutError:
            raise Hangs(self._what) from None

    async def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        while len(self._begun) >= self._at_once:
            if loop.time() - max(self._begun.values()) > self._seconds:
                raise Hangs(self._what)
            self._ended.clear()
            await self._ended.wait()

    def _in_thread(self, function: Callable[[], T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        thread = object()
        self._begun[thread] = loop.time()

        def ended(result: T | None, error: BaseException | None) -> None:
            del self._begun[thread]
            self._ended.set()
            if answer.done():  # nobody waits any more
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)  # type: ignore[arg-type]

        def work() -> None:
            result, failure = None, None
            try:
                result = function()
            except BaseException as error:
                failure = error
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(ended, result, failure)

        threading.Thread(target=work, name=self._what, daemon=True).start()
        return answer


class Beside:
    """The same for callers without an event loop."""

    def __init__(self, what: str, seconds: float) -> None:
        self._what, self._seconds = what, seconds
        self._begun: dict[Future[Any], float] = {}  # when each thread that has not ended began (monotonic)

    def run(self, function: Callable[[], T]) -> T:
        """The result of `function`, or its exception. Raises Hangs: at once, where an earlier call hangs."""
        now, answer = time.monotonic(), Future[T]()
        self._begun = {one: at for one, at in self._begun.items() if not one.done()}
        if any(now - at >= self._seconds for at in self._begun.values()):
            raise Hangs(self._what)
        self._begun[answer] = now

        def work() -> None:
            try:
                answer.set_result(function())
            except BaseException as error:
                answer.set_exception(error)

        threading.Thread(target=work, name=self._what, daemon=True).start()
        try:
            return answer.result(self._seconds)
        except TimeoutError:
            if answer.done():  # it is what `function` raised
                raise
            raise Hangs(self._what) from None
