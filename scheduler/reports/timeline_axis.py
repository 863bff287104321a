"""The time axis of a timeline's picture: days in UTC; days without an event are folded. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import NamedTuple

from scheduler.zones.wall import Zone, computed_to_utc, to_local
from scheduler.zones.weekends import weekend

ALL_DAYS, NARROWEST_DAY, WIDEST_DAY = 840, 190, 300
FOLD = 52  # the width of any number of days without an event
DAY = timedelta(days=1)
NIGHT = (time(22), time(6))


class Stretch(NamedTuple):
    """A day, or a fold of several, on the axis."""

    begins: datetime
    ends: datetime
    left: float
    right: float
    folded: bool

    @property
    def name(self) -> str:
        if self.folded:
            days = (self.ends - self.begins).days
            return f"{days} day{'s' if days > 1 else ''}"
        return f"{self.begins:%a} {self.begins.day} {self.begins:%B}"


@dataclass(frozen=True)
class Axis:
    """Maps instants to positions."""

    stretches: tuple[Stretch, ...]

    @property
    def right(self) -> float:
        return self.stretches[-1].right

    def x(self, instant: datetime) -> float:
        """What lies outside is at the edge."""
        for one in self.stretches:
            if instant < one.ends:
                done = max(timedelta(0), instant - one.begins) / (one.ends - one.begins)
                return round(one.left + (one.right - one.left) * done, 1)
        return self.right

    def hours(self) -> Iterator[tuple[float, str]]:
        for one in self.stretches:
            for hour in () if one.folded else (6, 12, 18):
                yield self.x(one.begins + timedelta(hours=hour)), f"{hour:02d}"


def axis_of(events: Sequence[datetime], left: float) -> Axis:
    """The days of these instants, those between them folded, from `left` on."""
    busy = {event.astimezone(UTC).date() for event in events}
    days = [min(busy) + DAY * number for number in range((max(busy) - min(busy)).days + 1)]
    width = min(max(ALL_DAYS / len(busy), NARROWEST_DAY), WIDEST_DAY)
    stretches = []
    for is_busy, run in groupby(days, key=lambda day: day in busy):
        together = list(run)
        for first, last in [(day, day) for day in together] if is_busy else [(together[0], together[-1])]:
            right = left + (width if is_busy else FOLD)
            stretches.append(Stretch(_midnight(first), _midnight(last + DAY), left, right, not is_busy))
            left = right
    return Axis(tuple(stretches))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(0), UTC)


def nights(zone: Zone, axis: Axis) -> Iterator[tuple[float, float]]:
    """Where it is night there; not in folds, where a night has no width."""
    for day in _days(zone, axis):
        begins = computed_to_utc(datetime.combine(day, NIGHT[0]), zone)
        yield from _shown(axis, begins, computed_to_utc(datetime.combine(day + DAY, NIGHT[1]), zone))


def weekends(zone: Zone, axis: Axis) -> Iterator[tuple[float, float]]:
    """Where it is the weekend there; not in folds."""
    free = weekend(str(zone))
    for day in _days(zone, axis):
        if day.weekday() in free:
            begins = computed_to_utc(datetime.combine(day, time(0)), zone)
            yield from _shown(axis, begins, computed_to_utc(datetime.combine(day + DAY, time(0)), zone))


def _days(zone: Zone, axis: Axis) -> Iterator[date]:
    """The days there that the axis touches, and the one before."""
    day = to_local(axis.stretches[0].begins, zone).date() - DAY
    last = to_local(axis.stretches[-1].ends, zone).date()
    while day <= last:
        yield day
        day += DAY


def _shown(axis: Axis, begins: datetime, ends: datetime) -> Iterator[tuple[float, float]]:
    for one in axis.stretches:
        if not one.folded and begins < one.ends and ends > one.begins:
            yield axis.x(max(begins, one.begins)), one.right if ends >= one.ends else axis.x(ends)
