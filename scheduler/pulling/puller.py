"""The service's side of pulling: starts a child process when a webinar's source is due, and ends one that hangs.

Sources are read one after the other, except beside slow ones. A source, network or disk that hangs delays neither mails
nor other sources.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from scheduler import alerts, metrics
from scheduler.alerts import AlertKey
from scheduler.child_process import kill
from scheduler.clock import Clock
from scheduler.database.engine import Database
from scheduler.ledger.planning import Governing
from scheduler.pulling.process import environment_for
from scheduler.readiness import Kind, Reason, reasons
from scheduler.registrants import sources
from scheduler.registrants.sources import HELD, Run, SourceState
from scheduler.troubles import Troubles
from scheduler.webinar.model import Webinar
from scheduler.webinar.source import Source

log = structlog.get_logger()

PATIENCE = 600.0  # seconds for one pull: the first one may write many people, in pieces
SLOW = timedelta(seconds=10)  # a pull that takes longer no longer delays others
MOST_AT_ONCE = 4  # pulls of one service: each is a process of some 80 MB
STOPPED_SECONDS = 5.0  # between two checks whether a child was stopped (SIGSTOP)
END_SECONDS = 5.0  # to wait for a killed child: it may hang in a system call
LOOK_EVERY = timedelta(seconds=10)  # for pulls of other services and operators
ALERT_FROM = 2  # reads in a row that were not followed
_LOGGED = ("webinar", "changed", "people", "new", "updated", "gone", "errors", "trouble")
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_LOOKING = "looking for sources to read"
SOURCE = "source "
"""Prefix of the keys of alerts about sources."""


def pulled(governing: Mapping[str, Governing], now: datetime) -> dict[str, Webinar]:
    """The webinars whose source is followed: live ones that have not ended. Once a webinar is cancelled or over, its
    people stay, as they are to get the cancellation or the follow-ups."""
    live = {name: one.webinar for name, one in governing.items() if one.webinar.status == "live"}
    return {name: one for name, one in live.items() if one.source and not one.cancelled and now < one.end}


@dataclass(frozen=True)
class _Pulling:
    """A running pull."""

    source: Source | None
    began_at: datetime
    task: asyncio.Task[None]


class Puller:
    """Pulls for one service. Another service, or an operator, may pull as well."""

    def __init__(self, database: Database, clock: Clock, *, patience: float = PATIENCE) -> None:
        self.notes: tuple[Reason, ...] = ()
        """Messages about sources, without personal data."""
        self._database, self._clock, self._patience = database, clock, patience
        self._troubles = Troubles(Kind.SOURCE)
        self._webinars: dict[str, Webinar] = {}
        self._standing: dict[str, SourceState] = {}
        self._look_at: datetime | None = None
        self._pulling: dict[str, _Pulling] = {}
        self._sources: dict[str, Source | None] = {}
        self._edited_at: dict[str, datetime] = {}
        self._told: Mapping[AlertKey, str] | None = None

    async def look(self, governing: Mapping[str, Governing]) -> None:
        """Begin a pull that is due, and update notes, alerts and metrics. Costs nothing if no webinar has a source."""
        now = self._clock.now()
        self._webinars = pulled(governing, now)
        self._note_edits(now)
        if not self._webinars and not self._standing and self._told is not None:
            return
        with self._troubles.recorded(_LOOKING):
            if self._look_at is None or now >= self._look_at:
                self._standing = await self._database.run_reading(sources.states)
                self._look_at = now + LOOK_EVERY
                await self._tell(now)
            if self._may_begin(now):
                await self._begin(now)
        self.notes = (*self._troubles.reasons, *reasons(Kind.SOURCE, self._words()))
        metrics.SOURCE_LATE.replace({(name,): self._late(name, now) for name in self._webinars})

    async def stop(self) -> None:
        """End all running pulls. Their transactions are complete, and the next pulls do the rest."""
        for one in self._pulling.values():
            one.task.cancel()
        await self.ended()

    async def ended(self, besides: Collection[str] = ()) -> None:
        """Wait until all running pulls have ended, except those of the webinars `besides`."""
        running = [one.task for name, one in self._pulling.items() if name not in besides]
        await asyncio.gather(*running, return_exceptions=True)

    def _note_edits(self, now: datetime) -> None:
        """Note changed [source] tables. End pulls whose [source] was changed or is no longer followed."""
        followed = {name: one.source for name, one in self._webinars.items()}
        for name, source in followed.items():
            if self._sources.get(name, source) != source:
                self._edited_at[name] = now
        self._sources |= followed
        self._troubles.retain({_LOOKING, *map(_reading, followed)})
        self._pulling = {name: one for name, one in self._pulling.items() if not one.task.done()}
        for name, one in self._pulling.items():
            if followed.get(name) != one.source:
                one.task.cancel()

    def _may_begin(self, now: datetime) -> bool:
        running = self._pulling.values()
        return len(running) < MOST_AT_ONCE and all(abs(now - one.began_at) >= SLOW for one in running)

    async def _begin(self, now: datetime) -> None:
        waiting = (name for name in self._webinars if name not in self._pulling)
        for name in sorted(waiting, key=self._attempted_at):
            webinar = self._webinars[name]
            after = self._after(webinar, now)
            if abs(now - self._attempted_at(name)) >= after:  # abs: the clock may have been ahead
                run = await self._database.run(sources.begin, now, name, after)
                self._look_at = None  # whether or not another service began it
                if run:
                    task = asyncio.create_task(self._pull(webinar, run), name=f"pull {name}")
                    self._pulling[name] = _Pulling(webinar.source, now, task)
                    return

    def _after(self, webinar: Webinar, now: datetime) -> timedelta:
        """The time from the last try to the next one: at once if [source] was edited since."""
        every = webinar.source.every if webinar.source else timedelta.max
        edited_at = self._edited_at.get(webinar.id)
        return min(every, abs(now - edited_at)) if edited_at else every

    def _attempted_at(self, name: str) -> datetime:
        standing = self._standing.get(name)
        return standing.attempted_at if standing else _LONG_AGO

    async def _pull(self, webinar: Webinar, run: Run) -> None:
        with self._troubles.recorded(_reading(webinar.id)):
            why = await self._in_child(webinar, run)
            if why:
                await self._database.run(sources.record_failure, self._clock.now(), run, why)
                log.warning("source not read", webinar=webinar.id, reason=why)
            self._look_at = None

    async def _in_child(self, webinar: Webinar, run: Run) -> str:
        """Pull in a child process. Returns why it gave no report, or ""."""
        if webinar.source is None:
            return ""
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "scheduler.cli", "pull", webinar.id, "--run", run.token, "--json",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env=environment_for(webinar.source, os.environ),
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._patience):
                said = await _said(child)
            report = json.loads(said)
        except _Stopped:
            return "the process that reads it was suspended (SIGSTOP), and was ended"
        except TimeoutError:
            return f"it was not read within {self._patience:g} s, and the read was ended"
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
        """Seconds since the next read was due; if it was never read, counted from its first failure."""
        standing, source = self._standing.get(name), self._webinars[name].source
        since = standing and (standing.read_at or standing.trouble_since)
        return max(0.0, (abs(now - since) - source.every).total_seconds()) if since and source else 0.0

    def _words(self) -> list[str]:
        return [words for name in sorted(self._webinars) for words in _of(self._standing.get(name))]

    async def _tell(self, now: datetime) -> None:
        """Mail organizers whose source was not followed ALERT_FROM times in a row."""
        wrong = {
            AlertKey(f"{SOURCE}{name}", webinar.alert_to): _alert(one)
            for name, webinar in self._webinars.items()
            if (one := self._standing.get(name)) and one.trouble and one.failures >= ALERT_FROM
        }
        if wrong != self._told:
            await self._database.run(alerts.reconcile, now, wrong, SOURCE)
            self._told = wrong


def _reading(webinar: str) -> str:
    return f"reading the source of {webinar}"


class _Stopped(Exception):
    """The child was stopped by a signal (SIGSTOP)."""


async def _said(child: asyncio.subprocess.Process) -> bytes:
    """The child's output, once it ends. Raises _Stopped if two checks in a row find it stopped: in a transaction it
    would block all other writers of SQLite."""
    talking = asyncio.create_task(child.communicate())
    stopped = 0
    try:
        while not talking.done():
            await asyncio.wait([talking], timeout=STOPPED_SECONDS)
            stopped = stopped + 1 if not talking.done() and _is_stopped(child.pid) else 0
            if stopped > 1:
                raise _Stopped
        return talking.result()[0]
    finally:
        talking.cancel()


def _is_stopped(pid: int) -> bool:
    with suppress(ChildProcessError):  # it has ended
        return os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
    return False


def _of(standing: SourceState | None) -> tuple[str, ...]:
    return standing.words if standing else ()


def _alert(standing: SourceState) -> str:
    """The text of an alert. Its first line is the same while a change is held, though the figures differ with each
    read: only another kind of trouble gets another mail."""
    first = f"The source of {standing.webinar} is not followed"
    if HELD not in standing.trouble:
        first += f": {standing.trouble}"
    stays = "Its registrants stay as they were last read, and still get mails. The next read is automatic."
    return f"{first}\n\n{standing.trouble}\n{stays}"
