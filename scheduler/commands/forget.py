"""`webinar forget`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import click

from scheduler.clock import SystemClock
from scheduler.commands.common import opened_database, settings_of_environment, stop
from scheduler.ledger.forgetting import Erased, Traces, find
from scheduler.ledger.forgetting import forget as forget_address


@click.command()
@click.argument("address")
def forget(address: str) -> None:
    """Remove all that is held of ADDRESS, and write to it no more unless it registers again.

    Counts stay, without the person. Its rows in registrants are their owner's.
    """
    settings = settings_of_environment()
    if not address.strip():
        stop("ADDRESS: it is empty")
    with opened_database(settings) as database:
        with database.reading() as conn:
            found = find(conn, address)
        now = SystemClock().now()
        erased = database.in_transaction(partial(forget_address, now=now, address=address, found=found))
    for line in _report(erased, found):
        click.echo(line)


def _report(erased: Erased, found: Traces) -> Iterator[str]:
    """A report without the address, since output ends in logs."""
    if erased.anything:
        parts = [
            _many(erased.registrations, "registration"), _many(erased.mails, "mail"),
            _many(erased.invitations, "version") + " of invitations",
        ]  # fmt: skip
        cancelled = f", {erased.cancelled} of them cancelled" if erased.cancelled else ""
        yield f"Forgotten: {parts[0]}, {parts[1]}{cancelled}, {parts[2]}. How many mails there were stays counted."
    elif erased.remembered:
        yield "Forgotten, before anything was held of that address but its row."
    else:
        yield "Nothing is held of that address."
    if erased.on_the_wire:
        mails = "1 mail is" if erased.on_the_wire == 1 else f"{erased.on_the_wire} mails are"
        yield f"{mails} on the wire now, and can't be stopped; what becomes of it is recorded without the person."
    if erased.others:
        yield (
            f"{_many(erased.others, 'registration')} had that address before, and has another one now: that one is not"
            " forgotten."
        )
    if erased.suppressed:
        yield "It stays suppressed: nobody writes to it, even if it registers again."
    if erased.copies:
        yield (
            f"{_many(erased.copies, 'row')} of registrants, copied from a source, went with the rest. A source that"
            " still holds the person brings back nothing."
        )
    rows = len(found.rows) - erased.copies
    if rows == 1:
        yield "The row in registrants is its owner's; it gets no mails."
    elif rows > 1:
        yield f"The {rows} rows in registrants are their owner's; they get no mails."


def _many(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
