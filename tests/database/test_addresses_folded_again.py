"""Migration 0006, which folds addresses in another way: rows that now coincide or differ, on both engines."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from alembic import command
from sqlalchemy import select

from scheduler.database.engine import Database
from scheduler.database.models import Suppression, table
from tests.database.earlier import CONFIG, made_by
from tests.support import Ledger, utc, webinar

pytestmark = pytest.mark.engines("sqlite")

ANNOUNCED, LATER = utc("2025-06-12 08:00"), utc("2025-06-13 08:00")
SHARED = "another row of this webinar has the same address"


class Before:
    """A database of the version before, in which addresses were folded by casefold."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.ledger = Ledger(database)
        made_by(database, "0005")

    def sql(self, statement: str, **values: Any) -> list[Any]:
        return self.ledger.sql(statement, **values)

    def row(self, email: str) -> int:
        """A row of `registrants` that the service has looked at."""
        number = self.ledger.register(email)
        self.sql("DELETE FROM registrant_change")
        return number

    def person(self, email: str, state: str = "sent", gone_at: datetime | None = None) -> int:
        """A registration whose confirmation is in that state; with a row of its own unless it is gone."""
        number = int(
            self.sql(
                "INSERT INTO registration (webinar, registrant_id, address, address_folded, uid, zone, first_seen_at,"
                " gone_at, replan) VALUES ('w', :row, :email, :folded, :uid, 'Europe/Zurich', :now, :gone, FALSE)"
                " RETURNING id",
                row=None if gone_at else self.row(email), email=email, folded=email.strip().casefold(),
                uid=f"{email.encode().hex()}@who.int", now=ANNOUNCED, gone=gone_at,
            )[0][0]
        )  # fmt: skip
        self.delivery(number, "confirmation", state)
        return number

    def delivery(self, registration: int, message: str, state: str) -> int:
        at = ANNOUNCED if message == "confirmation" else utc("2025-07-02 07:00")
        return int(
            self.sql(
                "INSERT INTO delivery (registration_id, webinar, message, edition, state, urgency, due_at, expires_at,"
                " next_attempt_at, attempts, planned_at) VALUES (:id, 'w', :message, 0, :state, 0, :at, :end, :at, 0,"
                " :at) RETURNING id",
                id=registration, message=message, state=state, at=at, end=utc("2025-07-03 13:00"),
            )[0][0]
        )  # fmt: skip

    def aside(self, email: str, reason: str = SHARED) -> int:
        row = self.row(email)
        self.sql(
            "INSERT INTO row_set_aside (registrant_id, webinar, reason, seen_at) VALUES (:row, 'w', :why, :now)",
            row=row, why=reason, now=ANNOUNCED,
        )  # fmt: skip
        return row

    def suppress(self, address: str, since: datetime = ANNOUNCED) -> None:
        self.sql(
            "INSERT INTO suppression (address_folded, since) VALUES (:folded, :since)",
            folded=address.casefold(),
            since=since,
        )

    def migrate(self) -> None:
        with self.database.engine.begin() as conn:
            CONFIG.attributes["connection"] = conn
            command.upgrade(CONFIG, "0006")

    def plan(self, now: datetime = LATER) -> None:
        """As the service does when it has started."""
        self.database.migrate()
        self.ledger.govern(webinar())
        self.ledger.plan(now)

    def folded(self) -> list[str]:
        return [row[0] for row in self.sql("SELECT address_folded FROM registration ORDER BY id")]

    def flagged(self) -> list[str]:
        """Whose registrations are planned again."""
        return [row[0] for row in self.sql("SELECT address FROM registration WHERE replan ORDER BY id")]

    def suppressed(self) -> dict[str, datetime]:
        with self.database.reading() as conn:
            suppressions = table(Suppression)
            wanted = select(suppressions.c.address_folded, suppressions.c.since)
            return {row.address_folded: row.since for row in conn.execute(wanted)}

    def confirmations(self) -> list[tuple[str, str]]:
        """To whom, and in what state, but for those that never go out."""
        return [
            (one["address"], one["state"])
            for one in self.ledger.deliveries()
            if one["message"] == "confirmation" and one["state"] not in ("cancelled", "skipped")
        ]

    def set_aside(self) -> dict[int, str]:
        return dict(map(tuple, self.sql("SELECT registrant_id, reason FROM row_set_aside")))


@pytest.fixture
def before(database: Database) -> Before:
    return Before(database)


KEPT = {
    "registrants": "id, webinar, email, name, language, timezone, country, join_url, registered_at",
    "registration": "id, webinar, registrant_id, address, uid, name, zone, first_seen_at, gone_at",
    "delivery": "id, registration_id, webinar, message, edition, state, reason, urgency, due_at, expires_at,"
    " next_attempt_at, attempts, lease_token, message_id, sent_at, planned_at",
    "attempt": "id, delivery_id, relay, address, outcome, code, reply",
    "invitation": "id, registration_id, uid, sequence, method, dtstamp, says, calendar",
}
STATES = ("pending", "sending", "sent", "in_doubt", "failed", "expired", "skipped", "cancelled", "held")


def _everything(before: Before) -> dict[str, list[Any]]:
    return {
        table: before.sql(f"SELECT {columns} FROM {table} ORDER BY id") for table, columns in KEPT.items()
    }


@pytest.mark.engines("both")
def test_every_registration_uid_sequence_and_state_is_kept(before: Before) -> None:
    addresses = ["anna@example.org", "bo@münchen.de", "x@straße.de", "用户@例子.广告", "x@foo_bar.example"]
    for address in addresses:
        person = before.person(address)
        for state in STATES:
            before.delivery(person, f"reminder-{state}", state)
        before.sql(
            "INSERT INTO invitation (registration_id, uid, sequence, dtstamp, calendar)"
            " VALUES (:id, :uid, 3, :now, :entry)",
            id=person, uid=f"{person}@who.int", now=ANNOUNCED, entry=b"BEGIN:VCALENDAR",
        )  # fmt: skip
        before.sql(
            "INSERT INTO attempt (delivery_id, address, text_revision, started_at, outcome, code)"
            " VALUES (:id, :address, 1, :now, 'sent', 250)",
            id=person, address=address, now=ANNOUNCED,
        )  # fmt: skip
    kept = _everything(before)

    before.migrate()

    assert _everything(before) == kept
    assert before.folded() == [
        "anna@example.org", "bo@xn--mnchen-3ya.de", "x@xn--strae-oqa.de", "用户@xn--fsqu00a.xn--4rr70v",
        "x@foo_bar.example",
    ]  # fmt: skip


def test_only_those_whose_form_is_another_one_are_planned_again(before: Before) -> None:
    before.person("anna@example.org")
    before.person("élodie@example.org")
    before.person("bo@münchen.de")
    before.migrate()
    assert before.flagged() == ["bo@münchen.de"]


def test_planning_goes_on_as_if_nothing_had_been(before: Before) -> None:
    before.person("bo@münchen.de")
    before.person("x@straße.de", "pending")
    before.migrate()
    before.sql("UPDATE registrants SET name = 'Bo'")
    before.plan()
    assert before.confirmations() == [("bo@münchen.de", "sent"), ("x@straße.de", "pending")]


# Registrations that coincide

WIDE, PLAIN = "a@ｗｈｏ.int", "a@who.int"


@pytest.mark.parametrize(
    ("wide", "plain", "confirmed"),
    [
        ("sent", "sent", [(WIDE, "sent"), (PLAIN, "sent")]),
        ("sent", "pending", [(WIDE, "sent")]),
        ("pending", "sent", [(PLAIN, "sent")]),
        ("pending", "in_doubt", [(PLAIN, "in_doubt")]),
        ("pending", "pending", [(WIDE, "pending")]),
        ("failed", "pending", [(WIDE, "failed")]),
    ],
)
def test_two_registrations_with_one_address_get_no_second_confirmation(
    before: Before, wide: str, plain: str, confirmed: list[tuple[str, str]]
) -> None:
    before.person(WIDE, wide)
    before.person(PLAIN, plain)
    before.migrate()
    assert before.folded() == [PLAIN, PLAIN]
    before.plan()
    assert before.confirmations() == confirmed
    assert list(before.set_aside().values()) == [SHARED] * (2 - len(confirmed))


@pytest.mark.parametrize(
    ("wide", "plain"), [("sent", "pending"), ("pending", "sent"), ("pending", "pending")]
)
@pytest.mark.parametrize("tick_between", [False, True])
def test_not_by_a_nightly_reload_either(before: Before, wide: str, plain: str, tick_between: bool) -> None:
    before.person(WIDE, wide)
    before.person(PLAIN, plain)
    before.migrate()
    before.plan()
    confirmed = len(before.confirmations())
    before.sql("DELETE FROM registrants")
    if tick_between:
        before.plan()
    before.ledger.register(WIDE)
    before.ledger.register(PLAIN)
    before.plan()
    assert len(before.confirmations()) <= max(1, confirmed)
    assert [state for _, state in before.confirmations()].count("pending") <= int("sent" not in (wide, plain))
    assert len(before.sql("SELECT id FROM registration")) == 2


def test_nor_when_the_confirmed_one_had_just_left(before: Before) -> None:
    before.person(PLAIN, "pending")
    before.person(WIDE, "sent", gone_at=ANNOUNCED)
    before.migrate()
    before.plan(utc("2025-06-12 09:00"))
    assert before.confirmations() == [(PLAIN, "sent")]  # its row is that person again
    assert before.set_aside() == {}


def test_one_who_left_before_anything_was_sent_does_not_come_back_beside_the_other(before: Before) -> None:
    before.person(PLAIN, "sent")
    before.person(WIDE, "cancelled", gone_at=ANNOUNCED)
    before.migrate()
    before.sql("DELETE FROM registrants")
    before.ledger.register(PLAIN)
    before.plan(utc("2025-06-12 09:00"))
    assert before.confirmations() == [(PLAIN, "sent")]


def test_when_the_row_that_counts_is_deleted_the_other_takes_its_place(before: Before) -> None:
    before.person(WIDE, "sent")
    other = before.person(PLAIN, "pending")
    before.migrate()
    before.plan()
    before.sql("DELETE FROM registrants WHERE email = :wide", wide=WIDE)
    before.plan()
    assert before.confirmations() == [(PLAIN, "sent")]
    assert before.set_aside() == {}
    assert other in {row[0] for row in before.sql("SELECT id FROM registration WHERE gone_at IS NOT NULL")}


def test_who_comes_back_late_has_the_entry_of_the_one_that_was_written_to(before: Before) -> None:
    written_to = before.person(WIDE, "sent")
    before.person(PLAIN, "pending")
    before.migrate()
    before.plan()
    before.sql("DELETE FROM registrants")
    before.plan()
    before.ledger.register(PLAIN)
    before.plan(utc("2025-06-20 08:00"))
    uids = dict(map(tuple, before.sql("SELECT id, uid FROM registration")))
    assert uids[max(uids)] == uids[written_to]


@pytest.mark.engines("both")
def test_those_who_were_one_before_are_left_alone(before: Before) -> None:
    """Gone, and back after RETURN_HOURS: two registrations of one address, long since."""
    before.person("bo@münchen.de", "pending", gone_at=ANNOUNCED)
    before.person("bo@MÜNCHEN.de", "pending")
    registrations = "SELECT id, registrant_id, gone_at FROM registration ORDER BY id"
    kept = before.sql(registrations)
    before.migrate()
    assert before.sql(registrations) == kept


# Registrations that part


def test_of_two_that_were_one_the_second_becomes_a_registration(before: Before) -> None:
    before.person("x@straße.de")
    before.aside("x@strasse.de")
    other = before.aside("nobody", "email is not an address")
    before.migrate()
    before.plan()
    assert before.confirmations() == [("x@straße.de", "sent"), ("x@strasse.de", "pending")]
    assert before.set_aside() == {other: "email is not an address"}


def test_a_local_part_parts_as_well(before: Before) -> None:
    before.person("weiß@example.org")
    before.aside("weiss@example.org")
    before.migrate()
    before.plan()
    assert before.confirmations() == [("weiß@example.org", "sent"), ("weiss@example.org", "pending")]


# Suppression


def test_nobody_who_was_suppressed_gets_mail_again(before: Before) -> None:
    """Whether strasse or straße was meant, nobody can tell."""
    before.suppress("x@straße.de")
    before.person("x@straße.de", "cancelled")
    before.aside("x@strasse.de")
    before.suppress("y@straße.de")
    before.aside("y@straße.de")  # not registered, as it shared an address
    before.suppress("z@straße.de")
    someone = before.person("z@example.org")
    before.sql(
        "INSERT INTO attempt (delivery_id, address, text_revision, started_at, code)"
        " SELECT id, 'z@straße.de', 1, :now, 0 FROM delivery WHERE registration_id = :id",
        now=ANNOUNCED, id=someone,
    )  # fmt: skip
    before.migrate()
    both = [f"{name}@{domain}" for name in "xyz" for domain in ("strasse.de", "xn--strae-oqa.de")]
    assert before.suppressed() == dict.fromkeys(both, ANNOUNCED)
    before.ledger.register("z@straße.de")
    before.plan()
    assert before.confirmations() == [("z@example.org", "sent")]


@pytest.mark.engines("both")
def test_a_suppression_moves_with_its_address_and_the_earliest_counts(before: Before) -> None:
    before.suppress("bo@münchen.de", LATER)
    before.suppress("bo@xn--mnchen-3ya.de", ANNOUNCED)
    before.suppress(WIDE, ANNOUNCED)
    before.suppress(PLAIN, LATER)
    before.suppress("anna@example.org", LATER)
    before.migrate()
    assert before.suppressed() == {
        "bo@xn--mnchen-3ya.de": ANNOUNCED, PLAIN: ANNOUNCED, "anna@example.org": LATER,
    }  # fmt: skip


def test_an_address_that_now_counts_as_suppressed_gets_nothing_more(before: Before) -> None:
    """Suppressed under one spelling, registered under another, planned long since."""
    before.suppress("bo@münchen.de")
    person = before.person("bo@xn--mnchen-3ya.de", "pending")
    before.delivery(person, "reminder-day", "pending")
    before.migrate()
    assert before.flagged() == ["bo@xn--mnchen-3ya.de"]
    before.plan()
    states = before.ledger.states("bo@xn--mnchen-3ya.de")
    assert {states["confirmation"], states["reminder-day"]} == {"cancelled: the address is suppressed"}


# Confirmed by another system


def test_nobody_who_was_confirmed_elsewhere_is_confirmed_again(before: Before) -> None:
    for folded in ("x@strasse.de", "y@strasse.de", "bo@münchen.de"):
        before.sql(
            "INSERT INTO confirmed_elsewhere (webinar, address_folded) VALUES ('w', :folded)", folded=folded
        )
    before.person("x@straße.de", "skipped")
    before.sql("UPDATE delivery SET reason = 'confirmed by another system'")
    before.person("bo@xn--mnchen-3ya.de", "pending")
    before.ledger.register("y@straße.de")  # imported, and not planned yet
    before.migrate()
    assert before.flagged() == ["x@straße.de", "bo@xn--mnchen-3ya.de"]
    assert sorted(row[0] for row in before.sql("SELECT address_folded FROM confirmed_elsewhere")) == [
        "bo@xn--mnchen-3ya.de", "x@strasse.de", "x@xn--strae-oqa.de", "y@strasse.de", "y@xn--strae-oqa.de",
    ]  # fmt: skip
    before.plan()
    assert before.confirmations() == []


# What else is compared by address


@pytest.mark.engines("both")
def test_an_editors_account_moves_and_of_two_the_last_one_stays(before: Before) -> None:
    for address, role, since in (
        ("ada@münchen.de", "edit", ANNOUNCED),
        ("ada@xn--mnchen-3ya.de", "view", LATER),
        ("bob@ｗｈｏ.int", "edit", LATER),
        ("eve@who.int", "view", ANNOUNCED),
    ):
        before.sql(
            "INSERT INTO account (address, role, since) VALUES (:address, :role, :since)",
            address=address, role=role, since=since,
        )  # fmt: skip
        before.sql(
            "INSERT INTO web_session (token_sha256, address, until) VALUES (:address, :address, :since)",
            address=address, since=since,
        )  # fmt: skip
    before.migrate()
    assert [tuple(row) for row in before.sql("SELECT address, role FROM account ORDER BY address")] == [
        ("ada@xn--mnchen-3ya.de", "view"), ("bob@who.int", "edit"), ("eve@who.int", "view"),
    ]  # fmt: skip
    browsers = before.sql("SELECT address FROM web_session ORDER BY address")
    assert [row[0] for row in browsers] == ["ada@xn--mnchen-3ya.de", "eve@who.int"]


@pytest.mark.engines("both")
def test_a_row_whose_address_no_mail_can_carry_is_set_aside_now(before: Before) -> None:
    before.person('"a b"@example.org', "held")
    before.migrate()
    before.plan()
    assert list(before.set_aside().values()) == ["email is an address that a mail cannot carry"]
