"""One mail, checked: what goes out for it can be nothing else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.smtp.envelope import Mail
from scheduler.smtp.failures import Refused

SENDER, ANA = "webinar@example.org", "ana@example.com"
LINES = st.lists(st.binary(max_size=30).map(lambda line: line.translate(None, b"\r\n")))


class Offers:
    """A session, as far as MAIL asks it."""

    def __init__(self, *extensions: str, elsewhere: tuple[str, ...] = ()) -> None:
        self._extensions, self._elsewhere = extensions, elsewhere

    def offers(self, extension: str) -> bool:
        return extension in self._extensions

    def elsewhere_offers(self, extension: str) -> bool:
        return extension in self._elsewhere


def mail_command(mail: Mail, *extensions: str) -> str:
    return mail.mail_command(Offers(*extensions)).decode()


@given(LINES)
def test_stuffing_dots_can_be_undone_and_the_end_is_marked_once(lines: list[bytes]) -> None:
    content = b"".join(line + b"\r\n" for line in lines) or b"\r\n"
    wire = Mail.checked(SENDER, ANA, content).on_the_wire
    assert wire.endswith(b"\r\n.\r\n")
    assert b"\r\n.\r\n" not in b"\r\n" + wire[:-3]
    assert re.sub(rb"(?m)^\.", b"", wire[:-3]) == content


@given(st.binary(max_size=40).map(lambda some: some.replace(b"x", b"\r\n")))
def test_only_content_in_lines_of_crlf_goes_out(content: bytes) -> None:
    if re.search(rb"\r(?!\n)|(?<!\r)\n", content):
        with pytest.raises(ValueError, match="the mail's content has a bare CR or LF"):
            Mail.checked(SENDER, ANA, content)
        return
    mail = Mail.checked(SENDER, ANA, content)
    assert mail.content.endswith(b"\r\n")
    assert mail.content.removesuffix(b"\r\n") == content.removesuffix(b"\r\n")


@pytest.mark.parametrize(
    ("content", "extensions", "command"),
    [
        (b"plain\r\n", (), f"MAIL FROM:<{SENDER}>"),
        (b"plain\r\n", ("SIZE", "8BITMIME", "SMTPUTF8"), f"MAIL FROM:<{SENDER}> SIZE=7"),
        ("À\r\n".encode(), ("SIZE", "8BITMIME"), f"MAIL FROM:<{SENDER}> SIZE=4 BODY=8BITMIME"),
    ],
)
def test_mail_says_what_this_mail_needs_where_it_is_offered(
    content: bytes, extensions: tuple[str, ...], command: str
) -> None:
    assert mail_command(Mail.checked(SENDER, ANA, content), *extensions) == command


def test_mail_asks_for_smtputf8_where_an_address_needs_it() -> None:
    mail = Mail.checked("josé@example.org", ANA, b"plain\r\n")
    assert mail_command(mail, "SMTPUTF8") == "MAIL FROM:<josé@example.org> SMTPUTF8"


@pytest.mark.parametrize(
    ("sender", "recipient", "content", "stage", "enhanced"),
    [
        (SENDER, ANA, "À", "mail", "5.6.3"),
        (SENDER, "josé@example.com", "plain", "rcpt", "5.6.7"),
        ("josé@example.org", ANA, "plain", "mail", "5.1.7"),
    ],
)
def test_what_the_relay_does_not_carry_is_refused_here(
    sender: str, recipient: str, content: str, stage: str, enhanced: str
) -> None:
    with pytest.raises(Refused) as refusal:
        mail_command(Mail.checked(sender, recipient, content.encode()))
    assert (refusal.value.reply.stage, refusal.value.reply.enhanced) == (stage, enhanced)
