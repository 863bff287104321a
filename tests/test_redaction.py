"""No secret is in what is kept, shown or logged, however it is written."""

from __future__ import annotations

import base64
import json
import re
import sys
import unicodedata
from urllib.parse import quote, quote_plus, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.redaction import MOST, REMOVED, SHORTEST, keep_secret, keep_token, redact
from scheduler.smtp.replies import log_safe, queue_id, read_reply

SECRET = 'c0rrect/h0rse+"b4ttery" ünd st4ple'


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


FORMS = [
    SECRET,
    SECRET.upper(),
    quote(SECRET),
    quote(SECRET, safe="").lower(),
    "".join(f"%{byte:02X}" for byte in SECRET.encode()),
    "".join(f"+{byte:02X}" for byte in SECRET.encode()),
    b64(SECRET),
    base64.urlsafe_b64encode(SECRET.encode()).decode(),
    b64(f"\0webinar\0{SECRET}"),
    b64(f"user=webinar\1auth=Bearer {SECRET}\1\1"),
    quote(b64(f"\0user\0{SECRET}"), safe=""),
    SECRET[:12],
    b64(SECRET)[5:25],
    "\u202e".join(SECRET),
    quote_plus(SECRET),
    quote(quote(SECRET, safe=""), safe=""),
    "".join(f"%25{byte:02x}" for byte in SECRET.encode()),
    json.dumps(SECRET)[1:-1],
    "".join(f"&#{ord(character)};" for character in SECRET),
    "".join(f"&#x{ord(character):X};" for character in SECRET),
]


@pytest.mark.parametrize("form", FORMS)
def test_a_reply_holds_no_secret_in_any_form(form: str) -> None:
    keep_secret(SECRET)
    text = read_reply("mail", 550, f"5.7.1 Bad sign-in ({form}), go away").text
    assert text.startswith("Bad sign-in (")
    assert text.endswith("), go away")
    assert REMOVED in text
    for read in (text, unquote(text), *(decoded(text[start:]) for start in range(len(text)))):
        for start in range(len(SECRET) - 6):
            assert SECRET[start : start + 6].lower() not in read.lower()


def test_what_no_line_can_show_of_a_secret_does_not_hide_the_rest() -> None:
    keep_secret("abc\tdef1")
    assert read_reply("mail", 550, "5.7.1 not abc\tdef1").text == f"not {REMOVED}"


def decoded(text: str) -> str:
    """What this begins with, as base64."""
    letters = re.match("[A-Za-z0-9+/]*", text)
    assert letters
    whole = letters[0][: len(letters[0]) // 4 * 4]
    return base64.b64decode(whole).decode("utf-8", "replace")


@given(st.text(min_size=8, max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_what_stands_around_a_secret_does_not_hide_it(secret: str, before: str, after: str) -> None:
    try:
        encoded = b64(before + secret + after)
    except UnicodeEncodeError:
        return
    keep_secret(secret)
    assert REMOVED in redact(encoded)
    assert REMOVED in redact(before + secret + after)


@pytest.mark.parametrize("start", range(0, 40, 7))
def test_a_long_token_that_is_cut_off_leaves_no_more_than_its_ends(start: int) -> None:
    token = "".join(chr(33 + one * 37 % 94) for one in range(300))
    keep_secret(token)
    for form in (token, b64("x" * start + token)):
        said = redact(f"no: {form[start : start + 200]}")
        assert REMOVED in said
        assert len(said.replace(REMOVED, "")) < len("no: ") + 2 * 8 + start * 4 / 3


def test_words_that_are_no_secret_stay() -> None:
    keep_secret(SECRET)
    text = "Ok: queued as 4cZ+w=41%zz \\x the correct horse"
    assert redact(text) == text


def test_what_is_too_short_or_long_forgotten_is_in_too_many_words() -> None:
    keep_secret("x" * (SHORTEST - 1), "")
    assert redact("xxx") == "xxx"
    keep_token("t0ken")
    for one in range(MOST - 1):
        keep_token(f"token number {one} of many")
    assert redact("t0ken") == REMOVED
    keep_token("one more token")
    assert redact("t0ken") == "t0ken"


def test_what_is_configured_is_never_forgotten_however_many_tokens_come_after_it() -> None:
    keep_secret("p4ssw0rd of the second relay")
    for one in range(3 * MOST):
        keep_token(f"another token {one} of many")
    assert redact("no p4ssw0rd of the second relay") == f"no {REMOVED}"


def test_of_a_reply_to_auth_only_the_codes_are_kept() -> None:
    reply = read_reply("auth", 535, "5.7.8 webinar:hunter2 is wrong")
    assert (reply.code, reply.enhanced, reply.text) == (535, "5.7.8", "")
    assert str(reply) == "auth: 535 5.7.8"


def test_no_character_that_is_not_seen_turns_or_hides_others() -> None:
    """Category Cf of Unicode (U+202E turns what follows), and controls, in whatever is kept and whatever is logged."""
    unseen = [
        chr(code)
        for code in range(sys.maxunicode)
        if unicodedata.category(chr(code)) in ("Cf", "Cc", "Cs", "Zl", "Zp")
    ]
    said = "rejec\u202eted" + "a".join(unseen)
    for kept in (
        read_reply("rcpt", 550, said[:4000]).text,
        read_reply("rcpt", 550, said[-900:]).text,
        log_safe(said),
    ):
        assert not set(kept) & set(unseen)
    assert read_reply("rcpt", 550, "rejec\u202eted \u2066here").text == "rejected here"


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("Ok: queued as 4cZQ1w2Xy3z", "4cZQ1w2Xy3z"),  # Postfix
        ("OK id=1sXyZ1-0000000AbCd-2Ef3", "1sXyZ1-0000000AbCd-2Ef3"),  # Exim
        (
            "<1@x.test> [InternalId=11239, Hostname=A.B.PROD.OUTLOOK.COM] 9 bytes in 0.1 Queued mail for delivery",
            "11239",
        ),
        ("Ok: queued as AbC-dEf_1234", "AbC-dEf_1234"),  # SendGrid
        ("Ok 0102018f-9a7b-4c5d-000000", "0102018f-9a7b-4c5d-000000"),  # SES
        ("OK  1718000000 5b1f17b1804b1-42dcd2si12345 - gsmtp", "5b1f17b1804b1-42dcd2si12345"),  # Gmail
        ("Queued as <AB12CD@relay.test>", ""),  # perhaps an address
        ("queued as maya", ""),
        ("Ok: queued as " + "a" * 5000, "a" * 100),
        ("queued as 12\x1b[31m34", "12"),
        ("taken", ""),
        ("", ""),
    ],
)
def test_the_name_that_the_relay_gave_to_a_mail(said: str, name: str) -> None:
    reply = read_reply("content", 250, f"2.0.0 {said}")
    assert queue_id(reply.text, "maya@people.test") == name
