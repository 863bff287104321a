"""What a service keeps for itself is there whole or not at all, and for nobody else to read."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scheduler.settings import SettingsProblems, read_settings
from scheduler.state_dir import LONGEST, StateDir


def test_what_was_written_is_read_and_replaced(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "new" / "state")
    assert state.read("token") is None
    assert not state.folder.exists()

    state.write("token", b"one")
    state.write("token", b"two")

    assert StateDir(state.folder).read("token") == b"two"
    assert [one.name for one in state.folder.iterdir()] == ["token"]


def test_only_the_service_may_read_it(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    before = os.umask(0)
    try:
        state.write("token", b"one")
    finally:
        os.umask(before)
    assert stat.S_IMODE(state.path("token").stat().st_mode) == 0o600
    assert stat.S_IMODE(state.folder.stat().st_mode) == 0o700


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = StateDir(tmp_path)
    state.write("token", b"one")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        state.write("token", b"two")
    monkeypatch.undo()

    assert state.read("token") == b"one"
    assert [one.name for one in tmp_path.iterdir()] == ["token"]


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"theirs")
    state = StateDir(tmp_path / "state")
    state.folder.mkdir()
    state.path("token").symlink_to(elsewhere)

    state.write("token", b"ours")

    assert elsewhere.read_bytes() == b"theirs"
    assert state.read("token") == b"ours"


def test_what_is_removed_is_gone(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    state.remove("token")
    state.write("token", b"one")
    state.remove("token")
    assert state.read("token") is None


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    with state.path("token").open("wb") as opened:
        opened.truncate(LONGEST + 1)
    with pytest.raises(ValueError, match="too long"):
        state.read("token")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_not_opened(tmp_path: Path, make: Callable[[Path], None]) -> None:
    state = StateDir(tmp_path)
    make(state.path("token"))
    with pytest.raises(ValueError, match="something else in the place of a file"):
        state.read("token")
    assert not state.has("token")


NAMES = [
    "spool-0000002a-20250612T080000000001",
    "ledger-0000002a",
    "refresh-token-0123456789abcdef.json",
    "restored",
]


def killed_in_the_middle(state: StateDir, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a kill -9 leaves behind: nothing is removed any more."""

    def dies(descriptor: int) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", dies)
        patched.setattr(Path, "unlink", lambda path: None)
        with pytest.raises(SystemExit):
            state.write(name, b"secret")
    (left,) = state.folder.glob(f".{name}.*")
    return left


def aged(path: Path, seconds: float = 3700) -> Path:
    then = time.time() - seconds
    os.utime(path, (then, then), follow_symlinks=False)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_what_a_kill_left_of_a_write_is_removed_after_an_hour(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = StateDir(tmp_path)
    state.write(name, b"stays")
    aged(state.path(name))
    left = killed_in_the_middle(state, name, monkeypatch)
    state.tidy()
    assert left.exists(), "another service that shares the folder may be writing it"
    aged(left)
    state.tidy()
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_files_of_others_stay(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    state, ours = StateDir(folder), ".ledger-0000002a.abcdefgh"
    state.tidy()
    assert not folder.exists()
    (folder / ".restored.a_folder").mkdir(parents=True)
    (tmp_path / "elsewhere").touch()
    (folder / ours).symlink_to(aged(tmp_path / "elsewhere"))
    names = [
        ".webinar.db.abcdefgh",
        ".nfs000000000000abcd",
        ".ledger.swp",
        ".ledger-0000002a.abc",
        ".restored",
        "restored",
    ]
    for name in [*names, ".ledger-0000002a.readable"]:
        (folder / name).touch(mode=0o600)
    (folder / ".ledger-0000002a.readable").chmod(0o644)
    before = sorted(aged(one).name for one in folder.iterdir())
    state.tidy()
    assert sorted(one.name for one in folder.iterdir()) == before


@pytest.mark.parametrize("name", ["", "..", ".", "../token", "a/b", "/etc/passwd", ".hidden"])
def test_no_name_leads_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not the name"):
        StateDir(tmp_path).path(name)


def test_the_setting(tmp_path: Path) -> None:
    assert read_settings({}).state_dir == Path("data")
    missing = tmp_path / "not" / "there"
    assert read_settings({"STATE_DIR": str(missing)}).state_dir == missing

    (tmp_path / "file").touch()
    with pytest.raises(SettingsProblems, match=r"STATE_DIR.*not a folder"):
        read_settings({"STATE_DIR": str(tmp_path / "file")})
