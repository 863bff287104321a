"""Signal handlers of `webinar run`: SIGTERM and SIGINT stop it, a second one at once; SIGHUP makes it read files
again.

The handlers are Python's own, not the event loop's, so that they work while the loop is blocked.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType


class Signals:
    """Handlers for the rest of the process."""

    def __init__(self, reload: Callable[[], None]) -> None:
        """`reload` is called in the event loop, in which this is made."""
        self.stop, self.reload = asyncio.Event(), reload
        self._loop = asyncio.get_running_loop()
        self._ending = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        signal.signal(signal.SIGHUP, self._read_again)

    def _end(self, number: int, frame: FrameType | None) -> None:
        if self._ending:
            os._exit(128 + number)
        self._ending = True
        self._loop.call_soon_threadsafe(self.stop.set)

    def _read_again(self, number: int, frame: FrameType | None) -> None:
        self._loop.call_soon_threadsafe(self.reload)


def end_within(seconds: float, code: int) -> threading.Timer:
    """End the process with this code after `seconds`, even if threads still wait, say for a database that hangs.
    Cancel the timer when it is no longer needed."""

    def end() -> None:
        sys.stderr.flush()
        os._exit(code)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    return timer
