"""An address that asked to be left alone."""

from __future__ import annotations

import pytest

from scheduler.database.engine import Database
from scheduler.registrants.suppression import suppress
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
        return suppress(conn, LATER, address)


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
