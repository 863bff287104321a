"""A mail by its bytes, and as a mail program reads it."""

from __future__ import annotations

import json
import re
import subprocess
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, message_from_string, policy
from email.errors import NonASCIILocalPartDefect
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses
from quopri import decodestring
from typing import Any
from urllib.parse import unquote

import pytest
import vobject
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.input.addresses import fold, why_no_address
from scheduler.input.values import Mailbox
from scheduler.mail.text.templates import Rendered
from scheduler.mail.writing.composing import compose, subject_line, wire_address
from scheduler.mail.writing.invitation import invitation
from scheduler.smtp.envelope import Mail
from scheduler.webinar.model import read_webinar
from tests.mail.samples import TEMPLATES, facts, shipped, shipped_sources
from tests.mail.samples import webinar as sample_webinar

CALENDAR = "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nSUMMARY:Zoë\r\nEND:VCALENDAR\r\n".encode()
TRILATERAL = TEMPLATES.parent / "config" / "webinars" / "trilateral-2025.toml"
STOP = "mailto:team@example.org?subject=" + "Please%20stop%20" * 12
WORDS = Rendered("Hello", "Soon", "<p>Zoë</p>\n", "Zoë\n", STOP, STOP)


def made(**changes: Any) -> bytes:
    values: dict[str, Any] = {
        "rendered": WORDS,
        "language": "fr",
        "sender": Mailbox("WHO-WIPO-WTO", "webinar@example.org"),
        "reply_to": Mailbox("Team", "team@example.org"),
        "to": "zoe@example.org",
        "message_id": "<0123456789abcdef0123456789abcdef@example.org>",
        "date": datetime(2025, 7, 2, 6, tzinfo=UTC),
        "calendar": CALENDAR,
        "calendar_as": "request",
        "unsubscribe": [STOP],
    }
    return compose(**{**values, **changes})


def read(raw: bytes) -> EmailMessage:
    mail = message_from_bytes(raw, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    assert not mail.defects
    return mail


def tree(part: Any) -> Any:
    if part.is_multipart():
        return {part.get_content_type(): [tree(inner) for inner in part.iter_parts()]}
    return part.get_content_type()


def test_the_headers() -> None:
    mail = read(made())

    assert {name: str(mail[name]) for name in mail if name not in {"Content-Type", "MIME-Version"}} == {
        "Subject": "Hello",
        "From": "WHO-WIPO-WTO <webinar@example.org>",
        "To": "zoe@example.org",
        "Reply-To": "Team <team@example.org>",
        "Date": "Wed, 02 Jul 2025 06:00:00 +0000",
        "Message-ID": "<0123456789abcdef0123456789abcdef@example.org>",
        "List-Unsubscribe": f"<{STOP}>",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
        "Content-Language": "fr",
    }
    assert b"Content-Language: fr" in made().partition(b"\r\n\r\n")[0]


def test_an_invitation_is_the_last_alternative_and_an_attachment() -> None:
    mail = read(made())
    alternative, attachment = mail.iter_parts()
    *_, calendar = alternative.iter_parts()

    assert tree(mail) == {
        "multipart/mixed": [
            {"multipart/alternative": ["text/plain", "text/html", "text/calendar"]},
            "application/ics",
        ]
    }
    assert re.search(
        r'^Content-Type: text/calendar; method="REQUEST"; charset="UTF-8"', made().decode(), re.MULTILINE
    )
    assert calendar.get_content_disposition() is None
    assert attachment.get_content_disposition() == "attachment"
    assert attachment.get_filename() == "invite.ics"
    assert calendar.get_payload(decode=True) == attachment.get_payload(decode=True) == CALENDAR


def test_a_cancellation_says_so_in_its_type() -> None:
    alternative, _ = read(made(method="CANCEL")).iter_parts()

    assert list(alternative.iter_parts())[-1].get_param("method") == "CANCEL"


@pytest.mark.parametrize(
    ("calendar_as", "parts"),
    [
        (
            "attachment",
            {"multipart/mixed": [{"multipart/alternative": ["text/plain", "text/html"]}, "application/ics"]},
        ),
        ("none", {"multipart/alternative": ["text/plain", "text/html"]}),
    ],
)
def test_other_ways_to_send_the_calendar(calendar_as: str, parts: Any) -> None:
    assert tree(read(made(calendar_as=calendar_as))) == parts


@pytest.mark.parametrize(("message", "language"), sorted(shipped_sources()))
def test_every_text_arrives_as_it_was_written(message: str, language: str) -> None:
    link = "https://zoom.example.org/w/83?tk=" + "aB3-_.=2a" * 60 + "&pwd=x%3D%3D"
    rendered = shipped(message, language).render(facts(name="محمد Zoë 李", join_url=link))
    raw = made(rendered=rendered)
    mail = read(raw)
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))

    assert plain is not None
    assert html is not None
    assert plain.get_content().replace("\r\n", "\n") == rendered.text
    assert html.get_content().replace("\r\n", "\n").rstrip() == rendered.html.rstrip()
    assert (link in plain.get_content()) is (link in rendered.text)
    assert mail["Subject"] == rendered.subject
    on_the_wire(raw)
    for part in (plain, html):
        assert part["Content-Transfer-Encoding"] == "quoted-printable"
        assert part.get_content_charset() == "utf-8"


def on_the_wire(raw: bytes) -> None:
    assert raw.isascii()
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert raw.endswith(b"\r\n")


def test_the_link_to_stop_is_not_folded() -> None:
    assert f"List-Unsubscribe: <{STOP}>\r\n".encode() in made()


def test_quoted_printable_has_at_most_76_characters_a_line() -> None:
    """RFC 2045, 6.7: the "=" of a soft line break included."""
    raw = made(rendered=Rendered("Hello", "x", f"<p>{'é' * 500}</p>\n", "a" * 500 + "\n", STOP, STOP))

    assert max(map(len, raw.partition(b"\r\n\r\n")[2].split(b"\r\n"))) == 76


@pytest.mark.parametrize(("message", "language"), sorted(shipped_sources()))
def test_no_line_of_a_shipped_mail_is_too_long_for_8bitmime(message: str, language: str) -> None:
    """RFC 5322, 2.1.1, with a long title and a long link of one's own."""
    trilateral = read_webinar(
        (TEMPLATES.parent / "config/webinars/trilateral-2025.toml").read_text("utf-8"), "t.toml"
    )
    link = "https://zoom.example.org/w/83214567890?tk=" + "aB3" * 20
    rendered = shipped(message, language).render(facts(webinar=trilateral, join_url=link))

    assert max(len(line.encode()) for line in f"{rendered.html}\n{rendered.text}".split("\n")) <= 998


NAMES = [
    "Trilateral, Cooperation (WHO)",
    'The "Team"; a\\b',
    "世界卫生组织、世界知识产权组织和世界贸易组织三边合作秘书处网络研讨会",
    "Secrétariat, Équipe (OMS): l’accès",
    "A very long name of an organization that goes over one line of seventy-eight characters (really)",
    "",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_senders_name_neither_splits_nor_hides_the_address(name: str) -> None:
    """chatwoot PR 15278, cpython gh-100900."""
    raw = made(sender=Mailbox(name, "webinar@example.org"), reply_to=Mailbox(name, "team@example.org"))
    mail = message_from_bytes(
        raw
    )  # as the wire has it: Python 3.11's newer parser reads encoded names with blanks

    on_the_wire(raw)
    for header, address in (("From", "webinar@example.org"), ("Reply-To", "team@example.org")):
        assert all(len(line) <= 78 for line in f"{header}: {mail[header]}".splitlines())
        ((shown, addr_spec),) = getaddresses([mail[header]])
        assert (str(make_header(decode_header(shown))), addr_spec) == (name, address)


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=200))
def test_no_name_of_a_sender_breaks_the_header(name: str) -> None:
    raw = made(sender=Mailbox(name, "webinar@example.org"))

    on_the_wire(raw)
    ((_, addr_spec),) = getaddresses([message_from_bytes(raw)["From"]])
    assert addr_spec == "webinar@example.org"


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=200), st.text(max_size=300))
def test_any_words_survive_the_wire(subject: str, body: str) -> None:
    clean = "\n".join(body.split())
    raw = made(rendered=Rendered(subject, "x", f"<p>{clean}</p>\n", f"{clean}\n", STOP, STOP))
    mail = read(raw)
    plain = mail.get_body(("plain",))

    on_the_wire(raw)
    assert plain is not None
    assert mail["Subject"] == subject
    assert plain.get_content().replace("\r\n", "\n") == f"{clean}\n"


WORDS_OF_SUBJECTS = [
    "о",
    "сведения",
    "Обновлённые",
    "вебинаре:",
    "à",
    "l’accès",
    "Q&A",
    "public",
    "网络研讨会",
    "للندوة",
]


@pytest.mark.parametrize("examples", [30, pytest.param(100, marks=pytest.mark.full)])
def test_no_subject_loses_a_blank_where_it_is_folded(examples: int) -> None:
    """As Python folds it, "сведения о" becomes "сведенияо" where a line ends: a blank between two encoded words is not
    shown (RFC 2047, 6.2)."""

    @settings(max_examples=examples)
    @given(st.lists(st.sampled_from(WORDS_OF_SUBJECTS), min_size=1, max_size=30).map(" ".join))
    def holds(subject: str) -> None:
        raw = made(rendered=replace(WORDS, subject=subject))

        on_the_wire(raw)
        assert read(raw)["Subject"] == subject
        head = raw.partition(b"\r\nFrom:")[0]
        assert max(map(len, head.split(b"\r\n"))) <= 76

    holds()


@pytest.mark.parametrize(
    ("address", "wire"),
    [
        ("zoe@exämple.org", "zoe@xn--exmple-cua.org"),
        ("zoe@EXAMPLE.org", "zoe@EXAMPLE.org"),
        ("zoe@例え.jp", "zoe@xn--r8jz45g.jp"),
    ],
)
def test_a_domain_goes_as_its_a_label(address: str, wire: str) -> None:
    assert wire_address(address) == wire
    assert str(read(made(to=address))["To"].addresses[0].addr_spec) == wire


def test_a_local_part_that_is_not_ascii_makes_the_headers_utf8() -> None:
    raw = made(to="josé@example.org")

    assert "To: josé@example.org\r\n".encode() in raw


@pytest.mark.parametrize(
    "bad", ["", "zoe", "@example.org", "zoe@", "a b@example.org", "a@example.org\r\nBcc: b@example.org"]
)
def test_an_invalid_address_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        made(to=bad)


_ODD = st.text(st.sampled_from("ab.é'\"\\@ ,:;<>()[]=?_-+漢ßİ\u0301\u200b!#%{}~/"), min_size=1, max_size=12)
_LOCALS = st.one_of(
    st.sampled_from(
        ["zoe", "o'brien", "a=?b", "=?utf-8?q?a?=", '"a b"', '"a..b"', '"a\\"b"', "用户", "é=?é?="]
    ),
    _ODD,
    _ODD.map(lambda local: f'"{local}"'),
    st.emails().map(lambda address: address.rpartition("@")[0]),
    st.text(st.characters(categories=["L", "M", "N", "P", "S"]), min_size=1, max_size=10),
)
_DOMAINS = st.one_of(
    st.sampled_from(
        ["example.org", "straße.de", "ｗｈｏ.int", "WHO。int", "例子.广告", "xn--fiqs8s.example"]
    ),
    st.text("abéß漢Ａ-.。", min_size=1, max_size=12).map(lambda labels: f"{labels}.org"),
)


@pytest.mark.parametrize("examples", [60, pytest.param(200, marks=pytest.mark.full)])
def test_every_address_that_a_row_may_have_is_carried(examples: int) -> None:
    """To the relay, to the reader's mail program and into their calendar."""

    @settings(max_examples=examples)
    @given(_LOCALS, _DOMAINS)
    def holds(local: str, domain: str) -> None:
        address = f"{local}@{domain}"
        if why_no_address(address):
            return
        raw = made(to=address)
        recipient = Mail.checked("webinar@example.org", address, raw).recipient
        assert fold(recipient) == fold(address)
        mail = message_from_string(raw.decode(), policy=policy.SMTPUTF8)
        (reader,) = mail["To"].addresses
        assert not [one for one in mail["To"].defects if not isinstance(one, NonASCIILocalPartDefect)]
        assert (reader.display_name, reader.domain) == ("", recipient.rpartition("@")[2])
        assert reader.username == _unquoted(recipient.rpartition("@")[0])
        assert [unquote(one.value) for one in _attendees(recipient)] == [f"mailto:{recipient}"]

    holds()


def _unquoted(local: str) -> str:
    """`"a@b"` is the mailbox a@b, whether a program shows the quotation marks or not (RFC 5321, 4.1.2)."""
    return re.sub(r"\\(.)", r"\1", local[1:-1]) if local.startswith('"') else local


def _attendees(address: str) -> list[Any]:
    entry = invitation(
        uid="1@example.org", sequence=0, dtstamp=datetime(2025, 6, 12, tzinfo=UTC),
        created=datetime(2025, 6, 12, tzinfo=UTC), webinar=sample_webinar(), language="en",
        join_url="https://webinar.example.org", name="", address=address,
    )  # fmt: skip
    (event,) = vobject.readOne(entry.decode()).vevent_list
    return list(event.attendee_list)


def test_a_mail_goes_to_one_person() -> None:
    headers = made().partition(b"\r\n\r\n")[0].decode()

    assert len(re.findall(r"^(?:To|Cc|Bcc):", headers, re.MULTILINE)) == 1


def _by_rfc_2047(header: str) -> str:
    """The text of a folded header, by the letter of RFC 5322, 2.2.3 and RFC 2047, 2 and 6.2: not Python's own reading,
    which forgives more."""
    unfolded = re.sub(r"\r\n(?=[ \t])", "", header.removesuffix("\r\n")).partition(": ")[2]
    words = re.split(r"(?<![^ \t])(=\?[!-~]+\?[bqBQ]\?[!->@-~]*\?=)(?![^ \t])", unfolded)
    text = ""
    for number, word in enumerate(words):
        if number % 2:
            assert len(word) <= 75
            charset, encoding, encoded = word[2:-2].split("?", 2)
            octets = b64decode(encoded) if encoding in "bB" else decodestring(encoded.replace("_", "=20"))
            text += octets.decode(charset)
        elif number in (0, len(words) - 1) or word.strip(" \t"):
            text += word
    return text


def _subject_of(raw: bytes) -> str:
    (header,) = re.findall(r"^Subject: .*\r\n(?:[ \t].*\r\n)*", raw.decode(), re.MULTILINE)
    return _by_rfc_2047(header)


@pytest.mark.parametrize(
    "ahead", [(1, -1), pytest.param((3, 1, 0.04, -0.02, -1), id="all", marks=pytest.mark.full)]
)
@pytest.mark.parametrize(("message", "language"), sorted(shipped_sources()))
def test_every_subject_is_read_by_the_letter_of_the_rfc_as_it_was_written(
    message: str, language: str, ahead: tuple[float, ...]
) -> None:
    """So many days ahead of the start."""
    trilateral = read_webinar(TRILATERAL.read_text("utf-8"), "trilateral-2025.toml")
    for days in ahead:
        now = trilateral.start - timedelta(days=days)
        rendered = shipped(message, language).render(facts("Asia/Tokyo", webinar=trilateral, now=now))
        for to in ("zoe@example.org", "josé@example.org"):
            assert _subject_of(made(rendered=rendered, to=to)) == rendered.subject


@pytest.mark.parametrize("to", ["zoe@example.org", "josé@example.org"])
@pytest.mark.parametrize("examples", [40, pytest.param(400, marks=pytest.mark.full)])
def test_any_subject_is_read_by_the_letter_of_the_rfc_as_it_was_written(to: str, examples: int) -> None:
    odd = [
        "l\u00a0: «\u00a0a\u00a0»",
        "—",
        "a_b=c?",
        "x" * 70,
        "(x)",
        '"q",',
        "été;",
        "[TEST]",
        "𝒳",
        "e\u0301",
    ]

    @settings(max_examples=examples, deadline=None)
    @given(st.lists(st.sampled_from([*WORDS_OF_SUBJECTS, *odd]), min_size=1, max_size=30).map(" ".join))
    def holds(subject: str) -> None:
        assert _subject_of(made(rendered=replace(WORDS, subject=subject), to=to)) == subject

    holds()


@pytest.mark.full
def test_perl_reads_every_subject_as_it_was_written() -> None:
    trilateral = read_webinar(TRILATERAL.read_text("utf-8"), "trilateral-2025.toml")
    subjects = [
        shipped(*key).render(facts(webinar=trilateral, now=trilateral.start - timedelta(days=days))).subject
        for key in shipped_sources()
        for days in (3, 1, 0.04, -0.02, -1)
    ]
    headers = [
        subject_line(subject).decode().removeprefix("Subject: ").removesuffix("\r\n") for subject in subjects
    ]
    program = (
        "use Encode; use JSON::PP; local $/;"
        "print encode_json([map { decode('MIME-Header', $_) } @{decode_json(<STDIN>)}]);"
    )
    done = subprocess.run(
        ["perl", "-e", program], input=json.dumps(headers).encode(), capture_output=True, check=True
    )
    assert json.loads(done.stdout) == subjects


@pytest.mark.parametrize(
    "address",
    [
        "zoe@exämple.org",
        "zoe@例え.jp",
        "zoe@straße.de",
        "zoe@пример.рф",
        "zoe@ｗｈｏ.int",
        "ana+w@example.org",
        "o'neil@example.org",
    ],
)
def test_the_attendee_of_the_entry_is_the_address_that_the_mail_goes_to(address: str) -> None:
    (reader,) = read(made(to=address))["To"].addresses
    (attendee,) = _attendees(address)
    assert attendee.value == f"mailto:{reader.addr_spec}"
