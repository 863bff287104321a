"""Times written into prose by hand: right for some readers and wrong for the others. Pure.

A variable shows each reader their own time. A fixed hour, a zone's abbreviation or a weekday beside the wrong date is
the same for everybody, and stays when the webinar moves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

from babel.dates import get_day_names, get_month_names

from scheduler.mail.words.wording import locale
from scheduler.problem import Problem

USE_A_VARIABLE = "`{{ times }}`, `{{ your_time }}` or `{{ webinar_time }}` show each reader the right one"

_JINJA = re.compile(r"\{[{%#]")
_JINJA_ENDS = {"{{": "}}", "{%": "%}", "{#": "#}"}
_NO_BREAK = re.compile(r"[^\n]")
_LINK = re.compile(r"https?://\S+")
_HOUR = re.compile(
    r"(?<![\w.])\d{1,2}(?::[0-5]\d)?\s?[ap]\.?m\b\.?"  # 1 pm, 1:00 p.m.
    r"|(?<![\d:.])(?:[01]?\d|2[0-3]):[0-5]\d(?![\d:])"  # 13:00
    r"|(?<![\w.])(?:[01]?\d|2[0-3])\s?h(?:\s?[0-5]\d)?\b"  # 13 h, 13h30
    r"|(?:上午|下午)?\d{1,2}[时時点點]",
    re.IGNORECASE,
)
_ZONE = re.compile(
    r"\b(?:CEST|CET|MESZ|MEZ|MET|HNEC|HAEC|GMT|UTC|BST|IST|[ECMP][SD]T)\b(?:\s?[+−-]\s?\d{1,2}(?::?\d\d)?)?"
)

# A match begins at a word's first letter, and no weekday or month is longer: a long row of letters takes linear time.
_WORD = r"(?<![^\W\d_])[^\W\d_]{1,30}"
_DATES = (
    re.compile(
        r"(?<!\d)(?P<day>\d{1,2})(?:st|nd|rd|th|er|º)?\.?\s+(?:de\s+)?"
        rf"(?P<month>{_WORD})\.?(?:\s+(?:de\s+)?(?P<year>\d{{4}}))?"
    ),
    re.compile(rf"(?P<month>{_WORD})\.?\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:,?\s+(?P<year>\d{{4}}))?"),
    re.compile(r"(?:(?P<year>\d{4})年)?(?P<month>\d{1,2})月(?P<day>\d{1,2})日"),
)
_OTHER_NAMES = {"ar": ("ar-LB",)}
"""Locales with other names of months for the same language: Arabic has two sets."""
_LAST_BUT_ONE = re.compile(rf"({_WORD})\W{{1,30}}{_WORD}$")
_LAST = re.compile(rf"({_WORD})$")
_NEXT = re.compile(rf"\s*(?:[,،(（]\s*)?({_WORD})")
_NEAR = 100  # characters around a date in which its weekday is searched


@dataclass(frozen=True)
class SaidTime:
    """A time found: its line (from 1), the words, what is wrong with them, and whether that is certain."""

    line: int
    words: str
    fault: str
    wrong: bool  # False: it may be intended


def said_times(source: str, language: str, start_local: datetime) -> Iterator[SaidTime]:
    """The times written by hand in `source`. `start_local`: the webinar's start on its own clock, aware. Only its year
    and the name of its zone matter (`said_times_key`)."""
    bare = _LINK.sub(_blank, _without_jinja(source))
    for number, line in enumerate(bare.split("\n"), 1):
        yield from _zones(number, line, start_local)
        for match in _HOUR.finditer(line):
            yield SaidTime(number, match[0], "a fixed hour", wrong=False)
        yield from _weekdays(number, line, language, start_local.year)


def said_times_key(start_local: datetime) -> tuple[int, str | None]:
    """A key that is equal for starts with which `said_times` finds the same."""
    return start_local.year, start_local.tzname()


def time_problems(
    source: str, place: str, language: str, start_local: datetime
) -> Iterator[tuple[bool, Problem]]:
    """The times that `said_times` finds in the file `place` as problems, each with whether it is certain."""
    for one in said_times(source, language, start_local):
        found = f"`{one.words}`: {one.fault}"
        yield one.wrong, Problem(f"{place}, line {one.line}", found, hint=USE_A_VARIABLE)


def _blank(match: re.Match[str]) -> str:
    return _NO_BREAK.sub(" ", match[0])


def _without_jinja(source: str) -> str:
    """`source` with blanks for its Jinja. An unclosed opening is searched for once only, to take linear time."""
    parts: list[str] = []
    done = position = 0
    endless: set[str] = set()
    while begun := _JINJA.search(source, position):
        end = -1 if begun[0] in endless else source.find(_JINJA_ENDS[begun[0]], begun.end())
        if end < 0:
            endless.add(begun[0])
            position = begun.start() + 1
            continue
        position = end + 2
        parts += [source[done : begun.start()], _NO_BREAK.sub(" ", source[begun.start() : position])]
        done = position
    return "".join([*parts, source[done:]])


def _zones(number: int, line: str, start_local: datetime) -> Iterator[SaidTime]:
    for match in _ZONE.finditer(line):
        written, actual = match[0].split()[0], start_local.tzname()
        winter_name = written in ("CET", "MEZ", "MET", "HNEC") and actual == "CEST"
        summer_name = written in ("CEST", "MESZ", "HAEC") and actual == "CET"
        if winter_name or summer_name:
            yield SaidTime(number, match[0], f"on that date the webinar's clock shows {actual}", wrong=True)
        else:
            yield SaidTime(number, match[0], "a time zone, which is not every reader's", wrong=False)


def _weekdays(number: int, line: str, language: str, year: int) -> Iterator[SaidTime]:
    days = _day_names(language)
    for start, words, day in _dates(line, language, year):
        before = line[max(start - _NEAR, 0) : start].rstrip(" ,.،，（(")
        after = line[start + len(words) : start + len(words) + _NEAR]
        for found in (_LAST_BUT_ONE.search(before), _LAST.search(before), _NEXT.match(after)):
            if found is None:
                continue
            weekday = days.get(found[1].casefold())
            if weekday is not None and weekday != day.weekday():
                right = get_day_names("wide", locale=locale(language))[day.weekday()]
                yield SaidTime(number, f"{found[1]} … {words}", f"that day is a {right}", wrong=True)
                break


@lru_cache
def _day_names(language: str) -> dict[str, int]:
    return {
        name.casefold(): index
        for width in ("wide", "abbreviated")
        for tag in (language, "en")
        for index, name in get_day_names(width, locale=locale(tag)).items()
    }


@lru_cache
def month_names(language: str) -> dict[str, int]:
    """The names of months in this language and in English, in lower case, in both their grammatical forms."""
    return {
        name.casefold().rstrip("."): index
        for width in ("wide", "abbreviated")
        for context in ("stand-alone", "format")
        for tag in (language, "en", *_OTHER_NAMES.get(language, ()))
        for index, name in get_month_names(width, context, locale=locale(tag)).items()
    }


def _dates(line: str, language: str, year: int) -> Iterator[tuple[int, str, date]]:
    """Dates as people write them: position in the line, words, date (by default of the webinar's year)."""
    months = month_names(language)
    for pattern in _DATES:
        for match in pattern.finditer(line):
            month = months.get(match["month"].casefold()) or match["month"]
            try:
                yield (
                    match.start(),
                    match[0],
                    date(int(match["year"] or year), int(str(month)), int(match["day"])),
                )
            except ValueError:  # no month, or no such day
                continue
