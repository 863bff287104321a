"""A web server inside a running event loop, and the application that serves a rehearsal's inbox."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scheduler.web.inbox import BODY_POLICY, FILES, FOLDERS, PAGE_POLICY

_GRACE_SECONDS = 3  # for answers under way when the server stops; no page takes that long


class WebServer:
    """Serves one application on one port. Signals, logging and the loop stay with whoever runs the service."""

    def __init__(self, app: ASGIApp, host: str, port: int, proxies: Sequence[str] = ()) -> None:
        """`port` 0 picks a free one, known after `start`. `proxies`: whose word for who asks is taken."""
        self._proxies = list(proxies)
        self._app = app
        self._host = host
        self._port = port
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

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
        if self._task:
            raise RuntimeError("the web server runs already")
        listener = _listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=bool(self._proxies),
            forwarded_allow_ips=self._proxies,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="web server")
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait({self._task, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not listening.done():
            listening.cancel()
            listener.close()
            await self._task  # raises what went wrong

    async def stop(self) -> None:
        """End what is under way, for three seconds at most, and give the port back. Twice does no harm."""
        if self._server and self._task:
            self._server.should_exit = True
            await self._task
        self._server = self._task = None


class _Server(uvicorn.Server):
    """uvicorn's server that leaves signals alone and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        why = {
            errno.EADDRINUSE: "another program has it",
            errno.EACCES: "this user may not listen there (ports below 1024 need a privilege)",
            errno.EADDRNOTAVAIL: "this machine has no such address",
        }.get(error.errno or 0, error.strerror or str(error))
        raise OSError(
            error.errno, f"port {port} on {host or 'all addresses'} can't be used: {why}"
        ) from error


def inbox_app(out: Path) -> Starlette:
    """The inbox that `write_inbox` wrote to `out`: its own files and folders, nothing else that lies there.

    GET and HEAD only; nothing is cached; a registrant's HTML is in a sandbox even when opened by itself.
    """
    return Starlette(
        routes=[Mount("/", app=_InboxFiles(directory=out, html=True))],
        middleware=[Middleware(_Guard)],
    )


class _InboxFiles(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        top, *below = Path(path).parts or (".",)
        if top == "." or (top in FOLDERS if below else top in FILES):
            return await super().get_response(path, scope)
        raise HTTPException(status_code=404)


class _Guard:
    """Adds the headers that keep a mail's content from doing anything."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_body = scope.get("path", "").endswith((".body.html", ".svg"))  # what brings its own style
        policy = (
            f"sandbox allow-popups allow-popups-to-escape-sandbox; {BODY_POLICY}" if is_body else PAGE_POLICY
        )
        added = [
            (b"content-security-policy", f"{policy}; frame-ancestors 'self'".encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"cache-control", b"no-store"),
            (b"referrer-policy", b"no-referrer"),
        ]

        await self.app(scope, receive, adding(added, send))


def adding(headers: Sequence[tuple[bytes, bytes]], send: Send) -> Send:
    """`send`, with these headers in each answer."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *headers]
        await send(message)

    return sending
