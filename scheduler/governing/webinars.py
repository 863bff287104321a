"""The webinars that govern now: the last sound revision of each file, kept in the database."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, insert, or_, select

from scheduler.database.engine import execute, one_proposer
from scheduler.database.models import GoverningWebinar, WebinarRevision, table
from scheduler.governing.proposals import Decision, Held, Revision, decide, holding, live, publish
from scheduler.governing.revisions import (
    ENDED,
    ENDS_AFTER,
    Revisions,
    drop_waiting,
    end_what_is_over,
    propose,
)
from scheduler.input.addresses import why_no_address
from scheduler.input.toml_syntax import load_toml
from scheduler.ledger.outlook import outlook
from scheduler.ledger.planning import Governing
from scheduler.ledger.retention import is_removed
from scheduler.problem import Problem, Problems
from scheduler.webinar.model import Webinar


@dataclass(frozen=True)
class Catalogue:
    """What governs, and what the folder of webinars says: what is wrong with which file, what the sound ones hold."""

    governing: Mapping[str, Governing] = field(default_factory=dict)
    mistakes: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)  # by path
    meanwhile: Mapping[str, str] = field(default_factory=dict)  # by path: what still goes out, and when
    concerned: Mapping[str, frozenset[str]] = field(
        default_factory=dict
    )  # by path: who is notified of a problem
    held: Mapping[str, str] = field(default_factory=dict)  # by webinar: the SHA-256 of a sound file

    @property
    def problems(self) -> dict[str, tuple[Problem, ...]]:
        """The mistakes by path, with what still goes out: a refused edit may have been meant to stop mails."""
        return {
            path: (_and_meanwhile(found[0], self.meanwhile[path]), *found[1:])
            if path in self.meanwhile
            else found
            for path, found in self.mistakes.items()
        }

    @property
    def webinars(self) -> dict[str, Webinar]:
        return {name: one.webinar for name, one in self.governing.items()}

    @property
    def revisions(self) -> dict[str, int]:
        """The id of the revision that governs, by webinar."""
        return {name: one.revision_id for name, one in self.governing.items()}

    def is_of_file(self, webinar: str) -> bool:
        """Whether the folder holds what governs this webinar."""
        one = self.governing.get(webinar)
        return one is not None and self.held.get(webinar) == one.sha256

    @property
    def lagging(self) -> list[str]:
        """The webinars of which the folder holds something else than governs."""
        return [name for name in self.held if name in self.governing and not self.is_of_file(name)]

    def live(self, *, drafts_too: bool = False) -> list[str]:
        """The webinars whose mails go out. A rehearsal sends those of drafts, too."""
        return [name for name, webinar in self.webinars.items() if drafts_too or webinar.status == "live"]


def take_webinars(
    conn: Connection,
    now: datetime,
    root: Path,
    files: Mapping[str, bytes],
    revisions: Revisions,
    holder: int,
    return_within: timedelta,
    *,
    edited: bool = False,
) -> Catalogue:
    """Read the files, say what this service's folder holds, and propose what is new. `edited`: all of it, as if the
    files had been edited now."""
    one_proposer(conn)
    sound, problems = read_files(root, files, revisions)
    stored = _governing(conn, now)
    for name, one in list(sound.items()):
        if name in stored and (problem := _other_time(conn, now, stored[name], one)):
            problems[one.path] = (problem,)
            del sound[name]
    held = {name: one.sha256 for name, one in sound.items()}
    changed = publish(conn, now, holder, "webinar", held)
    proposing = _Proposing(conn, now, revisions, holder, return_within, stored)
    for name, one in sound.items():
        if name in stored and stored[name].is_ended and one.sha256 == stored[name].sha256:
            continue
        revision_id, new = _stored(conn, now, one, stored.get(name))
        proposing.decide(one.webinar, revision_id, held[name], new=new, changed=edited or name in changed)
    end_what_is_over(conn, now)
    revisions.forget()  # a try of this transaction that met a conflict may have read what was not to be
    governing = revisions.governing(conn)
    problems |= _gone(sound, problems, stored)
    concerned = {path: _concerned(path, files, root, stored.values(), governing) for path in problems}
    meanwhile = _meanwhile(conn, now, problems, stored, governing)
    return Catalogue(governing, problems, meanwhile, concerned, held)


def look_again(
    conn: Connection,
    now: datetime,
    revisions: Revisions,
    catalogue: Catalogue,
    holder: int,
    return_within: timedelta,
) -> None:
    """Decide again about what our folder holds where another content governs or waits: time passes, services come and
    go."""
    waiting = conn.execute(select(_W.webinar).where(_W.takes_effect_at.is_not(None))).scalars()
    if not (lags := sorted({*catalogue.lagging, *waiting})):
        return
    one_proposer(conn)
    publish(conn, now, holder, "webinar", catalogue.held)  # notices who is gone
    proposing = _Proposing(conn, now, revisions, holder, return_within, _governing(conn, now, lags))
    for name in lags:
        ours = catalogue.held.get(name)
        revision_id = _revision_of(conn, name, ours) if ours else None
        webinar = revisions.get(conn, revision_id) if revision_id else None
        if ours and revision_id and webinar:
            proposing.decide(webinar, revision_id, ours, new=False, changed=False)


class _Governs(NamedTuple):
    """What governs a webinar now, and what waits."""

    webinar: str
    revision_id: int
    sha256: str
    file: str
    is_ended: bool
    starts_at: datetime
    ends_at: datetime
    waiting_sha256: str | None


@dataclass(frozen=True)
class _Proposing:
    """One transaction in which what our folder holds is compared with what governs."""

    conn: Connection
    now: datetime
    revisions: Revisions
    holder: int
    return_within: timedelta
    stored: Mapping[str, _Governs]

    @cached_property
    def _folders(self) -> Mapping[str, Mapping[int, Held]]:
        return holding(self.conn, "webinar")

    @cached_property
    def _services(self) -> set[int]:
        return live(self.conn, self.holder)

    def decide(self, webinar: Webinar, revision_id: int, ours: str, *, new: bool, changed: bool) -> None:
        """`ours`: the SHA-256 of our content, stored as this revision."""
        row = self.stored.get(webinar.id)
        found = decide(
            self.now,
            self.holder,
            self._services,
            self._folders.get(webinar.id, {}),
            new=new,
            changed=changed,
            governing=row.sha256 if row else None,
            waiting=row.waiting_sha256 if row else None,
        )
        if found is Decision.OURS:
            propose(self.conn, self.now, webinar, revision_id, self.revisions, self.return_within)
        elif found is Decision.DROP:
            drop_waiting(self.conn, webinar.id)


def _other_time(conn: Connection, now: datetime, governs: _Governs, file: File) -> Problem | None:
    """Why people registered under this id must not be written to about this time."""
    webinar = file.webinar
    if governs.starts_at == webinar.start or not _has_people(conn, webinar.id):
        return None
    takes_place_again = now < webinar.start or is_removed(conn, webinar.id)
    if governs.ends_at <= now and takes_place_again and not webinar.again:
        return Problem(
            f"{file.path}, start",
            f"{said(webinar.start)}, but the webinar `{webinar.id}` ended at {said(governs.ends_at)}, and its"
            " registrants would get this one's mails",
            "a new id for a new webinar",
            "choose another `id`; or, if the same people are meant, add again = true",
        )
    if webinar.start <= now < governs.starts_at:
        return Problem(
            f"{file.path}, start",
            f"{said(webinar.start)}, in the past; before it was {said(governs.starts_at)}, which is still ahead",
            "a start that is still ahead",
            "correct the date; a webinar that does not take place has cancelled = true",
        )
    return None


def said(instant: datetime) -> str:
    """An instant in words for organizers, with its zone."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _has_people(conn: Connection, webinar: str) -> bool:
    """Or had, before they were removed: who stands in `registrants` would get mails about another time, too."""
    query = "SELECT 1 FROM registration WHERE webinar = :webinar LIMIT 1"
    return execute(conn, query, webinar=webinar).first() is not None or is_removed(conn, webinar)


def _meanwhile(
    conn: Connection,
    now: datetime,
    paths: Collection[str],
    stored: Mapping[str, _Governs],
    governing: Mapping[str, Governing],
) -> dict[str, str]:
    """What still goes out of the webinars whose files, at these paths, are not sound, and when."""
    found = {}
    for name, one in stored.items():
        if one.file in paths and name in governing and governing[name].webinar.status == "live":
            ahead = outlook(conn, now, name, limit=1)
            leaves = [f"{ahead.at_once} mails now"] if ahead.at_once else []
            leaves += [f"{then.message} at {said(then.at)}" for then in ahead.next]
            if leaves:
                found[one.file] = f"its last sound revision governs: next leave {', '.join(leaves)}"
    return found


def _and_meanwhile(problem: Problem, meanwhile: str) -> Problem:
    words = f"until the file is sound, {meanwhile}"
    return replace(problem, hint="; ".join(part for part in (problem.hint, words) if part))


def _concerned(
    path: str,
    files: Mapping[str, bytes],
    root: Path,
    stored: Iterable[_Governs],
    governing: Mapping[str, Governing],
) -> frozenset[str]:
    """Who is notified of a problem: the `alert_to` of what the file last said, if live, or says now."""
    known = {
        governing[one.webinar].webinar.alert_to
        for one in stored
        if one.file == path and one.webinar in governing and governing[one.webinar].webinar.status == "live"
    }
    try:
        said = load_toml(files[str(Path(path).relative_to(root))].decode("utf-8-sig"))
        address = said.get("alert_to") if said.get("status") == "live" else None
    except (KeyError, ValueError, RecursionError):
        address = None
    return frozenset(
        known | ({address} if isinstance(address, str) and not why_no_address(address) else set())
    )


class File(NamedTuple):
    """A sound file."""

    path: str
    source: str
    sha256: str
    webinar: Webinar


def read_files(
    root: Path, files: Mapping[str, bytes], revisions: Revisions
) -> tuple[dict[str, File], dict[str, tuple[Problem, ...]]]:
    """The sound ones by webinar, and what is wrong with the others by path. A content is parsed once."""
    sound: dict[str, File] = {}
    read: dict[str, Webinar] = {}
    problems: dict[str, tuple[Problem, ...]] = {}
    for name, raw in files.items():
        path = str(root / name)
        try:
            source = raw.decode("utf-8-sig")
            webinar = revisions.read(source, path)
        except UnicodeDecodeError as error:
            problems[path] = (_not_utf8(path, raw, error),)
        except Problems as error:
            problems[path] = error.problems
        else:
            read[path] = webinar
            sound[webinar.id] = File(path, source, digest(source), webinar)
    for path, problem in ids_twice(read).items():
        sound.pop(read[path].id, None)
        problems[path] = (problem,)
    return sound, problems


_REVISION = table(WebinarRevision)
_W = table(GoverningWebinar).c


def digest(source: str) -> str:
    """By which two versions of a file are told apart."""
    return sha256(source.encode("utf-8", "surrogatepass")).hexdigest()


def _governing(
    conn: Connection, now: datetime, webinars: Collection[str] | None = None
) -> dict[str, _Governs]:
    """What governs these webinars, or all of them."""
    governs, waits = _REVISION.alias(), _REVISION.alias()
    is_ended = or_(_W.status == ENDED, _W.ends_at <= now - ENDS_AFTER)
    columns = (
        _W.webinar, _W.revision_id, governs.c.sha256, governs.c.file, is_ended, _W.starts_at, _W.ends_at,
        waits.c.sha256,
    )  # fmt: skip
    query = (
        select(*columns)
        .join(governs, governs.c.id == _W.revision_id)
        .outerjoin(waits, waits.c.id == _W.waiting_id)
    )
    if webinars is not None:
        query = query.where(_W.webinar.in_(webinars))
    return {row.webinar: _Governs(*row) for row in conn.execute(query)}


def governing_webinars(conn: Connection) -> dict[str, Revision]:
    """The revisions that govern, by webinar, as `differing` has what folders hold."""
    columns = (_W.webinar, _REVISION.c.id, _REVISION.c.sha256, _REVISION.c.sound_since)
    rows = conn.execute(select(*columns).join(_REVISION, _REVISION.c.id == _W.revision_id))
    return {name: Revision(*revision) for name, *revision in rows}


def _revision_of(conn: Connection, webinar: str, sha: str) -> int | None:
    """The newest stored revision of a webinar with this content."""
    same = (_REVISION.c.webinar == webinar) & (_REVISION.c.sha256 == sha)
    newest = select(_REVISION.c.id).where(same).order_by(_REVISION.c.id.desc()).limit(1)
    return conn.execute(newest).scalar()


def _stored(conn: Connection, now: datetime, file: File, governs: _Governs | None) -> tuple[int, bool]:
    """The stored revision with this content, and whether it is new. A file that was renamed is found by its name."""
    if governs and (governs.sha256, governs.file) == (file.sha256, file.path):
        return governs.revision_id, False
    if (known := _revision_of(conn, file.webinar.id, file.sha256)) is not None:
        other_name = (_REVISION.c.id == known, _REVISION.c.file != file.path)
        conn.execute(_REVISION.update().where(*other_name).values(file=file.path))
        return known, False
    revision = {
        "webinar": file.webinar.id, "file": file.path, "sha256": file.sha256, "source": file.source, "sound_since": now,
    }  # fmt: skip
    return conn.execute(insert(_REVISION).returning(_REVISION.c.id), revision).scalar_one(), True


def _gone(
    sound: Mapping[str, File], unsound: Container[str], stored: Mapping[str, _Governs]
) -> dict[str, tuple[Problem, ...]]:
    """What is wrong where a webinar's file is there no more, or has another id."""
    now_says = {one.path: name for name, one in sound.items()}
    return {
        one.file: (_no_file(one.file, name, now_says.get(one.file, "")),)
        for name, one in stored.items()
        if name not in sound and one.file not in unsound and not one.is_ended
    }


def _no_file(path: str, webinar: str, now_says: str) -> Problem:
    return Problem(
        f"{path}, id" if now_says else path,
        f"was `{webinar}` and is now `{now_says}`" if now_says else "the file is gone, or can't be read",
        f"a file for webinar `{webinar}`",
        "until it is back, its last sound revision governs; to end its mails, put the file back with"
        ' status = "draft" or messages = []',
    )


def ids_twice(webinars: Mapping[str, Webinar]) -> dict[str, Problem]:
    """Files whose webinar's id stands in another one, too: an error of each. By path, as given."""
    by_id: dict[str, list[str]] = {}
    for path, webinar in webinars.items():
        by_id.setdefault(webinar.id, []).append(path)
    problems = {}
    for webinar_id, paths in by_id.items():
        for path in paths if len(paths) > 1 else ():
            others = ", ".join(other for other in paths if other != path)
            found = f"`{webinar_id}` is also the id of {others}"
            problems[path] = Problem(f"{path}, id", found, "an id of its own")
    return problems


def _not_utf8(path: str, raw: bytes, error: UnicodeDecodeError) -> Problem:
    line = raw.count(b"\n", 0, error.start) + 1
    return Problem(
        f"{path}, line {line}", "the file is not UTF-8", "UTF-8 text", "save it as UTF-8 in your editor"
    )
