"""Advice about a sound text for its editor: on its words, and on the mail that it becomes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from scheduler.mail.text.said_times import time_problems
from scheduler.mail.text.templates import too_large
from scheduler.problem import Problem
from scheduler.webinar.model import Webinar
from scheduler.zones.wall import to_local

LONGEST_SUBJECT = 40  # characters besides the title, which comes last: phones show no more

_PLAIN_HTTP = re.compile(r"\]\(\s*<?(http://[^)\s]*)", re.IGNORECASE)
_NO_ALT = re.compile(r"!\[\s*\]\(")


def advice(
    source: str, place: str, language: str, webinar: Webinar, subject: str, html: str
) -> Iterator[tuple[bool, Problem]]:
    """Problems, each with whether it is certain."""
    yield from time_problems(source, place, language, to_local(webinar.start, webinar.tz))
    for number, line in enumerate(source.splitlines(), 1):
        where = f"{place}, line {number}"
        if link := _PLAIN_HTTP.search(line):
            address, found = link[1], f"the link {link[0][2:]} is not https"
            yield False, Problem(where, found, "https://…", old=address, new=f"https{address[4:]}")
        if _NO_ALT.search(line):
            found = "a picture without a description for people who cannot see it"
            yield False, Problem(where, found, "![what it shows](…)")
    own = subject.replace(webinar.words(language).title, "").strip()
    if len(own) > LONGEST_SUBJECT:
        found = (
            f"the subject has {len(own)} characters besides the title for this reader; phones show about 40"
        )
        hint = "begin with what matters"
        yield False, Problem(f"{place}, line 2", found, f"at most {LONGEST_SUBJECT}", hint)
    if problem := too_large(place, len(html.encode())):
        yield False, problem
