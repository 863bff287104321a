"""Accounts and sessions, on both engines."""

from __future__ import annotations

import tracemalloc
from datetime import timedelta

import pytest

from scheduler.database.engine import Database
from scheduler.web import accounts, guard
from scheduler.web.accounts import Editor
from scheduler.web.guard import OF_ADDRESS, OF_BOTH, OF_BROWSER, OF_NETWORKS, WITHIN, Attempts
from tests.support import utc

NOW = utc("2025-06-20 08:00")


def test_a_password_fits_its_account_in_any_case_of_the_address_and_is_nowhere_in_the_clear(
    database: Database,
) -> None:
    with database.transaction() as conn:
        assert accounts.save_account(conn, NOW, "Ada@WHO.int", "four words make one", "edit")
        known = accounts.hash_of(conn, "ada@who.INT")
        assert accounts.verify_password("four words make one", known)
        assert not accounts.verify_password("four words make two", known)
        assert "four words" not in known
        assert known.startswith("$argon2id$")
        assert not accounts.verify_password("", accounts.hash_of(conn, "nobody@who.int"))
        assert accounts.all_accounts(conn) == [Editor("ada@who.int", "edit")]


def test_a_new_password_or_a_removed_account_signs_its_browsers_out(database: Database) -> None:
    with database.transaction() as conn:
        for end in (
            lambda: accounts.save_account(conn, NOW, "ada@who.int", "another password", "view"),
            lambda: accounts.remove_account(conn, "ADA@who.int"),
        ):
            accounts.save_account(conn, NOW, "ada@who.int", "four words make one", "edit")
            token = accounts.begin_session(conn, NOW, "ada@who.int")
            assert accounts.signed_in(conn, NOW, token) == Editor("ada@who.int", "edit", token)
            end()
            assert accounts.signed_in(conn, NOW, token) is None
        assert not accounts.remove_account(conn, "ada@who.int")


def test_a_session_lasts_twelve_hours_and_its_token_is_not_in_the_database(database: Database) -> None:
    with database.transaction() as conn:
        accounts.save_account(conn, NOW, "ada@who.int", "four words make one", "edit")
        token = accounts.begin_session(conn, NOW, "ada@who.int")
        assert accounts.signed_in(conn, NOW + timedelta(hours=12, seconds=-1), token)
        assert accounts.signed_in(conn, NOW + timedelta(hours=12), token) is None
        assert accounts.signed_in(conn, NOW, token + "x") is None
        (kept,) = conn.exec_driver_sql("SELECT token_sha256 FROM web_session").scalars()
        assert token not in kept
        accounts.begin_session(conn, NOW + timedelta(hours=13), "ada@who.int")
        assert len(list(conn.exec_driver_sql("SELECT 1 FROM web_session"))) == 1, "what is over is swept away"


def test_passwords_are_counted_by_address_and_network_each_before_it_is_compared() -> None:
    at = 0.0
    tries = Attempts(lambda: at)
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


def test_a_password_that_is_taken_back_does_not_count() -> None:
    tries = Attempts(lambda: 0.0)
    for _ in range(3 * OF_ADDRESS):
        tried = tries.begin("ada", "192.0.2.1")
        assert tried
        tried.discard()
    assert all(tries.begin("ada", "192.0.2.1") for _ in range(OF_BOTH))


def test_what_is_taken_back_late_takes_nothing_from_what_was_counted_since() -> None:
    at = 0.0
    tries = Attempts(lambda: at)
    tried = tries.begin("ada", "192.0.2.1")
    assert tried
    at = WITHIN + 1
    assert all(tries.begin("ada", "192.0.2.1") for _ in range(OF_BOTH))
    tried.discard()
    assert not tries.begin("ada", "192.0.2.1")


@pytest.mark.parametrize(
    ("computers", "most"),
    [
        ("2001:db8:1:2::{:x}", OF_NETWORKS[0]),
        ("2001:db8:1:{:02x}::1", OF_NETWORKS[1]),
        ("2001:db8:1:{:02x}00::1", OF_NETWORKS[2]),
        ("::ffff:192.0.2.7", OF_NETWORKS[0]),
    ],
)
def test_who_has_a_whole_network_of_ipv6_has_no_more_tries_for_it(computers: str, most: int) -> None:
    tries = Attempts(lambda: 0.0)
    begun = [bool(tries.begin(f"address {n}", computers.format(n))) for n in range(200)]
    assert begun == [True] * most + [False] * (200 - most)


def test_a_known_browser_is_one_of_this_account_and_password() -> None:
    cookie = accounts.known_browser("hash")
    assert accounts.browser_of(cookie, "hash")
    assert accounts.browser_of(cookie, "hash") != accounts.browser_of(accounts.known_browser("hash"), "hash")
    for forged in (cookie[:-1], "x" + cookie, "", ".", "\xe9."):
        assert not accounts.browser_of(forged, "hash")
    assert not accounts.browser_of(cookie, "another hash")
    assert not accounts.browser_of(accounts.known_browser(""), ""), "there is no such account"


def test_an_attack_from_everywhere_fills_no_memory_and_keeps_no_known_browser_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert 200 * guard.MOST_COUNTS <= 20_000_000
    monkeypatch.setattr(guard, "MOST_COUNTS", 5000)
    at, begun = 0.0, 0
    tries = Attempts(lambda: at)
    tracemalloc.start()
    try:
        while tries.begin(f"{begun:0300d}@x", f"2001:db8:{begun:x}:1::1"):
            begun += 1
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert begun == 1000, "five counts each"
    assert kept < 300 * 5000
    assert not tries.begin("ada", "192.0.2.1"), "there is no room for another network"
    assert all(tries.begin("ada", "192.0.2.1", "hers") for _ in range(OF_BROWSER))
    at = WITHIN + 1
    assert tries.begin("ada", "192.0.2.1")
