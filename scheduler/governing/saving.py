"""The texts as an editor sees them: the files, what each is worth, who saved what, and saving."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from difflib import unified_diff
from pathlib import Path

from sqlalchemy import Connection, func, select

from scheduler.database.engine import execute
from scheduler.database.models import TextEdit, TextRevision, table
from scheduler.governing.texts import digest, keys_of, last_edits
from scheduler.mail.text.layout import LARGEST_TEXT, text_path
from scheduler.mail.texts import Key
from scheduler.problem import Problem
from scheduler.webinar.model import Webinar

LARGEST = LARGEST_TEXT
_AROUND = 2  # lines that are alike, around those that differ
_MOST_SHOWN = 400  # lines of a difference
_MOST_COMPARED = 250_000  # pairs of lines: some 500 in each text, between the first and the last that differ


@dataclass(frozen=True)
class Saved:
    """A revision that somebody saved here; of one that was written by hand or by git, `saved_by` is ""."""

    id: int
    source: str
    saved_by: str
    saved_at: datetime
    note: str


@dataclass(frozen=True)
class Entry:
    """One text. `state`: sound, draft (its last sound version goes out), held (its mails wait), missing."""

    message: str
    language: str
    state: str
    problems: tuple[Problem, ...]
    older: bool
    """It has not been saved since its English original was."""
    edited_at: datetime | None
    edited_by: str
    waiting: int
    """How many deliveries are held for want of it."""


class Conflict(Exception):
    """The file is not any more what the editor began with."""

    def __init__(self, theirs: str) -> None:
        super().__init__("somebody else has changed this text meanwhile")
        self.theirs = theirs


def shelf(
    conn: Connection,
    webinars: Sequence[Webinar],
    sources: Mapping[Key, str],
    problems: Mapping[Key, tuple[Problem, ...]],
    live: Container[Key],
) -> list[Entry]:
    """Every text that a webinar uses, or would if it were there, by message and language. `live`: of which a sound
    version can go out."""
    last = last_edits(conn, sources)
    revisions = table(TextRevision)
    text = (revisions.c.message, revisions.c.language)
    newest = conn.execute(select(*text, func.max(revisions.c.sound_since).label("at")).group_by(*text))
    since = {(row.message, row.language): row.at for row in newest}
    held: Counter[str] = Counter()
    texts = {one.id: one.text_of for one in webinars}
    query = (
        "SELECT webinar, message, count(*) AS n FROM delivery WHERE state = 'held' AND reason = 'template'"
        " GROUP BY webinar, message"
    )
    for row in execute(conn, query):
        held[texts.get(row.webinar, {}).get(row.message, row.message)] += row.n
    found = []
    keys = sorted(keys_of(webinars) | sources.keys(), key=lambda key: (key[0], key[1] != "en", key[1]))
    for message, language in keys:
        key = (message, language)
        state = "missing" if key not in sources else "sound"
        if state == "sound" and problems.get(key):
            waits = any(one.on_broken == "hold" and message in one.text_names for one in webinars)
            state = "held" if waits or key not in live else "draft"
        when, original, edit = since.get(key), since.get((message, "en")), last.get(key)
        older = bool(state != "missing" and when and original and language != "en" and when < original)
        found.append(
            Entry(
                message,
                language,
                state,
                problems.get(key, ()),
                older,
                edit.saved_at if edit else when,
                edit.saved_by if edit else "",
                held[message] if state != "sound" else 0,
            )
        )
    return found


def history(conn: Connection, message: str, language: str, limit: int = 50) -> list[Saved]:
    """What was saved here, the newest first."""
    edits = table(TextEdit)
    columns = (edits.c.id, edits.c.source, edits.c.saved_by, edits.c.saved_at, edits.c.note)
    of_text = select(*columns).where(edits.c.message == message, edits.c.language == language)
    rows = conn.execute(of_text.order_by(edits.c.id.desc()).limit(limit))
    return [Saved(**row) for row in rows.mappings()]


def note_saved(
    conn: Connection, now: datetime, key: Key, before: str, source: str, saved_by: str, note: str
) -> None:
    """Put a revision on record; and first what it took the place of, where that was written by hand or by git."""
    last = next(iter(history(conn, *key, limit=1)), None)
    if before and (last is None or last.source != before):
        _store(conn, now, key, before, "", "")
    _store(conn, now, key, source, saved_by, note)


def _store(conn: Connection, now: datetime, key: Key, source: str, saved_by: str, note: str) -> None:
    execute(
        conn,
        "INSERT INTO text_edit (message, language, sha256, source, saved_by, saved_at, note)"
        " VALUES (:message, :language, :sha256, :source, :saved_by, :now, :note)",
        message=key[0],
        language=key[1],
        sha256=digest(source),
        source=source,
        saved_by=saved_by,
        now=now,
        note=note,
    )


def read(root: Path, message: str, language: str) -> str:
    """The file as it is now; "" where there is none."""
    try:
        return text_path(root, message, language).read_bytes().decode("utf-8-sig", "replace")
    except FileNotFoundError:
        return ""


def write(root: Path, message: str, language: str, source: str, began_with: str) -> str:
    """Put `source` into the file, whole or not at all; returns what was there before.

    Raises Conflict where the file's digest is no longer `began_with`; OSError where it can't be written.
    """
    path = text_path(root, message, language)
    path.parent.mkdir(exist_ok=True)
    with _alone_in(path.parent):
        before = read(root, message, language)
        if digest(before) != began_with:
            raise Conflict(before)
        _replace(path, source)
    return before


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """While no other editor, of this service or another replica, writes there."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _replace(path: Path, source: str) -> None:
    """Whole or not at all, on the disk when this returns, with the file's own mode."""
    handle, fresh = tempfile.mkstemp(prefix=f".{path.stem}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(source)
            file.flush()
            os.fsync(file.fileno())
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        Path(fresh).chmod(mode)
        Path(fresh).replace(path)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise


def writable(root: Path) -> bool:
    """Whether texts can be saved: else the editor only shows them."""
    return os.access(root, os.W_OK) and all(os.access(one, os.W_OK) for one in root.iterdir() if one.is_dir())


def difference(before: str, after: str) -> list[tuple[str, str]]:
    """The lines that differ, with some around them: (" ", "-", "+" or "@", line). At most `_MOST_SHOWN`.

    difflib takes time by the square of the lines: only what lies between the first and the last difference is compared,
    and where that is long, it is shown as taken out and put in as a whole.
    """
    old, new = before.splitlines(), after.splitlines()
    start = _alike(old, new)
    end = _alike(old[start:][::-1], new[start:][::-1])
    old_middle, new_middle = old[start : len(old) - end], new[start : len(new) - end]
    if not old_middle and not new_middle:
        return []
    above = [(" ", line) for line in old[max(start - _AROUND, 0) : start]]
    below = [(" ", line) for line in old[len(old) - end :][:_AROUND]]
    found = [("@", "…"), *above, *_compared(old_middle, new_middle), *below]
    if len(found) <= _MOST_SHOWN:
        return found
    return [*found[:_MOST_SHOWN], ("@", f"… and {len(found) - _MOST_SHOWN} lines more")]


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many lines both begin with."""
    return next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _compared(old: list[str], new: list[str]) -> list[tuple[str, str]]:
    """Two pieces that differ in their first and in their last line."""
    if len(old) * len(new) > _MOST_COMPARED:
        return [*(("-", line) for line in old), *(("+", line) for line in new)]
    lines = unified_diff(old, new, lineterm="", n=_AROUND)
    return [(line[0], line[1:] if line[0] != "@" else "…") for line in list(lines)[3:]]
