"""`[source]` in a webinar's file: from where its registrants are read again and again. Pure.

The person who edits the file is not the operator. So database addresses, passwords and tokens are in the environment,
and the file names their variables; a path is below the operator's SOURCES_DIR.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from scheduler.input import values
from scheduler.input.validation import Mistake, mistake, shown

ORIGINS = ("from", "path", "url")
SHORTEST, LONGEST, DEFAULT = timedelta(minutes=1), timedelta(days=1), timedelta(minutes=5)
LONGEST_QUERY = 10_000  # characters
PREFIX = "SOURCE_"
_SELECT = re.compile(r"(?:select|with)\b", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def _path(value: object) -> str:
    """A relative path with `/` that does not leave its folder."""
    text = values.line(value)
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or "\\" in text or not path.parts:
        raise mistake(shown(text), hint="give its path below SOURCES_DIR")
    return text


def _query(value: object) -> str:
    """A single SELECT. The database account limits what it may read."""
    if not isinstance(value, str):
        raise mistake(shown(value), hint="put it in quotes")
    text = value.strip().removesuffix(";").strip()
    if not _SELECT.match(text):
        raise mistake(shown(text))
    if ";" in text:
        raise mistake(f"a semicolon in {shown(text)}", hint="only one statement is read")
    if len(text) > LONGEST_QUERY or _CONTROL.search(text):
        raise mistake(f"{len(text)} characters, or a control character", allowed=f"at most {LONGEST_QUERY}")
    return text


def _every(value: object) -> timedelta:
    length = values.duration(value)
    if not SHORTEST <= length <= LONGEST:
        raise mistake(shown(value))
    return length


def _statuses(value: object) -> object:
    return [values.line(one) for one in value] if isinstance(value, list) else values.in_brackets(value)


class Source(BaseModel, frozen=True, extra="forbid"):
    """From where a webinar's registrants are read, and how often."""

    origin: Annotated[str, BeforeValidator(values.identifier)] | None = Field(
        default=None,
        alias="from",
        description='the name of an address that the operator keeps in the environment: "crm" is SOURCE_CRM',
    )
    path: Annotated[str, BeforeValidator(_path)] | None = Field(
        default=None, description="the path of a CSV, XLSX or ODS below the operator's SOURCES_DIR"
    )
    url: Annotated[str, BeforeValidator(values.link)] | None = Field(
        default=None, min_length=1, description="the https address of a CSV, XLSX or ODS"
    )
    table: Annotated[str, BeforeValidator(values.title)] | None = Field(
        default=None, description="the name of the database's table or view, or of the workbook's sheet"
    )
    query: Annotated[str, BeforeValidator(_query)] | None = Field(
        default=None, description="one SELECT, in place of `table`"
    )
    counting: Annotated[tuple[str, ...], BeforeValidator(_statuses)] = Field(
        default=(), description='statuses whose people come, too, in brackets: ["Maybe"]'
    )
    every: Annotated[timedelta, BeforeValidator(_every)] = Field(
        default=DEFAULT, description='how often it is read, "1m" to "1d"'
    )

    @property
    def variable(self) -> str:
        """The environment variable with the database's address, or ""."""
        return f"{PREFIX}{self.origin.upper().replace('-', '_')}" if self.origin else ""

    @property
    def words(self) -> str:
        """The source as shown to people: never a secret, and only the host of an address."""
        if self.path:
            return self.path
        if self.url:
            return self.url.partition("//")[2].partition("/")[0].rpartition("@")[2]
        return self.variable


def source_mistakes(raw: Mapping[str, Any]) -> Iterator[Mistake]:
    """The mistakes of [source] that concern more than one key."""
    source = raw.get("source")
    if not isinstance(source, dict):
        return
    given = [key for key in ORIGINS if key in source]
    if len(given) != 1:
        found = f"{len(given)} of them: {', '.join(given)}" if given else "does not say from where to read"
        yield Mistake(("source",), found, f"exactly one of {', '.join(ORIGINS)}")
    if "query" in source and "table" in source:
        yield Mistake(("source", "query"), "is set with table", "only one of the two")
    if "query" in source and given and "from" not in given:
        yield Mistake(("source", "query"), f"is set with {given[0]}", "only with from, for a database")
