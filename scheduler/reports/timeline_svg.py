"""A webinar's timeline as a picture: a row for each clock, time in UTC from left to right, a mark for each message.

Pure: entries in, SVG out. Days on which nothing happens are folded. Nothing is said by colour alone, and the picture
is light or dark with its reader.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.resources import files
from itertools import groupby, pairwise
from typing import NamedTuple

import pytz
from jinja2 import Environment, StrictUndefined, Template

from scheduler.reports.timeline import Clock, Entry, clocks, message_name, rule_in_words
from scheduler.reports.timeline_axis import Axis, axis_of, nights, weekends
from scheduler.webinar.model import Webinar, explain_time
from scheduler.zones.wall import to_local

MARGIN = 28
LABELS = 232  # the width of the zones' names
AT_ONCE = 104  # the column of what is due on registration, where nobody says when that is
ROW = 50
SIGNS = 26  # the height of the line that explains the other signs
ABOVE, MIDDLE, BELOW = 9, 24, 43  # in a row: the base line of a label above, the marks, that of a label below
TOUCHING = 12  # marks nearer to each other than this are set one above the other
LETTER = 0.56  # of the size of a font: the width of a letter, about
SHAPES = (
    "M-6,0a6,6 0 1,0 12,0a6,6 0 1,0 -12,0Z",  # circle
    "M-5.5,-5.5H5.5V5.5H-5.5Z",  # square
    "M0,-6.8L6.6,5H-6.6Z",  # triangle
    "M0,-7.4L7.4,0L0,7.4L-7.4,0Z",  # diamond
    "M0,6.8L6.6,-5H-6.6Z",  # triangle on its tip
    "M-2.4,-6.6H2.4V-2.4H6.6V2.4H2.4V6.6H-2.4V2.4H-6.6V-2.4H-2.4Z",  # cross
    "M-3.4,-5.9H3.4L6.8,0L3.4,5.9H-3.4L-6.8,0Z",  # hexagon
)
NAMES = 30  # characters of a row's cities, with the number of people
COLOURS = 6  # with the shapes, 42 pairs that differ


@dataclass
class Mark:
    """One message of a row. `label_y` None: there is no room for its label."""

    x: float
    style: int
    label: str
    skipped: bool
    says: str
    up: int = 0
    label_x: float = 0
    label_y: int | None = None

    @property
    def shape(self) -> str:
        return SHAPES[self.style % len(SHAPES)]

    @property
    def colour(self) -> int:
        return self.style % COLOURS


@dataclass(frozen=True)
class Row:
    """One clock."""

    y: int
    name: str
    people: str
    all_names: str
    offset: str
    starts: str
    nights: list[tuple[float, float]]
    weekends: list[tuple[float, float]]
    marks: list[Mark] = field(default_factory=list)


def timeline_svg(webinar: Webinar, entries: Sequence[Entry], people: Mapping[str, int] | None = None) -> str:
    """The picture of one webinar's timeline; clocks whose day begins first are on top. `people`: the number of
    registrants by zone."""
    at_once = any(entry.due_at is None for entry in entries)
    left = MARGIN + LABELS + (AT_ONCE if at_once else 0)
    axis = axis_of([*(one.due_at for one in entries if one.due_at), webinar.start, webinar.end], left)
    width = round(max(axis.right, 860) + MARGIN)
    title = textwrap.wrap(webinar.title, int((width - 2 * MARGIN) / (20 * LETTER)))
    legend = _legend(webinar, width)
    top = 74 + 26 * len(title) + 24 * (max(key.y for key in legend) + 1) + SIGNS
    rows = _rows(webinar, clocks(webinar, entries, people or {}), axis, top + 56)
    band = (axis.x(webinar.start), max(axis.x(webinar.end), axis.x(webinar.start) + 3))
    return _template().render(
        webinar=webinar,
        title=title,
        when=_when(webinar),
        hours=_hours(webinar.start, webinar.end),
        description=_description(webinar, entries, len(rows)),
        width=width,
        height=top + 56 + ROW * len(rows) + 32,
        signs=top - SIGNS + 2,
        left=left,
        top=top,
        axis=axis,
        at_once=MARGIN + LABELS + AT_ONCE / 2 if at_once else None,
        legend=legend,
        rows=rows,
        band=band,
        band_label=min(max((band[0] + band[1]) / 2, left + 70), axis.right - 70),
        margin=MARGIN,
        middle=MIDDLE,
        bottom=top + 56 + ROW * len(rows),
    )


def _rows(webinar: Webinar, found: Sequence[Clock], axis: Axis, top: int) -> list[Row]:
    styles = {message.id: number for number, message in enumerate(webinar.messages)}
    names = {message.id: message_name(message) for message in webinar.messages}
    rows = []
    for number, clock in enumerate(found):
        y = top + ROW * number
        marks = [
            _mark(entry, axis, styles[entry.message], names[entry.message], clock) for entry in clock.entries
        ]
        _set_apart(marks)
        _label(marks, y, axis, axis.x(webinar.start))
        zone = pytz.timezone(clock.zones[0])
        rows.append(
            Row(
                y,
                clock.names_within(NAMES - len(clock.how_many)),
                clock.how_many,
                ", ".join(clock.cities),
                clock.offset,
                clock.starts,
                list(nights(zone, axis)),
                list(weekends(zone, axis)),
                marks,
            )
        )
    return rows


def _hours(start: datetime, end: datetime) -> str:
    """ "11:00–13:00"; with dates where the second differs."""
    if end.date() == start.date():
        return f"{start:%H:%M}–{end:%H:%M}"
    return f"{start.day} {start:%b %H:%M} – {end.day} {end:%b %H:%M}"


def _mark(entry: Entry, axis: Axis, style: int, name: str, clock: Clock) -> Mark:
    skipped = f"; skipped: {entry.reason}" if entry.reason else ""
    if entry.due_at is None or entry.due_local is None:
        x = axis.stretches[0].left - AT_ONCE / 2
        return Mark(x, style, "", bool(skipped), f"{name}{skipped}")
    there = f"{entry.due_local:%a %H:%M}"
    says = (
        f"{name}, {clock.names_within(NAMES)}: {there} there, {entry.due_at:%a %H:%M} UTC,"
        f" useful until {entry.expires_at:%a} {entry.expires_at.day} {entry.expires_at:%b %H:%M} UTC{skipped}"
    )
    return Mark(axis.x(entry.due_at), style, there, bool(skipped), says)


def _set_apart(marks: Sequence[Mark]) -> None:
    in_order = sorted(marks, key=lambda mark: mark.x)
    for one, following in pairwise(in_order):
        if following.x - one.x < TOUCHING:
            one.up = one.up or 6
            following.up = -one.up


def _label(marks: Iterable[Mark], y: int, axis: Axis, start: float) -> None:
    """Below a mark, or above it where another label is in the way, or not at all; on that side of the webinar's
    edge on which the mark is."""
    taken: dict[int, float] = {}
    for mark in sorted(marks, key=lambda mark: mark.x):
        half = len(mark.label) * 10.5 * LETTER / 2 + 2
        right = start - 1 if mark.x < start < mark.x + half else axis.right
        mark.label_x = round(min(max(mark.x, axis.stretches[0].left + half), right - half), 1)
        for lane in (ABOVE, BELOW) if mark.up > 0 else (BELOW, ABOVE):
            if mark.label and mark.label_x - half >= taken.get(lane, 0):
                mark.label_y, taken[lane] = y + lane, mark.label_x + half
                break


class Key(NamedTuple):
    """One message of the legend, in a grid of two or three columns."""

    mark: Mark
    name: str
    rule: str
    x: float
    y: int


def _legend(webinar: Webinar, width: int) -> list[Key]:
    words = [(message.kind.capitalize(), rule_in_words(message)) for message in webinar.messages]
    widest = max(len(name) + len(rule) for name, rule in words) * 12.5 * LETTER + 48
    columns = max(1, int((width - 2 * MARGIN) // widest))
    rows = -(-len(words) // columns)
    return [
        Key(
            Mark(0, number, "", False, name),
            name,
            rule,
            MARGIN + 8 + widest * (number // rows),
            number % rows,
        )
        for number, (name, rule) in enumerate(words)
    ]


def _when(webinar: Webinar) -> str:
    local = to_local(webinar.start, webinar.tz)
    return f"{local:%A} {local.day} {local:%B %Y}, {explain_time(webinar)}"


def _description(webinar: Webinar, entries: Iterable[Entry], zones: int) -> str:
    """The picture in words, for screen readers."""
    names = {message.id: message_name(message) for message in webinar.messages}
    parts = [f"{webinar.title}. {_when(webinar)}. {zones} clock{'s' if zones != 1 else ''}."]
    for message, group in groupby(entries, key=lambda entry: entry.message):
        found = list(group)
        due = sorted(entry.due_at for entry in found if entry.due_at and not entry.reason)
        skipped = sum(bool(entry.reason) for entry in found)
        if not due and skipped < len(found):
            parts.append(f"{names[message]}.")
        elif due and due[0] == due[-1]:
            parts.append(f"{names[message]}: {due[0]:%d %B %H:%M} UTC.")
        elif due:
            parts.append(f"{names[message]}: from {due[0]:%d %B %H:%M} to {due[-1]:%d %B %H:%M} UTC.")
        if skipped:
            parts.append(f"{names[message]}: skipped in {skipped} of them.")
    return " ".join(parts)


@cache
def _template() -> Template:
    source = (files("scheduler.reports") / "timeline.svg.jinja").read_text("utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(source)
