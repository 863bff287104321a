"""Which revision of a webinar governs: a row of table `webinar`, the same for every service.

An edit that would notify people waits first, so that a slip of the key can be undone: until it takes effect the old
facts govern, confirmations leave by them, and all else of the webinar waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import Connection, delete, func, insert, select, text

from scheduler.database.engine import execute, one_proposer
from scheduler.database.models import GoverningWebinar, WebinarRevision, table
from scheduler.ledger import retention
from scheduler.ledger.planning import Governing
from scheduler.ledger.told import count_misinformed
from scheduler.problem import Problems
from scheduler.registrants.again import mark_all_changed
from scheduler.webinar.model import Webinar, read_webinar
from scheduler.webinar.timing import takes_effect_at
from scheduler.webinar.told import facts_of
from scheduler.zones.wall import knowledge_version

ENDED = "ended"
"""The status of a webinar that nobody plans, sends, checks or is alerted about any more."""
ENDS_AFTER = timedelta(days=31)  # after its end, unless its file says so earlier
LOOKING = -1
"""In place of a service's number: a command that only looks, and whose transactions are rolled back."""

_W = table(GoverningWebinar)
_R = table(WebinarRevision)


class Revisions:
    """Stored revisions of webinars' files as this program reads them, each parsed once; and those that govern."""

    def __init__(self) -> None:
        self._read: dict[int, Webinar | None] = {}
        self._fingerprints: dict[int, str] = {}
        self._files: dict[str, tuple[str, Webinar]] = {}  # by path
        self._governing: dict[str, Governing] = {}
        self.version = 0
        """The highest of table `webinar` when `governing` was called last."""
        self.compared = 0
        """The same of `bring_up_to_date`, which compares fingerprints."""

    def get(self, conn: Connection, revision_id: int) -> Webinar | None:
        """The webinar that a stored revision describes; None where only another version of this program reads it."""
        if revision_id not in self._read:
            row = conn.execute(select(_R).where(_R.c.id == revision_id)).first()
            try:
                self._read[revision_id] = read_webinar(row.source, row.file) if row else None
            except Problems:
                self._read[revision_id] = None
        return self._read[revision_id]

    def read(self, source: str, path: str) -> Webinar:
        """The webinar that a file describes, for as long as it describes it parsed once. Raises Problems."""
        known = self._files.get(path)
        if known is None or known[0] != source:
            known = self._files[path] = source, read_webinar(source, path)
        return known[1]

    def fingerprint(self, revision_id: int, webinar: Webinar) -> str:
        """`fingerprint` of a revision, computed once."""
        if revision_id not in self._fingerprints:
            self._fingerprints[revision_id] = fingerprint(webinar)
        return self._fingerprints[revision_id]

    def governing(self, conn: Connection) -> dict[str, Governing]:
        """Every webinar that has not ended by the revision that governs it, by id. Only rows that were written since
        the last call are read; after a rollback `forget` them."""
        newest = _newest(conn)
        if newest < self.version:  # the database was set back
            self.forget()
        if newest > self.version:
            columns = (_W.c.webinar, _W.c.revision_id, _W.c.plan, _W.c.status, _R.c.sha256)
            changed = (
                select(*columns).outerjoin(_R, _R.c.id == _W.c.revision_id).where(_W.c.version > self.version)
            )
            for name, revision_id, plan, status, content in conn.execute(changed).all():
                self._governing.pop(name, None)
                if status != ENDED and (webinar := self.get(conn, revision_id)) is not None:
                    self._governing[name] = Governing(webinar, revision_id, plan, content or "")
            self.version = newest
        return dict(sorted(self._governing.items()))

    def forget(self) -> None:
        """What governs is read again."""
        self._governing, self.version, self.compared = {}, 0, 0


@dataclass(frozen=True)
class Waiting:
    """An edit that waits: the revision that governs now, and the one that takes effect at `at` (UTC)."""

    before: Webinar
    after: Webinar
    revision_id: int
    at: datetime


def waiting(conn: Connection, revisions: Revisions) -> list[Waiting]:
    """The edits that wait, by webinar."""
    rows = conn.execute(select(_W).where(_W.c.waiting_id.is_not(None)).order_by(_W.c.webinar)).all()
    return [
        Waiting(before, after, row.waiting_id, row.takes_effect_at)
        for row in rows
        if (before := revisions.get(conn, row.revision_id)) and (after := revisions.get(conn, row.waiting_id))
    ]


def propose(
    conn: Connection,
    now: datetime,
    webinar: Webinar,
    revision_id: int,
    revisions: Revisions,
    return_within: timedelta,
) -> None:
    """Let this revision govern: at once, or after a wait if it would notify people. What waited before does not take
    effect any more."""
    row = conn.execute(select(_W).where(_W.c.webinar == webinar.id)).first()
    if row is None or row.revision_id == revision_id:
        take_effect(conn, webinar, revision_id)
        return
    at, before = now, revisions.get(conn, row.revision_id)
    if _changes_what_people_know(before, webinar) and count_misinformed(conn, now, webinar, return_within):
        at = when_it_takes_effect(now, row.waiting_since or now, row.starts_at, webinar)
    if at <= now:
        take_effect(conn, webinar, revision_id)
        return
    conn.execute(
        _W.update()
        .where(_W.c.webinar == webinar.id)
        .values(waiting_id=revision_id, waiting_since=row.waiting_since or now, takes_effect_at=at)
    )


def _changes_what_people_know(before: Webinar | None, after: Webinar) -> bool:
    """Whether an edit of a live webinar, or one that makes it live, may make untrue what people were told."""
    if after.status != "live":
        return False
    return (
        before is None
        or before.status != "live"
        or facts_of(before, before.join_url) != facts_of(after, after.join_url)
    )


def when_it_takes_effect(
    now: datetime, first_edit: datetime, start_before: datetime, webinar: Webinar
) -> datetime:
    """When an edit made `now` that notifies people takes effect."""
    return takes_effect_at(now, first_edit, webinar.notice_after, (start_before, webinar.start))


def drop_waiting(conn: Connection, webinar: str) -> None:
    """The edit that waits was undone: it never happened."""
    conn.execute(_W.update().where(_W.c.webinar == webinar).values(_NOTHING_WAITS))


_NOTHING_WAITS: Mapping[str, None] = {"waiting_id": None, "waiting_since": None, "takes_effect_at": None}


def let_take_effect(conn: Connection, now: datetime, revisions: Revisions, webinars: Iterable[str]) -> None:
    """Let the waiting edits of these webinars take effect now."""
    rows = conn.execute(select(_W).where(_W.c.waiting_id.is_not(None), _W.c.webinar.in_(list(webinars))))
    for row in rows.all():
        if webinar := revisions.get(conn, row.waiting_id):
            take_effect(conn, webinar, row.waiting_id)
    execute(
        conn,
        "UPDATE registration SET link_since = NULL, link_until = NULL, plan = 0"
        " WHERE webinar IN :webinars AND link_until > :now",
        webinars=list(webinars),
        now=now,
    )


def bring_up_to_date(conn: Connection, now: datetime, revisions: Revisions) -> None:
    """Let take effect what waited long enough; end what ended long ago; have planned again what this program, or its
    tz database, reads otherwise than the plan."""
    due = _W.c.takes_effect_at <= now
    for row in conn.execute(select(_W).where(due).order_by(_W.c.webinar)).all():
        if webinar := revisions.get(conn, row.waiting_id):
            take_effect(conn, webinar, row.waiting_id)
        else:  # sound for another version of this program only: it must not keep mails back for ever
            drop_waiting(conn, row.webinar)
    end_what_is_over(conn, now)
    changed = (_W.c.version > revisions.compared, _W.c.status != ENDED)
    columns = (_W.c.webinar, _W.c.revision_id, _W.c.fingerprint)
    for row in conn.execute(select(*columns).where(*changed).order_by(_W.c.webinar)).all():
        found = revisions.get(conn, row.revision_id)
        if found and revisions.fingerprint(row.revision_id, found) != row.fingerprint:
            take_effect(conn, found, row.revision_id)
    revisions.compared = _newest(conn)


def end_what_is_over(conn: Connection, now: datetime) -> None:
    """End the webinars that nobody needs any more; a new date in the file lets one govern again."""
    over = (text("status <> 'ended'"), _W.c.ends_at <= now - ENDS_AFTER)
    for name in conn.execute(select(_W.c.webinar).where(*over).order_by(_W.c.webinar)).scalars().all():
        values = {"status": ENDED, "version": _next_version(conn)}
        conn.execute(_W.update().where(_W.c.webinar == name).values(values))


def take_effect(conn: Connection, webinar: Webinar, revision_id: int) -> None:
    """Let this revision govern from now on, by the next plan unless nothing that planning reads differs. A webinar
    whose people were removed stays ended, unless it takes place again."""
    before, version = conn.execute(select(_W).where(_W.c.webinar == webinar.id)).first(), _next_version(conn)
    now_says = fingerprint(webinar)
    same = before is not None and before.fingerprint == now_says
    stays_removed = retention.stays_removed(conn, webinar)
    if not stays_removed and (before is None or before.status == ENDED):
        mark_all_changed(conn, webinar.id)
    conn.execute(delete(_W).where(_W.c.webinar == webinar.id))
    conn.execute(
        insert(_W),
        {
            "webinar": webinar.id,
            "revision_id": revision_id,
            "plan": (before.plan if before else 0) + (not same),
            "behind": before.behind if before and same else True,
            "version": version,
            "fingerprint": now_says,
            "starts_at": webinar.start,
            "ends_at": webinar.end,
            "join_url": webinar.join_url,
            "cancelled": webinar.cancelled,
            "status": ENDED if stays_removed else webinar.status,
            "keep_days": webinar.keep_days,
            **_NOTHING_WAITS,
        },
    )


def _next_version(conn: Connection) -> int:
    one_proposer(conn)
    return _newest(conn) + 1


def _newest(conn: Connection) -> int:
    return conn.execute(select(func.max(_W.c.version))).scalar() or 0


_RULE = {
    "id", "on_registration", "before_start", "after_end", "days_before", "days_after", "at", "clock",
    "also_for_registered",
}  # fmt: skip


def fingerprint(webinar: Webinar) -> str:
    """A hash of all that planning reads: times, link, status, rules, and what is known of time zones."""
    rules = [message.model_dump(include=_RULE) for message in webinar.messages]
    said = (
        webinar.start, webinar.end, str(webinar.tz), webinar.join_url, webinar.cancelled, webinar.status, rules,
        knowledge_version(),
    )  # fmt: skip
    return sha256(repr(said).encode()).hexdigest()
