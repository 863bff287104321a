"""The facts of a webinar that somebody last had from us, and how they differ from what is true now. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from scheduler.webinar.model import Webinar


@dataclass(frozen=True)
class Told:
    """What one person was last told: instants in UTC, and the link that they were given."""

    start: datetime | None
    """None where they were told that the webinar is cancelled: nothing else counts then."""
    end: datetime | None
    join_url: str
    cancelled: bool = False


@dataclass(frozen=True)
class Difference:
    """What is no longer as somebody was told. Hashable, and without anybody's own link."""

    restored: bool = False
    """They were told that the webinar is cancelled, and it takes place."""
    former_time: tuple[datetime, datetime] | None = None
    """Start and end as they were told, where one of them has changed."""
    link: bool = False
    """Their link has changed, or they have one now."""
    had_link: bool = False
    """They were given a link before the one that is new."""


def difference(told: Told, start: datetime, end: datetime, join_url: str) -> Difference:
    """How `told` differs from a webinar that takes place from `start` to `end`, with the person's link."""
    if told.cancelled:
        return Difference(restored=True)
    former = (told.start, told.end) if told.start and told.end else None
    link = told.join_url != join_url
    return Difference(
        former_time=former if former != (start, end) else None,
        link=link,
        had_link=link and bool(told.join_url),
    )


def facts_of(webinar: Webinar, join_url: str) -> Told:
    """What is true for somebody with this link."""
    if webinar.cancelled:
        return Told(None, None, "", cancelled=True)
    return Told(webinar.start, webinar.end, join_url)
