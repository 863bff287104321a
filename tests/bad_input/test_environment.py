"""Problems reported for mistakes in the environment."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scheduler import settings
from scheduler.cli import main
from scheduler.problem import Problem
from scheduler.settings import SettingsProblems, read_settings

DATABASE = "sqlite:///FOLDER/FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
HOST = "a host name or an IP address, without a port"
SMTP = (
    "SMTP_HOST, SMTP_TLS, SMTP_PORT, SMTP_ALLOW_PLAINTEXT, SMTP_CA_FILE, SMTP_AUTH, SMTP_USERNAME, SMTP_PASSWORD, "
    "SMTP_OAUTH_TOKEN_URL, SMTP_OAUTH_CLIENT_ID, SMTP_OAUTH_CLIENT_SECRET, SMTP_OAUTH_REFRESH_TOKEN, "
    "SMTP_OAUTH_SCOPE, SMTP_CONNECTIONS, SMTP_MAILS_PER_CONNECTION, SMTP_PER_MINUTE, SMTP_PER_DAY, "
    "SMTP_PIPELINING, SMTP_CHUNKING, SMTP_TIMEOUT, SMTP_USERNAME_FILE, SMTP_PASSWORD_FILE, "
    "SMTP_OAUTH_CLIENT_SECRET_FILE, SMTP_OAUTH_REFRESH_TOKEN_FILE"
)
SMTP2 = SMTP.replace("SMTP_", "SMTP2_")
OAUTH = {
    "SMTP_HOST": "relay", "SMTP_AUTH": "xoauth2", "SMTP_USERNAME": "me", "SMTP_OAUTH_CLIENT_ID": "id",
    "SMTP_OAUTH_TOKEN_URL": "https://login.example.org/token", "SMTP_OAUTH_CLIENT_SECRET": "secret",
}  # fmt: skip
ONLY_TO = "addresses with * for any characters, separated by commas: *@who.int"
FILE = "the path of a file that can be read"

# What is set, and what the operator is told: the variable, what was found, what is allowed, how to fix it.
# fmt: off
CASES = [
    ({"DATABASE_URL": "mysql://me:secret@db/x"},
     "DATABASE_URL", "an unsupported database or driver (not shown)",
     DATABASE, ""),
    ({"DATABASE_URL": "postgresql://me:sec@ret@db/x"},
     "DATABASE_URL", "more than one @ before the host (not shown)",
     DATABASE, "in a password write it as %40"),
    ({"DATABASE_URL": "webinar.db"},
     "DATABASE_URL", "not the address of a database (not shown)",
     DATABASE, ""),
    ({"DATABASE_URL": "sqlite://"},
     "DATABASE_URL", "a database in memory, which a restart would lose",
     DATABASE, "name a file"),
    ({"DATABASE_URL": "sqlite://data/webinar.db"},
     "DATABASE_URL", "two slashes before the path of its file (not shown)",
     DATABASE, "write sqlite:///, with three"),
    ({"DATABASE_URL": "sqlite+aiosqlite:///a.db"},
     "DATABASE_URL", "an unsupported database or driver (not shown)",
     DATABASE, ""),
    ({"DATABASE_URL": "postgresql+asyncpg://db/x"},
     "DATABASE_URL", "an unsupported database or driver (not shown)",
     DATABASE, ""),
    ({"CONFIG_DIR": "/no/such/folder"},
     "CONFIG_DIR", '"/no/such/folder", which is not a folder',
     "a folder that exists", ""),
    ({"SMTP_HOST": "relay:587"},
     "SMTP_HOST", '"relay:587"',
     HOST, "set SMTP_HOST=relay and SMTP_PORT=587"),
    ({"SMTP_HOST": "smtps://relay"},
     "SMTP_HOST", '"smtps://relay"',
     HOST, ""),
    ({"SMTP_HOST": "relay\r\nRCPT TO"},
     "SMTP_HOST", '"relay\\r\\nRCPT TO"',
     HOST, ""),
    ({"SMTP_PORT": "submission"},
     "SMTP_PORT", '"submission"',
     "a number, 1 to 65535", ""),
    ({"SMTP_PORT": "70000"},
     "SMTP_PORT", '"70000"',
     "a number, 1 to 65535", ""),
    ({"SMTP_PORT": "tcp://10.0.0.1:25"},
     "SMTP_PORT", '"tcp://10.0.0.1:25"',
     "a number, 1 to 65535", "Kubernetes sets it for a service called smtp: use enableServiceLinks: false"),
    ({"SMTP_PORT": "465"},
     "SMTP_PORT", "465 with SMTP_TLS=starttls: on this port relays begin with TLS",
     "", "set SMTP_TLS=implicit"),
    ({"SMTP_PORT": "587", "SMTP_TLS": "implicit"},
     "SMTP_PORT", "587 with SMTP_TLS=implicit: on this port relays begin without TLS",
     "", "set SMTP_TLS=starttls"),
    ({"SMTP_TLS": "ssl"},
     "SMTP_TLS", '"ssl"',
     "starttls, implicit or none", ""),
    ({"SMTP_TLS": "startls"},
     "SMTP_TLS", '"startls"',
     "starttls, implicit or none", "did you mean `starttls`?"),
    ({"SMTP_TLS": "none", "SMTP_HOST": "relay"},
     "SMTP_TLS", "none, although the relay is on another machine",
     "starttls or implicit", "SMTP_ALLOW_PLAINTEXT=yes allows sending mails unencrypted"),
    ({"SMTP_TLS": "none", "SMTP_HOST": "relay", "SMTP_ALLOW_PLAINTEXT": "yes", "SMTP_USERNAME": "a",
      "SMTP_PASSWORD": "b"},
     "SMTP_TLS", "none, which would send the user name and password unencrypted",
     "starttls or implicit", ""),
    ({"SMTP_ALLOW_PLAINTEXT": "perhaps"},
     "SMTP_ALLOW_PLAINTEXT", '"perhaps"',
     "yes or no", ""),
    ({"SMTP_CA_FILE": "/no/such/file"},
     "SMTP_CA_FILE", '"/no/such/file": no such file or directory',
     "a file with certificates in PEM form", ""),
    ({"SMTP_USERNAME": "me"},
     "SMTP_USERNAME", "is set without SMTP_PASSWORD",
     "both or neither", ""),
    ({"SMTP_PASSWORD": "secret"},
     "SMTP_PASSWORD", "is set without SMTP_USERNAME",
     "both or neither", ""),
    ({"SMTP_PASSWORD": "se\ncret", "SMTP_USERNAME": "me"},
     "SMTP_PASSWORD", "control characters or more than one line (not shown)",
     "one line of text", ""),
    ({"SMTP_CONNECTIONS": "51"},
     "SMTP_CONNECTIONS", '"51"',
     "a number, 1 to 50", ""),
    ({"SMTP_CONNECTIONS": "0"},
     "SMTP_CONNECTIONS", '"0"',
     "a number, 1 to 50", ""),
    ({"SMTP_PER_DAY": "0"},
     "SMTP_PER_DAY", '"0"',
     "mails, 1 to 100000000", ""),
    ({"SMTP_MAILS_PER_CONNECTION": "-1"},
     "SMTP_MAILS_PER_CONNECTION", '"-1"',
     "mails, 1 to 1000000, or 0 for any number", ""),
    ({"SMTP_PIPELINING": "sometimes"},
     "SMTP_PIPELINING", '"sometimes"',
     "on or off", ""),
    ({"SMTP_CHUNKING": "2"},
     "SMTP_CHUNKING", '"2"',
     "on or off", ""),
    ({"SMTP_AUTH": "oauth"},
     "SMTP_AUTH", '"oauth"',
     "password or xoauth2", "did you mean `xoauth2`?"),
    (OAUTH | {"SMTP_USERNAME": ""},
     "SMTP_AUTH", "xoauth2 without SMTP_USERNAME",
     "", ""),
    (OAUTH | {"SMTP_OAUTH_TOKEN_URL": ""},
     "SMTP_AUTH", "xoauth2 without SMTP_OAUTH_TOKEN_URL",
     "", ""),
    (OAUTH | {"SMTP_OAUTH_CLIENT_ID": ""},
     "SMTP_AUTH", "xoauth2 without SMTP_OAUTH_CLIENT_ID",
     "", ""),
    (OAUTH | {"SMTP_OAUTH_CLIENT_SECRET": ""},
     "SMTP_AUTH", "xoauth2 without SMTP_OAUTH_CLIENT_SECRET or SMTP_OAUTH_REFRESH_TOKEN",
     "", ""),
    (OAUTH | {"SMTP_PASSWORD": "secret"},
     "SMTP_PASSWORD", "is set, and SMTP_AUTH=xoauth2 signs in without one",
     "only one of the two", ""),
    (OAUTH | {"SMTP_TLS": "none"},
     "SMTP_TLS", "none, which would send the user name and password unencrypted",
     "starttls or implicit", ""),
    ({"SMTP_OAUTH_SCOPE": "mail"},
     "SMTP_OAUTH_SCOPE", "is set without SMTP_AUTH=xoauth2",
     "", "set it to sign in by OAuth"),
    (OAUTH | {"SMTP_OAUTH_TOKEN_URL": "login.example.org/token"},
     "SMTP_OAUTH_TOKEN_URL", '"login.example.org/token"',
     "an https address", ""),
    (OAUTH | {"SMTP_OAUTH_TOKEN_URL": "http://login.example.org/token"},
     "SMTP_OAUTH_TOKEN_URL", '"http://login.example.org/token", which would send the secrets unencrypted',
     "an https address", ""),
    (OAUTH | {"SMTP_OAUTH_TOKEN_URL": "https://me:secret@login.example.org/token"},
     "SMTP_OAUTH_TOKEN_URL", "more than scheme, host, port and path (not shown)",
     "an https address", ""),
    (OAUTH | {"SMTP_OAUTH_TOKEN_URL": "https://login.example.org/token?client_secret=secret"},
     "SMTP_OAUTH_TOKEN_URL", "more than scheme, host, port and path (not shown)",
     "an https address", ""),
    (OAUTH | {"SMTP_OAUTH_TOKEN_URL": "https://login.example.org:port/token"},
     "SMTP_OAUTH_TOKEN_URL", '"https://login.example.org:port/token"',
     "an https address", ""),
    (OAUTH | {"SMTP_OAUTH_TOKEN_URL": "https://login.example.org:70000/token"},
     "SMTP_OAUTH_TOKEN_URL", '"https://login.example.org:70000/token"',
     "an https address", ""),
    (OAUTH | {"SMTP_OAUTH_TOKEN_URL": "https://login.example.org/to ken"},
     "SMTP_OAUTH_TOKEN_URL", '"https://login.example.org/to ken"',
     "an https address", ""),
    (OAUTH | {"SMTP_OAUTH_CLIENT_SECRET": "se\ncret"},
     "SMTP_OAUTH_CLIENT_SECRET", "control characters or more than one line (not shown)",
     "one line of text", ""),
    ({"SMTP2_PORT": "2525"},
     "SMTP2_PORT", "is set without SMTP2_HOST",
     "", ""),
    ({"SMTP2_HOST": "relay", "SMTP2_PORT": "465"},
     "SMTP2_PORT", "465 with SMTP2_TLS=starttls: on this port relays begin with TLS",
     "", "set SMTP2_TLS=implicit"),
    ({"SMTP2_HOST": "relay:587"},
     "SMTP2_HOST", '"relay:587"',
     HOST, "set SMTP2_HOST=relay and SMTP2_PORT=587"),
    ({"SMTP2_HOST": "relay", "SMTP2_USERNAME": "me"},
     "SMTP2_USERNAME", "is set without SMTP2_PASSWORD",
     "both or neither", ""),
    ({"SMTP_HOST": "relay", "SMTP2_HOST": "relay"},
     "SMTP2_HOST", "the same relay as the first",
     "another relay, or another user name", ""),
    ({"SMTP2_HOTS": "relay"},
     "SMTP2_HOTS", "no such setting",
     SMTP2, "did you mean `SMTP2_HOST`?"),
    ({"SMTP2_DRAIN": "relay"},
     "SMTP2_DRAIN", "no such setting",
     SMTP2, ""),
    ({"SMTP_OAUTH_TOKEN_URI": "x"},
     "SMTP_OAUTH_TOKEN_URI", "no such setting",
     SMTP, "did you mean `SMTP_OAUTH_TOKEN_URL`?"),
    ({"SMTP_TIMEOUT": "5m"},
     "SMTP_TIMEOUT", '"5m"',
     "seconds, 1 to 3600", ""),
    ({"SMTP_TIMEOUT": "nan"},
     "SMTP_TIMEOUT", '"nan"',
     "seconds, 1 to 3600", ""),
    ({"DRAIN_SECONDS": "-1"},
     "DRAIN_SECONDS", '"-1"',
     "seconds, 0 to 3600", ""),
    ({"HEALTH_PORT": "8080x"},
     "HEALTH_PORT", '"8080x"',
     "a number, 1 to 65535, or 0 for any free port", ""),
    ({"LOG_LEVEL": "warn"},
     "LOG_LEVEL", '"warn"',
     "debug, info, warning or error", "did you mean `warning`?"),
    ({"ONLY_TO": "who.int"},
     "ONLY_TO", '"who.int"',
     ONLY_TO, "did you mean `*@who.int`?"),
    ({"ONLY_TO": "*"},
     "ONLY_TO", '"*"',
     ONLY_TO, ""),
    ({"ONLY_TO": "*@mü*.example"},
     "ONLY_TO", '"*@mü*.example"',
     ONLY_TO, "in a domain, `*` and letters beyond ASCII need a dot between"),
    ({"ONLY_TO": " , "},
     "ONLY_TO", '" , "',
     ONLY_TO, "remove the variable to allow every address"),
    ({"RETURN_HOURS": "a day"},
     "RETURN_HOURS", '"a day"',
     "hours, 0 to 720", ""),
    ({"POLL_SECONDS": "0"},
     "POLL_SECONDS", '"0"',
     "seconds, 0.05 to 60", ""),
    ({"SMTP_HOTS": "relay"},
     "SMTP_HOTS", "no such setting",
     SMTP, "did you mean `SMTP_HOST`?"),
    ({"SMTP_PASSWORT": "secret"},
     "SMTP_PASSWORT", "no such setting",
     SMTP, "did you mean `SMTP_PASSWORD`?"),
    ({"SMTP_USER": "me"},
     "SMTP_USER", "no such setting",
     SMTP, "did you mean `SMTP_USERNAME`?"),
    ({"SMTP_FROM": "me@who.int"},
     "SMTP_FROM", "no such setting",
     SMTP, ""),
    ({"DATABSE_URL": "x"},
     "DATABSE_URL", "no such setting",
     "", "did you mean `DATABASE_URL`?"),
    ({"database_url": "x"},
     "database_url", "no such setting",
     "", "did you mean `DATABASE_URL`?"),
    ({"SMTP_HOST_FILE": "/x"},
     "SMTP_HOST_FILE", "no such setting",
     SMTP, ""),
    ({"DATABASE_URL_FILE": "/no/such/file"},
     "DATABASE_URL_FILE", "its file: no such file or directory",
     FILE, ""),
    ({"DATABASE_URL": "sqlite:///a.db", "DATABASE_URL_FILE": "/run/secrets/url"},
     "DATABASE_URL_FILE", "is set, and so is DATABASE_URL",
     "only one of the two", ""),
]
# fmt: on


def _name(case: object) -> str | None:
    return " ".join(f"{name}={value}" for name, value in case.items()) if isinstance(case, dict) else None


@pytest.mark.parametrize(("environ", "told"), [(case[0], case[1:]) for case in CASES], ids=_name)
def test_the_problem_says_what_to_fix(environ: dict[str, str], told: tuple[str, str, str, str]) -> None:
    with pytest.raises(SettingsProblems) as error:
        read_settings(environ)

    variable, found, allowed, hint = told
    assert error.value.problems == (Problem(f"environment variable {variable}", found, allowed, hint),)


@pytest.mark.parametrize(
    ("content", "found", "allowed"),
    [
        pytest.param(b"", "its file is empty", "a text file with the value in it", id="empty"),
        pytest.param(b"\n", "its file is empty", "a text file with the value in it", id="only a line end"),
        pytest.param(b"\xff\xfe", "its file is not UTF-8", "a text file with the value in it", id="UTF-16"),
        pytest.param(b"x" * 70_000, "its file is too long", "a text file with the value in it", id="70 kB"),
        pytest.param(
            b"one\ntwo\n",
            "control characters or more than one line (not shown)",
            "one line of text",
            id="two lines",
        ),
    ],
)
def test_a_file_that_holds_no_secret(tmp_path: Path, content: bytes, found: str, allowed: str) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)

    with pytest.raises(SettingsProblems) as error:
        read_settings({"SMTP_PASSWORD_FILE": str(file), "SMTP_USERNAME": "me"})

    assert error.value.problems == (Problem("environment variable SMTP_PASSWORD_FILE", found, allowed),)


def test_a_file_that_is_a_folder(tmp_path: Path) -> None:
    """What Docker makes where the file to mount is missing."""
    with pytest.raises(SettingsProblems) as error:
        read_settings({"DATABASE_URL_FILE": str(tmp_path)})

    place = "environment variable DATABASE_URL_FILE"
    assert error.value.problems == (Problem(place, "its file: is a directory", FILE),)


HANGS = "is it on a network that is down, or a pipe that nobody writes into?"


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that hangs, as on a file server that is gone."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    monkeypatch.setattr(settings, "FILE_SECONDS", 0.1)
    yield path
    os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))  # whoever waits for a writer goes on


def test_files_that_hang_are_waited_for_no_longer_than_seconds(pipe: Path) -> None:
    files = ("DATABASE_URL_FILE", "SMTP_USERNAME_FILE", "SMTP2_PASSWORD_FILE")
    with pytest.raises(SettingsProblems) as error:
        read_settings(dict.fromkeys(files, str(pipe)))

    expected = [
        Problem(f"environment variable {one}", "its file does not answer", FILE, HANGS) for one in files
    ]
    assert list(error.value.problems)[:3] == expected


@pytest.mark.parametrize("name", ["SMTP_CA_FILE", "SMTP2_CA_FILE"])
def test_a_file_of_certificates_that_hangs(name: str, pipe: Path) -> None:
    with pytest.raises(SettingsProblems) as error:
        read_settings({name: str(pipe)})

    (problem,) = error.value.problems
    assert problem.place == f"environment variable {name}"
    assert problem.found.endswith(", which does not answer")
    assert (problem.allowed, problem.hint) == ("a file with certificates in PEM form", HANGS)


@pytest.mark.parametrize("name", ["CONFIG_DIR", "TEMPLATES_DIR", "STATE_DIR"])
def test_a_folder_that_hangs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat, released = os.stat, threading.Event()

    def hangs(path: Any, **more: Any) -> os.stat_result:
        if os.fspath(path) == str(tmp_path):
            released.wait(20)
        return stat(path, **more)

    monkeypatch.setattr(settings, "FILE_SECONDS", 0.1)
    monkeypatch.setattr(os, "stat", hangs)
    with pytest.raises(SettingsProblems) as error:
        read_settings({name: str(tmp_path)})
    released.set()
    (problem,) = error.value.problems
    assert problem.place == f"environment variable {name}"
    assert problem.found.endswith(", which does not answer")


@pytest.mark.parametrize("command", ["run", "check", "status"])
def test_a_command_ends_then(command: str, pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL_FILE", str(pipe))
    result = CliRunner().invoke(main, [command])
    assert result.exit_code == 2
    assert "DATABASE_URL_FILE: its file does not answer" in result.stderr


def test_a_pipe_that_somebody_writes_into_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=["sqlite:///a.db\n"])
    writer.start()
    assert read_settings({"DATABASE_URL_FILE": str(path)}).address("database_url").url == "sqlite:///a.db"
    writer.join()


def test_a_secret_whose_file_cannot_be_read_is_told_once() -> None:
    environ = dict(OAUTH) | {"SMTP_OAUTH_CLIENT_SECRET": "", "SMTP_OAUTH_CLIENT_SECRET_FILE": "/no/such/file"}
    with pytest.raises(SettingsProblems) as error:
        read_settings(environ)

    place = "environment variable SMTP_OAUTH_CLIENT_SECRET_FILE"
    assert error.value.problems == (Problem(place, "its file: no such file or directory", FILE),)


def test_certificates_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("ca.pem")
    file.write_text("no certificate")

    with pytest.raises(SettingsProblems) as error:
        read_settings({"SMTP_CA_FILE": str(file)})

    assert error.value.problems == (
        Problem(
            "environment variable SMTP_CA_FILE",
            f'"{file}", which holds no certificates in PEM form',
            "a file with certificates in PEM form",
        ),
    )


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(SettingsProblems) as error:
        read_settings(
            {
                "SMTP_HOTS": "relay",
                "SMTP_PORT": "0",
                "SMTP_PASSWORD": "secret",
                "SMTP_PASSWORD_FILE": "/run/secrets/password",
                "DATABASE_URL": "mysql://db",
                "ONLY_TO": "who.int",
                "LOG_LEVEL": "loud",
                "SMTP2_HOST": "second",
                "SMTP2_TLS": "tls",
                "SMTP2_CONNECTIONS": "many",
            }
        )

    assert {problem.place.removeprefix("environment variable ") for problem in error.value.problems} == {
        "SMTP_HOTS",
        "SMTP_PORT",
        "SMTP_PASSWORD",
        "SMTP_PASSWORD_FILE",
        "DATABASE_URL",
        "ONLY_TO",
        "LOG_LEVEL",
        "SMTP2_TLS",
        "SMTP2_CONNECTIONS",
    }


def test_a_problem_reads_as_one_line() -> None:
    with pytest.raises(SettingsProblems) as error:
        read_settings({"SMTP_TLS": "starttsl"})

    assert str(error.value) == (
        'environment variable SMTP_TLS: "starttsl"; allowed: starttls, implicit or none; did you mean `starttls`?'
    )
