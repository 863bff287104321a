"""The web process: serves the editor and the pages of registrants.

The service starts, watches and ends it (`service.web_child`). It knows no relay, and shares only the database and the
socket on its standard input with the service: it reads its settings there, sends signs of life, and ends when the
socket is closed.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import threading
import time
from contextlib import suppress

import structlog

from scheduler import outbox
from scheduler.clock import SystemClock
from scheduler.database.engine import Database
from scheduler.http.limits import raise_descriptors
from scheduler.http.server import WebServer
from scheduler.logs import set_up_logs
from scheduler.web.context import Desk
from scheduler.web.organizers.app import EditorApp
from scheduler.web.organizers.governs import Governs
from scheduler.web.pages.app import pages_app
from scheduler.web.pages.context import Current, Pages
from scheduler.web_link import BEAT, BEAT_SECONDS, WHY, WebSettings
from scheduler.webinar.model import Webinar

log = structlog.get_logger(__spec__.name if __spec__ else __name__)

NICENESS = 10
HANGS_SECONDS = 60.0  # without a turn of the event loop until signs of life end
END_SECONDS = 5.0  # for requests in progress when the service is gone
TEST_SECONDS, LOOK_SECONDS = 45.0, 0.3  # to wait for a test mail; between two queries of its result
NOT_SENT_YET = "the service has not sent it yet; it may still arrive"


def main() -> None:
    """Entry point of the process. Its standard input is a socket to the service."""
    service = socket.socket(fileno=0)
    with service.makefile("rb", buffering=0) as given:
        settings: WebSettings = pickle.load(given)  # noqa: S301 (from the service itself)
    set_up_logs(settings.log_level)
    raise_descriptors()
    for name in (signal.SIGINT, signal.SIGHUP):  # a terminal sends these to the service, too
        signal.signal(name, signal.SIG_IGN)
    try:
        asyncio.run(_Web(settings, service).run())
    except OSError as error:
        log.warning("the web process ends", reason=str(error))
        with suppress(OSError):
            service.sendall(WHY + str(error).encode())
        os._exit(1)
    os._exit(0)  # without waiting for threads: nothing is left to clean up


class Beats:
    """Sends signs of life from a thread, so that a busy loop is not taken for a dead one, while the event loop has
    turned within a minute."""

    def __init__(self, service: socket.socket) -> None:
        self._service, self._turned = service, time.monotonic()

    def start(self) -> None:
        threading.Thread(target=self._beat, name="beats", daemon=True).start()

    async def keep_turning(self) -> None:
        """Record that the event loop turns."""
        while True:
            self._turned = time.monotonic()
            await asyncio.sleep(BEAT_SECONDS)

    def _beat(self) -> None:
        with suppress(OSError):  # the service is gone
            while True:
                if time.monotonic() - self._turned < HANGS_SECONDS:
                    self._service.send(BEAT)  # never blocks: the service reads, or is gone
                time.sleep(BEAT_SECONDS)


class _Web:
    def __init__(self, settings: WebSettings, service: socket.socket) -> None:
        self._settings, self._service = settings, service
        self._database = Database(settings.database.url, settings.database.now, guest=True)
        self._clock = SystemClock()
        self._editor: EditorApp | None = None

    async def run(self) -> None:
        """Serve until the service closes its socket, or until SIGTERM. Raises OSError if the port is not available."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        threading.Thread(target=_end_with_service, args=(self._service, loop, stop), daemon=True).start()
        servers = [await self._serve_editor()] if self._settings.editor else []
        if self._settings.pages_url:
            servers.append(await self._serve_pages())
        beats = Beats(self._service)
        # Before nice(), which applies to this thread and later ones only: a writer that has to wait for the processor
        # keeps the lock of SQLite's file meanwhile.
        await self._database.run(lambda conn: None)
        beats.start()
        os.nice(NICENESS)  # only now, so that the start itself is quick
        turning = asyncio.create_task(beats.keep_turning())
        await stop.wait()
        turning.cancel()
        for server in servers:
            await server.stop()
        if self._editor:
            await self._editor.stop()
        await asyncio.to_thread(self._database.close)

    async def _serve_editor(self) -> WebServer:
        settings = self._settings
        governs = Governs(settings.templates_dir, self._database)
        desk = Desk(
            settings.templates_dir, self._database, self._clock, governs.look, governs.problems, self._send,
            https=bool(settings.public_url), pages_url=settings.pages_url,
        )  # fmt: skip
        self._editor = EditorApp(
            desk, {settings.public_url.removeprefix("https://")} if settings.public_url else set()
        )
        server = WebServer(
            self._editor.app, settings.host, settings.port, settings.proxies, setting="EDITOR_PORT"
        )
        await server.start()
        if not settings.public_url:
            self._editor.answer_to(server.port)
        log.info("the editor is on", url=f"{settings.public_url or server.url}/templates")
        return server

    async def _serve_pages(self) -> WebServer:
        settings = self._settings
        current = Current(self._database)
        pages = Pages(self._database, self._clock, current.webinars, settings.pages_url)
        server = WebServer(
            pages_app(pages), settings.pages_host, settings.pages_port, settings.proxies, setting="PAGES_PORT"
        )
        await server.start()
        log.info("the registrants' pages are on", url=settings.pages_url)
        return server

    async def _send(self, webinar: Webinar, address: str, mail: bytes) -> str:
        """Let the service send a test mail, and wait for the result. Raises outbox.TooMany."""
        number = await self._database.run(
            outbox.put, self._clock.now(), webinar.sender.address, address, mail
        )
        try:
            async with asyncio.timeout(TEST_SECONDS):
                while (refusal := await self._database.run_reading(outbox.outcome, number)) is None:  # noqa: ASYNC110 (another process writes it)
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            return NOT_SENT_YET
        return refusal


def _end_with_service(service: socket.socket, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop the process when the service closes its socket. Runs in a thread: a busy loop must not keep the port from
    the next service."""
    with suppress(ConnectionError):  # the service was killed before it had read all signs of life
        while service.recv(1024):
            pass
    with suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(stop.set)
    time.sleep(END_SECONDS)
    os._exit(0)


if __name__ == "__main__":
    main()
