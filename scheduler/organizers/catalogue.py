"""The webinars that govern now: the last sound revision of each file, kept in the database."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Connection, insert, select

from scheduler.database.models import WebinarRevision
from scheduler.input.addresses import why_no_address
from scheduler.ledger.planning import Governing
from scheduler.problem import Problem, Problems
from scheduler.webinar import Webinar, read_webinar

FORGET_AFTER = timedelta(days=31)  # after its end nobody misses a webinar's file


@dataclass(frozen=True)
class Catalogue:
    """What the folder of webinars says: what governs, and what is wrong with which webinar or file."""

    governing: Mapping[str, Governing] = field(default_factory=dict)
    problems: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)  # by path
    concerned: Mapping[str, frozenset[str]] = field(default_factory=dict)  # by path: whom a problem is told

    @property
    def webinars(self) -> dict[str, Webinar]:
        return {name: one.webinar for name, one in self.governing.items()}

    def live(self, *, drafts_too: bool = False) -> list[str]:
        """The webinars whose mails go out. A rehearsal sends those of drafts, too."""
        return [name for name, webinar in self.webinars.items() if drafts_too or webinar.status == "live"]


def take_webinars(conn: Connection, now: datetime, root: Path, files: Mapping[str, bytes]) -> Catalogue:
    """Read the files; store the sound ones; let the last sound revision govern where there is none."""
    sound, problems = _read(root, files)
    stored = _last_sound(conn)
    governing: dict[str, Governing] = {}
    for name, (path, source, webinar) in sound.items():
        revision = sha256(source.encode()).hexdigest()
        if name not in stored or (stored[name].sha256, stored[name].file) != (revision, path):
            _store(conn, now, name, path, source)
        governing[name] = Governing(webinar, revision)
    now_says = {path: name for name, (path, _, _) in sound.items()}
    for name in stored.keys() - sound.keys():
        path, one = stored[name].file, _frozen(stored[name])
        if one is not None:
            governing[name] = one
        if path not in problems and (one is None or now < one.webinar.end + FORGET_AFTER):
            problems[path] = (_gone(path, name, now_says.get(path, "")),)
    concerned = {path: _concerned(path, files, root, stored.values(), governing) for path in problems}
    return Catalogue(dict(sorted(governing.items())), problems, concerned)


def _concerned(
    path: str,
    files: Mapping[str, bytes],
    root: Path,
    stored: Iterable[WebinarRevision],
    governing: Mapping[str, Governing],
) -> frozenset[str]:
    """Who is told of a problem: the `alert_to` of what the file last said, if live, or says now."""
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


def _last_sound(conn: Connection) -> dict[str, WebinarRevision]:
    table = WebinarRevision.__table__  # type: ignore[attr-defined]
    rows = conn.execute(select(table).order_by(table.c.id)).mappings()
    return {row["webinar"]: WebinarRevision(**row) for row in rows}


def _store(conn: Connection, now: datetime, webinar: str, path: str, source: str) -> None:
    revision = {
        "webinar": webinar,
        "file": path,
        "sha256": sha256(source.encode()).hexdigest(),
        "source": source,
        "sound_since": now,
    }
    conn.execute(insert(WebinarRevision.__table__), revision)  # type: ignore[attr-defined]


def _frozen(stored: WebinarRevision) -> Governing | None:
    try:
        return Governing(read_webinar(stored.source, stored.file), stored.sha256, frozen=True)
    except Problems:  # sound for an earlier version of this program only
        return None


def _gone(path: str, webinar: str, now_says: str) -> Problem:
    return Problem(
        f"{path}, id" if now_says else path,
        f"was `{webinar}` and is now `{now_says}`" if now_says else "the file is gone, or can't be read",
        f"a file for webinar `{webinar}`",
        "until it is back, what is planned goes out by its last sound revision, and nothing new is planned",
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
