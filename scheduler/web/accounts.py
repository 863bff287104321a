"""Accounts of the editor and their sessions. Passwords and tokens are stored as hashes only."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from hmac import compare_digest
from typing import Literal, get_args

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection

from scheduler.database.engine import execute
from scheduler.input.addresses import fold

Role = Literal["edit", "view"]
ROLES: tuple[Role, ...] = get_args(Role)
SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 1000
SESSION = timedelta(hours=12)
KNOWN_FOR = timedelta(days=180)
"""For which a browser is known again."""

# argon2id with 19 MiB, as OWASP's Password Storage Cheat Sheet has it: the service is small, and people sign in seldom.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


@dataclass(frozen=True)
class Editor:
    """An editor who is signed in."""

    address: str
    role: Role
    token: str = ""
    """Of their browser's session; never shown, never logged."""

    @property
    def may_edit(self) -> bool:
        return self.role == "edit"

    @property
    def csrf(self) -> str:
        """The CSRF token that pages of this session send with each change."""
        return sha256(b"csrf " + self.token.encode()).hexdigest()


def save_account(conn: Connection, now: datetime, address: str, password: str, role: Role) -> bool:
    """Add an account, or replace its password and role; its browsers are signed out. Returns True if it is new."""
    address = fold(address)
    there = remove_account(conn, address)
    execute(
        conn,
        "INSERT INTO account (address, password_hash, role, since) VALUES (:address, :hash, :role, :now)",
        address=address,
        hash=_HASHER.hash(password),
        role=role,
        now=now,
    )
    return not there


def new_password() -> str:
    """A random password of 79 bits, in groups that can be read out over a telephone."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"  # none that look alike
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(4))


def reset_password(conn: Connection, now: datetime, address: str, password: str) -> bool:
    """Replace the password of an account; its browsers are signed out. Returns whether the account exists."""
    role = execute(conn, "SELECT role FROM account WHERE address = :address", address=fold(address)).scalar()
    return role is not None and not save_account(conn, now, address, password, role)


def remove_account(conn: Connection, address: str) -> bool:
    """Delete an account and sign its browsers out. Returns whether it existed."""
    execute(conn, "DELETE FROM web_session WHERE address = :address", address=fold(address))
    return execute(conn, "DELETE FROM account WHERE address = :address", address=fold(address)).rowcount > 0


def all_accounts(conn: Connection) -> list[Editor]:
    """All accounts, by address."""
    rows = execute(conn, "SELECT address, role FROM account ORDER BY address")
    return [Editor(row.address, row.role) for row in rows]


def hash_of(conn: Connection, address: str) -> str:
    """The password hash of an account; "" for an address without one."""
    row = execute(
        conn, "SELECT password_hash FROM account WHERE address = :address", address=fold(address)
    ).first()
    return str(row.password_hash) if row else ""


@cache
def _nobodys() -> str:
    return _HASHER.hash(secrets.token_hex())


def verify_password(password: str, password_hash: str) -> bool:
    """Whether this is the password. Takes 50 ms and 19 MiB on purpose; also without an account ("" as hash), so that
    timing does not reveal which addresses have one."""
    try:
        return _HASHER.verify(password_hash or _nobodys(), password)
    except (VerificationError, InvalidHashError):
        return False


def known_browser(password_hash: str) -> str:
    """The value of the cookie that identifies a browser in which this password was right."""
    nonce = secrets.token_urlsafe(16)
    return f"{nonce}.{_signed(password_hash, nonce)}"


def browser_of(cookie: str, password_hash: str) -> str:
    """The id of the browser with this cookie, if it got it for the same account and password; else ""."""
    nonce, _, signature = cookie.partition(".")
    if not password_hash:
        return ""
    return nonce if compare_digest(signature.encode(), _signed(password_hash, nonce).encode()) else ""


def _signed(password_hash: str, nonce: str) -> str:
    return hmac.new(password_hash.encode(), f"browser {nonce}".encode(), sha256).hexdigest()


def begin_session(conn: Connection, now: datetime, address: str) -> str:
    """Sign a browser in; returns its token."""
    token = secrets.token_urlsafe(32)
    execute(conn, "DELETE FROM web_session WHERE until < :now", now=now)
    execute(
        conn,
        "INSERT INTO web_session (token_sha256, address, until) VALUES (:token, :address, :until)",
        token=_hash(token),
        address=fold(address),
        until=now + SESSION,
    )
    return token


def signed_in(conn: Connection, now: datetime, token: str) -> Editor | None:
    """The editor whose browser has this token."""
    row = execute(
        conn,
        "SELECT a.address, a.role FROM web_session s JOIN account a ON a.address = s.address"
        " WHERE s.token_sha256 = :token AND s.until > :now",
        token=_hash(token),
        now=now,
    ).first()
    return Editor(row.address, row.role, token) if row else None


def end_session(conn: Connection, token: str) -> None:
    """Sign a browser out."""
    execute(conn, "DELETE FROM web_session WHERE token_sha256 = :token", token=_hash(token))


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()
