"""When mails may begin at one relay: as its limits say, for all replicas together, and slower while it complains.

Where a limit is set, its state is a row of `relay_pace`, in which turns are reserved a few at a time: replicas take
turns, and a restart forgets nothing. Where none is set, nothing is asked of the database.
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
    """No more mails for now: as many have begun in 24 hours as may."""

    def __init__(self, until: datetime) -> None:
        """`until`: when there is room again (UTC)."""
        super().__init__("the daily limit of mails is reached")
        self.until = until


class Pace:
    """Gives each mail its turn, in real time."""

    def __init__(
        self,
        per_minute: int | None = None,
        per_day: int | None = None,
        *,
        database: Database | None = None,
        account: str = "",
    ) -> None:
        """None: no limit. `account` is what the limits belong to (`RelaySettings.account`), `database` where replicas
        share them; without it they are this process's own."""
        self._rate = Rate(per_minute, per_day)
        self._account = account
        self._database = database if per_minute or per_day else None
        self._one_by_one = asyncio.Lock()
        self._wanted = 0  # by all who wait now
        self._left = 0  # turns that are reserved and not yet given
        self._next = 0.0  # when the first of them comes, on the loop's clock
        self._apart = 0.0  # seconds between them
        self._accepted, self._complained = 0, False  # what the database does not know yet

    @property
    def limited(self) -> bool:
        """Whether mails wait for their turns."""
        return self._rate.per_second is not None

    @property
    def per_second(self) -> float | None:
        """Mails that may begin, as far as is known here; None: no limit."""
        return self._rate.per_second

    @property
    def unlimited(self) -> bool:
        """Whether mails may begin without waiting or counting: `turns` returns at once."""
        return self._rate.per_day is None and not self.limited

    async def turns(self, wanted: int) -> int:
        """Wait until a mail may begin; returns how many of the `wanted` (1 or more) may.

        Raises DayIsFull, and DBAPIError when the database does not answer.
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

    def well(self, number: int) -> None:
        """So many mails were accepted."""
        if self._database:
            self._accepted += number
            return
        before = self._rate.slowed_to
        self._rate.well(number, asyncio.get_running_loop().time())
        self._log_change(before)

    def slow_down(self) -> None:
        """The relay asks for less (`replies.asks_for_less`)."""
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
    """In the row that all replicas share: tell what became of our mails, and reserve turns for the next."""
    row = execute(
        conn,
        f"""INSERT INTO relay_pace (relay, {", ".join(_STATE)}, hours) VALUES (:relay, 0, NULL, 0, 0, 0, 0, '{{}}')
            ON CONFLICT (relay) DO UPDATE SET relay = excluded.relay RETURNING {", ".join(_STATE)}, hours""",
        relay=account,
    ).one()
    at = dialect(conn).clock(conn)  # once the row is ours
    hours = {int(hour): number for hour, number in json.loads(row.hours).items()}
    state = {name: getattr(row, name) for name in _STATE}
    rate = Rate(settings.per_minute, settings.per_day, **state, hours=hours)
    if accepted:
        rate.well(accepted, at)
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
