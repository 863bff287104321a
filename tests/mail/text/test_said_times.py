"""Times written into prose by hand."""

from __future__ import annotations

from datetime import datetime

import pytest
import pytz

from scheduler.mail.text.said_times import said_times

START = pytz.timezone("Europe/Zurich").localize(datetime(2025, 7, 3, 13))
WINTER = pytz.timezone("Europe/Zurich").localize(datetime(2025, 12, 3, 13))


@pytest.mark.parametrize(
    ("language", "prose", "words", "wrong"),
    [
        ("en", "It starts at 13:00.", "13:00", False),
        ("en", "It starts at 1 pm in Geneva.", "1 pm", False),
        ("en", "It starts at 1:00 p.m. sharp", "1:00 p.m.", False),
        ("fr", "Début à 13 h 30.", "13 h 30", False),
        ("fr", "Début à 13h.", "13h", False),
        ("zh", "会议于下午1点开始", "下午1点", False),
        ("en", "Noon CET", "CET", True),
        ("en", "Noon UTC+2", "UTC+2", False),
        ("en", "Friday, 3 July 2025", "Friday … 3 July 2025", True),
        ("en", "on Friday 3 July", "Friday … 3 July", True),
        ("en", "on Wed, July 3rd, 2025", "Wed … July 3rd, 2025", True),
        ("en", "3 July 2025 (Friday)", "Friday … 3 July 2025", True),
        ("fr", "le vendredi 3 juillet", "vendredi … 3 juillet", True),
        ("es", "el viernes, 3 de julio de 2025", "viernes … 3 de julio de 2025", True),
        ("ru", "в пятницу", None, False),
        ("zh", "2025年7月3日 星期五", "星期五 … 2025年7月3日", True),
    ],
)
def test_what_is_written_by_hand_is_found(language: str, prose: str, words: str | None, wrong: bool) -> None:
    found = list(said_times(f"\n{prose}", language, START))
    if words is None:
        assert found == []
    else:
        assert [(one.line, one.words, one.wrong) for one in found] == [(2, words, wrong)]


@pytest.mark.parametrize(
    "prose",
    [
        "Thursday, 3 July 2025",
        "le jeudi 3 juillet 2025",
        "{{ times }} {% if 13 %}13{% endif %}",
        "{# CET 13:00 #}",
        "see https://example.org/13:00/CET",
        "chapter 3, verse 7",
        "a ratio of 1:2, and 30 h",
        "May 31 people join",
        "version 12.30",
    ],
)
def test_other_numbers_and_right_times_are_not_reported(prose: str) -> None:
    assert list(said_times(prose, "fr" if "jeudi" in prose else "en", START)) == []


def test_the_name_of_the_season_is_right_in_its_season() -> None:
    assert [one.wrong for one in said_times("13 o'clock CET", "en", WINTER)] == [False]
    assert [one.wrong for one in said_times("13 o'clock CEST", "en", WINTER)] == [True]


@pytest.mark.parametrize(
    "source",
    ["a" * 50_000, "{{" * 25_000, "{{ a }}{%" * 5_000, "July 3 " * 5_000, "3 " * 25_000, " " * 50_000],
)
def test_no_text_takes_long(source: str) -> None:
    """It would take minutes, or hours, if each place were compared with all that follows."""
    assert not any(said.wrong for said in said_times(source, "en", START))
