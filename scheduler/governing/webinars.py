"""The webinars that govern: the last sound revision of each file, stored in the database."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, insert, or_, select

from scheduler.database.engine import execute, one_proposer
from scheduler.database.models import GoverningWebinar, WebinarRevision, table
from scheduler.governing.proposals import (
    Decision,
    Held,
    Revision,
    decide,
    digest,
    holding,
    publish,
    running_services,
)
from scheduler.governing.revisions import (
    ENDED,
    ENDS_AFTER,
    Revisions,
    drop_waiting,
    end_what_is_over,
    schedule,
)
from scheduler.input.addresses import why_no_address
from scheduler.input.toml_syntax import load_toml
from scheduler.ledger.outlook import outlook
from scheduler.ledger.planning import Governing
from scheduler.ledger.retention import is_removed
from scheduler.problem import Problem, Problems
from scheduler.webinar.links import needs_pages
from scheduler.webinar.model import Webinar


@dataclass(frozen=True)
class Catalogue:
    """The webinars that govern, and the state of the folder: the problems and the contents of its files."""

    governing: Mapping[str, Governing] = field(default_factory=dict)
    mistakes: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)  # by path
    meanwhile: Mapping[str, str] = field(default_factory=dict)  # by path: which mails still go out, and when
    concerned: Mapping[str, frozenset[str]] = field(default_factory=dict)  # by path: addresses to notify
    held: Mapping[str, str] = field(default_factory=dict)  # by webinar: the SHA-256 of its sound file

    @property
    def problems(self) -> dict[str, tuple[Problem, ...]]:
        """The mistakes by path, with the mails that still go out: a refused edit may have been meant to stop them."""
        return {
            path: (_with_meanwhile(found[0], self.meanwhile[path]), *found[1:])
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
        """Whether the folder holds the revision that governs this webinar."""
        one = self.governing.get(webinar)
        return one is not None and self.held.get(webinar) == one.sha256

    @property
    def lagging(self) -> list[str]:
        """The webinars of which the folder holds another content than the one that governs."""
        return [name for name in self.held if name in self.governing and not self.is_of_file(name)]

    def live(self, *, drafts_too: bool = False) -> list[str]:
        """The ids of the webinars whose mails go out; `drafts_too`: also those of drafts, as in a rehearsal."""
        return [name for name, webinar in self.webinars.items() if drafts_too or webinar.status == "live"]


def propose_webinars(
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
    """Read the files, publish the sound ones and propose the new ones. `edited`: treat all as edited just now."""
    one_proposer(conn)
    sound, problems = read_files(root, files, revisions)
    stored = _governing(conn, now)
    for name, one in list(sound.items()):
        if name in stored and (problem := _time_problem(conn, now, stored[name], one)):
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
    revisions.forget()  # an earlier try of this transaction, rolled back at a conflict, may have read its rows
    governing = revisions.governing(conn)
    problems |= _gone(sound, problems, stored)
    concerned = {path: _to_notify(path, files, root, stored.values(), governing) for path in problems}
    meanwhile = _meanwhile(conn, now, problems, stored, governing)
    return Catalogue(governing, problems, meanwhile, concerned, held)


def decide_again(
    conn: Connection,
    now: datetime,
    revisions: Revisions,
    catalogue: Catalogue,
    holder: int,
    return_within: timedelta,
) -> None:
    """Decide again about webinars whose governing or waiting content is not the folder's: time has passed, or
    services have started or stopped."""
    waiting = conn.execute(select(_W.webinar).where(_W.takes_effect_at.is_not(None))).scalars()
    if not (lags := sorted({*catalogue.lagging, *waiting})):
        return
    one_proposer(conn)
    publish(conn, now, holder, "webinar", catalogue.held)  # also finds services that are gone
    proposing = _Proposing(conn, now, revisions, holder, return_within, _governing(conn, now, lags))
    for name in lags:
        ours = catalogue.held.get(name)
        revision_id = _revision_of(conn, name, ours) if ours else None
        webinar = revisions.get(conn, revision_id) if revision_id else None
        if ours and revision_id and webinar:
            proposing.decide(webinar, revision_id, ours, new=False, changed=False)


class _Governs(NamedTuple):
    """The revision that governs a webinar, and the one that waits."""

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
    """A transaction that compares the contents of this service's folder with what governs."""

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
        return running_services(self.conn, self.holder)

    def decide(self, webinar: Webinar, revision_id: int, ours: str, *, new: bool, changed: bool) -> None:
        """Decide about one webinar, and carry it out. `ours`: the SHA-256 of our content, stored as this revision."""
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
            schedule(self.conn, self.now, webinar, revision_id, self.revisions, self.return_within)
        elif found is Decision.DROP:
            drop_waiting(self.conn, webinar.id)


def _time_problem(conn: Connection, now: datetime, governs: _Governs, file: WebinarFile) -> Problem | None:
    """Why the people registered under this id must not get mails about the file's new time; None if they may."""
    webinar, start = file.webinar, instant_text(file.webinar.start)
    if governs.starts_at == webinar.start or not _has_people(conn, webinar.id):
        return None
    takes_place_again = now < webinar.start or is_removed(conn, webinar.id)
    if governs.ends_at <= now and takes_place_again and not webinar.again:
        return Problem(
            f"{file.path}, start",
            f"{start}, but the webinar `{webinar.id}` ended at {instant_text(governs.ends_at)}, and its"
            " registrants would get this one's mails",
            "a new id for a new webinar",
            "choose another `id`; or, if the same people are meant, add again = true",
        )
    if webinar.start <= now < governs.starts_at:
        return Problem(
            f"{file.path}, start",
            f"{start}, in the past; before it was {instant_text(governs.starts_at)}, which is still ahead",
            "a start that is still ahead",
            "correct the date; a webinar that does not take place has cancelled = true",
        )
    return None


def instant_text(instant: datetime) -> str:
    """An instant for organizers, with its zone: "2025-07-03 11:00 UTC"."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _has_people(conn: Connection, webinar: str) -> bool:
    """Whether people are registered, or were before their removal: `registrants` may still have them."""
    query = "SELECT 1 FROM registration WHERE webinar = :webinar LIMIT 1"
    return execute(conn, query, webinar=webinar).first() is not None or is_removed(conn, webinar)


def _meanwhile(
    conn: Connection,
    now: datetime,
    paths: Collection[str],
    stored: Mapping[str, _Governs],
    governing: Mapping[str, Governing],
) -> dict[str, str]:
    """The mails that still go out of the webinars whose files at these paths are not sound, and when; by path."""
    found = {}
    for name, one in stored.items():
        if one.file in paths and name in governing and governing[name].webinar.status == "live":
            ahead = outlook(conn, now, name, limit=1)
            mails = [f"{ahead.at_once} mails now"] if ahead.at_once else []
            mails += [f"{then.message} at {instant_text(then.at)}" for then in ahead.next]
            if mails:
                found[one.file] = f"its last sound revision governs, and sends {', '.join(mails)}"
    return found


def _with_meanwhile(problem: Problem, meanwhile: str) -> Problem:
    words = f"until the file is sound, {meanwhile}"
    return replace(problem, hint=f"{problem.hint}; {words}" if problem.hint else words)


def _to_notify(
    path: str,
    files: Mapping[str, bytes],
    root: Path,
    stored: Iterable[_Governs],
    governing: Mapping[str, Governing],
) -> frozenset[str]:
    """The addresses to notify of a problem: the `alert_to` of a live webinar in the file's governing revision and
    in the file as it is now."""
    known = {
        governing[one.webinar].webinar.alert_to
        for one in stored
        if one.file == path and one.webinar in governing and governing[one.webinar].webinar.status == "live"
    }
    try:
        raw = load_toml(files[str(Path(path).relative_to(root))].decode("utf-8-sig"))
        address = raw.get("alert_to") if raw.get("status") == "live" else None
    except (KeyError, ValueError, RecursionError):
        address = None
    return frozenset(
        known | ({address} if isinstance(address, str) and not why_no_address(address) else set())
    )


class WebinarFile(NamedTuple):
    """A sound file of a webinar."""

    path: str
    source: str
    sha256: str
    webinar: Webinar


def read_files(
    root: Path, files: Mapping[str, bytes], revisions: Revisions
) -> tuple[dict[str, WebinarFile], dict[str, tuple[Problem, ...]]]:
    """The sound files by webinar, and the problems of the others by path. Each content is parsed once."""
    sound: dict[str, WebinarFile] = {}
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
            if missing := needs_pages(webinar, path, revisions.pages_url):
                problems[path] = (missing,)
                continue
            sound[webinar.id] = WebinarFile(path, source, digest(source), webinar)
    for path, problem in duplicate_ids(read).items():
        sound.pop(read[path].id, None)
        problems[path] = (problem,)
    return sound, problems


_REVISION = table(WebinarRevision)
_W = table(GoverningWebinar).c


def _governing(
    conn: Connection, now: datetime, webinars: Collection[str] | None = None
) -> dict[str, _Governs]:
    """The governing and waiting revisions of these webinars, or of all."""
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
    """The revisions that govern, by webinar, to compare with those that folders hold."""
    columns = (_W.webinar, _REVISION.c.id, _REVISION.c.sha256, _REVISION.c.sound_since)
    rows = conn.execute(select(*columns).join(_REVISION, _REVISION.c.id == _W.revision_id))
    return {name: Revision(*revision) for name, *revision in rows}


def _revision_of(conn: Connection, webinar: str, sha: str) -> int | None:
    """The id of the newest stored revision of a webinar with this content."""
    same = (_REVISION.c.webinar == webinar) & (_REVISION.c.sha256 == sha)
    newest = select(_REVISION.c.id).where(same).order_by(_REVISION.c.id.desc()).limit(1)
    return conn.execute(newest).scalar()


def _stored(conn: Connection, now: datetime, file: WebinarFile, governs: _Governs | None) -> tuple[int, bool]:
    """The id of the stored revision with this content, and whether it is new. A renamed file keeps its revision."""
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
    sound: Mapping[str, WebinarFile], unsound: Container[str], stored: Mapping[str, _Governs]
) -> dict[str, tuple[Problem, ...]]:
    """Problems of webinars whose file is gone or has another id now."""
    ids = {one.path: name for name, one in sound.items()}
    return {
        one.file: (_no_file(one.file, name, ids.get(one.file, "")),)
        for name, one in stored.items()
        if name not in sound and one.file not in unsound and not one.is_ended
    }


def _no_file(path: str, webinar: str, other_id: str) -> Problem:
    return Problem(
        f"{path}, id" if other_id else path,
        f"was `{webinar}` and is now `{other_id}`" if other_id else "the file is gone or cannot be read",
        f"a file for webinar `{webinar}`",
        "until it is back, its last sound revision governs; to end its mails, put the file back with"
        ' status = "draft" or messages = []',
    )


def duplicate_ids(webinars: Mapping[str, Webinar]) -> dict[str, Problem]:
    """Files whose webinar has the same id as another one's, each with its problem; by path, as given."""
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
