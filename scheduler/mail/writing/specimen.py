"""A test mail that organizers send to themselves: marked as a test, with a calendar entry of its own."""

from __future__ import annotations

import re
import secrets
from dataclasses import replace

from scheduler.mail.writing.composing import subject_line
from scheduler.mail.writing.sample import Reader
from scheduler.webinar.model import Webinar

MARK = "[TEST] "


def as_test(webinar: Webinar) -> Webinar:
    """The webinar with a marked title, so that its calendar entry is not mistaken for the real one."""
    translations = {
        language: words.model_copy(update={"title": MARK + words.title} if words.title else {})
        for language, words in webinar.translations.items()
    }
    return webinar.model_copy(update={"title": MARK + webinar.title, "translations": translations})


def to_oneself(reader: Reader, webinar: Webinar, address: str) -> Reader:
    """This reader at `address`, with a UID of its own, so that a test never affects a registration."""
    uid = f"test-{secrets.token_hex(8)}@{webinar.sender.domain}"
    return replace(reader, address=address, uid=uid, id=0, last=None, deliveries=None)


def marked(mail: bytes, subject: str) -> bytes:
    """`mail`, whose subject is `subject`, with the mark before its subject."""
    line = subject_line(MARK + subject.replace(MARK, ""))
    return re.sub(
        rb"(?m)^Subject:.*\r\n(?:[ \t].*\r\n)*", lambda _: line.rstrip(b"\r\n") + b"\r\n", mail, count=1
    )
