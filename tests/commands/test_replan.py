"""`webinar replan`: all rows are taken in again, though no trigger said anything."""

from __future__ import annotations

import pytest

from scheduler.database import chunk
from scheduler.registrants.triggers import TRIGGERS
from tests.commands.scene import Scene
from tests.support import utc

pytestmark = pytest.mark.engines("sqlite")

NOW = utc("2025-06-12 08:00")


def zones(scene: Scene) -> dict[str, str]:
    return {row.address: row.zone for row in scene.sql("SELECT * FROM registration WHERE gone_at IS NULL")}


@pytest.fixture
def unnoticed(scene: Scene) -> Scene:
    """Two webinars, each with three people, of whom one is edited, one deleted and one new; no trigger fired."""
    for name in "wv":
        scene.write(name=f"{name}.toml", id=name)
        for person in "abc":
            scene.register(f"{person}@example.org", name)
    scene.plan(NOW)
    triggers = TRIGGERS[scene.database.engine.dialect.name]
    for name in triggers:
        scene.sql(f"DROP TRIGGER {name}{' ON registrants' if scene.database.dialect.takes_replicas else ''}")
    scene.sql("UPDATE registrants SET timezone = 'Asia/Tokyo' WHERE email = 'a@example.org'")
    scene.sql("DELETE FROM registrants WHERE email = 'b@example.org'")
    scene.register("d@example.org")
    for sql in triggers.values():
        with scene.database.transaction() as conn:
            conn.exec_driver_sql(sql)
    return scene


@pytest.mark.engines("both")
def test_edited_deleted_and_new_rows_are_taken_in(unnoticed: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("FIRST", "MOST"):
        monkeypatch.setattr(chunk, limit, 2)
    result = unnoticed.run("replan")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "7 rows to be taken in again; a running service does so within seconds.\n"
    unnoticed.plan(NOW)
    found = unnoticed.sql("SELECT webinar, address, zone FROM registration WHERE gone_at IS NULL")
    assert {(row.webinar, row.address): row.zone for row in found} == {
        ("w", "a@example.org"): "Asia/Tokyo", ("w", "c@example.org"): "Europe/Zurich",
        ("w", "d@example.org"): "Europe/Zurich",
        ("v", "a@example.org"): "Asia/Tokyo", ("v", "c@example.org"): "Europe/Zurich",
    }  # fmt: skip


def test_of_one_webinar_alone(unnoticed: Scene) -> None:
    result = unnoticed.run("replan", "--webinar", "v")
    assert result.stdout == "3 rows to be taken in again; a running service does so within seconds.\n"
    unnoticed.plan(NOW)
    changed = unnoticed.sql("SELECT webinar FROM registration WHERE zone = 'Asia/Tokyo'")
    assert [row.webinar for row in changed] == ["v"]


def test_twice_plans_nobody_again(unnoticed: Scene) -> None:
    unnoticed.run("replan")
    unnoticed.plan(NOW)
    before = unnoticed.sql("SELECT * FROM registration ORDER BY id")
    unnoticed.run("replan")
    unnoticed.plan(NOW)
    assert unnoticed.sql("SELECT * FROM registration ORDER BY id") == before


def test_a_webinar_that_nobody_knows_or_that_has_ended_is_refused(unnoticed: Scene) -> None:
    unnoticed.sql("UPDATE webinar SET status = 'ended' WHERE webinar = 'v'")
    told = {"x": "there is no webinar `x`; allowed: w", "v": "v has ended: nothing of it is planned or sent"}
    for name, words in told.items():
        result = unnoticed.run("replan", "--webinar", name)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == f"--webinar: {words}\n"
    assert unnoticed.sql("SELECT * FROM registrant_change") == []


def test_a_column_that_is_gone_is_told(sqlite_scene: Scene) -> None:
    sqlite_scene.sql("ALTER TABLE registrants RENAME COLUMN webinar TO event")
    result = sqlite_scene.run("replan")
    assert result.exit_code == 2
    assert result.stderr == "new registrations are not taken in: registrants has no column webinar\n"
