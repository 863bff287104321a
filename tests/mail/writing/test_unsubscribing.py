"""The headers with which mail programs unsubscribe a reader (RFC 2369, RFC 8058), and a relay's signature over them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from base64 import b64encode
from dataclasses import replace
from functools import cache
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from scheduler.ledger.entries import Claimed
from scheduler.mail.writing.rendering import render
from scheduler.mail.writing.stencil import Stencils
from scheduler.webinar.model import NOTICES, Webinar
from tests.mail.samples import TEMPLATES
from tests.mail.writing.test_stencil import CLAIMED, NOW, SHIPPED
from tests.support import SEQUENCE, webinar

PAGES = "https://webinars.who.int"
LONGEST_PAGES = f"https://{'.'.join(['p' * 63] * 3)}.example.org:65535"
REHEARSED = "http://127.0.0.1:8026"
MAILTO = "<mailto:webinar@who.int?subject=Unsubscribe%20%28w%29>"
PAGE = f"{PAGES}/r/{CLAIMED.key}"
ONE_CLICK = {
    "list-unsubscribe": f"<{PAGE}/unsubscribe>, {MAILTO}",
    "list-unsubscribe-post": "List-Unsubscribe=One-Click",
}
ONLY_BY_MAIL = {"list-unsubscribe": MAILTO}
STENCILS = Stencils()


def mail(message: str, pages_url: str = PAGES, governing: Webinar | None = None, **changed: Any) -> bytes:
    """A mail as the service sends it, by stencil after the first; the plain way must have made the same headers."""
    reader: Claimed = replace(CLAIMED, message=message, **changed)
    given = (reader, governing or GOVERNING, SHIPPED[message, "en"], None, NOW, "")
    ready = STENCILS.render(*given, pages_url=pages_url).content
    plain = render(*given, pages_url=pages_url).content
    assert unsubscribing(plain) == unsubscribing(ready)
    return ready


GOVERNING = webinar()


def unsubscribing(raw: bytes) -> dict[str, str]:
    """The two headers, as dkimpy reads them."""
    headers, _ = dkim.rfc822_parse(raw)
    names = {"list-unsubscribe", "list-unsubscribe-post"}
    found = [(name.decode().lower(), " ".join(value.decode().split())) for name, value in headers]
    assert len({name for name, _ in found if name in names}) == sum(name in names for name, _ in found)
    return {name: value for name, value in found if name in names}


@pytest.mark.parametrize("message", ["reminder-day", "reminder-hour", "follow-up"])
def test_a_message_of_the_sequence_can_be_unsubscribed_from_with_one_click(message: str) -> None:
    assert unsubscribing(mail(message)) == ONE_CLICK


@pytest.mark.parametrize("message", ["confirmation", *NOTICES])
def test_confirmations_and_notices_have_only_the_visible_link(message: str) -> None:
    content = mail(message)

    assert unsubscribing(content) == {}
    assert f"{PAGE}/unsubscribe".encode() in content.replace(b"=\r\n", b"")


def test_a_first_message_with_a_text_of_another_name_is_a_confirmation_too() -> None:
    welcome = webinar(SEQUENCE.replace('id = "confirmation"', 'id = "welcome"\ntext = "confirmation"'))
    given = (replace(CLAIMED, message="welcome"), welcome, SHIPPED["confirmation", "en"], None, NOW, "")

    assert unsubscribing(render(*given, pages_url=PAGES).content) == {}


@pytest.mark.parametrize("message", ["confirmation", "reminder-day", "follow-up", *NOTICES])
def test_without_pages_every_mail_can_be_unsubscribed_from_by_mail(message: str) -> None:
    assert unsubscribing(mail(message, pages_url="")) == ONLY_BY_MAIL


@pytest.mark.parametrize(("message", "found"), [("reminder-day", ONLY_BY_MAIL), ("confirmation", {})])
def test_a_rehearsal_whose_pages_have_no_https_has_no_link_for_one_click(message: str, found: Any) -> None:
    assert unsubscribing(mail(message, pages_url=REHEARSED)) == found


def test_each_reader_s_header_has_their_own_key() -> None:
    for key in ("a" * 40, "b" * 40):
        assert unsubscribing(mail("reminder-day", key=key))["list-unsubscribe"].startswith(
            f"<{PAGES}/r/{key}/unsubscribe>"
        )


LONG = webinar(reply_to=f"{'{' * 60}@{'.'.join(['d' * 59] * 3)}.who.int")


@pytest.mark.parametrize("governing", [GOVERNING, LONG])
@pytest.mark.parametrize("pages_url", [PAGES, LONGEST_PAGES])
def test_no_link_is_folded_and_no_line_too_long(governing: Webinar, pages_url: str) -> None:
    content = mail("reminder-day", pages_url, governing)
    header = re.search(rb"^List-Unsubscribe: .*\r\n(?: .*\r\n)*", content, re.MULTILINE)
    assert header

    first, second = header[0].splitlines()
    assert re.fullmatch(rb"List-Unsubscribe: <https://[^ <>]+/unsubscribe>,", first)
    assert re.fullmatch(rb" <mailto:[^ <>]+>", second)
    assert max(map(len, content.split(b"\r\n"))) <= 998


# Signed by the relay, as RFC 8058 requires


@cache
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def signed(content: bytes, canonicalization: bytes) -> bytes:
    private = key().private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    headers = [b"from", b"to", b"subject", b"date", b"list-unsubscribe", b"list-unsubscribe-post"]
    how = (canonicalization, b"simple" if canonicalization == b"simple" else b"relaxed")
    signature: bytes = dkim.sign(
        content, b"relay", b"who.int", private, canonicalize=how, include_headers=headers
    )
    return signature + content


def verifies(content: bytes) -> bool:
    public = key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    record = b"v=DKIM1; k=rsa; p=" + b64encode(public)
    return bool(
        dkim.verify(content, dnsfunc=lambda name, **_: record if name.startswith(b"relay.") else None)
    )


@pytest.mark.parametrize("canonicalization", [b"simple", b"relaxed"])
@pytest.mark.parametrize("governing", [GOVERNING, LONG])
@pytest.mark.parametrize("pages_url", [PAGES, LONGEST_PAGES])
def test_a_signature_over_both_headers_verifies(
    canonicalization: bytes, governing: Webinar, pages_url: str
) -> None:
    content = signed(mail("reminder-day", pages_url, governing), canonicalization)

    names = re.sub(rb"\s", b"", content.partition(b"bh=")[0]).partition(b"h=")[2]
    assert {b"list-unsubscribe", b"list-unsubscribe-post"} <= {*names.partition(b";")[0].split(b":")}
    assert verifies(content)


@pytest.mark.parametrize("changed", [b"/unsubscribe>", b"One-Click"])
def test_the_signature_covers_both(changed: bytes) -> None:
    content = signed(mail("reminder-day"), b"relaxed")
    head, separator, body = content.partition(b"\r\n\r\n")

    assert changed in head
    assert not verifies(head.replace(changed, b"x") + separator + body)


@pytest.mark.full
def test_a_parser_of_another_make_finds_the_same_headers() -> None:
    """By postal-mime, in Node."""
    node = shutil.which("node")
    assert node, "Node is needed"
    mails = [
        mail(message, pages_url, governing)
        for message in ("confirmation", "reminder-day", "follow-up", *NOTICES)
        for pages_url in ("", PAGES, LONGEST_PAGES, REHEARSED)
        for governing in (GOVERNING, LONG)
    ]
    done = subprocess.run(
        [node, TEMPLATES.parent / "tests/node/headers.mjs"],
        input=json.dumps([one.decode("utf-8") for one in mails]),
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=120,
    )
    read = [{name: one[name] for name in one if name.startswith("list-")} for one in json.loads(done.stdout)]
    assert read == [unsubscribing(one) for one in mails]
