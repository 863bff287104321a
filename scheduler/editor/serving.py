"""Where the editor listens, and whether it may: nobody signs in over a wire that others can read."""

from __future__ import annotations

import structlog

from scheduler.editor.app import EditorApp
from scheduler.editor.desk import Desk
from scheduler.settings import Settings
from scheduler.web.server import WebServer

log = structlog.get_logger()

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Serving:
    """The editor of a running service; off where it would not be safe."""

    def __init__(self, desk: Desk, settings: Settings) -> None:
        self._desk, self._settings = desk, settings
        self._editor: EditorApp | None = None
        self._server: WebServer | None = None

    async def start(self) -> None:
        """Serve, or say why not. A port that is taken keeps no mail from going out."""
        if why := why_off(self._settings):
            log.info("the editor is off", reason=why)
            return
        public = self._settings.public_url
        self._desk.https = bool(public)
        port = self._settings.editor_port
        hosts = {public.removeprefix("https://")} if public else set()
        self._editor = EditorApp(self._desk, hosts)
        server = WebServer(self._editor.app, self._settings.editor_host, port, self._settings.trusted_proxies)
        try:
            await server.start()
        except OSError as error:
            log.warning("the editor is off", reason=str(error))
            return
        self._server = server
        if not public:
            self._editor.answer_to(server.port)
        log.info("the editor is on", url=f"{public or server.url}/templates")

    async def stop(self) -> None:
        if self._server:
            await self._server.stop()
        if self._editor:
            await self._editor.stop()


def why_off(settings: Settings) -> str:
    """Why the editor may not be on with these settings, or ""."""
    if settings.public_url and settings.trusted_proxies:
        return ""
    if settings.editor_host not in LOOPBACK:
        return "EDITOR_HOST is not this machine alone; set PUBLIC_URL (https) and TRUSTED_PROXIES"
    return "PUBLIC_URL is set without TRUSTED_PROXIES" if settings.public_url else ""
