"""`webinar restored`: what is held because the database was set back, and an operator's decision about it."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from scheduler.delivery import marks
from scheduler.delivery.handover import HOLD
from scheduler.delivery.recorder import Known
from scheduler.ledger import restored
from scheduler.state_dir import StateDir
from tests.commands.scene import Scene, lines
from tests.support import utc

pytestmark = pytest.mark.engines("sqlite")

NOW = utc("2025-06-12 08:00")
LATER = utc("2025-06-12 08:30")
BY_WORD = "sent: it went out before the database was set back, as an operator says"
BY_LOG = "sent: it went out before the database was set back, as the service's log says"
HELD = "held: restored"


def confirmations(scene: Scene) -> Counter[str]:
    rows = scene.sql("SELECT state, reason FROM delivery WHERE message = 'confirmation'")
    return Counter(row.state + (f": {row.reason}" if row.reason else "") for row in rows)


def ids(scene: Scene, webinar: str = "w") -> list[int]:
    query = "SELECT id FROM delivery WHERE message = 'confirmation' AND webinar = :webinar ORDER BY id"
    return [row.id for row in scene.sql(query, webinar=webinar)]


def log(folder: Path, sent: list[int], at: datetime = LATER) -> str:
    """As the service writes it, and as `docker compose logs` shows it."""
    file = folder / "service.log"
    entry = json.dumps({"deliveries": sent, "event": "sent", "level": "info", "timestamp": at.isoformat()})
    others = '{"event": "not sent", "delivery": 1}\nnot JSON\n[1]\n{"event": "sent"}\n'
    file.write_text(f'webinar-1  | {{"event": "started"}}\n{others}webinar-1  | {entry}\n', encoding="utf-8")
    return str(file)


@pytest.fixture
def held(scene: Scene) -> Scene:
    """Two webinars with two people each, whose confirmations are held; everybody is planned."""
    for name in "vw":
        scene.write(name=f"{name}.toml", id=name)
        for person in "ab":
            scene.register(f"{person}@example.org", name)
    scene.at(NOW)
    scene.plan(NOW)
    assert scene.run("restored", "--hold").stdout.startswith("4 mails held that may have gone out.")
    with scene.database.transaction() as conn:
        restored.hold_planned(conn, NOW)
    return scene


def test_nothing_is_decided_before_anything_is_held(scene: Scene) -> None:
    scene.write()
    scene.register("a@example.org")
    scene.plan(NOW)
    with scene.database.transaction() as conn:
        ledger = restored.identity(conn).name
    mark = marks.Mark(ledger, Known(1, "lost", "w", NOW, has_outcome=True, restorations=0), NOW)
    StateDir(scene.root / "state").write("ledger-00000000", marks._content(mark))
    result = scene.run("restored", "--send")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "first `webinar restored --hold`" in result.stderr


@pytest.mark.engines("both")
def test_it_shows_what_is_held_by_webinar_and_message_and_changes_nothing(held: Scene) -> None:
    result = held.run("restored")
    assert result.exit_code == 1, "until somebody has decided"
    due = "2025-06-12 08:00"
    assert lines(result, "held") == [[name, "confirmation", "2", "2", due, due] for name in "vw"]
    assert confirmations(held) == {HELD: 4}


def test_what_went_out_is_recorded_by_the_operators_word(held: Scene) -> None:
    result = held.run("restored", "--sent", "--webinar", "v")
    assert result.stdout.splitlines()[0] == "2 mails recorded as sent."
    assert result.exit_code == 0, "nothing of this webinar is held"
    assert confirmations(held) == {BY_WORD: 2, HELD: 2}


def test_who_was_sent_the_confirmation_is_notified_of_a_later_edit(held: Scene) -> None:
    held.run("restored", "--sent", "--webinar", "w")
    held.write(start=datetime(2025, 7, 10, 13), end=datetime(2025, 7, 10, 15))
    held.plan(LATER)
    held.plan(utc("2025-06-12 12:00"))
    notices = held.sql("SELECT webinar, state FROM delivery WHERE message = 'change'")
    assert [(row.webinar, row.state) for row in notices] == [("w", "pending")] * 2


def test_what_did_not_go_out_is_sent_where_it_is_still_useful(held: Scene) -> None:
    over = utc("2025-06-12 07:00")
    held.sql("UPDATE delivery SET expires_at = :over WHERE id = :id", over=over, id=ids(held)[0])
    assert held.run("restored", "--send").stdout.splitlines()[0] == "3 mails to be sent."
    assert confirmations(held) == {"pending": 3, HELD: 1}
    assert {row.plan for row in held.sql("SELECT plan FROM registration WHERE webinar = 'v'")} == {0}, (
        "planned again: their rows may be gone by now"
    )


@pytest.mark.engines("both")
def test_the_services_log_decides_about_what_it_names(held: Scene) -> None:
    first, second = ids(held)
    result = held.run("restored", "--log", log(held.root, [first]))
    assert result.stdout.splitlines()[0] == "1 mail recorded as sent, as the log says."
    assert confirmations(held) == {BY_LOG: 1, HELD: 3}
    ((at,),) = held.sql("SELECT sent_at FROM delivery WHERE id = :id", id=first)
    assert "08:30" in str(at)

    held.run("restored", "--log", log(held.root, [first]), "--send", "--webinar", "w")
    assert held.sql("SELECT state FROM delivery WHERE id = :id", id=second) == [("pending",)]
    assert confirmations(held) == {BY_LOG: 1, "pending": 1, HELD: 2}


def test_whoever_was_planned_after_the_backup_is_left_to_a_person_where_the_log_names_mails_that_are_lost(
    held: Scene,
) -> None:
    """They have other numbers now than those under which the log knows them."""
    held.register("late@example.org")
    held.plan(utc("2025-06-12 09:00"))
    with held.database.transaction() as conn:
        restored.hold_planned(conn, utc("2025-06-12 09:00"))
    lost = max(ids(held)[:2]) + 100
    result = held.run("restored", "--log", log(held.root, [ids(held)[0], lost]), "--send")
    assert (
        "1 mail planned after the backup: the log names mails that this database does not know"
        in result.stderr
    )
    assert confirmations(held) == {BY_LOG: 1, "pending": 3, HELD: 1}
    assert lines(result, "held")[0][:3] == ["w", "confirmation", "1"]
    assert held.run("restored", "--send").exit_code == 0
    assert confirmations(held) == {BY_LOG: 1, "pending": 4}


def test_a_number_that_the_log_may_name_is_given_to_no_other_delivery(held: Scene) -> None:
    highest = max(row.id for row in held.sql("SELECT id FROM delivery"))
    held.register("new@example.org")
    held.plan(LATER)
    assert max(row.id for row in held.sql("SELECT id FROM delivery")) >= highest + restored.BEYOND


def test_before_everybody_is_planned_nothing_is_decided(scene: Scene) -> None:
    """What a service holds after planning would be held again."""
    scene.write()
    scene.register("a@example.org")
    scene.at(NOW)
    scene.plan(NOW)
    scene.run("restored", "--hold")
    result = scene.run("restored", "--send")
    assert (result.exit_code, confirmations(scene)) == (2, {HELD: 1})
    assert "start it, and decide afterwards" in result.stderr


def test_mistakes_are_named_and_change_nothing(held: Scene) -> None:
    for arguments, words in (
        (["--hold", "--sent"], "--hold goes with no other option"),
        (["--sent", "--webinar", "x"], "there is no webinar `x`; allowed: v, w"),
        (["--log", str(held.root / "none")], "can't be read"),
        (["--log", str(held.webinars / "w.toml")], "says that a mail was sent: is it the service's log?"),
    ):
        result = held.run("restored", *arguments)
        assert result.exit_code == 2
        assert words in result.stderr
    assert confirmations(held) == {HELD: 4}


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30, 0])
def test_a_log_with_a_number_that_no_delivery_can_have_is_refused_as_a_whole(
    held: Scene, number: int
) -> None:
    file = Path(log(held.root, [ids(held)[0]]))
    altered = json.dumps({"event": "sent", "deliveries": [number]})
    file.write_text(f"{file.read_text()}{altered}\n")
    result = held.run("restored", "--log", str(file), "--send")
    assert result.exit_code == 2
    line = len(file.read_text().splitlines())
    assert (
        f"{file}, line {line}: a number that no delivery can have; allowed: 1 to {2**63 - 1}" in result.stderr
    )
    assert confirmations(held) == {HELD: 4}


def test_nothing_is_held_in_a_database_that_was_never_set_back(scene: Scene) -> None:
    result = scene.run("restored")
    assert (result.exit_code, result.stdout) == (0, "No mail is held because the database was set back.\n")


def test_a_backup_of_an_earlier_version_is_held_by_the_start_that_brings_it_up_to_date(scene: Scene) -> None:
    scene.sql("UPDATE alembic_version SET version_num = '0015'")
    state = StateDir(scene.root / "state")
    result = scene.run("restored", "--hold", env={"STATE_DIR": str(state.folder)})
    assert (result.exit_code, state.read(HOLD)) == (0, b"")
    assert "the service that brings it up to date holds first" in result.stdout


def test_a_database_that_stands_beside_another_in_one_state_folder_is_meant(scene: Scene) -> None:
    """The folder knows of another one; `status` says so, and what to do, until somebody has said that it is right."""
    scene.write()
    scene.plan(NOW)
    mark = marks.Mark("another", Known(1, "lost", "w", NOW, has_outcome=True, restorations=0), NOW)
    state = StateDir(scene.root / "state")
    state.write("ledger-0000000a", marks._content(mark))
    (wrong,) = scene.json("status")["wrong"]
    assert wrong["reason"].startswith(f"STATE_DIR ({state.folder}) is another database's")
    assert "`webinar restored --new`" in wrong["fix"]
    assert scene.run("restored", "--new", "--send").exit_code == 2
    assert scene.run("restored", "--new").exit_code == 0
    assert scene.json("status")["wrong"] == []
