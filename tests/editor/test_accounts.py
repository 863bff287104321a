"""Accounts and sessions, on both engines."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scheduler.database.engine import Database
from scheduler.editor import accounts
from scheduler.editor.accounts import Editor
from scheduler.editor.guard import OF_BOTH, OF_BROWSER, OF_NETWORK, WITHIN, Tries, network_of
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


def test_passwords_are_counted_by_address_and_network_each_before_it_is_compared() -> None:
    at = 0.0
    tries = Tries(lambda: at)
    assert all(tries.begin("ada", "192.0.2.1") for _ in range(OF_BOTH))
    assert not tries.begin("ada", "192.0.2.1")
    assert tries.begin("bob", "192.0.2.1")
    assert tries.begin("ada", "192.0.2.2"), "somebody else's failures are not hers"
    names = iter(range(1000))
    while tries.begin(f"anybody {next(names)}", "192.0.2.1"):
        pass
    assert not tries.begin("bob", "192.0.2.1"), "the network has had enough"
    networks = iter(range(1000))
    while tries.begin("ada", f"198.51.100.{next(networks)}"):
        pass
    assert not tries.begin("ada", "203.0.113.1"), "so has the address, but for browsers that are known"
    assert all(tries.begin("ada", "192.0.2.1", "hers") for _ in range(OF_BROWSER))
    assert not tries.begin("ada", "192.0.2.1", "hers")
    at = WITHIN + 1
    assert tries.begin("ada", "192.0.2.1")


def test_a_password_that_fits_does_not_count() -> None:
    tries = Tries(lambda: 0.0)
    for _ in range(3 * OF_NETWORK):
        tried = tries.begin("ada", "192.0.2.1")
        assert tried
        tried.fitted()


@pytest.mark.parametrize(
    ("computer", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_a_network_is_what_one_person_has_addresses_of_at_will(computer: str, network: str) -> None:
    assert network_of(computer) == network


def test_a_known_browser_is_one_of_this_account_and_password() -> None:
    cookie = accounts.known_browser("hash")
    assert accounts.browser_of(cookie, "hash")
    assert accounts.browser_of(cookie, "hash") != accounts.browser_of(accounts.known_browser("hash"), "hash")
    for forged in (cookie[:-1], "x" + cookie, "", ".", "\xe9."):
        assert not accounts.browser_of(forged, "hash")
    assert not accounts.browser_of(cookie, "another hash")
    assert not accounts.browser_of(accounts.known_browser(""), ""), "there is no such account"


@pytest.mark.parametrize("count", [20_000])
def test_an_attack_with_made_up_addresses_fills_no_memory(count: int) -> None:
    at = 0.0
    tries = Tries(lambda: at)
    for n in range(count):
        at = float(n)
        tries.begin(f"address {n}", f"computer {n}")
    assert len(tries._tried) < 12_000
