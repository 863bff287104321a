"""The pages say the same in all six languages."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from scheduler.input.toml_syntax import load_toml
from scheduler.web.pages.words import LANGUAGES, accepted_languages, page_language, page_words

HOLE = re.compile(r"\{\w*\}")


def phrases(language: str) -> dict[str, str]:
    source = (files("scheduler.web.pages") / "words" / f"{language}.toml").read_text("utf-8")
    return {
        f"{area}.{key}": phrase for area, table in load_toml(source).items() for key, phrase in table.items()
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_phrase_with_the_same_holes(language: str) -> None:
    english, theirs = phrases("en"), phrases(language)
    assert list(theirs) == list(english)
    assert {key: sorted(HOLE.findall(words)) for key, words in theirs.items()} == {
        key: sorted(HOLE.findall(words)) for key, words in english.items()
    }
    assert all(words.strip() for words in theirs.values())


def test_french_has_its_blanks() -> None:
    assert "incomplet\u00a0: ouvrez" in page_words("fr").refusal.not_found


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("fr-CH, fr;q=0.9, en;q=0.8", "fr"),
        ("en;q=0.2, ar;q=0.9", "ar"),
        ("pt-BR, es;q=0.5", "es"),
        ("zh-TW", "zh"),
        ("de", "en"),
        ("fr;q=0, ru", "ru"),
        ("", "en"),
        ("*, \x00;q=x,,;;;, -", "en"),
        (",".join(["de"] * 1000) + ",fr", "en"),
        ("a" * 36 + ",fr", "fr"),
    ],
)
def test_the_language_is_the_nearest_that_the_browser_asks_for(header: str, language: str) -> None:
    assert page_language(*accepted_languages(header)) == language
