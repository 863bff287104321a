"""Rows that others write become registrations: whatever they do, in whatever order, nobody is lost or doubled."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, CursorResult
from sqlalchemy.exc import IntegrityError

from scheduler.database.engine import Database, execute
from scheduler.input.addresses import fold
from scheduler.ledger import planning
from scheduler.registrants import changes
from scheduler.registrants.changes import SHARED_ADDRESS
from scheduler.registrants.suppression import suppress as suppress_address
from tests.support import Ledger, utc, webinar

pytestmark = pytest.mark.engines("sqlite")

ANNOUNCED = utc("2025-06-12 08:00")
LATER = utc("2025-06-12 09:00")
TABLES = (
    "registrants", "registrant_change", "row_set_aside", "registration", "zone_evidence", "due_time",
    "planned_webinar", "planned_message", "delivery", "told",
)  # fmt: skip


@pytest.fixture
def ledger(database: Database) -> Ledger:
    ledger = Ledger(database)
    ledger.govern(webinar(), webinar(id="v"))
    return ledger


def _living(ledger: Ledger) -> dict[tuple[str, str], int]:
    """Webinar and address of each living registration, with the row behind it."""
    rows = ledger.sql("SELECT webinar, address, registrant_id FROM registration WHERE gone_at IS NULL")
    assert len(rows) == len({(row.webinar, row.address) for row in rows})
    return {(row.webinar, row.address): row.registrant_id for row in rows}


def _aside(ledger: Ledger) -> dict[int, str]:
    return {
        row.registrant_id: row.reason for row in ledger.sql("SELECT registrant_id, reason FROM row_set_aside")
    }


# Whatever is written, in whatever order


class World:
    """The table as its owner writes it, the mails that go out, and what must hold after each planning."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.now = ledger, ANNOUNCED
        for table in TABLES:
            ledger.sql(f"DELETE FROM {table}")
        self.confirmed: Counter[tuple[str, str]] = Counter()  # since the person last came into the table
        self.webinar_of: dict[int, str] = {}

    def step(self, action: str, address: str, other: str, name: str, which: str) -> None:
        self.now += timedelta(minutes=1)
        with suppress(
            IntegrityError
        ):  # one address is one registrant: the writer is told, and nothing changes
            getattr(self, action)(address, other, name, which)
        rows = Counter(
            (row.webinar, fold(row.email))
            for row in self.ledger.sql("SELECT webinar, email FROM registrants")
        )
        for person in list(self.confirmed):
            if rows[person] != 1:  # gone, or two rows that claim to be it
                del self.confirmed[person]

    def plan(self, *_: str) -> None:
        self.ledger.plan(self.now)
        for row in self.ledger.sql(
            "SELECT r.webinar, r.address_folded FROM delivery d JOIN registration r ON r.id = d.registration_id"
            " WHERE d.state = 'pending' AND d.message = 'confirmation'"
        ):
            self.confirmed[row.webinar, row.address_folded] += 1
        self.ledger.sql(
            "UPDATE delivery SET state = 'sent' WHERE state = 'pending' AND message = 'confirmation'"
        )
        self.check()

    def insert(self, address: str, other: str, name: str, which: str) -> None:
        self.ledger.register(address, which, name=name)

    def rename(self, address: str, other: str, name: str, which: str) -> None:
        self.ledger.sql(
            "UPDATE registrants SET name = :name WHERE email = :address", name=name, address=address
        )

    def correct(self, address: str, other: str, name: str, which: str) -> None:
        sql = "UPDATE registrants SET email = :other WHERE email = :address AND webinar = :which"
        self.ledger.sql(sql, address=address, other=other, which=which)

    def move(self, address: str, other: str, name: str, which: str) -> None:
        self.ledger.sql(
            "UPDATE registrants SET webinar = :which WHERE email = :address", address=address, which=which
        )

    def delete(self, address: str, other: str, name: str, which: str) -> None:
        sql = "DELETE FROM registrants WHERE email = :address AND webinar = :which"
        self.ledger.sql(sql, address=address, which=which)

    def replace(self, address: str, other: str, name: str, which: str) -> object:
        if self.ledger.database.dialect.takes_replicas:
            return self._again("TRUNCATE registrants RESTART IDENTITY", "name, id")
        sql = "INSERT OR REPLACE INTO registrants (webinar, email, name) VALUES (:which, :address, :name)"
        return self.ledger.sql(sql, which=which, address=address, name=name)

    def reload(self, *_: str) -> None:
        self._again("DELETE FROM registrants", "name, id DESC")

    def _again(self, clear: str, order: str) -> None:
        with self.ledger.database.transaction() as conn:
            rows = execute(conn, f"SELECT webinar, email, name FROM registrants ORDER BY {order}").all()
            execute(conn, clear)
            for row in rows:
                sql = "INSERT INTO registrants (webinar, email, name) VALUES (:webinar, :email, :name)"
                execute(conn, sql, **row._mapping)

    def check(self) -> None:
        sql = self.ledger.sql
        assert sql("SELECT * FROM registrant_change") == []
        assert sql("SELECT * FROM registration WHERE plan = 0") == []
        rows = {
            row.id: (row.webinar, fold(row.email))
            for row in sql("SELECT id, webinar, email FROM registrants")
        }
        aside = _aside(self.ledger)
        registrations = sql(
            "SELECT id, webinar, registrant_id, address_folded FROM registration WHERE gone_at IS NULL"
        )
        by_row = {one.registrant_id: (one.webinar, one.address_folded) for one in registrations}
        sound = {row: person for row, person in rows.items() if row not in aside}

        assert len(by_row) == len(registrations), "a living registration has a row of its own"
        assert {row: by_row.get(row) for row in sound} == sound, "each sound row has its registration"
        assert by_row.keys() | aside.keys() <= rows.keys(), "and nothing outlives its row"
        shared = [rows[row] for row, reason in aside.items() if reason == SHARED_ADDRESS]
        assert all(person in by_row.values() for person in shared), (
            "these wait for an address that another row has"
        )
        for one in registrations:
            assert self.webinar_of.setdefault(one.id, one.webinar) == one.webinar, "an id is for life"

        assert sql("SELECT d.id FROM delivery d JOIN registration r ON r.id = d.registration_id"
                   " WHERE d.state = 'pending' AND r.gone_at IS NOT NULL") == []  # fmt: skip
        assert sql("SELECT g.id FROM registration g WHERE gone_at IS NULL AND NOT EXISTS"
                   " (SELECT 1 FROM delivery d WHERE d.registration_id = g.id AND d.message = 'follow-up'"
                   "  AND d.state = 'pending')") == [], "whoever is there has everything ahead of them"  # fmt: skip
        assert [person for person, times in self.confirmed.items() if times > 1] == []


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["insert", "insert", "plan", "rename", "correct", "move", "delete", "replace", "reload"]
        ),
        st.sampled_from(
            ["a@example.org", "A@Example.org", " a@example.org", "b@example.org", "c@example.org", "none"]
        ),
        st.sampled_from(["a@example.org", "b@example.org", "d@example.org", "no address"]),
        st.sampled_from(["A", "B"]),
        st.sampled_from(["w", "w", "v", "unknown"]),
    ),
    min_size=4,
    max_size=14,
)


def _live_through(ledger: Ledger, steps: list[tuple[str, str, str, str, str]], batch: int) -> None:
    """Batches are of one webinar after the other, and of the newest changes, in turn, as the planner takes them."""
    world, pop, turns = World(ledger), changes._pop_changes, cycle((None, "", None, "v"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(changes, "BATCH", batch)
        patched.setattr(changes, "_pop_changes", lambda conn, limit, _: pop(conn, limit, next(turns)))
        for step in [*steps, ("plan", "", "", "", "")]:
            world.step(*step)


@pytest.mark.engines("both")
@pytest.mark.parametrize("examples", [8, pytest.param(50, marks=pytest.mark.full)])
def test_whatever_is_written_each_row_has_one_registration_and_nobody_is_confirmed_twice(
    ledger: Ledger, examples: int
) -> None:
    @settings(max_examples=examples)
    @given(steps=STEPS, batch=st.sampled_from([1, 2, 5000]))
    def holds(steps: list[tuple[str, str, str, str, str]], batch: int) -> None:
        _live_through(ledger, steps, batch)

    holds()


# Batches


@pytest.mark.parametrize("batch", [1, 3, 7])
@pytest.mark.parametrize("clear", ["DELETE FROM registrants", "TRUNCATE registrants RESTART IDENTITY"])
def test_a_reload_that_is_split_over_batches_sends_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, batch: int, clear: str
) -> None:
    if clear.startswith("TRUNCATE") and not ledger.database.dialect.takes_replicas:
        clear = "DELETE FROM registrants WHERE 1 = 1"
    people = [f"{number}@example.org" for number in range(8)]
    for address in people:
        ledger.register(address)
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")
    before = {(d["address"], d["message"], d["id"], d["state"], d["due_at"]) for d in ledger.deliveries()}
    monkeypatch.setattr(changes, "BATCH", batch)
    with ledger.database.transaction() as conn:
        execute(conn, clear)
        for address in reversed(people):
            execute(conn, "INSERT INTO registrants (webinar, email) VALUES ('w', :email)", email=address)
    ledger.plan(LATER)
    assert {
        (d["address"], d["message"], d["id"], d["state"], d["due_at"]) for d in ledger.deliveries()
    } == before


def test_two_people_swap_their_addresses_and_each_change_comes_in_a_batch_of_its_own(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = ledger.register("a@example.org"), ledger.register("b@example.org")
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")
    monkeypatch.setattr(changes, "BATCH", 1)
    with ledger.database.transaction() as conn:
        for row, email in ((one, "x@example.org"), (two, "a@example.org"), (one, "b@example.org")):
            execute(conn, "UPDATE registrants SET email = :email WHERE id = :row", email=email, row=row)
    ledger.plan(LATER)
    assert _living(ledger) == {("w", "a@example.org"): two, ("w", "b@example.org"): one}
    assert "confirmation#1" not in ledger.states()


U_LABEL, A_LABEL = "straße.de", "xn--strae-oqa.de"


@pytest.mark.parametrize("batch", [1, changes.BATCH])
@pytest.mark.parametrize(
    ("before", "after"), [(U_LABEL, A_LABEL), (A_LABEL, U_LABEL), (U_LABEL, "Straße.DE")]
)
def test_somebody_whose_domain_another_row_writes_in_another_way_is_still_there(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, before: str, after: str, batch: int
) -> None:
    one, two = ledger.register(f"a@{before}"), ledger.register(f"b@{before}")
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")
    monkeypatch.setattr(changes, "BATCH", batch)
    with ledger.database.transaction() as conn:
        for row, email in ((one, "new@example.org"), (two, f"a@{after}")):
            execute(conn, "UPDATE registrants SET email = :email WHERE id = :row", email=email, row=row)
    ledger.plan(LATER)
    assert _living(ledger) == {("w", "new@example.org"): one, ("w", f"a@{after}"): two}
    assert ledger.states(f"a@{after}")["confirmation"] == "sent"
    assert "confirmation#1" not in ledger.states()


@pytest.mark.engines("both")
def test_planning_that_fails_midway_loses_no_change(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.register("old@example.org")
    ledger.plan(ANNOUNCED)
    ledger.register("new@example.org")
    ledger.sql("DELETE FROM registrants WHERE email = 'old@example.org'")
    ledger.govern(webinar(start=datetime(2025, 7, 3, 12)))

    execute = planning.execute_named
    for step in ("bring_up_to_date", "add_missing", "send_again", "add_notices", "settle_links"):
        before = ledger.deliveries()

        def fails(conn: Connection, name: str, step: str = step, **values: Any) -> CursorResult[Any]:
            result = execute(conn, name, **values)
            if name == step:
                raise RuntimeError("the power went out")
            return result

        with monkeypatch.context() as patched:
            patched.setattr(planning, "execute_named", fails)
            with pytest.raises(RuntimeError):
                ledger.plan(LATER)
        assert ledger.deliveries() == before
        assert len(ledger.sql("SELECT * FROM registrant_change")) == 2
    ledger.plan(LATER)
    assert set(ledger.states("old@example.org").values()) == {"cancelled: the registrant's row was deleted"}
    assert ledger.due("new@example.org")["reminder-hour"] == utc("2025-07-03 09:00")


# Rows that share an address, are set aside, or change webinars


def test_a_row_that_waited_for_an_address_gets_it_when_it_is_given_up(ledger: Ledger) -> None:
    first = ledger.register("a@example.org", name="A")
    second = ledger.register(" a@example.org", name="B")
    ledger.plan(ANNOUNCED)
    assert _living(ledger) == {("w", "a@example.org"): first}
    assert _aside(ledger) == {second: SHARED_ADDRESS}
    ledger.sql("UPDATE registrants SET email = 'other@example.org' WHERE id = :row", row=first)
    ledger.plan(LATER)
    assert _living(ledger) == {("w", "a@example.org"): second, ("w", "other@example.org"): first}
    assert _aside(ledger) == {}


def test_of_two_rows_with_one_address_the_other_stays_when_one_is_deleted(ledger: Ledger) -> None:
    first = ledger.register("a@example.org")
    second = ledger.register("a@example.org ")
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")
    ledger.sql("DELETE FROM registrants WHERE id = :row", row=first)
    ledger.plan(LATER)
    assert _living(ledger) == {("w", "a@example.org"): second}
    assert ledger.states()["confirmation"] == "sent"
    assert ledger.states()["reminder-day"] == "pending"


def test_a_set_aside_row_that_is_deleted_is_forgotten(ledger: Ledger) -> None:
    row = ledger.register("no address")
    ledger.plan(ANNOUNCED)
    assert row in _aside(ledger)
    ledger.sql("DELETE FROM registrants")
    ledger.plan(LATER)
    assert _aside(ledger) == {}


@pytest.mark.engines("both")
def test_a_set_aside_row_that_vanishes_without_a_trigger_is_forgotten(ledger: Ledger) -> None:
    ledger.register("a@example.org", join_url="javascript:alert(1)")
    ledger.plan(ANNOUNCED)
    if ledger.database.dialect.takes_replicas:
        ledger.sql("TRUNCATE registrants")
        ledger.register("a@example.org")
    else:
        ledger.sql("INSERT OR REPLACE INTO registrants (webinar, email) VALUES ('w', 'a@example.org')")
    ledger.plan(LATER)
    assert _aside(ledger) == {}
    assert ledger.states()["confirmation"] == "pending"


def test_a_person_who_is_moved_to_another_webinar_leaves_the_first(ledger: Ledger) -> None:
    row = ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")
    ledger.sql("UPDATE registrants SET webinar = 'v'")
    ledger.plan(LATER)
    assert _living(ledger) == {("v", "a@example.org"): row}
    states = [(d["webinar"], d["message"], d["state"]) for d in ledger.deliveries()]
    assert ("v", "confirmation", "pending") in states
    assert ("w", "reminder-day", "cancelled") in states
    ledger.sql("UPDATE registrants SET webinar = 'w'")
    ledger.plan(LATER + timedelta(hours=1))
    assert _living(ledger) == {("w", "a@example.org"): row}
    assert [
        d["state"] for d in ledger.deliveries() if (d["webinar"], d["message"]) == ("w", "confirmation")
    ] == ["sent"]


def test_a_person_who_is_moved_to_an_unknown_webinar_leaves_the_first_too(ledger: Ledger) -> None:
    row = ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    ledger.sql("UPDATE registrants SET webinar = 'unknown'")
    ledger.plan(LATER)
    assert _living(ledger) == {}
    assert _aside(ledger) == {row: "unknown webinar"}
    assert set(ledger.states().values()) == {"cancelled: the registrant's row was deleted"}


def test_one_person_in_two_webinars_is_two_registrations(ledger: Ledger) -> None:
    ledger.register("a@example.org")
    ledger.register("a@example.org", "v")
    ledger.plan(ANNOUNCED)
    ledger.sql("DELETE FROM registrants WHERE webinar = 'w'")
    ledger.plan(LATER)
    states = {(d["webinar"], d["state"]) for d in ledger.deliveries()}
    assert states == {("w", "cancelled"), ("v", "pending")}
    uids = [row.uid for row in ledger.sql("SELECT uid FROM registration")]
    assert len(set(uids)) == 2


def test_who_suppressed_their_address_and_registers_for_another_webinar_is_not_written_to(
    ledger: Ledger,
) -> None:
    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    with ledger.database.transaction() as conn:
        assert len(suppress_address(conn, LATER, "A@Example.ORG")) == 1
    ledger.register("a@example.org", "v")
    ledger.plan(LATER)
    reasons = {(d["webinar"], d["state"], d["reason"]) for d in ledger.deliveries()}
    assert reasons == {
        ("w", "cancelled", "the address is suppressed"),
        ("v", "skipped", "the address is suppressed"),
    }


def test_a_confirmation_of_another_system_that_is_imported_later_still_counts(ledger: Ledger) -> None:
    from scheduler.registrants.files.importing import import_rows
    from scheduler.registrants.files.reading import FileRow

    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    with ledger.database.transaction() as conn:
        rows = [FileRow(2, {"email": "a@example.org"})]
        import_rows(conn, rows, "people.csv", webinars=["w"], default_webinar="w", already_confirmed=True)
    ledger.plan(LATER)
    assert ledger.states()["confirmation"] == "skipped: confirmed by another system"
    ledger.sql("UPDATE registrants SET email = 'right@example.org'")
    ledger.plan(LATER)
    assert ledger.states()["confirmation"] == "pending", "a changed address is a new recipient"


# Ids that a reload uses again


def _people(ledger: Ledger) -> dict[str, str]:
    return {
        row.address: row.uid
        for row in ledger.sql("SELECT address, uid FROM registration WHERE gone_at IS NULL ORDER BY id")
    }


@pytest.mark.parametrize("batch", [1, 2, 5000])
@pytest.mark.parametrize("reload", ["truncate", "delete, ids written out"])
def test_a_reload_that_uses_ids_again_confirms_only_who_is_new(
    ledger: Ledger, batch: int, reload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reload == "truncate" and not ledger.database.dialect.takes_replicas:
        pytest.skip("PostgreSQL's own statement")
    monkeypatch.setattr(changes, "BATCH", batch)
    addresses = [f"{name}@example.org" for name in "bcd"]
    for address in addresses:
        ledger.register(address)
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")
    before = _people(ledger)
    clear = "TRUNCATE registrants RESTART IDENTITY" if reload == "truncate" else "DELETE FROM registrants"
    with ledger.database.transaction() as conn:
        execute(conn, clear)
        for number, address in enumerate(["a@example.org", *addresses], start=1):
            columns, values = ("id, ", ":id, ") if reload != "truncate" else ("", "")
            given = {"id": number} if columns else {}
            execute(
                conn,
                f"INSERT INTO registrants ({columns}webinar, email) VALUES ({values}'w', :email)",
                email=address,
                **given,
            )
    ledger.plan(ANNOUNCED + timedelta(hours=1))
    after = _people(ledger)
    assert {address: after[address] for address in addresses} == before
    confirmations = [d for d in ledger.deliveries() if d["message"] == "confirmation"]
    assert {d["address"]: d["state"] for d in confirmations} == {
        "a@example.org": "pending", **dict.fromkeys(addresses, "sent")
    }  # fmt: skip
    assert len(confirmations) == 4


@pytest.mark.engines("both")
def test_two_rows_that_swap_their_addresses_are_the_same_two_people(ledger: Ledger) -> None:
    for address in ("a@example.org", "b@example.org"):
        ledger.register(address)
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")
    before = _people(ledger)
    with ledger.database.transaction() as conn:
        for old, new in (("a@", "x@"), ("b@", "a@"), ("x@", "b@")):
            execute(
                conn,
                "UPDATE registrants SET email = :new WHERE email = :old",
                old=f"{old}example.org",
                new=f"{new}example.org",
            )
    ledger.plan(ANNOUNCED + timedelta(hours=1))
    assert _people(ledger) == before
    assert {d["state"] for d in ledger.deliveries() if d["message"] == "confirmation"} == {"sent"}


@pytest.mark.engines("both")
def test_an_upsert_by_id_corrects_an_address(ledger: Ledger) -> None:
    number = ledger.register("wrong@example.org")
    ledger.plan(ANNOUNCED)
    ledger.set("confirmation", "sent")
    ledger.sql(
        "INSERT INTO registrants (id, webinar, email) VALUES (:id, 'w', 'right@example.org')"
        " ON CONFLICT (id) DO UPDATE SET email = excluded.email",
        id=number,
    )
    ledger.plan(ANNOUNCED + timedelta(hours=1))
    assert ledger.states() == ledger.states("right@example.org")
    assert ledger.states()["confirmation#1"] == "pending"
