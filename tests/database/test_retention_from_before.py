"""Migration 0015: what was kept before it is not removed within 30 days, and former UIDs are known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from scheduler.database.engine import Database, execute
from scheduler.database.models import Instant
from tests.database.earlier import made_by
from tests.support import utc

NOW = utc("2025-06-12 08:00")


def test_an_upgrade_puts_off_the_first_removal_of_who_is_there(database: Database) -> None:
    made_by(database, "0014")
    with database.transaction() as conn:
        for webinar in ("w", "empty"):
            execute(
                conn,
                "INSERT INTO webinar (webinar, revision_id, plan, fingerprint, starts_at, ends_at, join_url, cancelled)"
                " VALUES (:webinar, 1, 1, '', :now, :now, '', FALSE)",
                webinar=webinar,
                now=NOW,
            )
        number = execute(
            conn,
            "INSERT INTO registration (webinar, address, address_folded, uid, first_seen_at)"
            " VALUES ('w', 'a@example.org', 'a@example.org', 'new', :now) RETURNING id",
            now=NOW,
        ).scalar_one()
        for sequence, uid in enumerate(("old", "new")):
            execute(
                conn,
                "INSERT INTO invitation (registration_id, uid, sequence, method, dtstamp, says, calendar)"
                " VALUES (:number, :uid, :sequence, 'REQUEST', :now, '', :calendar)",
                number=number,
                uid=uid,
                sequence=sequence,
                now=NOW,
                calendar=b"",
            )
        execute(
            conn,
            "INSERT INTO delivery (id, registration_id, webinar, message, edition, state, reason, urgency, due_at,"
            " expires_at, next_attempt_at, attempts, message_id, planned_at)"
            " VALUES (7, :number, 'w', 'confirmation', 0, 'sent', '', 0, :now, :now, :now, 1, '', :now)",
            number=number,
            now=NOW,
        )
        execute(
            conn,
            "INSERT INTO told (uid, delivery_id, lease_token, join_url, cancelled, invited, accepted)"
            " VALUES ('older', 7, '', '', FALSE, FALSE, TRUE)",
        )

    database.migrate()

    with database.transaction() as conn:
        purge = conn.execute(
            text("SELECT webinar, not_before FROM purge").columns(not_before=Instant())
        ).all()
        assert [row.webinar for row in purge] == ["w"]
        assert timedelta(days=29) < purge[0].not_before - datetime.now(UTC) <= timedelta(days=30)
        assert execute(conn, "SELECT keep_days FROM webinar").scalars().all() == [90, 90]
        former = execute(conn, "SELECT uid, registration_id FROM former_uid ORDER BY uid").all()
        assert [tuple(row) for row in former] == [("old", number), ("older", number)]
        assert len(execute(conn, "SELECT value FROM secret WHERE name = 'forgotten'").scalar_one()) == 64
