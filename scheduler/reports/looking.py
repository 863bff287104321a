"""The state of files and texts as the service would see it, for commands that only read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, select

from scheduler.database.engine import Database
from scheduler.database.models import GoverningWebinar, WebinarRevision, table
from scheduler.database.scratch import scratch
from scheduler.governing.folder import Folder
from scheduler.governing.governor import TEXT_FILES, WEBINAR_FILES, file_problems
from scheduler.governing.layouts import read_governing_layout, sound_layout
from scheduler.governing.notices import Notice, notices
from scheduler.governing.revisions import LOOKING, Revisions
from scheduler.governing.texts import read_governing_texts, sources_of
from scheduler.governing.verdicts import read_verdicts
from scheduler.governing.webinars import Catalogue, propose_webinars
from scheduler.mail.text.layout import layout_of, text_path
from scheduler.mail.texts import Texts
from scheduler.mail.trial.pairs import Verdicts
from scheduler.mail.trial.runner import Found, check_texts
from scheduler.problem import Problem
from scheduler.readiness import Kind, Reason, reasons
from scheduler.settings import Settings


@dataclass(frozen=True)
class Seen:
    """What governs, and what is wrong with the files. Texts are unknown where there never was a sound layout.
    `untried`: which texts could not be tried in a command's time."""

    catalogue: Catalogue
    sound_since: Mapping[str, datetime]  # of the revision of each webinar that governs
    notices: tuple[Notice, ...]
    texts: Texts
    layout_problems: tuple[Problem, ...] = ()
    folder_problems: tuple[Problem, ...] = ()
    untried: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """What is wrong with the folders and files, and which texts are not tried yet."""
        problems = file_problems(self.catalogue, self.texts, self.layout_problems)
        return (
            *reasons(Kind.FOLDER, map(str, self.folder_problems)),
            *reasons(Kind.FILE, map(str, problems)),
            *reasons(Kind.NOT_TRIED, self.untried),
        )


def look(settings: Settings, database: Database, now: datetime) -> Seen:
    """Compare what governs in the database with the folders as they are now. Stores nothing, and keeps no service
    waiting.

    Takes a second or two where texts must be tried for which no service has a verdict yet.
    """
    webinar_folder, text_folder = (
        Folder(settings.config_dir, WEBINAR_FILES),
        Folder(settings.templates_dir, TEXT_FILES),
    )
    webinar_files, files = webinar_folder.read(), text_folder.read()
    folders = tuple(filter(None, [webinar_folder.problem, text_folder.problem]))
    revisions = Revisions(settings.pages_url)
    with scratch(database) as conn:
        catalogue = propose_webinars(
            conn, now, settings.config_dir, webinar_files, revisions, LOOKING, settings.return_within
        )
        since = _sound_since(conn)
        waiting = notices(conn, now, revisions, settings.return_within)
    root, webinars = settings.templates_dir, list(catalogue.webinars.values())
    sources, (ours, layout_problems) = sources_of(files), sound_layout(files, root)
    with database.reading() as conn:
        layout = read_governing_layout(conn, root) or (layout_of(ours, root) if ours else None)
    if layout is None:
        return Seen(catalogue, since, waiting, Texts(), layout_problems, folders)
    checked = check_texts(sources, webinars, root, layout, ask=partial(ask_verdicts, database))
    with database.reading() as conn:
        texts = read_governing_texts(conn, root, layout, sources, checked, webinars)
    if not files:  # one problem says it: the folder is empty
        texts = replace(texts, problems={})
    untried = tuple(str(one) for one in untried_texts(root, checked))
    return Seen(catalogue, since, waiting, texts, layout_problems, folders, untried)


def ask_verdicts(database: Database, digests: Sequence[str]) -> dict[str, Found]:
    """The stored verdicts on these pairs of text and webinar."""
    with database.reading() as conn:
        return read_verdicts(conn, digests)


def untried_texts(root: Path, checked: Verdicts) -> Iterator[Problem]:
    """A problem that names the untried texts, or none."""
    if checked.untried:
        (first, *others) = sorted(str(text_path(root, *key)) for key in checked.untried)
        more = f" and {len(others)} more texts" if others else ""
        yield Problem(f"{first}{more}", f"not tried with every webinar: {checked.why_untried}")


def _sound_since(conn: Connection) -> dict[str, datetime]:
    columns = table(WebinarRevision).c
    governs = select(table(GoverningWebinar).c.revision_id)
    rows = conn.execute(select(columns.webinar, columns.sound_since).where(columns.id.in_(governs)))
    return {row.webinar: row.sound_since for row in rows}
