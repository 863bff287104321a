"""Output of commands: tables and a progress bar on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

Show = Callable[[datetime, datetime, datetime], None]

_COLOURS = {"sent": "green", "skipped": "yellow", "failed": "red", "held": "red", "in_doubt": "red"}


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Show]:
    """A bar over the virtual time of a rehearsal; in a pipe, a line for each day."""
    if quiet:
        yield lambda start, now, end: None
    elif sys.stdout.isatty():
        with Progress(TextColumn("{task.description}"), BarColumn(), transient=True) as bar:
            task = bar.add_task("", total=1.0)
            yield lambda start, now, end: bar.update(
                task, completed=(now - start) / (end - start), description=f"{now:%a %d %B %Y, %H:%M} UTC"
            )
    else:
        days: set[str] = set()

        def line(start: datetime, now: datetime, end: datetime) -> None:
            if (day := f"{now:%a %d %B %Y}") not in days:
                days.add(day)
                print(f"rehearsing {day}", flush=True)

        yield line


def print_deliveries(deliveries: Iterable[Mapping[str, Any]]) -> None:
    """One line for each message, language, zone and due time, with the number of people and their state."""
    counted: Counter[tuple[str, ...]] = Counter()
    for one in deliveries:
        counted[_line(one)] += 1
    lines = sorted(counted.items(), key=lambda item: (item[0][3], item[0]))
    headings = ("message", "language", "zone", "due (UTC)", "on the reader's clock", "state", "people")
    print_table((), headings, [(*cells, people) for cells, people in lines])


def print_summary(deliveries: Sequence[Mapping[str, Any]]) -> None:
    """Two lines: the mails, people, languages, zones and days; and the states by message, in the order of leaving."""
    sent = [one for one in deliveries if one["state"] == "sent"]
    people = len({one["email"] for one in sent})
    languages, zones = {one["text_language"] for one in sent}, {one["zone"] for one in sent}
    print(
        f"{_number(len(sent), 'mail')} to {_number(people, 'person', 'people')}, {_number(len(languages), 'language')},"
        f" {_number(len(zones), 'time zone')}{_days([one['sent_at'] for one in sent])}"
    )
    states: dict[str, Counter[str]] = {}
    for one in sorted(deliveries, key=lambda one: str(one["due_at"])):
        states.setdefault(one["message"], Counter())[one["state"].replace("_", " ")] += 1
    said = (
        f"{message}: {', '.join(f'{number} {state}' for state, number in found.most_common())}"
        for message, found in states.items()
    )
    print("; ".join(said) or "Nobody gets a mail.")


def _number(number: int, unit: str, units: str = "") -> str:
    return f"{number:,} {unit if number == 1 else units or f'{unit}s'}"


def _days(instants: Sequence[str]) -> str:
    """ ", 12 June 2025 to 5 July 2025 (UTC)"; "" for none."""
    days = sorted({datetime.fromisoformat(one).date() for one in instants})
    if not days:
        return ""
    first, last = (f"{day.day} {day:%B %Y}" for day in (days[0], days[-1]))
    return f", {first} (UTC)" if first == last else f", {first} to {last} (UTC)"


def on_terminal() -> bool:
    return sys.stdout.isatty()


def print_table(kind: Sequence[str], headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on a terminal. In a pipe a line for each row, cells between tabs, `kind` before them.

    Nothing in a cell is markup, and nothing in it can steer a terminal.
    """
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    if not on_terminal():
        for row in cells:
            print("\t".join((*kind, *row)))
        return
    if not cells:
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for number, heading in enumerate(headings):
        right = all(row[number].isdecimal() for row in cells)
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell, style=_COLOURS.get(cell.split(":")[0], "")) for cell in row))
    print()
    Console().print(table)


def printable(text: str) -> str:
    """On one line, without what steers a terminal or turns the direction of writing."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())


def utc_words(instant: datetime) -> str:
    """ "2025-07-02 07:00", with seconds where there are any."""
    return f"{instant:%Y-%m-%d %H:%M:%S}".removesuffix(":00")


def local_words(local: datetime) -> str:
    """ "Wed 02 Jul 2025 09:00 UTC+02:00"."""
    seconds = f"{local:%S}" if local.second else ""
    return f"{local:%a %d %b %Y %H:%M}{':' if seconds else ''}{seconds} UTC{local.isoformat()[-6:]}"


def _line(one: Mapping[str, Any]) -> tuple[str, ...]:
    local = datetime.fromisoformat(one["due_local"])
    assumed = " (assumed)" if one["zone_known_by"] in ("assumed", "webinar") else ""
    written_in = one["text_language"]
    wanted = one["language"] or "-"
    return (
        one["message"] + (f" #{one['edition']}" if one["edition"] else ""),
        wanted if written_in in (None, wanted) else f"{wanted} (in {written_in})",
        one["zone"] + assumed,
        one["due_at"].replace("T", " ").removesuffix(":00Z").removesuffix("Z"),
        f"{local:%a %d %b %H:%M} UTC{local:%z}",
        one["state"] + (f": {one['reason']}" if one["reason"] else ""),
    )
