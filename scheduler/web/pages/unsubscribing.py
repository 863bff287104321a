"""Unsubscribing from one webinar's mails, or from all: by a page, or by one click in a mail program (RFC 8058)."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from scheduler.ledger import requests
from scheduler.mail.words.links import mailto_address
from scheduler.registrants.suppression import Source
from scheduler.web.pages.context import Pages
from scheduler.web.pages.showing import show
from scheduler.web.pages.visits import Visit, visit
from scheduler.web.requests import form

Wish = Literal["webinar", "all", "none"]
_WISHES: dict[str, Wish] = {"webinar": "webinar", "all": "all", "none": "none"}


def routes(pages: Pages) -> list[Route]:
    """The routes of the page, its buttons and the one-click address."""
    unsubscribing = _Unsubscribing(pages)
    return [
        Route("/r/{key}/unsubscribe", unsubscribing.page, methods=["GET"]),
        Route("/r/{key}/unsubscribe", unsubscribing.asked, methods=["POST"]),
    ]


class _Unsubscribing:
    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    async def page(self, request: Request) -> Response:
        """What may be unsubscribed from. Changes nothing."""
        seen = await visit(self._pages, request)
        webinar = seen.webinar
        return show(
            "unsubscribe.html",
            seen.language,
            seen=seen,
            title=webinar.words(seen.language).title,
            sender=webinar.sender_in(seen.language).name or webinar.sender.address,
            reply_to=(reply_to := webinar.reply_to_in(seen.language).address),
            write_to=mailto_address(reply_to),
        )

    async def asked(self, request: Request) -> Response:
        """A button of the page, which says what it unsubscribes from; else a mail program's one click, whatever its
        body and encoding, which is answered without a redirect, also the second time."""
        seen = await visit(self._pages, request)
        fields = await form(request)
        self._pages.limits.form_of(seen.key)
        if "from" not in fields:
            await self._do(seen, "webinar", "one-click")
            return PlainTextResponse("Unsubscribed.\n")
        wish = _WISHES.get(fields["from"])
        if wish is None:
            raise HTTPException(400)
        await self._do(seen, wish, "page")
        return RedirectResponse(f"{seen.path}/unsubscribe", 303)

    async def _do(self, seen: Visit, wish: Wish, source: Source) -> None:
        """Do it, unless it was done before: whoever presses again and again must not keep the sender waiting."""
        if {"webinar": seen.standing.unsubscribed, "all": seen.standing.suppressed}.get(wish):
            return

        def do(conn: Connection) -> None:
            whose = (conn, seen.now, seen.governing, seen.standing.registration_id)
            if wish == "none":
                requests.subscribe(*whose)
            else:
                requests.unsubscribe(*whose, everything=wish == "all", source=source)

        await self._pages.database.run(do)
