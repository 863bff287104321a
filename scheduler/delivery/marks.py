"""Stores the last attempt that the ledger confirmed in STATE_DIR: if it is missing in the ledger at the next start, the
database was set back.

The mark is written once a second while mails go out, in a thread, and at the stop. Each service has its own file, as
replicas may share the folder.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection

from scheduler.access import refused
from scheduler.aside import Aside, Hangs
from scheduler.database.engine import execute
from scheduler.delivery.recorder import Known, has
from scheduler.ledger import restored
from scheduler.readiness import Kind, Reason
from scheduler.state_dir import StateDir
from scheduler.troubles import Trouble, Troubles

PREFIX = "ledger-"
NAME = re.compile(rf"{PREFIX}(?:[0-9a-f]{{8}}-)?[0-9a-f]{{8}}")  # an earlier version wrote no ledger in it
KNOWN = "database-"
"""Prefix of the name of an empty file for each ledger with which the folder was used."""
LONGEST = 16 * 2**10  # bytes of a mark
LARGEST = 2**63 - 1  # id of a delivery
SECONDS = 1.0  # between two writes
FILE_SECONDS = 10.0  # for one write
KEPT_SECONDS = 3600.0  # age of an outdated mark whose service may still be alive
WRITING = "noting in STATE_DIR what is on record"


class StateUnreadable(RuntimeError):
    """A file of STATE_DIR can't be read; in words for the operator."""


class StateOfAnother(RuntimeError):
    """STATE_DIR was used with other databases and never with this one; in words for the operator."""


@dataclass(frozen=True)
class Mark:
    """The last attempt that its ledger had confirmed to a service at some time (UTC)."""

    ledger: str
    known: Known
    at: datetime


class Found(NamedTuple):
    """The marks in a folder by file name, and notes about damaged files."""

    marks: Mapping[str, Mark]
    notes: tuple[str, ...] = ()


def read(state: StateDir) -> Found:
    """Read the marks in the folder. Raises StateUnreadable."""
    found, notes = dict[str, Mark](), list[str]()
    try:
        paths = sorted(one for one in state.files() if NAME.fullmatch(one.name))
    except OSError as error:
        raise StateUnreadable(
            f"STATE_DIR: {refused(state.folder, error)}. Without it we cannot know whether the database was set back"
        ) from error
    for path in paths:
        try:
            if (content := state.read(path.name, LONGEST)) is not None:
                found[path.name] = _mark(content)
        except OSError as error:
            raise StateUnreadable(
                f"{path} can't be read ({(error.strerror or str(error)).lower()}), so we cannot know whether the"
                " database was set back: let the user of the service read and write all files in STATE_DIR"
            ) from error
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            notes.append(
                f"{path.name} in STATE_DIR is damaged: by it we cannot know whether the database was set back"
            )
    return Found(found, tuple(notes))


def missing(conn: Connection, marks: Iterable[Mark]) -> Mark | None:
    """The first mark whose attempt this ledger has lost: it was set back, which is not on record yet."""
    ledger = restored.identity(conn)
    for mark in marks:
        if (
            mark.ledger == ledger.name
            and mark.known.restorations >= ledger.restorations
            and not has(conn, mark.known)
        ):
            return mark
    return None


def mismatch(state: StateDir, ledger: str, marks: Collection[Mark]) -> str:
    """Why STATE_DIR with these marks may not belong to this ledger, in words for the operator; "" if it does. Raises
    OSError."""
    last = max(marks, key=lambda mark: mark.at, default=None)
    if last is None or any(mark.ledger == ledger for mark in marks) or state.has(_known_file(ledger)):
        return ""
    return (
        f"STATE_DIR ({state.folder.absolute()}) is another database's: that one was in use until"
        f" {last.at:%Y-%m-%d %H:%M} UTC, and the one of DATABASE_URL never was with this folder. Correct whichever of"
        " the two is wrong. Where this database is meant to stand beside the other or in its place, say so once by"
        " `webinar restored --new`, and start again: what both keep there stays apart"
    )


def note_ledger(state: StateDir, ledger: str) -> None:
    """Note in the folder that it is used with this ledger. Raises OSError."""
    if not state.has(_known_file(ledger)):
        state.write(_known_file(ledger), b"")


@contextmanager
def _writing(state: StateDir) -> Iterator[None]:
    """Enclose a write. Raises Trouble for an OSError, with the permission that is needed."""
    try:
        yield
    except Hangs:
        raise
    except OSError as error:
        words = "so a restored database, or a stop while the database is down, may lose or duplicate a mail"
        raise Trouble(
            f"STATE_DIR: {refused(state.folder, error)}; until then nothing is stored there, {words}"
        ) from None


def _known_file(ledger: str) -> str:
    return f"{KNOWN}{hashlib.sha256(ledger.encode()).hexdigest()[:16]}"


def _short(ledger: str) -> str:
    return hashlib.sha256(ledger.encode()).hexdigest()[:8]


class Marks:
    """Writes one service's mark."""

    def __init__(self, state: StateDir, holder: int, known: Callable[[], Known | None]) -> None:
        """`known`: returns the last attempt that the ledger has confirmed."""
        self._state, self._known, self._holder = state, known, holder
        self._ledger = ""
        self._written: Known | None = None
        self._is_ready = False  # the ledger is noted in the folder, and there is room for a spool
        self._files = Aside("STATE_DIR", FILE_SECONDS)
        self._troubles = Troubles(Kind.STATE)
        self._keeping: asyncio.Task[None] | None = None

    @property
    def troubles(self) -> tuple[Reason, ...]:
        """What keeps it from being written; mails go out all the same."""
        return self._troubles.reasons

    def start(self, ledger: str) -> None:
        """Write the mark of this ledger from now on, until `stop`."""
        self._ledger = ledger
        if self._keeping:  # by a start that failed
            self._keeping.cancel()
        self._keeping = asyncio.create_task(self._keep())

    async def stop(self, seconds: float) -> None:
        """Write the mark for the last time, within `seconds`."""
        if self._keeping:
            self._keeping.cancel()
            await asyncio.wait([self._keeping, asyncio.create_task(self._write())], timeout=seconds)

    async def _keep(self) -> None:
        while True:
            await self._write()
            await asyncio.sleep(SECONDS)

    async def _write(self) -> None:
        known = self._known()
        has_news = known is not None and known != self._written
        if self._is_ready and not has_news:
            return
        with self._troubles.recorded(WRITING), _writing(self._state):
            if not self._is_ready:
                await self._files.run(lambda: note_ledger(self._state, self._ledger))
                await self._files.run(self._state.reserve)
                self._is_ready = True
            if known is not None and has_news:
                file = f"{PREFIX}{_short(self._ledger)}-{self._holder:08x}"
                content = _content(Mark(self._ledger, known, datetime.now(UTC)))
                await self._files.run(lambda: self._state.write(file, content))
                self._written = known


def outdated(conn: Connection, marks: Mapping[str, Mark]) -> list[str]:
    """The files with marks of this ledger, except the newest."""
    ledger = restored.identity(conn).name
    query = "SELECT id FROM attempt WHERE delivery_id = :id AND lease_token = :token"
    attempts = {
        file: execute(conn, query, id=mark.known.delivery, token=mark.known.token).scalar() or 0
        for file, mark in marks.items()
        if mark.ledger == ledger
    }
    newest = max(attempts, key=lambda file: attempts[file], default="")
    return [file for file in attempts if file != newest]


def tidy(state: StateDir, files: Collection[str]) -> None:
    """Remove those of these files whose service has ended. Raises OSError."""
    for file in files:
        with suppress(FileNotFoundError):  # another service that shares the folder was first
            if time.time() - state.path(file).stat().st_mtime > KEPT_SECONDS:
                state.remove(file)


def _content(mark: Mark) -> bytes:
    written = {"ledger": mark.ledger, "at": mark.at.isoformat(), "known": asdict(mark.known)}
    return json.dumps(written, default=datetime.isoformat).encode()


def _mark(content: bytes) -> Mark:
    """Parse a mark. Raises ValueError, KeyError, TypeError, OverflowError or RecursionError for anything else."""
    written = json.loads(content)
    known, at = written["known"], datetime.fromisoformat(written["at"])
    attempt = Known(
        int(known["delivery"]), str(known["token"]), str(known["webinar"]), datetime.fromisoformat(known["due_at"]),
        bool(known["has_outcome"]), int(known["restorations"]),
    )  # fmt: skip
    words = attempt.token + attempt.webinar
    if abs(attempt.delivery) > LARGEST or not words.isprintable() or not attempt.due_at.tzinfo:
        raise ValueError("no database takes these values")
    return Mark(str(written["ledger"]), attempt, at)
