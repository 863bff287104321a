"""The phrases of the layout and the blocks, in each language that has a file in `languages/`.

Organizers' words are in `templates/`. Phrases are here because the program chooses among them (an assumed zone, a
date that differs), and because they must exist for every language of a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from pathlib import Path

from babel import Locale, UnknownLocaleError
from babel.core import get_global

from scheduler.input.toml_lines import key_lines, line_of
from scheduler.input.toml_syntax import load_toml, syntax_problem
from scheduler.input.validation import shown
from scheduler.mail.words.typography import typeset
from scheduler.problem import Problem, nearest

_FOLDER = Path(__file__).parent / "languages"
_IN_CLDR = ("today", "tomorrow", "yesterday", "in_one_hour", "now")
"""Phrases for which CLDR stands in, although less natural ("in 1 day")."""
LONGEST_TAG = 35
"""Characters of a language tag (RFC 5646, 4.4.1: no registered one is longer). What follows them is not read."""
_HOLE = re.compile(r"\{\w+\}")  # filled in by `str.format`


@dataclass(frozen=True)
class Phrases:
    """The phrases of one language; `languages/en.toml` explains each. `{…}` is filled in by `str.format`."""

    geneva: str
    colon: str
    comma: str
    enumeration: str
    full_stop: str
    blank: str
    brackets: str
    hours: str
    crossing_midnight: str
    dear: str
    dear_anybody: str
    your_time: str
    same_time: str  # {city}: the reader's, {place}: the webinar's
    place_time: str
    other_date: str
    assumed: str
    unknown_zone: str
    correct: str
    correct_link: str
    correct_subject: str
    correct_body: str
    join: str
    join_fallback: str
    join_here: str
    no_link_yet: str
    invitation: str
    or_add: str
    add: str
    google: str
    outlook: str
    microsoft: str
    alternatives: str  # joins the last two of "Google Calendar, Outlook.com or Microsoft 365"
    alarm: str
    from_whom: str
    held_in: str
    why: str
    questions: str
    declining: str  # {stop}: what `stop` says
    stop: str
    my_registration: str
    write_to: str
    today: str  # "" here and in the next four: CLDR's phrase is used (`wording.time_left`)
    tomorrow: str
    yesterday: str
    in_one_hour: str
    now: str
    was: str  # between a new time and the former one
    new_time: str
    new_link: str
    new_time_and_link: str
    replaces_link: str
    restored: str
    takes_place: str
    updated: str


def nearest_language(wanted: str, available: Iterable[str]) -> str | None:
    """The best of the tags `available` for a reader of `wanted` (BCP 47; "fr_CH" is understood), or None.

    The first rule that fits counts: (1) the same tag; (2) the tag shortened from its end, part by part ("zh-Hant-HK",
    "zh-Hant", "zh"; RFC 4647, 3.4); (3) a tag of the same language in the same script, by CLDR's likely subtags ("pt"
    for "pt-BR" and the reverse, "zh-TW" for "zh-Hant"); (4) any tag of the same language: simplified Chinese helps a
    reader of traditional Chinese more than English does. Of several, the shortest, then the first in alphabetical
    order.
    """
    tags = {_folded(tag): tag for tag in available}
    wanted = _folded(wanted[:LONGEST_TAG])
    parts = wanted.split("-")
    for length in range(len(parts), 0, -1):
        if found := tags.get("-".join(parts[:length])):
            language_only = length == 1 and len(parts) > 1
            if not language_only or _script(found) == _script(wanted):
                return found
            break
    same = sorted((tag for tag in tags if tag.split("-")[0] == parts[0]), key=lambda tag: (len(tag), tag))
    in_script = [tag for tag in same if _script(tag) == _script(wanted)]
    return tags[(in_script or same)[0]] if same else None


def _folded(tag: str) -> str:
    return tag.replace("_", "-").lower()


@lru_cache(1000)  # tags come from outside as well
def _script(tag: str) -> str:
    """The likely script of `tag` (CLDR's likely subtags): "Hant" for "zh-TW"; "" if unknown."""
    try:
        known = Locale.parse(_folded(tag), sep="-")
    except (UnknownLocaleError, ValueError):
        return ""
    likely: Mapping[str, str] = get_global("likely_subtags")
    names = (f"{known.language}_{known.territory}", known.language)
    return known.script or next((likely[name].split("_")[1] for name in names if name in likely), "")


@cache
def _files() -> dict[str, tuple[dict[str, str], tuple[Problem, ...]]]:
    """The phrases in each language's file and its problems, by tag."""
    paths = sorted(_FOLDER.glob("*.toml"))
    return {path.stem: read_phrases(path.read_text("utf-8", "replace"), str(path)) for path in paths}


@cache
def _usable() -> dict[str, dict[str, str]]:
    return {tag: usable for tag, (usable, _) in _files().items()}


def read_phrases(source: str, place: str) -> tuple[dict[str, str], tuple[Problem, ...]]:
    """The usable phrases of a language's file, and the problems of the others. English stands in for those: a mail
    must not fail because of a phrase."""
    try:
        written = load_toml(source)
    except (ValueError, RecursionError) as error:
        return {}, (syntax_problem(source, place, error),)
    usable: dict[str, str] = {}
    problems: list[Problem] = []
    for key, words in written.items():
        if wrong := _mistake_in(key, words):
            line = line_of((key,), key_lines(source))
            problems.append(Problem(f"{place}, line {line}, {key}" if line else f"{place}, {key}", *wrong))
        else:
            usable[key] = words
    return usable, tuple(problems)


def _mistake_in(key: str, words: object) -> tuple[str, ...]:
    """The mistake in a phrase: what was found, what is allowed, and a hint; () if there is none."""
    keys = [field.name for field in fields(Phrases)]
    if key not in keys:
        return "unknown phrase", "the names in en.toml", nearest(key, keys)
    if not isinstance(words, str):
        return shown(words), "text in quotes"
    holes = {*_HOLE.findall(_english()[key])} if key in _english() else set()
    if {*_HOLE.findall(words)} == holes and not {*"{}"} & {*_HOLE.sub("", words)}:
        return ()
    return shown(words), f"text with {' and '.join(sorted(holes))}" if holes else "text without { and }"


@cache
def _english() -> Mapping[str, str]:
    return load_toml((_FOLDER / "en.toml").read_text("utf-8"))


def phrases_file(language: str) -> Path:
    """The file that has the phrases of this language, or would have them."""
    return _FOLDER / f"{nearest_language(language, _usable()) or language}.toml"


def phrase_problems() -> tuple[Problem, ...]:
    """The problems of all languages' files."""
    return tuple(problem for _, problems in _files().values() for problem in problems)


def missing_phrases(language: str) -> tuple[str, ...]:
    """The keys of `languages/en.toml` that the file for `language` lacks and CLDR has not; all if there is no file."""
    tag = nearest_language(language, _usable())
    known = {*_IN_CLDR, *(_usable()[tag] if tag else ())}
    return tuple(field.name for field in fields(Phrases) if field.name not in known)


@cache
def phrases(language: str) -> Phrases:
    """The phrases of `language`, English where it lacks one; "" for phrases that CLDR has in that language."""
    tag = nearest_language(language, _usable()) or ""
    english = _usable()["en"] | (dict.fromkeys(_IN_CLDR, "") if tag != "en" else {})
    usable = english | _usable().get(tag, {})
    return Phrases(**{key: typeset(words, tag) for key, words in usable.items()})
