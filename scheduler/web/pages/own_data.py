"""What is held about a registrant, shown to whoever reads mail at their address, and forgetting it.

A registrant's key may be in other hands: forwarded mails hold it. So these pages open by a link of their own, which is
mailed to the address and works for an hour. It belongs to the address: if the registration has another one by then,
nothing of that one is shown.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytz
from sqlalchemy import Connection, select
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from scheduler import mailed_links, outbox
from scheduler.database.models import Registration, table
from scheduler.input.addresses import fold
from scheduler.ledger import forgetting
from scheduler.ledger.states import State
from scheduler.mail.words.names import isolated
from scheduler.mail.words.phrases import phrases
from scheduler.mail.words.variables import dear, shown_name
from scheduler.mail.words.wording import clock_time, language_name, right_to_left
from scheduler.mail.writing.plain import plain_mail
from scheduler.mailed_links import MailedTo, Purpose, TooManyLinks
from scheduler.outbox import TooMany
from scheduler.reports.json_text import json_text
from scheduler.reports.personal_data import Json, personal_data
from scheduler.web.pages.context import Pages
from scheduler.web.pages.showing import browser_language, show
from scheduler.web.pages.visits import Visit, visit
from scheduler.web.pages.words import page_language, page_words
from scheduler.web.requests import form
from scheduler.webinar.model import Webinar

VALID_FOR = timedelta(hours=1)
MOST_LINKS = 3
"""How many links a registration gets within a day."""
LONGEST_SHOWN = 12_000
"""How many characters of the complete data the page shows; the file has all of it."""

_R = table(Registration)


def routes(pages: Pages) -> list[Route]:
    """The routes of asking for a link, and of the pages that it opens."""
    data = _OwnData(pages)
    return [
        Route("/r/{key}/data", data.ask, methods=["POST"]),
        Route("/d/{token}.json", data.file, methods=["GET"]),
        Route("/d/{token}", data.page, methods=["GET"]),
        Route("/d/{token}/forget", data.consider, methods=["GET"]),
        Route("/d/{token}/forget", data.forget, methods=["POST"]),
        Route("/forgotten", data.forgotten, methods=["GET"]),
    ]


class _Opened(NamedTuple):
    """A mailed link that works: its token, the address that it was mailed to, and the language of its page."""

    token: str
    address: str
    language: str
    now: datetime

    @property
    def shown_address(self) -> str:
        """The address inside a sentence of the page."""
        return isolated(self.address, right_to_left(self.language))


class _OwnData:
    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._one_by_one = asyncio.Lock()  # whoever looks for an address goes through whole tables

    async def ask(self, request: Request) -> Response:
        """Mail a link. The answer is the same whether one was sent or the day's are used up."""
        seen = await visit(self._pages, request)
        self._pages.limits.form_of(seen.key)
        await form(request)
        with suppress(TooManyLinks, TooMany, ValueError):  # ValueError: an address that no mail can carry
            await self._pages.database.run(_mail_link, self._pages.url, seen)
        return RedirectResponse(f"{seen.path}?done=data", 303)

    async def page(self, request: Request) -> Response:
        """Everything that is held, in words."""
        opened = await self._open(request)
        held = await self._held(opened)
        names = {one["webinar"] for one in held["registrations"]}
        webinars = {name: one.webinar for name in names if (one := await self._pages.governing(name))}
        complete = json_text(held)
        return show(
            "own_data.html",
            opened.language,
            opened=opened,
            phrases=phrases(opened.language),
            as_of=_moment(opened.now, "UTC", opened.language),
            registrations=[
                _registration(one, webinars.get(one["webinar"]), opened.language)
                for one in held["registrations"]
            ],
            complete=complete[:LONGEST_SHOWN],
            is_cut=len(complete) > LONGEST_SHOWN,
        )

    async def file(self, request: Request) -> Response:
        """Everything that is held, as JSON."""
        opened = await self._open(request)
        return Response(
            json_text(await self._held(opened)) + "\n",
            media_type="application/json",
            headers={"content-disposition": 'attachment; filename="my-data.json"'},
        )

    async def consider(self, request: Request) -> Response:
        """Ask whether it is to be forgotten."""
        opened = await self._open(request)
        return show("forget.html", opened.language, opened=opened)

    async def forget(self, request: Request) -> Response:
        """Forget the person, as `webinar forget` does. The link ends with the rest."""
        opened = await self._open(request)
        self._pages.limits.form_of(opened.token)
        await form(request)
        async with self._one_by_one:
            found = await self._pages.database.run_reading(forgetting.find, opened.address)
            await self._pages.database.run(forgetting.forget, opened.now, opened.address, found)
        return RedirectResponse(f"/forgotten?language={opened.language}", 303)

    async def forgotten(self, request: Request) -> Response:
        """Say that it is done. Anybody may read it."""
        language = page_language(request.query_params.get("language", "")[:35], browser_language(request))
        return show("forgotten.html", language)

    async def _open(self, request: Request) -> _Opened:
        """The link that a request comes by. Raises HTTPException: 404, alike for a token that was never given, has
        expired or was used to forget; 429 for too many of those."""
        token, now = request.path_params["token"], self._pages.clock.now()
        found = await self._pages.database.run_reading(_find, now, token)
        if found is None:
            self._pages.limits.unknown_key(request)
            raise HTTPException(404)
        to, language = found
        return _Opened(token, to.address_folded, page_language(language, browser_language(request)), now)

    async def _held(self, opened: _Opened) -> Json:
        self._pages.limits.own_data(opened.token)
        async with self._one_by_one:
            return await self._pages.database.run_reading(personal_data, opened.now, opened.address)


def _find(conn: Connection, now: datetime, token: str) -> tuple[MailedTo, str] | None:
    """What a token leads to, and the language of its registration."""
    to = mailed_links.find(conn, now, Purpose.DATA, token)
    if to is None:
        return None
    return to, conn.execute(select(_R.c.language).where(_R.c.id == to.subject_id)).scalar() or ""


def _mail_link(conn: Connection, pages_url: str, seen: Visit) -> None:
    """Put a mail with a fresh link into the outbox. Raises TooManyLinks, TooMany, ValueError."""
    standing = seen.standing
    to = MailedTo(standing.registration_id, fold(standing.address))
    token = mailed_links.make(conn, seen.now, Purpose.DATA, to, valid_for=VALID_FOR, most=MOST_LINKS)
    mail = _mail(seen, f"{pages_url}/d/{token}")
    sender = seen.webinar.sender.address
    outbox.put(conn, seen.now, sender, standing.address, mail, patient=True)


def _mail(seen: Visit, url: str) -> bytes:
    """The mail with a link, in the registrant's language."""
    language, own = seen.language, seen.webinar.words(seen.language)
    words, phrase = page_words(language).data, phrases(language)
    paragraphs = (
        dear(shown_name(seen.standing.name, language), language),
        words.mail_asked.format(title=own.title),
        url,
        words.mail_valid,
        words.mail_not_you,
        phrase.from_whom.format(sender=own.sender_name or own.host),
    )
    return plain_mail(seen.webinar, language, seen.standing.address, words.mail_subject, paragraphs, seen.now)


@dataclass(frozen=True)
class _Mail:
    """A mail on the page: its name, what became of it (a phrase in [data]), and when."""

    name: str
    state: str
    at: str


_SAID = {State.SENT: "mail_sent", State.IN_DOUBT: "mail_in_doubt"} | dict.fromkeys(
    (State.PENDING, State.SENDING, State.HELD), "mail_planned"
)


def _registration(held: Json, webinar: Webinar | None, language: str) -> dict[str, Any]:
    """One registration as the page shows it: its webinar, values by the phrase that names them, and its mails."""
    zone = held["zone"] or "UTC"
    values = {
        "name": held["name"],
        "address": held["address"],
        "language": language_name(held["language"], language) if held["language"] else "",
        "zone": held["zone"],
        "country": held["country"],
        "since": _moment(held["first_seen_at"], zone, language),
    }
    mails = [
        _Mail(
            _name(one["message"], webinar, language),
            _SAID.get(one["state"], "mail_not_sent"),
            _moment(one["sent_at"] or one["due_at"], zone, language),
        )
        for one in held["deliveries"]
    ]
    return {
        "title": webinar.words(language).title if webinar else held["webinar"],
        "values": {name: value for name, value in values.items() if value},
        "mails": mails,
    }


def _name(message: str, webinar: Webinar | None, language: str) -> str:
    """What a message is, in words; its id where nobody knows any more."""
    kinds = {one.id: one.kind for one in webinar.messages} if webinar else {}
    words: str = getattr(
        page_words(language).data, f"kind_{kinds.get(message, message).replace('-', '_')}", message
    )
    return words


def _moment(instant: datetime | None, zone: str, language: str) -> str:
    """A time in words, with its zone: "Wednesday, 2 July 2025, 09:00 (Zurich, UTC+2)"."""
    return clock_time(instant, instant, pytz.timezone(zone), language).beginning if instant else ""
