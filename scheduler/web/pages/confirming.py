"""The page that a mail leads to which asks whether an address is its reader's: its button registers them.

An address gets one such mail an hour at most, so the page has a button for each webinar for which it was entered.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from scheduler import mailed_links
from scheduler.ledger.planning import Governing
from scheduler.mail.words.wording import ClockTime
from scheduler.mailed_links import MailedTo, Purpose
from scheduler.web.pages.context import Pages
from scheduler.web.pages.entering import Entered, confirm, entered_for
from scheduler.web.pages.registering import State, clock_of, state_of
from scheduler.web.pages.showing import show
from scheduler.web.pages.words import page_language
from scheduler.web.requests import form
from scheduler.zones.names import load_names

_LONGEST_NUMBER = 18  # digits


def routes(pages: Pages) -> list[Route]:
    """The routes of the page and its buttons."""
    confirming = _Confirming(pages)
    return [
        Route("/c/{token}", confirming.page, methods=["GET"]),
        Route("/c/{token}", confirming.press, methods=["POST"]),
    ]


class _Entry(NamedTuple):
    """A registration on the page, with its webinar in words."""

    entered: Entered
    state: State
    title: str
    when: ClockTime


class _Confirming:
    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    async def page(self, request: Request) -> Response:
        """What there is to confirm, and what was confirmed. Changes nothing."""
        to, found = await self._found(request, request.query_params.get("done", ""))
        first = next((one for one in found if one[0].id == to.subject_id), found[0])
        language = page_language(first[0].language, *first[1].webinar.languages)
        webinar, now = first[1].webinar, self._pages.clock.now()
        entries = [
            _Entry(
                entered,
                state_of(governing.webinar, now),
                governing.webinar.words(language).title,
                clock_of(governing.webinar, entered.zone, language),
            )
            for entered, governing in found
        ]
        sender = webinar.sender_in(language)
        return show(
            "confirm.html",
            language,
            path=request.url.path,
            entries=entries,
            sender=sender.name or sender.address,
        )

    async def press(self, request: Request) -> Response:
        """Let an address count."""
        if not mailed_links.may_be_token(request.path_params["token"]):
            self._pages.limits.unknown_key(request)
            raise HTTPException(404)
        number = (await form(request)).get("id", "")
        to, found = await self._found(request, number)
        self._pages.limits.form_of(request.path_params["token"])
        now = self._pages.clock.now()
        chosen = next((one for one in found if str(one[0].id) == number), None)
        if chosen is None or state_of(chosen[1].webinar, now) in ("over", "cancelled"):
            raise HTTPException(400)
        entered, governing = chosen

        def do(conn: Connection) -> None:
            confirm(conn, now, governing, entered.id, to.address_folded, self._pages.url)

        await asyncio.to_thread(load_names)  # outside a transaction
        await self._pages.database.run(do)
        return RedirectResponse(f"{request.url.path}?done={entered.id}", 303)

    async def _found(self, request: Request, number: str) -> tuple[MailedTo, list[tuple[Entered, Governing]]]:
        """What a link leads to, with the registration of this number. Raises HTTPException: 404, alike for a token that
        is unknown or expired and for registrations that are gone; 429 for too many of those."""
        also = (
            int(number) if number.isascii() and number.isdecimal() and len(number) <= _LONGEST_NUMBER else 0
        )
        now, token = self._pages.clock.now(), request.path_params["token"]

        def look(conn: Connection) -> tuple[MailedTo | None, list[Entered]]:
            to = mailed_links.find(conn, now, Purpose.CONFIRM, token)
            return to, entered_for(conn, to.address_folded, {to.subject_id, also}) if to else []

        to, entered = await self._pages.database.run_reading(look)
        governing = await asyncio.to_thread(self._pages.webinars) if entered else {}
        found = [(one, governing[one.webinar]) for one in entered if one.webinar in governing]
        if to is None or not found:
            self._pages.limits.unknown_key(request)
            raise HTTPException(404)
        return to, found
