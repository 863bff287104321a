"""Whose page is asked for: the registration that a key names, as it is now."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import pytz
from starlette.exceptions import HTTPException
from starlette.requests import Request

from scheduler.ledger import requests
from scheduler.ledger.planning import Governing
from scheduler.ledger.requests import Standing
from scheduler.mail.words.wording import ClockTime, clock_time
from scheduler.web.pages.context import Pages
from scheduler.web.pages.words import page_language
from scheduler.webinar.model import Webinar
from scheduler.zones.wall import Zone

_KEY = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class Visit:
    """A request for a page of one registrant: who it is, their webinar, and the language of the page."""

    standing: Standing
    governing: Governing
    now: datetime

    @property
    def webinar(self) -> Webinar:
        return self.governing.webinar

    @property
    def key(self) -> str:
        return self.standing.key

    @property
    def path(self) -> str:
        """The path of the registrant's page."""
        return f"/r/{self.key}"

    @property
    def is_over(self) -> bool:
        """Whether the webinar has ended, by its time or by its file."""
        return self.now >= self.webinar.end or self.webinar.status == "ended"

    @cached_property
    def language(self) -> str:
        """The registrant's language, as far as the pages have it, else the webinar's first."""
        return page_language(self.standing.language, *self.webinar.languages)

    @cached_property
    def zone(self) -> Zone:
        """The registrant's zone."""
        return pytz.timezone(self.standing.zone) if self.standing.zone else self.webinar.tz

    @cached_property
    def join_url(self) -> str:
        """The link to join: the person's own, else the webinar's, else ""."""
        return self.standing.join_url or self.webinar.join_url

    @property
    def way_in(self) -> str:
        """The link of the button to join: the one that forwards, if that is what the webinar's mails have."""
        return f"/j/{self.key}" if self.webinar.join_link == "forward" else self.join_url

    @cached_property
    def yours(self) -> ClockTime:
        """The webinar on the registrant's clock."""
        return clock_time(self.webinar.start, self.webinar.end, self.zone, self.language)

    @cached_property
    def theirs(self) -> ClockTime:
        """The webinar on its own clock."""
        webinar = self.webinar
        return clock_time(webinar.start, webinar.end, webinar.tz, self.language, webinar.place)


async def visit(pages: Pages, request: Request) -> Visit:
    """The visit that a request is, by the key in its path. Raises HTTPException: 404, alike for a key that is
    malformed, was never given, or belonged to a forgotten person; 429 for too many of those."""
    key = request.path_params["key"]
    standing = await pages.database.run_reading(requests.find, key) if _KEY.fullmatch(key) else None
    governing = await pages.governing(standing.webinar) if standing else None
    if standing is None or governing is None:
        pages.limits.unknown_key(request)
        raise HTTPException(404)
    return Visit(standing, governing, pages.clock.now())
