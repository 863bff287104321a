"""The nearest of the languages that a text has, for a reader of any."""

from __future__ import annotations

import time

import pytest

from scheduler.mail.words.phrases import nearest_language

AVAILABLE = ("ar", "en", "es", "fr", "ru", "zh")


@pytest.mark.parametrize(
    ("wanted", "nearest"),
    [("fr_CH", "fr"), ("zh-Hant-HK", "zh"), ("de", None), ("fr" + "-x" * 30_000, "fr"), ("a" * 60_000, None)],
)
def test_a_tag_of_any_length_is_answered_at_once(wanted: str, nearest: str | None) -> None:
    before = time.process_time()
    assert nearest_language(wanted, AVAILABLE) == nearest
    assert time.process_time() - before < 0.5
