"""What registrants and organizers ask for takes effect before the answer, and survives reloads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from scheduler.database.engine import Database
from scheduler.ledger import claims, forgetting, outcomes, requests
from scheduler.ledger.entries import Claimed, Outcome, Start, Version
from scheduler.ledger.planning import Governing
from scheduler.ledger.requests import CannotSendAgain, Refused, Standing, UnknownRegistration
from scheduler.ledger.states import State
from scheduler.webinar.model import WITHDRAWAL
from scheduler.webinar.told import Told, facts_of
from tests.support import Ledger, start, utc, webinar

NOW = utc("2025-06-12 08:00")


class Person:
    """A registrant of the webinar w, with the requests that they make."""

    def __init__(self, ledger: Ledger, address: str = "a@x.org") -> None:
        self.ledger, self.address, self.now = ledger, address, NOW
        self.governing: Governing | None = None
        """What the page knows as governing, if that is not what governs."""

    def __call__(self, request: Any, *values: Any, **keys: Any) -> None:
        governing, number = self.governing or self.ledger.governing["w"], self.row.id
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


def test_the_key_of_who_registers_again_after_days_leads_to_the_new_registration(person: Person) -> None:
    """Their calendar entry, and the mails that they have, hold it."""
    key, old = person.row.key, person.standing.registration_id
    ledger = person.ledger
    ledger.sql("DELETE FROM registrants")
    ledger.plan(utc("2025-06-13 08:00"))
    ledger.register("a@x.org")
    ledger.plan(utc("2025-06-15 08:00"))
    with ledger.database.transaction() as conn:
        found = requests.find(conn, key)
    assert found is not None
    assert found.registration_id > old
    assert not found.gone


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


def test_changes_of_mind_cause_three_mails_a_day_and_the_last_state_is_told_the_next_day(
    person: Person,
) -> None:
    told = []
    for number in range(12):
        person(requests.come_back if number % 2 else requests.withdraw)
        person.plan(person.now + timedelta(minutes=1))
        told += _goes_out(person)
    assert [one.cancelled for one in told] == [True, False, True]
    number = person.row.id
    with person.ledger.database.transaction() as conn:
        assert requests.mail_waits(conn, person.now, number)
    with pytest.raises(CannotSendAgain, match="too often"):
        person(requests.send_again, "confirmation", "registrant")
    person.plan(person.now + timedelta(days=1))
    assert [one.cancelled for one in _goes_out(person)] == [False]
    with person.ledger.database.transaction() as conn:
        assert not requests.mail_waits(conn, person.now, number)
    assert _goes_out(person) == []


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


# Reloads


def _reload(person: Person, **columns: Any) -> None:
    """As every night: all rows are deleted and written again."""
    values = {"timezone": "Africa/Nairobi", "language": "fr", "name": "Ada"} | columns
    person.ledger.sql("DELETE FROM registrants")
    person.ledger.register(person.address, **values)
    person.plan()


def test_a_reload_undoes_no_choice(person: Person) -> None:
    person(requests.choose_zone, "America/Lima")
    person(requests.choose_language, "en")
    person(requests.withdraw)
    _reload(person, name="Ada Lovelace", country="KE")
    here = person.standing
    assert (here.zone, here.zone_known_by, here.language) == ("America/Lima", "confirmed", "en")
    assert here.name == "Ada Lovelace"
    assert here.withdrawn_at == NOW
    assert person.ledger.sql("SELECT withdrawn_at FROM registrants")[0].withdrawn_at is not None
    assert person.ledger.sql("SELECT count(*) FROM registrant_change")[0][0] <= 1, (
        "of what we wrote ourselves"
    )
    person.plan()
    assert not person.ledger.sql("SELECT * FROM registrant_change")


def test_a_row_that_says_otherwise_outranks_an_earlier_choice(person: Person) -> None:
    person(requests.choose_zone, "America/Lima")
    person(requests.choose_language, "en")
    _reload(person, timezone="Asia/Tokyo", language="es")
    here = person.standing
    assert (here.zone, here.zone_known_by, here.language) == ("Asia/Tokyo", "timezone", "es")
    assert not here.chosen_zone
    assert not here.chosen_language
    _reload(person)
    assert person.standing.zone == "Africa/Nairobi"


def test_a_chosen_zone_survives_a_move_of_the_webinar(person: Person) -> None:
    person(requests.choose_zone, "America/Lima")
    person.ledger.govern(webinar(start=datetime(2025, 7, 10, 13), end=datetime(2025, 7, 10, 15)))
    person.plan()
    assert person.standing.zone == "America/Lima"


def test_who_chooses_nothing_any_more_has_what_the_row_says(person: Person) -> None:
    for zone, language in (("America/Lima", "en"), ("", "")):
        person(requests.choose_zone, zone)
        person(requests.choose_language, language)
    here = person.standing
    assert (here.zone, here.zone_known_by, here.language) == ("Africa/Nairobi", "timezone", "fr")


def test_a_corrected_address_has_chosen_nothing(person: Person) -> None:
    person(requests.withdraw)
    person.ledger.sql("UPDATE registrants SET email = 'b@x.org'")
    person.address = "b@x.org"
    person.plan()
    assert person.standing.withdrawn_at is None
    assert person.states["confirmation#1"] == "pending"


# Beside sending


def _sends(person: Person) -> list[str]:
    """What a service claims and begins now, by message."""
    return [one.claimed.message for one in _begins(person, _claims(person))]


def _claims(person: Person) -> list[Claimed]:
    with person.ledger.database.transaction() as conn:
        return claims.claim(conn, person.now, claims.new_token(1), 100, 100)


def _begins(person: Person, claimed: list[Claimed]) -> list[Start]:
    starts = [start(one, person.now) for one in claimed]
    with person.ledger.database.transaction() as conn:
        ids = outcomes.begin(conn, starts)
    return [one for one in starts if one.claimed.id in ids]


REQUESTS: dict[str, Callable[[Person], None]] = {
    "zone": lambda person: person(requests.choose_zone, "America/Lima"),
    "messages": lambda person: person(requests.choose_messages, ["reminder-day"]),
    "unsubscribed": lambda person: person(requests.unsubscribe, everything=False, source="one-click"),
    "everything": lambda person: person(requests.unsubscribe, everything=True, source="page"),
    "withdrawn": lambda person: person(requests.withdraw),
}


@pytest.mark.parametrize("request_of", REQUESTS.values(), ids=REQUESTS)
def test_a_mail_that_was_claimed_before_does_not_go(
    person: Person, request_of: Callable[[Person], None]
) -> None:
    person.plan(utc("2025-07-02 06:30"))
    claimed = _claims(person)
    assert [one.message for one in claimed] == ["reminder-day"]
    request_of(person)
    assert _begins(person, claimed) == []
    assert "reminder-day" not in _sends(person)


@pytest.mark.parametrize("request_of", REQUESTS.values(), ids=REQUESTS)
def test_a_mail_that_is_being_sent_goes(person: Person, request_of: Callable[[Person], None]) -> None:
    person.plan(utc("2025-07-02 06:30"))
    assert _sends(person) == ["reminder-day"]
    request_of(person)
    assert person.states["reminder-day"] == "sending"


@pytest.mark.parametrize("request_of", REQUESTS.values(), ids=REQUESTS)
def test_an_edit_that_is_not_planned_yet_lets_nothing_through(
    person: Person, request_of: Callable[[Person], None]
) -> None:
    """The request comes between an edit and its planning, with what governed before."""
    person.plan(utc("2025-07-02 06:30"))
    claimed = _claims(person)
    before = person.ledger.governing["w"]
    person.ledger.govern(webinar(start=datetime(2025, 7, 3, 14), end=datetime(2025, 7, 3, 16)))
    person.governing = before
    request_of(person)
    assert _begins(person, claimed) == []
    assert person.row.plan == 0
    person.governing = None
    person.plan()
    assert person.row.plan == person.ledger.governing["w"].plan


def test_somebody_forgotten_can_ask_for_nothing(person: Person) -> None:
    number, governing = person.row.id, person.ledger.governing["w"]
    key = person.row.key
    with person.ledger.database.reading() as conn:
        found = forgetting.find(conn, person.address)
    with person.ledger.database.transaction() as conn:
        forgetting.forget(conn, NOW, person.address, found)
    with person.ledger.database.transaction() as conn:
        assert requests.find(conn, key) is None
        for request in (requests.withdraw, requests.come_back, requests.subscribe):
            with pytest.raises(UnknownRegistration):
                request(conn, NOW, governing, number)
    assert person.ledger.sql("SELECT * FROM choice") == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_request_waits_for_a_mail_that_begins_and_planning_for_nobody(person: Person) -> None:
    """On PostgreSQL two services work at once: a request that is not committed keeps a mail back."""
    person.plan(utc("2025-07-02 06:30"))
    claimed, governing, number = _claims(person), person.ledger.governing["w"], person.row.id
    with ThreadPoolExecutor(1) as other, person.ledger.database.transaction() as conn:
        requests.unsubscribe(conn, person.now, governing, number, everything=False, source="page")
        person.plan()  # passes the person over, and waits for nobody
        begun = other.submit(_begins, person, claimed)
        with pytest.raises(TimeoutError):
            begun.result(0.2)
        conn.commit()
        assert begun.result(20) == []
    assert person.states["reminder-day"].startswith("cancelled")
    with ThreadPoolExecutor(1) as other, person.ledger.database.transaction() as conn:
        requests.subscribe(conn, person.now, governing, number)
        second = other.submit(person, requests.unsubscribe, everything=False, source="page")
        with pytest.raises(TimeoutError):
            second.result(0.2)
        conn.commit()
        second.result(20)
    assert person.standing.unsubscribed


# Withdrawing and coming back


def _goes_out(person: Person) -> list[Told]:
    """Send what is due, with the calendar entry. Returns what it tells its reader."""
    begun = []
    for one in _claims(person):
        entry = Version(one.uid, one.id, "REQUEST", person.now, "", b"")
        told = facts_of(webinar(), "https://meet.who.int/w", withdrawn=one.message == WITHDRAWAL)
        begun.append(replace(start(one, person.now, invitation=entry), told=told))
    with person.ledger.database.transaction() as conn:
        outcomes.begin(conn, begun)
    with person.ledger.database.transaction() as conn:
        outcomes.conclude(conn, [Outcome(one.claimed, State.SENT, person.now, "sent") for one in begun])
    person.plan()
    return [one.told for one in begun]


def test_who_withdrew_and_comes_back_gets_the_confirmation_again(person: Person) -> None:
    person(requests.withdraw)
    assert [told.cancelled for told in _goes_out(person)] == [True]
    assert person.states["withdrawal#1"] == "sent"
    person(requests.withdraw)
    assert "withdrawal#2" not in person.states
    person(requests.come_back)
    assert person.states["confirmation#1"] == "pending"
    assert person.states["reminder-day"] == "pending"
    assert [told.cancelled for told in _goes_out(person)] == [False]
    assert _goes_out(person) == []
    person(requests.withdraw)
    assert person.states["withdrawal#2"] == "pending"


def test_of_a_cancelled_webinar_nobody_who_withdrew_hears_again(person: Person) -> None:
    person(requests.withdraw)
    _goes_out(person)
    person.ledger.govern(webinar(cancelled=True))
    person.plan()
    assert _goes_out(person) == []


def test_who_withdrew_before_any_mail_gets_none_until_they_come_back(ledger: Ledger) -> None:
    ledger.register("a@x.org")
    person = Person(ledger)
    person.plan()
    person(requests.withdraw)
    assert set(person.states.values()) == {"cancelled: its reader does not come"}
    person(requests.come_back)
    assert set(person.states.values()) == {"pending"}


def test_a_confirmation_with_another_link_waits_while_they_do_not_come(person: Person) -> None:
    person(requests.withdraw)
    _goes_out(person)
    person.ledger.govern(webinar(join_url="https://meet.who.int/other"))
    person.plan()
    assert not [name for name in person.states if name.startswith("change")]


def test_the_column_of_others_may_be_missing(person: Person) -> None:
    person.ledger.sql("ALTER TABLE registrants DROP COLUMN withdrawn_at")
    person(requests.withdraw)
    assert person.standing.withdrawn_at == NOW


# A mail again, in all cases


def test_a_registrant_may_ask_three_times_a_day(person: Person) -> None:
    for number in range(1, 4):
        person(requests.send_again, "confirmation", "registrant")
        person.ledger.set("confirmation", "sent", number)
    with pytest.raises(CannotSendAgain, match="too often"):
        person(requests.send_again, "confirmation", "registrant")
    person(requests.send_again, "confirmation", "organizer")
    person.ledger.set("confirmation", "sent", 4)
    person.now += timedelta(days=1, minutes=1)
    person(requests.send_again, "confirmation", "registrant")


def test_a_reminder_that_is_sent_again_goes_at_once_and_stays(person: Person) -> None:
    person.plan(utc("2025-07-02 06:30"))
    _goes_out(person)
    person.now = utc("2025-07-03 09:00")
    person(requests.send_again, "reminder-day", "organizer")
    row = next(
        row for row in person.ledger.deliveries() if row["message"] == "reminder-day" and row["edition"]
    )
    assert (row["due_at"], row["expires_at"]) == (person.now, utc("2025-07-03 13:00"))
    assert row["asked_by"] == "organizer"
    person.ledger.govern(webinar(title="Other words"))
    person.plan(person.now + timedelta(minutes=5))
    assert person.states["reminder-day#1"] == "pending"


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (lambda person: person(requests.withdraw), Refused.WITHDRAWN),
        (lambda person: person(requests.unsubscribe, everything=False, source="page"), Refused.UNSUBSCRIBED),
        (lambda person: person(requests.unsubscribe, everything=True, source="page"), Refused.SUPPRESSED),
        (lambda person: person.ledger.govern(webinar(cancelled=True)), Refused.CANCELLED),
        (lambda person: setattr(person, "now", utc("2025-07-03 13:00")), Refused.OVER),
        (lambda person: person.ledger.sql("UPDATE registration SET gone_at = first_seen_at"), Refused.GONE),
    ],
)
def test_what_keeps_an_organizer_from_sending_again(
    person: Person, before: Callable[[Person], None], reason: Refused
) -> None:
    before(person)
    with pytest.raises(CannotSendAgain) as refused:
        person(requests.send_again, "confirmation", "organizer")
    assert refused.value.reason is reason


def test_who_unsubscribed_may_ask_for_a_mail_themselves(person: Person) -> None:
    person(requests.unsubscribe, everything=False, source="page")
    person(requests.send_again, "confirmation", "registrant")
    person.plan()
    assert _sends(person) == ["confirmation"]
