"""Access tokens from a real HTTPS endpoint: fetched when needed, kept while they are good, never shown."""

from __future__ import annotations

import asyncio
import fcntl
import functools
import gzip
import hashlib
import logging
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from scheduler.input.relay_settings import OAuthSettings
from scheduler.smtp import oauth
from scheduler.smtp.oauth import NoToken, Tokens
from scheduler.smtp.replies import Reply, Verdict, classify
from scheduler.state_dir import StateDir
from tests.smtp_server import ca_file, in_loop, pass_time
from tests.token_server import Answer, TokenServer, token

SECRET, REFRESH = "c0rrect-h0rse", "b4ttery-st4ple"


def tokens_of(server: TokenServer, state: StateDir | None = None, **changes: Any) -> Tokens:
    values: dict[str, Any] = {"client_id": "client", "client_secret": SECRET, "refresh_token": REFRESH}
    return Tokens(OAuthSettings(server.url, **(values | changes)), ca_file(), state)


def the_file_in(folder: Path) -> Path:
    (file,) = folder.glob("*.json")
    return file


@functools.cache
def bomb() -> bytes:
    """20 kB that would be 20 MB."""
    return gzip.compress(b'{"access_token": "one", "x": "' + b"x" * 20_000_000 + b'"}')


def verdict(error: NoToken) -> Verdict:
    """What the service makes of it."""
    return classify(Reply("auth", 0, "", str(error)))


@in_loop
async def test_a_refresh_token_is_exchanged_for_an_access_token() -> None:
    async with TokenServer(token("one")) as server:
        assert await tokens_of(server, scope="mail offline").current() == "one"
        assert server.forms == [
            {
                "grant_type": "refresh_token",
                "client_id": "client",
                "client_secret": SECRET,
                "refresh_token": REFRESH,
                "scope": "mail offline",
            }
        ]
        assert server.heads[0].startswith("POST /token HTTP/1.1")
        assert "application/x-www-form-urlencoded" in server.heads[0]


@in_loop
async def test_without_a_refresh_token_the_client_itself_asks() -> None:
    async with TokenServer(token("one")) as server:
        await tokens_of(server, refresh_token="").current()
        (form,) = server.forms
        assert form == {"grant_type": "client_credentials", "client_id": "client", "client_secret": SECRET}


@in_loop
async def test_a_token_is_kept_until_a_minute_before_its_end() -> None:
    async with TokenServer(token("one", expires_in=600), token("two")) as server:
        tokens = tokens_of(server)
        await tokens.current()
        pass_time(530)
        assert await tokens.current() == "one"
        pass_time(15)
        assert await tokens.current() == "two"


@pytest.mark.parametrize("said", [{"expires_in": "600"}, {"expires_in": None}, {"expires_in": "soon"}])
@in_loop
async def test_a_life_that_is_text_or_not_said(said: dict[str, Any]) -> None:
    async with TokenServer(token("one", **said), token("two")) as server:
        tokens = tokens_of(server)
        await tokens.current()
        pass_time(500)
        assert await tokens.current() == "one"


@in_loop
async def test_connections_that_need_a_token_together_fetch_one() -> None:
    async with TokenServer(token("one"), token("two")) as server:
        tokens = tokens_of(server)
        assert await asyncio.gather(*(tokens.current() for _ in range(10))) == ["one"] * 10
        assert len(server.forms) == 1


@in_loop
async def test_connections_that_need_a_token_together_fail_together() -> None:
    async with TokenServer((503, b"")) as server:
        tokens = tokens_of(server)
        failures = await asyncio.gather(*(tokens.current() for _ in range(10)), return_exceptions=True)
        assert {type(failure) for failure in failures} == {NoToken}
        assert len(server.forms) == 1
        with pytest.raises(NoToken):
            await tokens.current()
        assert len(server.forms) == 2


@in_loop
async def test_the_endpoints_new_refresh_token_replaces_the_old() -> None:
    async with TokenServer(token("one", expires_in=60, refresh_token="another"), token("two")) as server:
        tokens = tokens_of(server)
        await tokens.current()
        await tokens.current()
        assert [form["refresh_token"] for form in server.forms] == [REFRESH, "another"]


# A token that the relay refuses.
@in_loop
async def test_instead_of_a_token_that_was_accepted_before_there_is_another() -> None:
    async with TokenServer(token("one"), token("two")) as server:
        tokens = tokens_of(server)
        tokens.accepted(await tokens.current())
        assert await tokens.replace("one") == "two"
        assert await tokens.replace("one") == "two"  # another connection has seen to it
        assert len(server.forms) == 2


@in_loop
async def test_instead_of_a_token_that_was_never_accepted_there_is_none() -> None:
    async with TokenServer(token("one"), token("two")) as server:
        tokens = tokens_of(server)
        assert await tokens.replace(await tokens.current()) is None
        assert len(server.forms) == 1


# A refresh token that was renewed.
@in_loop
async def test_a_renewed_refresh_token_outlives_a_restart(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    async with TokenServer(token("one", refresh_token="another"), token("two")) as server:
        await tokens_of(server, state=state).current()
        await tokens_of(server, state=state).current()
        assert [form["refresh_token"] for form in server.forms] == [REFRESH, "another"]
    file = the_file_in(state.folder)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert REFRESH not in file.read_text() + file.name


@in_loop
async def test_an_operator_who_sets_another_refresh_token_wins(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    async with TokenServer(token("one", refresh_token="another"), token("two")) as server:
        tokens = tokens_of(server, state=state)
        await tokens.current()
        settings = OAuthSettings(server.url, "client", SECRET, "set again")
        tokens.use(settings, ca_file(), new_authorities=False)
        assert await tokens.current() == "two"
        await tokens_of(server, state=state, refresh_token="set again").current()
        assert [form["refresh_token"] for form in server.forms] == [REFRESH, "set again", "set again"]


@in_loop
async def test_what_another_service_renewed_in_the_same_folder_is_used(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    async with TokenServer(
        token("one", expires_in=1), token("two", refresh_token="another"), token("x")
    ) as server:
        first, second = tokens_of(server, state=state), tokens_of(server, state=state)
        await first.current()
        await second.current()
        await first.current()
        assert [form["refresh_token"] for form in server.forms] == [REFRESH, REFRESH, "another"]


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"refresh_token": 1}', b"[" * 100_000])
@in_loop
async def test_a_file_of_state_that_is_damaged_counts_as_none(content: bytes, tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    async with TokenServer(token("one", refresh_token="another"), token("two")) as server:
        await tokens_of(server, state=state).current()
        state.write(the_file_in(tmp_path).name, content)
        await tokens_of(server, state=state).current()
        assert server.forms[-1]["refresh_token"] == REFRESH


@in_loop
async def test_a_refresh_token_that_cannot_be_kept_is_used_and_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    state = StateDir(tmp_path / "file")
    async with TokenServer(token("one", expires_in=1, refresh_token="another"), token("two")) as server:
        tokens = tokens_of(server, state=state)
        await tokens.current()
        assert "cannot be stored in STATE_DIR" in tokens.trouble
        assert "another" not in tokens.trouble
        await tokens.current()
        assert server.forms[-1]["refresh_token"] == "another"


# Services that share the folder, and an endpoint that takes each refresh token once.
@contextmanager
def held_by_another(state: StateDir) -> Iterator[None]:
    """By a service that was stopped in the middle of asking, say."""
    digest = hashlib.sha256(REFRESH.encode()).hexdigest()
    with state.path(f"refresh-token-{digest[:16]}.lock").open("w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


@in_loop
async def test_services_that_ask_at_once_take_turns(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    answers = [token(f"access {n}".replace(" ", "-"), refresh_token=f"refresh-{n}") for n in range(4)]
    async with TokenServer(*answers) as server:
        services = [tokens_of(server, state=state) for _ in range(4)]
        found = await asyncio.gather(*(one.current() for one in services))
        assert sorted(found) == [f"access-{n}" for n in range(4)]
        used = [form["refresh_token"] for form in server.forms]
        assert used == [REFRESH, "refresh-0", "refresh-1", "refresh-2"]
        assert [one.trouble for one in services] == [""] * 4


@in_loop
async def test_one_that_needs_a_token_does_not_wait_for_the_other_beyond_the_time_of_a_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oauth, "LONGEST_WAIT", 0.6)
    async with TokenServer(token("one", refresh_token="another"), token("two")) as server:
        with held_by_another(StateDir(tmp_path)):
            first = tokens_of(server, state=StateDir(tmp_path))
            assert await first.current() == "one"
            assert await tokens_of(server, state=StateDir(tmp_path)).current() == "two"
        assert [form["refresh_token"] for form in server.forms] == [REFRESH, "another"], "with the newest"


@in_loop
async def test_one_whose_token_is_still_good_waits_and_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oauth, "SHORT_WAIT", 0.1)
    async with TokenServer(token("one", expires_in=600, refresh_token="another"), token("two")) as server:
        tokens = tokens_of(server, state=StateDir(tmp_path))
        await tokens.current()
        pass_time(550)
        with held_by_another(StateDir(tmp_path)):
            assert await tokens.current() == "one"
        assert len(server.forms) == 1
        assert tokens.trouble.endswith("another service with this STATE_DIR is renewing it")
        monkeypatch.setattr(oauth, "SHORT_WAIT", 5.0)
        pass_time(20)
        assert await tokens.current() == "two"
        assert tokens.trouble == ""
        assert server.forms[-1]["refresh_token"] == "another"


@pytest.mark.parametrize("error", [OSError(37, "No locks available"), OSError(95, "Operation not supported")])
@in_loop
async def test_a_folder_without_locks_keeps_no_token_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def refuses(*_: object) -> None:
        raise error

    monkeypatch.setattr(fcntl, "flock", refuses)
    async with TokenServer(token("one", expires_in=600), token("two")) as server:
        tokens = tokens_of(server, state=StateDir(tmp_path))
        assert await tokens.current() == "one"
        pass_time(550)
        assert await tokens.current() == "two"


@in_loop
async def test_a_lock_that_hangs_is_given_back_once_it_is_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oauth, "LONGEST_WAIT", 0.6)
    lock, released = fcntl.flock, threading.Event()

    def hangs(*given: Any) -> None:
        released.wait(20)
        lock(*given)

    async with TokenServer(token("one")) as server:
        with monkeypatch.context() as patched:
            patched.setattr(fcntl, "flock", hangs)
            assert await tokens_of(server, state=StateDir(tmp_path)).current() == "one"
        released.set()
        for thread in threading.enumerate():
            if thread.name == "STATE_DIR":
                await asyncio.to_thread(thread.join, 20)
        with held_by_another(StateDir(tmp_path)):
            pass


@in_loop
async def test_who_gives_up_in_the_middle_loses_no_refresh_token(tmp_path: Path) -> None:
    """The endpoint has replaced it by then."""
    async with TokenServer(token("one", refresh_token="another"), token("two")) as server:
        tokens = tokens_of(server, state=StateDir(tmp_path))
        waiting = asyncio.create_task(tokens.current())
        await server.asked.wait()
        waiting.cancel()
        assert await tokens.current() == "one"
        assert await tokens_of(server, state=StateDir(tmp_path)).current() == "two"
        assert [form["refresh_token"] for form in server.forms] == [REFRESH, "another"]


@in_loop
async def test_without_a_refresh_token_there_is_nothing_to_lock(tmp_path: Path) -> None:
    async with TokenServer(token("one")) as server:
        await tokens_of(server, state=StateDir(tmp_path / "state"), refresh_token="").current()
    assert not StateDir(tmp_path / "state").folder.exists()


# A token that is good while its renewal fails.
@pytest.mark.parametrize("answer", [(503, b""), (400, {"error": "invalid_grant"}), (200, b"<html>")])
@in_loop
async def test_a_token_that_is_still_good_is_used_when_its_renewal_fails(answer: Answer) -> None:
    async with TokenServer(token("one", expires_in=600), answer) as server:
        tokens = tokens_of(server)
        await tokens.current()
        pass_time(550)
        assert [await tokens.current() for _ in range(3)] == ["one"] * 3
        assert len(server.forms) == 2, "not each time"
        assert "is used until it expires" in tokens.trouble
        pass_time(20)
        assert await tokens.current() == "one"
        assert len(server.forms) == 3
        pass_time(31)
        with pytest.raises(NoToken):
            await tokens.current()
        server.answers = [token("two")]
        assert await tokens.current() == "two"
        assert tokens.trouble == ""


@in_loop
async def test_while_it_is_good_nobody_waits_long_for_its_renewal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oauth, "SHORT_WAIT", 0.1)
    async with TokenServer(token("one", expires_in=600)) as server:
        tokens = tokens_of(server)
        await tokens.current()
        pass_time(550)
        server.silent = True
        async with asyncio.timeout(5):
            assert await tokens.current() == "one"


# What an endpoint says of itself is not believed.
@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("-1", 3600), ("-3600.5", 3600), ("0", 3600), ("1e400", 3600), ("NaN", 3600), ("Infinity", 3600),
        ('"nan"', 3600), ("[]", 3600), ("{}", 3600), ("null", 3600), ("1" + "0" * 30, 86_400), ('"1e30"', 86_400),
        ("9" * 400, 3600), ("120", 120), ('"120.5"', 120.5), ("true", 1),
    ],
)  # fmt: skip
@in_loop
async def test_a_life_that_makes_no_sense(said: str, seconds: float) -> None:
    body = f'{{"access_token": "one", "expires_in": {said}}}'.encode()
    async with TokenServer((200, body), token("two")) as server:
        tokens = tokens_of(server)
        before = asyncio.get_running_loop().time()
        assert await tokens.current() == "one"
        assert 0 <= tokens._ends_at - before - seconds < 20


@pytest.mark.parametrize("status", [200, 400])
@in_loop
async def test_an_answer_that_does_not_end_is_not_read_on(status: int) -> None:
    async with TokenServer((status, b'{"x": "' + b"x" * 5_000_000), token("one")) as server:
        tokens = tokens_of(server)
        with pytest.raises(NoToken, match="too long") as failure:
            await tokens.current()
        assert verdict(failure.value) is Verdict.PAUSE_RELAY
        assert await tokens.current() == "one"


@pytest.mark.parametrize("name", ["access_token", "refresh_token"])
@in_loop
async def test_a_token_that_is_too_long_is_none(name: str) -> None:
    """Each that is known is looked for in all that is logged."""
    answer = {"access_token": "one"} | {name: "x" * 60_000}
    async with TokenServer((200, answer)) as server:
        with pytest.raises(NoToken, match="a token that is too long"):
            await tokens_of(server).current()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
@in_loop
async def test_an_answer_is_not_decompressed(encoding: str) -> None:
    async with TokenServer((200, bomb())) as server:
        server.headers = f"Content-Encoding: {encoding}\r\n"
        with pytest.raises(NoToken, match="has no token"):
            await tokens_of(server).current()
        assert "accept-encoding: identity" in server.heads[0].lower()


@pytest.mark.parametrize("body", [b"[" * 60_000, b'{"expires_in": ' + b"9" * 10_000 + b"}"])
@in_loop
async def test_an_answer_that_no_parser_takes(body: bytes) -> None:
    async with TokenServer((200, body)) as server:
        with pytest.raises(NoToken, match="has no token"):
            await tokens_of(server).current()


# Refused, or out of order.
@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (400, {"error": "invalid_client"}, "invalid_client"),
        (
            401,
            {"error": "invalid_client", "error_description": f"secret {SECRET} is wrong"},
            "invalid_client",
        ),
        (
            400,
            {
                "error": "unauthorized_client",
                "error_description": "AADSTS700016: The application of ana@who.int is not known",
            },
            "unauthorized_client (AADSTS700016)",
        ),
        (400, {"error": f"{SECRET}"}, "HTTP status 400"),
        (404, b"<html>", "HTTP status 404"),
        (302, b"", "HTTP status 302"),
    ],
)
@in_loop
async def test_a_refusal_is_named_and_stops(status: int, answer: Any, words: str) -> None:
    async with TokenServer((status, answer)) as server:
        with pytest.raises(NoToken) as refusal:
            await tokens_of(server).current()
        assert str(refusal.value) == f"the token endpoint refuses: {words}"
        assert verdict(refusal.value) is Verdict.STOP


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({}, "invalid_grant"),
        (
            {"error_description": "AADSTS700082: The token of ana@who.int ended"},
            "invalid_grant (AADSTS700082)",
        ),
    ],
)
@in_loop
async def test_a_refresh_token_that_counts_no_more_is_named_with_what_may_have_ended_it(
    more: dict[str, str], code: str
) -> None:
    async with TokenServer((400, {"error": "invalid_grant"} | more)) as server:
        with pytest.raises(NoToken) as refusal:
            await tokens_of(server).current()
        words = (
            "the refresh token has expired, was revoked, or was replaced when another service used it: set a new one,"
            " and let all services share one STATE_DIR"
        )
        assert str(refusal.value) == f"the token endpoint refuses: {code}: {words}"
        assert verdict(refusal.value) is Verdict.STOP
        with pytest.raises(NoToken) as refusal:
            await tokens_of(server, refresh_token="").current()
        assert str(refusal.value) == f"the token endpoint refuses: {code}"


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (500, b"", "fails temporarily: HTTP status 500"),
        (503, {"error": "temporarily_unavailable"}, "fails temporarily: temporarily_unavailable"),
        (400, {"error": "server_error"}, "fails temporarily: server_error"),
        (429, b"", "fails temporarily: HTTP status 429"),
        (200, b"<html>Sign in to the hotel's network</html>", "'s response has no token"),
        (200, b"\xff\xfe", "'s response has no token"),
        (200, [SECRET], "'s response has no token"),
        (200, {"access_token": 1}, "'s response has no token"),
        (200, {"access_token": "two\x01auth=parts"}, "'s response has no token"),
    ],
)
@in_loop
async def test_a_failure_pauses_the_relay_until_it_is_over(status: int, answer: Any, words: str) -> None:
    async with TokenServer((status, answer), token("one")) as server:
        tokens = tokens_of(server)
        with pytest.raises(NoToken) as failure:
            await tokens.current()
        assert words in str(failure.value)
        assert SECRET not in str(failure.value)
        assert verdict(failure.value) is Verdict.PAUSE_RELAY
        assert await tokens.current() == "one"


@in_loop
async def test_an_endpoint_that_is_down_pauses_the_relay() -> None:
    async with TokenServer(token("one")) as server:
        url = server.url
    tokens = Tokens(OAuthSettings(url, "client"), ca_file())
    with pytest.raises(NoToken, match="does not answer") as failure:
        await tokens.current()
    assert verdict(failure.value) is Verdict.PAUSE_RELAY


@pytest.mark.parametrize(
    "url", ["https://no-such-host.invalid/token", "https://a..b/token", "https://[::/token"]
)
@in_loop
async def test_an_address_that_leads_nowhere_pauses_the_relay(url: str) -> None:
    with pytest.raises(NoToken, match="does not answer"):
        await Tokens(OAuthSettings(url, "client"), ca_file()).current()


@pytest.mark.parametrize(
    "proxy", ["http://me:Pa55/word@proxy:3128", "socks5://me:Pa55word@proxy", "ftp://me:Pa55word@proxy"]
)
@in_loop
async def test_a_proxy_that_cannot_be_used_is_no_traceback_and_its_password_is_not_shown(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(NoToken, match="does not answer") as failure:
        await Tokens(OAuthSettings("https://login.example.org/token", "client"), ca_file()).current()
    assert "Pa55" not in str(failure.value)
    assert verdict(failure.value) is Verdict.PAUSE_RELAY


@in_loop
async def test_an_endpoint_that_says_nothing_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oauth, "LONGEST_WAIT", 0.2)
    async with TokenServer(token("one")) as server:
        server.silent = True
        with pytest.raises(NoToken, match="does not answer") as failure:
            await tokens_of(server).current()
        assert verdict(failure.value) is Verdict.PAUSE_RELAY


@pytest.mark.parametrize(("trusted", "expired"), [(False, False), (True, True)])
@in_loop
async def test_an_endpoint_that_cannot_prove_who_it_is_gets_nothing(trusted: bool, expired: bool) -> None:
    async with TokenServer(token("one"), expired=expired) as server:
        tokens = Tokens(OAuthSettings(server.url, "client", SECRET), ca_file() if trusted else None)
        with pytest.raises(NoToken, match="certificate verify failed") as failure:
            await tokens.current()
        assert server.forms == []
        assert verdict(failure.value) is Verdict.STOP


@in_loop
async def test_no_secret_is_in_a_text_or_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "httpx")  # which the service itself keeps quiet
    async with TokenServer((400, {"error": "invalid_grant"}), token("t0p-secret")) as server:
        tokens = tokens_of(server)
        with pytest.raises(NoToken):
            await tokens.current()
        await tokens.current()
    said = f"{caplog.text} {OAuthSettings('u', 'c', SECRET, REFRESH)!r}"
    assert "HTTP" in said
    for secret in (SECRET, REFRESH, "t0p-secret"):
        assert secret not in said
