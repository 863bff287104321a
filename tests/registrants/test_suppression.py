"""An address that asked to be left alone."""

from __future__ import annotations

import pytest

from scheduler.database.engine import Database
from scheduler.registrants.forgotten import forgotten, remember
from scheduler.registrants.suppression import suppress, suppressions, unsuppress
from tests.support import Ledger, utc, webinar

NOW = utc("2025-06-12 08:00")
LATER = utc("2025-06-12 09:00")
SUPPRESSED = "cancelled: the address is suppressed"


@pytest.fixture
def ledger(database: Database) -> Ledger:
    ledger = Ledger(database)
    ledger.govern(webinar(), webinar(id="v"))
    return ledger


def suppressed(ledger: Ledger, address: str) -> int:
    with ledger.database.transaction() as conn:
        return len(suppress(conn, LATER, address))


def test_nothing_more_is_sent_for_any_webinar_and_nobody_else_is_touched(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    ledger.register("a@example.org", webinar="v")
    ledger.register("b@example.org")
    ledger.plan(NOW)
    ledger.set("confirmation", "sent")
    assert suppressed(ledger, " A@Example.ORG ") == 2
    ledger.plan(LATER)
    assert {row["state"] for row in ledger.deliveries("a@example.org")} == {"sent", "cancelled"}
    assert ledger.states("a@example.org") == {
        "confirmation": "sent",
        "reminder-day": SUPPRESSED,
        "reminder-hour": SUPPRESSED,
        "follow-up": SUPPRESSED,
    }
    assert set(ledger.states("b@example.org").values()) == {"sent", "pending"}


def test_it_holds_for_later_registrations_with_that_address(ledger: Ledger) -> None:
    assert suppressed(ledger, "a@example.org") == 0
    ledger.register("A@example.org")
    ledger.plan(LATER)
    assert set(ledger.states("A@example.org").values()) == {"skipped: the address is suppressed"}


def test_it_holds_through_a_nightly_reload(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    ledger.plan(NOW)
    suppressed(ledger, "a@example.org")
    ledger.sql("DELETE FROM registrants")
    ledger.register("a@example.org")
    ledger.plan(LATER)
    assert set(ledger.states().values()) == {SUPPRESSED}


def test_twice_is_as_once(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    ledger.plan(NOW)
    assert (suppressed(ledger, "a@example.org"), suppressed(ledger, "a@example.org")) == (1, 1)
    assert len(ledger.sql("SELECT * FROM suppression")) == 1


def test_a_mail_that_is_claimed_but_not_on_the_wire_stays_here(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    ledger.register("b@example.org")
    ledger.plan(NOW)
    ledger.sql("UPDATE delivery SET lease_token = '7' WHERE message = 'confirmation'")
    suppressed(ledger, "a@example.org")
    leases = ledger.sql(
        "SELECT g.address FROM delivery d JOIN registration g ON g.id = d.registration_id WHERE lease_token = '7'"
    )
    assert [row.address for row in leases] == ["b@example.org"]


# Scopes


def test_of_one_webinar_alone_the_mails_end(ledger: Ledger) -> None:
    for one in ("w", "v"):
        ledger.register("a@example.org", webinar=one)
    ledger.plan(NOW)
    with ledger.database.transaction() as conn:
        suppress(conn, LATER, "a@example.org", "w", "page")
    ledger.plan(LATER)
    states = {(row["webinar"], row["state"]) for row in ledger.deliveries()}
    assert states == {("w", "cancelled"), ("v", "pending")}


def test_both_scopes_at_once_double_nothing(ledger: Ledger) -> None:
    with ledger.database.transaction() as conn:
        for scope in ("w", ""):
            suppress(conn, LATER, "a@example.org", scope)
    ledger.register("a@example.org")
    ledger.plan(NOW)
    ledger.plan(LATER)
    assert len(ledger.deliveries()) == 4
    assert set(ledger.states().values()) == {"skipped: the address is suppressed"}


def test_the_first_word_counts(ledger: Ledger) -> None:
    with ledger.database.transaction() as conn:
        suppress(conn, NOW, "a@example.org", "w", "one-click")
        suppress(conn, LATER, "A@example.org", "w", "organizer")
        suppress(conn, LATER, "a@example.org")
        assert suppressions(conn, "a@example.org") == {"w": ("one-click", NOW), "": ("organizer", LATER)}


def test_whoever_is_written_to_again_gets_what_is_still_ahead(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    suppressed(ledger, "a@example.org")
    ledger.plan(NOW)
    with ledger.database.transaction() as conn:
        assert len(unsuppress(conn, "A@example.org") or ()) == 1
        assert unsuppress(conn, "a@example.org") is None
    ledger.plan(LATER)
    assert set(ledger.states().values()) == {"pending"}


def test_of_a_forgotten_person_no_webinar_keeps_the_address(ledger: Ledger) -> None:
    with ledger.database.transaction() as conn:
        remember(conn, NOW, "a@example.org", ["w"], suppressed=False)
        assert suppress(conn, LATER, "a@example.org", "w") == []
    assert ledger.sql("SELECT * FROM suppression") == []


def test_a_suppression_of_a_forgotten_person_can_be_ended(ledger: Ledger) -> None:
    with ledger.database.transaction() as conn:
        remember(conn, NOW, "a@example.org", ["w"], suppressed=True)
        assert unsuppress(conn, "a@example.org") == []
        assert unsuppress(conn, "a@example.org") is None
        assert forgotten(conn, "a@example.org") == (NOW, False)
