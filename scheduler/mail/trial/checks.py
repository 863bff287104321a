"""Checks one text with all cases. Its time and memory are limited only by the child that runs it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Sequence
from html import unescape
from typing import Any

from scheduler.mail.text.layout import Layout, TextProblems
from scheduler.mail.text.sandbox import PLAIN
from scheduler.mail.text.templates import FOOTER, Rendered, Text, parse_text
from scheduler.mail.trial.cases import Case
from scheduler.mail.words.wording import ClockTime
from scheduler.problem import Problem
from scheduler.webinar.model import WITHDRAWAL

_MUST_SAY_WHEN = {"confirmation", "reminder", "change"}


def problems_of(
    source: str, place: str, message: str, layout: Layout, fillings: Sequence[Case]
) -> tuple[Problem, ...]:
    """All mistakes of a text. Only the first of each kind is reported: one cause shows in every case."""
    try:
        text = parse_text(source, place, layout)
    except TextProblems as error:
        return error.problems
    found: dict[str, Problem] = {}
    for case in fillings:
        for problem in _problems_in(text, message, case):
            found.setdefault(problem.found, problem)
    return tuple(found.values())


def _problems_in(text: Text, message: str, case: Case) -> Iterator[Problem]:
    try:
        rendered = text.fill(case.filling)
    except TextProblems as error:
        for problem in error.problems:
            yield Problem(problem.place, problem.found, problem.allowed, f"{case.webinar}, {case.kind}")
        return
    except MemoryError:
        raise
    except Exception as error:
        line = _line_of_failure(text, case.filling)
        where = f"{text.place}, line {line}" if line else text.place
        yield Problem(where, f"cannot be filled in: {error}", hint=f"{case.webinar}, {case.kind}")
        return
    demands = case.texts.get(message, (message,))
    if WITHDRAWAL in demands and case.filling["page_url"] not in _body(rendered):
        found = "the way back is missing: `{{ page_url }}`, or a link to it, leads there"
        yield Problem(text.place, found, hint=f"{case.webinar}, {case.kind}")
    if not _MUST_SAY_WHEN.isdisjoint(demands):
        otherwise = "" if message in demands else 'a short message says kind = "note" in the webinar\'s file'
        for missing, new in _missing(rendered, case):
            yield Problem(text.place, missing, otherwise, f"{case.webinar}, {case.kind}", new=new)


def _body(rendered: Rendered) -> str:
    """The plain text without its footer, which has a link to the reader's page in any case."""
    return rendered.text.rpartition(FOOTER)[0]


def _missing(rendered: Rendered, case: Case) -> Iterator[tuple[str, str]]:
    """Each thing that a reader needs and the mail lacks (the link, the reader's time, the webinar's time), with the
    block that says it."""
    times = case.times
    needed = [
        ("the link to join", "{{ join_button }}", "{{ join_url }}", [case.filling["join_url"]]),
        ("the reader's time", "{{ times }}", "{{ your_time }}", _shown(times.yours)),
        ("the webinar's time", "{{ times }}", "{{ webinar_time }}", _shown(times.theirs)),
    ]
    page = unescape(rendered.html.partition("</head>")[2].partition("</div>")[2])  # without the preheader
    for what, block, variable, words in needed:
        for part, content in (("HTML", page), ("plain text", rendered.text)):
            if not all(word in content for word in words):
                yield f"{what} is not in the {part}: `{block}` or `{variable}` says it", block
                break
    link = case.filling["join_url"]
    if link in page and f'href="{link}"' not in page:
        yield (
            "the link to join cannot be clicked:"
            " `{{ join_button }}`, `{{ join_url }}` or `[text]({{ join_url }})` can",
            "",
        )


def _shown(clock: ClockTime) -> list[str]:
    return [clock.first_day, clock.last_day, clock.starts, clock.ends, clock.offset]


def _line_of_failure(text: Text, filling: dict[str, Any]) -> int | None:
    """The line of the file, as it was written, at which filling in fails; None if unknown."""
    try:
        PLAIN.from_string(text.source).render(filling)
    except Exception:
        frames = traceback.extract_tb(sys.exc_info()[2])
        lines = [frame.lineno for frame in frames if frame.filename == "<template>"]
        return lines[-1] if lines else None
    return None
