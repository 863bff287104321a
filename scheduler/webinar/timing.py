"""When each message of a webinar is due in a zone, and until when it is useful. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduler.webinar.model import USEFUL_AFTER, Message, Webinar
from scheduler.zones.wall import Zone, computed_to_utc, to_local


@dataclass(frozen=True)
class Timing:
    """When a message is due for everybody in one zone; instants are UTC.

    `due_at` None: at once, on registration. The message is useful until `expires_at`. `never`: why nobody in this
    zone gets it, or ""; if it is "", `due_at` lies before `expires_at`.
    """

    message: str
    due_at: datetime | None
    expires_at: datetime
    never: str = ""


SOON = timedelta(minutes=10)
"""If the webinar starts in less than this, an edit that notifies people takes effect at once."""


def takes_effect_at(
    now: datetime, first_edit: datetime, notice_after: timedelta, starts: Iterable[datetime]
) -> datetime:
    """When an edit made `now` that notifies people takes effect; instants are UTC.

    `first_edit` is the first of the edits that wait together; `starts` are the old and the new start. The edit waits
    `notice_after`, at most a tenth of the time to the earlier future start, and at most three times that since the
    first.
    """
    ahead = [start for start in starts if start > now]
    if not ahead or min(ahead) - now < SOON:
        return now
    wait = min(notice_after, (min(ahead) - now) / 10)
    return min(now + wait, first_edit + 3 * wait)


def timings(webinar: Webinar, zone: Zone) -> list[Timing]:
    """The timing of each message of the webinar for people in `zone`, in the order of the sequence.

    A confirmation is useful until the end, a follow-up for 30 days, a reminder until the start or until the next
    reminder that people in this zone get.
    """
    due = [_due(message, webinar, zone) for message in webinar.messages]
    reminders = _in_time(webinar, due)
    return [_timing(index, webinar, due, reminders) for index in range(len(due))]


def _timing(
    index: int, webinar: Webinar, dues: Sequence[datetime | None], reminders: Sequence[int]
) -> Timing:
    message, due = webinar.messages[index], dues[index]
    if due is None:
        return Timing(message.id, None, webinar.end)
    if message.kind == "follow-up":
        return _follow_up(message.id, due, webinar)
    if index not in reminders:
        return Timing(message.id, due, webinar.start, "falls after the start")
    later = reminders[reminders.index(index) + 1 :]
    if not later:
        return Timing(message.id, due, webinar.start)
    takes_over = dues[later[0]] or webinar.start
    coincides = f"falls together with {webinar.messages[later[0]].id}" if takes_over == due else ""
    return Timing(message.id, due, takes_over, coincides)


def _follow_up(message: str, due: datetime, webinar: Webinar) -> Timing:
    expires = webinar.end + USEFUL_AFTER
    if due < webinar.end:
        return Timing(message, due, expires, "falls before the end")
    return Timing(message, due, expires, "falls more than 30 days after the end" if due >= expires else "")


def _in_time(webinar: Webinar, dues: Sequence[datetime | None]) -> list[int]:
    """The indexes of the reminders due before the start, the earliest first, then in the order of the sequence."""
    falling = [(due, index) for index, due in enumerate(dues)
               if due and due < webinar.start and webinar.messages[index].kind == "reminder"]  # fmt: skip
    return [index for _, index in sorted(falling)]


def _due(message: Message, webinar: Webinar, zone: Zone) -> datetime | None:
    """When a message is due, UTC; None: on registration. Hours are exact. Days are calendar days in the rule's zone,
    counted from the day on which the webinar starts or ends there (a webinar that ends at midnight ends on the day
    before); without `at`, the time of day is that of the start or end."""
    if message.on_registration:
        return None
    if message.before_start is not None:
        return webinar.start - message.before_start
    if message.after_end is not None:
        return webinar.end + message.after_end
    clock = zone if message.clock == "registrant" else webinar.tz
    if message.days_before is not None:
        edge = to_local(webinar.start, clock)
        day = edge.date() - timedelta(days=message.days_before)
    else:
        edge = to_local(webinar.end, clock)
        last_day = (edge.replace(tzinfo=None) - timedelta(microseconds=1)).date()
        day = last_day + timedelta(days=message.days_after or 0)
    return computed_to_utc(datetime.combine(day, edge.time() if message.at is None else message.at), clock)
