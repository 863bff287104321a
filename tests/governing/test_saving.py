"""Saving: of two people at once only one succeeds, and a file is replaced as a whole or not at all."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from scheduler.database.engine import Database, execute
from scheduler.governing import saving
from scheduler.governing.proposals import digest
from scheduler.governing.saving import Conflict
from tests.support import utc, webinar

NOW = utc("2025-06-20 08:00")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "reminder-day").mkdir()
    (tmp_path / "reminder-day" / "en.md").write_text("before")
    return tmp_path


def test_of_many_saves_at_once_one_succeeds_and_the_others_get_the_present_text(root: Path) -> None:
    began_with = digest("before")

    def save(number: int) -> str:
        try:
            return saving.write(root, "reminder-day", "en", f"text {number}", began_with)
        except Conflict as conflict:
            return conflict.theirs

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(save, range(40)))
    now = (root / "reminder-day/en.md").read_text()
    assert answers.count("before") == 1
    assert answers.count(now) == 39
    assert [one.name for one in (root / "reminder-day").iterdir()] == ["en.md"]


def test_the_mode_stays_and_a_new_text_can_be_read_by_the_service(root: Path) -> None:
    file = root / "reminder-day" / "en.md"
    file.chmod(0o664)
    saving.write(root, "reminder-day", "en", "after", digest("before"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o664
    saving.write(root, "thank-you", "fr", "merci", digest(""))
    assert stat.S_IMODE((root / "thank-you" / "fr.md").stat().st_mode) == 0o644


def test_where_writing_fails_the_file_is_as_it_was(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        saving.write(root, "reminder-day", "en", "after", digest("before"))
    assert (root / "reminder-day/en.md").read_text() == "before"
    assert [one.name for one in (root / "reminder-day").iterdir()] == ["en.md"]


def test_the_list_has_states_editors_and_texts_older_than_the_english(database: Database) -> None:
    sources = {("confirmation", "en"): "new", ("confirmation", "fr"): "vieux"}
    with database.transaction() as conn:
        for key, at in ((("confirmation", "fr"), NOW), (("confirmation", "en"), NOW + timedelta(days=1))):
            execute(
                conn,
                "INSERT INTO text_revision (message, language, sha256, source, sound_since)"
                " VALUES (:message, :language, 'x', 'x', :at)",
                message=key[0],
                language=key[1],
                at=at,
            )
        saving.record_save(conn, NOW, ("confirmation", "en"), "old", "new", "ada@who.int", "fresh")
        found = {
            (one.message, one.language): one for one in saving.list_texts(conn, [webinar()], sources, {}, ())
        }
        assert [one.source for one in saving.history(conn, "confirmation", "en")] == ["new", "old"]
    english, french = found["confirmation", "en"], found["confirmation", "fr"]
    assert (english.state, english.edited_by, english.older) == ("sound", "ada@who.int", False)
    assert (french.state, french.edited_by, french.older) == ("sound", "", True)
    assert found["reminder-day", "en"].state == "missing"
