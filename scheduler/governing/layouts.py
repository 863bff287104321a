"""The layout that governs: its newest revision in the database, with its pictures."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Connection, insert, select

from scheduler.database.engine import execute
from scheduler.database.models import LayoutRevision, table
from scheduler.governing.proposals import Revision, propose
from scheduler.mail.text.layout import FOLDER, PAGE, Layout, is_picture, layout_of
from scheduler.problem import Problem, Problems

NAME = ""  # there is one layout


def sound_layout(
    files: Mapping[str, bytes], root: Path
) -> tuple[dict[str, bytes] | None, tuple[Problem, ...]]:
    """The layout among the files of the templates folder: its own files by name, or None and what is wrong with it."""
    if not files:
        return None, (_empty(root),)
    beside = {Path(path).name: content for path, content in files.items() if Path(path).parent.name == FOLDER}
    ours = {name: content for name, content in beside.items() if name == PAGE or is_picture(name)}
    try:
        layout_of(ours, root)
    except Problems as error:
        return None, error.problems
    return ours, ()


def propose_layout(conn: Connection, now: datetime, holder: int, files: Mapping[str, bytes] | None) -> bool:
    """Record the sound layout of our folder (None: there is none); store it if it is to govern. Returns whether
    another one governs still in its place."""
    source = None if files is None else _packed(files)
    contents = {} if source is None else {NAME: _digest(source)}
    ours = propose(conn, now, holder, "layout", contents, governing_layout, _was_stored)
    if ours.govern:
        revision = {"sha256": contents[NAME], "source": source, "sound_since": now}
        conn.execute(insert(table(LayoutRevision)), revision)
    return ours.lag


def read_governing_layout(conn: Connection, root: Path) -> Layout | None:
    """The layout that goes around every text: the newest revision that this program can read. None: there never was
    one."""
    layouts = table(LayoutRevision)
    for revision in conn.execute(select(layouts.c.id).order_by(layouts.c.id.desc())).scalars().all():
        source = conn.execute(select(layouts.c.source).where(layouts.c.id == revision)).scalar_one()
        try:
            return layout_of(_unpacked(source), root)
        except Problems:  # sound for another version of this program
            continue
    return None


def governing_layout(conn: Connection) -> dict[str, Revision]:
    """The layout that governs, if there is one, as `propose` has it."""
    columns = table(LayoutRevision).c
    newest = select(columns.id, columns.sha256, columns.sound_since).order_by(columns.id.desc()).limit(1)
    row = conn.execute(newest).first()
    return {NAME: Revision(*row)} if row else {}


def _was_stored(conn: Connection, _name: str, digest: str) -> bool:
    query = "SELECT 1 FROM layout_revision WHERE sha256 = :digest LIMIT 1"
    return execute(conn, query, digest=digest).first() is not None


def _packed(files: Mapping[str, bytes]) -> str:
    return json.dumps({name: b64encode(files[name]).decode() for name in sorted(files)})


def _unpacked(source: str) -> dict[str, bytes]:
    return {name: b64decode(content) for name, content in json.loads(source).items()}


def _digest(source: str) -> str:
    return sha256(source.encode()).hexdigest()


def _empty(root: Path) -> Problem:
    return Problem(str(root), "the folder is empty, or can't be read", "the layout and the texts")
