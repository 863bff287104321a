"""The texts that go out: the newest revision in the database of each message and language."""

from __future__ import annotations

import re
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from sqlalchemy import Connection, func, insert, select

from scheduler.database.engine import execute
from scheduler.database.models import TextEdit, TextRevision, table
from scheduler.governing.proposals import Revision, digest, propose
from scheduler.mail.text.layout import text_path
from scheduler.mail.text.templates import Layout, parse_text
from scheduler.mail.texts import CurrentText, Key, Texts
from scheduler.mail.trial.pairs import Verdicts
from scheduler.problem import Problem, Problems
from scheduler.webinar.model import NOTICES, WITHDRAWAL, Webinar


def sources_of(files: Mapping[str, bytes]) -> dict[Key, str]:
    """The texts among the files of the templates folder (`<message>/<language>.md`). Undecodable bytes become
    U+FFFD, which the trial reports."""
    return {
        (found[1], found[2]): raw.decode("utf-8-sig", "replace")
        for path, raw in files.items()
        if (found := _TEXT.fullmatch(path))
    }


def doubtful_texts(files: Iterable[str]) -> list[str]:
    """Paths that look like texts but name no language: `confirmation/en (1).md`."""
    beside = (path for path in files if path.count("/") == 1 and not path.startswith("_"))
    return sorted(path for path in beside if not _TEXT.fullmatch(path))


_TEXT = re.compile(r"([^_/][^/]*)/([A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*)\.md")


def propose_texts(conn: Connection, now: datetime, holder: int, sound: Mapping[Key, str]) -> bool:
    """Record the sound texts of this service's folder, and store those that are to govern. Returns whether another
    revision still governs in place of any of them."""
    keys = {name_of(key): key for key in sound}
    contents = {name: digest(sound[key]) for name, key in keys.items()}
    proposed = propose(conn, now, holder, "text", contents, governing_texts, _was_stored)
    for name in proposed.govern:
        _store(conn, now, keys[name], sound[keys[name]])
    return proposed.lag


def read_governing_texts(
    conn: Connection,
    root: Path,
    layout: Layout,
    sources: Mapping[Key, str],
    checked: Verdicts,
    webinars: Collection[Webinar],
) -> Texts:
    """The texts that go out within this layout, and the problems of this service's folder, whose texts are `sources`.

    A text of which nothing governs goes out from its file once it is sound with one webinar, except to webinars with
    which it is unsound.
    """
    newest = _newest(conn)
    problems = folder_problems(root, newest, sources, checked, webinars)
    read = {key: _read(conn, root, layout, revision) for key, revision in newest.items()}
    first = {
        key: CurrentText(parse_text(sources[key], str(text_path(root, *key)), layout), key[1], 0)
        for key in checked.begun - newest.keys()
    }
    return Texts(
        first | {key: text for key, text in read.items() if text},
        problems,
        checked.only_with,
        checked.fixed_with,
    )


def folder_problems(
    root: Path,
    stored: Collection[Key],
    sources: Mapping[Key, str],
    checked: Verdicts,
    webinars: Collection[Webinar],
) -> dict[Key, tuple[Problem, ...]]:
    """The problems of this service's texts: mistakes, and files gone or missing. `stored`: texts with a revision."""
    problems = dict(checked.problems)
    used = [(one.languages, one.text_names) for one in webinars]
    for key in set(stored) - sources.keys():
        if any(key[0] in messages and key[1] in languages for languages, messages in used):
            problems[key] = (_gone(root, *key),)
    for key in _missing(used, {*sources, *stored}):
        problems[key] = (_no_text(root, key, webinars, sources),)
    return problems


def _read(conn: Connection, root: Path, layout: Layout, revision: TextRevision) -> CurrentText | None:
    """The newest text, at this revision or before it, that this program can read; None: there is none."""
    key = revision.message, revision.language
    found: TextRevision | None = revision
    while found:
        try:
            text = parse_text(found.source, str(text_path(root, *key)), layout)
            return CurrentText(text, key[1], found.id or 0)
        except Problems:  # sound for another version of this program, or with another layout
            found = _newest(conn, before=found).get(key)
    return None


def governing_texts(conn: Connection) -> dict[str, Revision]:
    """The texts that govern, by name, in the form that `propose` takes."""
    text_revision = table(TextRevision)
    columns = (
        text_revision.c.message,
        text_revision.c.language,
        text_revision.c.id,
        text_revision.c.sha256,
        text_revision.c.sound_since,
    )
    newest = select(func.max(text_revision.c.id)).group_by(text_revision.c.message, text_revision.c.language)
    rows = conn.execute(select(*columns).where(text_revision.c.id.in_(newest)))
    return {name_of((message, language)): Revision(*revision) for message, language, *revision in rows}


def keys_of(webinars: Iterable[Webinar]) -> set[Key]:
    """The texts that these webinars use, whether they exist or not."""
    return {(text, language) for one in webinars for text in one.text_names for language in one.languages}


def authors_of(conn: Connection, sources: Mapping[Key, str], keys: Iterable[Key]) -> dict[Key, str]:
    """Who saved these texts in the editor; a text is left out if its file was changed since."""
    last = last_saves(conn, sources)
    return {key: last[key].saved_by for key in keys if key in last}


class Save(NamedTuple):
    """A save in the editor."""

    saved_by: str
    saved_at: datetime


def last_saves(conn: Connection, sources: Mapping[Key, str]) -> dict[Key, Save]:
    """The last save in the editor of each text whose file still holds what was saved."""
    text_edit = table(TextEdit)
    newest = select(func.max(text_edit.c.id)).group_by(text_edit.c.message, text_edit.c.language)
    columns = (
        text_edit.c.message,
        text_edit.c.language,
        text_edit.c.sha256,
        text_edit.c.saved_by,
        text_edit.c.saved_at,
    )
    found = {}
    for message, language, sha256_of_it, *edit in conn.execute(
        select(*columns).where(text_edit.c.id.in_(newest))
    ):
        source = sources.get((message, language))
        if source is not None and sha256_of_it == digest(source):
            found[message, language] = Save(*edit)
    return found


def _missing(used: Iterable[tuple[Sequence[str], Sequence[str]]], existing: Container[Key]) -> set[Key]:
    """The messages without a text in any language of their webinar, each with the language to write first. Without
    that of a withdrawal, which older folders lack, no mail waits until somebody withdraws: `webinar check` warns."""
    return {
        (message, languages[0])
        for languages, messages in used
        for message in messages
        if message != WITHDRAWAL and not any((message, language) in existing for language in languages)
    }


def _newest(conn: Connection, before: TextRevision | None = None) -> dict[Key, TextRevision]:
    """The newest revision of each text; with `before`, the one before it of the same text."""
    text_revision = table(TextRevision)
    ids = select(func.max(text_revision.c.id)).group_by(text_revision.c.message, text_revision.c.language)
    if before:
        same = (text_revision.c.message == before.message) & (text_revision.c.language == before.language)
        ids = ids.where(same & (text_revision.c.id < before.id))
    rows = conn.execute(select(text_revision).where(text_revision.c.id.in_(ids))).mappings()
    return {(row["message"], row["language"]): TextRevision(**row) for row in rows}


def _store(conn: Connection, now: datetime, key: Key, source: str) -> None:
    revision = TextRevision(
        message=key[0], language=key[1], sha256=digest(source), source=source, sound_since=now
    )
    values = revision.model_dump(exclude={"id"})
    conn.execute(insert(table(TextRevision)), values)


def _was_stored(conn: Connection, name: str, digest: str) -> bool:
    message, language = name.split("/")
    query = (
        "SELECT 1 FROM text_revision WHERE message = :message AND language = :language AND sha256 = :digest"
        " LIMIT 1"
    )
    return execute(conn, query, message=message, language=language, digest=digest).first() is not None


def name_of(key: Key) -> str:
    """A text's name among the contents of folders: "message/language"."""
    return "/".join(key)


def _no_text(root: Path, key: Key, webinars: Iterable[Webinar], sources: Collection[Key]) -> Problem:
    text, language = key
    user = next(one for one in webinars if text in one.text_names and language == one.languages[0])
    return Problem(
        str(text_path(root, *key)),
        "there is no text for this message",
        "a file with the text",
        f"its deliveries are held until there is one; {how_to_begin(user, user.message_with(text), root, sources)}",
    )


def how_to_begin(webinar: Webinar, message: str, root: Path, existing: Collection[Key]) -> str:
    """How to give a message its first text: the command that copies the most similar existing text, and the line
    of the webinar's file that uses that one as it is; without a similar one, which file to write."""
    text = webinar.text_of[message]
    kinds = {one.text_name: one.kind for one in webinar.messages}
    usual = {"confirmation": "confirmation", "reminder": "reminder-day", "follow-up": "follow-up"}
    folders = {name for name, language in existing if language in webinar.languages and name not in NOTICES}
    kind = kinds.get(text, "")
    alike = sorted(name for name in folders if kinds.get(name) == kind)
    alike += [name for name in (usual.get(kind, ""),) if name in folders and name not in alike]
    close = get_close_matches(text, alike or folders, n=1, cutoff=0.0 if alike else 0.6)
    if text in NOTICES or not close:
        return f"write {text_path(root, text, webinar.languages[0])}; docs/variables.md says how"
    copy = f"cp -r {quote(str(root / close[0]))} {quote(str(root / text))}"
    return f'copy one and edit it: {copy} (or send that one: text = "{close[0]}" below id = "{message}")'


def _gone(root: Path, message: str, language: str) -> Problem:
    return Problem(
        str(text_path(root, message, language)),
        "the file is gone",
        "a text, as there was one before",
        "until it is back, its last sound revision goes out",
    )
