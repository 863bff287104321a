"""Which rows of `registrants` can be used, whatever another program wrote there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.database.engine import Database
from scheduler.input.addresses import NOT_CARRIED
from scheduler.registrants.rows import Registrants, Row, why_no_link, why_unusable
from tests.support import Ledger, utc, webinar


def why(**columns: Any) -> str:
    given: dict[str, Any] = {"webinar": "w", "email": "a@example.org"}
    return why_unusable(Row(1, **given | columns), {"w"})


def test_a_row_needs_a_webinar_that_is_known_and_an_address() -> None:
    assert why() == ""
    assert why(webinar="x") == "unknown webinar"
    assert why(webinar="W") == "unknown webinar"
    assert why(email="") == "email is empty"


@pytest.mark.parametrize("link", ["", "https://meet.who.int/j/8f3a2c?pwd=a%20b#x", "https://[2001:db8::1]/j"])
def test_links_that_can_be_used(link: str) -> None:
    assert why_no_link(link) == ""


@pytest.mark.parametrize(
    "link",
    [
        "http://meet.who.int/j",
        "meet.who.int/j",
        "javascript:alert(1)",
        "https:///j",
        "https://",
        "https://meet.who.int/a b",
        'https://meet.who.int/"onclick="x',
        "https://meet.who.int/<b>",
        "https://meet.who.int/\r\nX: y",
        "https://meet.who.int/\u202egpj",
        "https://[::1/j",
        "https://méet.who.int/j",
    ],
)
def test_values_that_are_no_link(link: str) -> None:
    assert why_no_link(link) == "join_url is not an https link"


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"name": "x" * 2000}, ""),
        ({"name": "x" * 2001}, "a value is longer than 2000 characters"),
        ({"join_url": "https://x.example/" + "x" * 2000}, "a value is longer than 2000 characters"),
        ({"timezone": "x" * 200}, ""),
        ({"timezone": "x" * 201}, "timezone is longer than 200 characters"),
        ({"country": "x" * 201}, "country is longer than 200 characters"),
        ({"language": "x" * 201}, "language is longer than 200 characters"),
    ],
)
def test_values_have_a_length_that_mails_and_indexes_can_take(columns: dict[str, str], reason: str) -> None:
    assert why(**columns) == reason


@given(st.text(), st.text(), st.text(), st.text(), st.text(), st.text())
def test_whatever_is_in_a_row_the_answer_is_a_reason_that_quotes_nothing(
    email: str, name: str, language: str, timezone: str, country: str, join_url: str
) -> None:
    row = Row(1, "w", email, name, language, timezone, country, join_url)
    assert why_unusable(row, {"w"}) in {
        "", "email is empty", "email has a control character", "email is longer than 254 octets",
        "email is not an address", NOT_CARRIED, "join_url is not an https link",
    }  # fmt: skip


def test_rows_are_read_as_text_with_blanks_around_values_gone(database: Database) -> None:
    ledger = Ledger(database)
    first = ledger.register("  a@example.org ", name="\tAnna\n")
    second = ledger.register("b@example.org", country="")
    with database.engine.connect() as conn:
        assert Registrants(conn).read([first, second, 999]) == [
            Row(first, "w", "a@example.org", "Anna"),
            Row(second, "w", "b@example.org"),
        ]


def test_foreign_values_are_read_as_text_whatever_their_type(tmp_path: Any) -> None:
    database = Database(f"sqlite:///{tmp_path / 'webinar.db'}")
    database.migrate()
    with database.transaction() as conn:
        conn.exec_driver_sql(
            "INSERT INTO registrants (webinar, email, name, language, country, registered_at) VALUES"
            " ('w', 'a@example.org', 42, 1.5, CAST(X'5AEB' AS TEXT), '12/06/2025 10:00')"
        )
        assert Registrants(conn).read([1]) == [Row(1, "w", "a@example.org", "42", "1.5", "", "Z\ufffd")]
    database.close()


def test_what_stands_behind_a_nul_is_not_lost(tmp_path: Any) -> None:
    database = Database(f"sqlite:///{tmp_path / 'webinar.db'}")
    database.migrate()
    ledger = Ledger(database)
    ledger.govern(webinar())
    ledger.register("a@example.org", name="Ann\0Lee")
    ledger.register("b\0@example.org")
    ledger.plan(utc("2025-06-12 08:00"))
    assert [row.name for row in ledger.sql("SELECT name FROM registration")] == ["Ann\ufffdLee"]
    assert len(ledger.sql("SELECT reason FROM row_set_aside")) == 1
    database.close()
