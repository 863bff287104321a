"""People who were forgotten, suppressed or removed, while their source still holds them."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from scheduler.database.engine import Database
from scheduler.ledger import retention
from scheduler.ledger.forgetting import Erased, find, forget
from scheduler.ledger.retention import PastWebinar
from scheduler.registrants import sources
from scheduler.registrants.files.importing import import_rows
from scheduler.registrants.files.reading import read_rows
from scheduler.registrants.suppression import suppress
from tests.everywhere import everywhere
from tests.pulling.scene import ANA, BO, CY, Exports, rows

pytestmark = pytest.mark.engines("sqlite")
both = pytest.mark.engines("both")

PEOPLE = [f"{ANA},Ana Ruiz", f"{BO},Bo", f"{CY},Cy"]


@pytest.fixture
def exports(database: Database, tmp_path: Path) -> Exports:
    """Three people, of whom each has a confirmation planned."""
    exports = Exports(database, tmp_path)
    exports.ledger.govern(exports.webinar)
    exports.write(rows(*PEOPLE))
    exports.pull()
    exports.ledger.plan(exports.now)
    return exports


def forgets(exports: Exports, address: str = ANA) -> Erased:
    with exports.database.reading() as conn:
        found = find(conn, address)
    return exports.database.in_transaction(lambda conn: forget(conn, exports.now, address, found))


def registered(exports: Exports) -> set[str]:
    exports.ledger.plan(exports.now)
    return {
        row.address for row in exports.ledger.sql("SELECT address FROM registration WHERE gone_at IS NULL")
    }


def known(exports: Exports) -> int:
    return int(exports.ledger.sql("SELECT count(*) FROM source_row")[0][0])


@both
def test_of_whoever_is_forgotten_nothing_is_left_and_nothing_comes_back(exports: Exports) -> None:
    assert forgets(exports).copies == 1
    assert everywhere(exports.database, ["ana@", "ruiz"]) == []
    assert known(exports) == 2
    for number in range(3):
        exports.write(rows(*PEOPLE, f"d{number}@example.org,D", f"{ANA.upper()},Ana Ruiz-{number}"))
        report = exports.pull()
        assert (report.done.new, report.done.refused, report.trouble) == (1, 0, "")
        assert exports.pull().found is None, "it is followed"
    assert everywhere(exports.database, ["ana@", "ruiz"]) == []
    assert registered(exports) == {BO, CY, "d2@example.org"}
    assert exports.look().found.new == 0  # type: ignore[union-attr]


@both
@pytest.mark.parametrize("hours", [-1, 15])
def test_who_registered_again_since_comes_back(exports: Exports, hours: int) -> None:
    """As the source says, where it says of the others when they registered. SQLite keeps no zone, so that it counts
    from 14 hours later on."""
    header, early = "email,name,registered_at", "2025-06-01T08:00:00+00:00"
    dated = [f"{one},{early}" for one in PEOPLE]
    exports.write(rows(*dated, header=header))
    exports.pull()
    forgets(exports)
    dated[0] = f"{PEOPLE[0]},{(exports.now + timedelta(hours=hours)).isoformat()}"
    exports.write(rows(*dated, header=header))
    exports.now += timedelta(hours=16)
    exports.pull()
    assert (ANA in registered(exports)) is (hours > 0)
    assert (ANA in exports.people) is (hours > 0)


def test_who_never_stood_in_this_webinar_is_asked_about(database: Database, tmp_path: Path) -> None:
    """Perhaps they registered since, and nothing says so: a note names the row."""
    exports = Exports(database, tmp_path)
    exports.ledger.govern(exports.webinar)
    exports.ledger.register(ANA, webinar="another")
    forgets(exports)
    exports.write(rows(*PEOPLE))
    exports.pull()
    assert registered(exports) == {BO, CY}
    assert len(exports.ledger.sql("SELECT 1 FROM row_set_aside WHERE reason LIKE '%forgotten%'")) == 1


def test_a_row_that_others_wrote_as_well_stays_theirs(exports: Exports) -> None:
    file = read_rows(rows(f"{ANA},Ana Ruiz").encode(), "more.csv")[0]
    exports.database.in_transaction(
        lambda conn: import_rows(conn, file, "more.csv", webinars=["w"], default_webinar="w")
    )
    assert forgets(exports).copies == 0
    exports.write(rows(*PEOPLE, "dee@example.org,Dee"))
    exports.pull()
    assert set(exports.people) == {ANA, BO, CY, "dee@example.org"}
    assert registered(exports) == {BO, CY, "dee@example.org"}


def test_a_row_that_was_given_to_somebody_else_is_not_deleted(exports: Exports) -> None:
    exports.ledger.sql("UPDATE registrants SET email = 'dee@example.org' WHERE email = :ana", ana=ANA)
    forgets(exports)
    assert set(exports.people) == {"dee@example.org", BO, CY}


def test_whoever_is_forgotten_is_so_in_all_sources(
    exports: Exports, database: Database, tmp_path: Path
) -> None:
    other = Exports(database, tmp_path, id="other")
    other.ledger.govern(other.webinar)
    other.pull()
    assert forgets(exports).copies == 2
    other.pull()
    assert ANA not in exports.people


def test_who_is_forgotten_while_a_pull_is_under_way(
    exports: Exports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read the person, as somebody who changed, before they were forgotten."""
    exports.write(rows(f"{ANA},Ana Ruiz-Lopez", *PEOPLE[1:]))
    compared = exports.before_writing(monkeypatch, lambda: forgets(exports))
    exports.pull()
    assert compared
    assert everywhere(exports.database, ["ana@", "ruiz"]) == []
    assert known(exports) == 2


def test_who_is_suppressed_stays_so_whatever_the_source_does(exports: Exports) -> None:
    exports.database.in_transaction(lambda conn: suppress(conn, exports.now, ANA))
    for people in (PEOPLE[1:], PEOPLE, [f"{ANA},Another Name", *PEOPLE[1:]]):
        exports.write(rows(*people))
        exports.pull()
        exports.ledger.plan(exports.now)
    assert {state.split(":")[0] for state in exports.ledger.states(ANA).values()} <= {"cancelled", "skipped"}


def remove(exports: Exports, now: datetime) -> None:
    with exports.database.reading() as conn:
        (past,) = retention.past_webinars(conn, now)
    past = exports.database.in_transaction(lambda conn: retention.announce(conn, now, past))
    left = 1
    while left:
        left = exports.database.in_transaction(lambda conn: _remove(conn, now, past))


def _remove(conn: object, now: datetime, past: PastWebinar) -> int:
    found = retention.remove(conn, now, past, 1000)  # type: ignore[arg-type]
    assert found is not None
    return found


@both
def test_whoever_was_removed_is_not_inserted_by_a_pull_that_was_under_way(
    exports: Exports, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = exports.webinar.end + timedelta(days=120)
    exports.write(rows(*PEOPLE, "dee@example.org,Dee"))
    exports.before_writing(monkeypatch, lambda: remove(exports, later))
    with pytest.raises(sources.Overtaken):
        exports.pull()
    assert (exports.people, known(exports)) == ({}, 0)
