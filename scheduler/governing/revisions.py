"""Which revision of a webinar governs: a row of table `webinar`, the same for every service.

An edit that would notify people waits first, so that a slip can be undone. Until it takes effect the old facts
govern, confirmations are sent with them, and all other mails of the webinar wait.
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
from scheduler.webinar.links import forwards, shared_link
from scheduler.webinar.model import Webinar, read_webinar
from scheduler.webinar.timing import takes_effect_at
from scheduler.webinar.told import facts_of
from scheduler.zones.wall import knowledge_version

ENDED = "ended"
"""The status of a webinar that is no longer planned, sent, checked or alerted about."""
ENDS_AFTER = timedelta(days=31)  # after its end, unless its file sets that status earlier
LOOKING = -1
"""In place of a service's number: a read-only command, whose transactions are rolled back."""

_W = table(GoverningWebinar)
_R = table(WebinarRevision)


class Revisions:
    """A cache of stored revisions, each parsed once as this program reads it, and of those that govern."""

    def __init__(self, pages_url: str = "") -> None:
        """`pages_url`: where registrants reach their pages; "" if there are none."""
        self.pages_url = pages_url
        self._read: dict[int, Webinar | None] = {}
        self._fingerprints: dict[int, str] = {}
        self._files: dict[str, tuple[str, Webinar]] = {}  # by path
        self._governing: dict[str, Governing] = {}
        self.version = 0
        """The highest version in table `webinar` at the last call of `governing`."""
        self.compared = 0
        """The highest version at the last call of `bring_up_to_date`, which compares fingerprints."""

    def get(self, conn: Connection, revision_id: int) -> Webinar | None:
        """The webinar of a stored revision; None if this version of the program cannot read it."""
        if revision_id not in self._read:
            row = conn.execute(select(_R).where(_R.c.id == revision_id)).first()
            try:
                self._read[revision_id] = read_webinar(row.source, row.file) if row else None
            except Problems:
                self._read[revision_id] = None
        return self._read[revision_id]

    def read(self, source: str, path: str) -> Webinar:
        """The webinar that a file describes, parsed only if it has changed. Raises Problems."""
        known = self._files.get(path)
        if known is None or known[0] != source:
            known = self._files[path] = source, read_webinar(source, path)
        return known[1]

    def fingerprint(self, revision_id: int, webinar: Webinar) -> str:
        """`fingerprint` of a revision, computed once."""
        if revision_id not in self._fingerprints:
            self._fingerprints[revision_id] = fingerprint(webinar, self.pages_url)
        return self._fingerprints[revision_id]

    def governing(self, conn: Connection) -> dict[str, Governing]:
        """The governing revision of every webinar that has not ended, by id. Reads only rows written since the last
        call; call `forget` after a rollback."""
        newest = _newest(conn)
        if newest < self.version:  # the database was restored to an earlier state
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

    def last(self, conn: Connection, webinar: str) -> Governing | None:
        """The revision of a webinar that governs, or that governed until it ended."""
        columns = (_W.c.revision_id, _W.c.plan, _R.c.sha256)
        here = select(*columns).outerjoin(_R, _R.c.id == _W.c.revision_id).where(_W.c.webinar == webinar)
        row = conn.execute(here).first()
        found = self.get(conn, row.revision_id) if row else None
        return Governing(found, row.revision_id, row.plan, row.sha256 or "") if row and found else None

    def forget(self) -> None:
        """Read again what governs at the next call of `governing`."""
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


def schedule(
    conn: Connection,
    now: datetime,
    webinar: Webinar,
    revision_id: int,
    revisions: Revisions,
    return_within: timedelta,
) -> None:
    """Let this revision govern at once, or after a wait if it would notify people; it replaces a waiting one."""
    row = conn.execute(select(_W).where(_W.c.webinar == webinar.id)).first()
    pages_url = revisions.pages_url
    if row is None or row.revision_id == revision_id:
        take_effect(conn, webinar, revision_id, pages_url)
        return
    at, before = now, revisions.get(conn, row.revision_id)
    if _changes_what_people_know(before, webinar, pages_url) and count_misinformed(
        conn, now, webinar, return_within, pages_url
    ):
        at = when_it_takes_effect(now, row.waiting_since or now, row.starts_at, webinar)
    if at <= now:
        take_effect(conn, webinar, revision_id, pages_url)
        return
    conn.execute(
        _W.update()
        .where(_W.c.webinar == webinar.id)
        .values(waiting_id=revision_id, waiting_since=row.waiting_since or now, takes_effect_at=at)
    )


def _changes_what_people_know(before: Webinar | None, after: Webinar, pages_url: str) -> bool:
    """Whether an edit of a live webinar, or one that makes it live, may contradict people's mails."""
    if after.status != "live":
        return False
    return (
        before is None
        or before.status != "live"
        or facts_of(before, shared_link(before, pages_url)) != facts_of(after, shared_link(after, pages_url))
    )


def when_it_takes_effect(
    now: datetime, first_edit: datetime, start_before: datetime, webinar: Webinar
) -> datetime:
    """When an edit made `now` that notifies people takes effect, UTC."""
    return takes_effect_at(now, first_edit, webinar.notice_after, (start_before, webinar.start))


def drop_waiting(conn: Connection, webinar: str) -> None:
    """Drop the edit that waits, because it was undone."""
    conn.execute(_W.update().where(_W.c.webinar == webinar).values(_NOTHING_WAITS))


_NOTHING_WAITS: Mapping[str, None] = {"waiting_id": None, "waiting_since": None, "takes_effect_at": None}


def take_effect_now(conn: Connection, now: datetime, revisions: Revisions, webinars: Iterable[str]) -> None:
    """Let the waiting edits of these webinars take effect now."""
    rows = conn.execute(select(_W).where(_W.c.waiting_id.is_not(None), _W.c.webinar.in_(list(webinars))))
    for row in rows.all():
        if webinar := revisions.get(conn, row.waiting_id):
            take_effect(conn, webinar, row.waiting_id, revisions.pages_url)
    execute(
        conn,
        "UPDATE registration SET link_since = NULL, link_until = NULL, plan = 0"
        " WHERE webinar IN :webinars AND link_until > :now",
        webinars=list(webinars),
        now=now,
    )


def bring_up_to_date(conn: Connection, now: datetime, revisions: Revisions) -> None:
    """Let waits end that are over, end webinars whose end is long past, and have webinars planned again whose plan
    this program, or its tz database, computes differently."""
    due = _W.c.takes_effect_at <= now
    for row in conn.execute(select(_W).where(due).order_by(_W.c.webinar)).all():
        if webinar := revisions.get(conn, row.waiting_id):
            take_effect(conn, webinar, row.waiting_id, revisions.pages_url)
        else:  # only another version of this program can read it: it must not keep mails back for ever
            drop_waiting(conn, row.webinar)
    end_what_is_over(conn, now)
    changed = (_W.c.version > revisions.compared, _W.c.status != ENDED)
    columns = (_W.c.webinar, _W.c.revision_id, _W.c.fingerprint)
    for row in conn.execute(select(*columns).where(*changed).order_by(_W.c.webinar)).all():
        found = revisions.get(conn, row.revision_id)
        if found and revisions.fingerprint(row.revision_id, found) != row.fingerprint:
            take_effect(conn, found, row.revision_id, revisions.pages_url)
    revisions.compared = _newest(conn)


def end_what_is_over(conn: Connection, now: datetime) -> None:
    """End the webinars that ended ENDS_AFTER ago. A new date in the file lets one govern again."""
    over = (text("status <> 'ended'"), _W.c.ends_at <= now - ENDS_AFTER)
    for name in conn.execute(select(_W.c.webinar).where(*over).order_by(_W.c.webinar)).scalars().all():
        values = {"status": ENDED, "version": _next_version(conn)}
        conn.execute(_W.update().where(_W.c.webinar == name).values(values))


def take_effect(conn: Connection, webinar: Webinar, revision_id: int, pages_url: str = "") -> None:
    """Let this revision govern, with the next plan number if anything that planning reads differs. A webinar whose
    people were removed stays ended, unless it takes place again."""
    before, version = conn.execute(select(_W).where(_W.c.webinar == webinar.id)).first(), _next_version(conn)
    present = fingerprint(webinar, pages_url)
    same = before is not None and before.fingerprint == present
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
            "fingerprint": present,
            "starts_at": webinar.start,
            "ends_at": webinar.end,
            "join_url": shared_link(webinar, pages_url),
            "forwards": forwards(webinar, pages_url),
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


def fingerprint(webinar: Webinar, pages_url: str = "") -> str:
    """A hash of everything that planning reads: times, link, status, rules, and the knowledge of time zones. The link
    to which a webinar forwards is not part of it: nobody was told that one."""
    rules = [message.model_dump(include=_RULE) for message in webinar.messages]
    read = (
        webinar.start, webinar.end, str(webinar.tz), shared_link(webinar, pages_url), webinar.cancelled,
        webinar.status, rules, knowledge_version(),
    )  # fmt: skip
    return sha256(repr(read).encode()).hexdigest()
