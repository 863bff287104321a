"""What errors of the database mean, in words without values: whether it may come back, and what is to blame."""

from __future__ import annotations

import re

from sqlalchemy.exc import DataError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout


def is_the_databases(error: Exception) -> bool:
    """Whether the database or the way to it failed, not our code."""
    return isinstance(error, DBAPIError | PoolTimeout)


def fault(error: Exception) -> str:
    """What a failure is called, by the engine as in SQLITE_FULL or DiskFull: its words might name a person. Where the
    server let nobody in, or can't be reached, with why."""
    cause = getattr(error, "orig", None) or error
    name = str(getattr(cause, "sqlite_errorname", "") or type(cause).__name__)
    # libpq has no SQLSTATE then, and no values of ours in its words
    words = str(cause) if name == "OperationalError" and not _code(error) else ""
    why = _REFUSED.search(words) or _UNREACHABLE.search(words)
    return f"{name} ({why[0].lower()})" if why else name


def blames_values(error: Exception) -> bool:
    """Whether the values of the statement are at fault, so that the same ones will fail again."""
    return isinstance(error, DataError) or _code(error).startswith(_VALUES)


def is_conflict(error: Exception) -> bool:
    """Whether two transactions got into each other's way, so that the same one may well succeed at once."""
    return _code(error) in ("40001", "40P01")


def may_come_back(error: Exception) -> bool:
    """Whether the database may well answer soon: it starts up, fails over, is full of sessions, or can't be reached. A
    wrong password or a database that does not exist is another matter."""
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if code := _code(error):
        return code.startswith(_AWAY)
    # Who is not let in gets no SQLSTATE from libpq. In other languages than English a refusal is waited for, too.
    return isinstance(error, OperationalError) and not _REFUSED.search(str(error.orig))


def is_the_statements(error: Exception) -> bool:
    """Whether the statement can't run on these tables, by this user, with whatever values."""
    return _code(error).startswith("42") or _code(error) == "SQLITE_ERROR"


def first_line(error: DBAPIError) -> str:
    """Of the database's own words: the line that names no values."""
    return str(error.orig).strip().split("\n")[0]


def refuses_sign_in(error: Exception) -> bool:
    """Whether the server does not let this user in with this password from here."""
    return isinstance(error, OperationalError) and not _code(error) and bool(_SIGN_IN.search(str(error.orig)))


_AWAY = ("08", "53", "57P", "25006", "55000")


_SIGN_IN = re.compile(r"authentication failed|no password supplied|no pg_hba\.conf entry", re.IGNORECASE)


_REFUSED = re.compile(
    rf"{_SIGN_IN.pattern}|does not exist|no such (user|database)"
    r"|not permitted to log ?in|permission denied|certificate|unsupported",
    re.IGNORECASE,
)


_UNREACHABLE = re.compile(
    r"connection refused|timeout expired|could not translate host name|no route to host"
    r"|server closed the connection",
    re.IGNORECASE,
)


_VALUES = ("22", "23", "SQLITE_CONSTRAINT", "SQLITE_MISMATCH", "SQLITE_TOOBIG")


def _code(error: Exception) -> str:
    """SQLSTATE, or the name of SQLite's result code. The exceptions' classes say less: PostgreSQL's read-only is an
    InternalError, a missing privilege a ProgrammingError."""
    cause = getattr(error, "orig", None) or error
    return getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None) or ""
