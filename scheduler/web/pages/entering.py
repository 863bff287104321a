"""Takes in a registration by the form. The answer never tells whether an address is known: only a mail does.

Nobody's mailbox can be filled: an address is asked to confirm at most once an hour, gets a confirmation again at most
once a day, and is registered for a few webinars a day, whoever fills in the form and however often.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from scheduler import mailed_links, outbox
from scheduler.database.engine import dialect, execute
from scheduler.input.addresses import fold
from scheduler.ledger import requests
from scheduler.ledger.planning import Governing
from scheduler.ledger.requests import CannotSendAgain, Refused
from scheduler.mail.writing.composing import wire_address
from scheduler.mailed_links import MailedTo, Purpose
from scheduler.registrants import choices, signups
from scheduler.registrants.choices import NOTHING
from scheduler.registrants.forgotten import forgotten
from scheduler.registrants.rows import Person
from scheduler.registrants.signups import Details, State
from scheduler.registrants.suppression import EVERYTHING, suppressions, unsuppress
from scheduler.web.pages.entry import Entry
from scheduler.web.pages.waiting_list import tell_who_waits
from scheduler.webinar.model import Webinar

FORM = "form"
"""The source of a row of `signup`."""
AN_HOUR, A_DAY = timedelta(hours=1), timedelta(days=1)
MOST_ASKED, MOST_AGAIN, MOST_NEW = 3, 3, 10
"""The most that one address gets in a day, of all webinars: mails that ask to confirm it, confirmations that are sent
again, and new registrations."""

WriteLetter = Callable[[str], bytes]
"""Writes the mail that asks to confirm an address, with this token in its link."""


def enter(
    conn: Connection, now: datetime, governing: Governing, entry: Entry, write: WriteLetter, pages_url: str
) -> None:
    """Register somebody, or ask by mail whether the address is theirs.

    The form itself proves nothing about its sender. So whoever is registered stays as they are, and gets the
    confirmation again; whoever withdrew, or wants no mails of this webinar, comes back and is told. An address that
    wants nothing at all gets nothing, unless its reader may prove by a press that they changed their mind.
    """
    webinar, person = governing.webinar, (governing.webinar.id, fold(entry.address))
    dialect(conn).wait_to_plan(conn, f"form of {person[1]}")  # of one address, one form after the other
    asks = webinar.registration == "confirm"
    signups.drop_unconfirmed(conn, now - signups.CONFIRMED_WITHIN)
    if _is_kept_back(conn, person, proven=asks):
        return
    here, left = _registration(conn, person), _left(conn, person)
    if here is not None and not left:
        _send_again(conn, now, governing, person)
    elif here is not None and not asks:
        _come_back_and_tell(conn, now, governing, person, here)
    elif asks or _registered_since(conn, person[1], now - A_DAY) < MOST_NEW:
        (outcome,) = signups.register(
            conn,
            now,
            webinar,
            [_details(entry)],
            FORM,
            confirmed=not asks,
            overwrite=False,
            again=[person[1]],
        )
        tell_who_waits(conn, now, webinar, outcome, pages_url)
        if outcome.state is State.UNCONFIRMED or (asks and left):
            _ask(conn, now, webinar, entry.address, outcome.id, write)
        else:
            _come_back(conn, now, governing, person)


class Entered(NamedTuple):
    """A registration by the form. `done`: nothing is left to confirm."""

    id: int
    webinar: str
    language: str
    zone: str
    waits: bool
    done: bool


def entered_for(conn: Connection, folded: str, numbers: Collection[int]) -> list[Entered]:
    """What was entered for an address: all that waits for it to be confirmed, and what has one of these numbers."""
    rows = execute(
        conn,
        "SELECT id, webinar, language, timezone, state FROM signup WHERE address_folded = :folded"
        " AND (state = 'unconfirmed' AND source = :source OR id IN :numbers) ORDER BY id",
        folded=folded,
        source=FORM,
        numbers=list(numbers),
    )
    return [
        Entered(
            row.id, row.webinar, row.language, row.timezone,
            waits=row.state == State.WAITING,
            done=row.state != State.UNCONFIRMED and not _left(conn, (row.webinar, folded)),
        )
        for row in rows
    ]  # fmt: skip


def confirm(
    conn: Connection, now: datetime, governing: Governing, number: int, folded: str, pages_url: str
) -> bool:
    """Let an address count whose reader pressed the button. Idempotent. False if the row of `signup` is gone."""
    person = governing.webinar.id, folded
    if _is_kept_back(conn, person, proven=True):
        return False
    outcome = signups.confirm(conn, now, governing.webinar, number)
    if outcome is None:
        return False
    tell_who_waits(conn, now, governing.webinar, outcome, pages_url)
    _come_back(conn, now, governing, person)
    return True


def _details(entry: Entry) -> Details:
    return Details(
        address=entry.address,
        name=entry.name,
        language=entry.language,
        timezone=entry.zone,
        country=entry.country,
        organization=entry.organization,
        answers=entry.answers,
        consent=entry.consent,
    )


def _ask(
    conn: Connection, now: datetime, webinar: Webinar, address: str, number: int, write: WriteLetter
) -> None:
    """Mail the link that confirms an address, unless it got one within the hour, or enough within the day."""
    asked = mailed_links.made_for(
        conn, Purpose.CONFIRM, fold(address), valid_for=signups.CONFIRMED_WITHIN, since=now - A_DAY
    )
    if len(asked) >= MOST_ASKED or any(at > now - AN_HOUR for at in asked):
        return
    to = MailedTo(number, fold(address))
    token = mailed_links.make(
        conn, now, Purpose.CONFIRM, to, valid_for=signups.CONFIRMED_WITHIN, most=MOST_ASKED
    )
    with suppress(outbox.TooMany):
        outbox.put(conn, now, webinar.sender.address, wire_address(address), write(token), patient=True)


def _send_again(conn: Connection, now: datetime, governing: Governing, person: Person) -> None:
    """Send the confirmation again to somebody who is registered already, unless they asked for it within the day."""
    here, message = _registration(conn, person), _confirmation(governing)
    if here is None or message is None:
        return
    asked = list(execute(conn, _ASKED_AGAIN, folded=person[1], since=now - A_DAY).scalars())
    if here not in asked and len(asked) < MOST_AGAIN:
        with suppress(CannotSendAgain):
            requests.send_again(conn, now, governing, here, message, "registrant")


_ASKED_AGAIN = (
    "SELECT r.id FROM registration r JOIN delivery d ON d.registration_id = r.id"
    " WHERE r.address_folded = :folded AND d.asked_by = 'registrant' AND d.planned_at > :since"
)


def _come_back_and_tell(
    conn: Connection, now: datetime, governing: Governing, person: Person, here: int
) -> None:
    """Undo that a person withdrew or unsubscribed, if the confirmation goes to them, so that they know."""
    message = _confirmation(governing)
    if message is None:
        return
    undone = conn.begin_nested()
    _come_back(conn, now, governing, person)
    try:
        requests.send_again(conn, now, governing, here, message, "registrant")
    except CannotSendAgain as refused:
        if refused.reason is not Refused.STILL_TO_GO:
            undone.rollback()
            return
    undone.commit()


def _come_back(conn: Connection, now: datetime, governing: Governing, person: Person) -> None:
    """Undo that a person withdrew or unsubscribed."""
    if not _left(conn, person):
        return
    unsuppress(conn, person[1], _own_scopes(conn, person))
    if (here := _registration(conn, person)) is None:
        choices.come_back(conn, now, person)
    else:
        requests.come_back(conn, now, governing, here)


def _is_kept_back(conn: Connection, person: Person, *, proven: bool) -> bool:
    """Whether nothing may be sent to a person for what is asked in their name. `proven`: they show by a press that the
    address is theirs, which undoes all but what organizers suppressed."""
    mark = forgotten(conn, person[1])
    found = suppressions(conn, person[1])
    return bool(mark and mark[1]) or any(
        found[scope][0] == "organizer" or (scope == EVERYTHING and not proven)
        for scope in (EVERYTHING, person[0])
        if scope in found
    )


def _left(conn: Connection, person: Person) -> bool:
    """Whether a person said that they do not come, or want no mails."""
    chosen = choices.chosen(conn, [person]).get(person, NOTHING)
    return chosen.withdrawn_at is not None or bool(_own_scopes(conn, person))


def _own_scopes(conn: Connection, person: Person) -> list[str]:
    """The scopes of suppression that this webinar's mails are kept back by, and that the person asked for: what
    organizers suppressed stays so."""
    found = suppressions(conn, person[1])
    return [scope for scope in (EVERYTHING, person[0]) if scope in found and found[scope][0] != "organizer"]


def _confirmation(governing: Governing) -> str | None:
    return next((one.id for one in governing.webinar.messages if one.on_registration), None)


def _registration(conn: Connection, person: Person) -> int | None:
    query = "SELECT id FROM registration WHERE address_folded = :folded AND webinar = :webinar AND gone_at IS NULL"
    found = execute(conn, query, webinar=person[0], folded=person[1]).scalar()
    return None if found is None else int(found)


def _registered_since(conn: Connection, folded: str, since: datetime) -> int:
    query = "SELECT count(*) FROM signup WHERE address_folded = :folded AND source = :source AND created_at > :since"
    return int(execute(conn, query, folded=folded, source=FORM, since=since).scalar_one())
