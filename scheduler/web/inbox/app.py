"""The application that serves a rehearsal's inbox: its own files, with headers that keep mails from doing anything."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from scheduler.http.server import adding
from scheduler.web.inbox.pages import BODY_POLICY, FILES, FOLDERS, PAGE_POLICY


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
