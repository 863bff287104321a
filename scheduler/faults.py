"""Classifies errors of the database (temporary, conflict, bad values, bad statement) and names them without values."""

from __future__ import annotations

import re

from sqlalchemy.exc import DataError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout


def is_database_error(error: Exception) -> bool:
    """Whether the database or the connection to it failed, rather than our code."""
    return isinstance(error, DBAPIError | PoolTimeout)


def fault(error: Exception) -> str:
    """The engine's name of an error (SQLITE_FULL, DiskFull), since its message might contain personal data; with the
    reason if the server refused the connection or can't be reached."""
    cause = getattr(error, "orig", None) or error
    name = str(getattr(cause, "sqlite_errorname", "") or type(cause).__name__)
    # An error of libpq, without SQLSTATE, has no values in its message.
    words = str(cause) if name == "OperationalError" and not error_code(error) else ""
    why = _REFUSED.search(words) or _UNREACHABLE.search(words)
    return f"{name} ({why[0].lower()})" if why else name


def blames_values(error: Exception) -> bool:
    """Whether the values of the statement are at fault, so that it would fail again."""
    return isinstance(error, DataError) or error_code(error).startswith(_VALUES)


def is_conflict(error: Exception) -> bool:
    """Whether two transactions conflicted (serialization failure or deadlock), so that repeating this one may help."""
    return error_code(error) in ("40001", "40P01")


def is_temporary(error: Exception) -> bool:
    """Whether the database may answer soon: it is starting up, failing over, out of connections, or can't be reached.
    False for a wrong password or a database that does not exist."""
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if code := error_code(error):
        return code.startswith(_AWAY)
    # libpq has no SQLSTATE for a refused connection. A refusal in a language other than English counts as temporary.
    return isinstance(error, OperationalError) and not _REFUSED.search(str(error.orig))


def is_statement_error(error: Exception) -> bool:
    """Whether the statement can't run on these tables as this user, whatever its values."""
    return error_code(error).startswith("42") or error_code(error) == "SQLITE_ERROR"


def first_line(error: DBAPIError) -> str:
    """The first line of the database's message, which contains no values."""
    return str(error.orig).strip().split("\n")[0]


def refuses_sign_in(error: Exception) -> bool:
    """Whether the server does not let this user in with this password from here."""
    return (
        isinstance(error, OperationalError)
        and not error_code(error)
        and bool(_SIGN_IN.search(str(error.orig)))
    )


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


def error_code(error: Exception) -> str:
    """SQLSTATE, or the name of SQLite's result code, or "". The classes of exceptions are less precise: a read-only
    PostgreSQL raises InternalError, a missing privilege ProgrammingError."""
    cause = getattr(error, "orig", None) or error
    return getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None) or ""
