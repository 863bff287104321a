"""The editor beside a rehearsal's inbox: for the rehearsal's webinar and people, without signing in."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from threading import Lock, Thread
from typing import cast

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from scheduler.clock import SystemClock, VirtualClock
from scheduler.database.engine import Database
from scheduler.governing.folder import Folder
from scheduler.governing.governor import TEXT_FILES
from scheduler.governing.layouts import sound_layout
from scheduler.governing.texts import sources_of
from scheduler.mail.text.layout import Layout, layout_of
from scheduler.mail.texts import Key
from scheduler.mail.trial.pairs import pairs_of, untried, verdicts_of
from scheduler.mail.trial.runner import KNOWN, check_texts
from scheduler.problem import Problem
from scheduler.registrants.files.importing import import_rows
from scheduler.registrants.files.reading import FileRow
from scheduler.web.accounts import Editor
from scheduler.web.context import Desk, Sight
from scheduler.web.inbox.app import inbox_app
from scheduler.web.organizers.app import EditorApp
from scheduler.web.pages.app import pages_app
from scheduler.web.pages.context import Current, Pages
from scheduler.webinar.model import Webinar


def rehearsal_app(
    out: Path,
    webinar: Webinar,
    rows: Sequence[FileRow],
    place: str,
    templates: Path,
    pages_url: str = "",
) -> tuple[ASGIApp, EditorApp]:
    """The inbox in `out` and the editor of `templates`. Saves are recorded in `out/editor.db`. `pages_url`: where the
    registrants' pages are, or ""."""
    database = Database(f"sqlite:///{out / 'editor.db'}")
    database.migrate()
    with database.transaction() as conn:
        import_rows(conn, list(rows), place, webinars=[webinar.id], default_webinar=webinar.id)

    def look() -> Sight:
        files = Folder(templates, TEXT_FILES).read()
        ours, problems = sound_layout(files, templates)
        layout = layout_of(ours, templates) if ours else None
        return Sight({webinar.id: webinar}, sources_of(files), (), layout, problems)

    def problems(sight: Sight) -> Mapping[Key, tuple[Problem, ...]]:
        return checked.problems(sight) if sight.layout else {}

    checked = _Checked(webinar, templates)
    you = Editor("you", "edit", secrets.token_urlsafe())
    desk = Desk(templates, database, SystemClock(), look, problems, everybody=you, pages_url=pages_url)
    editor, inbox = EditorApp(desk, set()), inbox_app(out)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        ours = scope.get("path", "").startswith("/templates")
        await (editor.app if ours else inbox)(scope, receive, send)

    return app, editor


def rehearsal_pages(kept: Path, now: datetime, url: str) -> Starlette:
    """The registrants' pages at `url`, of a rehearsal whose database was `kept` and whose clock stands at `now`."""
    database = Database(f"sqlite:///{kept}", guest=True)
    return pages_app(Pages(database, VirtualClock(now), Current(database).webinars, url))


class _Checked:
    """Verdicts on texts; untried texts are tried in a thread, for which no page waits."""

    def __init__(self, webinar: Webinar, templates: Path) -> None:
        self._webinars, self._templates = [webinar], templates
        self._trying = Lock()

    def problems(self, sight: Sight) -> Mapping[Key, tuple[Problem, ...]]:
        layout = cast(Layout, sight.layout)
        pairs = pairs_of(sight.sources, self._webinars, layout)
        if untried(pairs, KNOWN) and not self._trying.locked():
            Thread(target=self._try, args=(sight.sources, layout), daemon=True).start()
        return verdicts_of(pairs, KNOWN, self._templates).problems

    def _try(self, sources: Mapping[Key, str], layout: Layout) -> None:
        with self._trying:
            check_texts(sources, self._webinars, self._templates, layout)
