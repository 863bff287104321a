"""Upcoming removals of personal data: for checks, readiness and mails."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from scheduler.governing.webinars import instant_text
from scheduler.ledger.retention import count_people, if_saved, past_webinars
from scheduler.readiness import Kind, Reason, reasons
from scheduler.webinar.model import Webinar

SOON = timedelta(days=30)


NAMED = 20  # webinars, in notes and in a mail


@dataclass(frozen=True)
class Coming:
    """An upcoming removal: the number of people of a webinar, and its instant (UTC)."""

    webinar: str
    people: int
    at: datetime
    alert_to: str = ""
    announced_at: datetime | None = None
    edit_waits: bool = False

    @property
    def words(self) -> str:
        what = f"the personal data of {self.who} is removed from {instant_text(self.at)} on"
        unless = ", but not while an edit of the webinar waits" if self.edit_waits else ""
        return f"Registrants of {self.webinar}: {what}{unless}"

    @property
    def who(self) -> str:
        return "1 person" if self.people == 1 else f"{self.people} people"


def coming(conn: Connection, now: datetime) -> list[Coming]:
    """Upcoming removals, the next first, announced or to be announced now."""
    past = (one for one in past_webinars(conn, now) if one.announced_for or one.must_be_announced(now))
    found = [
        Coming(one.webinar, count_people(conn, one.webinar), one.removal_at(now), edit_waits=one.edit_waits)
        for one in past
        if one.edit_waits or not one.has_begun
    ]
    return sorted((one for one in found if one.people), key=lambda one: (one.at, one.webinar))


def coming_if_saved(conn: Connection, now: datetime, webinar: Webinar) -> Coming | None:
    """The removal that saving this file would cause, if it is soon, or sooner than by what governs; else None."""
    after, before = if_saved(conn, webinar)
    people, at = count_people(conn, webinar.id), after.removal_at(now)
    sooner = before is not None and after.kept_until < before.kept_until
    if not people or after.has_begun or not (sooner or at <= now + SOON):
        return None
    return Coming(webinar.id, people, at)


def notes(found: Iterable[Coming]) -> tuple[Reason, ...]:
    """The first `NAMED` removals, and how many more there are."""
    every = [one.words for one in found]
    more = [f"Registrants of {len(every) - NAMED} more webinars: the same"] if len(every) > NAMED else []
    return reasons(Kind.RETENTION, (*every[:NAMED], *more))
