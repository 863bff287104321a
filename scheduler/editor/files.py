"""Reads and writes of the texts' folder, beside the event loop: a network folder may take long, or hang."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

SECONDS = 10.0
AT_ONCE = 4


class FilesHang(OSError):
    """The folder of texts does not answer."""

    def __init__(self) -> None:
        super().__init__(None, "the folder of texts does not answer")


class Files:
    """Runs what touches files in threads, at most four at once. Nobody waits for one that hangs."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(self, function: Callable[[], T]) -> T:
        """What `function` returns. Raises FilesHang after ten seconds."""
        try:
            async with asyncio.timeout(SECONDS):
                await self._slots.acquire()
                return await self._in_thread(function)
        except TimeoutError:
            raise FilesHang from None

    def _in_thread(self, function: Callable[[], T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def ended(result: T | None, error: BaseException | None) -> None:
            self._slots.release()
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

        # A daemon: the process can end while a read hangs in the kernel.
        threading.Thread(target=work, name="texts", daemon=True).start()
        return answer
