"""The join link that never changes: it forwards to a registrant's link of the moment while the doors are open.

Anybody who presses it gets the same, and nothing is recorded. The link that it leads to comes from the webinar's file
or the person's row, never from the request.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scheduler.ledger.history import former_start
from scheduler.mail.words.phrases import phrases
from scheduler.mail.words.wording import clock_time, same_clock, time_left
from scheduler.registrants.rows import why_no_link
from scheduler.web.pages.context import Pages
from scheduler.web.pages.showing import show
from scheduler.web.pages.visits import Visit, visit

OVERRUN = timedelta(hours=1)
"""How long after the end the page still offers the way in, since webinars run longer than planned."""

RELOADED_WITHIN = timedelta(hours=1)
"""How long a row may be gone while its person still gets in: a reload of the list takes less."""


class Doors(StrEnum):
    """What a join link leads to at this moment."""

    GONE = "gone"
    """The person is registered no more."""
    CANCELLED = "cancelled"
    EARLY = "early"
    OPEN = "open"
    NO_LINK = "no_link"
    """They are open, and nobody has said where they are."""
    OVER = "over"


def routes(pages: Pages) -> list[Route]:
    """The route of the link."""
    return [Route("/j/{key}", partial(_join, pages), methods=["GET"])]


def opening(visit: Visit) -> datetime:
    """When the doors open (UTC)."""
    return visit.webinar.start - visit.webinar.doors_open


def target_of(pages: Pages, visit: Visit) -> str:
    """The person's link of the moment; "" unless it is an https link to somewhere else."""
    target = visit.join_url
    return "" if why_no_link(target) or target.startswith(f"{pages.url}/") else target


def doors(visit: Visit, target: str) -> Doors:
    """What the link leads to; `target`: the person's link of the moment."""
    if visit.standing.gone_at and visit.now - visit.standing.gone_at > RELOADED_WITHIN:
        return Doors.GONE
    if visit.webinar.cancelled:
        return Doors.CANCELLED
    if visit.is_over:
        return Doors.OVER
    if visit.now < opening(visit):
        return Doors.EARLY
    return Doors.OPEN if target else Doors.NO_LINK


async def _join(pages: Pages, request: Request) -> Response:
    asked = await visit(pages, request)
    target = target_of(pages, asked)
    state = doors(asked, target)
    if state is Doors.OPEN:
        return Response(status_code=302, headers={"location": target})
    former = await pages.database.run_reading(
        former_start, asked.standing.registration_id, asked.webinar.start
    )
    return show("joining.html", asked.language, **_values(asked, state, target, former))


def _values(visit: Visit, state: Doors, target: str, former: datetime | None) -> dict[str, Any]:
    """What the page shows. `former`: the start in an earlier mail, if the webinar has moved since."""
    webinar, language, zone = visit.webinar, visit.language, visit.zone
    moved_from = (
        clock_time(former, former + (webinar.end - webinar.start), zone, language) if former else None
    )
    return {
        "seen": visit,
        "title": webinar.words(language).title,
        "title_language": webinar.language_of("title", language),
        "phrases": phrases(language),
        "state": state.value,
        "moved_from": moved_from if state in (Doors.EARLY, Doors.NO_LINK) else None,
        "same_time": same_clock(webinar.start, webinar.end, zone, webinar.tz),
        "opening": opening(visit),
        "opening_in_words": _opening_in_words(visit),
        "left": time_left(visit.now, webinar.start, webinar.end, zone, language),
        "late_target": target if state is Doors.OVER and visit.now < webinar.end + OVERRUN else "",
    }


def _opening_in_words(visit: Visit) -> str:
    """When the doors open, on this person's clock, with its zone: "12:45 (Nairobi, East Africa Time, UTC+3)"; with the
    date, if that is not the webinar's."""
    at = clock_time(opening(visit), opening(visit), visit.zone, visit.language)
    words = phrases(visit.language)
    when = at.starts if at.first_day == visit.yours.first_day else f"{at.first_day}{words.comma}{at.starts}"
    return words.brackets.format(when=when, zone=at.zone)
