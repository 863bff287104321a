"""What each person was told, and whether it is still true: notices follow from nothing else.

A row of `told` is written before a mail may go out, kept while the mail is under way or in doubt, and cleared once a
relay has accepted a later mail. A mail that was refused or deferred told nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from scheduler.database.dialect import Dialect
from scheduler.database.engine import dialect, run
from scheduler.database.models import Told as ToldRow
from scheduler.told import Told
from scheduler.webinar import CANCELLATION, CHANGE, NOTICES, Webinar

LINK = "CASE WHEN r.join_url <> '' THEN r.join_url ELSE w.join_url END"
"""SQL: the link of a registration r to the webinar w."""
MOVED = (
    "(t.cancelled <> w.cancelled OR NOT w.cancelled AND (t.starts_at IS NULL OR t.ends_at IS NULL"
    " OR t.starts_at <> w.starts_at OR t.ends_at <> w.ends_at))"
)
"""SQL: whether a row t of `told` says another time than w, or another status."""
DIFFERS = f"({MOVED} OR NOT w.cancelled AND t.join_url <> {LINK})"
"""SQL: whether a row t of `told` says anything that is not true for the registration r of the webinar w."""


def facts_of(webinar: Webinar, join_url: str) -> Told:
    """What is true for somebody with this link."""
    if webinar.cancelled:
        return Told(None, None, "", cancelled=True)
    return Told(webinar.start, webinar.end, join_url)


@dataclass(frozen=True)
class Mail:
    """One attempt of a delivery to the holder of a UID: what `told` knows a mail by."""

    uid: str
    delivery_id: int
    lease_token: str


@dataclass(frozen=True)
class Telling:
    """A mail that is about to go out, and what it tells its reader."""

    mail: Mail
    told: Told
    invited: bool
    """Whether it carries an invitation, or is a notice: such a mail counts for more than others."""


_MAIL = {"uid": "text", "delivery_id": "bigint", "lease_token": "text"}
_TELLING = _MAIL | {
    "starts_at": "timestamptz", "ends_at": "timestamptz", "join_url": "text", "cancelled": "boolean",
    "invited": "boolean",
}  # fmt: skip
_SAME_MAIL = "t.uid = n.uid AND t.delivery_id = n.delivery_id AND t.lease_token = n.lease_token"


def tell(conn: Connection, tellings: Sequence[Telling]) -> None:
    """Write down what these mails tell, before they may go out. Idempotent.

    A mail that only repeats the one thing that its reader was told for certain needs no row.
    """
    engine = dialect(conn)
    rows = [
        (one.mail.uid, one.mail.delivery_id, one.mail.lease_token, _written(engine, one.told.start),
         _written(engine, one.told.end), one.told.join_url, one.told.cancelled, one.invited)
        for one in tellings
    ]  # fmt: skip
    names = ", ".join(_TELLING)
    run(
        conn,
        f"INSERT INTO told ({names}, accepted) SELECT {names}, FALSE FROM {engine.rows('tellings', _TELLING)} AS n"
        f" WHERE NOT EXISTS (SELECT 1 FROM told t WHERE {_SAME_MAIL})"
        " AND NOT (EXISTS (SELECT 1 FROM told t WHERE t.uid = n.uid AND t.accepted AND (t.invited OR NOT n.invited)"
        "   AND t.cancelled = n.cancelled AND t.join_url = n.join_url AND (n.cancelled"
        "   OR t.starts_at = n.starts_at AND t.ends_at = n.ends_at))"
        "  AND (SELECT count(*) FROM told t WHERE t.uid = n.uid) = 1)",
        tellings=json.dumps(rows),
    )


def accepted(conn: Connection, mails: Sequence[Mail]) -> None:
    """A relay accepted these mails: what earlier mails told counts no more. For whoever was sent an invitation the
    last one counts, not a later mail without."""
    found = run(
        conn,
        f"UPDATE told SET accepted = TRUE WHERE NOT accepted AND id IN ({_theirs(conn)}) RETURNING id",
        mails=_listed(mails),
    )
    if now := list(found.scalars()):
        run(
            conn,
            "DELETE FROM told WHERE id IN (SELECT t.id FROM told n JOIN told t ON t.uid = n.uid WHERE n.id IN :now"
            " AND (t.id < n.id AND (n.invited OR NOT t.invited) OR t.id = n.id AND NOT n.invited"
            "  AND EXISTS (SELECT 1 FROM told i WHERE i.uid = n.uid AND i.invited AND i.accepted)))",
            now=now,
        )


def refused(conn: Connection, mails: Sequence[Mail]) -> None:
    """No relay took these mails: they told nothing."""
    run(conn, f"DELETE FROM told WHERE NOT accepted AND id IN ({_theirs(conn)})", mails=_listed(mails))


def _theirs(conn: Connection) -> str:
    engine = dialect(conn)
    return f"SELECT t.id FROM {engine.rows('mails', _MAIL)} AS n {engine.join_next} told t ON {_SAME_MAIL}"


def _listed(mails: Sequence[Mail]) -> str:
    return json.dumps([(one.uid, one.delivery_id, one.lease_token) for one in mails])


def _written(engine: Dialect, instant: datetime | None) -> str | None:
    return engine.written(instant) if instant else None


def plan_who_was_told_otherwise(conn: Connection, registration_ids: Iterable[int]) -> None:
    """Have these people planned again if what they were told is not true: an edit may have been planned while their
    mail was under way."""
    run(
        conn,
        "UPDATE registration SET plan = 0 WHERE id IN (SELECT r.id FROM registration r"
        " JOIN webinar w ON w.webinar = r.webinar JOIN told t ON t.uid = r.uid"
        f" WHERE r.id IN :ids AND r.plan <> 0 AND {DIFFERS})",
        ids=sorted(set(registration_ids)),
    )


def last_told(conn: Connection, uids: Sequence[str]) -> dict[str, Told]:
    """What each of these people was last told, for certain if anything was. What is not known is left out."""
    table = ToldRow.__table__  # type: ignore[attr-defined]
    rows = conn.execute(select(table).where(table.c.uid.in_(uids)).order_by(table.c.accepted, table.c.id))
    return {
        row.uid: Told(row.starts_at, row.ends_at, row.join_url, row.cancelled)
        for row in rows
        if row.cancelled or row.starts_at is not None
    }


def people_told_otherwise(conn: Connection, now: datetime, webinar: Webinar, return_within: timedelta) -> int:
    """How many people would be notified if this governed: who was told something else. People whose rows are gone for
    less than `return_within` count, as in the middle of a reload."""
    if webinar.end <= now:
        return 0
    true = facts_of(webinar, webinar.join_url)
    differs = DIFFERS.replace("w.starts_at", ":start").replace("w.ends_at", ":end")
    differs = differs.replace("w.cancelled", ":cancelled").replace("w.join_url", ":link")
    return int(
        run(
            conn,
            "SELECT count(*) FROM registration r WHERE r.webinar = :webinar"
            " AND (r.gone_at IS NULL OR r.gone_at > :gone_since)"
            " AND NOT EXISTS (SELECT 1 FROM suppression s WHERE s.address_folded = r.address_folded)"
            f" AND EXISTS (SELECT 1 FROM told t WHERE t.uid = r.uid AND {differs})"
            # Nobody's last notice is repeated, however it ended.
            " AND NOT EXISTS (SELECT 1 FROM delivery l WHERE l.registration_id = r.id AND l.message IN :notices"
            " AND l.state NOT IN ('cancelled', 'pending')"
            " AND (:cancelled AND l.message = :cancellation OR NOT :cancelled AND l.message = :change"
            "  AND l.for_start = :start AND l.for_end = :end"
            "  AND l.for_link = CASE WHEN r.join_url <> '' THEN r.join_url ELSE :link END)"
            " AND NOT EXISTS (SELECT 1 FROM delivery z WHERE z.registration_id = r.id AND z.message IN :notices"
            "  AND z.state <> 'cancelled' AND z.id > l.id))",
            notices=NOTICES,
            cancellation=CANCELLATION,
            change=CHANGE,
            webinar=webinar.id,
            gone_since=now - return_within,
            start=true.start or now,
            end=true.end or now,
            cancelled=true.cancelled,
            link=true.join_url,
        ).scalar_one()
    )
