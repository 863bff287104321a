"""The editor beside a rehearsal's inbox: on the rehearsal's webinar and people, for whoever sits at this machine."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from scheduler.clock import SystemClock
from scheduler.database.engine import Database
from scheduler.editor.accounts import Editor
from scheduler.editor.app import EditorApp
from scheduler.editor.desk import Desk
from scheduler.mail.layout import read_layout
from scheduler.mail.pairs import Key
from scheduler.mail.soundness import check_texts
from scheduler.organizers.folder import Folder
from scheduler.organizers.sources import TEXT_FILES
from scheduler.organizers.texts import sources_of
from scheduler.problem import Problem
from scheduler.registrants.importing import import_rows
from scheduler.registrants.reading import CsvRow
from scheduler.web.server import inbox_app
from scheduler.webinar import Webinar


def rehearsal_app(
    out: Path, webinar: Webinar, rows: Sequence[CsvRow], place: str, templates: Path
) -> tuple[ASGIApp, EditorApp]:
    """The inbox in `out` and the editor of `templates`. What is saved is on record in `out/editor.db`."""
    database = Database(f"sqlite:///{out / 'editor.db'}")
    database.migrate()
    with database.transaction() as conn:
        import_rows(conn, list(rows), place, webinars=[webinar.id], default_webinar=webinar.id)

    def problems() -> Mapping[Key, tuple[Problem, ...]]:
        return check_texts(sources_of(Folder(templates, TEXT_FILES).read()), [webinar], templates).problems

    you = Editor("you", "edit", secrets.token_urlsafe())
    desk = Desk(
        templates, database, SystemClock(), lambda: {webinar.id: webinar}, problems, lambda: (),
        lambda: read_layout(templates), everybody=you,
    )  # fmt: skip
    editor, inbox = EditorApp(desk, set()), inbox_app(out)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        ours = scope.get("path", "").startswith("/templates")
        await (editor.app if ours else inbox)(scope, receive, send)

    return app, editor
