"""A registrant's calendar entry: as a file, and as links that fill in the form of a web calendar."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection, select
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scheduler.database.models import Registration, table
from scheduler.ledger.outcomes import last_versions
from scheduler.mail.words import links
from scheduler.mail.words.phrases import phrases
from scheduler.mail.writing.invitation import published
from scheduler.mail.writing.rendering import version_for
from scheduler.web.pages.context import Pages
from scheduler.web.pages.visits import Visit, visit
from scheduler.webinar.links import told_link
from scheduler.zones.wall import to_local

_R = table(Registration)


def routes(pages: Pages) -> list[Route]:
    """The route of the file."""
    return [Route("/r/{key}/calendar.ics", partial(_file, pages), methods=["GET"])]


class WebCalendar(NamedTuple):
    """A calendar on the web, and the link that opens its form with the entry filled in."""

    name: str
    url: str


def web_calendars(pages: Pages, visit: Visit) -> list[WebCalendar]:
    """The links for one registrant."""
    webinar, words = visit.webinar, phrases(visit.language)
    title, link = webinar.words(visit.language).title, link_in_calendars(pages, visit)
    entry = (title, webinar.start, webinar.end, link, link)
    on_their_clock = (
        title,
        to_local(webinar.start, visit.zone),
        to_local(webinar.end, visit.zone),
        link,
        link,
    )
    return [
        WebCalendar(words.google, links.google_calendar(*entry)),
        WebCalendar(words.outlook, links.outlook_calendar(*entry, host="outlook.live.com")),
        WebCalendar(words.microsoft, links.outlook_calendar(*entry, host="outlook.office.com")),
        WebCalendar("Yahoo", links.yahoo_calendar(*on_their_clock)),
    ]


def link_in_calendars(pages: Pages, visit: Visit) -> str:
    """The link to join in mails and calendar entries; "" if there is none yet."""
    return told_link(visit.webinar, visit.standing.join_url, visit.key, pages.url)


@dataclass(frozen=True)
class _Person:
    """Whose entry it is (`rendering.Invited`)."""

    uid: str
    registration_id: int
    address: str
    name: str
    first_seen_at: datetime


async def _file(pages: Pages, request: Request) -> Response:
    """The entry as an attendee's invitation (?as=attendee), or to be published. Raises HTTPException."""
    asked = await visit(pages, request)
    try:
        calendar = await pages.database.run_reading(_entry, asked, link_in_calendars(pages, asked))
    except ValueError:  # an address or a link that no calendar takes
        raise HTTPException(404) from None
    method = "REQUEST" if b"\r\nMETHOD:REQUEST\r\n" in calendar else "CANCEL"
    if request.query_params.get("as") != "attendee":
        calendar, method = published(calendar), "PUBLISH"
    return Response(
        calendar,
        media_type=f"text/calendar; charset=utf-8; method={method}",
        headers={"content-disposition": f'attachment; filename="{asked.webinar.id}.ics"'},
    )


def _entry(conn: Connection, visit: Visit, join_url: str) -> bytes:
    """The stored version of the invitation, as mails carry it. While none is stored that says what is true now, it is
    the next version, which is not stored: the mail that says the same will have its number. Raises ValueError."""
    standing = visit.standing
    seen = select(_R.c.first_seen_at).where(_R.c.id == standing.registration_id)
    first_seen_at = conn.execute(seen).scalar()
    if first_seen_at is None:
        raise ValueError("forgotten meanwhile")
    version = version_for(
        _Person(standing.uid, standing.registration_id, standing.address, standing.name, first_seen_at),
        visit.webinar,
        visit.language,
        join_url,
        "CANCEL" if visit.webinar.cancelled or standing.withdrawn_at else "REQUEST",
        last_versions(conn, [standing.uid]).get(standing.uid),
        visit.now,
    )
    return version.calendar
