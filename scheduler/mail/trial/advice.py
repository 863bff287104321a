"""What an editor should know of a text beside whether it is sound: of its words, and of the mail that they make."""

from __future__ import annotations

import re
from collections.abc import Iterator

from scheduler.mail.text.said_times import time_problems
from scheduler.mail.text.templates import too_large
from scheduler.problem import Problem
from scheduler.webinar.model import Webinar
from scheduler.zones.wall import to_local

LONGEST_SUBJECT = 40  # characters beside the title, which comes last: telephones show no more

_PLAIN_HTTP = re.compile(r"\]\(\s*<?http://[^)\s]*", re.IGNORECASE)
_NO_ALT = re.compile(r"!\[\s*\]\(")


def advice(
    source: str, place: str, language: str, webinar: Webinar, subject: str, html: str
) -> Iterator[tuple[bool, Problem]]:
    """Each with whether it is wrong, or only likely to be."""
    yield from time_problems(source, place, language, to_local(webinar.start, webinar.tz))
    for number, line in enumerate(source.splitlines(), 1):
        where = f"{place}, line {number}"
        if link := _PLAIN_HTTP.search(line):
            yield False, Problem(where, f"the link {link[0][2:]} is not https", "https://…")
        if _NO_ALT.search(line):
            yield (
                False,
                Problem(where, "a picture without words for those who can't see it", "![what it shows](…)"),
            )
    own = subject.replace(webinar.words(language).title, "").strip()
    if len(own) > LONGEST_SUBJECT:
        many = (
            f"the subject has {len(own)} characters beside the title for this reader; telephones show some 40"
        )
        yield (
            False,
            Problem(f"{place}, line 2", many, f"at most {LONGEST_SUBJECT}", "begin with what matters"),
        )
    if problem := too_large(place, len(html.encode())):
        yield False, problem
