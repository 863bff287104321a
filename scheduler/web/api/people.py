"""What calls of the API do with people: judge what is said of them, register them, and read what became of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, select

from scheduler.database.models import Choice, Delivery, Registration, Signup, ZoneEvidence, table
from scheduler.input.addresses import fold
from scheduler.input.validation import shown
from scheduler.registrants import signups
from scheduler.registrants.forgotten import DOUBTFUL, came_back
from scheduler.registrants.rows import HERE, MAX_LENGTH, MAX_SHORT, Row, why_unusable
from scheduler.registrants.signups import Details, Forgotten, Outcome
from scheduler.web.api import shapes
from scheduler.web.api.shapes import FieldError
from scheduler.web.pages.waiting_list import tell_who_waits
from scheduler.webinar.model import Webinar
from scheduler.webinar.questions import checked


class Refused(Exception):
    """A person cannot be registered, for these reasons."""

    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__("refused")
        self.errors = errors


Result = Outcome | list[FieldError]
"""What became of a person, or why they are not registered."""
_S, _R, _D, _C, _Z = (table(one) for one in (Signup, Registration, Delivery, Choice, ZoneEvidence))
_OF_FORGOTTEN = FieldError(
    at="email", found=DOUBTFUL, allowed="registered_at, after the person was forgotten", hint=""
)


@dataclass(frozen=True)
class Asked:
    """A person whom a call registers, and the errors in what it says of them."""

    details: Details
    registered_at: datetime | None
    errors: list[FieldError]


def judge(webinar: Webinar, address: str, said: shapes.Registrant) -> Asked:
    """The person whom a call means, judged like a row of a file."""
    values = {name: _tidy(getattr(said, name)) for name in _TEXTS}
    address = _tidy(address.strip())
    answers, problems = checked(webinar.questions, {key: _tidy(value) for key, value in said.answers.items()})
    errors = [*_why_not(webinar, address, values)]
    errors += [
        FieldError(at=f"answers.{one.place}", found=one.found, allowed=one.allowed, hint=one.hint)
        for one in problems
    ]
    return Asked(Details(address, answers=answers, **values), said.registered_at, errors)


_TEXTS = ("name", "language", "timezone", "country", "organization", "join_url", "consent")


def _tidy(value: Any) -> Any:
    """Without NUL, which PostgreSQL does not take, as the rows of others are read."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


def _why_not(webinar: Webinar, address: str, values: Mapping[str, str]) -> list[FieldError]:
    row = Row(0, webinar.id, address, *(values[name] for name in Row._fields[3:]))
    if reason := why_unusable(row, [webinar.id]):
        about = reason.partition(" ")[0]
        value = {"email": address, **values}.get(about, "")
        found = f"{reason}: {shown(value)}" if value else reason
        return [
            FieldError(at=about, found=found, allowed=_ALLOWED.get(about, f"at most {MAX_SHORT} characters"))
        ]
    for name in ("organization", "consent"):
        if len(values[name]) > MAX_LENGTH:
            found, allowed = (
                f"{name} is longer than {MAX_LENGTH} characters",
                f"at most {MAX_LENGTH} characters",
            )
            return [FieldError(at=name, found=found, allowed=allowed)]
    return []


AN_ADDRESS = "an address as in maya.okafor@who.int"
_ALLOWED = {
    "email": AN_ADDRESS, "join_url": "an https link without user name and password, or nothing",
    "a": f"values of at most {MAX_LENGTH} characters",
}  # fmt: skip
"""What is allowed, by the first word of why a row is unusable."""


def register(
    conn: Connection, now: datetime, webinar: Webinar, people: Sequence[Asked], source: str, pages_url: str
) -> list[Result]:
    """Register these people, of whom no two have the same address. Idempotent."""
    sound = {one.details.folded: one for one in people if not one.errors}
    details, again = [one.details for one in sound.values()], set[str]()
    results: dict[str, Result] = {}
    try:
        outcomes = signups.register(conn, now, webinar, details, source)
    except Forgotten as forgotten:
        said = {
            (webinar.id, one): at.isoformat()
            for one in forgotten.addresses
            if (at := sound[one].registered_at) is not None
        }
        again = {folded for _, folded in came_back(conn, now, said)}
        passed = forgotten.addresses - again
        results = {one: [_OF_FORGOTTEN] for one in passed}
        details = [one for one in details if one.folded not in passed]
        outcomes = signups.register(conn, now, webinar, details, source, again=again)
    for one, outcome in zip(details, outcomes, strict=True):
        tell_who_waits(conn, now, webinar, outcome, pages_url)
        results[one.folded] = outcome
    return [one.errors or results[one.details.folded] for one in people]


def read(conn: Connection, webinar: str, address: str) -> shapes.Registered | None:
    """A person who registered for this webinar, and their mails; None for nobody."""
    found = _people(conn, _S.c.webinar == webinar, _S.c.address_folded == fold(address))
    return found[0] if found else None


def read_page(conn: Connection, webinar: str, after: int, limit: int) -> shapes.Page:
    """Up to `limit` people of a webinar, in the order in which they registered."""
    rows = conn.execute(
        select(_S.c.id).where(_S.c.webinar == webinar, _S.c.id > after).order_by(_S.c.id).limit(limit + 1)
    )
    ids = list(rows.scalars())
    more = len(ids) > limit
    people = _people(conn, _S.c.id.in_(ids[:limit])) if ids else []
    return shapes.Page(registrants=people, next=ids[limit - 1] if more else None)


def _people(conn: Connection, *which: Any) -> list[shapes.Registered]:
    query = (
        select(
            _S, _R.c.id.label("registration"), _R.c.zone, _R.c.zone_known_by, _C.c.withdrawn_at, _Z.c.problem
        )
        .outerjoin(_R, _R.c.registrant_id == HERE - _S.c.id)
        .outerjoin(_C, _same(_C, _S, "webinar", "address_folded"))
        .outerjoin(_Z, _same(_Z, _R, "webinar", "timezone", "country"))
        .where(*which)
        .order_by(_S.c.id)
    )
    rows = [dict(row) for row in conn.execute(query).mappings()]
    deliveries = _deliveries(conn, [row["registration"] for row in rows if row["registration"]])
    return [
        shapes.Registered(
            **row | {
                "email": row["address"],
                "answers": json.loads(row["answers"]),
                "zone": row["zone"] or "",
                "zone_known_by": row["zone_known_by"] or "",
                "zone_problem": row["problem"] or "",
                "deliveries": deliveries.get(row["registration"], []),
            }
        )
        for row in rows
    ]  # fmt: skip


def _same(one: Table, other: Table, *columns: str) -> ColumnElement[bool]:
    return and_(*(one.c[name] == other.c[name] for name in columns))


def _deliveries(conn: Connection, registrations: Sequence[int]) -> dict[int, list[shapes.Delivery]]:
    found: dict[int, list[shapes.Delivery]] = {}
    query = select(_D).where(_D.c.registration_id.in_(registrations)).order_by(_D.c.due_at, _D.c.id)
    for row in conn.execute(query).mappings() if registrations else ():
        one = shapes.Delivery(**{name: row[name] for name in shapes.Delivery.model_fields})
        found.setdefault(row["registration_id"], []).append(one)
    return found
