"""`webinar show`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from scheduler.commands import tables
from scheduler.commands.common import opened_database, settings_of_environment
from scheduler.input.addresses import fold
from scheduler.ledger.history import history
from scheduler.ledger.states import State
from scheduler.registrants.rows import place_of
from scheduler.reports.json_text import json_text

_NOT_SENT = {"draft": "the webinar is a draft", "ended": "the webinar has ended"}
_PENDING = {
    "waiting": ", as all places are taken",
    "unconfirmed": ": the link in the mail to this address was not used",
}
_KNOWN_BY = {
    "confirmed": "confirmed by them",
    "timezone": "as registered",
    "country": "from their country",
    "assumed": "assumed, one of their country's",
    "webinar": "not known, the webinar's own",
}


@click.command()
@click.argument("address")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def show(address: str, as_json: bool) -> None:
    """Show all that ADDRESS got and will get, when and why, with each attempt and the relay's words.

    Exit code 1 when nobody has that address, 2 when there is no database to look at.
    """
    with opened_database(settings_of_environment()) as database, database.reading() as conn:
        found = history(conn, address)
    if found is None:
        click.echo("Nobody is registered with that address.", err=True)
        sys.exit(1)
    if as_json:
        click.echo(json_text(found))
    else:
        _print(found, fold(address))


def _print(found: Mapping[str, Any], folded: str) -> None:
    if since := found["suppressed_since"]:
        click.echo(f"Suppressed since {_utc(since)}: nothing is sent to this address.")
    for webinar, since in found["unsubscribed_since"].items():
        click.echo(f"Of {webinar} it is only told that it is moved or cancelled, since {_utc(since)}.")
    for one in found["signups"]:
        click.echo(f"{one['webinar']}: {one['state']} since {_utc(one['since'])}{_PENDING[one['state']]}")
    for one in found["registrations"]:
        _print_registration(one, folded)
    rows = [(one["row"], one["webinar"], one["state"], one["reason"]) for one in found["rows"]]
    tables.print_table(("row",), ("row of registrants", "webinar", "state", "reason"), rows)


def _print_registration(one: Mapping[str, Any], folded: str) -> None:
    name = one["webinar"]
    if tables.on_terminal():
        click.secho(f"\n{tables.printable(name)}", bold=True)
    tables.print_table(("registration", name), ("registration", ""), _facts(one, folded))
    deliveries = [
        (_message(delivery), _state(delivery, one["webinar_status"]), tables.utc_words(delivery["due_at"]),
         tables.local_words(delivery["due_local"]), _next(delivery))
        for delivery in one["deliveries"]
    ]  # fmt: skip
    tables.print_table(
        ("delivery", name), ("message", "state", "due (UTC)", "on their clock", ""), deliveries
    )
    attempts = [
        (_message(delivery), tables.utc_words(attempt["started_at"]), _outcome(attempt, one["address"]),
         f"{attempt['language']}, revision {attempt['text_revision']}", attempt["relay"], _reply(attempt))
        for delivery in one["deliveries"]
        for attempt in delivery["attempts"]
    ]  # fmt: skip
    tables.print_table(
        ("attempt", name), ("attempt", "at (UTC)", "outcome", "text", "relay", "the relay's words"), attempts
    )


def _facts(one: Mapping[str, Any], folded: str) -> list[tuple[str, str]]:
    row = place_of(one["row"]) if one["row"] is not None else "its row is gone"
    if one["gone_at"]:
        row += f", since {_utc(one['gone_at'])}"
    known = _KNOWN_BY.get(one["zone_known_by"], one["zone_known_by"])
    facts = [
        ("row", row),
        ("name", one["name"] or "none"),
        ("first seen", _utc(one["first_seen_at"])),
        ("zone", f"{one['zone']}: {known}" if one["zone"] else "not known yet"),
        ("language", one["language"] or "none, so the webinar's first"),
        ("own link", "yes" if one["own_link"] else "no"),
    ]
    if one["withdrawn_at"]:
        facts.append(("comes", f"no: withdrew {_utc(one['withdrawn_at'])}"))
    if one["unwanted"]:
        facts.append(("does not want", ", ".join(one["unwanted"])))
    if one["zone_problem"]:
        facts.append(("zone's problem", one["zone_problem"]))
    if fold(one["address"]) != folded:
        facts.append(("address now", one["address"]))
    if one["confirmed_elsewhere"]:
        facts.append(("confirmation", "they have one from another system"))
    return facts


def _message(delivery: Mapping[str, Any]) -> str:
    return str(delivery["message"]) + (f" #{delivery['edition']}" if delivery["edition"] else "")


def _state(delivery: Mapping[str, Any], webinar_status: str | None) -> str:
    state = str(delivery["state"])
    if delivery["reason"]:
        state += f": {delivery['reason']}"
    elif state == State.PENDING and webinar_status in _NOT_SENT:
        state += f": {_NOT_SENT[webinar_status]}"
    return state.replace("in_doubt", "in doubt")


def _next(delivery: Mapping[str, Any]) -> str:
    asked = f", {delivery['asked_by']} asked for it" if delivery["asked_by"] else ""
    if delivery["sent_at"]:
        return f"sent {tables.utc_words(delivery['sent_at'])}{asked}"
    if delivery["state"] == State.PENDING and delivery["next_attempt_at"] > delivery["due_at"]:
        return f"again {tables.utc_words(delivery['next_attempt_at'])}{asked}"
    return asked.removeprefix(", ")


def _outcome(attempt: Mapping[str, Any], address: str) -> str:
    outcome = str(attempt["outcome"]).replace("_", " ") or "under way"
    return outcome if fold(attempt["to"]) == fold(address) else f"{outcome}, to {attempt['to']}"


def _reply(attempt: Mapping[str, Any]) -> str:
    parts = (attempt["code"] or "", attempt["enhanced"], attempt["reply"])
    words = " ".join(str(part) for part in parts if part)
    return f"{attempt['stage']}: {words}" if attempt["stage"] else words


def _utc(instant: datetime) -> str:
    return f"{tables.utc_words(instant)} UTC"
