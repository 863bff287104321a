"""What another program may write into `registrants` by plain SQL: the row is set aside or read as well as it can
be, named by its id and never quoted, and everybody else gets their mails.

More such rows are in tests/ledger/test_planning.py.
"""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.database.engine import Database
from scheduler.input.addresses import NOT_CARRIED
from scheduler.registrants.rows import Row, why_unusable
from tests.support import Ledger, utc, webinar

pytestmark = pytest.mark.engines("sqlite")

ANNOUNCED = utc("2025-06-12 08:00")
SECRET = "Zaphod-7"


@pytest.fixture
def ledger(database: Database) -> Ledger:
    ledger = Ledger(database)
    ledger.govern(webinar())
    return ledger


def _plan_with(ledger: Ledger, **columns: Any) -> int:
    """The bad row, between two good ones."""
    ledger.register("before@example.org")
    row = ledger.register(**({"email": "x@example.org"} | columns))
    ledger.register("after@example.org")
    ledger.plan(ANNOUNCED)
    return row


def _aside(ledger: Ledger) -> list[tuple[int, str]]:
    return [tuple(row) for row in ledger.sql("SELECT registrant_id, reason FROM row_set_aside")]


def _others_are_fine(ledger: Ledger) -> None:
    for address in ("before@example.org", "after@example.org"):
        assert set(ledger.states(address).values()) == {"pending"}
    assert ledger.sql("SELECT id FROM registrant_change") == []


UNUSABLE: list[tuple[dict[str, Any], str]] = [
    ({"webinar": ""}, "unknown webinar"),
    ({"webinar": "W"}, "unknown webinar"),
    ({"webinar": "w" * 5000}, "unknown webinar"),
    ({"webinar": f"{SECRET}' OR 1=1 --"}, "unknown webinar"),
    ({"email": "   "}, "email is empty"),
    ({"email": f"{SECRET}@"}, "email is not an address"),
    ({"email": "@example.org"}, "email is not an address"),
    ({"email": f"{SECRET} <x@example.org>"}, "email is not an address"),
    ({"email": "x@example.org, y@example.org"}, "email is not an address"),
    ({"email": "x@example.org;y@example.org"}, "email is not an address"),
    ({"email": "mailto:x@example.org"}, "email is not an address"),
    ({"email": "x@exa mple.org"}, "email is not an address"),
    ({"email": "x@[127.0.0.1]"}, "email is not an address"),
    ({"email": "x..y@example.org"}, "email is not an address"),
    ({"email": f'"{SECRET} x"@example.org'}, NOT_CARRIED),
    ({"email": "=?utf-8?q?x?=@example.org"}, NOT_CARRIED),
    ({"email": "x@example.org\u2028y"}, "email has a control character"),
    ({"email": "x\x7f@example.org"}, "email has a control character"),
    ({"email": "x\u200b@example.org"}, "email is not an address"),
    ({"email": "é" * 130 + "@example.org"}, "email is longer than 254 octets"),
    ({"join_url": "meet.example.org/j/1"}, "join_url is not an https link"),
    ({"join_url": "https:/meet.example.org"}, "join_url is not an https link"),
    ({"join_url": f"https://meet.example.org/ {SECRET}"}, "join_url is not an https link"),
    ({"join_url": "https://meet.example.org/<b>"}, "join_url is not an https link"),
    ({"join_url": "https://[::1/j"}, "join_url is not an https link"),
    ({"join_url": f"https://me:{SECRET}@meet.example.org/j"}, "join_url holds a user name or password"),
    ({"join_url": "https://meet.example.org@elsewhere.example/j"}, "join_url holds a user name or password"),
    ({"join_url": "https://@meet.example.org/j"}, "join_url holds a user name or password"),
    ({"join_url": "https://:@meet.example.org/j"}, "join_url holds a user name or password"),
    ({"join_url": "https://exämple.org/j"}, "join_url is not an https link"),
    ({"join_url": "https://meet.example.org/" + "a" * 2000}, "a value is longer than 2000 characters"),
    ({"timezone": SECRET * 100}, "timezone is longer than 200 characters"),
    ({"country": SECRET * 100}, "country is longer than 200 characters"),
    ({"language": SECRET * 100}, "language is longer than 200 characters"),
]


@pytest.mark.parametrize(("columns", "reason"), UNUSABLE)
def test_a_row_that_nobody_can_be_written_to_by_says_why(columns: dict[str, Any], reason: str) -> None:
    values = {"webinar": "w", "email": "x@example.org"} | columns
    assert why_unusable(Row(1, **{name: value.strip() for name, value in values.items()}), ["w"]) == reason
    assert SECRET not in reason


def test_all_of_them_at_once_are_set_aside_and_the_rest_goes_on(ledger: Ledger) -> None:
    ledger.register("before@example.org")
    rows = {}
    for number, (columns, reason) in enumerate(UNUSABLE):
        rows[ledger.register(**({"email": f"x{number}@example.org"} | columns))] = reason
    ledger.register("after@example.org")
    ledger.plan(ANNOUNCED)
    assert dict(_aside(ledger)) == rows
    _others_are_fine(ledger)


SAYS_NOTHING: list[dict[str, Any]] = [
    {"timezone": "Mars/Olympus_Mons"},
    {"timezone": "IST"},
    {"timezone": "'; DROP TABLE registrants; --"},
    {"timezone": "م" * 200, "country": "ÿ" * 200},
    {"timezone": "../../etc/passwd"},
    {"country": "Atlantis"},
    {"country": "ZZ"},
    {"language": "tlh"},
    {"language": "en_US.UTF-8"},
    {"language": "\x01\x02"},
    {"name": "'; DELETE FROM delivery; --"},
    {"name": "A\r\nBcc: y@example.org"},
    {"name": "{{ 7 * 7 }} <script>"},
    {"name": "م" * 2000},
    {"name": " \t\n "},
    {"name": None, "language": None, "timezone": None, "country": None, "join_url": None},
    {"name": "", "language": "", "timezone": "", "country": "", "join_url": ""},
    {"email": " x@example.org\n"},
]


@pytest.mark.engines("both")
def test_a_value_that_says_nothing_costs_nobody_their_mails(ledger: Ledger) -> None:
    ledger.register("before@example.org")
    for number, columns in enumerate(SAYS_NOTHING):
        ledger.register(**({"email": f"x{number}@example.org"} | columns))
    ledger.register("after@example.org")
    ledger.plan(ANNOUNCED)
    assert _aside(ledger) == []
    assert {row["state"] for row in ledger.deliveries()} == {"pending"}
    assert {row["zone"] for row in ledger.deliveries()} == {"Europe/Zurich"}
    assert len({row["address"] for row in ledger.deliveries()}) == len(SAYS_NOTHING) + 2
    _others_are_fine(ledger)


def test_an_unusual_address_is_an_address(ledger: Ledger) -> None:
    unusual = [
        '"x..y"@example.org',
        "x@münchen.de",
        "用户@例子.广告",
        "x+tag@example.org",
        "x@sub.example.museum",
    ]
    for email in unusual:
        ledger.register(email)
    ledger.plan(ANNOUNCED)
    assert _aside(ledger) == []
    assert {row["address"] for row in ledger.deliveries()} == set(unusual)


@pytest.mark.engines("both")
@pytest.mark.parametrize("number", [-5, 0, 2**62])
def test_whatever_number_a_row_has(ledger: Ledger, number: int) -> None:
    _plan_with(ledger, id=number)
    assert set(ledger.states("x@example.org").values()) == {"pending"}
    ledger.sql("DELETE FROM registrants WHERE id = :id", id=number)
    ledger.plan(utc("2025-06-12 09:00"))
    assert set(ledger.states("x@example.org").values()) == {"cancelled: the registrant's row was deleted"}
    _others_are_fine(ledger)


@pytest.mark.engines("both")
def test_a_row_whose_number_is_changed_is_the_same_person(ledger: Ledger) -> None:
    row = _plan_with(ledger)
    before = ledger.deliveries()
    ledger.sql("UPDATE registrants SET id = 4711 WHERE id = :id", id=row)
    ledger.plan(utc("2025-06-12 09:00"))
    assert ledger.deliveries() == before


@pytest.mark.parametrize("value", ["x'6a6fff'", "17", "3.5", "x''"])
def test_values_of_another_type_are_read_as_text(ledger: Ledger, value: str) -> None:
    if ledger.database.dialect.takes_replicas:
        pytest.skip("PostgreSQL's columns take text only")
    for column in ("name", "language", "timezone", "country"):
        ledger.sql(
            f"INSERT INTO registrants (webinar, email, {column}) VALUES ('w', '{column}@example.org', {value})"
        )
    ledger.sql(f"INSERT INTO registrants (webinar, email) VALUES ({value}, 'a@example.org'), ('w', {value})")
    ledger.sql(
        f"INSERT INTO registrants (webinar, email, join_url) VALUES ('w', 'link@example.org', {value})"
    )
    ledger.plan(ANNOUNCED)
    planned = {row["address"] for row in ledger.deliveries()}
    assert {f"{column}@example.org" for column in ("name", "language", "timezone", "country")} <= planned
    assert {reason for _, reason in _aside(ledger)} <= {
        "unknown webinar", "email is not an address", "email is empty", "email has a control character",
        "email has a character that cannot be read",
        "join_url is not an https link",
    }  # fmt: skip


def test_a_thousand_bad_rows_and_a_good_one(ledger: Ledger) -> None:
    with ledger.database.transaction() as conn:
        conn.exec_driver_sql(
            "INSERT INTO registrants (webinar, email) VALUES "
            + ", ".join(f"('w', 'no address {number}')" for number in range(1000))
        )
    ledger.register("good@example.org")
    ledger.plan(ANNOUNCED)
    assert len(_aside(ledger)) == 1000
    assert set(ledger.states("good@example.org").values()) == {"pending"}
