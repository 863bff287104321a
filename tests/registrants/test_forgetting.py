"""A person who asked to be forgotten: nothing is held of them, and nothing but they themselves brings them back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scheduler.database.engine import Database, execute
from scheduler.governing.revisions import bring_up_to_date
from scheduler.input.addresses import fold
from scheduler.ledger import claims, outcomes, requests, settling
from scheduler.ledger.entries import Claimed, Outcome, Start, Version
from scheduler.ledger.forgetting import Erased, find, forget
from scheduler.ledger.planning import absorb, plan_people
from scheduler.ledger.states import State
from scheduler.registrants.files.importing import import_rows
from scheduler.registrants.files.reading import read_rows
from scheduler.registrants.forgotten import DOUBTFUL, FORGOTTEN
from scheduler.registrants.suppression import suppress
from tests.everywhere import everywhere
from tests.support import Ledger, start, utc, webinar

pytestmark = pytest.mark.engines("sqlite")
both = pytest.mark.engines("both")

NOW = utc("2025-06-12 08:00")
LATER = utc("2025-06-12 09:00")
NEXT_DAY = utc("2025-06-13 09:00")
ADDRESS, NAME, LINK = "Maya.S@exämple.org", "Maya Shrestha", "https://meet.who.int/w/maya-only"
ZONE = "Maya's own clock"  # what people type is theirs, wherever they type it
HERS = ("maya.s@", NAME, "maya-only", ZONE)


@pytest.fixture
def ledger(database: Database) -> Ledger:
    ledger = Ledger(database)
    ledger.govern(webinar(), webinar(id="v"))
    return ledger


def claim(ledger: Ledger) -> list[Claimed]:
    with ledger.database.transaction() as conn:
        return claims.claim(conn, NOW, claims.new_token(1), 100, 100)


def starts_of(claimed: list[Claimed]) -> list[Start]:
    """With an invitation that names its reader."""
    starts = []
    for one in claimed:
        calendar = f"ATTENDEE;CN={one.name}:mailto:\r\n {one.address}\r\nURL:{one.join_url}".encode()
        starts.append(start(one, NOW, invitation=Version(one.uid, 0, "REQUEST", NOW, "", calendar)))
    return starts


def begin(ledger: Ledger, claimed: list[Claimed]) -> set[int]:
    with ledger.database.transaction() as conn:
        return outcomes.begin(conn, starts_of(claimed))


def conclude(ledger: Ledger, claimed: list[Claimed], state: Any = State.SENT, attempt: str = "sent") -> None:
    with ledger.database.transaction() as conn:
        reply = [f"queued for <{one.address}>" for one in claimed]
        again_at = LATER if state is State.PENDING else None
        ended = [
            Outcome(one, state, NOW, attempt, again_at=again_at, reply=words)
            for one, words in zip(claimed, reply, strict=True)
        ]
        outcomes.conclude(conn, ended)


def send(ledger: Ledger) -> None:
    claimed = claim(ledger)
    begin(ledger, claimed)
    conclude(ledger, claimed)


def forgets(ledger: Ledger, address: str = ADDRESS, now: datetime = LATER) -> Erased:
    with ledger.database.reading() as conn:
        found = find(conn, address)
    return ledger.database.in_transaction(lambda conn: forget(conn, now, address, found))


def register(ledger: Ledger, **columns: Any) -> int:
    return ledger.register(
        ADDRESS, **{"name": NAME, "join_url": LINK, "timezone": ZONE, "language": "en"} | columns
    )


def uids(ledger: Ledger) -> list[str]:
    return [row.uid for row in ledger.sql("SELECT uid FROM registration WHERE name = :name", name=NAME)]


def held(ledger: Ledger, *more: str) -> list[str]:
    """Where anything of hers stands, but in the table that is not ours."""
    return everywhere(ledger.database, [*HERS, *more], besides=["registrants"])


def chooses(ledger: Ledger, webinar: str) -> None:
    """She chooses whatever there is to choose on her page."""
    governing = ledger.governing[webinar]
    with ledger.database.transaction() as conn:
        number = requests.registered(conn, fold(ADDRESS))[webinar]
        requests.choose_zone(conn, NOW, governing, number, "Asia/Tokyo")
        requests.choose_messages(conn, NOW, governing, number, ["follow-up"])
        requests.unsubscribe(conn, NOW, governing, number, everything=False, source="page")
        execute(
            conn,
            "INSERT INTO mailed_link (token_sha256, purpose, subject_id, until) VALUES ('x', 'data', :id, :now)",
            id=number,
            now=NOW,
        )


def people(ledger: Ledger) -> list[str]:
    return sorted(row.address for row in ledger.sql("SELECT address FROM registration WHERE gone_at IS NULL"))


def aside(ledger: Ledger) -> dict[int, str]:
    return {
        row.registrant_id: row.reason for row in ledger.sql("SELECT registrant_id, reason FROM row_set_aside")
    }


# Removed data


@both
def test_nothing_of_them_is_left_in_any_column_of_any_table(ledger: Ledger) -> None:
    with ledger.database.transaction() as conn:  # as an import does it, before it writes the rows
        execute(
            conn,
            "INSERT INTO confirmed_elsewhere VALUES ('v', 'maya.s@xn--exmple-cua.org'), ('w', 'c@example.org')",
        )
    register(ledger)
    register(ledger, webinar="v")
    register(ledger, webinar="nowhere")
    ledger.register("b@example.org", name="B")
    ledger.plan(NOW)
    send(ledger)
    chooses(ledger, webinar="w")
    ledger.sql(
        "UPDATE registrants SET name = 'Maya Shrestha-Rai' WHERE webinar = 'w' AND name = :name", name=NAME
    )
    ledger.sql("UPDATE registrants SET email = 'new.' || email WHERE webinar = 'v'")
    ledger.plan(NOW)
    send(ledger)
    ledger.sql("UPDATE registrants SET email = substr(email, 5) WHERE webinar = 'v'")
    ledger.plan(NOW)
    send(ledger)
    with ledger.database.transaction() as conn:
        suppress(conn, NOW, ADDRESS)
    ledger.sql(
        "INSERT INTO outbox (recipient, content, asked_at) VALUES (:to, 'Dear M.', :now)", to=ADDRESS, now=NOW
    )
    hers = uids(ledger)
    before = held(ledger, *hers)
    assert {"registration.address", "registration.uid", "attempt.reply", "invitation.calendar", "told.uid",
            "told.join_url", "suppression.address_folded", "confirmed_elsewhere.address_folded",
            "zone_evidence.timezone", "choice.address_folded", "unwanted.address_folded"} <= set(before)  # fmt: skip
    ids = {str(row.uid) for row in ledger.sql("SELECT uid FROM former_uid")}
    assert ids

    erased = forgets(ledger)

    assert held(ledger, *hers, *ids) == []
    assert ledger.sql("SELECT * FROM mailed_link") == []
    assert erased.registrations == 2
    assert people(ledger) == ["b@example.org"]
    assert "b@example.org" in {row.address for row in ledger.sql("SELECT address FROM attempt")}
    assert ledger.sql("SELECT webinar FROM confirmed_elsewhere") == [("w",)]


def test_the_file_of_sqlite_holds_nothing_of_them_either(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    ledger = Ledger(database)
    ledger.govern(webinar())
    register(ledger)
    ledger.plan(NOW)
    send(ledger)
    forgets(ledger)
    ledger.sql("DELETE FROM registrants")
    database.close()  # with which the last of the write-ahead log is in the file
    raw = Path(sqlite_url.removeprefix("sqlite:///")).read_bytes()
    assert b"maya-only" not in raw
    assert NAME.encode() not in raw


def test_counts_stay_and_unsent_mails_are_cancelled(ledger: Ledger) -> None:
    register(ledger)
    ledger.plan(NOW)
    send(ledger)
    erased = forgets(ledger)
    counted = ledger.sql("SELECT message, state, reason FROM delivery ORDER BY due_at")
    assert [tuple(row) for row in counted] == [
        ("confirmation", "sent", ""),
        ("reminder-day", "cancelled", "its person was forgotten"),
        ("reminder-hour", "cancelled", "its person was forgotten"),
        ("follow-up", "cancelled", "its person was forgotten"),
    ]
    assert (erased.mails, erased.cancelled, erased.on_the_wire) == (4, 3, 0)


def test_who_is_not_known_is_not_remembered(ledger: Ledger) -> None:
    erased = forgets(ledger, "nobody@example.org")
    assert not erased.anything
    assert not erased.remembered
    assert ledger.sql("SELECT * FROM forgotten") == []


def test_twice_is_as_once(ledger: Ledger) -> None:
    register(ledger)
    ledger.plan(NOW)
    assert forgets(ledger).anything
    marks = ledger.sql("SELECT * FROM forgotten ORDER BY digest")
    assert not forgets(ledger, now=NEXT_DAY).anything
    assert ledger.sql("SELECT * FROM forgotten ORDER BY digest") == marks


def test_of_a_corrected_address_what_went_to_it_goes_and_the_new_one_stays(ledger: Ledger) -> None:
    register(ledger)
    ledger.plan(NOW)
    send(ledger)
    [hers] = uids(ledger)
    ledger.sql("UPDATE registrants SET email = 'other@example.org'")
    ledger.plan(NOW)
    send(ledger)
    erased = forgets(ledger)
    assert (erased.registrations, erased.others) == (0, 1)
    assert everywhere(ledger.database, ["maya.s@", hers]) == []
    assert ledger.states("other@example.org")["confirmation#1"] == "sent"
    assert "other@example.org" in [row.address for row in ledger.sql("SELECT address FROM attempt")]


def test_a_forgotten_person_who_is_in_no_webinar_yet_is_never_absorbed(ledger: Ledger) -> None:
    register(ledger)
    assert forgets(ledger).remembered
    ledger.plan(LATER)
    assert people(ledger) == []


# A mail under way


@both
def test_a_mail_that_is_claimed_stays_here(ledger: Ledger) -> None:
    register(ledger)
    ledger.plan(NOW)
    claimed = claim(ledger)
    forgets(ledger)
    assert begin(ledger, claimed) == set()
    assert held(ledger) == []


@pytest.mark.parametrize(
    ("state", "attempt", "becomes"),
    [
        (State.SENT, "sent", "sent"),
        (State.FAILED, "refused", "failed"),
        (State.PENDING, "deferred", "expired"),
        (State.IN_DOUBT, "in_doubt", "in_doubt"),
    ],
)
def test_a_mail_on_the_wire_ends_without_the_person(
    ledger: Ledger, state: State, attempt: str, becomes: str
) -> None:
    register(ledger)
    ledger.plan(NOW)
    claimed = claim(ledger)
    begin(ledger, claimed)
    assert forgets(ledger).on_the_wire == 1
    conclude(ledger, claimed, state, attempt)
    with ledger.database.transaction() as conn:
        settling.resolve_doubts(conn, LATER, {"w": webinar()})
        settling.expire(conn, LATER)
    assert held(ledger) == []
    [[mail]] = ledger.sql("SELECT state FROM delivery WHERE message = 'confirmation'")
    assert mail == becomes
    assert [row.outcome for row in ledger.sql("SELECT outcome FROM attempt")] == [attempt]


def test_the_start_of_a_mail_that_is_recorded_again_brings_nothing_back(ledger: Ledger) -> None:
    """The recorder repeats a transaction whose commit it could not confirm."""
    register(ledger)
    ledger.plan(NOW)
    claimed = claim(ledger)
    begin(ledger, claimed)
    forgets(ledger)
    assert begin(ledger, claimed) == set()
    assert held(ledger) == []


@pytest.mark.parametrize("what", ["a mail begins", "they are planned"])
def test_what_another_service_does_at_this_moment_is_waited_for(postgresql_url: str, what: str) -> None:
    """What it writes would stay, unseen."""
    database = Database(postgresql_url)
    ledger = Ledger(database)
    ledger.govern(webinar())
    register(ledger)
    if what == "they are planned":
        with database.transaction() as conn:
            bring_up_to_date(conn, NOW, ledger.revisions)
            absorb(conn, NOW, ledger.governing, timedelta(hours=24))
    else:
        ledger.plan(NOW)
    claimed = claim(ledger)
    governing = ledger.governing["w"]
    with ThreadPoolExecutor(1) as aside, database.engine.begin() as conn:
        if claimed:
            assert outcomes.begin(conn, starts_of(claimed))
        else:
            assert plan_people(conn, NOW, governing) == 1
        forgetting = aside.submit(forgets, ledger)
        while not ledger.sql("SELECT 1 FROM pg_locks WHERE NOT granted"):
            assert not forgetting.done()
        conn.commit()
        erased = forgetting.result(20)
    assert held(ledger) == []
    assert erased.on_the_wire == len(claimed)
    assert ledger.sql("SELECT 1 FROM delivery WHERE registration_id > 0") == []
    database.close()


# Their rows


def test_their_row_stays_and_brings_no_registration(ledger: Ledger) -> None:
    row = register(ledger)
    ledger.plan(NOW)
    forgets(ledger)
    ledger.plan(LATER)
    assert people(ledger) == []
    assert aside(ledger) == {row: FORGOTTEN}
    assert ledger.sql("SELECT email FROM registrants") == [(ADDRESS,)]


@both
@pytest.mark.parametrize("registered_at", [None, "2025-06-01 10:00:00+00:00"])
def test_no_nightly_reload_brings_them_back(ledger: Ledger, registered_at: str | None) -> None:
    register(ledger, registered_at=registered_at and utc("2025-06-01 10:00"))
    ledger.plan(NOW)
    forgets(ledger)
    for night in range(1, 4):
        ledger.sql("DELETE FROM registrants")
        ledger.plan(LATER + timedelta(days=night))
        register(ledger, registered_at=registered_at and utc("2025-06-01 10:00"))
        ledger.register(f"b{night}@example.org")
        ledger.plan(LATER + timedelta(days=night, hours=1))
    assert people(ledger) == ["b3@example.org"]
    assert set(aside(ledger).values()) == {FORGOTTEN}


def test_their_number_may_be_anothers_by_now(ledger: Ledger) -> None:
    row = register(ledger)
    ledger.plan(NOW)
    forgets(ledger)
    ledger.plan(LATER)
    ledger.sql("DELETE FROM registrants")
    ledger.sql("INSERT INTO registrants (id, webinar, email) VALUES (:id, 'w', 'b@example.org')", id=row)
    register(ledger)
    ledger.plan(NEXT_DAY)
    assert people(ledger) == ["b@example.org"]


def test_a_forgotten_person_who_takes_the_row_of_another_takes_nothing_else(ledger: Ledger) -> None:
    register(ledger)
    other = ledger.register("b@example.org")
    ledger.plan(NOW)
    forgets(ledger)
    ledger.sql("DELETE FROM registrants")
    ledger.sql(
        "INSERT INTO registrants (id, webinar, email) VALUES (:id, 'w', :email)", id=other, email=ADDRESS
    )
    ledger.register("b@example.org")
    ledger.plan(LATER)
    assert people(ledger) == ["b@example.org"]
    assert len(ledger.sql("SELECT * FROM registration")) == 1, "the same, at its new row"


# Who comes back


@both
def test_a_row_that_says_they_registered_later_brings_them_back(ledger: Ledger) -> None:
    register(ledger)
    ledger.register("b@example.org", registered_at=utc("2025-06-01 10:00"))
    ledger.plan(NOW)
    forgets(ledger)
    ledger.sql(
        "UPDATE registrants SET registered_at = :at WHERE name = :name", at=utc("2025-06-13 08:00"), name=NAME
    )
    if not ledger.database.dialect.takes_replicas:  # with its zone, as its owner may write it
        ledger.sql(
            "UPDATE registrants SET registered_at = '2025-06-13T10:00+02:00' WHERE name = :name", name=NAME
        )
    ledger.plan(NEXT_DAY)
    assert people(ledger) == [ADDRESS, "b@example.org"]
    assert ledger.states(ADDRESS)["confirmation"] == "pending"
    ledger.sql("UPDATE registrants SET registered_at = NULL, name = 'M.' WHERE name = :name", name=NAME)
    ledger.plan(NEXT_DAY + timedelta(days=2))
    assert ADDRESS in people(ledger), "that they came back is remembered"
    assert forgets(ledger, now=NEXT_DAY + timedelta(days=3)).registrations == 1
    ledger.plan(NEXT_DAY + timedelta(days=3))
    assert people(ledger) == ["b@example.org"], "and forgotten again"


def test_only_for_the_webinar_whose_row_says_so(ledger: Ledger) -> None:
    register(ledger)
    ledger.register("b@example.org", webinar="v", registered_at=utc("2025-06-01 10:00"))
    ledger.plan(NOW)
    forgets(ledger)
    register(ledger, webinar="v", registered_at=utc("2025-06-13 08:00"))
    if not ledger.database.dialect.takes_replicas:
        ledger.sql("UPDATE registrants SET registered_at = '2025-06-13T08:00Z' WHERE name = :name", name=NAME)
    ledger.plan(NEXT_DAY)
    assert people(ledger) == [ADDRESS, "b@example.org"]
    assert [row.webinar for row in ledger.sql("SELECT webinar FROM registration")] == ["v", "v"]


@both
def test_where_a_reload_writes_its_own_time_a_person_decides(ledger: Ledger) -> None:
    register(ledger)
    for number in range(3):
        ledger.register(f"b{number}@example.org")
    ledger.plan(NOW)
    forgets(ledger)
    ledger.sql("UPDATE registrants SET registered_at = :at", at=utc("2025-06-13 03:00"))
    ledger.plan(utc("2025-06-15 09:00"))
    assert ADDRESS not in people(ledger)
    assert set(aside(ledger).values()) == {DOUBTFUL}


NIGHT = utc("2025-06-14 03:00")


def reload(ledger: Ledger, others: int, tick_between: bool = False) -> None:
    """At night, with the time of that night for everybody."""
    ledger.sql("DELETE FROM registrants WHERE language IS NULL OR language <> 'kept'")
    if tick_between:
        ledger.plan(NIGHT)
    register(ledger, registered_at=NIGHT)
    for number in range(others):
        ledger.register(f"b{number}@example.org", registered_at=NIGHT)
    ledger.plan(NIGHT + timedelta(minutes=5))


@pytest.mark.parametrize("tick_between", [True, False])
@pytest.mark.parametrize("others", [0, 3])
def test_a_reload_with_its_own_time_brings_nobody_back_in_whatever_batches(
    ledger: Ledger, others: int, tick_between: bool
) -> None:
    """Where nobody else is there to compare with, too."""
    register(ledger)
    for number in range(others):
        ledger.register(f"b{number}@example.org", registered_at=utc("2025-06-01 10:00"))
    ledger.plan(NOW)
    forgets(ledger)
    ledger.plan(LATER)
    reload(ledger, others, tick_between)
    assert people(ledger) == [f"b{number}@example.org" for number in range(others)]
    assert set(aside(ledger).values()) == {DOUBTFUL}


def test_nor_where_all_of_a_webinar_were_forgotten(ledger: Ledger) -> None:
    register(ledger)
    ledger.register("b0@example.org")
    ledger.plan(NOW)
    forgets(ledger)
    forgets(ledger, "b0@example.org")
    reload(ledger, 1)
    assert people(ledger) == []
    assert set(aside(ledger).values()) == {DOUBTFUL}


def test_rows_that_a_reload_leaves_alone_do_not_speak_for_those_that_it_took_away(ledger: Ledger) -> None:
    register(ledger)
    for number in range(3):
        ledger.register(f"b{number}@example.org", registered_at=utc("2025-06-01 10:00"))
    ledger.register("guest@example.org", language="kept", registered_at=utc("2025-06-01 10:00"))
    ledger.plan(NOW)
    forgets(ledger)
    ledger.plan(LATER)
    reload(ledger, 3, tick_between=True)
    assert ADDRESS not in people(ledger)


def test_a_reload_whose_first_row_is_theirs_is_known_by_the_night_before(ledger: Ledger) -> None:
    """It writes one row after the other, and all others still have the time of a night before the forgetting."""
    register(ledger)
    for number in range(3):
        ledger.register(f"b{number}@example.org")
    ledger.plan(NOW)
    night_before = f"{NOW + timedelta(minutes=30):%Y-%m-%dT%H:%M}Z"
    ledger.sql("UPDATE registrants SET registered_at = :at", at=night_before)
    forgets(ledger)
    ledger.sql("UPDATE registrants SET registered_at = '2025-06-13T03:00Z' WHERE name = :name", name=NAME)
    ledger.plan(NEXT_DAY)
    assert ADDRESS not in people(ledger)


def test_in_a_webinar_that_is_new_those_who_were_there_before_them_tell(ledger: Ledger) -> None:
    register(ledger)
    ledger.plan(NOW)
    forgets(ledger)
    ledger.register("b@example.org", webinar="v", registered_at=utc("2025-06-12 10:00"))
    ledger.plan(utc("2025-06-12 10:01"))
    register(ledger, webinar="v", registered_at=NIGHT)
    ledger.plan(NIGHT + timedelta(days=1))
    assert [
        row.webinar for row in ledger.sql("SELECT webinar FROM registration WHERE name = :n", n=NAME)
    ] == ["v"]


def test_nightly_reloads_of_a_new_webinar_tell_that_they_are_some(ledger: Ledger) -> None:
    register(ledger)
    ledger.plan(NOW)
    forgets(ledger)
    for night in (NIGHT, NIGHT + timedelta(days=1), NIGHT + timedelta(days=2)):
        ledger.sql("DELETE FROM registrants WHERE webinar = 'v'")
        ledger.register("b@example.org", webinar="v", registered_at=night)
        register(ledger, webinar="v", registered_at=night)
        ledger.plan(night + timedelta(hours=15))
    assert ledger.sql("SELECT address FROM registration WHERE webinar = 'v'") == [("b@example.org",)]


@pytest.mark.parametrize("registered_at", ["2025-06-12 12:00:00", "2031-01-01T00:00Z"])
def test_a_time_without_a_zone_that_may_be_before_or_one_far_ahead_is_doubtful(
    sqlite_url: str, registered_at: str
) -> None:
    database = Database(sqlite_url)
    ledger = Ledger(database)
    ledger.govern(webinar())
    register(ledger)
    ledger.plan(NOW)
    forgets(ledger)
    ledger.sql("UPDATE registrants SET registered_at = :at", at=registered_at)
    ledger.plan(NEXT_DAY)
    assert people(ledger) == []
    assert set(aside(ledger).values()) == {DOUBTFUL}
    database.close()


def test_a_row_in_a_webinar_in_which_they_never_stood_is_doubtful(ledger: Ledger) -> None:
    register(ledger)
    ledger.plan(NOW)
    forgets(ledger)
    new = register(ledger, webinar="v")
    ledger.plan(NEXT_DAY)
    assert people(ledger) == []
    assert aside(ledger)[new] == DOUBTFUL


@both
@pytest.mark.parametrize("forgotten_before", [True, False])
def test_an_import_that_says_so_brings_them_back(ledger: Ledger, forgotten_before: bool) -> None:
    register(ledger)
    ledger.plan(NOW)
    forgets(ledger)
    ledger.plan(LATER)
    rows, _ = read_rows(f"email,name\n{ADDRESS},{NAME}\n".encode(), "people.csv")
    imported = {"webinars": {"w"}, "default_webinar": "w", "already_confirmed": True}
    with ledger.database.transaction() as conn:
        import_rows(conn, rows, "people.csv", **imported)
    ledger.plan(LATER)
    assert held(ledger) == [], "an import alone is as a reload, and writes nothing of theirs down"
    if forgotten_before:
        with ledger.database.transaction() as conn:
            import_rows(conn, rows, "people.csv", **imported, registered_again=NEXT_DAY)
        ledger.plan(NEXT_DAY)
        assert people(ledger) == [ADDRESS]
        assert ledger.states()["confirmation"] == "skipped: confirmed by another system"


# Suppressed


@both
def test_a_suppressed_address_stays_suppressed_by_its_digest_alone(ledger: Ledger) -> None:
    register(ledger)
    ledger.plan(NOW)
    with ledger.database.transaction() as conn:
        suppress(conn, NOW, ADDRESS)
    assert forgets(ledger).suppressed
    assert ledger.sql("SELECT * FROM suppression") == []
    rows, _ = read_rows(f"email\n{ADDRESS}\n".encode(), "people.csv")
    with ledger.database.transaction() as conn:
        import_rows(conn, rows, "p", webinars={"w"}, default_webinar="w", registered_again=NEXT_DAY)
    ledger.plan(NEXT_DAY)
    assert people(ledger) == []
    assert held(ledger) == []


def test_suppressing_a_forgotten_address_does_not_write_it_down_again(ledger: Ledger) -> None:
    register(ledger)
    ledger.plan(NOW)
    forgets(ledger)
    with ledger.database.transaction() as conn:
        assert suppress(conn, LATER, ADDRESS) == []
    assert held(ledger) == []
    assert [row.suppressed for row in ledger.sql("SELECT suppressed FROM forgotten WHERE suppressed")] == [
        True
    ]


def test_a_digest_is_another_in_each_database(sqlite_url: str, tmp_path: Any) -> None:
    found = []
    for url in (sqlite_url, f"sqlite:///{tmp_path / 'other.db'}"):
        database = Database(url)
        database.migrate()
        ledger = Ledger(database)
        ledger.govern(webinar())
        register(ledger)
        ledger.plan(NOW)
        forgets(ledger)
        found.append({row.digest for row in ledger.sql("SELECT digest FROM forgotten")})
        database.close()
    assert found[0].isdisjoint(found[1])
