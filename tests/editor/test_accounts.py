"""Accounts and sessions, on both engines."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scheduler.database.engine import Database
from scheduler.editor import accounts
from scheduler.editor.accounts import Editor
from scheduler.editor.guard import TRIES, WITHIN, Tries
from tests.support import utc

NOW = utc("2025-06-20 08:00")


def test_a_password_fits_its_account_in_any_case_of_the_address_and_is_nowhere_in_the_clear(
    database: Database,
) -> None:
    with database.transaction() as conn:
        assert accounts.put(conn, NOW, "Ada@WHO.int", "four words make one", "edit")
        known = accounts.hash_of(conn, "ada@who.INT")
        assert accounts.fits("four words make one", known)
        assert not accounts.fits("four words make two", known)
        assert "four words" not in known
        assert known.startswith("$argon2id$")
        assert not accounts.fits("", accounts.hash_of(conn, "nobody@who.int"))
        assert accounts.all_accounts(conn) == [Editor("ada@who.int", "edit")]


def test_a_new_password_or_a_removed_account_signs_its_browsers_out(database: Database) -> None:
    with database.transaction() as conn:
        for end in (
            lambda: accounts.put(conn, NOW, "ada@who.int", "another password", "view"),
            lambda: accounts.remove(conn, "ADA@who.int"),
        ):
            accounts.put(conn, NOW, "ada@who.int", "four words make one", "edit")
            token = accounts.begin(conn, NOW, "ada@who.int")
            assert accounts.signed_in(conn, NOW, token) == Editor("ada@who.int", "edit", token)
            end()
            assert accounts.signed_in(conn, NOW, token) is None
        assert not accounts.remove(conn, "ada@who.int")


def test_a_session_lasts_twelve_hours_and_its_token_is_not_in_the_database(database: Database) -> None:
    with database.transaction() as conn:
        accounts.put(conn, NOW, "ada@who.int", "four words make one", "edit")
        token = accounts.begin(conn, NOW, "ada@who.int")
        assert accounts.signed_in(conn, NOW + timedelta(hours=12, seconds=-1), token)
        assert accounts.signed_in(conn, NOW + timedelta(hours=12), token) is None
        assert accounts.signed_in(conn, NOW, token + "x") is None
        (kept,) = conn.exec_driver_sql("SELECT token_sha256 FROM web_session").scalars()
        assert token not in kept
        accounts.begin(conn, NOW + timedelta(hours=13), "ada@who.int")
        assert len(list(conn.exec_driver_sql("SELECT 1 FROM web_session"))) == 1, "what is over is swept away"


def test_wrong_passwords_are_counted_by_address_and_by_computer() -> None:
    at = 0.0
    tries = Tries(lambda: at)
    for n in range(TRIES):
        assert not tries.too_many("ada", "here")
        tries.failed("ada", "here")
        tries.failed(f"somebody {n}", "here")
    assert tries.too_many("ada", "elsewhere")
    assert not tries.too_many("bob", "here")
    for n in range(5 * TRIES):
        tries.failed(f"anybody {n}", "here")
    assert tries.too_many("bob", "here")
    at = WITHIN + 1
    assert not tries.too_many("ada", "here")


@pytest.mark.parametrize("count", [20_000])
def test_an_attack_with_made_up_addresses_fills_no_memory(count: int) -> None:
    at = 0.0
    tries = Tries(lambda: at)
    for n in range(count):
        at = float(n)
        tries.failed(f"address {n}", f"computer {n}")
    assert len(tries._failed) < 12_000
