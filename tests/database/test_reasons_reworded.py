"""Reasons that earlier versions stored read as they do now (0011): planning compares them, too."""

from __future__ import annotations

import pytest

from scheduler.database.engine import Database, execute
from tests.database.earlier import made_by
from tests.support import utc

NOW = utc("2025-06-12 08:00")
REASONS = [
    ("skipped", "the webinar is called off", "the webinar is cancelled"),
    ("cancelled", "the webinar is called off", "the webinar is cancelled"),
    ("skipped", "no longer of use when it was planned", "no longer useful when it was planned"),
    ("expired", "no longer of use", "no longer useful"),
    ("expired", "no longer of use; was held: template", "no longer useful; was held: template"),
    ("cancelled", "what the person was told is true", "what the person last read is still true"),
    ("skipped", "due before it was planned", "due before it was planned"),
    ("failed", "550 the mailbox is no longer of use", "550 the mailbox is no longer of use"),
    ("sent", "", ""),
]


@pytest.fixture
def migrated(database: Database) -> list[tuple[str, str]]:
    made_by(database, "0009")
    with database.transaction() as conn:
        for number, (state, before, _) in enumerate(REASONS):
            execute(
                conn,
                "INSERT INTO delivery (registration_id, webinar, message, edition, state, reason, urgency, due_at,"
                " expires_at, next_attempt_at, attempts, planned_at)"
                " VALUES (:id, 'w', 'confirmation', 0, :state, :reason, 0, :now, :now, :now, 0, :now)",
                id=number, state=state, reason=before, now=NOW,
            )  # fmt: skip
    database.migrate()
    with database.reading() as conn:
        rows = execute(conn, "SELECT state, reason FROM delivery ORDER BY registration_id").all()
    return [(row.state, row.reason) for row in rows]


def test_stored_reasons_have_the_words_of_today(migrated: list[tuple[str, str]]) -> None:
    assert migrated == [(state, after) for state, _, after in REASONS]
