"""Migration 0007 (`told`) on a database of the previous version, with mails in every state."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from scheduler.database.engine import Database
from scheduler.mail.writing.invitation import invitation
from scheduler.webinar.model import Webinar
from tests.database.earlier import made_by
from tests.support import Ledger, toml, utc, webinar

pytestmark = pytest.mark.engines("sqlite")

JUNE, LATER = utc("2025-06-12 08:00"), utc("2025-06-13 08:00")
OLD = {"start": datetime(2025, 7, 1, 13), "end": datetime(2025, 7, 1, 15)}
MOVED = {"start": datetime(2025, 7, 10, 13), "end": datetime(2025, 7, 10, 15)}
STATES = ("pending", "sending", "sent", "in_doubt", "failed", "expired", "skipped", "held")
TOLD = {"sending", "sent", "in_doubt"}


class Before:
    """A database of the version before, planned from the webinar as it is in these tests."""

    def __init__(self, database: Database) -> None:
        self.ledger = Ledger(database)
        made_by(database, "0006")
        one = webinar()
        self.sql(
            "INSERT INTO webinar_revision (webinar, file, sha256, source, sound_since)"
            " VALUES ('w', 'w.toml', 'x', :source, :now)",
            source=toml(), now=JUNE,
        )  # fmt: skip
        self.sql(
            "INSERT INTO planned_webinar (webinar, revision, tz_version, zone, starts_at, ends_at, join_url, cancelled)"
            " VALUES ('w', 'x', 'x', 'Europe/Zurich', :start, :end, :link, FALSE)",
            start=one.start, end=one.end, link=one.join_url,
        )  # fmt: skip
        for message in one.messages:
            self.sql(
                "INSERT INTO planned_message (webinar, message, on_registration, in_sequence)"
                " VALUES ('w', :message, :at_once, TRUE)",
                message=message.id, at_once=message.on_registration,
            )  # fmt: skip

    def sql(self, statement: str, **values: Any) -> list[Any]:
        return self.ledger.sql(statement, **values)

    def person(self, name: str, link: str = "") -> int:
        row = self.ledger.register(f"{name}@example.org", join_url=link or None)
        return int(
            self.sql(
                "INSERT INTO registration (webinar, registrant_id, address, address_folded, uid, zone, join_url,"
                " first_seen_at, replan) VALUES ('w', :row, :email, :email, :uid, 'Europe/Zurich', :link, :now, FALSE)"
                " RETURNING id",
                row=row, email=f"{name}@example.org", uid=f"{name}@who.int", link=link, now=JUNE,
            )[0][0]
        )  # fmt: skip

    def mail(
        self, person: int, message: str, state: str, at: datetime | None = None, edition: int = 0
    ) -> None:
        """A delivery; with an attempt at that time, if it is given."""
        urgency = int(message.startswith("reminder"))
        (row,) = self.sql(
            "INSERT INTO delivery (registration_id, webinar, message, edition, state, urgency, due_at, expires_at,"
            " next_attempt_at, attempts, planned_at) VALUES (:id, 'w', :message, :edition, :state, :urgency, :now,"
            " :end, :now, 0, :now) RETURNING id",
            id=person, message=message, edition=edition, state=state, urgency=urgency, now=JUNE,
            end=utc("2025-07-03 13:00"),
        )  # fmt: skip
        if at:
            outcome = {"sending": "", "failed": "refused"}.get(state, state)
            self.sql(
                "INSERT INTO attempt (delivery_id, text_revision, started_at, outcome, code, lease_token)"
                " VALUES (:id, 1, :at, :outcome, 0, 'token')",
                id=row.id, at=at, outcome=outcome,
            )  # fmt: skip

    def version(
        self, person: int, name: str, sequence: int, at: datetime, one: Webinar, link: str = ""
    ) -> None:
        calendar = invitation(
            uid=f"{name}@who.int", sequence=sequence, dtstamp=at, created=JUNE, webinar=one, language="en",
            join_url=link or one.join_url, name="", address=f"{name}@example.org",
        )  # fmt: skip
        self.sql(
            "INSERT INTO invitation (registration_id, uid, sequence, method, dtstamp, says, calendar)"
            " VALUES (:id, :uid, :sequence, 'REQUEST', :at, '', :calendar)",
            id=person, uid=f"{name}@who.int", sequence=sequence, at=at, calendar=calendar,
        )  # fmt: skip

    def migrate_and_plan(self, **changed: Any) -> None:
        self.sql("DELETE FROM registrant_change")
        self.ledger.database.migrate()
        self.ledger.govern(webinar(**changed))
        self.ledger.plan(LATER)

    def notices(self) -> set[str]:
        return {
            one["address"].partition("@")[0]
            for one in self.ledger.deliveries()
            if (one["message"], one["state"]) == ("change", "pending")
        }


@pytest.fixture
def before(database: Database) -> Before:
    return Before(database)


def _everybody(before: Before) -> None:
    for state in STATES:
        before.mail(before.person(state), "confirmation", state)
    gone = before.person("gone")
    before.mail(gone, "confirmation", "cancelled")
    before.sql(
        "UPDATE registration SET registrant_id = NULL, gone_at = :now WHERE id = :id", now=JUNE, id=gone
    )


def test_nobody_is_notified_by_the_migration_and_every_state_stays(before: Before) -> None:
    _everybody(before)
    rows = before.sql("SELECT id, message, edition, state FROM delivery ORDER BY id")
    uids = before.sql("SELECT id, uid FROM registration ORDER BY id")
    before.migrate_and_plan()
    assert before.notices() == set()
    assert before.sql("SELECT id, message, edition, state FROM delivery WHERE id <= :last ORDER BY id",
                      last=rows[-1].id) == rows  # fmt: skip
    assert before.sql("SELECT id, uid FROM registration ORDER BY id") == uids


def test_the_next_edit_notifies_whom_a_mail_went_to(before: Before) -> None:
    _everybody(before)
    before.migrate_and_plan(**MOVED)
    assert before.notices() == TOLD - {"sending"}, "who is being written to is planned when that has ended"


def test_a_notice_that_is_pending_stays_the_only_one(before: Before) -> None:
    for name, known in (("invited", True), ("told", False)):
        person = before.person(name)
        before.mail(person, "confirmation", "sent", JUNE)
        if known:
            before.version(person, name, 0, JUNE, webinar(**OLD))
        before.mail(person, "change", "pending", edition=1)
    before.migrate_and_plan()
    states = before.sql("SELECT state, edition FROM delivery WHERE message = 'change'")
    assert [tuple(one) for one in states] == [("pending", 1), ("pending", 1)]


@pytest.mark.engines("both")
def test_what_the_last_accepted_invitation_said_was_told(before: Before) -> None:
    missed = before.person("missed")
    before.version(missed, "missed", 0, JUNE, webinar(**OLD))
    before.mail(missed, "confirmation", "sent", JUNE)
    knows = before.person("knows")
    before.version(knows, "knows", 0, JUNE, webinar(**OLD))
    before.mail(knows, "confirmation", "sent", JUNE)
    before.version(knows, "knows", 1, JUNE + timedelta(hours=1), webinar())
    before.mail(knows, "change", "sent", JUNE + timedelta(hours=1), edition=1)
    doubts = before.person("doubts")
    before.version(doubts, "doubts", 0, JUNE, webinar())
    before.mail(doubts, "confirmation", "sent", JUNE)
    before.version(doubts, "doubts", 1, JUNE + timedelta(hours=1), webinar(**OLD))
    before.mail(doubts, "reminder-day", "sent", JUNE + timedelta(hours=2))
    before.mail(doubts, "hello", "in_doubt", JUNE + timedelta(hours=1))
    before.migrate_and_plan()
    assert before.notices() == {"missed", "doubts"}


def test_a_link_of_ones_own_is_read_from_the_entry_however_it_is_folded(before: Before) -> None:
    link = "https://meet.who.int/j/" + "0123456789" * 12 + "?a=1,2;3"
    person = before.person("own", link)
    before.version(person, "own", 0, JUNE, webinar(), link)
    before.mail(person, "confirmation", "sent", JUNE)
    before.migrate_and_plan()
    assert before.notices() == set()


@pytest.mark.engines("both")
def test_people_confirmed_elsewhere_count_as_told(before: Before) -> None:
    before.person("elsewhere")
    before.sql(
        "INSERT INTO confirmed_elsewhere (webinar, address_folded) VALUES ('w', 'elsewhere@example.org')"
    )
    before.migrate_and_plan(**MOVED)
    assert before.notices() == {"elsewhere"}
