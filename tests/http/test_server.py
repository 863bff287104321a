"""The web server inside a running loop, and the inbox that it serves."""

from __future__ import annotations

import asyncio
import http.client
import logging
import signal
import socket
from collections.abc import Callable
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from scheduler.http.server import WebServer
from scheduler.readiness import Readiness
from scheduler.service.health import health_app
from scheduler.web.inbox.app import inbox_app
from scheduler.web.inbox.pages import write_inbox
from tests.support import until
from tests.web.inbox.samples import TITLE, rehearsal

Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An inbox in a folder where other files lie too."""
    out = tmp_path_factory.mktemp("served") / "out"
    made = rehearsal(out)
    write_inbox(out, TITLE, made.deliveries, made.mails)
    (out / "deliveries.json").write_text("[]")
    (out / "timeline.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (out / "rehearsal.db").write_text("secret")
    (out.parent / "secret.txt").write_text("secret")
    (out / "people" / "link.txt").symlink_to(out.parent / "secret.txt")
    return out


def _with_server(app: Any, ask: Callable[[int], Any]) -> Any:
    async def run() -> Any:
        server = WebServer(app, "127.0.0.1", 0)
        await server.start()
        try:
            return await asyncio.to_thread(ask, server.port)
        finally:
            await server.stop()

    return asyncio.run(run())


def _ask(out: Path, path: str, method: str = "GET") -> Answer:
    def request(port: int) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request(method, path)
            response: HTTPResponse = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return response.status, headers, response.read()
        finally:
            connection.close()

    answer: Answer = _with_server(inbox_app(out), request)
    return answer


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/inbox.css", "text/css; charset=utf-8"),
        ("/people/0001.html", "text/html; charset=utf-8"),
        ("/views/0001.body.html", "text/html; charset=utf-8"),
        ("/mails/0001.eml", "message/rfc822"),
        ("/deliveries.json", "application/json"),
    ],
)
def test_the_inbox_is_served_as_it_was_written(inbox: Path, path: str, kind: str) -> None:
    status, headers, body = _ask(inbox, path)
    assert (status, headers["content-type"]) == (200, kind)
    assert body == (inbox / (path.lstrip("/") or "index.html")).read_bytes()
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].endswith("frame-ancestors 'self'")


def test_a_mails_html_is_sandboxed_even_by_itself(inbox: Path) -> None:
    policy = _ask(inbox, "/views/0001.body.html")[1]["content-security-policy"]
    assert policy.startswith("sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none';")
    assert "script-src" not in policy


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/people/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/people/%2e%2e/%2e%2e/secret.txt",
        "/people/..%2f..%2fsecret.txt",
        "/people/link.txt",
        "/rehearsal.db",
        "/people/../rehearsal.db",
        "//etc/passwd",
        "/people/%00",
        "/people/",
        "/people/nobody.html",
        "/views/" + "x" * 300,
    ],
)
def test_nothing_but_the_inbox_is_served(inbox: Path, path: str) -> None:
    status, headers, body = _ask(inbox, path)
    assert status == 404
    assert b"secret" not in body
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_the_inbox_is_only_read(inbox: Path, method: str) -> None:
    assert _ask(inbox, "/index.html", method)[0] == 405


def test_head_gives_headers_without_a_body(inbox: Path) -> None:
    status, headers, body = _ask(inbox, "/", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) == (inbox / "index.html").stat().st_size


def test_a_port_that_is_taken_is_said_clearly() -> None:
    async def start(port: int) -> None:
        await WebServer(health_app(Readiness), "127.0.0.1", port).start()

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port} on 127.0.0.1 can't be used: another program has it"):
            asyncio.run(start(port))


def test_an_address_of_another_machine_is_said_clearly() -> None:
    with pytest.raises(
        OSError, match=r"port 0 on 192\.0\.2\.1 can't be used: this machine has no such address"
    ):
        asyncio.run(WebServer(health_app(Readiness), "192.0.2.1", 0).start())


def test_port_0_picks_a_free_one_and_stopping_gives_it_back() -> None:
    async def run() -> tuple[str, int]:
        server = WebServer(health_app(Readiness), "127.0.0.1", 0)
        await server.start()
        url, port = server.url, server.port
        await server.stop()
        await server.stop()
        return url, port

    url, port = asyncio.run(run())
    assert url == f"http://127.0.0.1:{port}"
    with socket.create_server(("127.0.0.1", port)):
        pass


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:80"), ("::1", "http://[::1]:80"), ("localhost", "http://localhost:80")],
)
def test_the_url_is_one_that_a_browser_opens(host: str, url: str) -> None:
    assert WebServer(health_app(Readiness), host, 80).url == url


def test_the_server_leaves_signals_and_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    def look(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200")

    async def run() -> list[Any]:
        server = WebServer(health_app(Readiness), "127.0.0.1", 0)
        await server.start()
        await asyncio.to_thread(look, server.port)
        during = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        await server.stop()
        return during

    with caplog.at_level(logging.INFO):
        during = asyncio.run(run())
    # asyncio.run has its own handler of SIGINT while it runs.
    assert during[1] == before[1]
    assert "uvicorn" not in getattr(during[0], "__module__", "")
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


def test_a_stop_answers_503_to_who_waits_and_cuts_off_who_has_half_an_answer_and_nothing_is_an_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("scheduler.http.server._GRACE_SECONDS", 0.05)
    waiting = asyncio.Semaphore(0)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/half":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        waiting.release()
        await asyncio.Event().wait()

    async def ask(port: int, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
        await waiting.acquire()
        return reader, writer

    async def run() -> list[bytes]:
        server = WebServer(app, "127.0.0.1", 0)
        await server.start()
        clients = [await ask(server.port, path) for path in ("/", "/half")]
        await server.stop()
        said = [await reader.read() for reader, _ in clients]
        for _, writer in clients:
            writer.close()
        return said

    none, half = asyncio.run(run())
    assert none.startswith(b"HTTP/1.1 503 ")
    assert b"connection: close" in none.lower()
    assert half.endswith(b"\r\n\r\nhalf"), "less than its length, as a client notices"
    assert caplog.records == []


def test_a_server_that_runs_is_not_started_twice() -> None:
    async def run() -> None:
        server = WebServer(health_app(Readiness), "127.0.0.1", 0)
        await server.start()
        try:
            await server.start()
        finally:
            await server.stop()

    with pytest.raises(RuntimeError, match="runs already"):
        asyncio.run(run())


def test_the_timelines_picture_has_its_own_style_and_runs_nothing(inbox: Path) -> None:
    status, headers, _ = _ask(inbox, "/timeline.svg")
    assert (status, headers["content-type"].partition(";")[0]) == (200, "image/svg+xml")
    policy = headers["content-security-policy"]
    assert policy.startswith("sandbox ")
    assert "default-src 'none'; style-src 'unsafe-inline';" in policy
    assert "script-src" not in policy


def test_a_body_does_not_wait_until_its_head_is_acknowledged() -> None:
    async def no_delay() -> int:
        server = WebServer(health_app(Readiness), "127.0.0.1", 0)
        await server.start()
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await until(lambda: server._open)
        (connection,) = server._open
        accepted = connection.transport.get_extra_info("socket")
        set_to = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()
        await server.stop()
        return int(set_to)

    assert asyncio.run(no_delay())
