"""My registration: the page of one registrant, and what they ask for there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from scheduler.ledger import requests
from scheduler.ledger.history import former_start
from scheduler.ledger.requests import CannotSendAgain, Refused
from scheduler.mail.words.links import mailto_address
from scheduler.mail.words.phrases import phrases
from scheduler.mail.words.wording import (
    clock_time,
    listing,
    same_clock,
    text_language,
    time_left,
)
from scheduler.web.pages.calendar import web_calendars
from scheduler.web.pages.context import Pages
from scheduler.web.pages.showing import attributes_of, own_name, show
from scheduler.web.pages.visits import Visit, visit
from scheduler.web.pages.zone_search import chosen_zone, place_of, search_zones
from scheduler.web.requests import form
from scheduler.webinar.model import Message
from scheduler.webinar.timing import timings
from scheduler.zones.folding import LONGEST
from scheduler.zones.wall import to_local

State = Literal["gone", "cancelled", "withdrawn", "over", "running", "moved", "upcoming"]

DONE = frozenset(
    {"zone", "language", "messages", "again", "withdraw", "withdraw_later", "return", "return_later", "data"}
)
"""What a notice on top of the page may say: done=zone."""
REFUSED = frozenset({"again"})


def routes(pages: Pages) -> list[Route]:
    """The routes of the page and its forms."""
    mine = _Mine(pages)
    forms = {
        "zone": mine.choose_zone, "language": mine.choose_language, "messages": mine.choose_messages,
        "again": mine.send_again, "withdraw": mine.withdraw, "return": mine.come_back,
    }  # fmt: skip
    return [
        Route("/r/{key}", mine.page, methods=["GET"]),
        *(Route(f"/r/{{key}}/{name}", asked, methods=["POST"]) for name, asked in forms.items()),
    ]


class _Mine:
    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    async def page(self, request: Request) -> Response:
        """My registration. Changes nothing."""
        seen = await visit(self._pages, request)
        former = await self._pages.database.run_reading(
            former_start, seen.standing.registration_id, seen.webinar.start
        )
        asked = request.query_params
        sought = asked.get("zone", "").strip()[:LONGEST]
        found = (
            await asyncio.to_thread(search_zones, sought, seen.language, seen.webinar.start)
            if sought
            else None
        )
        return show(
            "mine.html",
            seen.language,
            sought=sought,
            found=found,
            calendars=web_calendars(self._pages, seen),
            **_values(seen, former) | _notice(asked),
        )

    async def choose_zone(self, request: Request) -> Response:
        """Their clock from now on."""
        seen, fields = await self._form(request)
        zone = chosen_zone(fields.get("zone", ""))
        if zone is None:
            raise HTTPException(400)
        return await self._do(seen, "zone", requests.choose_zone, zone)

    async def choose_language(self, request: Request) -> Response:
        """The language of their mails from now on."""
        seen, fields = await self._form(request)
        language = fields.get("language", "")
        if language not in seen.webinar.languages:
            raise HTTPException(400)
        return await self._do(seen, "language", requests.choose_language, language)

    async def choose_messages(self, request: Request) -> Response:
        """Which of the messages ahead they want: those whose field is in the form."""
        seen, fields = await self._form(request)
        ahead = {choice.message for choice in _choices(seen)}
        refused = {message for message in ahead if f"want-{message}" not in fields}
        return await self._do(
            seen, "messages", requests.choose_messages, (seen.standing.unwanted - ahead) | refused
        )

    async def send_again(self, request: Request) -> Response:
        """The confirmation once more."""
        seen, _ = await self._form(request)
        message = _confirmation(seen)
        if message is None:
            raise HTTPException(400)
        try:
            return await self._do(seen, "again", requests.send_again, message.id, "registrant")
        except CannotSendAgain as cannot:
            if cannot.reason is Refused.STILL_TO_GO:
                return RedirectResponse(f"{seen.path}?done=again", 303)
            return RedirectResponse(f"{seen.path}?refused=again", 303)

    async def withdraw(self, request: Request) -> Response:
        """They can't come."""
        return await self._change_of_mind(request, "withdraw", requests.withdraw)

    async def come_back(self, request: Request) -> Response:
        """They come after all."""
        return await self._change_of_mind(request, "return", requests.come_back)

    async def _form(self, request: Request) -> tuple[Visit, dict[str, str]]:
        """Who sent a form, and its fields. Raises HTTPException."""
        seen = await visit(self._pages, request)
        self._pages.limits.form_of(seen.key)
        if seen.standing.gone:
            raise HTTPException(404)
        return seen, await form(request)

    async def _do(self, seen: Visit, done: str, ask: Callable[..., None], *given: Any) -> Response:
        """Do what a registrant asks for in one transaction, and show the page again."""

        def do(conn: Connection) -> None:
            ask(conn, seen.now, seen.governing, seen.standing.registration_id, *given)

        await self._pages.database.run(do)
        return RedirectResponse(f"{seen.path}?done={done}", 303)

    async def _change_of_mind(self, request: Request, done: str, ask: Callable[..., None]) -> Response:
        """Withdraw, or come back, and say whether the mail about it waits."""
        seen, _ = await self._form(request)

        def do(conn: Connection) -> bool:
            ask(conn, seen.now, seen.governing, seen.standing.registration_id)
            return requests.mail_waits(conn, seen.now, seen.standing.registration_id)

        waits = await self._pages.database.run(do)
        return RedirectResponse(f"{seen.path}?done={done}{'_later' if waits else ''}", 303)


@dataclass(frozen=True)
class _Choice:
    """A message that is still ahead of a registrant: its kind, its time on their clock with the zone, and whether they
    want it."""

    message: str
    kind: str
    time: str
    wanted: bool


def _choices(seen: Visit) -> list[_Choice]:
    """The messages of the sequence that are ahead of a registrant, in the order in which they come."""
    by_id = {message.id: message for message in seen.webinar.messages}
    ahead = sorted(
        (timing.due_at, timing.message)
        for timing in timings(seen.webinar, seen.zone)
        if timing.due_at and timing.due_at > seen.now and not timing.never
    )
    return [
        _Choice(
            message,
            by_id[message].kind.replace("-", "_"),
            clock_time(due_at, due_at, seen.zone, seen.language).beginning,
            message not in seen.standing.unwanted,
        )
        for due_at, message in ahead
    ]


def _confirmation(seen: Visit) -> Message | None:
    return next((message for message in seen.webinar.messages if message.on_registration), None)


def _state(seen: Visit, former: datetime | None) -> State:
    webinar, standing = seen.webinar, seen.standing
    states: tuple[tuple[State, bool], ...] = (
        ("gone", standing.gone),
        ("cancelled", webinar.cancelled),
        ("over", seen.is_over),
        ("withdrawn", standing.withdrawn_at is not None),
        ("running", webinar.start <= seen.now),
        ("moved", former is not None),
    )
    return next((state for state, holds in states if holds), "upcoming")


def _notice(asked: Any) -> dict[str, str]:
    """The phrases of the notice on top of the page: what was done, or could not be done."""
    done, refused = asked.get("done", ""), asked.get("refused", "")
    return {
        "done": f"done_{done}" if done in DONE else "",
        "refused": f"refused_{refused}" if refused in REFUSED else "",
    }


def _values(seen: Visit, former: datetime | None) -> dict[str, Any]:
    """What the page shows."""
    webinar, standing, language = seen.webinar, seen.standing, seen.language
    words = phrases(language)
    return {
        "seen": seen,
        "state": _state(seen, former),
        "title": webinar.words(language).title,
        "said": webinar.words(language),
        "attributes": {
            key: attributes_of(webinar.language_of(key, language), language)
            for key in ("title", "about", "organizers", "how_to_join")
        },
        "organizers": listing(
            webinar.words(language).organizers, webinar.language_of("organizers", language)
        ),
        "phrases": words,
        "who": standing.name or masked(standing.address),
        "address": masked(standing.address),
        "left": time_left(seen.now, webinar.start, webinar.end, seen.zone, language),
        "former": clock_time(former, former + (webinar.end - webinar.start), seen.zone, language)
        if former
        else None,
        "same_time": same_clock(webinar.start, webinar.end, seen.zone, webinar.tz),
        "clock_now": f"{to_local(seen.now, seen.zone):%H:%M}",
        "place": place_of(seen.zone, language),
        "languages": _languages(webinar.languages, standing.language),
        "choices": _choices(seen),
        "confirmation": _confirmation(seen),
        "sender": webinar.sender_in(language).name or webinar.sender.address,
        "reply_to": webinar.reply_to_in(language).address,
        "write_to": mailto_address(webinar.reply_to_in(language).address),
    }


def masked(address: str) -> str:
    """An address that its owner recognizes, and whoever got the link from them does not learn: m…@who.int."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}…\u2060@{domain}"  # a word joiner: no line breaks there


def _languages(offered: Collection[str], chosen: str) -> list[tuple[str, str, bool]]:
    """The languages of a webinar's mails: tag, name in itself, and whether a registrant's mails are in it now."""
    now = text_language(chosen, offered, next(iter(offered)))
    return [(tag, own_name(tag), tag == now) for tag in offered]
