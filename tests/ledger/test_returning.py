"""Deliveries that come back from the relay, and concurrent writes: nothing stale is sent, nothing lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, CursorResult, event

from scheduler.database.engine import Database, execute
from scheduler.ledger import claims, outcomes, planning
from scheduler.ledger.entries import Claimed, Outcome, Start
from scheduler.ledger.states import State
from scheduler.registrants.files.importing import import_rows
from scheduler.registrants.files.reading import FileRow
from scheduler.registrants.suppression import suppress
from tests.support import Ledger, plan, settle_and_plan, start, utc, webinar

pytestmark = pytest.mark.engines("sqlite")

BEFORE = utc("2025-06-12 07:59")
ANNOUNCED = utc("2025-06-12 08:00")
LATER = utc("2025-06-12 08:05")
MOVED = {"start": datetime(2025, 7, 10, 13), "end": datetime(2025, 7, 10, 15)}


@pytest.fixture
def ledger(database: Database) -> Ledger:
    ledger = Ledger(database)
    ledger.govern(webinar())
    ledger.register("a@example.org")
    ledger.plan(ANNOUNCED)
    return ledger


def _claim(ledger: Ledger, now: datetime = ANNOUNCED) -> Claimed:
    with ledger.database.transaction() as conn:
        (claimed,) = claims.claim(conn, now, "token", 1, 1)
    return claimed


def _start(claimed: Claimed) -> Start:
    return start(claimed, LATER)


def _begin(ledger: Ledger, claimed: Claimed) -> bool:
    with ledger.database.transaction() as conn:
        return claimed.id in outcomes.begin(conn, [_start(claimed)])


def _comes_back(ledger: Ledger, claimed: Claimed, how: str) -> None:
    """Deferred by the relay, its answer lost, or its sender killed."""
    with ledger.database.transaction() as conn:
        if how == "killed":
            claims.end_leases(conn, LATER)
            return
        state = State.PENDING if how == "deferred" else State.IN_DOUBT
        outcomes.conclude(conn, [Outcome(claimed, state, LATER, how, again_at=LATER)])


def _tick(ledger: Ledger, now: datetime = LATER) -> None:
    with ledger.database.transaction() as conn:
        governing = ledger.revisions.governing(conn)
        while settle_and_plan(conn, now, governing, timedelta(hours=24)):
            pass


WAYS = pytest.mark.parametrize("how", ["deferred", "in_doubt", "killed"])


@pytest.mark.engines("both")
@WAYS
def test_what_comes_back_is_sent_again(ledger: Ledger, how: str) -> None:
    claimed = _claim(ledger)
    assert _begin(ledger, claimed)
    _comes_back(ledger, claimed, how)
    _tick(ledger)
    assert ledger.states()["confirmation"] == "pending"


@WAYS
@pytest.mark.parametrize(
    ("meanwhile", "state"),
    [
        ("deleted", "cancelled: the registrant's row was deleted"),
        ("suppressed", "cancelled: the address is suppressed"),
        ("cancelled", "cancelled: the webinar is cancelled"),
        ("taken out", "cancelled: the message was taken out of the webinar"),
    ],
)
def test_unless_it_is_no_longer_wanted(ledger: Ledger, how: str, meanwhile: str, state: str) -> None:
    claimed = _claim(ledger)
    assert _begin(ledger, claimed)
    if meanwhile == "deleted":
        ledger.sql("DELETE FROM registrants")
    elif meanwhile == "suppressed":
        with ledger.database.transaction() as conn:
            suppress(conn, LATER, "a@example.org")
    elif meanwhile == "cancelled":
        ledger.govern(webinar(cancelled=True))
    else:
        ledger.govern(webinar('[[messages]]\nid = "reminder-hour"\nbefore_start = "1h"\n'))
    _tick(ledger)
    assert ledger.states()["confirmation"] == "sending"
    _comes_back(ledger, claimed, how)
    _tick(ledger)
    assert ledger.states()["confirmation"] == state


@WAYS
def test_a_mail_to_the_old_address_that_comes_back_is_not_sent_beside_the_one_to_the_new(
    ledger: Ledger, how: str
) -> None:
    claimed = _claim(ledger)
    assert _begin(ledger, claimed)
    ledger.sql("UPDATE registrants SET email = 'right@example.org'")
    _tick(ledger)
    _comes_back(ledger, claimed, how)
    _tick(ledger)
    assert ledger.states()["confirmation"] == "cancelled: a later edition takes its place"
    assert ledger.states()["confirmation#1"] == "pending"


@WAYS
def test_a_reminder_of_the_old_time_that_comes_back_gives_way_to_that_of_the_new(
    ledger: Ledger, how: str
) -> None:
    ledger.set("confirmation", "sent")
    claimed = _claim(ledger, utc("2025-07-02 07:00"))
    assert (claimed.message, _begin(ledger, claimed)) == ("reminder-day", True)
    ledger.govern(webinar(**MOVED))
    _tick(ledger, utc("2025-07-02 07:01"))
    _comes_back(ledger, claimed, how)
    _tick(ledger, utc("2025-07-02 07:02"))
    assert ledger.states()["reminder-day"] == "cancelled: a later edition takes its place"
    assert ledger.due()["reminder-day#1"] == utc("2025-07-09 07:00")


def test_a_delivery_held_for_doubt_stays_held_through_a_nightly_reload(ledger: Ledger) -> None:
    ledger.govern(webinar(on_doubt="hold"))
    claimed = _claim(ledger)
    assert _begin(ledger, claimed)
    _comes_back(ledger, claimed, "in_doubt")
    _tick(ledger)
    assert ledger.states()["confirmation"] == "held: doubt"
    ledger.sql("DELETE FROM registrants")
    _tick(ledger)
    ledger.register("a@example.org")
    _tick(ledger)
    assert ledger.states()["confirmation"] == "held: doubt"
    assert ledger.states()["reminder-day"] == "pending"


def test_what_failed_at_the_old_address_does_not_go_to_a_suppressed_one(ledger: Ledger) -> None:
    ledger.set("confirmation", "sent")
    ledger.set("reminder-day", "failed")
    with ledger.database.transaction() as conn:
        suppress(conn, LATER, "new@example.org")
    ledger.sql("UPDATE registrants SET email = 'new@example.org'")
    _tick(ledger)
    assert ledger.states()["reminder-day"] == "cancelled: the address is suppressed"
    assert "confirmation#1" not in ledger.states()


def test_a_mail_that_waited_for_its_next_try_goes_to_a_corrected_address_at_once(ledger: Ledger) -> None:
    claimed = _claim(ledger)
    assert _begin(ledger, claimed)
    with ledger.database.transaction() as conn:
        outcome = Outcome(claimed, State.PENDING, LATER, "deferred", again_at=LATER + timedelta(hours=4))
        outcomes.conclude(conn, [outcome])
    ledger.sql("UPDATE registrants SET email = 'right@example.org'")
    _tick(ledger)
    assert _claim(ledger, LATER).address == "right@example.org"


def test_what_expires_while_it_is_leased_is_not_begun(ledger: Ledger) -> None:
    claimed = _claim(ledger)
    _tick(ledger, utc("2025-07-03 13:00"))
    assert not _begin(ledger, claimed)
    assert ledger.states()["confirmation"] == "expired: no longer useful"


# Wake-ups of the service


def test_a_draft_whose_mails_are_overdue_wakes_nobody_before_they_expire(ledger: Ledger) -> None:
    ledger.govern(webinar(status="draft"))
    _tick(ledger)
    ledger.sql("UPDATE delivery SET next_attempt_at = :before", before=BEFORE)
    with ledger.database.transaction() as conn:
        assert claims.next_wake(conn, BEFORE) == utc("2025-07-03 10:00"), "a reminder gives way to the next"


@pytest.mark.parametrize(
    "state", ["sending", "sent", "in_doubt", "failed", "skipped", "cancelled", "expired"]
)
def test_a_delivery_that_waits_for_nothing_wakes_nobody(ledger: Ledger, state: str) -> None:
    ledger.sql("UPDATE delivery SET state = :state", state=state)
    with ledger.database.transaction() as conn:
        assert claims.next_wake(conn, BEFORE) is None


def test_an_idle_tick_looks_through_no_table_that_grows_with_the_people(database: Database) -> None:
    if database.dialect.takes_replicas:
        pytest.skip("its planner looks at how much there is; the indexes are the same")
    ledger = Ledger(database)
    ledger.govern(webinar(), webinar(id="v"))
    ledger.register("a@example.org")
    _tick(ledger)
    statements: list[tuple[str, Any]] = []
    event.listen(
        database.engine, "before_cursor_execute", lambda *args: statements.append((args[2], args[3]))
    )
    _tick(ledger)
    with database.transaction() as conn:
        claims.next_wake(conn, BEFORE)
        claims.claim(conn, ANNOUNCED - timedelta(days=1), "token", 5, 5)
    looked = [
        (row[3], sql)
        for sql, values in list(statements)
        if not sql.startswith("BEGIN")
        for row in _explained(database, sql, values)
    ]
    for table in ("delivery", "registration", "registrants", "attempt", "due_time"):
        through = [sql for step, sql in looked if step == f"SCAN {table}"]
        assert through == []
    assert any("delivery" in step for step, _ in looked)
    assert [sql for step, sql in looked if "delivery_message" in step] == [], "all deliveries of a webinar"


def _explained(database: Database, sql: str, values: Any) -> list[Any]:
    connection = database.engine.raw_connection()
    try:
        return list(connection.cursor().execute("EXPLAIN QUERY PLAN " + sql, values).fetchall())
    finally:
        connection.close()


# At the same moment, from elsewhere


@contextmanager
def _beside(ledger: Ledger, work: Callable[[Connection], object]) -> Iterator[None]:
    """Another process's transaction, which waits for a lock of ours and ends after the block."""
    failure: list[BaseException] = []

    def transaction() -> None:
        try:
            with ledger.database.transaction() as conn:
                work(conn)
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=transaction)
    thread.start()
    _until_waiting(ledger, thread)
    yield
    thread.join(30)
    assert failure == []
    assert not thread.is_alive()


def _until_waiting(ledger: Ledger, thread: threading.Thread) -> None:
    """Or until it is through, where it has nothing to wait for."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ledger.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        while thread.is_alive() and not execute(conn, waiting).scalar():
            pass


@pytest.fixture
def shared(ledger: Ledger) -> Ledger:
    if not ledger.database.dialect.takes_replicas:
        pytest.skip("SQLite has one writer at a time")
    return ledger


@pytest.mark.engines("both")
def test_a_mail_that_is_begun_while_it_is_planned_again_stays_on_the_wire(shared: Ledger) -> None:
    claimed = _claim(shared)
    shared.sql("UPDATE registrants SET timezone = 'Asia/Tokyo'")
    with shared.database.engine.begin() as conn:
        assert outcomes.begin(conn, [_start(claimed)])
        governing = shared.revisions.governing(conn)
        beside = _beside(shared, lambda other: plan(other, LATER, governing, timedelta(hours=24)))
        with beside:
            conn.commit()
    assert shared.states()["confirmation"] == "sending"
    assert len(shared.sql("SELECT id FROM delivery WHERE lease_token IS NOT NULL")) == 1


def _plan_while(ledger: Ledger, patched: pytest.MonkeyPatch, work: Callable[[Connection], object]) -> None:
    """Somebody else writes after planning has read, and before it ends."""
    settled = planning.execute_named
    with ledger.database.engine.begin() as conn, ExitStack() as beside:
        governing = ledger.revisions.governing(conn)

        def late(conn: Connection, name: str, **values: Any) -> CursorResult[Any]:
            result = settled(conn, name, **values)
            if name == "settle_links":
                beside.enter_context(_beside(ledger, work))
            return result

        patched.setattr(planning, "execute_named", late)
        plan(conn, LATER, governing, timedelta(hours=24))
        conn.commit()
    patched.undo()
    _tick(ledger)


@pytest.mark.engines("both")
def test_an_address_that_is_suppressed_while_its_webinar_is_planned_is_suppressed(
    shared: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared.register("b@example.org")
    _plan_while(shared, monkeypatch, lambda other: suppress(other, LATER, "a@example.org"))
    assert set(shared.states("a@example.org").values()) == {"cancelled: the address is suppressed"}


@pytest.mark.engines("both")
def test_a_mail_that_is_deferred_while_its_row_is_planned_again_is_planned_after_it(
    shared: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed = _claim(shared)
    assert _begin(shared, claimed)
    shared.sql("DELETE FROM registrants")
    _tick(shared)
    shared.register("b@example.org")
    deferred = Outcome(claimed, State.PENDING, LATER, "deferred", again_at=LATER)
    _plan_while(shared, monkeypatch, lambda other: outcomes.conclude(other, [deferred]))
    assert shared.states("a@example.org")["confirmation"] == "cancelled: the registrant's row was deleted"


@pytest.mark.engines("both")
def test_people_confirmed_elsewhere_who_are_imported_while_their_webinar_is_planned_get_no_confirmation(
    shared: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared.register("b@example.org")
    rows = [FileRow(2, {"email": "a@example.org"})]

    def moves_them_over(other: Connection) -> None:
        import_rows(other, rows, "people.csv", webinars=["w"], default_webinar="w", already_confirmed=True)

    _plan_while(shared, monkeypatch, moves_them_over)
    assert shared.states("a@example.org")["confirmation"] == "skipped: confirmed by another system"


@pytest.mark.engines("both")
def test_rows_that_are_committed_while_we_plan_are_planned_next(shared: Ledger) -> None:
    with shared.database.engine.begin() as other:
        execute(other, "INSERT INTO registrants (webinar, email) VALUES ('w', 'slow@example.org')")
        shared.register("quick@example.org")
        _tick(shared)
        assert shared.states("quick@example.org")["confirmation"] == "pending"
        other.commit()
    _tick(shared)
    assert shared.states("slow@example.org")["confirmation"] == "pending"
