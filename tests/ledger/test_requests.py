"""What registrants and organizers ask for takes effect before the answer, and survives reloads."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from scheduler.database.engine import Database
from scheduler.ledger import requests
from scheduler.ledger.requests import CannotSendAgain, Refused, Standing
from tests.support import Ledger, utc, webinar

NOW = utc("2025-06-12 08:00")


class Person:
    """A registrant of the webinar w, with the requests that they make."""

    def __init__(self, ledger: Ledger, address: str = "a@x.org") -> None:
        self.ledger, self.address, self.now = ledger, address, NOW

    def __call__(self, request: Any, *values: Any, **keys: Any) -> None:
        governing, number = self.ledger.governing["w"], self.row.id
        with self.ledger.database.transaction() as conn:
            request(conn, self.now, governing, number, *values, **keys)

    @property
    def row(self) -> Any:
        query = "SELECT * FROM registration WHERE address = :address ORDER BY id DESC"
        return self.ledger.sql(query, address=self.address)[0]

    @property
    def standing(self) -> Standing:
        key = self.row.key
        with self.ledger.database.transaction() as conn:
            found = requests.find(conn, key)
        assert found
        return found

    @property
    def states(self) -> dict[str, str]:
        return self.ledger.states(self.address)

    def plan(self, now: datetime | None = None) -> None:
        self.now = now or self.now
        self.ledger.plan(self.now)


@pytest.fixture
def ledger(database: Database) -> Ledger:
    ledger = Ledger(database)
    ledger.govern(webinar())
    return ledger


@pytest.fixture
def person(ledger: Ledger) -> Person:
    """Somebody who was confirmed."""
    ledger.register("a@x.org", timezone="Africa/Nairobi", language="fr", name="Ada")
    one = Person(ledger)
    one.plan()
    ledger.set("confirmation", "sent")
    return one


# Keys


def test_a_key_finds_its_registration_alone(person: Person) -> None:
    key = person.row.key
    assert person.standing.address == "a@x.org"
    with person.ledger.database.transaction() as conn:
        assert requests.find(conn, key[:8] + "0" * 32) is None
        assert requests.find(conn, key[:-1]) is None
        assert requests.find(conn, key.upper() + "é") is None
        assert requests.find(conn, "") is None


# Zone and language


def test_a_chosen_zone_moves_what_is_still_ahead(person: Person) -> None:
    before = person.ledger.due(person.address)
    person(requests.choose_zone, "America/Lima")
    assert person.standing.zone == "America/Lima"
    assert person.standing.zone_known_by == "confirmed"
    assert person.ledger.due(person.address)["reminder-day"] == utc("2025-07-02 14:00")
    assert before["reminder-day"] == utc("2025-07-02 06:00")


def test_a_zone_of_no_database_is_refused(person: Person) -> None:
    with pytest.raises(ValueError, match="tz database"):
        person(requests.choose_zone, "Europe/Atlantis")


# Messages


def test_an_unwanted_message_is_cancelled_and_planned_again_when_wanted(person: Person) -> None:
    person(requests.choose_messages, ["reminder-day", "nonsense"])
    assert person.states["reminder-day"].startswith("cancelled")
    assert person.states["reminder-hour"] == "pending"
    assert person.standing.unwanted == {"reminder-day"}
    person(requests.choose_messages, [])
    assert person.states["reminder-day"] == "pending"


# Unsubscribing


def test_who_unsubscribes_gets_nothing_more_of_the_webinar(person: Person) -> None:
    person(requests.unsubscribe, everything=False, source="one-click")
    person(requests.unsubscribe, everything=False, source="page")
    assert person.standing.unsubscribed
    assert not person.standing.suppressed
    assert {state.split(":")[0] for state in person.states.values()} == {"sent", "cancelled"}
    person(requests.subscribe)
    assert person.states["reminder-day"] == "pending"
    assert not person.standing.unsubscribed


def test_who_unsubscribes_is_still_told_that_the_webinar_moves(person: Person) -> None:
    person(requests.unsubscribe, everything=False, source="page")
    person.ledger.govern(webinar(start=datetime(2025, 7, 10, 13), end=datetime(2025, 7, 10, 15)))
    person.plan()
    assert person.states["change#1"] == "pending"


def test_who_unsubscribes_is_not_told_of_another_link(person: Person) -> None:
    person(requests.unsubscribe, everything=False, source="page")
    person.ledger.govern(webinar(join_url="https://meet.who.int/other"))
    person.plan()
    assert "change#1" not in person.states


# Withdrawing


def test_who_withdraws_is_told_so_and_can_come_back(person: Person) -> None:
    person(requests.withdraw)
    assert person.states["withdrawal#1"] == "pending"
    assert person.states["reminder-day"] == "cancelled: its reader does not come"
    assert person.ledger.sql("SELECT withdrawn_at FROM registrants")[0].withdrawn_at is not None
    person.ledger.sql("UPDATE delivery SET state = 'sent' WHERE message = 'withdrawal'")


def test_who_comes_back_before_anything_went_out_hears_nothing(person: Person) -> None:
    before = person.states
    person(requests.withdraw)
    person(requests.come_back)
    assert person.states == before | {"withdrawal#1": "cancelled: what the person last read is still true"}
    assert person.ledger.sql("SELECT withdrawn_at FROM registrants")[0].withdrawn_at is None


# A mail again


def test_a_confirmation_is_sent_again(person: Person) -> None:
    person(requests.send_again, "confirmation", "registrant")
    assert person.states["confirmation#1"] == "pending"
    person.plan()
    assert person.states["confirmation#1"] == "pending"


def test_a_mail_that_is_still_to_go_is_not_sent_again(person: Person) -> None:
    with pytest.raises(CannotSendAgain) as refused:
        person(requests.send_again, "reminder-day", "organizer")
    assert refused.value.reason is Refused.STILL_TO_GO
