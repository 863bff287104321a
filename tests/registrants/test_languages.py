"""Languages as people and registration systems write them."""

from __future__ import annotations

import pytest

from scheduler.registrants.languages import language_tag


@pytest.mark.parametrize(
    ("said", "tag"),
    [
        ("fr", "fr"),
        ("fr-CH", "fr-CH"),
        ("ga", "ga"),  # Irish, though there is a language that is called Ga
        ("zh_Hant", "zh_Hant"),
        ("French", "fr"),
        ("FRANÇAIS", "fr"),
        ("français (Suisse)", "fr"),
        ("English - UK", "en"),
        ("English UK", "en"),
        ("Spanish, Latin America", "es"),
        ("Deutsch", "de"),
        ("中文", "zh"),
        ("العربية", "ar"),
        ("Русский", "ru"),
        ("anglais", "en"),
        ("Simplified Chinese", "zh-Hans"),
        (" Brazilian  Portuguese ", "pt-BR"),
    ],
)
def test_a_tag_or_a_name_in_many_languages(said: str, tag: str) -> None:
    assert language_tag(said) == tag


@pytest.mark.parametrize("said", ["", "yes", "Klingonish", "+41 22 791", "<b>", "French and English", "-"])
def test_words_that_are_no_language(said: str) -> None:
    assert language_tag(said) == ""
