"""The checks of one text against the cases of the matrix. Bounded only by the child that runs them."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Sequence
from html import unescape
from typing import Any

from scheduler.mail.text.layout import Layout, TextProblems
from scheduler.mail.text.sandbox import PLAIN
from scheduler.mail.text.templates import Rendered, Text, parse_text
from scheduler.mail.trial.cases import Case
from scheduler.mail.words.wording import ClockTime
from scheduler.problem import Problem

_MUST_SAY_WHEN = {"confirmation", "reminder", "change"}


def problems_of(
    source: str, place: str, message: str, layout: Layout, fillings: Sequence[Case]
) -> tuple[Problem, ...]:
    """Every mistake of a text; the first of each kind is enough, for one cause shows in every case."""
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
    if not _MUST_SAY_WHEN.isdisjoint(demands):
        otherwise = "" if message in demands else 'a short message says kind = "note" in the webinar\'s file'
        for missing in _missing(rendered, case):
            yield Problem(text.place, missing, otherwise, f"{case.webinar}, {case.kind}")


def _missing(rendered: Rendered, case: Case) -> Iterator[str]:
    """What a reader could not do without: the link, and when it is here and there."""
    times = case.times
    needed = [
        ("the link to join", "`{{ join_button }}` or `{{ join_url }}`", [case.filling["join_url"]]),
        ("the reader's time", "`{{ times }}` or `{{ your_time }}`", _shown(times.yours)),
        ("the webinar's time", "`{{ times }}` or `{{ webinar_time }}`", _shown(times.theirs)),
    ]
    page = unescape(
        rendered.html.partition("</head>")[2].partition("</div>")[2]
    )  # what is seen: no preheader
    for what, how, words in needed:
        for part, content in (("HTML", page), ("plain text", rendered.text)):
            if not all(word in content for word in words):
                yield f"{what} is not in the {part}: {how} says it"
                break
    link = case.filling["join_url"]
    if link in page and f'href="{link}"' not in page:
        yield (
            "the link to join is no link that can be pressed:"
            " `{{ join_button }}`, `{{ join_url }}` or `[text]({{ join_url }})` is one"
        )


def _shown(clock: ClockTime) -> list[str]:
    return [clock.first_day, clock.last_day, clock.starts, clock.ends, clock.offset]


def _line_of_failure(text: Text, filling: dict[str, Any]) -> int | None:
    """The line at which filling in fails: of the file as it was written, not of what it was converted to."""
    try:
        PLAIN.from_string(text.source).render(filling)
    except Exception:
        frames = traceback.extract_tb(sys.exc_info()[2])
        lines = [frame.lineno for frame in frames if frame.filename == "<template>"]
        return lines[-1] if lines else None
    return None
