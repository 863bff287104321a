"""The application of the registrants' pages: their routes and headers. Nothing of the organizers' is reachable here."""

from __future__ import annotations

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scheduler.faults import fault
from scheduler.ledger.requests import UnknownRegistration
from scheduler.web.api.app import Api
from scheduler.web.pages import (
    calendar,
    confirming,
    joining,
    leaving,
    mine,
    own_data,
    registering,
    unsubscribing,
)
from scheduler.web.pages.context import Pages
from scheduler.web.pages.showing import asset, refuse, stylesheet_digest

log = structlog.get_logger()

POLICY = (
    f"default-src 'none'; script-src 'self'; style-src {stylesheet_digest()}; img-src 'self' data:; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'"
)
_FOR_EVER = "public, max-age=31536000, immutable"  # the path of an asset has a digest of its content


def pages_app(pages: Pages) -> Starlette:
    """The application."""
    app = Starlette(
        routes=[
            Route("/assets/{name}", _asset, methods=["GET"]),
            *registering.routes(pages),
            *confirming.routes(pages),
            *leaving.routes(pages),
            *mine.routes(pages),
            *unsubscribing.routes(pages),
            *calendar.routes(pages),
            *joining.routes(pages),
            *own_data.routes(pages),
            Api(pages),
        ],
        middleware=[Middleware(Headers, https=pages.url.startswith("https://"))],
        exception_handlers={
            HTTPException: _refused,
            UnknownRegistration: _forgotten,
            PoolTimeout: _try_later,
            DBAPIError: _try_later,
        },
    )
    app.router.redirect_slashes = False  # to an address made from the request's Host
    return app


class Headers:
    """Adds headers by which a key in an address reaches nobody else: no Referer, and no cache or index unless the
    page says otherwise."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self.app, self._https = app, https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        added = [
            (b"content-security-policy", POLICY.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cache-control", b"no-store"),
            (b"x-robots-tag", b"noindex, nofollow"),
            (b"cross-origin-opener-policy", b"same-origin"),
            *([(b"strict-transport-security", b"max-age=31536000")] if self._https else []),  # RFC 6797
        ]

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = message.get("headers", [])
                names = {name for name, _ in given}
                message["headers"] = [*given, *((name, value) for name, value in added if name not in names)]
            await send(message)

        await self.app(scope, receive, sending)


async def _asset(request: Request) -> Response:
    found = asset(request.path_params["name"])
    if found is None:
        raise HTTPException(404)
    return Response(found, media_type="text/javascript", headers={"cache-control": _FOR_EVER})


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 (by its registration)
    return refuse(request, error.status_code, error.headers)


async def _forgotten(request: Request, error: Exception) -> Response:
    """The person was forgotten since their key was looked up."""
    return refuse(request, 404)


async def _try_later(request: Request, error: Exception) -> Response:
    log.warning(
        "a page of a registrant failed", reason=fault(error) if isinstance(error, DBAPIError) else "busy"
    )
    return refuse(request, 503, {"retry-after": "5"})
