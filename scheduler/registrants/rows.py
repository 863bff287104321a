"""Reads rows of `registrants` as text, whatever another program wrote there, and tells sound ones apart."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from sqlalchemy import Connection

from scheduler.database.engine import as_list, listed, run
from scheduler.input.addresses import why_no_address

COLUMNS = ("webinar", "email", "name", "language", "timezone", "country", "join_url")
MAX_LENGTH = 2000  # characters of any one value
MAX_SHORT = 200  # of these, which are part of a key: an index of PostgreSQL takes 2,700 octets a row
_SHORT = ("language", "timezone", "country")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Row(NamedTuple):
    """One row as text; an absent value is ''."""

    id: int
    webinar: str
    email: str
    name: str = ""
    language: str = ""
    timezone: str = ""
    country: str = ""
    join_url: str = ""


def read_rows(conn: Connection, ids: Sequence[int]) -> list[Row]:
    """The rows with these ids that exist, every column as text, blanks around values removed, NUL as U+FFFD."""
    as_text = ", ".join(f"coalesce(CAST({column} AS TEXT), '')" for column in COLUMNS)
    sql = f"SELECT id, {as_text} FROM registrants WHERE id IN {listed(conn, 'ids')}"
    return [Row(row[0], *map(_tidy, row[1:])) for row in run(conn, sql, ids=as_list(conn, ids))]


def _tidy(value: str) -> str:
    return value.strip().replace("\0", "\ufffd")  # behind a NUL, JSON's text ends for SQLite


def why_unusable(row: Row, webinars: Collection[str]) -> str:
    """Why this row can't be used, never quoting what a registrant typed, or '' when it can."""
    if row.webinar not in webinars:
        return "unknown webinar"
    if max(len(row.email), len(row.name), len(row.join_url)) > MAX_LENGTH:
        return f"a value is longer than {MAX_LENGTH} characters"
    for name in _SHORT:
        if len(getattr(row, name)) > MAX_SHORT:
            return f"{name} is longer than {MAX_SHORT} characters"
    return why_no_address(row.email) or why_no_link(row.join_url)


def why_no_link(join_url: str) -> str:
    """Why this can't be a person's own join link, or ''. An absent link is sound."""
    if not join_url:
        return ""
    try:
        parts = urlsplit(join_url)
        sound = parts.scheme == "https" and parts.hostname and not re.search(r"[\s\"<>\\^`{|}]", join_url)
    except ValueError:
        sound = False
    if not sound or _CONTROL.search(join_url) or not join_url.isascii():
        return "join_url is not an https link"
    return ""
