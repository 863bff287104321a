"""The picture that is shown beside a link to a registration page: a calendar leaf, the title, date and time.

An SVG template filled in and drawn by resvg, which shapes Arabic and orders bidirectional text by itself, with fonts
that come with this package: no library or font of the system is needed. Social networks take no SVG.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple
from unicodedata import combining, east_asian_width

import pytz
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from scheduler.mail.words.wording import clock_time, right_to_left, same_clock
from scheduler.webinar.model import Webinar

WIDTH, HEIGHT = 1200, 630
"""Pixels: what Open Graph's readers ask for."""
_COLUMN = 740  # pixels for the words beside the leaf
_TITLE_SIZES = ((60, 3), (50, 3), (42, 4))  # in pixels, and the most lines at each
_RLI, _PDI = "\u2067", "\u2069"
_LETTERS = re.compile(
    "[\u0020-\u024f\u0259\u0300-\u03ff\u0400-\u052f\u0600-\u06ff\u0750-\u077f\u1e00-\u1eff\u2000-\u206f"
    "\u20a0-\u20bf\u2116\u2122\u2212\u3001\u3002\u3008-\u3011\uff01-\uff5e]"
)
"""Characters that the fonts have, beside Chinese ideographs."""
_WIDE = "\u2e80-\u9fff\uff00-\uffef"
_PIECE = re.compile(rf"[{_WIDE}][\u3001\u3002\u3009-\u3011\uff01-\uff1f]?|[^\s{_WIDE}]+|\s+")
"""What a line may end behind: a word, an ideograph with its punctuation, blanks."""


class Card(NamedTuple):
    """The words of a picture, in one language, and its colour."""

    title: str
    host: str
    month: str
    day: str
    weekday: str
    when: str
    zone: str
    elsewhere: str
    """The same time in UTC; "" if the webinar's clock shows it."""
    colour: str
    mirrored: bool
    """Whether the language is written from right to left."""


def card_of(webinar: Webinar, language: str) -> Card:
    """The card of a webinar for readers of a language."""
    words = webinar.words(language)
    theirs = clock_time(webinar.start, webinar.end, webinar.tz, language, webinar.place)
    utc = clock_time(webinar.start, webinar.end, pytz.utc, language)
    shown_alike = same_clock(webinar.start, webinar.end, webinar.tz, pytz.utc)
    one_day = utc.first_day == utc.last_day == theirs.first_day
    return Card(
        title=words.title,
        host=words.host,
        month=theirs.leaf.month,
        day=theirs.leaf.day,
        weekday=theirs.leaf.weekday,
        when=theirs.when,
        zone=theirs.zone,
        elsewhere="" if shown_alike else f"{utc.hours if one_day else utc.when} {utc.place}",
        colour=webinar.colour,
        mirrored=right_to_left(language),
    )


@lru_cache(maxsize=64)
def picture(card: Card) -> bytes:
    """The card as PNG. Takes about a tenth of a second of processor time."""
    import resvg_py  # only where a picture is asked for: it takes memory

    size, title = _title(_drawable(card.title))
    drawn = _template().render(
        card=card,
        size=size,
        title=[_line(line, card) for line in title],
        host=[_line(line, card) for line in _lines(_drawable(card.host), 26, 1)],
        when=[_line(line, card) for line in _lines(card.when, 38, 2)],
        zone=[_line(line, card) for line in _lines(card.zone, 30, 2)],
        elsewhere=_line(card.elsewhere, card),
    )
    return bytes(resvg_py.svg_to_bytes(svg_string=drawn, font_files=_fonts(), skip_system_fonts=True))


def _title(title: str) -> tuple[int, list[str]]:
    """The largest size at which a title fits, and its lines."""
    for size, most in _TITLE_SIZES:
        if len(lines := _lines(title, size, most + 1)) <= most:
            return size, lines
    return size, _lines(title, size, most)


def _lines(text: str, size: int, most: int) -> list[str]:
    """`text` in at most so many lines of the column, cut where there are more."""
    lines = [""]
    for piece in _PIECE.findall(text):
        if lines[-1] and _width((lines[-1] + piece).rstrip()) * size > _COLUMN:
            lines.append("")
        lines[-1] += piece if lines[-1] else piece.lstrip()
    lines = [line.rstrip() for line in lines]
    if len(lines) > most:
        lines[most - 1 :] = [lines[most - 1] + "…"]
    return lines


def _drawable(text: str) -> str:
    """The organizers' words, or "" if the fonts lack one of their letters. Those of dates and cities are in them."""
    return text if all(map(_has, text)) else ""


def _has(letter: str) -> bool:
    """Whether the fonts have this character: of the ideographs those of the first level of GB 2312."""
    if _LETTERS.match(letter):
        return True
    try:
        return b"\xb0" <= letter.encode("gb2312")[:1] < b"\xd8"
    except UnicodeEncodeError:
        return False


def _width(text: str) -> float:
    """An estimate of a text's width in its own size, on the wide side."""
    return sum(map(_advance, text))


def _advance(letter: str) -> float:
    if combining(letter):
        return 0
    if east_asian_width(letter) in "WF":
        return 1
    if letter in " .,:;'|il":
        return 0.3
    if "\u0600" <= letter <= "\u077f":  # Arabic
        return 0.47
    wider = 0.1 if "\u0370" <= letter <= "\u052f" else 0  # Greek and Cyrillic
    return (0.72 if letter.isupper() else 0.57) + wider


def _line(text: str, card: Card) -> str:
    """A line in its language's direction: resvg begins every line from left to right."""
    return f"{_RLI}{text}{_PDI}" if card.mirrored else text


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("scheduler.web.pages", "assets"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("card.svg")


@cache
def _fonts() -> list[str]:
    folder = Path(str(files("scheduler.web.pages"))) / "fonts"
    return sorted(str(file) for file in folder.iterdir() if file.suffix in (".ttf", ".otf"))
