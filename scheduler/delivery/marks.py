"""The last attempt that the ledger confirmed, kept in STATE_DIR: a service that starts on a ledger that was set back
meanwhile misses it there.

It is written beside sending, once a second while mails go out, and at the stop. Each service has a file of its own, as
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
NAME = re.compile(rf"{PREFIX}(?:[0-9a-f]{{8}}-)?[0-9a-f]{{8}}")  # without a ledger: of an earlier version
KNOWN = "database-"
"""Begins the name of an empty file for each ledger with which the folder was used."""
LONGEST = 16 * 2**10  # bytes; what is longer is no mark
LARGEST = 2**63 - 1  # number of a delivery
SECONDS = 1.0  # between two writes
FILE_SECONDS = 10.0  # for one
KEPT_SECONDS = 3600.0  # a mark whose service may be alive, and write it again
WRITING = "noting in STATE_DIR what is on record"


class StateUnreadable(RuntimeError):
    """A file of STATE_DIR is another user's, in words for the operator."""


class StateOfAnother(RuntimeError):
    """STATE_DIR was used with other databases, and never with this one, in words for the operator."""


@dataclass(frozen=True)
class Mark:
    """What a service knew when it wrote its file."""

    ledger: str
    known: Known
    at: datetime


class Found(NamedTuple):
    """The marks in a folder, by file, and in words which files of such a name hold none."""

    marks: Mapping[str, Mark]
    notes: tuple[str, ...] = ()


def read(state: StateDir) -> Found:
    """What the folder holds; files of others are left alone. Raises StateUnreadable."""
    found, notes = dict[str, Mark](), list[str]()
    try:
        paths = sorted(one for one in state.files() if NAME.fullmatch(one.name))
    except OSError as error:
        raise StateUnreadable(
            f"STATE_DIR: {refused(state.folder, error)}. Nobody can tell otherwise whether the database was set back"
        ) from error
    for path in paths:
        try:
            if (content := state.read(path.name, LONGEST)) is not None:
                found[path.name] = _mark(content)
        except OSError as error:
            raise StateUnreadable(
                f"{path} can't be read ({(error.strerror or str(error)).lower()}), so nobody can tell whether the"
                " database was set back: let the user of the service read and write all files in STATE_DIR"
            ) from error
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            notes.append(
                f"{path.name} in STATE_DIR is damaged: it can't tell whether the database was set back"
            )
    return Found(found, tuple(notes))


def lost(conn: Connection, marks: Iterable[Mark]) -> Mark | None:
    """The mark that knows of this ledger what this ledger does not: it was set back, and nobody has noticed."""
    ledger = restored.identity(conn)
    for mark in marks:
        if (
            mark.ledger == ledger.name
            and mark.known.restorations >= ledger.restorations
            and not has(conn, mark.known)
        ):
            return mark
    return None


def another(state: StateDir, ledger: str, marks: Collection[Mark]) -> str:
    """Why these marks make nobody sure that STATE_DIR and this ledger belong together, in words; or "". Raises
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


def belongs(state: StateDir, ledger: str) -> None:
    """From now on the folder is this ledger's, too. Raises OSError."""
    if not state.has(_known_file(ledger)):
        state.write(_known_file(ledger), b"")


@contextmanager
def written(state: StateDir) -> Iterator[None]:
    """Around a write: where the system does not let this user, the trouble says whom to let in where."""
    try:
        yield
    except Hangs:
        raise
    except OSError as error:
        words = "so a restored database, or a stop while the database is away, may cost a mail or double one"
        raise Trouble(
            f"STATE_DIR: {refused(state.folder, error)}; until then nothing is kept there, {words}"
        ) from None


def _known_file(ledger: str) -> str:
    return f"{KNOWN}{hashlib.sha256(ledger.encode()).hexdigest()[:16]}"


def _short(ledger: str) -> str:
    return hashlib.sha256(ledger.encode()).hexdigest()[:8]


class Marks:
    """Keeps one service's mark."""

    def __init__(self, state: StateDir, holder: int, known: Callable[[], Known | None]) -> None:
        """`known`: what the ledger has confirmed last."""
        self._state, self._known, self._holder = state, known, holder
        self._ledger = ""
        self._written: Known | None = None
        self._belongs = False  # the folder is known to be this ledger's, and has room for a spool
        self._files = Aside("STATE_DIR", FILE_SECONDS)
        self._troubles = Troubles(Kind.STATE)
        self._keeping: asyncio.Task[None] | None = None

    @property
    def troubles(self) -> tuple[Reason, ...]:
        """What keeps it from being written; mails go out all the same."""
        return self._troubles.reasons

    def start(self, ledger: str) -> None:
        """Keep the mark of this ledger, from now on until `stop`."""
        self._ledger = ledger
        if self._keeping:  # a start that was tried before
            self._keeping.cancel()
        self._keeping = asyncio.create_task(self._keep())

    async def stop(self, seconds: float) -> None:
        """Write it once more, which may take so many seconds."""
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
        if self._belongs and not has_news:
            return
        with self._troubles.recorded(WRITING), written(self._state):
            if not self._belongs:
                await self._files.run(lambda: belongs(self._state, self._ledger))
                await self._files.run(self._state.reserve)
                self._belongs = True
            if known is not None and has_news:
                file = f"{PREFIX}{_short(self._ledger)}-{self._holder:08x}"
                content = _content(Mark(self._ledger, known, datetime.now(UTC)))
                await self._files.run(lambda: self._state.write(file, content))
                self._written = known


def outdated(conn: Connection, marks: Mapping[str, Mark]) -> list[str]:
    """The files with marks of this ledger, but for the newest."""
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
    """Remove those of these marks whose service is gone. Raises OSError."""
    for file in files:
        with suppress(FileNotFoundError):  # another service that shares the folder is as tidy
            if time.time() - state.path(file).stat().st_mtime > KEPT_SECONDS:
                state.remove(file)


def _content(mark: Mark) -> bytes:
    written = {"ledger": mark.ledger, "at": mark.at.isoformat(), "known": asdict(mark.known)}
    return json.dumps(written, default=datetime.isoformat).encode()


def _mark(content: bytes) -> Mark:
    """Raises ValueError, KeyError, TypeError, OverflowError, or RecursionError for what is none."""
    written = json.loads(content)
    known = written["known"]
    mark = Mark(
        str(written["ledger"]),
        Known(
            int(known["delivery"]),
            str(known["token"]),
            str(known["webinar"]),
            datetime.fromisoformat(known["due_at"]),
            bool(known["has_outcome"]),
            int(known["restorations"]),
        ),
        datetime.fromisoformat(written["at"]),
    )
    words = mark.known.token + mark.known.webinar
    if abs(mark.known.delivery) > LARGEST or not words.isprintable() or not mark.known.due_at.tzinfo:
        raise ValueError("no database takes these values")
    return mark
