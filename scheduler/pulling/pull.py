"""One pull of a webinar's source: reads it, compares it, and follows plausible changes.

A change that looks like a loss of data is held and reported until the user accepts it; the last state stays. New,
changed and gone people are judged separately, so new registrants are taken in even while others are missing.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from scheduler.database.engine import Database
from scheduler.problem import Problem, Problems
from scheduler.pulling.content import Content, SourceFails, no_room
from scheduler.pulling.following import (
    Comparison,
    Difference,
    Done,
    Known,
    known_people,
    last_is_cut,
    remove_people,
    write_people,
)
from scheduler.pulling.reading import Access, content_of
from scheduler.registrants import sources
from scheduler.registrants.files.columns import Column
from scheduler.registrants.files.judging import Grouped, Import, Judgement
from scheduler.registrants.files.reading import RegistrantFile
from scheduler.registrants.rows import RegistrantsUnreadable
from scheduler.registrants.sources import ENDED, HELD, LastRead, Run
from scheduler.webinar.model import Webinar
from scheduler.webinar.source import Source

LOOK_AGAIN_SECONDS = 3.0  # before the second read that confirms who is gone
GO_THROUGH_EVERY = timedelta(hours=1)  # even if its content is the same: others may have changed rows
MOST_SHOWN = 10  # rows that can't be used
ALWAYS_TAKEN = 1000  # new people who are never held
GROWTH = 10  # more new people than this times the known ones are held


# OSError and sqlite3.Error come from the temporary copy; our own database raises SQLAlchemy's errors.
_FAILURES = (SourceFails, RegistrantsUnreadable, OSError, sqlite3.Error, MemoryError)


@dataclass(frozen=True)
class PullReport:
    """The result of a pull. `trouble`: why the source was not followed, or only in part; `note`: a further message."""

    found: Difference | None = None
    done: Done = field(default_factory=Done)
    trouble: str = ""
    note: str = ""
    seen: Seen | None = None


class Seen:
    """A source as it is read, for display: its columns, and the rows that do not count, with their values."""

    def __init__(self, place: str) -> None:
        self.columns: Sequence[Column] = ()
        self._place = place
        self._grouped = Grouped(place, counting="`counting` in [source] lets them count")
        self._problems: list[Problem] = []

    def see(self, judgement: Judgement) -> None:
        if judgement.kind in ("status", "unknown status"):
            self._grouped.add(judgement)
        elif judgement.kind != "counts" and len(self._problems) < MOST_SHOWN:
            self._problems.append(judgement.problem(self._place))

    @property
    def problems(self) -> list[Problem]:
        return [*self._problems, *self._grouped.problems()]


@dataclass(frozen=True)
class Pull:
    """One pull. `accept`: follow losses, too."""

    database: Database
    webinar: Webinar
    access: Access
    now: datetime
    accept: bool = False
    look_again: float = LOOK_AGAIN_SECONDS

    def follow(self, run: Run) -> PullReport:
        """Read the source and follow it. Raises Overtaken, and errors of our own database."""
        digest = ""
        try:
            with self.database.reading() as conn:
                before = sources.last_read(conn, self.webinar.id)
            with self._read() as content:
                digest = content.digest
                if not self.accept and self._is_followed(before, digest):
                    self.database.in_transaction(
                        lambda conn: sources.record_unchanged(conn, self.now, run, digest)
                    )
                    return PullReport()
                if not self.accept:
                    _must_be_whole(content, before, self.webinar.id)
                return self._follow(run, before, content)
        except _FAILURES as error:
            words = _words(error)
        self.database.in_transaction(lambda conn: sources.record_failure(conn, self.now, run, words, digest))
        return PullReport(trouble=words)

    def look(self) -> PullReport:
        """The result that `follow` would have. Writes nothing."""
        with self.database.reading() as conn:
            before = sources.last_read(conn, self.webinar.id)
            known = known_people(conn, self.webinar.id)
        seen = Seen(self._place)
        try:
            with self._read() as content, self._compared(content, before.salt, known, seen) as comparison:
                comparison.leave_out_forgotten(self.database, self.now)
                found, held = comparison.found, _held(comparison.found, before)
                return PullReport(
                    found,
                    trouble="; ".join(held.values())
                    or content.is_cut
                    or content.has_lost_its_end(before.had_end)
                    or content.may_be_cut,
                    note=_note(found, Done()),
                    seen=seen,
                )
        except _FAILURES as error:
            return PullReport(trouble=_words(error))

    def _follow(self, run: Run, before: LastRead, content: Content) -> PullReport:
        with self.database.reading() as conn:
            known = known_people(conn, self.webinar.id)
        with self._compared(content, run.salt, known) as comparison:
            found, done = comparison.found, Done()
            if content.has_no_end and not self.accept:
                self._last_must_be_whole(known, found)
            held = {} if self.accept else _held(found, before)
            gone = found.gone if "gone" not in held else frozenset()
            if gone and not self.accept:
                gone &= self._gone_still(run, known, found)
            items = comparison.items(new="new" not in held, changed="changed" not in held)
            write_people(self.database, run, items, found.columns, done)
            remove_people(self.database, run, {person: known[person] for person in gone}, done)
        trouble, note = _trouble(held, self.webinar), _note(found, done)
        waits = found.gone - gone
        # Rows without a valid address may belong to missing people, so more of them are not yet accepted.
        nobodys = min(before.nobodys, found.nobodys) if waits else found.nobodys
        self.database.in_transaction(
            lambda conn: sources.record_followed(
                conn,
                self.now,
                run,
                content.digest,
                whole=not (held or waits),
                has_end=content.has_end,
                people=found.people,
                nobodys=nobodys,
                note=note,
                trouble=trouble,
            )
        )
        return PullReport(found, done, trouble, note)

    def _last_must_be_whole(self, known: Mapping[str, Known], found: Difference) -> None:
        """Raises SourceFails if the last row, whose line is not terminated, may be cut."""
        with self.database.reading() as conn:
            if last_is_cut(conn, known, found):
                raise SourceFails(
                    "its last line has no newline, and holds only the beginning of a known value."
                    f" {HELD} webinar pull {self.webinar.id} --accept"
                )

    def _gone_still(self, run: Run, known: Mapping[str, Known], found: Difference) -> frozenset[str]:
        """People who are gone in a second read, too; none if someone came back, as the source is being written."""
        time.sleep(self.look_again)
        with self._read() as content, self._compared(content, run.salt, known) as again:
            is_written = content.is_cut or found.gone - again.found.gone
            return frozenset() if is_written else again.found.gone

    @contextmanager
    def _read(self) -> Iterator[Content]:
        with content_of(self._source, self.access) as content:
            yield content

    @contextmanager
    def _compared(
        self, content: Content, salt: str, known: Mapping[str, Known], seen: Seen | None = None
    ) -> Iterator[Comparison]:
        """Raises SourceFails if it is not a list of registrants."""
        webinar, source, place = self.webinar, self._source, self._place
        table = "" if content.is_result else source.table or ""  # of a workbook: the sheet
        comparison = Comparison(salt, webinar.id, known)
        try:
            file = RegistrantFile(content.file, place, [webinar.id], table=table, counting=source.counting)
            asked = Import(place, [webinar.id], webinar.id)
            if seen:
                seen.columns = file.columns
                comparison.go_through(file, asked, seen.see)
            else:
                comparison.go_through(file, asked)
            yield comparison
        except Problems as error:
            found = error.problems[0]
            allowed = f"; allowed: {found.allowed}" if found.allowed else ""
            if table and found.place == "--table":
                raise SourceFails(f"it has no table {found.found} with people{allowed}") from None
            raise SourceFails(f"its content is not a list of registrants: {found.found}{allowed}") from None
        finally:
            comparison.close()

    @property
    def _place(self) -> str:
        return f"the source of {self.webinar.id}"

    @property
    def _source(self) -> Source:
        if self.webinar.source is None:
            raise SourceFails("its file has no [source]")
        return self.webinar.source

    def _is_followed(self, before: LastRead, digest: str) -> bool:
        at = before.gone_through_at
        is_same = digest == before.followed.removesuffix(ENDED)
        return is_same and at is not None and abs(self.now - at) < GO_THROUGH_EVERY


def _words(error: Exception) -> str:
    match error:
        case MemoryError():
            return "comparing it exceeds the memory limit of a pull"
        case OSError() | sqlite3.Error():
            return no_room(error)
    return str(error)


def _must_be_whole(content: Content, before: LastRead, webinar: str) -> None:
    """Raises SourceFails if it may be incomplete, or still being written."""
    if why := content.is_cut or ("" if content.digest == before.seen else content.may_be_cut):
        raise SourceFails(why)
    if why := content.has_lost_its_end(before.had_end):
        raise SourceFails(f"{why}. {HELD} webinar pull {webinar} --accept")


def _held(found: Difference, before: LastRead) -> dict[str, str]:
    """The changes that are not followed unless accepted, with reasons, by kind: `gone`, `changed`, `new`. People added
    while a change is held do not weaken it."""
    held, gone, nobodys = {}, len(found.gone), found.nobodys - before.nobodys
    known = min(found.known, before.people) if before.people else found.known
    if gone and not found.people:
        held["gone"] = f"nobody in it attends; it had {_people(found.known)}"
    elif gone > 1 and _too_many(gone, known):
        held["gone"] = f"{gone} of {known} people are no longer in it"
        if (
            found.new > found.people - found.new
        ):  # another list perhaps, or other addresses of the same people
            held["new"] = f"{_people(found.new)} are new, where {held['gone']}"
    elif gone and nobodys > 0:
        rows = f"{nobodys} more rows than before have no address that can be used"
        held["gone"] = f"it no longer has {_people(gone)}, and {rows}: these may be the same people"
    if found.emptied > 1 and _too_many(found.emptied, known):
        held["changed"] = f"{found.emptied} of {_people(known)} have lost a value"
    # The rest of an interrupted first pull is not held.
    if before.people and found.known and found.new > max(ALWAYS_TAKEN, GROWTH * found.known):
        held["new"] = f"{_people(found.new)} are new, where it had {found.known}"
    return held


def _too_many(lost: int, known: int) -> bool:
    """Whether more than half are lost, or, above 10, more than a fifth."""
    return lost * 2 > known or (lost > 10 and lost * 5 > known)


def _trouble(held: Mapping[str, str], webinar: Webinar) -> str:
    if not held:
        return ""
    return f"{'; '.join(held.values())}. {HELD} webinar pull {webinar.id} --accept"


def _note(found: Difference, done: Done) -> str:
    notes = []
    if found.errors.count:
        why = ", ".join(f"{reason} ({count})" for reason, count in sorted(found.reasons.items()))
        notes.append(f"rows that can't be used ({found.errors}): {why}; their registrants stay as they are")
    if done.refused:
        notes.append(f"the database treats the address of {_people(done.refused)} as another row's")
    return "; ".join(notes)


def _people(many: int) -> str:
    return "1 person" if many == 1 else f"{many} people"
