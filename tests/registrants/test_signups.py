"""People who register with us: their rows count like those of registrants, and nobody else can remove them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from scheduler.database.engine import Database
from scheduler.ledger import forgetting, requests
from scheduler.registrants import signups
from scheduler.registrants.again import replan
from scheduler.registrants.changes import REGISTERED_HERE
from scheduler.registrants.rows import HERE, place_of
from scheduler.registrants.signups import Details, Forgotten, Outcome, State
from scheduler.registrants.triggers import check_intake
from scheduler.reports.personal_data import personal_data
from scheduler.reports.reasons import rows_set_aside
from scheduler.webinar.model import Webinar
from tests.support import Ledger, utc, webinar

NOW = utc("2025-06-12 08:00")
LATER = utc("2025-06-12 09:00")
ANA, BEN, EVA = "ana@example.org", "ben@example.org", "eva@example.org"


@pytest.fixture
def ledger(database: Database) -> Ledger:
    ledger = Ledger(database)
    ledger.govern(webinar())
    return ledger


def register(
    ledger: Ledger,
    *addresses: str,
    to: Webinar | None = None,
    values: dict[str, Any] | None = None,
    **how: Any,
) -> list[Outcome]:
    people = [Details(address, **(values or {})) for address in addresses]
    with ledger.database.transaction() as conn:
        return signups.register(conn, NOW, to or webinar(), people, "form", **how)


def states(ledger: Ledger) -> dict[str, str]:
    return {row.address: row.state for row in ledger.sql("SELECT address, state FROM signup ORDER BY id")}


def present(ledger: Ledger) -> dict[str, int]:
    """The row of each registration that is not gone, by address."""
    rows = ledger.sql("SELECT address, registrant_id FROM registration WHERE gone_at IS NULL ORDER BY id")
    return {row.address: row.registrant_id for row in rows}


def links(ledger: Ledger) -> dict[str, str]:
    rows = ledger.sql("SELECT address, join_url FROM registration WHERE gone_at IS NULL")
    return {row.address: row.join_url for row in rows}


# Rows of ours


def test_whoever_registers_with_us_is_planned_like_a_row_of_registrants(ledger: Ledger) -> None:
    register(ledger, ANA, values={"name": "Ana", "timezone": "Africa/Nairobi", "language": "fr"})
    ledger.plan(NOW)
    ((zone, name),) = ledger.sql("SELECT zone, name FROM registration")
    assert (zone, name) == ("Africa/Nairobi", "Ana")
    assert ledger.states(ANA)["confirmation"] == "pending"


def test_registering_twice_changes_nothing(ledger: Ledger) -> None:
    (first,) = register(ledger, ANA)
    ledger.plan(NOW)
    (again,) = register(ledger, "ANA@example.org ".strip())
    assert again == Outcome(first.id, State.REGISTERED, changed=True)  # another spelling of the same address
    (again,) = register(ledger, "ANA@example.org")
    assert again == Outcome(first.id, State.REGISTERED)
    ledger.plan(NOW)
    assert list(ledger.states(ANA)) == []
    assert len(ledger.deliveries()) == 4


def test_new_values_are_taken_over(ledger: Ledger) -> None:
    register(ledger, ANA)
    ledger.plan(NOW)
    register(ledger, ANA, values={"timezone": "Asia/Tokyo"})
    ledger.plan(NOW)
    assert ledger.due(ANA)["reminder-day"] == utc("2025-07-02 00:00")


def test_a_form_that_proves_nothing_changes_no_values_of_whoever_is_registered(ledger: Ledger) -> None:
    register(ledger, ANA, values={"name": "Ana"})
    (again,) = register(ledger, ANA, values={"name": "Buy pills at example.com"}, overwrite=False)
    assert not again.changed
    assert ledger.sql("SELECT name FROM signup")[0].name == "Ana"


def test_whoever_is_removed_gets_no_more_mails(ledger: Ledger) -> None:
    register(ledger, ANA)
    ledger.plan(NOW)
    with ledger.database.transaction() as conn:
        assert signups.remove(conn, "w", ANA)
        assert not signups.remove(conn, "w", ANA)
    ledger.plan(NOW)
    assert set(ledger.states(ANA).values()) == {"cancelled: the registrant's row was deleted"}


# An address that must be confirmed


def test_an_unconfirmed_address_does_not_count(ledger: Ledger) -> None:
    (one,) = register(ledger, ANA, confirmed=False)
    ledger.plan(NOW)
    assert one.state is State.UNCONFIRMED
    assert present(ledger) == {}


def test_it_counts_once_it_is_confirmed(ledger: Ledger) -> None:
    (one,) = register(ledger, ANA, confirmed=False)
    with ledger.database.transaction() as conn:
        confirmed = signups.confirm(conn, NOW, webinar(), one.id)
        again = signups.confirm(conn, NOW, webinar(), one.id)
        nobody = signups.confirm(conn, NOW, webinar(), one.id + 1)
    ledger.plan(NOW)
    assert confirmed == Outcome(one.id, State.REGISTERED, changed=True, begun=True)
    assert again == Outcome(one.id, State.REGISTERED)
    assert nobody is None
    assert present(ledger) == {ANA: HERE - one.id}


def test_a_system_that_registers_the_person_confirms_the_address(ledger: Ledger) -> None:
    register(ledger, ANA, confirmed=False)
    (one,) = register(ledger, ANA)
    assert one.state is State.REGISTERED
    assert one.changed


# Beside rows of others


def test_a_truncate_of_registrants_removes_nobody_who_registered_with_us(ledger: Ledger) -> None:
    (one,) = register(ledger, ANA)
    ledger.register(BEN)
    ledger.plan(NOW)
    empty(ledger)
    ledger.plan(LATER)
    assert present(ledger) == {ANA: HERE - one.id}


def empty(ledger: Ledger) -> None:
    sqlite = ledger.database.engine.dialect.name == "sqlite"
    ledger.sql("DELETE FROM registrants" if sqlite else "TRUNCATE registrants")


@pytest.mark.parametrize("ours_first", [True, False])
def test_a_person_with_two_rows_is_one_registration_and_ours_counts(ledger: Ledger, ours_first: bool) -> None:
    if ours_first:
        register(ledger, ANA, values={"name": "Ana"})
        ledger.plan(NOW)
    theirs = ledger.register(ANA.upper(), name="Another name", join_url="https://zoom.us/ana")
    ledger.plan(NOW)
    (one,) = register(ledger, ANA, values={"name": "Ana"})
    ledger.plan(NOW)
    ((name, row),) = ledger.sql("SELECT name, registrant_id FROM registration")
    assert (name, row) == ("Ana", HERE - one.id)
    aside = ledger.sql("SELECT registrant_id, reason FROM row_set_aside")
    assert [tuple(row) for row in aside] == [(theirs, REGISTERED_HERE)]
    assert len(ledger.deliveries()) == 4  # one confirmation, not two


def test_nobody_is_told_of_the_row_that_is_passed_over(ledger: Ledger) -> None:
    register(ledger, ANA)
    ledger.register(ANA)
    ledger.plan(NOW)
    with ledger.database.transaction() as conn:
        assert rows_set_aside(conn) == []


def test_the_join_link_of_the_other_row_counts_if_we_know_none(ledger: Ledger) -> None:
    register(ledger, ANA)
    register(ledger, BEN, values={"join_url": "https://meet.who.int/ben"})
    ledger.plan(NOW)
    for address in (ANA, BEN):
        ledger.register(address, join_url="https://zoom.us/theirs")
    ledger.plan(NOW)
    assert links(ledger) == {ANA: "https://zoom.us/theirs", BEN: "https://meet.who.int/ben"}


def test_a_link_of_the_other_row_that_is_no_link_does_not_count(ledger: Ledger) -> None:
    ledger.register(ANA, join_url="javascript:alert(1)")
    register(ledger, ANA)
    ledger.plan(NOW)
    assert links(ledger) == {ANA: ""}


def test_a_reload_beside_our_row_plans_nobody_again(ledger: Ledger) -> None:
    register(ledger, ANA)
    ledger.register(ANA)
    ledger.plan(NOW)
    before = ledger.sql("SELECT id, plan, uid, key, registrant_id FROM registration")
    ledger.sql("DELETE FROM registrants")
    ledger.register(ANA)
    ledger.plan(LATER)
    assert ledger.sql("SELECT id, plan, uid, key, registrant_id FROM registration") == before
    assert {row["planned_at"] for row in ledger.deliveries()} == {NOW}


def test_whoever_is_removed_here_goes_on_by_the_row_of_others(ledger: Ledger) -> None:
    register(ledger, ANA, values={"name": "Ana"})
    theirs = ledger.register(ANA, name="Ana Ruiz")
    ledger.plan(NOW)
    with ledger.database.transaction() as conn:
        signups.remove(conn, "w", ANA)
    ledger.plan(LATER)
    ((name, row, gone),) = ledger.sql("SELECT name, registrant_id, gone_at FROM registration")
    assert (name, row, gone) == ("Ana Ruiz", theirs, None)
    assert ledger.sql("SELECT * FROM row_set_aside") == []
    assert set(ledger.states(ANA).values()) == {"pending"}


def test_a_row_whose_address_is_corrected_to_one_of_ours_takes_nobody_over(ledger: Ledger) -> None:
    (one,) = register(ledger, ANA)
    theirs = ledger.register("anna@example.org")
    ledger.plan(NOW)
    ledger.sql("UPDATE registrants SET email = :ana WHERE id = :id", ana=ANA, id=theirs)
    ledger.plan(LATER)
    assert present(ledger) == {ANA: HERE - one.id}


def test_replan_and_a_lost_trigger_find_our_rows(ledger: Ledger) -> None:
    (one,) = register(ledger, ANA)
    ledger.sql("DELETE FROM registrant_change")
    check_intake(ledger.database)
    ledger.plan(NOW)
    assert present(ledger) == {ANA: HERE - one.id}
    ledger.sql("UPDATE signup SET name = 'Ana'")  # unseen
    replan(ledger.database, "w")
    ledger.plan(NOW)
    assert ledger.sql("SELECT name FROM registration")[0].name == "Ana"
    check_intake(ledger.database)
    assert ledger.sql("SELECT * FROM registrant_change") == []


def test_whoever_registers_before_the_webinar_governs_is_planned_once_it_does(ledger: Ledger) -> None:
    register(ledger, ANA, to=webinar(id="v"))
    ledger.plan(NOW)
    assert present(ledger) == {}
    ledger.govern(webinar(id="v"))
    ledger.plan(NOW)
    assert list(present(ledger)) == [ANA]


# Places


def test_whoever_finds_all_places_taken_waits(ledger: Ledger) -> None:
    small = webinar(capacity=2)
    ledger.govern(small)
    ledger.register(BEN)
    ledger.plan(NOW)
    assert [one.state for one in register(ledger, ANA, EVA, to=small)] == [State.REGISTERED, State.WAITING]
    ledger.plan(NOW)
    assert present(ledger).keys() == {ANA, BEN}


def test_a_row_of_others_that_is_one_of_ours_takes_one_place(ledger: Ledger) -> None:
    small = webinar(capacity=2)
    ledger.register(ANA)
    ledger.plan(NOW)
    assert [one.state for one in register(ledger, ANA, BEN, to=small)] == [State.REGISTERED] * 2
    assert [one.state for one in register(ledger, EVA, to=small)] == [State.WAITING]


def withdraw(ledger: Ledger) -> None:
    ledger.sql(
        "INSERT INTO choice (webinar, address_folded, withdrawn_at, changed_at) VALUES ('w', :ana, :now, :now)",
        ana=ANA,
        now=NOW,
    )


def removed(ledger: Ledger) -> None:
    with ledger.database.transaction() as conn:
        signups.remove(conn, "w", ANA)


@pytest.mark.parametrize("leave", [withdraw, removed])
def test_a_place_that_becomes_free_goes_to_whoever_waited_longest(ledger: Ledger, leave: Any) -> None:
    small = webinar(capacity=1)
    register(ledger, ANA, BEN, EVA, to=small)
    leave(ledger)
    with ledger.database.transaction() as conn:
        assert signups.waiting_for(conn) == ["w"]
        assert signups.promote(conn, LATER, small) == 1
        assert signups.promote(conn, LATER, small) == 0
    ledger.plan(LATER)
    assert states(ledger)[BEN] == "registered"
    assert states(ledger)[EVA] == "waiting"
    assert ledger.states(BEN)["confirmation"] == "pending"


def test_more_places_let_others_in(ledger: Ledger) -> None:
    register(ledger, ANA, BEN, EVA, to=webinar(capacity=1))
    with ledger.database.transaction() as conn:
        assert signups.promote(conn, LATER, webinar(capacity=2)) == 1
        assert signups.promote(conn, LATER, webinar()) == 1
        assert signups.waiting_for(conn) == []


def test_nobody_overtakes_those_who_wait(ledger: Ledger) -> None:
    register(ledger, ANA, BEN, to=webinar(capacity=1))
    assert register(ledger, EVA, to=webinar(capacity=2))[0].state is State.WAITING
    assert states(ledger) == {ANA: "registered", BEN: "registered", EVA: "waiting"}


def test_an_address_that_is_confirmed_late_may_find_no_place(ledger: Ledger) -> None:
    small = webinar(capacity=1)
    (ana,) = register(ledger, ANA, to=small, confirmed=False)
    register(ledger, BEN, to=small)
    with ledger.database.transaction() as conn:
        outcome = signups.confirm(conn, NOW, small, ana.id)
    assert outcome
    assert outcome.state is State.WAITING


def test_in_one_call_the_first_gets_the_place_even_if_their_address_waited_to_be_confirmed(
    ledger: Ledger,
) -> None:
    small = webinar(capacity=1)
    register(ledger, ANA, to=small, confirmed=False)
    ana, ben = register(ledger, ANA, BEN, to=small)
    assert (ana.state, ben.state) == (State.REGISTERED, State.WAITING)
    assert (ana.begun, ana.new) == (True, False)
    assert states(ledger) == {ANA: "registered", BEN: "waiting"}
    ledger.plan(NOW)
    assert present(ledger).keys() == {ANA}


# Rows of others beside ours


@pytest.fixture
def both(ledger: Ledger) -> int:
    """Ana registered with us, and stands in `registrants` as well; returns her registration."""
    register(ledger, ANA, values={"timezone": "Africa/Nairobi", "language": "en"})
    ledger.register(ANA, timezone="Paris", language="fr")
    ledger.plan(NOW)
    ((number,),) = ledger.sql("SELECT id FROM registration")
    return int(number)


def withdrawn(ledger: Ledger) -> list[bool]:
    rows = ledger.sql("SELECT withdrawn_at FROM registrants")
    return [row.withdrawn_at is not None for row in rows]


def test_other_systems_see_that_whoever_registered_with_us_as_well_withdrew(
    ledger: Ledger, both: int
) -> None:
    governing = ledger.governing["w"]
    with ledger.database.transaction() as conn:
        requests.withdraw(conn, NOW, governing, both)
    assert withdrawn(ledger) == [True]
    ledger.sql("DELETE FROM registrants")
    ledger.plan(NOW)
    ledger.register(ANA, timezone="Paris")
    ledger.plan(NOW)
    assert withdrawn(ledger) == [True], "a reload left it out"
    with ledger.database.transaction() as conn:
        requests.come_back(conn, NOW, governing, both)
    assert withdrawn(ledger) == [False]


def test_what_they_chose_stays_when_our_row_is_removed(ledger: Ledger, both: int) -> None:
    governing = ledger.governing["w"]
    with ledger.database.transaction() as conn:
        requests.choose_zone(conn, NOW, governing, both, "Asia/Tokyo")
        requests.choose_language(conn, NOW, governing, both, "es")
    removed(ledger)
    ledger.plan(NOW)
    assert present(ledger)[ANA] > 0
    assert ledger.sql("SELECT zone, language FROM registration") == [("Asia/Tokyo", "es")]
    ledger.sql("UPDATE registrants SET timezone = 'Lima'")
    ledger.plan(NOW)
    assert ledger.sql("SELECT zone FROM registration")[0].zone == "America/Lima", (
        "their row says otherwise now"
    )


# Forgotten people


def forget(ledger: Ledger, address: str) -> None:
    with ledger.database.transaction() as conn:
        forgetting.forget(conn, NOW, address, forgetting.find(conn, address))


def test_forgetting_removes_our_row(ledger: Ledger) -> None:
    register(ledger, ANA)
    ledger.plan(NOW)
    forget(ledger, ANA)
    ledger.plan(LATER)
    assert states(ledger) == {}
    assert present(ledger) == {}


@pytest.mark.parametrize("how", [{"confirmed": False}, {"to": webinar(capacity=1)}])
def test_forgetting_removes_the_row_of_somebody_who_is_not_registered_yet(
    ledger: Ledger, how: dict[str, Any]
) -> None:
    register(ledger, BEN, to=webinar(capacity=1))
    register(ledger, ANA, **how)
    forget(ledger, ANA)
    assert states(ledger) == {BEN: "registered"}


def test_a_system_does_not_bring_back_whoever_was_forgotten(ledger: Ledger) -> None:
    register(ledger, ANA)
    ledger.plan(NOW)
    forget(ledger, ANA)
    with pytest.raises(Forgotten):
        register(ledger, ANA, BEN)
    assert states(ledger) == {}


def test_registering_again_does(ledger: Ledger) -> None:
    register(ledger, ANA)
    ledger.plan(NOW)
    forget(ledger, ANA)
    ledger.plan(LATER)
    register(ledger, ANA, again=[ANA])
    ledger.plan(LATER + timedelta(minutes=1))
    assert list(present(ledger)) == [ANA]


def test_what_they_said_is_theirs_to_read(ledger: Ledger) -> None:
    register(ledger, ANA, values={"organization": "WHO", "answers": {"role": "Nurse"}})
    with ledger.database.transaction() as conn:
        held = personal_data(conn, NOW, ANA)
    (one,) = held["registered_with_us"]
    assert (one["organization"], one["answers"], one["source"]) == ("WHO", {"role": "Nurse"}, "form")


def test_a_row_is_named_by_its_table() -> None:
    assert [place_of(number) for number in (5, -5, HERE - 5)] == [
        "registrants, row 5",
        "registrants, row -5",
        "signup, row 5",
    ]
