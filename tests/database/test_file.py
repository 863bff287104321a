"""The file of a SQLite database, as it stands at its path while a service has it open."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from scheduler.database import file
from scheduler.database.file import FileState, OpenFile

Change = Callable[[Path, Path], object]


@pytest.fixture
def path(migrated_file: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(migrated_file, tmp_path / "webinar.db"))


@pytest.fixture
def service(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of the pool."""
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute("PRAGMA journal_mode=WAL")
        conn.execute("INSERT INTO registrants (webinar, email) VALUES ('w', 'a@people.test')")
        yield conn


@pytest.fixture
def opened(path: Path, service: sqlite3.Connection) -> Iterator[OpenFile]:
    opened = OpenFile(path)
    yield opened
    opened.close()


@pytest.fixture
def backup(path: Path, service: sqlite3.Connection) -> Path:
    copy = path.with_name("backup.db")
    with closing(sqlite3.connect(copy)) as there:
        service.backup(there)
    return copy


def renamed_over(path: Path, backup: Path) -> None:
    backup.rename(path)


def moved_away_and_copied(path: Path, backup: Path) -> None:
    path.rename(path.with_name("old.db"))
    shutil.copy2(backup, path)


def restored_as_the_documents_say(path: Path, backup: Path) -> None:
    for left in path.parent.glob(f"{path.name}*"):
        left.unlink()
    shutil.copy(backup, path)


def without_its_log(path: Path, backup: Path) -> None:
    Path(f"{path}-wal").unlink()


def linked(path: Path, backup: Path) -> None:
    path.unlink()
    path.symlink_to(backup)


@pytest.mark.parametrize(
    "change",
    [renamed_over, moved_away_and_copied, restored_as_the_documents_say, without_its_log, linked],
)
def test_it_is_replaced(opened: OpenFile, path: Path, backup: Path, change: Change) -> None:
    assert opened.state() is FileState.SAME
    change(path, backup)
    assert opened.state() is FileState.REPLACED
    assert opened.state() is FileState.REPLACED, "until it is opened again"


def test_committed_rows_survive_where_only_the_log_was_deleted(
    opened: OpenFile, path: Path, service: sqlite3.Connection
) -> None:
    Path(f"{path}-wal").unlink()
    service.execute("INSERT INTO registrants (webinar, email) VALUES ('w', 'b@people.test')")
    assert opened.state() is FileState.REPLACED
    opened.close()
    service.close()
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("SELECT count(*) FROM registrants").fetchall() == [(2,)]
        assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("change", [renamed_over, moved_away_and_copied])
def test_our_log_is_not_taken_for_that_of_what_replaced_it(
    opened: OpenFile, path: Path, backup: Path, change: Change, service: sqlite3.Connection
) -> None:
    service.execute("INSERT INTO registrants (webinar, email) VALUES ('w', 'b@people.test')")
    change(path, backup)
    assert opened.state() is FileState.REPLACED
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("SELECT count(*) FROM registrants").fetchall() == [(1,)], "as in the backup"
        assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def deleted(path: Path, backup: Path) -> None:
    path.unlink()


def all_deleted(path: Path, backup: Path) -> None:
    for left in path.parent.glob(f"{path.name}*"):
        left.unlink()


@pytest.mark.parametrize("change", [deleted, all_deleted])
def test_it_is_gone_and_nothing_is_made_in_its_place(
    opened: OpenFile, path: Path, backup: Path, change: Change
) -> None:
    change(path, backup)
    assert opened.state() is FileState.GONE
    assert not path.exists()


def to_nothing(path: Path, backup: Path) -> None:
    path.unlink()
    path.touch()


def half_copied(path: Path, backup: Path) -> None:
    path.unlink()
    content = backup.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def by_text(path: Path, backup: Path) -> None:
    path.unlink()
    path.write_text("no database, but longer than the head of one: " * 40)


def by_a_database_of_others(path: Path, backup: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("CREATE TABLE t (x)")


@pytest.mark.parametrize("change", [to_nothing, half_copied, by_text, by_a_database_of_others])
def test_a_file_that_is_still_being_copied_is_not_ours_until_it_is_complete(
    opened: OpenFile, path: Path, backup: Path, change: Change
) -> None:
    change(path, backup)
    assert opened.state() is FileState.NOT_OURS
    shutil.copy(backup, path)
    assert opened.state() is FileState.REPLACED


def test_moved_away_and_back_it_is_the_same(opened: OpenFile, path: Path) -> None:
    aside = path.with_name("aside.db")
    path.rename(aside)
    assert opened.state() is FileState.GONE
    aside.rename(path)
    assert opened.state() is FileState.SAME


@pytest.mark.parametrize("which", ["both", "the database", "the log"])
def test_where_numbers_of_inodes_change_by_themselves_it_is_the_same(
    opened: OpenFile, path: Path, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on some network file systems."""
    inode = file._inode

    def changed(path: Path) -> tuple[int, int] | None:
        is_log = path.name.endswith("-wal")
        found = inode(path)
        return (
            (found[0], found[1] + 1)
            if found and which != ("the database" if is_log else "the log")
            else found
        )

    monkeypatch.setattr(file, "_inode", changed)
    assert opened.state() is FileState.SAME
    assert opened.state() is FileState.SAME
