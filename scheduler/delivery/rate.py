"""Limits the rate at which mails begin at a relay. Pure: times come in as arguments.

Mails are spaced evenly. When a relay complains, the rate is halved; it grows again by a step every ten seconds in which
mails are accepted (additive increase, multiplicative decrease, as in TCP: RFC 5681, 3.1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

HOUR = 3600
DAY_HOURS = 24
TOGETHER = 0.5  # seconds' worth of turns that are reserved at once; at least one turn
CATCH_UP = 0.5  # seconds by which a turn may be late and still be given
MOST_AHEAD = (
    600.0  # seconds that turns are reserved ahead at most: later turns mean that the clock was put back
)
MEMORY = 3.0  # seconds over which the rate of accepted mails is measured
STEP_SECONDS = 10.0  # between two steps up
STEP = 0.05  # of the full rate
STEADY_SECONDS = 5.0  # after a change without another halving: mails that fail together are one complaint
SLOWEST = 0.5  # mails a second, however much a relay complains: the 30 a minute of a mailbox at Microsoft 365


class Turns(NamedTuple):
    """`number` mails may begin: the first `after` seconds from now, the others `apart` seconds from each other.

    0 mails: the daily limit is reached, until `after` seconds from now.
    """

    number: int
    after: float
    apart: float


@dataclass
class Rate:
    """The rate of one relay. `at`: the time in seconds, always on the same clock.

    In any t seconds at most rate * (t + 1) + 2 mails begin. In any 24 hours at most `per_day` begin: they are counted
    by the hour, and those of an hour count until 24 hours after its end.
    """

    per_minute: int | None = None
    per_day: int | None = None
    next_turn: float = 0.0
    slowed_to: float | None = None  # mails a second; None: not slowed down
    climbs_to: float = 0.0  # mails a second: the rate to return to after a complaint
    recent: float = 0.0  # mails accepted recently; a mail of MEMORY seconds ago counts 1/e
    recent_at: float = 0.0
    changed_at: float = -math.inf
    hours: dict[int, int] = field(default_factory=dict)  # mails by hour, of hours that still count

    @property
    def per_second(self) -> float | None:
        """Mails a second that may begin now; None: no limit."""
        limits = [limit for limit in (self._settings, self.slowed_to) if limit is not None]
        return min(limits) if limits else None

    def turns(self, wanted: int, at: float) -> Turns:
        """Reserve up to `wanted` (1 or more) turns."""
        self._heed_clock(at)
        number = wanted if self.per_day is None else min(wanted, self._left_of_day(self.per_day, at))
        if not number:
            return Turns(0, (min(self.hours) + DAY_HOURS + 1) * HOUR - at, 0.0)
        rate = self.per_second
        if rate is None:
            self._count(number, at)
            return Turns(number, 0.0, 0.0)
        number = min(number, max(1, int(rate * TOGETHER)))
        first = max(self.next_turn, at - CATCH_UP)
        self.next_turn = first + number / rate
        self._count(number, max(at, self.next_turn - 1 / rate))
        return Turns(number, first - at, 1 / rate)

    def note_accepted(self, number: int, at: float) -> None:
        """Count accepted mails, and take a step up when it is time."""
        self._heed_clock(at)
        self.recent, self.recent_at = self._recent(at) + number, at
        if self.slowed_to is not None and at - self.changed_at >= STEP_SECONDS:
            self.slowed_to, self.changed_at = self.slowed_to + STEP * self.climbs_to, at
            if self.slowed_to > self.climbs_to * (1 - STEP / 2):
                self.slowed_to, self.climbs_to = None, 0.0

    def slow_down(self, at: float) -> None:
        """Halve the rate, because the relay complains."""
        self._heed_clock(at)
        if at - self.changed_at < STEADY_SECONDS:
            return
        taken = self._recent(at) / MEMORY
        self.slowed_to = max(SLOWEST, min(taken, self.per_second or taken) / 2)
        self.climbs_to = self._settings or max(self.climbs_to, taken)
        self.changed_at = at

    @property
    def _settings(self) -> float | None:
        return self.per_minute / 60 if self.per_minute else None

    def _recent(self, at: float) -> float:
        return self.recent * math.exp((self.recent_at - at) / MEMORY)

    def _left_of_day(self, per_day: int, at: float) -> int:
        first = int(at // HOUR) - DAY_HOURS
        self.hours = {hour: number for hour, number in self.hours.items() if hour >= first}
        return max(0, per_day - sum(self.hours.values()))

    def _count(self, number: int, at: float) -> None:
        if self.per_day is not None:
            hour = int(at // HOUR)
            self.hours[hour] = self.hours.get(hour, 0) + number

    def _heed_clock(self, at: float) -> None:
        """Forget times in the future: the clock was put back."""
        self.recent_at, self.changed_at = min(self.recent_at, at), min(self.changed_at, at)
        if self.next_turn > at + MOST_AHEAD:
            self.next_turn = at
        latest = int((at + MOST_AHEAD) // HOUR)
        for hour in [hour for hour in self.hours if hour > latest]:
            self._count(self.hours.pop(hour), at)
