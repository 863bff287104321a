"""The application of the registrants' pages: their routes and headers. Nothing of the organizers' is reachable here."""

from __future__ import annotations

from importlib.resources import files

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from scheduler.faults import fault
from scheduler.http.server import adding
from scheduler.web.pages.context import Pages

log = structlog.get_logger()

_FILES = {"pages.css": "text/css"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'"
)


def pages_app(pages: Pages) -> Starlette:
    """The application."""
    return Starlette(
        routes=[Route("/assets/{name}", _file, methods=["GET"])],
        middleware=[Middleware(Headers, https=pages.url.startswith("https://"))],
        exception_handlers={PoolTimeout: _try_later, DBAPIError: _try_later},
    )


class Headers:
    """Adds headers by which a key in an address reaches nobody else: no Referer, no cache, no index."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self.app, self._https = app, https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        added = [
            (b"content-security-policy", POLICY.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"cache-control", b"no-store"),
            (b"referrer-policy", b"no-referrer"),
            (b"x-robots-tag", b"noindex, nofollow"),
            (b"cross-origin-opener-policy", b"same-origin"),
            *([(b"strict-transport-security", b"max-age=31536000")] if self._https else []),  # RFC 6797
        ]
        await self.app(scope, receive, adding(added, send))


async def _file(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _FILES:
        raise HTTPException(404)
    content = (files("scheduler.web.pages") / "assets" / name).read_text("utf-8")
    return PlainTextResponse(content, media_type=_FILES[name])


async def _try_later(request: Request, error: Exception) -> Response:
    log.warning(
        "a page of a registrant failed", reason=fault(error) if isinstance(error, DBAPIError) else "busy"
    )
    return PlainTextResponse("Please try again in a moment.\n", 503, {"retry-after": "5"})
