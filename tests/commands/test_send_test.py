"""`webinar send-test`: one mail to yourself, through a real relay."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy

from scheduler.settings import read_settings
from scheduler.smtp.pool import Pool
from scheduler.state_dir import StateDir
from tests.commands.scene import BROKEN_TEXT, Scene
from tests.smtp_server import HOST, MailServer


@contextmanager
def relay(**given: str) -> Iterator[tuple[MailServer, dict[str, str]]]:
    """A mail server in a thread, and the settings that lead to it."""
    server, loop = MailServer(**given), asyncio.new_event_loop()  # type: ignore[arg-type]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    opened = server.__aenter__()
    asyncio.run_coroutine_threadsafe(opened, loop).result(10)
    try:
        yield server, {"SMTP_HOST": HOST, "SMTP_PORT": str(server.port), "SMTP_TLS": "none"}
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def test_it_arrives_marked_and_nothing_is_recorded(sqlite_scene: Scene) -> None:
    sqlite_scene.write()
    with relay() as (server, settings):
        sqlite_scene.env |= settings
        done = sqlite_scene.run("send-test", "ada@who.int", "--language", "fr", "--zone", "Africa/Dakar")
        assert done.exit_code == 0, done.output
        assert done.stdout == "confirmation was sent to ada@who.int, marked as a test.\n"
        (received,) = server.mails
    mail = message_from_bytes(received.content, policy=policy.default)
    assert mail["To"] == "ada@who.int"
    assert mail["Subject"].startswith("[TEST] ")
    assert mail["Content-Language"] == "fr"
    assert sqlite_scene.sql("SELECT 1 FROM delivery") == []


def test_a_service_that_left_the_relay_alone_learns_that_it_takes_mails(sqlite_scene: Scene) -> None:
    sqlite_scene.write()
    with relay() as (server, settings):
        sqlite_scene.env |= settings
        pool = Pool(read_settings(sqlite_scene.env).relay, state=StateDir(sqlite_scene.root / "state"))
        assert not asyncio.run(pool.look_again())
        assert sqlite_scene.run("send-test", "ada@who.int").exit_code == 0
        assert asyncio.run(pool.look_again())
        assert not asyncio.run(pool.look_again())
        server.refusals = {"ada@who.int": "550 5.1.1 No such user"}
        assert sqlite_scene.run("send-test", "ada@who.int").exit_code == 1
        assert not asyncio.run(pool.look_again())


def test_it_counts_toward_the_limits_of_the_relay(sqlite_scene: Scene) -> None:
    sqlite_scene.write()
    with relay() as (server, settings):
        sqlite_scene.env |= settings | {"SMTP_PER_DAY": "1"}
        assert sqlite_scene.run("send-test", "ada@who.int").exit_code == 0
        full = sqlite_scene.run("send-test", "ada@who.int")
        assert full.exit_code == 1
        assert "the daily limit of mails is reached" in full.stderr
        assert len(server.mails) == 1


def test_what_keeps_it_from_leaving_is_told(sqlite_scene: Scene) -> None:
    sqlite_scene.write()
    nobody = {"SMTP_HOST": HOST, "SMTP_PORT": "1", "SMTP_TLS": "none"}
    sqlite_scene.env |= nobody
    down = sqlite_scene.run("send-test", "ada@who.int")
    assert down.exit_code == 1
    assert "The relay did not take it: connect" in down.stderr
    assert sqlite_scene.run("send-test", "ada").exit_code == 2
    unknown = sqlite_scene.run("send-test", "ada@who.int", "--message", "remind")
    assert unknown.exit_code == 2
    assert "`remind` is none of w" in unknown.stderr
    sqlite_scene.env |= {"ONLY_TO": "*@example.org"}
    assert "ONLY_TO does not allow" in sqlite_scene.run("send-test", "ada@who.int").stderr
    del sqlite_scene.env["ONLY_TO"]
    (sqlite_scene.templates / "confirmation" / "en.md").write_text(BROKEN_TEXT)
    broken = sqlite_scene.run("send-test", "ada@who.int")
    assert broken.exit_code == 1
    assert "nmae" in broken.stderr


def test_of_two_webinars_the_one_that_has_the_message_is_taken(sqlite_scene: Scene) -> None:
    sqlite_scene.write()
    other = sqlite_scene.root / "config" / "webinars" / "other.toml"
    (file,) = other.parent.glob("*.toml")
    written = file.read_text().replace('id = "w"', 'id = "other"')
    other.write_text(written.replace('id = "reminder-hour"', 'id = "reminder-own"\ntext = "reminder-hour"'))
    with relay() as (server, settings):
        sqlite_scene.env |= settings
        done = sqlite_scene.run("send-test", "ada@who.int", "--message", "reminder-own")
        assert done.exit_code == 0, done.output
        assert done.stderr == f"Of 2 webinars only {other} sends `reminder-own`.\n"
        assert len(server.mails) == 1
    both = sqlite_scene.run("send-test", "ada@who.int", "--message", "confirmation")
    assert both.exit_code == 2
    assert both.stderr == f"--webinar: is not given, and there are 2 webinars; allowed: {other}, {file}\n"
