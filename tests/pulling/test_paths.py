"""Files below the operator's folder, and nothing else."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from scheduler.pulling import paths
from scheduler.pulling.content import Content, SourceFails
from scheduler.pulling.paths import read_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "exports"
    (folder / "2027").mkdir(parents=True)
    (folder / "2027/people.csv").write_text("email\n")
    (tmp_path / "secret.csv").write_text("email\n")
    return folder


def read(folder: Path, path: str) -> str:
    into = Content(io.BytesIO())
    read_path(folder, path, into)
    into.file.seek(0)
    return into.file.read().decode()


def refused(folder: Path, path: str) -> str:
    with pytest.raises(SourceFails) as refused:
        read(folder, path)
    return str(refused.value)


def test_a_file_below_the_folder(folder: Path) -> None:
    assert read(folder, "2027/people.csv") == "email\n"
    assert read(folder, "./2027/people.csv") == "email\n"


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert read(tmp_path / "link", "2027/people.csv") == "email\n"


def test_no_link_is_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "out.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "in.csv").symlink_to(folder / "2027/people.csv")
    (folder / "up").symlink_to(tmp_path)
    for path in ("out.csv", "in.csv", "up/secret.csv"):
        assert "symbolic link" in refused(folder, path)


def test_what_is_no_regular_file(folder: Path) -> None:
    os.mkfifo(folder / "pipe.csv")
    assert refused(folder, "pipe.csv") == "pipe.csv: is not a regular file"
    assert refused(folder, "2027") == "2027: is not a regular file"
    assert refused(folder, "people.csv") == "people.csv: no such file or directory"
    assert refused(folder / "nowhere", "people.csv") == "SOURCES_DIR: no such file or directory"


def test_a_file_that_grows_while_it_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder / "2027/people.csv"

    def write_on(seconds: float) -> None:
        with file.open("a") as opened:
            opened.write("ana@example.org\n")

    monkeypatch.setattr(paths.time, "sleep", write_on)
    assert refused(folder, "2027/people.csv") == "2027/people.csv: changes while it is read"


def test_a_file_that_another_one_takes_the_place_of_is_read_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "2027/people.csv"

    def replace(seconds: float) -> None:
        (folder / "new").write_text("email\nana@example.org\n")
        (folder / "new").replace(file)

    monkeypatch.setattr(paths.time, "sleep", replace)
    assert read(folder, "2027/people.csv") == "email\n"
