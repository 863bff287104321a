"""The texts as the editor shows them: the files, the state of each, its history, and saving."""

from __future__ import annotations

import fcntl
import os
import tempfile
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, func, insert, select

from scheduler.database.engine import execute
from scheduler.database.models import TextEdit, TextRevision, table
from scheduler.governing.proposals import digest
from scheduler.governing.texts import keys_of, last_saves
from scheduler.mail.text.front_matter import read_front_matter
from scheduler.mail.text.layout import LARGEST_TEXT, text_path
from scheduler.mail.texts import Key
from scheduler.problem import Problem
from scheduler.webinar.model import Webinar

LARGEST = LARGEST_TEXT


@dataclass(frozen=True)
class SavedText:
    """A stored version of a text. `saved_by` is "" if it was written by hand or by git."""

    id: int
    source: str
    saved_by: str
    saved_at: datetime
    note: str


@dataclass(frozen=True)
class ListedText:
    """A text in the list. `state`: sound, draft (its last sound version goes out), held (its mails wait) or missing."""

    message: str
    language: str
    state: str
    problems: tuple[Problem, ...]
    older: bool
    """The English original was saved after it."""
    edited_at: datetime | None
    edited_by: str
    waiting: int
    """The number of deliveries that are held because of it."""
    reviewed_by: str = ""


class Conflict(Exception):
    """The file has changed since the editor read it."""

    def __init__(self, theirs: str) -> None:
        super().__init__("somebody else has changed this text in the meantime")
        self.theirs = theirs


def state_with_mistakes(key: Key, webinars: Sequence[Webinar], current: Container[Key]) -> str:
    """The state of a text as long as it has mistakes: draft or held. `current`: texts with a sound version that can go
    out."""
    waits = any(one.on_broken == "hold" and key[0] in one.text_names for one in webinars)
    return "held" if waits or key not in current else "draft"


def list_texts(
    conn: Connection,
    webinars: Sequence[Webinar],
    sources: Mapping[Key, str],
    problems: Mapping[Key, tuple[Problem, ...]],
    current: Container[Key],
) -> list[ListedText]:
    """Every existing or used text, by message and language. `current`: texts with a sound version that can go out."""
    last = last_saves(conn, sources)
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
            state = state_with_mistakes(key, webinars, current)
        when, original, edit = since.get(key), since.get((message, "en")), last.get(key)
        older = bool(state != "missing" and when and original and language != "en" and when < original)
        found.append(
            ListedText(
                message,
                language,
                state,
                problems.get(key, ()),
                older,
                edit.saved_at if edit else when,
                edit.saved_by if edit else "",
                held[message] if state != "sound" else 0,
                read_front_matter(sources.get(key, "").replace("\r\n", "\n"), "")[0].values.get(
                    "reviewed_by", ""
                ),
            )
        )
    return found


def history(conn: Connection, message: str, language: str, limit: int = 50) -> list[SavedText]:
    """The stored versions of a text, the newest first."""
    text_edit = table(TextEdit)
    columns = (
        text_edit.c.id,
        text_edit.c.source,
        text_edit.c.saved_by,
        text_edit.c.saved_at,
        text_edit.c.note,
    )
    of_text = select(*columns).where(text_edit.c.message == message, text_edit.c.language == language)
    rows = conn.execute(of_text.order_by(text_edit.c.id.desc()).limit(limit))
    return [SavedText(**row) for row in rows.mappings()]


def record_save(
    conn: Connection, now: datetime, key: Key, before: str, source: str, saved_by: str, note: str
) -> None:
    """Store a version that was saved, and before it the one it replaced if that was written by hand or by git."""
    last = next(iter(history(conn, *key, limit=1)), None)
    if before and (last is None or last.source != before):
        _store(conn, now, key, before, "", "")
    _store(conn, now, key, source, saved_by, note)


def _store(conn: Connection, now: datetime, key: Key, source: str, saved_by: str, note: str) -> None:
    text_edit = table(TextEdit)
    names = ("message", "language", "sha256", "source", "saved_by", "saved_at", "note")
    values = (*key, digest(source), source, saved_by, now, note)
    conn.execute(insert(text_edit), dict(zip(names, values, strict=True)))


def read(root: Path, message: str, language: str) -> str:
    """The content of the file; "" if there is none."""
    try:
        return text_path(root, message, language).read_bytes().decode("utf-8-sig", "replace")
    except FileNotFoundError:
        return ""


def write(root: Path, message: str, language: str, source: str, began_with: str) -> str:
    """Replace the content of the file atomically; returns the content before.

    Raises Conflict if the file's digest is no longer `began_with`, and OSError if the file cannot be written.
    """
    path = text_path(root, message, language)
    path.parent.mkdir(exist_ok=True)
    with _locked(path.parent):
        before = read(root, message, language)
        if digest(before) != began_with:
            raise Conflict(before)
        if source != before:  # the file's bytes stay as they are, a byte order mark included
            _replace(path, source)
    return before


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock the folder against other editors of this service and of other replicas."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _replace(path: Path, source: str) -> None:
    """Replace the file atomically and durably, keeping its mode."""
    handle, fresh = tempfile.mkstemp(prefix=f".{path.stem}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding=_encoding(path), newline="") as file:
            file.write(source)
            file.flush()
            os.fsync(file.fileno())
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        Path(fresh).chmod(mode)
        Path(fresh).replace(path)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise


def _encoding(path: Path) -> str:
    """UTF-8, with a byte order mark if the file has one."""
    try:
        with path.open("rb") as file:
            return "utf-8-sig" if file.read(len(BOM_UTF8)) == BOM_UTF8 else "utf-8"
    except FileNotFoundError:
        return "utf-8"


def writable(root: Path) -> bool:
    """Whether texts can be saved; if not, the editor only shows them."""
    return os.access(root, os.W_OK) and all(os.access(one, os.W_OK) for one in root.iterdir() if one.is_dir())
