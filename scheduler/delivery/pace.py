"""Gives mails their turns at one relay, within its limits for all replicas together, and slower while it complains.

If a limit is set, its state is a row of `relay_pace`, in which replicas reserve a few turns at a time, and which
outlives a restart. Without a limit the database is not used.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Connection

from scheduler.database.engine import Database, dialect, execute
from scheduler.delivery.rate import Rate, Turns

log = structlog.get_logger()


class DayIsFull(Exception):
    """The limit of mails in 24 hours is reached."""

    def __init__(self, until: datetime) -> None:
        """`until`: when the next mail may begin (UTC)."""
        super().__init__("the daily limit of mails is reached")
        self.until = until


class Pace:
    """The turns of mails at one relay, in real time."""

    def __init__(
        self,
        per_minute: int | None = None,
        per_day: int | None = None,
        *,
        database: Database | None = None,
        account: str = "",
    ) -> None:
        """None: no limit. `account`: to which the limits belong (`RelaySettings.account`). `database`: where replicas
        share them; None: they are this process's own."""
        self._rate = Rate(per_minute, per_day)
        self._account = account
        self._database = database if per_minute or per_day else None
        self._one_by_one = asyncio.Lock()
        self._wanted = 0  # turns that callers wait for
        self._left = 0  # turns that are reserved and not yet given
        self._next = 0.0  # the time of the first of these turns, on the loop's clock
        self._apart = 0.0  # seconds between these turns
        self._accepted, self._complained = 0, False  # not yet written to the database

    @property
    def limited(self) -> bool:
        """Whether mails have to wait for turns."""
        return self._rate.per_second is not None

    @property
    def per_second(self) -> float | None:
        """Mails a second that may begin, as this process knows; None: no limit."""
        return self._rate.per_second

    @property
    def unlimited(self) -> bool:
        """Whether mails may begin without waiting or counting: `turns` returns at once."""
        return self._rate.per_day is None and not self.limited

    async def turns(self, wanted: int) -> int:
        """Wait until a mail may begin. Returns how many of the `wanted` mails (1 or more) may.

        Raises DayIsFull, and DBAPIError if the database does not answer.
        """
        if self.unlimited:
            return wanted
        self._wanted += wanted
        try:
            async with self._one_by_one:
                if not self._left:
                    await self._reserve()
                return await self._give(wanted)
        finally:
            self._wanted -= wanted

    def note_accepted(self, number: int) -> None:
        """Count mails that the relay accepted."""
        if self._database:
            self._accepted += number
            return
        before = self._rate.slowed_to
        self._rate.note_accepted(number, asyncio.get_running_loop().time())
        self._log_change(before)

    def slow_down(self) -> None:
        """Halve the rate: the relay asks for fewer mails at a time (`replies.asks_for_less`)."""
        if self._database:
            self._complained = True
            return
        before = self._rate.slowed_to
        self._rate.slow_down(asyncio.get_running_loop().time())
        self._log_change(before)

    async def _reserve(self) -> None:
        loop, before = asyncio.get_running_loop(), self._rate.slowed_to
        if self._database:
            accepted, complained = self._accepted, self._complained
            turns, self._rate = await self._database.run_sending(
                _reserve, self._account, self._rate, self._wanted, accepted, complained
            )
            self._accepted -= accepted
            self._complained = self._complained and not complained
        else:
            turns = self._rate.turns(self._wanted, loop.time())
        self._log_change(before)
        if not turns.number:
            raise DayIsFull(datetime.now(UTC) + timedelta(seconds=turns.after))
        self._left, self._next, self._apart = turns.number, loop.time() + turns.after, turns.apart

    async def _give(self, wanted: int) -> int:
        loop = asyncio.get_running_loop()
        if (seconds := self._next - loop.time()) > 0:
            await asyncio.sleep(seconds)
        due = 1 + int((loop.time() - self._next) / self._apart) if self._apart else self._left
        number = min(wanted, self._left, due)
        self._left -= number
        self._next += number * self._apart
        return number

    def _log_change(self, before: float | None) -> None:
        if self._rate.slowed_to != before:
            slowed_to = self._rate.slowed_to
            log.info("pace", relay=self._account, slowed_to_per_minute=slowed_to and round(slowed_to * 60, 1))


_STATE = ("next_turn", "slowed_to", "climbs_to", "recent", "recent_at", "changed_at")


def _reserve(
    conn: Connection, account: str, settings: Rate, wanted: int, accepted: int, complained: bool
) -> tuple[Turns, Rate]:
    """Update the row that all replicas share by our results, and reserve turns."""
    row = execute(
        conn,
        f"""INSERT INTO relay_pace (relay, {", ".join(_STATE)}, hours) VALUES (:relay, 0, NULL, 0, 0, 0, 0, '{{}}')
            ON CONFLICT (relay) DO UPDATE SET relay = excluded.relay RETURNING {", ".join(_STATE)}, hours""",
        relay=account,
    ).one()
    at = dialect(conn).clock(conn)  # after the row is locked
    hours = {int(hour): number for hour, number in json.loads(row.hours).items()}
    state = {name: getattr(row, name) for name in _STATE}
    rate = Rate(settings.per_minute, settings.per_day, **state, hours=hours)
    if accepted:
        rate.note_accepted(accepted, at)
    if complained:
        rate.slow_down(at)
    turns = rate.turns(wanted, at)
    execute(
        conn,
        f"UPDATE relay_pace SET {', '.join(f'{name} = :{name}' for name in _STATE)}, hours = :hours"
        " WHERE relay = :relay",
        relay=account,
        hours=json.dumps(rate.hours),
        **{name: getattr(rate, name) for name in _STATE},
    )
    return turns, rate
