"""Checks and restores the triggers and index of `registrants`, and finds changes that the triggers missed.

The table belongs to others. A migration of theirs may rebuild it without our triggers, and a load may run with triggers
disabled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from scheduler.database.engine import Database, dialect, execute
from scheduler.faults import fault
from scheduler.readiness import Kind, Reason
from scheduler.registrants.again import note_changes, replan
from scheduler.registrants.rows import HERE, Registrants, RegistrantsUnreadable, has_index

log = structlog.get_logger()

AT_ONCE = 50_000  # rows that were missed, read by one query
_NOT_NOTICED = "changes of registrants are not noticed"
_INDEX = "CREATE UNIQUE INDEX registrants_one_address ON registrants (webinar, lower(email))"

# 'R' is a row that an INSERT or UPDATE may replace: SQLite fires no delete trigger for it. The webinar is cut to a
# length that fits an index.
_SQLITE = """
CREATE TRIGGER registrants_inserted AFTER INSERT ON registrants
BEGIN INSERT INTO registrant_change (registrant_id, operation, webinar)
VALUES (NEW.id, 'I', coalesce(CAST(substr(NEW.webinar, 1, 64) AS TEXT), '')); END

CREATE TRIGGER registrants_replaced BEFORE INSERT ON registrants
BEGIN INSERT INTO registrant_change (registrant_id, operation, webinar)
SELECT id, 'R', coalesce(CAST(substr(webinar, 1, 64) AS TEXT), '') FROM registrants
WHERE id = NEW.id OR webinar = NEW.webinar AND lower(email) = lower(NEW.email); END

CREATE TRIGGER registrants_updated_over BEFORE UPDATE OF webinar, email ON registrants
BEGIN INSERT INTO registrant_change (registrant_id, operation, webinar)
SELECT id, 'R', coalesce(CAST(substr(webinar, 1, 64) AS TEXT), '') FROM registrants
WHERE id <> OLD.id AND webinar = NEW.webinar AND lower(email) = lower(NEW.email); END

CREATE TRIGGER registrants_updated AFTER UPDATE ON registrants WHEN OLD.id = NEW.id
BEGIN INSERT INTO registrant_change (registrant_id, operation, webinar)
VALUES (NEW.id, 'U', coalesce(CAST(substr(NEW.webinar, 1, 64) AS TEXT), '')); END

CREATE TRIGGER registrants_renumbered AFTER UPDATE OF id ON registrants WHEN OLD.id <> NEW.id
BEGIN INSERT INTO registrant_change (registrant_id, operation, webinar)
VALUES (OLD.id, 'D', coalesce(CAST(substr(OLD.webinar, 1, 64) AS TEXT), '')),
(NEW.id, 'I', coalesce(CAST(substr(NEW.webinar, 1, 64) AS TEXT), '')); END

CREATE TRIGGER registrants_deleted AFTER DELETE ON registrants
BEGIN INSERT INTO registrant_change (registrant_id, operation, webinar)
VALUES (OLD.id, 'D', coalesce(CAST(substr(OLD.webinar, 1, 64) AS TEXT), '')); END
"""
_POSTGRESQL = """
CREATE TRIGGER registrants_changed AFTER INSERT OR UPDATE OR DELETE ON registrants
FOR EACH ROW EXECUTE FUNCTION registrants_changed()

CREATE TRIGGER registrants_truncated AFTER TRUNCATE ON registrants
FOR EACH STATEMENT EXECUTE FUNCTION registrants_changed()

CREATE TRIGGER registrants_notify AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON registrants
FOR EACH STATEMENT EXECUTE FUNCTION registrants_notify()
"""


def _named(script: str) -> dict[str, str]:
    """Each CREATE TRIGGER, by the name of its trigger. A blank line ends a statement."""
    statements = [" ".join(one.split()) for one in script.split("\n\n")]
    return {one.split()[2]: one for one in statements}


TRIGGERS = {"sqlite": _named(_SQLITE), "postgresql": _named(_POSTGRESQL)}
"""SQL of each trigger, by engine and name. The trigger functions on PostgreSQL are not tied to the table and stay."""


class _Repair(NamedTuple):
    """A defect of `registrants`, in words, and the SQL that repairs it."""

    reason: str
    sql: str
    kind: Kind = Kind.TRIGGER  # without which changes are not noticed


def check_intake(database: Database) -> tuple[Reason, ...]:
    """Restore what `registrants` lacks so that its changes are noticed, and note rows that were missed.

    Returns what a person must do. Reads all ids of the table in a transaction that
    keeps nobody waiting, and writes in short ones.
    """
    with database.reading() as conn:
        try:
            Registrants(conn)
        except RegistrantsUnreadable as reason:
            return (Reason(reason.kind, str(reason)),)
        lacking = list(_lacking(conn))
    failures = [(one, _restore(database, one)) for one in lacking]
    if any(one.kind is Kind.TRIGGER and not failure for one, failure in failures):
        _replan_all(database)
    else:
        _mark_missed(database)
    return tuple(Reason(one.kind, failure) for one, failure in failures if failure)


def _lacking(conn: Connection) -> Iterator[_Repair]:
    enabled = dialect(conn).triggers(conn, "registrants")
    for name, sql in TRIGGERS[conn.dialect.name].items():
        if name not in enabled:
            yield _Repair(f"{_NOT_NOTICED}: trigger {name} is missing", sql)
        elif not enabled[name]:
            enable = f"ALTER TABLE registrants ENABLE TRIGGER {name}"
            yield _Repair(f"{_NOT_NOTICED}: trigger {name} is disabled", enable)
    if not has_index(conn):
        lost = "registrants has lost its unique index on addresses: one address may register twice"
        yield _Repair(lost, _INDEX, Kind.INDEX)


def _restore(database: Database, lacking: _Repair) -> str:
    """Execute a repair. Returns why it failed, with the SQL for the table's owner; "" on success."""
    try:
        with database.transaction() as conn:
            database.dialect.limit_lock_wait(conn)
            conn.exec_driver_sql(lacking.sql)
    except DBAPIError as error:
        then = ", then `webinar replan`" if lacking.kind is Kind.TRIGGER else ""
        can = f"the table's owner can: {lacking.sql}{then}"
        return f"{lacking.reason}; the service could not restore it ({fault(error)}), {can}"
    log.warning("restored", lacked=lacking.reason)
    return ""


def _replan_all(database: Database) -> None:
    """Mark all rows as changed: an UPDATE without a trigger leaves no other trace."""
    with database.reading() as conn:
        webinars = list(
            execute(conn, "SELECT webinar FROM webinar WHERE status <> 'ended' ORDER BY webinar").scalars()
        )
    rows = sum(replan(database, webinar) for webinar in webinars)
    log.warning("absorbing all rows again", rows=rows)


# EXCEPT, not anti-joins: PostgreSQL runs those as nested loops where statistics say that a table is empty.
_MISSED = {
    "": "SELECT r.id FROM registrants r JOIN webinar w ON w.webinar = r.webinar AND w.status <> 'ended'"
        f" UNION ALL SELECT {HERE} - s.id FROM signup s JOIN webinar w ON w.webinar = s.webinar AND w.status <> 'ended'"
        " WHERE s.state = 'registered'"
        " EXCEPT SELECT registrant_id FROM registration EXCEPT SELECT registrant_id FROM row_set_aside"
        " EXCEPT SELECT registrant_id FROM registrant_change LIMIT :limit",
    "D": "SELECT g.registrant_id FROM registration g JOIN webinar w ON w.webinar = g.webinar AND w.status <> 'ended'"
         " WHERE g.registrant_id IS NOT NULL UNION SELECT registrant_id FROM row_set_aside"
         f" EXCEPT SELECT id FROM registrants EXCEPT SELECT {HERE} - id FROM signup WHERE state = 'registered'"
         " EXCEPT SELECT registrant_id FROM registrant_change LIMIT :limit",
}  # fmt: skip
"""By operation: rows that are neither registrations nor set aside, and references to rows that are gone."""


def _mark_missed(database: Database) -> None:
    for operation, query in _MISSED.items():
        more = True
        while more:
            with database.reading() as conn:
                missed = list(execute(conn, query, limit=AT_ONCE).scalars())
            for first in range(0, len(missed), _PIECE):
                with database.transaction() as conn:
                    note_changes(conn, missed[first : first + _PIECE], operation)
            more = len(missed) == AT_ONCE
            if missed:
                log.warning("rows of registrants were not noticed", rows=len(missed))


_PIECE = 2000  # rows marked in one transaction
