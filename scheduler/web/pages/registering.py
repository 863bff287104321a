"""The page of a webinar on which people register: what it is about, when it is for them, and a form.

Everybody who sends the form gets the same answer, so nobody learns from it who is registered.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal

import pytz
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from scheduler.ledger.planning import Governing
from scheduler.mail.words.links import mailto_address
from scheduler.mail.words.phrases import phrases
from scheduler.mail.words.reservation import event_data
from scheduler.mail.words.wording import (
    ClockTime,
    clock_time,
    full_date,
    language_name,
    listing,
    locale,
)
from scheduler.mail.writing.plain import plain_mail
from scheduler.registrants.signups import is_full
from scheduler.web.pages import stamps
from scheduler.web.pages.card import HEIGHT, WIDTH, card_of, picture
from scheduler.web.pages.context import Pages
from scheduler.web.pages.entering import enter
from scheduler.web.pages.entry import ANSWER, KEPT, STAMP, TRAP, Entry, find_zone, read_entry
from scheduler.web.pages.showing import attributes_of, own_name, show
from scheduler.web.pages.words import LANGUAGES, accepted_languages, page_language, page_words
from scheduler.web.pages.zone_search import Place
from scheduler.web.requests import form
from scheduler.webinar.model import Webinar

LARGEST_FORM = 120_000  # bytes: ten answers of 1,000 Chinese characters, percent-encoded
TOO_QUICK, TOO_OLD = timedelta(seconds=3), timedelta(days=1)
"""The age of a form that a person sends."""
CARD_FOR = "public, max-age=600"
FULL_FOR = timedelta(seconds=10)
MOST_PLACES = 6

State = Literal["open", "running", "over", "cancelled"]


def routes(pages: Pages) -> list[Route]:
    """The routes of the page, its form and its picture."""
    registering = _Registering(pages)
    return [
        Route("/w/{webinar}", registering.page, methods=["GET"]),
        Route("/w/{webinar}", registering.register, methods=["POST"]),
        Route("/w/{webinar}/card.png", registering.card, methods=["GET"]),
    ]


async def open_webinar(pages: Pages, name: str) -> Governing:
    """A webinar for which people register by the form. Raises HTTPException: 404 for any other, whether it exists or
    not. A draft is shown in rehearsals, which nobody else sees."""
    governing = (await asyncio.to_thread(pages.webinars)).get(name)
    if governing is None or governing.webinar.registration == "closed":
        raise HTTPException(404)
    if governing.webinar.status == "draft" and pages.url.startswith("https://"):
        raise HTTPException(404)
    return governing


def state_of(webinar: Webinar, now: datetime) -> State:
    """What a webinar's page is about now."""
    if webinar.cancelled:
        return "cancelled"
    if now >= webinar.end or webinar.status == "ended":
        return "over"
    return "running" if now >= webinar.start else "open"


class _Registering:
    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._key = b""
        self._full: dict[str, tuple[datetime, bool]] = {}

    async def page(self, request: Request) -> Response:
        """The page. Changes nothing."""
        governing = await open_webinar(self._pages, request.path_params["webinar"])
        language = _language(request, governing.webinar)
        if "done" in request.query_params:
            here = _path(governing.webinar, language)
            return show(
                "registered.html",
                language,
                webinar=governing.webinar,
                here=here,
                **_words(governing.webinar, language),
            )
        return await self._show(governing.webinar, language, request.query_params.get("zone", ""), {})

    async def card(self, request: Request) -> Response:
        """The picture that others show beside a link to the page."""
        governing = await open_webinar(self._pages, request.path_params["webinar"])
        language = _language(request, governing.webinar)
        drawn = await asyncio.to_thread(picture, card_of(governing.webinar, language))
        return Response(
            drawn, media_type="image/png", headers={"cache-control": CARD_FOR, "vary": "accept-language"}
        )

    async def register(self, request: Request) -> Response:
        """Take in a form."""
        self._pages.limits.registration(request)
        governing = await open_webinar(self._pages, request.path_params["webinar"])
        webinar, now = governing.webinar, self._pages.clock.now()
        language = _language(request, webinar)
        typed = await form(request, LARGEST_FORM)
        if state_of(webinar, now) in ("over", "cancelled"):
            return RedirectResponse(_path(webinar, language), 303)
        done = RedirectResponse(f"{_path(webinar, language)}&done=1", 303)
        if typed.get(TRAP):
            return done
        entry = await asyncio.to_thread(read_entry, webinar, language, typed)
        hasty = request.headers.get("sec-fetch-site") == "cross-site" or not await self._is_by_hand(
            webinar, now, typed
        )
        slip = entry.slip if typed.get(KEPT) != entry.address else ""
        if entry.wrong or hasty or slip:
            return await self._show(webinar, language, "", typed, entry, hasty=hasty, slip=slip)

        def do(conn: Connection) -> None:
            enter(
                conn,
                now,
                governing,
                entry,
                lambda token: self._letter(webinar, entry, token, now),
                self._pages.url,
            )

        await self._pages.database.run(do)
        return done

    async def _is_by_hand(self, webinar: Webinar, now: datetime, typed: Mapping[str, str]) -> bool:
        """Whether a form was filled in for as long as a person takes."""
        age = stamps.age(await self._form_key(), webinar.id, now, typed.get(STAMP, ""))
        return age is not None and TOO_QUICK <= age <= TOO_OLD

    async def _form_key(self) -> bytes:
        self._key = self._key or await self._pages.database.run_reading(stamps.form_key)
        return self._key

    def _letter(self, webinar: Webinar, entry: Entry, token: str, now: datetime) -> bytes:
        """The mail that asks to confirm an address."""
        language = page_language(entry.language)
        words, title = page_words(language).confirm, webinar.words(language).title
        when = str(clock_of(webinar, entry.zone, language))
        paragraphs = (
            words.asked.format(title=title, when=when), words.press, f"{self._pages.url}/c/{token}", words.not_you
        )  # fmt: skip
        return plain_mail(
            webinar, language, entry.address, words.subject.format(title=title), paragraphs, now
        )

    async def _show(
        self,
        webinar: Webinar,
        language: str,
        sought: str,
        typed: Mapping[str, str],
        entry: Entry | None = None,
        *,
        hasty: bool = False,
        slip: str = "",
    ) -> Response:
        """The page, with what was typed into its form and what is wrong with it."""
        now, key = self._pages.clock.now(), await self._form_key()
        zone = (await asyncio.to_thread(find_zone, webinar, language, sought))[0] if sought else None
        address = f"{self._pages.url}/w/{webinar.id}"
        card = f"{address}/card.png?language={language}"
        given = typed.get(STAMP, "")
        age = stamps.age(key, webinar.id, now, given)
        kept = age is not None and age <= TOO_OLD  # so that pressing again soon is not too quick
        answer = show(
            "register.html",
            language,
            status=422 if entry and entry.wrong else 200,
            webinar=webinar,
            state=state_of(webinar, now),
            full=await self._is_full(webinar, now),
            typed=defaultdict(str, {"zone": zone or sought, "language": language} | dict(typed)),
            wrong=defaultdict(str, entry.wrong if entry else {}),
            places=_by_clock(entry.places, webinar, language) if entry else [],
            labels=_labels(webinar, language),
            slip=slip,
            kept=KEPT,
            hasty=hasty and not (entry and entry.wrong),
            days=_days(webinar, language),
            yours=clock_of(webinar, zone, language) if zone else None,
            not_found=bool(sought and not zone),
            stamp=given if kept else stamps.stamp(key, webinar.id, now),
            here=_path(webinar, language),
            address=address,
            card=card,
            card_size=(WIDTH, HEIGHT),
            event=event_data(webinar, language, address, card),
            trap=TRAP,
            answer=ANSWER,
            **_words(webinar, language),
        )
        answer.headers["x-robots-tag"] = "all"  # a page to be found
        return answer

    async def _is_full(self, webinar: Webinar, now: datetime) -> bool:
        """Whether all places are taken, counted at most once in FULL_FOR."""
        if webinar.capacity is None:
            return False
        counted_at, full = self._full.get(webinar.id, (None, False))
        if counted_at is None or now - counted_at > FULL_FOR:
            full = await self._pages.database.run_reading(is_full, webinar)
            self._full[webinar.id] = now, full
        return full


def _language(request: Request, webinar: Webinar) -> str:
    """The language of the page: the chosen one, else the browser's, else the webinar's first."""
    accepted = accepted_languages(request.headers.get("accept-language", ""))
    return page_language(request.query_params.get("language", ""), *accepted, *webinar.languages)


def _path(webinar: Webinar, language: str) -> str:
    return f"/w/{webinar.id}?language={language}"


def clock_of(webinar: Webinar, zone: str, language: str) -> ClockTime:
    """The webinar on the clock of a zone; "" is its own."""
    if zone not in pytz.all_timezones_set:
        return clock_time(webinar.start, webinar.end, webinar.tz, language, webinar.place)
    return clock_time(webinar.start, webinar.end, pytz.timezone(zone), language)


def _labels(webinar: Webinar, language: str) -> dict[str, str]:
    """What the fields are called, by name."""
    words = page_words(language).register
    fields = {name: getattr(words, name) for name in ("name", "address", "organization", "country", "zone")}
    return fields | {ANSWER + one.id: one.words_in(language) for one in webinar.questions}


def _days(webinar: Webinar, language: str) -> str:
    """The dates in words on which the webinar may begin or end, by their ISO form, as JSON: the script on the page
    shows the reader's day in the words of Geneva's."""
    moments = [
        moment.astimezone(UTC) + timedelta(hours=hours)
        for moment in (webinar.start, webinar.end)
        for hours in (-12, 0, 14)
    ]
    dates = {moment.date() for moment in moments}
    return json.dumps(
        {day.isoformat(): full_date(day, language) for day in sorted(dates)}, ensure_ascii=False
    )


def _words(webinar: Webinar, language: str) -> dict[str, Any]:
    """What every page of a webinar's registration says."""
    said = webinar.words(language)
    return {
        "said": said,
        "phrases": phrases(language),
        "theirs": clock_of(webinar, "", language),
        "organizers": listing(said.organizers, webinar.language_of("organizers", language)),
        "attributes": {
            key: attributes_of(webinar.language_of(key, language), language)
            for key in (
                "title",
                "about",
                "organizers",
                "consent",
                "questions",
            )  # questions are said to be in the first
        },
        "held_in": language_name(webinar.held_in, language),
        "mail_languages": [(tag, own_name(tag)) for tag in webinar.languages],
        "languages": [
            (tag, own_name(tag)) for tag in webinar.languages if tag in LANGUAGES and tag != language
        ],
        "countries": _countries(language),
        "consent": webinar.consent_in(language),
        "sender": webinar.sender_in(language).name or webinar.sender.address,
        "reply_to": webinar.reply_to_in(language).address,
        "write_to": mailto_address(webinar.reply_to_in(language).address),
    }


def _by_clock(places: Sequence[Place], webinar: Webinar, language: str) -> list[Place]:
    """One place for each clock, the likeliest first."""
    clocks = {place.hours(webinar.start, webinar.end, language): place for place in reversed(places)}
    return [place for place in places if place in clocks.values()][:MOST_PLACES]


@lru_cache(maxsize=len(LANGUAGES))
def _countries(language: str) -> list[str]:
    """The names of countries, which the form suggests."""
    names = locale(language).territories
    return sorted(str(names.get(code, code)) for code in pytz.country_timezones)
