"""Secrets and certificates are read when a connection is opened: who changes their files restarts nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from scheduler.database.engine import Database
from scheduler.delivery.pace import Pace
from scheduler.delivery.relay import Relay
from scheduler.input.relay_settings import RelaySettings
from scheduler.settings import read_settings
from scheduler.smtp.pool import Pool, Refused, Unreachable, proof_of
from scheduler.smtp.replies import Verdict
from scheduler.state_dir import StateDir
from tests.delivery.test_dispatcher import Desk
from tests.smtp_server import MailServer, authority, ca_file, in_loop

pytestmark = pytest.mark.engines("sqlite")

USER = "webinar"


class Files:
    """Settings whose secrets and authorities come from files."""

    def __init__(self, folder: Path, server: MailServer) -> None:
        self.user, self.password, self.ca = folder / "user", folder / "password", folder / "ca.pem"
        self.user.write_text(USER)
        self.password.write_text("first")
        self.ca.write_bytes(Path(ca_file()).read_bytes())
        self.environ = {
            "SMTP_HOST": server.host, "SMTP_PORT": str(server.port), "SMTP_TLS": server.tls,
            "SMTP_USERNAME_FILE": str(self.user), "SMTP_PASSWORD_FILE": str(self.password),
            "SMTP_CA_FILE": str(self.ca), "SMTP_TIMEOUT": "5",
        }  # fmt: skip

    def rotate(self, server: MailServer, password: str) -> None:
        """At the relay and here."""
        server.users = {USER: password}
        self.replace(self.password, password)

    def replace(self, file: Path, text: str) -> None:
        """As Kubernetes and careful editors do: another file takes the name."""
        new = file.with_suffix(".new")
        new.write_text(text)
        new.replace(file)

    @property
    def settings(self) -> RelaySettings:
        return read_settings(self.environ).relay


async def send(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.send("webinar@who.int", "ana@people.test", b"Subject: x\r\n\r\nx\r\n")


@in_loop
async def test_the_next_connection_signs_in_with_what_the_file_holds_then(tmp_path: Path) -> None:
    async with MailServer(tls="starttls", users={USER: "first"}) as server:
        files = Files(tmp_path, server)
        pool = Pool(files.settings)
        await send(pool)
        files.rotate(server, "second")
        await send(pool)
        assert server.connections == 1, "the open one goes on"
        await server.hang_up()
        await send(pool)
        assert (server.connections, len(server.mails), pool.troubles) == (2, 3, ())
        await pool.close()


@in_loop
async def test_another_user_name_and_another_authority(tmp_path: Path) -> None:
    async with MailServer(tls="implicit", users={USER: "first", "other": "first"}) as server:
        files = Files(tmp_path, server)
        files.ca.write_bytes(trustme.CA().cert_pem.bytes())
        pool = Pool(files.settings)
        with pytest.raises(Unreachable, match="certificate"):
            await send(pool)
        files.replace(files.ca, authority().cert_pem.bytes().decode())
        files.replace(files.user, "other")
        assert await pool.look_again()
        await send(pool)
        assert server.mails[0].user == "other"
        await pool.close()


@pytest.mark.parametrize(
    ("name", "spoil", "words"),
    [
        ("password", lambda file: file.write_text(""), "SMTP_PASSWORD_FILE: its file is empty"),
        ("password", lambda file: file.unlink(), "SMTP_PASSWORD_FILE: its file: no such file"),
        (
            "password",
            lambda file: file.write_text("two\nlines"),
            "SMTP_PASSWORD_FILE: control characters or more",
        ),
        ("password", lambda file: file.write_bytes(b"\xff"), "SMTP_PASSWORD_FILE: its file is not UTF-8"),
        ("user", lambda file: file.write_text(""), "SMTP_USERNAME_FILE: its file is empty"),
        ("ca", lambda file: file.write_text("no certificate"), "SMTP_CA_FILE"),
        ("ca", lambda file: file.unlink(), "SMTP_CA_FILE"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_what_it_held_before_is_used(
    name: str, spoil: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    @in_loop
    async def test() -> None:
        async with MailServer(tls="starttls", users={USER: "first"}) as server:
            files = Files(tmp_path, server)
            pool = Pool(files.settings)
            await send(pool)
            good = (file := tmp_path / {"ca": "ca.pem"}.get(name, name)).read_text()
            spoil(file)
            await server.hang_up()
            await send(pool)
            (trouble,) = pool.troubles
            assert words in trouble
            assert "the earlier contents are still used" in trouble
            assert "two" not in trouble
            assert not await pool.look_again(), "nothing better to try with"
            files.replace(file, good)
            await pool.look_again()
            assert pool.troubles == ()
            await pool.close()

    test()


def desk_over(database: Database, server: MailServer, settings: RelaySettings, connections: int = 1) -> Desk:
    return Desk(database, server, relays=[Relay("relay", Pool(settings), Pace(), connections)])


@in_loop
async def test_a_wrong_password_is_named_and_the_right_one_ends_the_stop_at_once(
    tmp_path: Path, database: Database
) -> None:
    async with MailServer(tls="starttls", users={USER: "second"}) as server:
        files = Files(tmp_path, server)
        here = desk_over(database, server, files.settings)
        here.register("a")
        await here.send()
        assert here.dispatcher.stopped
        (note,) = here.dispatcher.notes
        assert note.words == "can't sign in with SMTP_USERNAME_FILE and SMTP_PASSWORD_FILE: auth: 535 5.7.8"
        assert "first" not in note.words
        files.replace(files.password, "second")
        await here.relays[0].look_at_files()
        await here.dispatcher.until_idle()
        assert here["a"] == "sent"
        assert (here.dispatcher.trouble, here.dispatcher.notes) == ("", ())
        await here.close()


@in_loop
async def test_a_stop_goes_on_while_the_files_are_the_same(tmp_path: Path, database: Database) -> None:
    async with MailServer(tls="starttls", users={USER: "second"}) as server:
        files = Files(tmp_path, server)
        here = desk_over(database, server, files.settings)
        here.register("a")
        await here.send()
        files.password.touch()
        for _ in range(3):
            await here.relays[0].look_at_files()
            await here.dispatcher.until_idle()
        assert server.connections == 1, "a wrong password that is tried again and again locks the account"
        await here.close()


@in_loop
async def test_a_wrong_new_password_keeps_the_connections_that_work(
    tmp_path: Path, database: Database
) -> None:
    async with MailServer(tls="starttls", users={USER: "first"}) as server:
        files = Files(tmp_path, server)
        here = desk_over(database, server, files.settings, connections=2)
        relay = here.relays[0]
        async with relay.pool.connection():
            files.replace(files.password, "wrong")
            await relay.look_at_files()
            with relay.works(), relay.works():  # one that works, and one that opens another
                with pytest.raises(Refused) as refusal:
                    async with relay.pool.connection():
                        pass
                assert relay.has_enough(refusal.value.reply)
        assert (relay.allowed, here.dispatcher.trouble) == (1, "")
        assert here.dispatcher.notes
        here.register("a", "b")
        await here.send()
        assert (here["a"], here["b"], here.dispatcher.trouble) == ("sent", "sent", "")
        assert len({mail.connection for mail in server.mails}) == 1
        await here.close()


@pytest.mark.parametrize("wrong", ["password", "authority"])
def test_where_one_connection_is_left_that_works_all_mails_go_over_it(
    wrong: str, tmp_path: Path, database: Database
) -> None:
    @in_loop
    async def test() -> None:
        async with MailServer(tls="starttls", users={USER: "first"}) as server:
            files = Files(tmp_path, server)
            here = desk_over(database, server, files.settings, connections=4)
            here.register("a")
            await here.send()
            if wrong == "password":
                files.replace(files.password, "wrong")
            else:
                files.replace(files.ca, trustme.CA().cert_pem.bytes().decode())
            await here.relays[0].look_at_files()
            here.crowd(40)
            await here.send()
            assert not here.dispatcher.stopped
            assert len(server.mails) == 41
            assert len({mail.connection for mail in server.mails}) == 1
            (note,) = here.dispatcher.notes
            assert ("SMTP_PASSWORD_FILE" if wrong == "password" else str(files.ca)) in note.words
            await server.hang_up()
            here.register("z")
            await here.send()
            assert here.dispatcher.stopped, "when none is left"
            await here.close()

    test()


@in_loop
async def test_a_command_that_sent_a_mail_ends_the_pause(tmp_path: Path, database: Database) -> None:
    state = StateDir(tmp_path / "state")
    async with MailServer() as server:
        settings = RelaySettings(server.host, server.port, tls="none", timeout=5)
        here = Desk(database, server, relays=[Relay("relay", Pool(settings, state=state), Pace(), 1)])
        (relay,) = here.relays
        paused = relay.standing.pause(here.clock.now(), "no", Verdict.STOP, "rcpt")
        here.register("a")
        await relay.look_at_files()
        assert here.dispatcher.paused_until == paused
        state.write(proof_of(settings), b"")
        await relay.look_at_files()
        await here.dispatcher.until_idle()
        assert (here["a"], here.dispatcher.stopped) == ("sent", False)
        await here.close()


@in_loop
async def test_a_folder_of_secrets_that_hangs_costs_a_moment_once_and_no_mail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network folder: threads that hang must not be those in which names of hosts are resolved."""
    monkeypatch.setattr("scheduler.smtp.pool.FILE_SECONDS", 0.2)
    released, asked = threading.Event(), 0

    def hang() -> RelaySettings:
        nonlocal asked
        asked += 1
        released.wait(20)
        return files.settings

    async with MailServer(tls="starttls", users={USER: "first"}) as server:
        files = Files(tmp_path, server)
        pool = Pool(replace(files.settings, read_again=hang))
        for _ in range(20):
            (await pool.open_session()).abort()
        assert asked == 1
        assert "does not answer (the earlier contents are still used)" in pool.troubles[0]
        assert await asyncio.to_thread(lambda: "a thread of the loop's own") != ""
        released.set()
        await pool.close()
