"""A relay or a token endpoint that repeats what it was told: nothing that the service writes has a secret in it.

Every fault of SMTP and OAuth, over real sockets, with all that is written searched: the log at its most talkative, all
tables of the database, what readiness says, the mails to organizers, and the texts of exceptions.
"""

from __future__ import annotations

import base64
import json
import logging
import traceback
from collections.abc import Iterator
from urllib.parse import quote, unquote

import pytest
import structlog
from sqlalchemy import inspect, text

from scheduler import alerts
from scheduler.alerts import AlertKey
from scheduler.database.engine import Database
from scheduler.delivery.pace import Pace
from scheduler.delivery.relay import Relay
from scheduler.input.relay_settings import OAuthSettings
from scheduler.logs import set_up_logs
from scheduler.service.alerting import Notifier
from scheduler.smtp.pool import Pool, RelayFailure, RelaySettings
from tests.delivery.test_dispatcher import Desk
from tests.smtp.scripted import Act, ScriptedServer
from tests.smtp_server import MailServer, Tls, ca_file, in_loop
from tests.support import webinar
from tests.token_server import Answer, TokenServer, token

pytestmark = pytest.mark.engines("sqlite")

USER = "webinar-service"
PASSWORD = 'c0rrect/h0rse+"b4ttery" st4ple'
CLIENT_SECRET, REFRESH, RENEWED = "cl1ent~secret-8Q~", "r3fresh_token_0Ab", "r3newed-t0ken-XyZ"
ACCESS = "eyJ0eXAi.acc3ss-t0ken_" + "q7W" * 30
SECRETS = (PASSWORD, CLIENT_SECRET, REFRESH, RENEWED, ACCESS)


def b64(words: str) -> str:
    return base64.b64encode(words.encode()).decode()


def forms(secret: str) -> list[str]:
    return [
        secret,
        quote(secret, safe=""),
        b64(secret),
        b64(f"\0{USER}\0{secret}"),
        b64(f"user={USER}\1auth=Bearer {secret}\1\1"),
    ]


PASSWORD_ECHO, TOKEN_ECHO = " ".join(forms(PASSWORD)), " ".join(forms(ACCESS))
"""What a relay may have been told."""
OAUTH_ECHO = " ".join(
    form for secret in (CLIENT_SECRET, REFRESH, ACCESS, RENEWED) for form in forms(secret)[:3]
)

# What the relay says at each stage, one after the other; {} is what it was told.
REPLIES: dict[str, list[str]] = {
    "banner": ["554 5.7.1 {}", "421 4.3.2 {}", "{}"],
    "ehlo": ["550 5.7.1 {}", "250-relay.test\r\n250 AUTH {}", "250-{}\r\n{}"],
    "starttls": ["454 4.7.0 {}", "501 5.5.4 {}", "220-{}\r\n{}"],
    "auth": [
        "535 5.7.8 {}", "535-5.7.8 {}\r\n535 5.7.8 {}", "504 5.5.4 {}", "454 4.7.0 {}", "421 4.7.0 {}", "334 {}", "{}",
    ],
    "mail": ["550 5.7.1 {}", "451 4.3.0 {}", "354 {}", "{}"],
    "rcpt": ["550 5.1.1 {}", "450 4.2.0 {}", "554 5.7.1 Relay access denied {}", "{}"],
    "data": ["451 4.3.0 {}", "554 5.5.1 {}", "250 {}", "{}"],
    "content": ["250 2.0.0 Ok: queued as {}", "554 5.7.1 {}", "421 4.3.2 {}", "354 {}", "{}"],
}  # fmt: skip
CASES = [
    *(("PLAIN", stage, False) for stage in REPLIES),
    *(pytest.param("PLAIN", stage, True, marks=pytest.mark.full) for stage in ("mail", "rcpt", "data")),
    ("PLAIN", "content", True),
    *((mechanism, "auth", False) for mechanism in ("LOGIN", "XOAUTH2")),
    *(pytest.param(mechanism, "mail", False, marks=pytest.mark.full) for mechanism in ("LOGIN", "XOAUTH2")),
]
"""How it is signed in, where the relay repeats what it was told, and whether mails go in a pipeline."""

# What the token endpoint says, and in which header it says more.
ANSWERS: list[tuple[Answer, str]] = [
    ((400, {"error": "invalid_grant", "error_description": OAUTH_ECHO}), ""),
    ((400, {"error": CLIENT_SECRET}), ""),
    ((401, {"error": "invalid_client", "error_description": f"AADSTS7000215: {OAUTH_ECHO}"}), ""),
    ((400, {"error": {"is": OAUTH_ECHO}}), ""),
    ((500, OAUTH_ECHO.encode()), ""),
    ((302, b""), f"Location: https://127.0.0.1/{quote(OAUTH_ECHO, safe='')}\r\n"),
    ((200, {"access_token": f"{ACCESS} {REFRESH}"}), ""),
    ((200, {"access_token": [ACCESS], "refresh_token": RENEWED}), ""),
    ((0, f"HTTP/1.1 {OAUTH_ECHO}\r\n\r\n".encode()), ""),
    ((0, f"{OAUTH_ECHO}\r\n".encode()), ""),
    ((0, f"HTTP/1.1 200 OK\r\n{OAUTH_ECHO}\r\n\r\n".encode()), ""),
    ((0, f"HTTP/1.1 200 OK\r\nContent-Length: {CLIENT_SECRET}\r\n\r\n".encode()), ""),
    (
        (200, {"access_token": ACCESS, "refresh_token": RENEWED, "expires_in": 3600}),
        f"X-Echo: {OAUTH_ECHO}\r\n",
    ),
]


@pytest.fixture(autouse=True)
def talkative() -> Iterator[None]:
    """The log as the service writes it, at its most talkative."""
    root = logging.getLogger()
    handlers, level, settings = root.handlers, root.level, structlog.get_config()
    set_up_logs("debug")
    structlog.configure(cache_logger_on_first_use=False)  # or the loggers of modules would stay so
    yield
    root.handlers, root.level = handlers, level
    structlog.configure(**settings)


class Searched:
    """Everything that was written, gathered."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def add(self, where: str, written: object) -> None:
        self.texts[where] = self.texts.get(where, "") + f"\n{written}"

    def add_tables(self, database: Database) -> None:
        with database.transaction() as conn:
            for table in inspect(conn).get_table_names():
                self.add(f"table {table}", list(conn.execute(text(f'SELECT * FROM "{table}"'))))

    def check(self) -> None:
        for where, written in self.texts.items():
            for read in (written, written.replace('\\"', '"'), unquote(written)):
                for secret in SECRETS:
                    for form in (*forms(secret), secret[:10], b64(secret)[:12]):
                        assert form.lower() not in read.lower(), f"{where}: {form}"


class Meeting:
    """What a service does that meets this relay, time after time: sending, looking at itself, notifying organizers."""

    def __init__(self, database: Database, server: ScriptedServer, settings: RelaySettings) -> None:
        self.found, self._database, self._people = Searched(), database, iter(range(100))
        self._relay = Relay("relay", Pool(settings), Pace(), 1)
        self._desk = Desk(database, server, relays=[self._relay])

    async def once(self) -> None:
        self._desk.register(f"p{next(self._people)}")
        await self._desk.send()
        dispatcher = self._desk.dispatcher
        self.found.add("readiness", (dispatcher.trouble, dispatcher.troubles, dispatcher.notes))
        await self._notify(dispatcher.trouble)
        try:
            async with self._relay.pool.connection() as connection:
                await connection.send("webinar@who.int", "ana@people.test", b"Subject: x\r\n\r\nx\r\n")
        except RelayFailure as failure:
            self.found.add("exception", "".join(traceback.format_exception(failure)))
            self.found.add("exception", f"{failure!r} {failure} {failure.reply!r}")
        self._relay.standing.clear()

    async def _notify(self, words: str) -> None:
        now = self._desk.clock.now()
        with self._database.transaction() as conn:
            alerts.reconcile(conn, now, {AlertKey("text", "organizer@who.int"): words} if words else {}, "")
        async with MailServer() as other:
            well = Pool(RelaySettings(other.host, other.port, tls="none", timeout=5))
            relays = [self._relay, Relay("well", well, Pace(), 1)]
            await Notifier(self._database, relays, lambda _: True).notify(now, [webinar()])
            self.found.add("alerts", [mail.content.decode() for mail in other.mails])
            await well.close()

    async def over(self, log: pytest.CaptureFixture[str]) -> Searched:
        await self._desk.close()
        self.found.add_tables(self._database)
        self.found.add("log", log.readouterr().err)
        return self.found


@pytest.mark.parametrize(("mechanism", "stage", "pipelining"), CASES)
def test_a_relay_that_repeats_what_it_was_told(
    mechanism: str, stage: str, pipelining: bool, database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    @in_loop
    async def test() -> None:
        tls: Tls = "starttls" if stage == "starttls" else "none"
        extensions = ["8BITMIME", f"AUTH {mechanism}", *(["PIPELINING"] if pipelining else [])]
        # After AUTH LOGIN and the user's name, a line with the password.
        script: dict[str, Act | list[Act]] = {"auth": "334 UGFzc3dvcmQ6"} if mechanism == "LOGIN" else {}
        at = b64(PASSWORD).lower() if mechanism == "LOGIN" and stage == "auth" else stage
        script |= {b64(PASSWORD).lower(): "235 2.7.0 ok"} if mechanism == "LOGIN" else {}
        answer = token(ACCESS, refresh_token=RENEWED)
        async with (
            ScriptedServer(script, tls=tls, extensions=extensions) as server,
            TokenServer(answer) as endpoint,
        ):
            oauth = (
                OAuthSettings(endpoint.url, "client", CLIENT_SECRET, REFRESH)
                if mechanism == "XOAUTH2"
                else None
            )
            settings = RelaySettings(
                server.host, server.port, tls=tls, username=USER, password="" if oauth else PASSWORD, timeout=1,
                ca_file=ca_file(), client_name="client.test", oauth=oauth,
            )  # fmt: skip
            meeting = Meeting(database, server, settings)
            for reply in REPLIES[stage]:
                server.script[at] = reply.replace("{}", TOKEN_ECHO if oauth else PASSWORD_ECHO)
                await meeting.once()
            said = server.commands
            found = await meeting.over(capfd)
        found.check()
        assert stage in ("banner", "content") or any(line.upper().startswith(stage.upper()) for line in said)
        told_at = "connect" if stage == "banner" else stage
        assert f"'{told_at}'" in found.texts["table attempt"] or f"{told_at}: " in found.texts["readiness"]

    test()


def test_a_token_endpoint_that_repeats_what_it_was_told(
    database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    @in_loop
    async def test() -> None:
        script: dict[str, Act | list[Act]] = {"auth": f"535 5.7.8 {TOKEN_ECHO}"}
        async with (
            ScriptedServer(script, extensions=["AUTH XOAUTH2"]) as server,
            TokenServer(token("x")) as endpoint,
        ):
            oauth = OAuthSettings(endpoint.url, "client", CLIENT_SECRET, REFRESH)
            settings = RelaySettings(
                server.host, server.port, tls="none", username=USER, timeout=5, ca_file=ca_file(), oauth=oauth
            )
            meeting = Meeting(database, server, settings)
            for answer, header in ANSWERS:
                asked = len(endpoint.forms)
                endpoint.answers, endpoint.headers = [answer], header
                await meeting.once()
                assert len(endpoint.forms) > asked
            found = await meeting.over(capfd)
        found.check()
        assert "the token endpoint refuses: invalid_client (AADSTS7000215)" in found.texts["readiness"]

    test()


def test_the_search_finds_what_it_searches_for() -> None:
    for secret in SECRETS:
        for form in forms(secret):
            found = Searched()
            found.add("log", json.dumps({"reply": form}))
            with pytest.raises(AssertionError):
                found.check()


def test_settings_show_no_secret() -> None:
    oauth = OAuthSettings("https://x.test/token", "client", CLIENT_SECRET, REFRESH)
    found = Searched()
    found.add(
        "settings", repr(RelaySettings("relay.test", 25, username=USER, password=PASSWORD, oauth=oauth))
    )
    found.check()
