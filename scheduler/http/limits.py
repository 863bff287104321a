"""Limits of a listener: the number of connections, their rate, and the time for each.

Without limits silent connections take every descriptor of the process, and requests that never end stay for ever
(CWE-770, "slowloris").
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from enum import Enum, auto

from h11 import SEND_BODY
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

MOST_DESCRIPTORS = 65_536
BODY_BYTES = 500  # a second, the slowest rate
_LINGER = (
    1.0  # seconds of reading a refused body, so that the response arrives before the reset (RFC 9112, 9.6)
)


@dataclass(frozen=True)
class Limits:
    """Limits of one listener. Times are in seconds."""

    connections: int
    """Open at once."""
    per_second: float
    """Accepted in a second; the others wait in the system's queue."""
    first_byte: float
    """From the connection, or the previous response, to the first byte of a request."""
    head: float
    """From there to the end of its head."""
    body: float
    """From there to the end of its body, plus a second for each `BODY_BYTES` received."""
    whole: float
    """From the end of the head to the end of the answer, the request's body included."""
    per_network: int
    """Open at once from one network, unless it is a proxy's."""
    keep_alive: bool = True


OF_PAGES = Limits(connections=256, per_second=1000, first_byte=10, head=10, body=10, whole=60, per_network=64)
OF_HEALTH = Limits(
    connections=32, per_second=200, first_byte=2, head=2, body=2, whole=5, per_network=32, keep_alive=False
)
"""Strict, since this listener shares a process with sending: clients cost it some milliseconds a second at most."""


class Connection(H11Protocol):
    """A connection to a client, closed when it exceeds a time limit."""

    def __init__(
        self,
        config: Config,
        state: ServerState,
        limits: Limits,
        network: str,
        closed: Callable[[Connection], None],
    ) -> None:
        """`network`: the key by which it is counted."""
        super().__init__(config, state, {})
        self.network = network
        self._limits, self._closed = limits, closed
        self._stage = _Stage.SILENT
        self._end, self._end_of_body = 0.0, 0.0  # of the request under way, on the loop's clock
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_asking(self) -> bool:
        """Whether a request is in progress that has arrived in full, or as far as it is read."""
        return self._stage is _Stage.ANSWERING and not self._lacks_body

    @property
    def is_answered(self) -> bool:
        """Whether a response has begun and not ended."""
        cycle = self.cycle
        return cycle is not None and cycle.response_started and not cycle.response_complete

    def abort(self) -> None:
        """Close it at once."""
        if self.transport:
            self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin(_Stage.SILENT, self._limits.first_byte)

    def data_received(self, data: bytes) -> None:
        if self._stage is _Stage.SILENT:
            self._begin(_Stage.HEAD, self._limits.head)
        self.server_state.default_headers = [(b"date", formatdate(usegmt=True).encode())]  # RFC 9110, 6.6.1
        super().data_received(data)
        self._end_of_body += len(data) / BODY_BYTES
        self._look_for_request()

    def on_response_complete(self) -> None:
        unread = self.conn.their_state is SEND_BODY
        self._begin(_Stage.SILENT, self._limits.first_byte)
        super().on_response_complete()
        if unread:
            self._begin(_Stage.CLOSING, _LINGER)
        self._look_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)
        self._closed(self)

    @property
    def _lacks_body(self) -> bool:
        """Whether we wait for the client to send the rest of the request's body."""
        return self.cycle is not None and self.cycle.more_body and not self.flow.read_paused

    def _look_for_request(self) -> None:
        if self.cycle is None or self.cycle.response_complete or self._stage is _Stage.CLOSING:
            return
        now = self.loop.time()
        if self._stage in (_Stage.SILENT, _Stage.HEAD):
            self._end, self._end_of_body = now + self._limits.whole, now + self._limits.body
        if not self._lacks_body:
            self._begin(_Stage.ANSWERING, self._end - now)
            return
        if self._stage is _Stage.ANSWERING:
            self._end_of_body = max(self._end_of_body, now + self._limits.body)
        self._begin(_Stage.BODY, min(self._end_of_body, self._end) - now)

    def _begin(self, stage: _Stage, seconds: float) -> None:
        self._stage = stage
        self._stop_timer()
        if not self.transport.is_closing() or stage is _Stage.CLOSING:
            self._timer = self.loop.call_later(seconds, self.abort)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()


class _Stage(Enum):
    SILENT = auto()
    HEAD = auto()
    BODY = auto()
    ANSWERING = auto()
    CLOSING = auto()


def raise_descriptors() -> None:
    """Raise this process's limit of open files as far as the system allows, up to MOST_DESCRIPTORS."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connections_at_most(limits: Limits) -> int:
    """The most connections of a listener: a quarter of this process's descriptors at most, since relays, database and
    files need the others."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        limits.connections if soft == resource.RLIM_INFINITY else max(1, min(limits.connections, soft // 4))
    )
