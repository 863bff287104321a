"""Notifies a service manager, where there is one: started, reloading, stopping, alive (sd_notify(3)).

The manager names a datagram socket in NOTIFY_SOCKET and the longest silence in WATCHDOG_USEC, in microseconds. The sign
of life comes from a timer of the event loop: a loop that hangs sends none, and the service is started again. A database
or a relay that does not answer keeps threads and tasks waiting, never the loop: a restart would not help.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger()

SEND_SECONDS = 1.0  # to wait for a manager that is busy, at a start, stop or reload


def started() -> None:
    """The service has started. From now on the running event loop shows that it is alive, until it is closed."""
    _send("READY=1")
    if seconds := _silence_seconds():
        _beat(asyncio.get_running_loop(), seconds / 3)


@contextmanager
def reloading() -> Iterator[None]:
    """The service reads again what can change, while this lasts; also a decorator."""
    _send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
    try:
        yield
    finally:
        _send("READY=1")


def stopping() -> None:
    """The service ends."""
    _send("STOPPING=1")


def _beat(loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    _send("WATCHDOG=1", waits=False)
    loop.call_later(seconds, _beat, loop, seconds)


def _silence_seconds() -> float:
    """Seconds without a sign of life after which this process is killed; 0: never."""
    given, of = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    return int(given) / 1e6 if given.isdecimal() and of in ("", str(os.getpid())) else 0


def _send(state: str, *, waits: bool = True) -> None:
    """Send a state to the manager. A failure is logged and never raised."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):  # a socket of another machine, as vsock
        return
    if address.startswith("@"):  # abstract, unix(7)
        address = f"\0{address[1:]}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
            manager.settimeout(SEND_SECONDS if waits else 0)
            manager.sendto(state.encode(), address)
    except OSError as error:
        say = log.warning if waits else log.debug  # signs of life are frequent
        say("service manager not notified", state=state.partition("=")[0], error=str(error))
