"""A mail that somebody sends to themselves: marked as a test, with an entry of its own in their calendar."""

from __future__ import annotations

import re
import secrets
from dataclasses import replace

from scheduler.mail.writing.composing import subject_line
from scheduler.mail.writing.sample import Reader
from scheduler.webinar.model import Webinar

MARK = "[TEST] "


def as_test(webinar: Webinar) -> Webinar:
    """The same webinar, with a title by which nobody takes its entry in a calendar for the real one."""
    translations = {
        language: words.model_copy(update={"title": MARK + words.title} if words.title else {})
        for language, words in webinar.translations.items()
    }
    return webinar.model_copy(update={"title": MARK + webinar.title, "translations": translations})


def to_oneself(reader: Reader, webinar: Webinar, address: str) -> Reader:
    """This reader at that address, with a UID of its own: a test never touches anybody's registration."""
    uid = f"test-{secrets.token_hex(8)}@{webinar.sender.domain}"
    return replace(reader, address=address, uid=uid, id=0, last=None, deliveries=None)


def marked(mail: bytes, subject: str) -> bytes:
    """`mail`, whose subject is `subject`, with the mark before it."""
    line = subject_line(MARK + subject.replace(MARK, ""))
    return re.sub(
        rb"(?m)^Subject:.*\r\n(?:[ \t].*\r\n)*", lambda _: line.rstrip(b"\r\n") + b"\r\n", mail, count=1
    )
