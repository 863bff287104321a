"""The facts of a webinar in the last mail that a person got, and how they differ from the current ones. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from scheduler.webinar.model import Webinar


@dataclass(frozen=True)
class Told:
    """The facts in a person's last mail: instants in UTC, and their join link."""

    start: datetime | None
    """None if the mail was the cancellation, or that of a withdrawal; the other facts then do not count."""
    end: datetime | None
    join_url: str
    cancelled: bool = False


@dataclass(frozen=True)
class Difference:
    """The facts that have changed since a person's last mail. Hashable, and without personal links."""

    restored: bool = False
    """Their last mail was the cancellation, and the webinar takes place after all."""
    former_time: tuple[datetime, datetime] | None = None
    """Start and end in their last mail, if one of them has changed."""
    link: bool = False
    """Their link has changed, or they have one now and had none."""
    had_link: bool = False
    """They had a link before the new one."""


def difference(told: Told, start: datetime, end: datetime, join_url: str) -> Difference:
    """How `told` differs from a webinar from `start` to `end` (UTC) with the person's link."""
    if told.cancelled:
        return Difference(restored=True)
    former = (told.start, told.end) if told.start and told.end else None
    link = told.join_url != join_url
    return Difference(
        former_time=former if former != (start, end) else None,
        link=link,
        had_link=link and bool(told.join_url),
    )


def facts_of(webinar: Webinar, join_url: str, *, withdrawn: bool = False) -> Told:
    """The current facts for a person with this link. `withdrawn`: for them it is as if the webinar were cancelled."""
    if webinar.cancelled or withdrawn:
        return Told(None, None, "", cancelled=True)
    return Told(webinar.start, webinar.end, join_url)
