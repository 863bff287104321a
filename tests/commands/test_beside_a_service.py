"""Commands that look, beside a service: whatever they try out, nobody waits for them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection

from scheduler.database.engine import execute, may_plan, one_proposer
from scheduler.reports import checking, looking
from tests.commands.scene import Scene
from tests.support import utc

pytestmark = pytest.mark.engines("sqlite")

NOW = utc("2025-06-12 08:00")
MOVED = {"start": datetime(2025, 7, 3, 14), "end": datetime(2025, 7, 3, 16)}
TABLES = ("registration", "delivery", "webinar", "told", "registrant_change", "due_time", "webinar_revision")


def _write_everything(scene: Scene) -> None:
    """As a service does: it waits for no lock of another one."""

    def write(conn: Connection) -> None:
        if scene.database.dialect.takes_replicas:
            execute(conn, "SET LOCAL lock_timeout = '1ms'")
        else:
            execute(conn, "SELECT 1")
        for table in TABLES:
            column = "operation" if table == "registrant_change" else "webinar"
            column = "uid" if table == "told" else column
            execute(conn, f"UPDATE {table} SET {column} = {column}")
        assert may_plan(conn, "w")
        assert may_plan(conn, "intake")
        one_proposer(conn)

    scene.database.in_transaction(write)


@pytest.fixture
def here(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A file that was moved after the service planned from it."""
    scene.at(NOW)
    scene.write()
    scene.register("anna@example.org", timezone="Europe/Paris")
    scene.plan(NOW)
    scene.write(**MOVED)
    scene.register("bert@example.org", timezone="Asia/Tokyo")
    if not scene.database.dialect.takes_replicas:
        monkeypatch.setattr(
            "scheduler.database.sqlite.BUSY_SECONDS", 0
        )  # of connections that are opened from now on
        scene.database.engine.dispose()
    return scene


def _during(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, scene: Scene) -> list[str]:
    """Have a service write before this step of a command, and after it, while the command's transaction is open."""
    step, written = getattr(where, name), []

    def beside(*args: Any, **kwargs: Any) -> Any:
        _write_everything(scene)
        result = step(*args, **kwargs)
        _write_everything(scene)
        written.append(name)
        return result

    monkeypatch.setattr(where, name, beside)
    return written


@pytest.mark.engines("both")
def test_a_check_that_plans_an_edit_keeps_nobody_waiting(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = _during(monkeypatch, checking, "edit_effects", here)
    found = here.json("check")
    assert written == ["edit_effects"]
    (effects,) = found["edits"].values()
    assert [(one["message"], one["pending_before"], one["pending_after"]) for one in effects] == [
        ("confirmation", 1, 2), ("follow-up", 1, 2), ("reminder-day", 1, 2), ("reminder-hour", 1, 2)
    ]  # fmt: skip


def test_status_that_reads_the_files_keeps_nobody_waiting(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = _during(monkeypatch, looking, "propose_webinars", here)
    assert here.run("status").exit_code == 0
    assert written == ["propose_webinars"]


def test_what_was_tried_is_gone_afterwards(here: Scene) -> None:
    before = {table: here.sql(f"SELECT * FROM {table}") for table in TABLES}
    here.run("check")
    here.run("status")
    assert {table: here.sql(f"SELECT * FROM {table}") for table in TABLES} == before


def test_what_an_end_stops_is_told_before_and_after(here: Scene) -> None:
    here.write(status="ended")
    (effects,) = here.json("check")["edits"].values()
    assert [(one["message"], one["pending_before"], one["pending_after"]) for one in effects] == [
        ("confirmation", 1, 0), ("follow-up", 1, 0), ("reminder-day", 1, 0), ("reminder-hour", 1, 0)
    ]  # fmt: skip
    here.plan(NOW)
    assert here.json("status")["ended"] == ["w"]
    assert "ended\tw\n" in here.run("status").stdout
    assert "It has ended: from now on it is planned" in here.run("draft", "w", "--yes").stdout
