"""The layout that governs: the newest revision in the database, with its pictures."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, insert, select

from scheduler.database.engine import execute
from scheduler.database.models import LayoutRevision, table
from scheduler.governing.proposals import Revision, digest, propose
from scheduler.mail.text.layout import FOLDER, PAGE, Layout, is_picture, layout_of
from scheduler.problem import Problem, Problems

NAME = ""  # of the only layout


def sound_layout(
    files: Mapping[str, bytes], root: Path
) -> tuple[dict[str, bytes] | None, tuple[Problem, ...]]:
    """The layout's files by name among the files of the templates folder; or None and the problems of the layout."""
    if not files:
        return None, (_empty(root),)
    beside = {Path(path).name: content for path, content in files.items() if Path(path).parent.name == FOLDER}
    layout = {name: content for name, content in beside.items() if name == PAGE or is_picture(name)}
    try:
        layout_of(layout, root)
    except Problems as error:
        return None, error.problems
    return layout, ()


def propose_layout(conn: Connection, now: datetime, holder: int, files: Mapping[str, bytes] | None) -> bool:
    """Record the sound layout of this service's folder (None: there is none), and store it if it is to govern. Returns
    whether another layout still governs in its place."""
    source = None if files is None else _packed(files)
    contents = {} if source is None else {NAME: digest(source)}
    proposed = propose(conn, now, holder, "layout", contents, governing_layout, _was_stored)
    if proposed.govern:
        revision = {"sha256": contents[NAME], "source": source, "sound_since": now}
        conn.execute(insert(table(LayoutRevision)), revision)
    return proposed.lag


def read_governing_layout(conn: Connection, root: Path) -> Layout | None:
    """The newest layout that this program can read; None: no layout was ever stored."""
    layout_revision = table(LayoutRevision)
    for revision in (
        conn.execute(select(layout_revision.c.id).order_by(layout_revision.c.id.desc())).scalars().all()
    ):
        source = conn.execute(
            select(layout_revision.c.source).where(layout_revision.c.id == revision)
        ).scalar_one()
        try:
            return layout_of(_unpacked(source), root)
        except Problems:  # sound for another version of this program
            continue
    return None


def governing_layout(conn: Connection) -> dict[str, Revision]:
    """The layout that governs, if any, in the form that `propose` takes."""
    layout_revision = table(LayoutRevision)
    newest = (
        select(layout_revision.c.id, layout_revision.c.sha256, layout_revision.c.sound_since)
        .order_by(layout_revision.c.id.desc())
        .limit(1)
    )
    row = conn.execute(newest).first()
    return {NAME: Revision(*row)} if row else {}


def _was_stored(conn: Connection, _name: str, digest: str) -> bool:
    query = "SELECT 1 FROM layout_revision WHERE sha256 = :digest LIMIT 1"
    return execute(conn, query, digest=digest).first() is not None


def _packed(files: Mapping[str, bytes]) -> str:
    return json.dumps({name: b64encode(files[name]).decode() for name in sorted(files)})


def _unpacked(source: str) -> dict[str, bytes]:
    return {name: b64decode(content) for name, content in json.loads(source).items()}


def _empty(root: Path) -> Problem:
    return Problem(str(root), "the folder is empty or cannot be read", "the layout and the texts")
