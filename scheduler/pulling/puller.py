"""The service's side of pulling: starts a child when a webinar's source is due, waits for it, and ends one that hangs.

One at a time, and beside everything else: whatever a source, its network or its disk does, mails go on.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog

from scheduler import metrics
from scheduler.clock import Clock
from scheduler.database.engine import Database
from scheduler.ledger.planning import Governing
from scheduler.mail.trying import kill
from scheduler.organizers import alerts
from scheduler.organizers.alerts import Wrong
from scheduler.pulling import state
from scheduler.pulling.process import environment_for
from scheduler.pulling.state import HELD, Run, Standing
from scheduler.troubles import Troubles
from scheduler.webinar import Webinar

log = structlog.get_logger()

PATIENCE = 600.0  # seconds for one pull: a first one of many people is written beside everything else
END_SECONDS = 5.0  # for one that is killed: in a system call that hangs it may not end
LOOK_EVERY = timedelta(seconds=10)  # what other services and operators pulled
ALERT_FROM = 2  # reads in a row that were not followed
_LOGGED = ("webinar", "changed", "people", "new", "updated", "gone", "errors", "trouble")
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
SOURCE = "source "
"""Begins the keys of alerts about sources."""


def pulled(governing: Mapping[str, Governing]) -> dict[str, Webinar]:
    """The webinars whose source is followed: those of drafts are not yet, and of a cancelled one everybody who is known
    is to be notified."""
    live = {name: one.webinar for name, one in governing.items() if one.webinar.status == "live"}
    return {name: one for name, one in live.items() if one.source and not one.cancelled}


class Puller:
    """Pulls for one service. Another service, or an operator, may pull as well."""

    def __init__(self, database: Database, clock: Clock, *, patience: float = PATIENCE) -> None:
        self.notes: tuple[str, ...] = ()
        """What somebody should know of sources, in words without personal data."""
        self._database, self._clock, self._patience = database, clock, patience
        self._troubles = Troubles()
        self._webinars: dict[str, Webinar] = {}
        self._standing: dict[str, Standing] = {}
        self._look_at: datetime | None = None
        self._pulling: asyncio.Task[None] | None = None
        self._told: Mapping[Wrong, str] | None = None

    async def look(self, governing: Mapping[str, Governing]) -> None:
        """Begin the pull that is due, if one is, and say how it stands. Costs nothing where there are no sources."""
        self._webinars = pulled(governing)
        now = self._clock.now()
        if not self._webinars and not self._standing and self._told is not None:
            return
        with self._troubles.told("looking for sources to read"):
            if self._look_at is None or now >= self._look_at:
                self._standing = await self._database.run_reading(state.standing)
                self._look_at = now + LOOK_EVERY
                await self._tell(now)
            if self._pulling is None or self._pulling.done():
                await self._begin(now)
        self.notes = (*self._troubles.words, *self._words())
        metrics.SOURCE_LATE.replace({(name,): self._late(name, now) for name in self._webinars})

    async def stop(self) -> None:
        """End the pull that runs; what it wrote is whole, and the next one does the rest."""
        if self._pulling:
            self._pulling.cancel()
            await asyncio.gather(self._pulling, return_exceptions=True)

    async def _begin(self, now: datetime) -> None:
        for name in sorted(self._webinars, key=self._attempted_at):
            source = self._webinars[name].source
            if source and abs(now - self._attempted_at(name)) >= source.every:  # or by a clock that was ahead
                run = await self._database.run(state.begin, now, name, source.every)
                self._look_at = None  # whoever has it begun
                if run:
                    self._pulling = asyncio.create_task(self._pull(self._webinars[name], run), name="pull")
                    return

    def _attempted_at(self, name: str) -> datetime:
        standing = self._standing.get(name)
        return standing.attempted_at if standing else _LONG_AGO

    async def _pull(self, webinar: Webinar, run: Run) -> None:
        with self._troubles.told("reading sources"):
            why = await self._in_child(webinar, run)
            if why:
                await self._database.run(state.failed, self._clock.now(), run, why)
                log.warning("source not read", webinar=webinar.id, reason=why)
            self._look_at = None

    async def _in_child(self, webinar: Webinar, run: Run) -> str:
        """Why it could not do its work, or say that it could not; "" where it did."""
        if webinar.source is None:
            return ""
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "scheduler.cli", "pull", webinar.id, "--run", run.token, "--json",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env=environment_for(webinar.source, os.environ),
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._patience):
                said, _ = await child.communicate()
            report = json.loads(said)
        except TimeoutError:
            return f"it was not read within {self._patience:g} s, and was given up"
        except ValueError:
            code = await child.wait()
            return f"the process that reads it ended ({f'exit {code}' if code >= 0 else f'signal {-code}'})"
        finally:
            kill(child)
            with suppress(TimeoutError):
                async with asyncio.timeout(END_SECONDS):
                    await child.wait()
        log.info("source read", **{name: report[name] for name in _LOGGED if name in report})
        return ""

    def _late(self, name: str, now: datetime) -> float:
        """Seconds since it was to be read again; of one that was never read, since the first try."""
        standing, source = self._standing.get(name), self._webinars[name].source
        since = standing and (standing.read_at or standing.trouble_since)
        return max(0.0, (abs(now - since) - source.every).total_seconds()) if since and source else 0.0

    def _words(self) -> list[str]:
        return [words for name in sorted(self._webinars) for words in _of(self._standing.get(name))]

    async def _tell(self, now: datetime) -> None:
        """Organizers by a mail, where a source was not followed twice in a row."""
        wrong = {
            Wrong(f"{SOURCE}{name}", webinar.alert_to): _alert(one)
            for name, webinar in self._webinars.items()
            if (one := self._standing.get(name)) and one.trouble and one.failures >= ALERT_FROM
        }
        if wrong != self._told:
            await self._database.run(alerts.note, now, wrong, SOURCE)
            self._told = wrong


def _of(standing: Standing | None) -> tuple[str, ...]:
    return standing.words if standing else ()


def _alert(standing: Standing) -> str:
    """What is held changes in its figures with each read: only the kind of trouble is worth another mail."""
    first = f"The source of {standing.webinar} is not followed"
    if HELD not in standing.trouble:
        first += f": {standing.trouble}"
    stays = (
        "Its registrants stay as they were last read, and mails to them go out. It is read again by itself."
    )
    return f"{first}\n\n{standing.trouble}\n{stays}"
