"""`webinar status`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from scheduler.clock import SystemClock
from scheduler.commands import tables
from scheduler.commands.common import (
    EarlierDatabase,
    NoDatabase,
    existing_database,
    settings_of_environment,
    stop,
)
from scheduler.ledger.states import State, Why
from scheduler.readiness import Kind
from scheduler.reports.json_text import json_text
from scheduler.reports.status import HELD_FIXES, before_the_first_run, collect, stage

_ENDED_SHOWN = 10  # webinars
_OF_ROWS = (Kind.ROW.id, Kind.FORGOTTEN.id)
_ROWS_SHOWN = 20  # ids of rows of one reason, on a terminal


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the status as JSON.")
def status(as_json: bool) -> None:
    """Show each webinar's mails by state, what goes next, and what is wrong and how to fix it.

    Exit code 1 when something is wrong, 2 when the database can't be looked at.
    """
    settings = settings_of_environment()
    now = SystemClock().now()
    try:
        with existing_database(settings) as database:
            found = collect(settings, database, now)
    except EarlierDatabase as reason:
        stop(str(reason))
    except NoDatabase as reason:
        found = before_the_first_run(settings, now, str(reason))
    if as_json:
        click.echo(json_text(found))
    else:
        _print(found)
    sys.exit(0 if found["right"] else 1)


def _print(found: Mapping[str, Any]) -> None:
    for webinar in found["webinars"]:
        _print_webinar(webinar)
    _print_ended(found["ended"])
    _print_removed(found["removed"])
    _print_wrong(found)
    _print_notes(found)
    if found["changes_not_planned"]:
        click.echo(f"Rows of registrants changed and not planned from yet: {found['changes_not_planned']}")
    if found["right"]:
        click.echo("Nothing is wrong.")


def _print_webinar(webinar: Mapping[str, Any]) -> None:
    name = webinar["id"]
    if tables.on_terminal():
        click.secho(f"\n{name}: {tables.printable(webinar['title'])}", bold=True)
        click.echo(f"{stage(webinar)}; {webinar['time']}; {_people(webinar)}{_governed(webinar)}")
    else:
        tables.print_table(
            ("webinar", name),
            (),
            [(stage(webinar), webinar["time"], _people(webinar) + _governed(webinar))],
        )
    if source := webinar["source"]:
        read_at = tables.utc_words(source["read_at"]) if source["read_at"] else "not yet"
        row = (source["from"], read_at, source["people"], source["trouble"])
        tables.print_table(("source", name), ("source", "last read (UTC)", "people", "trouble"), [row])
    _print_counts(name, webinar["counts"])
    now = "now" if webinar["status"] == "live" else "at once"
    goes = [(now, "", "", webinar["at_once"])] if webinar["at_once"] else []
    goes += [
        (one["message"], tables.utc_words(one["due_at"]), tables.local_words(one["due_local"]), one["mails"])
        for one in webinar["next"]
    ]
    late = [(one["message"], tables.utc_words(one["due_at"]), one["seconds"]) for one in webinar["late"]]
    tables.print_table(("late", name), ("due, and not sent yet", "since (UTC)", "seconds"), late)
    heading = "goes next" if webinar["status"] == "live" else "would go next, if it were live"
    tables.print_table(("next", name), (heading, "UTC", "on the webinar's clock", "mails"), goes)
    held = [(f"held: {reason}", many, HELD_FIXES.get(reason, "")) for reason, many in webinar["held"].items()]
    tables.print_table(("held", name), ("waiting", "mails", "how to fix it"), held)
    failed = [(f"failed: {reason}", many) for reason, many in webinar["failed"].items()]
    if unknown := webinar["skipped"].get(Why.UNKNOWN_ADDRESS):
        failed.append((f"skipped: {Why.UNKNOWN_ADDRESS}", unknown))
    tables.print_table(("failed", name), ("given up", "mails"), failed)
    texts = [(one["message"], one["language"], one["state"], one["place"]) for one in webinar["texts"]]
    tables.print_table(("text", name), ("text", "language", "state", "place"), texts)


def _print_counts(name: str, counts: Mapping[str, Mapping[str, int]]) -> None:
    """A column for each state that occurs on a terminal; in a pipe a line for each message and state."""
    if not tables.on_terminal():
        lines = [(message, state, n) for message, by in counts.items() for state, n in by.items()]
        tables.print_table(("count", name), (), lines)
        return
    states = [state.value for state in State if any(state in by for by in counts.values())]
    rows = [(message, *(by.get(state, 0) for state in states)) for message, by in counts.items()]
    headings = [state.replace("_", " ") for state in states]
    tables.print_table((), ("message", *headings), rows)


def _print_ended(ended: Sequence[str]) -> None:
    """The last ones to end on a terminal; in a pipe a line for each."""
    if not tables.on_terminal():
        tables.print_table(("ended",), (), [(name,) for name in ended])
    elif ended:
        more = f" and {len(ended) - _ENDED_SHOWN} more" if len(ended) > _ENDED_SHOWN else ""
        click.echo(f"Ended, so nothing of them is planned or sent: {', '.join(ended[:_ENDED_SHOWN])}{more}")


def _print_removed(removed: Sequence[Mapping[str, Any]]) -> None:
    """Webinars whose people were removed; on a terminal the last ones."""
    shown = removed[:_ENDED_SHOWN] if tables.on_terminal() else removed
    rows = [
        (one["id"], tables.utc_words(one["removed_at"]), one["people"], _in_words(one["counts"]))
        for one in shown
    ]
    tables.print_table(("removed",), ("personal data removed", "at (UTC)", "people", "mails"), rows)


def _in_words(counts: Mapping[str, Mapping[str, int]]) -> str:
    """ "340 sent, 12 skipped"."""
    by_state: dict[str, int] = {}
    for states in counts.values():
        for state, n in states.items():
            by_state[state] = by_state.get(state, 0) + n
    return ", ".join(
        f"{by_state[state]} {state.value.replace('_', ' ')}" for state in State if state in by_state
    )


def _print_wrong(found: Mapping[str, Any]) -> None:
    if tables.on_terminal() and not found["right"]:
        click.secho("\nWhat is wrong", bold=True)
    rows = [(one["reason"], one["fix"]) for one in found["wrong"]]
    tables.print_table(("wrong",), ("what is wrong", "how to fix it"), rows)
    alerts = [
        (one["key"], tables.utc_words(one["raised_at"]), _notified_at(one["told_at"]))
        for one in found["alerts"]
    ]
    tables.print_table(("alert",), ("alert", "since (UTC)", "organizers notified (UTC)"), alerts)


def _print_notes(found: Mapping[str, Any]) -> None:
    """Rows that were set aside have a list of their own."""
    notes = [(one["reason"], one["fix"]) for one in found["notes"] if one["kind"] not in _OF_ROWS]
    tables.print_table(("note",), ("good to know", "what to do"), notes)
    _print_rows(found["rows_set_aside"])


def _print_rows(rows: Iterable[Mapping[str, Any]]) -> None:
    """A line for each reason with the first ids on a terminal; in a pipe a line for each row."""
    if not tables.on_terminal():
        tables.print_table(("row",), (), [(one["row"], one["webinar"], one["reason"]) for one in rows])
        return
    by_reason: dict[str, list[str]] = {}
    for one in rows:
        by_reason.setdefault(one["reason"], []).append(str(one["row"]))
    lines = []
    for reason, ids in by_reason.items():
        more = f" and {len(ids) - _ROWS_SHOWN} more" if len(ids) > _ROWS_SHOWN else ""
        lines.append((reason, ", ".join(ids[:_ROWS_SHOWN]) + more))
    tables.print_table((), ("rows of registrants set aside", "ids"), lines)


def _notified_at(at: datetime | None) -> str:
    return tables.utc_words(at) if at else "not yet"


def _people(webinar: Mapping[str, Any]) -> str:
    """ "12 registrants", "2 registrants, 2 of 2 places, 1 waiting"."""
    many, places = webinar["registrants"], webinar["places"]
    words = f"{many} registrant{'' if many == 1 else 's'}"
    return (
        f"{words}, {places['taken']} of {places['of']} places, {places['waiting']} waiting"
        if places
        else words
    )


def _governed(webinar: Mapping[str, Any]) -> str:
    words = ""
    if "waits" in webinar["governed_by"]:
        words += "; its last edit waits (see below)"
    elif webinar["governed_by"] != "file":
        since = f" of {tables.utc_words(webinar['sound_since'])} UTC" if webinar["sound_since"] else ""
        words += f"; its last sound revision{since} governs, as its file is not sound or gone"
    if webinar["planned"] == "not yet":
        words += "; not planned yet"
    elif webinar["planned"] != "yes":
        words += "; its last edit is not planned yet"
    return words
