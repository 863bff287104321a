"""The words of the registrants' pages in the six languages of the United Nations: `words/*.toml`, by page.

Dates, cities, zones and the names of languages come from CLDR (`mail.words.wording`).
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

from scheduler.input.toml_syntax import load_toml
from scheduler.mail.words.phrases import LONGEST_TAG, nearest_language
from scheduler.mail.words.typography import typeset

LANGUAGES = ("ar", "en", "es", "fr", "ru", "zh")
_MOST_PREFERENCES = 20


@cache
def page_words(language: str) -> Any:
    """The words in one of LANGUAGES, an attribute for each table and phrase: `page_words("fr").mine.language`. What
    stands in {…} is filled in by `str.format`."""
    source = (files("scheduler.web.pages") / "words" / f"{language}.toml").read_text("utf-8")
    areas = {
        area: SimpleNamespace(**{key: typeset(phrase, language) for key, phrase in phrases.items()})
        for area, phrases in load_toml(source).items()
    }
    return SimpleNamespace(**areas)


def page_language(*wanted: str) -> str:
    """The one of LANGUAGES that is nearest to the first of these tags to which one is near; else English."""
    return next((found for tag in wanted if tag and (found := nearest_language(tag, LANGUAGES))), "en")


def accepted_languages(header: str) -> list[str]:
    """The tags of an Accept-Language header (RFC 9110, 12.5.4), the most wanted first. Of a longer list only the first
    are read, and no tag that is longer than any real one."""
    wanted: list[tuple[float, str]] = []
    for part in header.split(",", _MOST_PREFERENCES)[:_MOST_PREFERENCES]:
        tag, _, quality = part.strip().partition(";")
        if len(tag) > LONGEST_TAG:
            continue
        try:
            weight = float(quality.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        if weight > 0 and tag.replace("-", "").isalnum() and tag.isascii():
            wanted.append((weight, tag))
    return [tag for _, tag in sorted(wanted, key=lambda one: -one[0])]
