"""Connections to a relay that are secured, kept and opened again, and mails that go over them unharmed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from scheduler.smtp import session as session_module
from scheduler.smtp.envelope import Mail
from scheduler.smtp.pool import Doubtful, Pool, Refused, RelaySettings, Unreachable
from scheduler.smtp.replies import Reply
from scheduler.smtp.session import _address_literal
from tests.delivery.rolling import send_over
from tests.smtp.scripted import CHUNKS, Deed, Fault, ScriptedServer
from tests.smtp_server import MailServer, ca_file, in_loop, pass_time

SENDER, ANA, BEN = "webinar@example.org", "ana@example.com", "ben@example.com"
CONTENT = b"Subject: Hello\r\n\r\nWe meet on Thursday.\r\n"


def settings_for(server: MailServer | ScriptedServer, **changes: Any) -> RelaySettings:
    values: dict[str, Any] = {
        "tls": server.tls,
        "ca_file": ca_file(),
        "timeout": 5.0,
        "client_name": "client.test",
    }
    return RelaySettings(host=server.host, port=server.port, **(values | changes))


async def send(pool: Pool, recipient: str = ANA, content: bytes = CONTENT, sender: str = SENDER) -> str:
    async with pool.connection() as connection:
        return str(await connection.send(sender, recipient, content))


# A mail.
@in_loop
async def test_a_mail_arrives_byte_for_byte() -> None:
    content = b"Subject: Dots\r\n\r\n.\r\n..two\r\n.one\r\nend."
    async with MailServer() as server:
        pool = Pool(settings_for(server))
        assert await send(pool, content=content) == "content: 250 2.0.0 Queued as 1"
        await pool.close()
        (mail,) = server.mails
        assert (mail.sender, mail.recipients) == (SENDER, (ANA,))
        assert mail.content == content + b"\r\n"
        assert server.hellos == ["client.test"]


@in_loop
async def test_size_and_8bitmime_are_told_when_offered_and_needed() -> None:
    content = "Subject: x\r\n\r\nÀ jeudi.\r\n".encode()
    async with MailServer() as server:
        pool = Pool(settings_for(server))
        await send(pool, content=content)
        await send(pool)
        await pool.close()
        assert server.mails[0].options == (f"SIZE={len(content)}", "BODY=8BITMIME")
        assert server.mails[1].options == (f"SIZE={len(CONTENT)}",)


@in_loop
async def test_nothing_is_asked_of_a_relay_that_does_not_offer_it() -> None:
    async with MailServer(without=("SIZE", "8BITMIME", "SMTPUTF8")) as server:
        pool = Pool(settings_for(server))
        await send(pool)
        with pytest.raises(Refused, match=r"554 5\.6\.3"):
            await send(pool, content=b"Subject: x\r\n\r\n\xc3\x80\r\n")
        await send(pool)
        await pool.close()
        assert [mail.options for mail in server.mails] == [(), ()]


# Addresses.
@in_loop
async def test_a_domain_goes_as_a_labels_and_needs_no_smtputf8() -> None:
    async with MailServer(without=("SMTPUTF8",)) as server:
        pool = Pool(settings_for(server))
        await send(pool, recipient="ana@Bücher.example")
        await pool.close()
        assert server.mails[0].recipients == ("ana@xn--bcher-kva.example",)


@in_loop
async def test_a_local_part_that_is_not_ascii_asks_for_smtputf8() -> None:
    async with MailServer() as server:
        pool = Pool(settings_for(server))
        await send(pool, recipient="josé@bücher.example")
        await pool.close()
        assert server.mails[0].recipients == ("josé@xn--bcher-kva.example",)
        assert "SMTPUTF8" in server.mails[0].options


@in_loop
async def test_without_smtputf8_such_an_address_is_refused_and_the_next_is_not() -> None:
    async with MailServer(without=("SMTPUTF8",)) as server:
        pool = Pool(settings_for(server))
        with pytest.raises(Refused) as refusal:
            await send(pool, recipient="josé@example.com")
        reply = refusal.value.reply
        assert (reply.stage, reply.code, reply.enhanced) == ("rcpt", 553, "5.6.7")
        await send(pool, recipient=BEN)
        await pool.close()
        assert [mail.recipients for mail in server.mails] == [(BEN,)]


@pytest.mark.parametrize(
    "address",
    [
        '"ana silva"@example.com',
        '"a@b"@example.com',
        "o'brien+x@example.com",
        "a..b.@example.com",
        "ana@[192.0.2.1]",
    ],
)
@in_loop
async def test_unusual_addresses_go_as_they_are(address: str) -> None:
    async with ScriptedServer() as server:
        pool = Pool(settings_for(server))
        await send(pool, recipient=address)
        await pool.close()
        assert f"RCPT TO:<{address}>" in server.commands


@in_loop
async def test_the_sender_may_be_empty() -> None:
    async with ScriptedServer() as server:
        pool = Pool(settings_for(server))
        await send(pool, sender="")
        await pool.close()
        assert f"MAIL FROM:<> SIZE={len(CONTENT)}" in server.commands


BAD_ADDRESSES = [
    "",
    "ana",
    "ana@",
    "@example.com",
    "ana@example.com\r\nRCPT TO:<eve@example.com>",
    "ana@example.com\n",
    "ana\x00@example.com",
    "ana@exa\x7fmple.com",
    "ana@example.com> SIZE=1",
    "ana silva@example.com",
    '"ana\r\n"@example.com',
    "ana@b\u2028.example",
    "<ana@example.com>",
    "ana@ex..\u00fc",
]


@pytest.mark.parametrize("address", BAD_ADDRESSES)
@in_loop
async def test_what_is_no_address_is_an_error_before_anything_is_written(address: str) -> None:
    async with ScriptedServer() as server:
        pool = Pool(settings_for(server))
        async with pool.connection() as connection:
            with pytest.raises(ValueError, match="recipient") as error:
                await connection.send(SENDER, address, CONTENT)
            assert "ana" not in str(error.value)
            if address:
                with pytest.raises(ValueError, match="sender"):
                    await connection.send(address, ANA, CONTENT)
            await connection.send(SENDER, ANA, CONTENT)
        await pool.close()
        assert [line.split()[0] for line in server.commands] == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]


@pytest.mark.parametrize(
    "content", [b"a\nb\r\n", b"a\rb\r\n", b"a\r\n\n", b"\n", b"a\r", b"a\r\r\n", b"x\n.\r\n"]
)
@in_loop
async def test_a_bare_cr_or_lf_is_an_error_before_anything_is_written(content: bytes) -> None:
    async with ScriptedServer() as server:
        pool = Pool(settings_for(server))
        with pytest.raises(ValueError, match="bare CR or LF"):
            await send(pool, content=content)
        await pool.close()
        assert [line.split()[0] for line in server.commands] == ["EHLO", "QUIT"]


# TLS.
@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@in_loop
async def test_a_mail_goes_over_verified_tls_signed_in(tls: Any) -> None:
    async with MailServer(tls=tls, users={"webinar": "sécret"}) as server:
        pool = Pool(settings_for(server, username="webinar", password="sécret"))
        await send(pool)
        await send(pool, recipient=BEN)
        await pool.close()
        assert [(mail.secured, mail.user) for mail in server.mails] == [(True, "webinar")] * 2
        assert server.connections == 1


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize(
    ("certificate", "trusted", "why"),
    [
        ({"names": ("elsewhere.test",)}, True, "not valid for"),
        ({"expired": True}, True, "expired"),
        ({}, False, "self-signed certificate|unable to get local issuer"),
    ],
)
@in_loop
async def test_a_certificate_that_does_not_prove_the_relay_ends_it(
    tls: Any, certificate: dict[str, Any], trusted: bool, why: str
) -> None:
    async with MailServer(tls=tls, **certificate) as server:
        pool = Pool(settings_for(server, username="u", password="p", ca_file=ca_file() if trusted else None))
        with pytest.raises(Unreachable, match=f"certificate.*({why})") as failure:
            await send(pool)
        assert failure.value.reply.stage == ("starttls" if tls == "starttls" else "connect")
        await pool.close()
        assert server.mails == []


@in_loop
async def test_starttls_is_never_stripped() -> None:
    async with ScriptedServer() as server:  # as a man in the middle leaves it: no STARTTLS in the offer
        pool = Pool(settings_for(server, tls="starttls", username="webinar", password="secret"))
        with pytest.raises(Unreachable, match="does not offer STARTTLS") as failure:
            await send(pool)
        assert failure.value.reply.stage == "starttls"
        assert [line.split()[0] for line in server.commands] == ["EHLO"]


@in_loop
async def test_what_was_offered_before_tls_does_not_count() -> None:
    # The offer in the clear has SMTPUTF8, the one in TLS doesn't.
    in_tls = "250-relay.test\r\n250 SIZE 1000"
    async with ScriptedServer({"ehlo": ["", in_tls]}, tls="starttls") as server:
        pool = Pool(settings_for(server))
        with pytest.raises(Refused, match="SMTPUTF8"):
            await send(pool, recipient="josé@example.com")
        await pool.close()


def test_a_ca_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ValueError, match=r"no certificates can be read from /nowhere/ca\.pem"):
        Pool(RelaySettings(host="relay.test", port=587, ca_file="/nowhere/ca.pem"))


# Signing in.
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@in_loop
async def test_it_signs_in_by_what_is_offered(mechanism: str) -> None:
    async with MailServer(tls="starttls", users={"u": "p"}, mechanisms=[mechanism]) as server:
        pool = Pool(settings_for(server, username="u", password="p"))
        await send(pool)
        await pool.close()
        assert server.mails[0].user == "u"


@in_loop
async def test_a_wrong_password_is_refused_once() -> None:
    async with ScriptedServer({"auth": "535 5.7.8 Wrong"}, tls="starttls") as server:
        pool = Pool(settings_for(server, username="u", password="wrong"))
        with pytest.raises(Refused) as refusal:
            await send(pool)
        reply = refusal.value.reply
        assert (reply.stage, reply.code, reply.enhanced) == ("auth", 535, "5.7.8")
        assert (
            len([line for line in server.commands if line.startswith("AUTH")]) == 1
        )  # no way into a lock-out


@in_loop
async def test_a_mechanism_that_is_offered_and_not_known_gives_way_to_the_next() -> None:
    script: dict[str, Any] = {
        "auth": ["504 5.5.4 Not known", "334 UGFzc3dvcmQ6"],
        "cA==": "235 2.7.0 Welcome",
    }
    script = {stage.lower(): act for stage, act in script.items()}
    async with ScriptedServer(script, tls="implicit") as server:
        pool = Pool(settings_for(server, username="u", password="p"))
        await send(pool)
        await pool.close()
        assert [line.split()[1] for line in server.commands if line.startswith("AUTH")] == ["PLAIN", "LOGIN"]


@in_loop
async def test_a_relay_without_a_way_to_sign_in_is_named() -> None:
    async with ScriptedServer(tls="starttls", extensions=["AUTH GSSAPI"]) as server:
        pool = Pool(settings_for(server, username="u", password="p"))
        with pytest.raises(Unreachable, match=r"does not offer AUTH PLAIN or LOGIN \(it has: GSSAPI\)"):
            await send(pool)


@in_loop
async def test_a_password_goes_in_the_clear_only_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ScriptedServer() as server:
        pool = Pool(settings_for(server, username="u", password="p"))
        await send(pool)
        await pool.close()
        monkeypatch.setattr(session_module, "_is_loopback", lambda address: False)
        pool = Pool(settings_for(server, username="u", password="p"))
        server.commands.clear()
        with pytest.raises(Unreachable, match="never sent in the clear"):
            await send(pool)
        assert [line.split()[0] for line in server.commands] == ["EHLO"]


@pytest.mark.parametrize(
    ("address", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("192.0.2.1", False), ("fe80::1%eth0", False)],
)
def test_only_loopback_addresses_are_this_machine(address: str, loopback: bool) -> None:
    assert session_module._is_loopback(address) is loopback


def test_the_password_is_not_in_the_settings_text() -> None:
    assert "secret" not in repr(RelaySettings(host="relay.test", port=587, password="secret"))


# The name that we give ourselves.
def test_a_machine_without_a_name_gives_its_address() -> None:
    assert _address_literal("192.0.2.1") == "[192.0.2.1]"
    assert _address_literal("fe80::1%eth0") == "[IPv6:fe80::1]"


@pytest.mark.parametrize(
    ("own", "hello"), [("host.example.org", "host.example.org"), ("a1b2c3", "[127.0.0.1]")]
)
@in_loop
async def test_the_hello_is_the_full_name_or_the_address(
    own: str, hello: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.getfqdn", lambda: own)
    async with MailServer() as server:
        pool = Pool(settings_for(server, client_name=""))
        await send(pool)
        await pool.close()
        assert server.hellos == [hello]


# Refusals.
@in_loop
async def test_after_a_refusal_the_next_mail_on_the_connection_is_untouched() -> None:
    async with MailServer(refusals={ANA: "550 5.1.1 User unknown"}) as server:
        pool = Pool(settings_for(server))
        with pytest.raises(Refused) as refusal:
            await send(pool, sender="other@example.org")
        assert refusal.value.reply.enhanced == "5.1.1"
        await send(pool, recipient=BEN)
        await pool.close()
        assert [(mail.sender, mail.recipients) for mail in server.mails] == [(SENDER, (BEN,))]
        assert server.connections == 1


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "content"])
@in_loop
async def test_a_refusal_at_any_stage_is_followed_by_rset(stage: str) -> None:
    async with ScriptedServer({stage: ["451 4.3.0 Later"]}) as server:
        pool = Pool(settings_for(server))
        with pytest.raises(Refused) as refusal:
            await send(pool)
        assert refusal.value.reply.stage == stage
        await send(pool)
        await pool.close()
        assert server.commands.count("RSET") == 1
        assert len(server.mails) == 1
        assert server.connections == 1


@pytest.mark.parametrize("deed", ["500 5.5.1 What?", "421 4.3.0 Bye", Deed.CLOSE, Deed.GARBAGE, Deed.TWICE])
@in_loop
async def test_a_connection_that_cannot_be_reset_is_not_used_again(deed: Any) -> None:
    async with ScriptedServer({"rcpt": ["550 5.1.1 No"], "rset": deed}) as server:
        pool = Pool(settings_for(server))
        with pytest.raises(Refused, match=r"550 5\.1\.1 No"):
            await send(pool)
        await send(pool)
        await pool.close()
        assert server.connections == 2


@in_loop
async def test_an_address_is_in_the_reply_and_never_in_the_exceptions_text() -> None:
    text = f"550 5.1.1 <{ANA}>: no user Ana here"
    async with ScriptedServer({"rcpt": text}) as server:
        pool = Pool(settings_for(server))
        with pytest.raises(Refused) as refusal:
            await send(pool)
        await pool.close()
        assert ANA in refusal.value.reply.text
        assert "ana" not in str(refusal.value).lower()
        assert str(refusal.value) == "rcpt: 550 5.1.1 <address>: no user <address> here"


# The pool.
@in_loop
async def test_connections_are_reused_and_never_more_than_allowed() -> None:
    async with MailServer() as server:
        pool = Pool(settings_for(server, connections=3))
        await asyncio.gather(*(send(pool, recipient=f"r{number}@example.com") for number in range(30)))
        assert server.connections == 3
        await pool.close()
        assert {mail.recipients[0] for mail in server.mails} == {
            f"r{number}@example.com" for number in range(30)
        }


@in_loop
async def test_a_connection_is_ready_before_the_mail_is_given_to_it() -> None:
    async with ScriptedServer({"auth": "535 5.7.8 Wrong"}) as server:
        pool = Pool(settings_for(server, username="u", password="p"))
        entered = False
        with pytest.raises(Refused):
            async with pool.connection():
                entered = True
        assert not entered


@in_loop
async def test_a_relay_that_hung_up_meanwhile_costs_no_attempt() -> None:
    async with MailServer() as server:
        pool = Pool(settings_for(server))
        await send(pool)
        await server.hang_up()
        await send(pool, recipient=BEN)
        await pool.close()
        assert [mail.recipients[0] for mail in server.mails] == [ANA, BEN]


@in_loop
async def test_a_relay_that_hangs_up_just_before_the_mail_still_has_what_it_offered() -> None:
    # "Broken" must not be taken for "does not offer SMTPUTF8", which would fail the address.
    async with MailServer() as server:
        pool = Pool(settings_for(server))
        await send(pool)
        async with pool.connection() as connection:
            await server.hang_up()
            while connection.session._smtp.protocol is not None:  # noqa: ASYNC110
                await asyncio.sleep(0)
            await connection.send(SENDER, "josé@example.com", "À jeudi.\r\n".encode())
        await pool.close()
        assert [mail.recipients[0] for mail in server.mails] == [ANA, "josé@example.com"]


STALE = [
    Deed.CLOSE,
    Deed.RESET,
    Deed.GARBAGE,
    "421 4.4.2 relay.test Error: timeout exceeded",
    "421 Too many messages in this session",
]


@pytest.mark.parametrize("deed", STALE)
@in_loop
async def test_a_reused_connection_that_breaks_before_the_content_is_opened_again_once(deed: Any) -> None:
    async with ScriptedServer({"mail": ["", deed]}) as server:
        pool = Pool(settings_for(server))
        await send(pool)
        await send(pool)
        await pool.close()
        assert (len(server.mails), server.connections) == (2, 2)


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
@in_loop
async def test_it_is_opened_again_only_once(stage: str) -> None:
    async with ScriptedServer({stage: ["", Deed.CLOSE, Deed.CLOSE]}) as server:
        pool = Pool(settings_for(server))
        await send(pool)
        with pytest.raises(Unreachable) as failure:
            await send(pool)
        assert failure.value.reply.stage == stage
        await send(pool)
        await pool.close()
        assert (len(server.mails), server.connections) == (2, 3)


@in_loop
async def test_a_new_connection_that_breaks_is_told() -> None:
    async with ScriptedServer({"mail": [Deed.CLOSE]}) as server:
        pool = Pool(settings_for(server))
        with pytest.raises(Unreachable):
            await send(pool)
        assert server.connections == 1


@pytest.mark.parametrize("stage", ["midway", "content"])
@in_loop
async def test_a_reused_connection_that_breaks_in_the_content_is_never_tried_again(stage: str) -> None:
    async with ScriptedServer({stage: ["", Deed.CLOSE]}) as server:
        pool = Pool(settings_for(server))
        await send(pool)
        with pytest.raises(Doubtful):
            await send(pool)
        assert server.connections == 1


@in_loop
async def test_a_421_that_is_about_the_relay_is_told_on_a_reused_connection_too() -> None:
    async with ScriptedServer({"mail": ["", "421 4.3.2 Going down for maintenance"]}) as server:
        pool = Pool(settings_for(server))
        await send(pool)
        with pytest.raises(Refused, match="maintenance"):
            await send(pool)
        assert server.connections == 1


@pytest.mark.parametrize(("answer", "connections"), [("", 1), (Deed.CLOSE, 2), ("421 4.4.2 Timeout", 2)])
@in_loop
async def test_a_connection_that_idled_is_tried_first(answer: Any, connections: int) -> None:
    async with ScriptedServer({"noop": answer}) as server:
        pool = Pool(settings_for(server), idle_limit=0)
        await send(pool)
        await send(pool)
        await pool.close()
        assert server.commands.count("NOOP") == 1
        assert (len(server.mails), server.connections) == (2, connections)


@in_loop
async def test_closing_takes_leave_and_does_not_wait_for_long() -> None:
    async with ScriptedServer({"quit": [Deed.SILENCE]}) as server:
        pool = Pool(settings_for(server, connections=2))
        async with pool.connection() as first, pool.connection() as second:
            await first.send(SENDER, ANA, CONTENT)
            await second.send(SENDER, BEN, CONTENT)
        closing = asyncio.create_task(pool.close())
        await server.silent.wait()
        pass_time(2)
        await closing
        await pool.close()
        assert server.commands.count("QUIT") == 2
        with pytest.raises(RuntimeError, match="closed"):
            await send(pool)


@in_loop
async def test_a_connection_in_use_while_the_pool_closes_finishes_its_mail() -> None:
    async with ScriptedServer() as server:
        pool = Pool(settings_for(server))
        async with pool.connection() as connection:
            await pool.close()
            await connection.send(SENDER, ANA, CONTENT)
        assert server.commands[-1] == "QUIT"
        assert len(server.mails) == 1


# How many mails a connection carries.
@pytest.mark.parametrize("extensions", [(), ("PIPELINING",), ("PIPELINING", "CHUNKING")])
@in_loop
async def test_no_connection_carries_more_mails_than_it_may(extensions: Sequence[str]) -> None:
    async with ScriptedServer(extensions=extensions) as server:
        pool = Pool(settings_for(server, mails_per_connection=5))
        mails = [Mail.checked(SENDER, f"r{number}@example.com", CONTENT) for number in range(12)]
        done = 0
        while done < len(mails):
            async with pool.connection() as connection:
                results, _ = await send_over(connection, mails[done:])
                assert all(isinstance(result, Reply) for result in results)
                done += len(results)
        await pool.close()
    verbs = [command.split()[0] for command in server.commands]
    carried = "".join(verb[0] for verb in verbs if verb in ("EHLO", "MAIL", "QUIT"))
    assert carried == "EMMMMMQ" * 2 + "EMMQ"
    assert len(set(server.mails)) == 12


@pytest.mark.parametrize("extensions", [(), ("PIPELINING",), ("PIPELINING", "CHUNKING")])
@in_loop
async def test_a_relay_that_hangs_up_after_so_many_mails_is_asked_for_no_more_again(
    extensions: Sequence[str],
) -> None:
    async with ScriptedServer(extensions=extensions, most_mails=3) as server:
        pool = Pool(settings_for(server))
        for number in range(12):
            await send(pool, recipient=f"r{number}@example.com")
        await pool.close()
    verbs = [command.split()[0] for command in server.commands]
    assert "".join(verb[0] for verb in verbs if verb in ("EHLO", "MAIL", "QUIT")) == "EMMMM" + "EMMMQ" * 3
    assert [mail.recipient for mail in server.mails] == [f"r{number}@example.com" for number in range(12)]


@in_loop
async def test_what_a_relay_hung_up_on_within_a_group_is_sent_again_and_only_the_rest_is_in_doubt() -> None:
    async with ScriptedServer(extensions=CHUNKS, most_mails=3) as server:
        pool = Pool(settings_for(server))
        mails = [Mail.checked(SENDER, f"r{number}@example.com", CONTENT) for number in range(5)]
        async with pool.connection() as connection:
            await connection.send(SENDER, ANA, CONTENT)
            results = await connection.send_all(mails)
            assert connection.usable
        await pool.close()
    assert [type(result) for result in results] == [Reply, Reply, Reply, Doubtful, Doubtful]


# In a pipeline.
@pytest.mark.parametrize("extensions", [("PIPELINING",), ("PIPELINING", "CHUNKING")])
@in_loop
async def test_a_connection_that_idled_is_tried_first_in_a_pipeline_too(extensions: Sequence[str]) -> None:
    async with ScriptedServer(extensions=extensions) as server:
        pool = Pool(settings_for(server), idle_limit=0)
        for _ in range(3):
            await send(pool)
        await pool.close()
    assert server.commands.count("NOOP") == 2
    assert (len(server.mails), server.connections) == (3, 1)


@pytest.mark.parametrize("extensions", [("PIPELINING",), ("PIPELINING", "CHUNKING")])
@in_loop
async def test_a_relay_that_hung_up_meanwhile_costs_no_attempt_in_a_pipeline_either(
    extensions: Sequence[str],
) -> None:
    async with ScriptedServer(Fault("content", Deed.TWICE, nth=2), extensions=extensions) as server:
        pool = Pool(settings_for(server))
        async with pool.connection() as connection:
            await connection.send(SENDER, ANA, CONTENT)
            await connection.send(SENDER, ANA, CONTENT)
            while connection.usable:  # noqa: ASYNC110
                await asyncio.sleep(0)
            await connection.send(SENDER, BEN, CONTENT)
        await pool.close()
    assert [mail.recipient for mail in server.mails] == [ANA, ANA, BEN]


# Patience.
@pytest.mark.parametrize(("stage", "patience"), [("rcpt", 60), ("content", 600)])
@in_loop
async def test_the_reply_to_the_content_is_waited_for_ten_minutes(stage: str, patience: int) -> None:
    async with ScriptedServer({stage: [Deed.SILENCE]}) as server:
        pool = Pool(settings_for(server, timeout=60.0))
        task = asyncio.create_task(send(pool))
        await server.silent.wait()
        pass_time(patience - 2)
        await asyncio.wait({task}, timeout=0.01)
        assert not task.done()
        pass_time(3)
        with pytest.raises(Doubtful if stage == "content" else Unreachable, match="no answer in time"):
            await task
        await pool.close()


# Cancelled.
@pytest.mark.parametrize(
    "stage", ["banner", "ehlo", "auth", "mail", "rcpt", "data", "midway", "content", "rset"]
)
@in_loop
async def test_cancelled_at_any_stage_it_closes_the_connection_and_says_so(stage: str) -> None:
    refused: dict[str, Any] = {"rcpt": ["550 5.1.1 No"]} if stage == "rset" else {}
    async with ScriptedServer({**refused, stage: [Deed.SILENCE]}) as server:
        pool = Pool(settings_for(server, username="u", password="p"))
        task = asyncio.create_task(send(pool))
        await server.silent.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await send(
            pool, recipient=BEN
        )  # its place in the pool is free again, and this one is a new connection
        await pool.close()
        assert server.connections == 2
        assert [mail.recipient for mail in server.mails] == ([ANA, BEN] if stage == "content" else [BEN])


@in_loop
async def test_a_mail_cut_short_by_a_cancellation_never_gets_its_end() -> None:
    content = b"x" * 70 + b"\r\n"
    async with ScriptedServer({"midway": [Deed.SILENCE]}) as server:
        pool = Pool(settings_for(server))
        task = asyncio.create_task(
            send(pool, content=content * 200_000)
        )  # more than the system's buffers hold
        await server.silent.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.ended.wait()
        assert not server.swallowed.endswith(b".\r\n")
