"""Registrants of other databases: real ones, and what they may hold."""

from __future__ import annotations

import io
import socket
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from scheduler.database.engine import Database
from scheduler.pulling import databases, reading
from scheduler.pulling.content import Content, SourceFails
from scheduler.pulling.databases import as_text, read_database
from tests.pulling.scene import ANA, BO, CY, Pulled, sourced

TABLE = "CREATE TABLE attendees (mail TEXT, full_name TEXT, zone TEXT, event INT)"


class Crm:
    """Another system's database, by plain SQL with %s for values."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, sql: str, *values: object) -> None:
        with closing(self._connect()) as conn, conn:
            conn.execute(sql if self.url.startswith("postgresql") else sql.replace("%s", "?"), values)

    def _connect(self) -> psycopg.Connection | sqlite3.Connection:
        if self.url.startswith("postgresql"):
            return psycopg.connect(self.url.replace("postgresql+psycopg", "postgresql"))
        return sqlite3.connect(self.url.removeprefix("sqlite:///"))

    def fill(self, *people: Sequence[object]) -> None:
        for mail, name, zone in people:
            self("INSERT INTO attendees VALUES (%s, %s, %s, 17)", mail, name, zone)


@pytest.fixture(params=["sqlite", "postgresql"])
def crm(request: pytest.FixtureRequest, tmp_path: Path) -> Crm:
    """A database of its own kind beside the service's, with people in it."""
    if request.param == "sqlite":
        crm = Crm(f"sqlite:///{tmp_path / 'crm.db'}")
    else:
        crm = Crm(request.getfixturevalue("postgresql_url"))
    crm(TABLE)
    crm.fill((ANA, "Ana", "CEST"), (BO, "Bo", "Africa/Nairobi"))
    return crm


@pytest.fixture
def ledger(sqlite_url: str) -> Iterator[Database]:
    database = Database(sqlite_url)
    yield database
    database.close()


def pulled(ledger: Database, crm: Crm, words: str = 'table = "attendees"') -> Pulled:
    return Pulled(ledger, f'from = "crm"\n{words}', environ={"SOURCE_CRM": crm.url})


def test_a_table_is_followed(ledger: Database, crm: Crm) -> None:
    source = pulled(ledger, crm)
    assert source.pull().done.new == 2
    assert source.people == {ANA: "Ana", BO: "Bo"}
    crm("DELETE FROM attendees WHERE mail = %s", ANA)
    crm("UPDATE attendees SET full_name = 'Bo Li'")
    crm.fill((CY, "Cy", None))
    source.pull()
    assert source.people == {BO: "Bo Li", CY: "Cy"}


def test_a_query_is_followed_whatever_signs_are_in_it(ledger: Database, crm: Crm) -> None:
    what = "mail AS email, full_name || ':b' AS name"
    where = "mail LIKE '%@example.org' AND event = 17"
    source = pulled(ledger, crm, f'query = "SELECT {what} FROM attendees WHERE {where};"')
    source.pull()
    assert source.people == {ANA: "Ana:b", BO: "Bo:b"}


def test_a_table_that_vanished_and_came_back(ledger: Database, crm: Crm) -> None:
    source = pulled(ledger, crm)
    source.pull()
    crm("ALTER TABLE attendees RENAME TO elsewhere")
    trouble = source.pull().trouble
    assert "attendees" in trouble
    assert set(source.people) == {ANA, BO}
    crm("ALTER TABLE elsewhere RENAME TO attendees")
    crm("DELETE FROM attendees WHERE mail = %s", ANA)
    assert source.pull().trouble == ""
    assert set(source.people) == {BO}


def test_a_table_that_is_empty_for_a_while(ledger: Database, crm: Crm) -> None:
    source = pulled(ledger, crm)
    source.pull()
    crm("DELETE FROM attendees")
    assert "nobody in it attends; it had 2 people" in source.pull().trouble
    assert set(source.people) == {ANA, BO}


def test_nobody_is_removed_while_a_table_is_filled_again(
    ledger: Database, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two looks for those who are missing somebody comes back."""
    for number in range(40):
        crm.fill((f"p{number}@example.org", "P", None))
    source = pulled(ledger, crm)
    source.pull()
    crm("DELETE FROM attendees WHERE mail IN ('p1@example.org', 'p2@example.org', 'p3@example.org')")
    monkeypatch.setattr("time.sleep", lambda seconds: crm.fill(("p1@example.org", "P", None)))
    assert source.pull().done.gone == 0
    monkeypatch.undo()
    assert source.pull().done.gone == 2


HOSTILE: tuple[object, ...] = (
    "Ana\0\0Ruiz",
    "x" * 10_000_000,
    "Ana\nBcc: everybody@example.org",
    "'; DROP TABLE registrants; --",
    "=HYPERLINK(\"https://evil.test\")",
    "\u202eziuR anA",
)  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_value_takes_nobody_along(ledger: Database, crm: Crm, name: str) -> None:
    if "\0" in name and crm.url.startswith("postgresql"):
        pytest.skip("PostgreSQL has no NUL")
    source = pulled(ledger, crm)
    crm.fill((CY, name, None))
    report = source.pull()
    assert {ANA, BO} <= set(source.people)
    assert all("\n" not in one and "\0" not in one for one in source.people.values())
    assert report.trouble == ""
    crm("UPDATE attendees SET full_name = 'Cy' WHERE mail = %s", CY)
    source.pull()
    assert source.people[CY] == "Cy"


def test_octets_that_are_no_text(ledger: Database, tmp_path: Path) -> None:
    crm = Crm(f"sqlite:///{tmp_path / 'crm.db'}")
    crm(TABLE)
    crm("INSERT INTO attendees VALUES (%s, CAST(x'fffe41' AS TEXT), x'00ff', 17)", ANA)
    source = pulled(ledger, crm)
    source.pull()
    assert set(source.people) == {ANA}


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, ""), (True, "yes"), (False, "no"), (7, "7"), (Decimal("1.50"), "1.50"), (date(2027, 1, 2), "2027-01-02"),
        (datetime(2027, 1, 2, 3, 4, tzinfo=UTC), "2027-01-02 03:04:00+00:00"), (b"abc", "abc"), (b"\xff", "\ufffd"),
        (memoryview(b"abc"), "abc"), ("a\0b", "ab"), ("a" * 20_000, "a" * 10_000), ({"a": 1}, "{'a': 1}"),
    ],
)  # fmt: skip
def test_a_value_as_text(cell: object, text: str) -> None:
    assert as_text(cell) == text


def read(url: str, words: str = 'table = "attendees"') -> str:
    source = sourced(f'from = "crm"\n{words}').source
    assert source
    with pytest.raises(SourceFails) as refused:
        read_database(url, source, Content(io.BytesIO()))
    return str(refused.value)


@pytest.mark.parametrize(
    ("crm", "cells"),
    [
        (
            "postgresql",
            [
                "nextval(mail)",
                "mail::regclass",
                "mail::regtype::text",
                "current_setting(mail)",
                "set_config(mail, '1', true)",
                "query_to_xml(mail, true, true, '')::text",
                "mail::int",
            ],
        ),
        ("sqlite", ["json_extract('{}', mail)"]),
    ],
    indirect=["crm"],
)
def test_no_value_stands_in_what_a_database_says_of_its_error(crm: Crm, cells: list[str]) -> None:
    for cell in cells:
        source = sourced(f'from = "crm"\nquery = """SELECT {cell} AS email FROM attendees"""').source
        assert source
        with pytest.raises(SourceFails) as raised:
            read_database(crm.url, source, Content(io.BytesIO()))
        assert "the database refuses" in str(raised.value), cell
        assert "ana" not in str(raised.value), cell


@pytest.mark.parametrize(
    "query", ["SELECT nothing FROM attendees", "SELECT mail FROM nowhere", "SELECT mail FRM x y"]
)
def test_what_is_wrong_with_a_statement_is_said(crm: Crm, query: str) -> None:
    source = sourced(f'from = "crm"\nquery = "{query}"').source
    assert source
    with pytest.raises(SourceFails, match=r"nothing|nowhere|FRM|\"x\"|\"y\""):
        read_database(crm.url, source, Content(io.BytesIO()))


def test_nothing_is_written_there(crm: Crm) -> None:
    if crm.url.startswith("postgresql"):
        crm("CREATE SEQUENCE numbers")
        assert "ReadOnlySqlTransaction" in read(crm.url, "query = \"SELECT nextval('numbers') AS email\"")
    else:
        assert "SQLITE_READONLY" in read(crm.url, 'query = "WITH x AS (SELECT 1) DELETE FROM attendees"')
    source = sourced('from = "crm"\ntable = "attendees"').source
    assert source
    content = Content(io.BytesIO())
    read_database(crm.url, source, content)
    assert content.octets > 80


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "is not the address of a database (not shown)"),
        ("nosuch://user:hush-secret@db.test/crm", "SQLAlchemy does not know nosuch"),
        ("oracle+oracledb://user:hush-secret@db.test/crm", "the driver oracledb is not installed; pip install"),
        ("mysql://user:hush-secret@db.test/crm", "the driver MySQLdb is not installed; pip install mysqlclient"),
        ("mysql+pymysql://user:hush-secret@db.test/crm", "the driver pymysql is not installed; pip install"),
        ("postgresql://user:hush-secret@127.0.0.1:1/crm", "does not answer"),
        ("sqlite:////nowhere/hush-secret.db", "the database refuses or does not answer"),
    ],
)  # fmt: skip
def test_an_address_that_leads_nowhere(url: str, words: str) -> None:
    trouble = read(url)
    assert words in trouble
    assert trouble.startswith("SOURCE_CRM")
    assert "hush" not in trouble


def test_a_wrong_password(postgresql_url: str) -> None:
    url = postgresql_url.replace("postgres:@", "nobody:hush-secret@")
    trouble = read(url)
    assert "does not exist" in trouble
    assert "hush" not in trouble


def test_an_unknown_variable(ledger: Database) -> None:
    source = Pulled(ledger, 'from = "crm"\ntable = "t"')
    assert source.pull().trouble == (
        "environment variable SOURCE_CRM is not set: the operator puts the address there"
    )


def test_an_address_in_a_file(ledger: Database, tmp_path: Path) -> None:
    crm = Crm(f"sqlite:///{tmp_path / 'crm.db'}")
    crm(TABLE)
    crm.fill((ANA, "Ana", None))
    (tmp_path / "secret").write_text(f"{crm.url}\n")
    environ = {"SOURCE_CRM_FILE": str(tmp_path / "secret")}
    source = Pulled(ledger, 'from = "crm"\ntable = "attendees"', environ=environ)
    source.pull()
    assert set(source.people) == {ANA}


def test_a_result_has_a_limit(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "MOST_ROWS", 1)
    assert read(crm.url) == "the result has more than 1 rows"


def test_a_statement_has_a_limit(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "STATEMENT_SECONDS", 0.1)
    endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n FROM c) SELECT n FROM c WHERE n = 2"
    assert read(crm.url, f'query = "{endless}"') in (
        "SOURCE_CRM: the database refuses or does not answer (QueryCanceled)",
        "SOURCE_CRM: the database refuses or does not answer (SQLITE_INTERRUPT)",
    )


def test_whoever_does_not_answer_is_given_up(ledger: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://user:hush-secret@127.0.0.1:{silent.getsockname()[1]}/crm"
        source = Pulled(ledger, 'from = "crm"\ntable = "t"', environ={"SOURCE_CRM": url})
        assert source.pull().trouble == "it was not read within 0.3 s"
