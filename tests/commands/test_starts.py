"""What keeps `webinar run` from beginning is one sentence, at once: which path, whose process, what to do."""

from __future__ import annotations

import gzip
import os
import shutil
import signal
import socket
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scheduler.access import this_user
from scheduler.cli import main
from tests.support import copy_texts, toml
from tests.unprivileged import unprivileged

Prepare = Callable[[Path], None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory as the README has it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config" / "webinars").mkdir(parents=True)
    (tmp_path / "config" / "webinars" / "w.toml").write_text(toml(languages=["en"]), "utf-8")
    copy_texts(tmp_path / "templates", "en")
    (tmp_path / "data").mkdir(mode=0o700)
    return tmp_path


def started(command: str = "run", **environment: str) -> Result:
    env = {"SMTP_HOST": "127.0.0.1", "HEALTH_PORT": "0", "EDITOR": "off"} | environment
    ended = threading.Timer(
        20, os.kill, [os.getpid(), signal.SIGTERM]
    )  # a service that begins would run for ever
    ended.start()
    with unprivileged():
        result = CliRunner().invoke(main, [command], env=env)
    ended.cancel()
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def said(result: Result) -> str:
    """The plain line among those of the log."""
    (line,) = [one for one in result.stderr.splitlines() if not one.startswith("{")]
    return line


def text(folder: Path) -> None:
    (folder / "data" / "webinar.db").write_text("no database, but longer than the head of one: " * 40)


def compressed(folder: Path) -> None:
    (folder / "data" / "webinar.db").write_bytes(gzip.compress(b"a backup" * 1000))


def short(folder: Path) -> None:
    (folder / "data" / "webinar.db").write_text("webinar.db goes here\n")


def another_databases_dump(folder: Path) -> None:
    (folder / "data" / "webinar.db").write_bytes(b"PGDMP\x01\x0e\x00" + bytes(5000))


@pytest.mark.parametrize("prepare", [text, compressed, short, another_databases_dump])
@pytest.mark.parametrize("command", ["run", "status"])
def test_a_file_that_is_no_database(folder: Path, prepare: Prepare, command: str) -> None:
    prepare(folder)
    result = started(command)
    assert result.exit_code == 2
    assert said(result) == (
        f"the database can't be used: {folder}/data/webinar.db is not a SQLite database: let DATABASE_URL name another"
        " file, or move this one away"
    )


@pytest.mark.parametrize("command", ["run", "status"])
def test_a_folder_in_the_place_of_the_database(folder: Path, command: str) -> None:
    (folder / "data" / "webinar.db").mkdir()
    result = started(command)
    assert result.exit_code == 2
    assert f"{folder}/data/webinar.db is a folder: let DATABASE_URL name a file in it" in said(result)


def test_a_database_that_is_damaged(folder: Path, migrated_file: Path) -> None:
    content = bytearray(migrated_file.read_bytes())
    content[100:4096] = bytes(3996)
    (folder / "data" / "webinar.db").write_bytes(content)
    result = started()
    assert result.exit_code == 2
    assert f"{folder}/data/webinar.db is damaged: restore its last backup" in said(result)


# Whom the system does not let


def may_not_write(folder: Path) -> None:
    (folder / "data").chmod(0o500)


def may_not_enter(folder: Path) -> None:
    (folder / "data").chmod(0)


def may_not_write_the_lock(folder: Path) -> None:
    (folder / "data" / "webinar.db.lock").touch(mode=0o400)


def may_not_write_the_database(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "data" / "webinar.db")) as conn:
        conn.execute("CREATE TABLE t (x)")
    (folder / "data" / "webinar.db").chmod(0o400)


def may_not_read_the_database(folder: Path) -> None:
    may_not_write_the_database(folder)
    (folder / "data" / "webinar.db").chmod(0)


def may_not_make_the_folder(folder: Path) -> None:
    (folder / "data").rmdir()
    folder.chmod(0o500)


@pytest.mark.parametrize(
    ("prepare", "path", "let_into"),
    [
        (may_not_write, "data/webinar.db.lock", "data"),
        (may_not_enter, "data/webinar.db.lock", "data"),
        (may_not_write_the_lock, "data/webinar.db.lock", "data/webinar.db.lock"),
        (may_not_write_the_database, "data/webinar.db", "data/webinar.db"),
        (may_not_read_the_database, "data/webinar.db", "data/webinar.db"),
        (may_not_make_the_folder, "data", ""),
    ],
)
def test_a_database_that_this_user_may_not_use(
    folder: Path, prepare: Prepare, path: str, let_into: str
) -> None:
    prepare(folder)
    try:
        result = started()
    finally:
        folder.chmod(0o700)
    assert result.exit_code == 2
    words = said(result).removeprefix("the database can't be used: ")
    there = str(folder / let_into).rstrip("/")
    assert words.startswith(
        f"{folder}/{path} can't be used by the user {this_user()} (permission denied): let that user read and write"
        f" {there}, or run as its owner, {this_user()}"
    )


@pytest.mark.parametrize("prepare", [may_not_enter, may_not_read_the_database])
def test_status_says_so_too(folder: Path, prepare: Prepare) -> None:
    prepare(folder)
    result = started("status")
    assert result.exit_code == 2
    assert f"can't be used by the user {this_user()} (permission denied)" in said(result)


# Folders of organizers


@pytest.mark.parametrize(
    ("command", "gone"),
    [("check", "config"), ("check", "config/webinars"), ("check", "templates"),
     ("status", "config"), ("status", "config/webinars")],
)  # fmt: skip
def test_a_folder_that_is_not_there_is_named_by_its_whole_path_and_from_where_it_was_looked_for(
    folder: Path, command: str, gone: str
) -> None:
    shutil.move(folder / gone, folder / "elsewhere")
    result = started(command)
    assert result.exit_code == 1
    missing = "config/webinars" if gone == "config" else gone
    assert f"the folder {folder}/{missing}: is not there; it was looked for from {folder}" in result.stdout


@pytest.mark.parametrize(
    ("closed", "named"), [("templates", "templates"), ("templates/confirmation", "templates/confirmation"),
                          ("templates/confirmation/en.md", "templates/confirmation/en.md"),
                          ("config/webinars", "config/webinars"), ("config/webinars/w.toml", "config/webinars/w.toml")]
)  # fmt: skip
def test_what_this_user_may_not_read_is_named(folder: Path, closed: str, named: str) -> None:
    (folder / closed).chmod(0)
    result = started("check")
    (folder / closed).chmod(0o700)
    assert result.exit_code == 1
    assert f"{folder}/{named}: can't be used by the user {this_user()} (permission denied)" in result.stdout


def test_a_health_port_that_another_program_has_ends_the_start_at_once(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = started(HEALTH_PORT=str(port))
    assert result.exit_code == 2
    assert said(result) == (
        f"HEALTH_PORT: port {port} on 127.0.0.1 can't be used: another program has it (`ss -ltnp` names it); end that"
        " one, or set another port"
    )
