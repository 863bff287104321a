"""`webinar live ID` and `webinar draft ID`: what that sends, a question, and one line of the file."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path
from typing import Any

import click
import pytest

from scheduler.commands import common
from tests.commands.scene import Scene, lines
from tests.support import toml, utc

pytestmark = pytest.mark.engines("sqlite")

PLANNED, NOW = utc("2025-06-20 08:00"), utc("2025-06-21 08:00")


def _planned(scene: Scene) -> Scene:
    """A draft with two registrants, planned a day ago."""
    scene.write(status="draft")
    scene.register("lea@who.int", timezone="Europe/Zurich")
    scene.register("maya@who.int", timezone="Asia/Kathmandu")
    scene.plan(PLANNED)
    scene.at(NOW)
    return scene


@pytest.fixture
def planned(scene: Scene) -> Scene:
    """On both engines."""
    return _planned(scene)


@pytest.fixture
def draft(sqlite_scene: Scene) -> Scene:
    """For what is about the file."""
    return _planned(sqlite_scene)


def _can_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "can_ask", lambda: True)


@pytest.mark.engines("both")
def test_how_many_mails_leave_at_once_and_when_the_next_do(planned: Scene) -> None:
    result = planned.run("live", "w", "--yes")
    assert result.exit_code == 0
    assert "2 mails leave at once, 6 later." in result.stdout
    assert lines(result, "next")[0] == [
        "w", "reminder-day", "2025-07-02 03:15", "Wed 02 Jul 2025 05:15 UTC+02:00", "1",
    ]  # fmt: skip
    assert result.stdout.endswith("w is live. A running service takes that up within seconds.\n")


def test_there_and_back_leaves_the_file_as_it_was(draft: Scene) -> None:
    file = draft.write("# A title\r\n" + toml(status="draft").replace("\n", " # and more\r\n", 3))
    file.chmod(0o640)
    before = file.read_bytes()
    draft.run("live", "w", "--yes")
    assert file.read_bytes() == before.replace(b'status = "draft"', b'status = "live"')
    result = draft.run("draft", "w", "--yes")
    assert "8 mails wait then, 2 of them due now." in result.stdout
    assert file.read_bytes() == before
    assert file.stat().st_mode & 0o777 == 0o640
    assert [one.name for one in draft.webinars.iterdir()] == ["w.toml"]


def test_a_file_without_status_is_a_draft_and_gets_the_line(draft: Scene) -> None:
    file = draft.write(status=None)
    assert draft.run("draft", "w").stdout == "w is draft already.\n"
    draft.run("live", "w", "--yes")
    assert file.read_text() == toml(status=None).replace('id = "w"\n', 'id = "w"\nstatus = "live"\n', 1)


def test_the_page_on_which_people_register_is_named_before_it_opens(
    draft: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft.write(status="draft", registration="open")
    monkeypatch.setenv("PAGES_URL", "https://webinars.who.int")
    monkeypatch.setenv("TRUSTED_PROXIES", "127.0.0.1")
    page = "People register at https://webinars.who.int/w/w"
    assert f"{page} (opens when the webinar is live)\n" in draft.run("check").stdout
    assert f"{page}\n" in draft.run("live", "w", "--yes").stdout
    assert f"{page}\n" in draft.run("check").stdout


def test_a_link_stays_a_link(draft: Scene, tmp_path: Path) -> None:
    file = draft.webinars / "w.toml"
    real = file.rename(tmp_path / "elsewhere.toml")
    file.symlink_to(real)
    draft.run("live", "w", "--yes")
    assert file.is_symlink()
    assert 'status = "live"' in real.read_text()


@pytest.mark.parametrize("status", ["draft", None])
def test_placeholders_keep_it_a_draft_each_told_with_its_key(draft: Scene, status: str | None) -> None:
    file = draft.write(status=status, join_url="", sender="webinar@example.org")
    before = file.read_bytes()
    result = draft.run("live", "w", "--yes")
    assert (result.exit_code, result.stdout, file.read_bytes()) == (1, "", before)
    for place in (
        f"{file}",
        "join_url: is empty",
        "sender: the placeholder example.org",
        "Nothing was changed.",
    ):
        assert place in result.stderr


def test_mistakes_have_the_lines_of_the_file_as_it_is(draft: Scene) -> None:
    file = draft.write(status=None, zone="Genva")
    line = file.read_text().splitlines().index('zone = "Genva"') + 1
    assert f"{file}, line {line}, zone" in draft.run("live", "w", "--yes").stderr


def test_back_to_draft_fixes_a_file_that_may_not_be_live(draft: Scene) -> None:
    file = draft.write(status="live", join_url="")
    assert draft.run("draft", "w", "--yes").exit_code == 0
    assert file.read_text() == toml(status="draft", join_url="")


def test_a_file_that_is_not_sound_is_left_alone_by_draft_too(draft: Scene) -> None:
    """Its last sound revision governs: an edit would change nothing, and seem to."""
    file = draft.write(status="live", zone="Genva")
    result = draft.run("draft", "w", "--yes")
    assert result.exit_code == 1
    assert "Genva" in result.stderr
    assert 'status = "live"' in file.read_text()


@pytest.mark.parametrize(
    ("asked", "hint"), [("ww", "did you mean `w`?"), ("W", "did you mean `w`?"), ("zzz", "allowed: w")]
)
def test_an_unknown_id(draft: Scene, asked: str, hint: str) -> None:
    result = draft.run("live", asked, "--yes")
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"no webinar `{asked}`" in result.stderr
    assert hint in result.stderr


def test_a_file_that_is_no_toml_may_be_the_one_that_is_meant(draft: Scene) -> None:
    file = draft.write('id = "z\n', name="z.toml")
    result = draft.run("live", "z", "--yes")
    assert result.exit_code == 2
    assert f"{file}, line 1" in result.stderr


def test_two_files_with_one_id(draft: Scene) -> None:
    other = draft.write(name="x.toml", status="draft")
    result = draft.run("live", "w", "--yes")
    assert result.exit_code == 2
    assert str(other) in result.stderr
    assert 'status = "live"' not in other.read_text()


def test_without_a_terminal_it_does_not_ask_and_changes_nothing(draft: Scene) -> None:
    result = draft.run("live", "w", answer="y\n")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert 'status = "draft"' in (draft.webinars / "w.toml").read_text()


@pytest.mark.parametrize(
    ("answer", "code", "status"), [("y\n", 0, "live"), ("n\n", 1, "draft"), ("\n", 1, "draft")]
)
def test_it_asks(draft: Scene, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, status: str) -> None:
    _can_ask(monkeypatch)
    result = draft.run("live", "w", answer=answer)
    assert result.exit_code == code
    assert "Set w to live? [y/N]" in result.stdout
    assert f'status = "{status}"' in (draft.webinars / "w.toml").read_text()


def test_an_edit_while_it_asked_is_not_written_over(draft: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def confirm(question: str) -> bool:
        draft.write(status="draft", title="Another title")
        return True

    _can_ask(monkeypatch)
    monkeypatch.setattr(click, "confirm", confirm)
    result = draft.run("live", "w")
    assert result.exit_code == 1
    assert "was changed in the meantime" in result.stderr
    assert "Another title" in (draft.webinars / "w.toml").read_text()


def test_live_already(draft: Scene) -> None:
    file = draft.write(status="live")
    before = file.stat().st_ino
    result = draft.run("live", "w")
    assert (result.exit_code, result.stdout) == (0, "w is live already.\n")
    assert file.stat().st_ino == before  # not even written


def test_a_webinar_that_is_not_planned_yet(scene: Scene) -> None:
    scene.write(status="draft")
    result = scene.run("live", "w", "--yes")
    assert result.exit_code == 0
    assert "has not planned this webinar yet" in result.stdout


def test_no_database_yet(sqlite_scene: Scene) -> None:
    sqlite_scene.write(status="draft")
    result = sqlite_scene.run(
        "live", "w", "--yes", env={"DATABASE_URL": f"sqlite:///{sqlite_scene.root}/none.db"}
    )
    assert result.exit_code == 0
    assert "How many mails leave is not known." in result.stdout
    assert not (sqlite_scene.root / "none.db").exists()


def test_registrants_who_are_not_planned_yet_are_said_to_be_missing(planned: Scene) -> None:
    planned.register("new@who.int")
    assert "not planned from yet: 1;" in planned.run("live", "w", "--yes").stdout


@pytest.mark.parametrize(("at", "words"), [("2025-07-03 13:00", "It is over."), ("2025-07-03 12:59", "")])
def test_a_webinar_that_is_over(planned: Scene, at: str, words: str) -> None:
    planned.at(utc(at))
    assert ("It is over." in planned.run("live", "w", "--yes").stdout) == bool(words)


def test_a_folder_that_can_only_be_read(draft: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**kwargs: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refuse)
    result = draft.run("live", "w", "--yes")
    assert result.exit_code == 2
    assert "w.toml: can't be written: read-only file system" in result.stderr


def test_a_file_that_cannot_be_replaced_leaves_no_rest(draft: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is mounted by itself."""

    def busy(self: Path, target: Path) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(Path, "replace", busy)
    result = draft.run("live", "w", "--yes")
    assert result.exit_code == 2
    assert [one.name for one in draft.webinars.iterdir()] == ["w.toml"]
    assert 'status = "draft"' in (draft.webinars / "w.toml").read_text()
