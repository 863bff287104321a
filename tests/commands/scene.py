"""Files, a database that was planned from them, and the commands over both, as an operator calls them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import insert

from scheduler.cli import main
from scheduler.clock import SystemClock
from scheduler.commands import tables
from scheduler.database.engine import Database, execute
from scheduler.governing.folder import Folder
from scheduler.governing.revisions import Revisions, bring_up_to_date
from scheduler.governing.webinars import propose_webinars
from scheduler.mail.trial.pairs import Verdicts
from scheduler.mail.trial.runner import check_texts
from scheduler.reports import looking
from tests.support import copy_texts, plan, toml

BROKEN_TEXT = "---\nsubject: Soon\npreheader: Soon\n---\nDear {{ nmae }},\n"


class Scene:
    """A working directory; the clock of commands stands still at `now`."""

    def __init__(self, root: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.url, self._monkeypatch = root, url, monkeypatch
        self.webinars, self.templates = root / "config" / "webinars", root / "templates"
        self.webinars.mkdir(parents=True)
        copy_texts(self.templates, "en", "fr")
        self.database, self.revisions = Database(url), Revisions()
        self.texts_count_as_sound()
        self.env = {
            "DATABASE_URL": url,
            "CONFIG_DIR": str(root / "config"),
            "TEMPLATES_DIR": str(self.templates),
            "STATE_DIR": str(root / "state"),
            "HEALTH_PORT": "0",
        }

    def at(self, now: datetime) -> None:
        self._monkeypatch.setattr(SystemClock, "now", lambda self: now)

    def texts_count_as_sound(self) -> None:
        """The child that tries them takes a second; `try_texts` for tests that are about it."""
        self._monkeypatch.setattr(
            looking, "check_texts", lambda sources, *_, **__: Verdicts(sound=frozenset(sources))
        )

    def try_texts(self) -> None:
        self._monkeypatch.setattr(looking, "check_texts", check_texts)

    def on_a_terminal(self) -> None:
        self._monkeypatch.setattr(tables, "on_terminal", lambda: True)
        self._monkeypatch.setenv("COLUMNS", "200")

    def write(self, source: str | None = None, name: str = "w.toml", **changed: Any) -> Path:
        """A webinar's file; by default a live one whose texts are the shipped ones."""
        file = self.webinars / name
        file.write_bytes((toml(**changed) if source is None else source).encode())
        return file

    def register(self, email: str, webinar: str = "w", **columns: Any) -> int:
        values = {"webinar": webinar, "email": email} | columns
        names, binds = ", ".join(values), ", ".join(f":{name}" for name in values)
        return int(
            self.sql(f"INSERT INTO registrants ({names}) VALUES ({binds}) RETURNING id", **values)[0][0]
        )

    def sql(self, statement: str, **values: Any) -> list[Any]:
        with self.database.transaction() as conn:
            result = execute(conn, statement, **values)
            return list(result.all()) if result.returns_rows else []

    def insert(self, model: Any, **values: Any) -> None:
        with self.database.transaction() as conn:
            conn.execute(insert(model.__table__), values)

    def plan(self, now: datetime) -> None:
        """What the service's tick does with files and registrants."""
        with self.database.transaction() as conn:
            files = Folder(self.root / "config", "webinars/*.toml").read()
            propose_webinars(conn, now, self.root / "config", files, self.revisions, 1, timedelta(hours=24))
            bring_up_to_date(conn, now, self.revisions)
            while plan(conn, now, self.revisions.governing(conn), timedelta(hours=24)):
                pass

    def run(self, *arguments: str, answer: str = "", env: Mapping[str, str] | None = None) -> Result:
        environ = self.env | dict(env or {})
        result = CliRunner().invoke(main, arguments, input=answer, env=environ)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def json(self, *arguments: str, env: Mapping[str, str] | None = None) -> Any:
        return json.loads(self.run(*arguments, "--json", env=env).stdout)


def lines(result: Result, kind: str) -> list[list[str]]:
    """The lines of one kind that a command printed into a pipe, as cells."""
    cells = [line.split("\t") for line in result.stdout.splitlines()]
    return [one[1:] for one in cells if one[0] == kind]
