"""`webinar status`: what is where, what goes next, what is wrong and how to fix it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from scheduler.cli import main
from scheduler.clock import VirtualClock
from scheduler.database.models import Alert, FileSeen, Signup, TextRevision, WebinarRevision, table
from scheduler.database.postgresql import PostgreSQL
from scheduler.database.sqlite import SQLite
from scheduler.http.server import WebServer
from scheduler.readiness import Kind, Readiness, Reason
from scheduler.service.health import health_app
from scheduler.service.service import Service
from scheduler.settings import read_settings
from scheduler.state_dir import StateDir
from tests.commands.scene import BROKEN_TEXT, Scene, lines
from tests.support import toml, utc

pytestmark = pytest.mark.engines("sqlite")

PLANNED, NOW = utc("2025-06-20 08:00"), utc("2025-06-21 08:00")


@pytest.fixture
def running(scene: Scene) -> Scene:
    """A live webinar with two registrants, planned a day ago, the confirmations out."""
    scene.write()
    scene.register("lea@who.int", timezone="Europe/Zurich")
    scene.register("maya@who.int", timezone="Asia/Kathmandu")
    scene.plan(PLANNED)
    scene.sql("UPDATE delivery SET state = 'sent' WHERE message = 'confirmation'")
    scene.at(NOW)
    return scene


def _reasons(found: dict[str, Any]) -> list[str]:
    return [one["reason"] for one in found["wrong"]]


def test_all_is_well(running: Scene) -> None:
    result = running.run("status")
    assert result.exit_code == 0
    assert "Nothing is wrong." in result.stdout
    assert lines(result, "count") == [
        ["w", "confirmation", "sent", "2"],
        ["w", "reminder-day", "pending", "2"],
        ["w", "reminder-hour", "pending", "2"],
        ["w", "follow-up", "pending", "2"],
    ]


def test_state_that_cannot_be_read_is_named(running: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_permitted(state: StateDir, name: str, longest: int = 0) -> bytes:
        raise PermissionError(13, "Permission denied")

    StateDir(running.root / "state").write("ledger-0000000a", b"{}")
    monkeypatch.setattr(StateDir, "read", not_permitted)
    [reason] = _reasons(running.json("status"))
    assert reason.startswith(f"{running.root}/state/ledger-0000000a can't be read (permission denied)")


def test_what_goes_next_in_utc_and_on_the_webinars_clock(running: Scene) -> None:
    assert running.json("status")["webinars"][0]["next"] == [
        {"message": message, "due_at": due, "due_local": local, "mails": mails}
        for message, due, local, mails in [
            ("reminder-day", "2025-07-02T03:15:00Z", "2025-07-02T05:15:00+02:00", 1),
            ("reminder-day", "2025-07-02T07:00:00Z", "2025-07-02T09:00:00+02:00", 1),
            ("reminder-hour", "2025-07-03T10:00:00Z", "2025-07-03T12:00:00+02:00", 2),
            ("follow-up", "2025-07-04T04:15:00Z", "2025-07-04T06:15:00+02:00", 1),
            ("follow-up", "2025-07-04T08:00:00Z", "2025-07-04T10:00:00+02:00", 1),
        ]
    ]


def test_what_is_tried_again_within_a_minute_is_one_line(running: Scene) -> None:
    for number, at in enumerate((utc("2025-06-21 08:05"), utc("2025-06-21 08:05").replace(second=30)), 1):
        running.sql(
            "UPDATE delivery SET state = 'pending', next_attempt_at = :at"
            " WHERE message = 'confirmation' AND registration_id = :number",
            at=at,
            number=number,
        )
    assert lines(running.run("status"), "next")[0] == [
        "w", "confirmation", "2025-06-21 08:05", "Sat 21 Jun 2025 10:05 UTC+02:00", "2",
    ]  # fmt: skip


def test_places_and_who_waits_for_one_are_shown_where_there_is_a_limit(running: Scene) -> None:
    assert running.json("status")["webinars"][0]["places"] is None
    running.write(capacity=2)
    running.plan(utc("2025-06-20 08:00"))
    for number, state in enumerate(("registered", "registered", "waiting")):
        address = f"{number}@example.org"
        running.insert(
            Signup, webinar="w", address=address, address_folded=address, state=state,
            created_at=utc("2025-06-20 08:00"), updated_at=utc("2025-06-20 08:00"),
        )  # fmt: skip
    places = running.json("status")["webinars"][0]["places"]
    assert places["of"] == 2
    assert places["waiting"] == 1
    assert f"{places['taken']} of 2 places, 1 waiting" in running.run("status").stdout


def test_tables_on_a_terminal(running: Scene) -> None:
    running.on_a_terminal()
    shown = running.run("status").stdout
    assert "\t" not in shown
    assert "w: Buying health products" in shown
    assert "13:00 CEST in Geneva (UTC+02:00) = 11:00 UTC" in shown
    assert "on the webinar's clock" in shown


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"status": "draft"}, "draft"),
        ({"cancelled": True}, "live, cancelled"),
        ({}, "live"),
    ],
)
def test_draft_live_or_called_off(scene: Scene, changed: dict[str, Any], words: str) -> None:
    scene.write(**changed)
    scene.plan(PLANNED)
    scene.at(NOW)
    assert lines(scene.run("status"), "webinar")[0][1] == words


def test_a_webinar_that_is_over(running: Scene) -> None:
    running.at(utc("2025-07-03 13:00"))
    found = running.json("status")["webinars"][0]
    assert found["past"]
    assert found["at_once"] == 0  # the reminders are of no use any more
    assert found["later"] == 2


def test_what_the_service_has_not_planned_from_yet_is_said(scene: Scene) -> None:
    scene.write()
    scene.register("lea@who.int")
    scene.at(NOW)
    found = scene.json("status")
    assert (found["webinars"][0]["planned"], found["changes_not_planned"]) == ("not yet", 1)
    scene.plan(PLANNED)
    scene.write(join_url="https://meet.who.int/other")
    found = scene.json("status")
    assert (found["webinars"][0]["planned"], found["changes_not_planned"]) == ("by an earlier revision", 0)


def test_a_broken_file_is_named_and_its_last_sound_revision_governs(running: Scene) -> None:
    file = running.write(zone="Genva")
    result, found = running.run("status"), running.json("status")
    assert result.exit_code == 1
    assert found["webinars"][0]["governed_by"] == "last sound revision"
    assert found["webinars"][0]["sound_since"] == "2025-06-20T08:00:00Z"
    [wrong] = found["wrong"]
    assert wrong["reason"].startswith(f"{file}, line ")
    assert "Genva" in wrong["reason"]
    assert wrong["fix"] == "edit the file; it is read again automatically"


@pytest.mark.parametrize(("on_broken", "state"), [("last-sound", "behind"), ("hold", "held")])
def test_a_broken_text_is_behind_or_held(running: Scene, on_broken: str, state: str) -> None:
    running.try_texts()
    running.write(on_broken=on_broken)
    running.plan(PLANNED)
    file = running.templates / "reminder-day" / "fr.md"
    running.insert(
        TextRevision, message="reminder-day", language="fr", sha256="0", source=file.read_text(), sound_since=PLANNED
    )  # fmt: skip
    file.write_text(BROKEN_TEXT)
    found = running.json("status")
    [text] = found["webinars"][0]["texts"]
    assert (text["message"], text["language"], text["state"]) == ("reminder-day", "fr", state)
    assert text["place"].startswith(str(file))
    assert "nmae" in _reasons(found)[0]


def test_a_text_that_was_never_sound_is_held(running: Scene) -> None:
    running.try_texts()
    (running.templates / "reminder-day" / "fr.md").write_text(BROKEN_TEXT)
    assert [text["state"] for text in running.json("status")["webinars"][0]["texts"]] == ["held"]


def test_rows_set_aside_by_id_and_reason_and_nothing_that_people_typed(running: Scene) -> None:
    row = running.register("private address")
    other = running.register("anna@who.int", webinar="elsewhere")
    running.plan(NOW)
    result = running.run("status")
    assert lines(result, "row") == [
        [str(row), "w", "email is not an address"],
        [str(other), "elsewhere", "unknown webinar"],
    ]
    running.on_a_terminal()
    for output in (result.output, running.run("status").output, running.run("status", "--json").output):
        assert not any(word in output for word in ("private", "anna", "lea@", "maya"))


def test_rows_set_aside_keep_nobody_elses_mails_back_so_nothing_is_wrong(running: Scene) -> None:
    row = running.register("no address")
    running.plan(NOW)
    result, found = running.run("status"), running.json("status")
    assert result.exit_code == 0
    assert "Nothing is wrong." in result.stdout
    assert (found["right"], found["wrong"]) == (True, [])
    assert found["notes"] == [
        {
            "kind": "row",
            "reason": f"registrants, row {row}: email is not an address; the row is set aside",
            "fix": "correct the row, or delete it; it is read again automatically",
        }
    ]


def test_many_rows_set_aside_are_all_listed_and_a_few_are_notes(running: Scene) -> None:
    for number in range(25):
        running.register(f"no address {number}")
    running.plan(NOW)
    found = running.json("status")
    assert len(found["rows_set_aside"]) == 25
    assert len(found["notes"]) == 21
    assert found["notes"][-1]["reason"].endswith("`webinar status` lists them all")


@pytest.mark.parametrize(
    ("why", "only_to", "code"),
    [("template", "", 1), ("data", "", 1), ("doubt", "", 1), ("config", "", 1), ("config", "*@wto.org", 0)],
)
def test_held_by_reason_with_a_way_to_fix_it(running: Scene, why: str, only_to: str, code: int) -> None:
    """What ONLY_TO keeps back is meant so."""
    running.sql("UPDATE delivery SET state = 'held', reason = :why WHERE message = 'reminder-day'", why=why)
    result = running.run("status", env={"ONLY_TO": only_to})
    [[webinar, held, mails, fix]] = lines(result, "held")
    assert (webinar, held, mails, result.exit_code) == ("w", f"held: {why}", "2", code)
    assert fix


def test_failed_and_in_doubt_are_counted_and_no_fault_of_the_service(running: Scene) -> None:
    running.sql("UPDATE delivery SET state = 'failed', reason = 'refused: 550 5.1.1' WHERE id = 1")
    running.sql("UPDATE delivery SET state = 'in_doubt' WHERE id = 2")
    found = running.json("status")["webinars"][0]
    assert (found["failed"], found["in_doubt"]) == ({"refused: 550 5.1.1": 1}, 1)
    assert running.run("status").exit_code == 0


@pytest.mark.engines("both")
def test_an_alert_that_stands_is_told_with_since_when_and_whether_organizers_know(running: Scene) -> None:
    words = "the relay takes no mail: auth: 535 5.7.8\n\nOnly the relay's operator can fix it."
    for address, told in (("a@who.int", NOW), ("b@who.int", None)):
        running.insert(Alert, key="relay", alert_to=address, words=words, raised_at=PLANNED, told_at=told)
    running.insert(Alert, key="text x/fr", alert_to="a@who.int", words="x", raised_at=PLANNED, cleared_at=NOW)
    result = running.run("status")
    assert result.exit_code == 1
    assert lines(result, "alert") == [["relay", "2025-06-20 08:00", "not yet"]]
    assert lines(result, "wrong")[0][0] == "the relay takes no mail: auth: 535 5.7.8"
    assert "a@who.int" not in result.output


def _ask_beside(scene: Scene, readiness: Readiness) -> Result:
    """The command, while a service answers."""

    async def both() -> Result:
        server = WebServer(health_app(lambda: readiness), "127.0.0.1", 0)
        await server.start()
        env = {"HEALTH_HOST": "0.0.0.0", "HEALTH_PORT": str(server.port)}
        try:
            return await asyncio.to_thread(scene.run, "status", env=env)
        finally:
            await server.stop()

    return asyncio.run(both())


def test_what_only_the_running_service_knows_is_asked_of_it(running: Scene) -> None:
    trouble = "the relay takes no mail: connect: connection refused"
    result = _ask_beside(running, Readiness((Reason(Kind.RELAY, trouble),)))
    assert result.exit_code == 1
    assert lines(result, "wrong") == [[trouble, lines(result, "wrong")[0][1]]]
    assert "SMTP_*" in lines(result, "wrong")[0][1]
    assert _ask_beside(running, Readiness()).exit_code == 0


def test_what_the_service_notes_is_shown_and_nothing_is_wrong(running: Scene) -> None:
    notes = (
        Reason(Kind.WATCHING, "starting a little late"),
        Reason(Kind.ROW, "registrants, row 7: gone since"),
    )
    result = _ask_beside(running, Readiness(notes))
    assert result.exit_code == 0
    assert "Nothing is wrong." in result.stdout
    assert [line[0] for line in lines(result, "note")] == ["starting a little late"]


@pytest.mark.parametrize(("status", "code"), [("live", 1), ("draft", 0)])
def test_no_service_is_wrong_where_a_webinar_is_live(
    running: Scene, unused_port: int, status: str, code: int
) -> None:
    running.write(status=status)
    running.plan(PLANNED)
    result = running.run("status", env={"HEALTH_HOST": "127.0.0.1", "HEALTH_PORT": str(unused_port)})
    assert result.exit_code == code
    assert ("no service answers" in result.stdout) == bool(code)


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_the_same_reasons_and_notes_as_readyz(scene: Scene) -> None:
    scene.try_texts()
    scene.write(status="draft")
    scene.write("id =", name="broken.toml")
    (scene.templates / "follow-up" / "en.md").write_text(BROKEN_TEXT)
    scene.register("no address")
    scene.at(NOW)

    async def readiness() -> Readiness:
        service = Service(read_settings(scene.env), scene.database, VirtualClock(NOW))
        await service.start()
        await service.governor.until_tried()
        await service.tick(NOW)
        await service.settled()
        await service.stop()
        return service.readiness()

    told, found = asyncio.run(readiness()), scene.json("status")
    assert (len(told.reasons), len(told.notes)) == (2, 1)
    assert _reasons(found) == list(told.reasons)
    assert [one["reason"] for one in found["notes"]] == list(told.notes)


@pytest.mark.engines("both")
def test_looking_changes_nothing(scene: Scene) -> None:
    scene.write()
    scene.register("lea@who.int")
    scene.at(NOW)
    scene.run("status")
    with scene.database.reading() as conn:
        for model in (WebinarRevision, TextRevision, Alert):
            assert conn.execute(table(model).select()).all() == []  # type: ignore[union-attr]


def _status_of(url: str, root: Path) -> Result:
    env = {"DATABASE_URL": url, "CONFIG_DIR": str(root), "TEMPLATES_DIR": str(root), "HEALTH_PORT": "0"}
    return CliRunner().invoke(main, ["status"], env=env)


@pytest.mark.parametrize(("files", "kind", "which", "code"), [
    ({}, "note", "no webinar is live", 0),
    ({"w": "draft"}, "note", "no webinar is live", 0),
    ({"w": "live", "v": "draft", "u": "live"}, "wrong", "live: u, w", 1),
])  # fmt: skip
def test_before_the_first_run_it_says_so_and_how_to_start_and_makes_nothing(
    tmp_path: Path, files: dict[str, str], kind: str, which: str, code: int
) -> None:
    (tmp_path / "webinars").mkdir()
    for name, status in files.items():
        (tmp_path / "webinars" / f"{name}.toml").write_text(toml(id=name, status=status))
    (tmp_path / "webinars" / "broken.toml").write_text("id =")
    result = _status_of(f"sqlite:///{tmp_path}/data/webinar.db", tmp_path)
    assert result.exit_code == code
    [[words, fix]] = lines(result, kind)
    assert words.startswith(
        f"no service has run on this database yet, so nothing is planned or sent ({which})"
    )
    assert fix.startswith("start it: `webinar run`")
    assert not (tmp_path / "data").exists()


def test_before_the_first_run_the_json_has_the_same_keys(scene: Scene, tmp_path: Path) -> None:
    scene.write()
    whole = scene.json("status")
    env = scene.env | {"DATABASE_URL": f"sqlite:///{tmp_path}/data/webinar.db"}
    found = json.loads(scene.run("status", "--json", env=env).stdout)
    assert found.keys() == whole.keys()
    assert (found["right"], found["webinars"], len(found["wrong"])) == (False, [], 1)


def test_a_database_of_an_earlier_version_is_not_looked_at(running: Scene) -> None:
    running.sql("UPDATE alembic_version SET version_num = '0006'")
    result = running.run("status")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "of an earlier version" in result.stderr


def test_what_is_late_by_message_and_since_when(running: Scene) -> None:
    assert lines(running.run("status"), "late") == []
    running.sql("UPDATE delivery SET state = 'pending' WHERE message = 'confirmation'")
    assert lines(running.run("status"), "late") == [["w", "confirmation", "2025-06-20 08:00", "86400"]]
    assert running.json("status")["webinars"][0]["late"] == [
        {"message": "confirmation", "due_at": "2025-06-20T08:00:00Z", "seconds": 86400}
    ]
    running.on_a_terminal()
    assert "due, and not sent yet" in running.run("status").stdout


def test_a_database_server_that_does_not_answer(tmp_path: Path, unused_port: int) -> None:
    result = _status_of(f"postgresql://u:secret@127.0.0.1:{unused_port}/webinar", tmp_path)
    assert result.exit_code == 2
    assert "the database can't be used" in result.stderr
    assert "secret" not in result.output


@pytest.mark.engines("both")
def test_replicas_with_different_files_are_a_note_also_of_readyz(
    running: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for engine in (SQLite, PostgreSQL):
        monkeypatch.setattr(engine, "holders", lambda self, conn: [7, 8])
    for holder, digest in ((7, "x"), (8, "y")):
        for kind, name in (("webinar", "w"), ("text", "confirmation/en"), ("layout", "")):
            running.insert(FileSeen, holder=holder, kind=kind, name=name, sha256=digest, since=PLANNED)
    running.write()
    running.plan(PLANNED)
    running.at(NOW)

    async def readiness() -> Readiness:
        service = Service(read_settings(running.env), running.database, VirtualClock(NOW), holder=7)
        await service.start()
        running.sql("UPDATE file_seen SET sha256 = 'x', since = :since WHERE holder = 7", since=PLANNED)
        await service.tick(NOW)
        await service.settled()
        await service.stop()
        return service.readiness()

    told, found = asyncio.run(readiness()), running.json("status")
    assert told.ready
    begins = ["webinar w:", "text confirmation/en:", "the layout:"]
    assert [[note.startswith(one) for one in begins].count(True) for note in told.notes] == [1, 1, 1]
    assert [one["reason"] for one in found["notes"]] == list(told.notes)
    assert all("share one folder" in one["fix"] for one in found["notes"])
    assert found["wrong"] == []
