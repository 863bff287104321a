"""A web server inside a running event loop."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterable, Sequence

import structlog
import uvicorn
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.server import ServerState

from scheduler.http.limits import OF_PAGES, Connection, Limits, connections_at_most
from scheduler.http.networks import is_in, networks_of

log = structlog.get_logger()

_GRACE_SECONDS = 3  # for requests in progress at a stop; no page takes that long
_CANCEL_SECONDS = 1  # for requests that are cancelled then
_QUEUE = 128  # the backlog of the listening socket
_PAUSE = 1.0  # seconds after a failure to accept


class WebServer:
    """Serves one application on one port, within limits. uvicorn speaks HTTP; connections are accepted here. Signals,
    logging and the loop stay with the caller."""

    def __init__(
        self, app: ASGIApp, host: str, port: int, proxies: Sequence[str] = (), *,
        limits: Limits = OF_PAGES, setting: str = "",
    ) -> None:  # fmt: skip
        """`port` 0 picks a free one, known after `start`. `proxies`: addresses whose X-Forwarded-For is trusted.
        `setting`: the variable that sets the port, for the error when it is taken."""
        self._host, self._port, self._limits, self._proxies = host, port, limits, proxies
        self._setting = setting
        self._config = uvicorn.Config(
            _in_order(app if limits.keep_alive else _closing(app)),
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=list(proxies),
        )
        self._state = ServerState()
        self._open: dict[Connection, None] = {}  # the oldest first
        self._room = asyncio.Event()
        self._accepting: asyncio.Task[None] | None = None
        self._listener: socket.socket | None = None

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        """ "http://127.0.0.1:8080"; for an address that means "all of them", one that a browser can open."""
        host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}"

    async def start(self) -> None:
        """Listen. Raises OSError, in words for the operator, when host and port can't be had."""
        if self._accepting:
            raise RuntimeError("the web server runs already")
        self._config.load()
        self._listener = _listen(self._host, self._port, self._setting)
        self._port = self._listener.getsockname()[1]
        self._accepting = asyncio.create_task(self._accept(self._listener), name="web server")

    async def stop(self) -> None:
        """Finish requests in progress, for three seconds at most, and free the port. May be called again."""
        if self._accepting and self._listener:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
            self._listener.close()
            for connection in list(self._open):
                connection.shutdown()
            if self._state.tasks:
                await asyncio.wait(set(self._state.tasks), timeout=_GRACE_SECONDS)
            await self._cancel()
            for connection in list(self._open):
                connection.abort()
            while self._open:
                self._room.clear()
                await self._room.wait()
        self._accepting = self._listener = None

    async def _cancel(self) -> None:
        """Cancel requests in progress: a response that has begun is cut off, the others are 503."""
        for connection in list(self._open):
            if connection.is_answered:
                connection.abort()
        await asyncio.sleep(0)  # lets connection_lost run for these
        if tasks := set(self._state.tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        most = connections_at_most(self._limits)
        while True:
            while len(self._open) >= most:
                await self._make_room()
            try:
                client, (computer, *_) = await loop.sock_accept(listener)
            except OSError as error:  # no descriptor is left, or the client is gone
                log.warning(
                    "connection not accepted", port=self._port, error=errno.errorcode.get(error.errno or 0)
                )
                await asyncio.sleep(_PAUSE)
                continue
            await self._serve(client, computer)
            await asyncio.sleep(1 / self._limits.per_second)

    async def _serve(self, client: socket.socket, computer: str) -> None:
        network = "" if is_in(computer, self._proxies) else networks_of(computer)[-1]
        theirs = [one for one in self._open if one.network == network]
        if network and len(theirs) >= self._limits.per_network and not _cut_off_silent(theirs):
            client.close()
            return
        connection = Connection(self._config, self._state, self._limits, network, self._closed)
        self._open[connection] = None
        try:
            # asyncio sets this only on sockets whose protocol is named, unlike accepted ones. Without it the body of a
            # response waits 40 ms for the acknowledgement of its head.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, client)
        except OSError:
            client.close()
            self._closed(connection)

    async def _make_room(self) -> None:
        """Close an idle connection, or wait where every one waits for a response."""
        self._room.clear()
        _cut_off_silent(self._open)
        await self._room.wait()

    def _closed(self, connection: Connection) -> None:
        self._open.pop(connection, None)
        self._room.set()


def _cut_off_silent(connections: Iterable[Connection]) -> bool:
    """Close the first of these that has not sent a whole request. Returns whether there was one."""
    silent = next((one for one in connections if not one.is_asking), None)
    if silent:
        silent.abort()
    return silent is not None


def _in_order(app: ASGIApp) -> ASGIApp:
    """`app`, without errors in the log when the client is gone or the server stops."""

    async def in_order(scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await app(scope, receive, sending)
        except ClientDisconnect:
            pass
        except asyncio.CancelledError:  # only `stop` cancels
            if not begun:
                headers = {"connection": "close", "retry-after": "5"}
                await PlainTextResponse("The service stops.\n", 503, headers)(scope, receive, send)

    return in_order


def _closing(app: ASGIApp) -> ASGIApp:
    """`app`, with one request per connection."""

    async def closing(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, adding([(b"connection", b"close")], send))

    return closing


def _listen(host: str, port: int, setting: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_QUEUE)
    except OSError as error:
        why = {
            errno.EADDRINUSE: "another program has it (`ss -ltnp` names it); end that one, or set another port",
            errno.EACCES: "this user may not listen there (ports below 1024 need a privilege)",
            errno.EADDRNOTAVAIL: "this machine has no such address",
        }.get(error.errno or 0, error.strerror or str(error))
        of = f"{setting}: " if setting else ""
        raise OSError(f"{of}port {port} on {host or 'all addresses'} can't be used: {why}") from error
    listener.setblocking(False)
    return listener


def adding(headers: Sequence[tuple[bytes, bytes]], send: Send) -> Send:
    """`send`, with these headers added to each response."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *headers]
        await send(message)

    return sending
