"""A folder that people edit: which files it has, and when a change counts."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from scheduler.governing.folder import LARGEST_READ, Folder, Watch, webinar_files
from tests.smtp_server import in_loop


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "webinars").mkdir()
    _write(tmp_path, "a", "one")
    folder = Folder(tmp_path, "webinars/*.toml")
    folder.read_once()
    return folder


def _write(root: Path, name: str, content: str) -> None:
    (root / "webinars" / f"{name}.toml").write_text(content)


def test_files_are_named_by_their_path_below_the_root(folder: Folder) -> None:
    (folder.root / "webinars" / "notes.txt").write_text("not ours")
    assert folder.read() == {"webinars/a.toml": b"one"}


def test_what_was_there_at_the_start_is_no_change(folder: Folder) -> None:
    assert folder.poll() is None
    assert folder.poll() is None


def test_a_change_counts_after_two_reads_that_agree_and_only_once(folder: Folder) -> None:
    _write(folder.root, "a", "two")
    assert folder.poll() is None
    assert folder.poll() == {"webinars/a.toml": b"two"}
    assert folder.poll() is None


def test_a_file_that_is_still_being_written_does_not_count(folder: Folder) -> None:
    for content in ("t", "tw", "two"):
        _write(folder.root, "a", content)
        assert folder.poll() is None
    assert folder.poll() == {"webinars/a.toml": b"two"}


def test_an_edit_that_is_taken_back_before_it_counted_is_no_change(folder: Folder) -> None:
    _write(folder.root, "a", "two")
    assert folder.poll() is None
    _write(folder.root, "a", "one")
    assert folder.poll() is None
    assert folder.poll() is None


def test_the_content_counts_not_the_time_of_the_file(folder: Folder) -> None:
    os.utime(folder.root / "webinars" / "a.toml", (0, 0))
    assert folder.poll() is None
    assert folder.poll() is None


def test_a_change_of_the_same_length_and_time_is_seen(folder: Folder) -> None:
    path = folder.root / "webinars" / "a.toml"
    before = path.stat().st_mtime_ns
    path.write_text("two")
    os.utime(path, ns=(before, before))
    folder.poll()
    assert folder.poll() == {"webinars/a.toml": b"two"}


def test_new_and_removed_files_count(folder: Folder) -> None:
    _write(folder.root, "b", "two")
    (folder.root / "webinars" / "a.toml").unlink()
    folder.poll()
    assert folder.poll() == {"webinars/b.toml": b"two"}


def test_files_that_could_not_be_absorbed_are_returned_again(folder: Folder) -> None:
    _write(folder.root, "a", "two")
    folder.poll()
    assert folder.poll() is not None
    folder.return_again()
    assert folder.poll() == {"webinars/a.toml": b"two"}
    assert folder.poll() is None


def test_pipes_and_devices_are_not_read(folder: Folder) -> None:
    (folder.root / "webinars" / "folder.toml").mkdir()
    (folder.root / "webinars" / "dangling.toml").symlink_to("nowhere")
    os.mkfifo(folder.root / "webinars" / "pipe.toml")  # to read it would wait for ever
    assert folder.read() == {"webinars/a.toml": b"one"}


def test_a_folder_that_vanishes_has_no_files_and_comes_back(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "webinars").rename(tmp_path / "elsewhere")
    folder.poll()
    assert folder.poll() == {}
    (tmp_path / "elsewhere").rename(tmp_path / "webinars")
    folder.poll()
    assert folder.poll() == {"webinars/a.toml": b"one"}


def test_a_network_folder_that_does_not_answer_ends_nothing(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stale(*_: object) -> None:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(Path, "glob", stale)
    assert folder.read() == {}


def test_a_pipe_a_loop_and_a_closed_folder_hang_nothing_and_hide_no_file(folder: Folder) -> None:
    """Opening a pipe to read it would wait until somebody writes into it."""
    below = folder.root / "webinars"
    os.mkfifo(below / "pipe.toml")
    (below / "loop.toml").symlink_to(below / "loop.toml")
    (below / "folder.toml").mkdir()
    (below / "nothing.toml").symlink_to("/dev/zero")
    assert folder.read() == {"webinars/a.toml": b"one"}


def test_of_a_large_file_only_its_beginning_is_read(folder: Folder) -> None:
    with (folder.root / "webinars" / "large.toml").open("wb") as file:
        file.truncate(10_000_000_000)
    assert len(folder.read()["webinars/large.toml"]) == LARGEST_READ + 1


def test_of_a_folder_with_very_many_files_some_are_read(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.governing.folder.MOST_FILES", 2)
    watch = Watch(folder)
    for name in ("b", "c"):
        _write(folder.root, name, "more")
    assert list(folder.read()) == ["webinars/a.toml", "webinars/b.toml"]
    assert "more than" in watch.note


@in_loop
async def test_a_folder_that_hangs_is_waited_for_once_and_read_when_it_answers(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, reads = threading.Event(), []

    def read(path: Path) -> bytes:
        reads.append(path)
        assert answers.wait(60)
        return b"two"

    monkeypatch.setattr("scheduler.governing.folder._read", read)
    monkeypatch.setattr("scheduler.governing.folder.PATIENCE", 0.01)
    monkeypatch.setattr("scheduler.governing.folder.HANGS_AFTER", 0.0)
    watch = Watch(folder)
    for _ in range(3):
        assert await watch.poll() is None
    assert "does not answer" in watch.note
    assert len(reads) == 1, "one read is under way, however often it is asked for"
    answers.set()
    monkeypatch.setattr("scheduler.governing.folder.PATIENCE", 60.0)
    found = [await watch.poll() for _ in range(3)]
    assert {"webinars/a.toml": b"two"} in found
    assert watch.note == ""


CLUTTER = (
    "._en.md", ".en.md.swp", ".#en.md", "#en.md#", "en.md~", "en.md.bak", "en.md.orig", "4913", "~$en.md", ".DS_Store",
    "Thumbs.db", "desktop.ini", "en.md.tmp",
)  # fmt: skip


@pytest.mark.parametrize("name", CLUTTER)
def test_what_editors_and_systems_leave_behind_is_not_there(tmp_path: Path, name: str) -> None:
    folder = Folder(tmp_path, "*/*")
    (tmp_path / "confirmation").mkdir()
    (tmp_path / "confirmation" / "en.md").write_text("A text")
    (tmp_path / "confirmation" / name).write_bytes(b"\xff")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "en.md").write_text("A text")
    assert folder.read().keys() == {"confirmation/en.md"}


def test_webinars_files_are_those_of_organizers(tmp_path: Path) -> None:
    for name in ("w.toml", "2025.toml", "._w.toml", ".#w.toml", "w.toml~", "w.toml.bak"):
        (tmp_path / name).write_text("")
    assert [path.name for path in webinar_files(tmp_path)] == ["2025.toml", "w.toml"]
