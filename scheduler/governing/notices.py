"""Edits that wait before they notify people: how many people, of what, when, and how to stop it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from scheduler import alerts
from scheduler.alerts import AlertKey
from scheduler.database.models import Registration, Told, table
from scheduler.governing.revisions import Revisions, waiting, when_it_takes_effect
from scheduler.ledger.told import count_misinformed
from scheduler.webinar.links import shared_link
from scheduler.webinar.model import CANCELLATION, CHANGE, Webinar
from scheduler.zones.wall import Zone, to_local

Facts = dict[str, Any]
COUNTED_FOR = timedelta(minutes=1)
"""How long the number of people whom an edit notifies is reused: counting them reads every registration."""


@dataclass(frozen=True)
class Notice:
    """A waiting notice, as in `webinar status --json`. Instants are UTC."""

    webinar: str
    kind: str
    """`change` or `cancellation`."""
    people: int
    before: Facts
    """The values that change among start, end, join_url and cancelled, before the edit; personal links are None."""
    after: Facts
    leaves_at: datetime
    alert_to: str
    zone: Zone
    """The webinar's zone, in which organizers read times."""
    revision_id: int = 0
    """The edit's revision; 0: personal links changed in the rows of `registrants`."""
    counted_at: datetime | None = field(default=None, compare=False)

    @property
    def key(self) -> str:
        """Identifies the notice among those of its webinar."""
        return f"{self.kind} of {self.webinar}" + (
            f", edit {self.revision_id}" if self.revision_id else ", links"
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "webinar": self.webinar,
            "kind": self.kind,
            "people": self.people,
            "from": self.before,
            "to": self.after,
            "leaves_at": self.leaves_at,
        }

    @property
    def headline(self) -> str:
        """How many people will be notified and when: the subject of the mail about it."""
        return f"Webinar {self.webinar}: {self.who_and_when()}"

    @property
    def words(self) -> str:
        """One line without personal data."""
        undo = (
            "undo the edit"
            if self.revision_id
            else "restore the links in these people's rows of `registrants`"
        )
        return (
            f'{self.headline} of {self.what}; to stop it, {undo} before then, or set status = "draft";'
            f" to send it now, `webinar notify {self.webinar}`"
        )

    def who_and_when(self, verb: str = "will be") -> str:
        who = "1 person" if self.people == 1 else f"{self.people} people"
        return f"{who} {verb} notified at {time_text(self.leaves_at, self.zone)}"

    @property
    def what(self) -> str:
        """The content of the notice, in words."""
        before, after = self.before, self.after
        if after.get("cancelled"):
            return "the cancellation"
        if before.get("cancelled"):
            return "its taking place after all"
        if "join_url" in after and after["join_url"] is None:
            return "a change of their own link"
        parts = []
        if "start" in after and "end" in after:
            was, becomes = (time_text(one["start"], self.zone, one["end"]) for one in (before, after))
            parts.append(f"a new time {becomes}, was {was}")
        else:
            parts += [
                f"a new {name} {time_text(after[name], self.zone)}, was {time_text(before[name], self.zone)}"
                for name in ("start", "end")
                if name in after
            ]
        if "join_url" in after:
            parts.append(f"a new link {after['join_url'] or 'none'}, was {before['join_url'] or 'none'}")
        return "; ".join(parts) or "the changes since their last mail"


def time_text(start: datetime, zone: Zone, end: datetime | None = None) -> str:
    """A time for organizers, in its zone and UTC: "2025-07-03 13:00–15:00 Europe/Zurich (11:00–13:00 UTC)"."""
    local = [to_local(one, zone) for one in (start, end) if one]
    utc = [one.astimezone(UTC) for one in (start, end) if one]
    if str(zone).endswith("UTC"):
        return f"{_clock(utc)} UTC"
    return f"{_clock(local)} {zone} ({_clock(utc, local[0].date())} UTC)"


def _clock(times: Iterable[datetime], day: date | None = None) -> str:
    """The times in one line, each with its date unless the time before it (at first `day`) has the same."""
    parts = []
    for one in times:
        parts.append(f"{one:%H:%M}" if one.date() == day else f"{one:%Y-%m-%d %H:%M}")
        day = one.date()
    return "–".join(parts)


def notices(
    conn: Connection,
    now: datetime,
    revisions: Revisions,
    return_within: timedelta,
    known: Iterable[Notice] = (),
) -> tuple[Notice, ...]:
    """All notices that wait now, by webinar. The number of people is taken from `known` for COUNTED_FOR."""
    counted = {
        one.revision_id: one
        for one in known
        if one.revision_id and one.counted_at and now < one.counted_at + COUNTED_FOR
    }
    edits = []
    for one in waiting(conn, revisions):
        before = counted.get(one.revision_id)
        people = (
            before.people
            if before
            else count_misinformed(conn, now, one.after, return_within, revisions.pages_url)
        )
        notice = _of_edit(conn, one.before, one.after, revisions.pages_url, people, one.at, one.revision_id)
        edits.append(replace(notice, counted_at=before.counted_at if before else now))
    return (*edits, *_changed_links(conn, now, revisions))


def notices_if_saved(
    conn: Connection,
    now: datetime,
    before: Webinar,
    after: Webinar,
    return_within: timedelta,
    pages_url: str = "",
) -> Iterator[Notice]:
    """The notice that this edit would send if it were saved now, if any."""
    if after.status != "live":
        return
    if people := count_misinformed(conn, now, after, return_within, pages_url):
        at = when_it_takes_effect(now, now, before.start, after)
        yield _of_edit(conn, before, after, pages_url, people, at)


def _of_edit(
    conn: Connection,
    before: Webinar,
    after: Webinar,
    pages_url: str,
    people: int,
    at: datetime,
    revision_id: int = 0,
) -> Notice:
    kind = CANCELLATION if after.cancelled else CHANGE
    was, becomes = changed_facts(before, after, pages_url)
    if not becomes:  # the facts changed in a draft, which now becomes live
        was, becomes = _told_before(conn, after)
    return Notice(after.id, kind, people, was, becomes, at, after.alert_to, after.tz, revision_id)


def _told_before(conn: Connection, after: Webinar) -> tuple[Facts, Facts]:
    """The facts in most people's last mail that differ now, before and after; links are left out."""
    t, r = table(Told), table(Registration)
    columns = (t.c.starts_at, t.c.ends_at, t.c.cancelled)
    most = conn.execute(
        select(*columns)
        .join(r, r.c.uid == t.c.uid)
        .where(r.c.webinar == after.id, t.c.accepted)
        .group_by(*columns)
        .order_by(func.count().desc())
        .limit(1)
    ).first()
    if most is None:
        return {}, {}
    was = {"start": most.starts_at, "end": most.ends_at, "cancelled": most.cancelled}
    becomes = {"start": after.start, "end": after.end, "cancelled": after.cancelled}
    names = [name for name in was if was[name] is not None and was[name] != becomes[name]]
    return {name: was[name] for name in names}, {name: becomes[name] for name in names}


def _changed_links(conn: Connection, now: datetime, revisions: Revisions) -> Iterator[Notice]:
    columns = table(Registration).c
    rows = conn.execute(
        select(columns.webinar, func.count(), func.max(columns.link_until))
        .where(columns.link_until.is_not(None), columns.link_until > now, columns.gone_at.is_(None))
        .group_by(columns.webinar)
        .order_by(columns.webinar)
    ).all()
    governing = revisions.governing(conn) if rows else {}
    for webinar, people, leaves_at in rows:
        if webinar in governing and governing[webinar].webinar.status == "live":
            one, link = governing[webinar].webinar, {"join_url": None}
            yield Notice(webinar, CHANGE, people, link, link, leaves_at, one.alert_to, one.tz)


def changed_facts(before: Webinar, after: Webinar, pages_url: str) -> tuple[Facts, Facts]:
    """The facts in people's mails that an edit changes, before and after."""
    was, becomes = (
        {
            "start": one.start,
            "end": one.end,
            "join_url": shared_link(one, pages_url),
            "cancelled": one.cancelled,
        }
        for one in (before, after)
    )
    changed = [name for name in was if was[name] != becomes[name]]
    return {name: was[name] for name in changed}, {name: becomes[name] for name in changed}


def reconcile_notices(conn: Connection, now: datetime, found: Iterable[Notice]) -> None:
    """Make the alerts about notices match `found`: one mail for each waiting edit, none at its end."""
    words = {
        AlertKey(f"{alerts.NOTICE}{one.key}", one.alert_to): f"{one.headline}\n\n{one.words}" for one in found
    }
    alerts.reconcile(conn, now, words, alerts.NOTICE, once=True)
