"""`webinar notify`, and what `status`, `check`, `live` and `draft` say of edits that notify people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scheduler.commands import common
from tests.commands.scene import Scene, lines
from tests.support import utc

pytestmark = pytest.mark.engines("sqlite")

JUNE = utc("2025-06-12 08:00")
MOVED: dict[str, Any] = {"start": datetime(2025, 7, 10, 13), "end": datetime(2025, 7, 10, 15)}


@pytest.fixture
def scene(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Two people who were told of the webinar, and an edit that moves it, taken in a minute ago."""
    scene = Scene(tmp_path, database_url, monkeypatch)
    scene.write()
    for name in "ab":
        scene.register(f"{name}@example.org")
    scene.plan(JUNE)
    scene.sql(
        "INSERT INTO told (uid, delivery_id, starts_at, ends_at, join_url, cancelled, invited, accepted)"
        " SELECT r.uid, 0, w.starts_at, w.ends_at, w.join_url, FALSE, TRUE, TRUE FROM registration r"
        " JOIN webinar w ON w.webinar = r.webinar"
    )
    scene.sql("UPDATE delivery SET state = 'sent' WHERE message = 'confirmation'")
    scene.write(**MOVED)
    scene.at(JUNE + timedelta(minutes=1))
    yield scene
    scene.database.close()


def change_notices(scene: Scene) -> int:
    return int(scene.sql("SELECT count(*) FROM delivery WHERE message = 'change'")[0][0])


def test_check_says_before_an_edit_is_saved_whom_it_would_notify(scene: Scene) -> None:
    found = scene.json("check")
    (notice,) = found["notices"]
    assert (notice["webinar"], notice["kind"], notice["people"]) == ("w", "change", 2)
    assert notice["from"] == {"start": "2025-07-03T11:00:00Z", "end": "2025-07-03T13:00:00Z"}
    assert notice["to"] == {"start": "2025-07-10T11:00:00Z", "end": "2025-07-10T13:00:00Z"}
    said = scene.run("check").stdout
    assert (
        "Webinar w: if saved now, 2 people will be notified at 2025-06-12 10:11 Europe/Zurich (08:11 UTC)"
        in said
    )
    assert (
        "a new time 2025-07-10 13:00–15:00 Europe/Zurich (11:00–13:00 UTC), was 2025-07-03 13:00–15:00"
        in said
    )


def test_status_says_what_waits_and_that_is_nothing_wrong(scene: Scene) -> None:
    scene.plan(JUNE)
    found = scene.json("status")
    assert found["notices"] == [
        {
            "webinar": "w", "kind": "change", "people": 2, "leaves_at": "2025-06-12T08:10:00Z",
            "from": {"start": "2025-07-03T11:00:00Z", "end": "2025-07-03T13:00:00Z"},
            "to": {"start": "2025-07-10T11:00:00Z", "end": "2025-07-10T13:00:00Z"},
        }
    ]  # fmt: skip
    assert found["right"]
    assert any(
        "2 people will be notified at 2025-06-12 10:10 Europe/Zurich (08:10 UTC)" in one["reason"]
        for one in found["notes"]
    )
    assert lines(scene.run("status"), "note")


@pytest.mark.engines("both")
def test_it_lets_the_edit_take_effect_at_once(scene: Scene) -> None:
    scene.plan(JUNE)
    result = scene.run("notify", "w", "--yes")
    assert result.exit_code == 0, result.stderr
    scene.plan(JUNE + timedelta(minutes=1))
    assert change_notices(scene) == 2
    assert scene.json("status")["notices"] == []


@pytest.mark.engines("both")
def test_it_asks_first(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.plan(JUNE)
    assert scene.run("notify", "w").exit_code == 2, "there is no terminal to ask on"
    monkeypatch.setattr(common, "can_ask", lambda: True)
    assert scene.run("notify", "w", answer="n\n").exit_code == 1
    assert change_notices(scene) == 0
    assert scene.run("notify", "w", answer="y\n").exit_code == 0


def test_nothing_waits(scene: Scene) -> None:
    scene.write()
    result = scene.run("notify", "w", "--yes")
    assert (result.exit_code, result.stderr) == (1, "Nothing of w waits.\n")


def test_an_unknown_webinar_and_no_database_are_told(scene: Scene, tmp_path: Path) -> None:
    result = scene.run("notify", "v", "--yes")
    assert (result.exit_code, result.stderr) == (2, "ID: there is no webinar `v`; allowed: w\n")
    nowhere = {"DATABASE_URL": f"sqlite:///{tmp_path}/none.db"}
    assert scene.run("notify", "w", "--yes", env=nowhere).exit_code == 2
    assert not (tmp_path / "none.db").exists()


def test_going_live_says_whom_it_will_notify_of_what_was_moved_in_the_draft(scene: Scene) -> None:
    scene.write(**MOVED, status="draft")
    scene.plan(JUNE)
    result = scene.run("live", "w", "--yes")
    assert (
        "Once it is live, 2 people will be notified at 2025-06-12 10:11 Europe/Zurich (08:11 UTC) of a new"
        " time 2025-07-10 13:00–15:00 Europe/Zurich (11:00–13:00 UTC), was 2025-07-03 13:00–15:00"
    ) in result.stdout
    assert "Until then nothing leaves; to stop it, `webinar draft w`." in result.stdout
    assert "mails leave then, " in result.stdout
    scene.plan(JUNE + timedelta(minutes=1))
    (waits,) = scene.json("status")["notices"]
    assert (waits["people"], waits["leaves_at"]) == (2, "2025-06-12T08:11:00Z")


def test_going_live_with_nothing_new_for_anybody_promises_no_notices(scene: Scene) -> None:
    scene.write(status="draft")
    scene.plan(JUNE)
    assert "notified" not in scene.run("live", "w", "--yes").stdout


def test_going_to_draft_says_which_notices_that_stops(scene: Scene) -> None:
    scene.plan(JUNE)
    result = scene.run("draft", "w", "--yes")
    assert (
        "This stops a notice: 2 people would be notified at 2025-06-12 10:10 Europe/Zurich (08:10 UTC) of a new time"
        in result.stdout
    )
    scene.plan(JUNE + timedelta(minutes=1))
    assert scene.json("status")["notices"] == []


def test_going_to_draft_where_nothing_waits_stops_no_notices(scene: Scene) -> None:
    scene.write()
    assert "notice" not in scene.run("draft", "w", "--yes").stdout
