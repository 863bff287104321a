"""The webinars that govern now: the last sound revision of each file, kept in the database."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Connection, insert, select

from scheduler.database.engine import one_planner, run
from scheduler.database.models import GoverningWebinar, WebinarRevision
from scheduler.input.addresses import why_no_address
from scheduler.ledger.outlook import outlook
from scheduler.ledger.planning import Governing
from scheduler.organizers.governing import Revisions, drop_waiting, propose
from scheduler.organizers.proposals import Decision, Revision, decide, holding, live, publish
from scheduler.problem import Problem, Problems
from scheduler.webinar import Webinar, read_webinar

FORGET_AFTER = timedelta(days=31)  # after its end nobody misses a webinar's file


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
    governing_files: Mapping[str, str] = field(
        default_factory=dict
    )  # by webinar: of the revision that governs

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
        return webinar in self.held and self.held[webinar] == self.governing_files.get(webinar)

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
    one_planner(conn)
    sound, problems = _read(root, files)
    stored = _governing_files(conn)
    for name, (path, _, webinar) in list(sound.items()):
        governs = revisions.get(conn, stored[name].id or 0) if name in stored else None
        if governs and (problem := _other_time(conn, now, path, governs, webinar)):
            problems[path] = (problem,)
            del sound[name]
    held = {name: digest(source) for name, (_, source, _) in sound.items()}
    changed = publish(conn, now, holder, "webinar", held)
    for name, (path, source, webinar) in sound.items():
        revision_id, new = _stored(conn, now, webinar, path, source)
        _decide(
            conn,
            now,
            webinar,
            revision_id,
            held[name],
            revisions,
            holder,
            return_within,
            new=new,
            changed=edited or name in changed,
        )
    now_says = {path: name for name, (path, _, _) in sound.items()}
    for name in stored.keys() - sound.keys():
        path, governs = stored[name].file, revisions.get(conn, stored[name].id or 0)
        if path not in problems and (governs is None or now < governs.end + FORGET_AFTER):
            problems[path] = (_gone(path, name, now_says.get(path, "")),)
    governing = revisions.governing(conn)
    concerned = {path: _concerned(path, files, root, stored.values(), governing) for path in problems}
    meanwhile = _meanwhile(conn, now, problems, stored, governing)
    of_revisions = {name: one.sha256 for name, one in _governing_files(conn).items()}
    return Catalogue(governing, problems, meanwhile, concerned, held, of_revisions)


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
    table = GoverningWebinar.__table__  # type: ignore[attr-defined]
    rows = conn.execute(
        select(table.c.webinar, table.c.waiting_id, _REVISION.c.sha256).join(
            _REVISION, _REVISION.c.id == table.c.revision_id
        )
    )
    lags = [
        row
        for row in rows.all()
        if row.waiting_id or catalogue.held.get(row.webinar, row.sha256) != row.sha256
    ]
    if lags:
        publish(conn, now, holder, "webinar", catalogue.held)  # notices who is gone
    for row in lags:
        ours = catalogue.held.get(row.webinar)
        revision_id = _revision_of(conn, row.webinar, ours) if ours else None
        webinar = revisions.get(conn, revision_id) if revision_id else None
        if ours and revision_id and webinar:
            _decide(
                conn,
                now,
                webinar,
                revision_id,
                ours,
                revisions,
                holder,
                return_within,
                new=False,
                changed=False,
            )


def _decide(
    conn: Connection,
    now: datetime,
    webinar: Webinar,
    revision_id: int,
    ours: str,
    revisions: Revisions,
    holder: int,
    return_within: timedelta,
    *,
    new: bool,
    changed: bool,
) -> None:
    table = GoverningWebinar.__table__  # type: ignore[attr-defined]
    row = conn.execute(select(table).where(table.c.webinar == webinar.id)).first()
    found = decide(
        now,
        holder,
        live(conn, holder),
        holding(conn, "webinar").get(webinar.id, {}),
        new=new,
        changed=changed,
        governing=_sha_of(conn, row.revision_id) if row else None,
        waiting=_sha_of(conn, row.waiting_id) if row and row.waiting_id else None,
    )
    if found is Decision.OURS:
        propose(conn, now, webinar, revision_id, revisions, return_within)
    elif found is Decision.DROP:
        drop_waiting(conn, webinar.id)


def _other_time(
    conn: Connection, now: datetime, path: str, governs: Webinar, webinar: Webinar
) -> Problem | None:
    """Why people registered under this id must not be written to about this time."""
    if governs.start == webinar.start or not _has_people(conn, webinar.id):
        return None
    if governs.end <= now < webinar.start and not webinar.again:
        return Problem(
            f"{path}, start",
            f"{said(webinar.start)}, but the webinar `{webinar.id}` ended at {said(governs.end)}, and its registrants"
            " would get this one's mails",
            "a new id for a new webinar",
            "choose another `id`; or, if the same people are meant, add again = true",
        )
    if webinar.start <= now < governs.start:
        return Problem(
            f"{path}, start",
            f"{said(webinar.start)}, in the past; before it was {said(governs.start)}, which is still ahead",
            "a start that is still ahead",
            "correct the date; a webinar that does not take place has cancelled = true",
        )
    return None


def said(instant: datetime) -> str:
    """An instant in words for organizers, with its zone."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _has_people(conn: Connection, webinar: str) -> bool:
    query = "SELECT 1 FROM registration WHERE webinar = :webinar LIMIT 1"
    return run(conn, query, webinar=webinar).first() is not None


def _meanwhile(
    conn: Connection,
    now: datetime,
    paths: Collection[str],
    stored: Mapping[str, WebinarRevision],
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
    stored: Iterable[WebinarRevision],
    governing: Mapping[str, Governing],
) -> frozenset[str]:
    """Who is notified of a problem: the `alert_to` of what the file last said, if live, or says now."""
    known = {
        governing[one.webinar].webinar.alert_to
        for one in stored
        if one.file == path and one.webinar in governing and governing[one.webinar].webinar.status == "live"
    }
    try:
        said = tomllib.loads(files[str(Path(path).relative_to(root))].decode("utf-8-sig"))
        address = said.get("alert_to") if said.get("status") == "live" else None
    except (KeyError, ValueError, RecursionError):
        address = None
    return frozenset(
        known | ({address} if isinstance(address, str) and not why_no_address(address) else set())
    )


def _read(
    root: Path, files: Mapping[str, bytes]
) -> tuple[dict[str, tuple[str, str, Webinar]], dict[str, tuple[Problem, ...]]]:
    sound: dict[str, tuple[str, str, Webinar]] = {}
    read: dict[str, Webinar] = {}
    problems: dict[str, tuple[Problem, ...]] = {}
    for name, raw in files.items():
        path = str(root / name)
        try:
            source = raw.decode("utf-8-sig")
            webinar = read_webinar(source, path)
        except UnicodeDecodeError as error:
            problems[path] = (_not_utf8(path, raw, error),)
        except Problems as error:
            problems[path] = error.problems
        else:
            read[path] = webinar
            sound[webinar.id] = (path, source, webinar)
    for path, problem in ids_twice(read).items():
        sound.pop(read[path].id, None)
        problems[path] = (problem,)
    return sound, problems


_REVISION = WebinarRevision.__table__  # type: ignore[attr-defined]


def digest(source: str) -> str:
    """By which two versions of a file are told apart."""
    return sha256(source.encode("utf-8", "surrogatepass")).hexdigest()


def _governing_files(conn: Connection) -> dict[str, WebinarRevision]:
    """The revision that governs each webinar."""
    table = GoverningWebinar.__table__  # type: ignore[attr-defined]
    rows = conn.execute(select(_REVISION).join(table, table.c.revision_id == _REVISION.c.id)).mappings()
    return {row["webinar"]: WebinarRevision(**row) for row in rows}


def governing_webinars(conn: Connection) -> dict[str, Revision]:
    """The revisions that govern, by webinar, as `differing` has what folders hold."""
    return {
        name: Revision(one.id or 0, one.sha256, one.sound_since)
        for name, one in _governing_files(conn).items()
    }


def _sha_of(conn: Connection, revision_id: int) -> str | None:
    return conn.execute(select(_REVISION.c.sha256).where(_REVISION.c.id == revision_id)).scalar()


def _revision_of(conn: Connection, webinar: str, sha: str) -> int | None:
    """The newest stored revision of a webinar with this content."""
    same = (_REVISION.c.webinar == webinar) & (_REVISION.c.sha256 == sha)
    newest = select(_REVISION.c.id).where(same).order_by(_REVISION.c.id.desc()).limit(1)
    return conn.execute(newest).scalar()


def _stored(conn: Connection, now: datetime, webinar: Webinar, path: str, source: str) -> tuple[int, bool]:
    """The stored revision with this content, and whether it is new. A file that was renamed is found by its name."""
    sha = digest(source)
    if (known := _revision_of(conn, webinar.id, sha)) is not None:
        conn.execute(
            _REVISION.update().where(_REVISION.c.id == known, _REVISION.c.file != path).values(file=path)
        )
        return known, False
    revision = {"webinar": webinar.id, "file": path, "sha256": sha, "source": source, "sound_since": now}
    return conn.execute(insert(_REVISION).returning(_REVISION.c.id), revision).scalar_one(), True


def _gone(path: str, webinar: str, now_says: str) -> Problem:
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
