"""A token endpoint for tests, over HTTPS with a certificate of `smtp_server.authority()`, in the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import parse_qsl

from tests.smtp_server import HOST, server_context

Answer = tuple[int, Mapping[str, Any] | bytes]
"""HTTP status, and JSON or whatever else it says; with status 0 bytes that it says instead of HTTP."""


def token(name: str, **more: Any) -> Answer:
    """An answer with an access token."""
    return 200, {"access_token": name, "token_type": "Bearer", "expires_in": 3600} | more


class TokenServer:
    """Gives the `answers` in turn, the last one again and again. `forms` has what it was sent.

    While `silent` is set it says nothing; `asked` is set when it was asked. `headers`: more of them, each with its
    line end.
    """

    def __init__(self, *answers: Answer, secure: bool = True, expired: bool = False) -> None:
        self.answers = list(answers)
        self.forms: list[dict[str, str]] = []
        self.heads: list[str] = []
        self.silent = False
        self.headers = ""
        self.asked = asyncio.Event()
        self._context = server_context(HOST, "localhost", expired=expired) if secure else None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        scheme = "https" if self._context else "http"
        return f"{scheme}://{HOST}:{self._server.sockets[0].getsockname()[1]}/token"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._answer(reader, writer)
        writer.transport.abort()
        self._tasks.discard(task)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line[15:]) for line in head.splitlines() if line.lower().startswith("content-length")
        )
        self.heads.append(head)
        self.forms.append(dict(parse_qsl((await reader.readexactly(length)).decode())))
        self.asked.set()
        if self.silent:
            await asyncio.Event().wait()
        status, said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        if status:
            length = f"Content-Length: {len(body)}\r\nConnection: close\r\n"
            writer.write(f"HTTP/1.1 {status} So\r\n{length}{self.headers}\r\n".encode())
        writer.write(body)
        await writer.drain()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, HOST, 0, ssl=self._context)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()
