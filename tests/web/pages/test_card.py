"""The picture beside a link to a registration page."""

from __future__ import annotations

import struct
import zlib

import pytest
import pytz

from scheduler.mail.words.wording import clock_time
from scheduler.web.pages import card
from scheduler.web.pages.card import HEIGHT, WIDTH, Card, card_of, picture
from scheduler.web.pages.words import LANGUAGES
from tests.support import webinar

EMPTY = Card("", "", "", "", "", "", "", "", "#0b5a9d", False)


def pixels(png: bytes) -> bytes:
    """The decompressed rows of a picture, with its size checked."""
    assert struct.unpack(">II", png[16:24]) == (WIDTH, HEIGHT)
    data, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += length + 12
    return zlib.decompress(data)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_card_says_date_time_and_zone_in_its_language(language: str) -> None:
    shown = card_of(webinar(languages=list(LANGUAGES)), language)
    assert "13:00" in shown.when
    assert "UTC+2" in shown.zone
    assert "11:00" in shown.elsewhere
    assert shown.mirrored == (language == "ar")
    assert len(picture(shown)) < 200_000
    words = (shown.title, shown.host, shown.when, shown.zone, shown.elsewhere, shown.month, shown.weekday)
    assert all(words)
    for field in ("title", "host", "when", "zone", "elsewhere", "month", "weekday", "day"):
        assert pixels(picture(shown)) != pixels(picture(shown._replace(**{field: ""}))), f"{field} is drawn"


@pytest.mark.parametrize("letters", ["Ưu tiên", "Ωμέγα", "Женева", "جنيف", "日内瓦", "Ñandú · “Öl” – 5 €"])
def test_every_script_is_drawn_and_no_two_letters_alike(letters: str) -> None:
    drawn = {pixels(picture(EMPTY._replace(title=letter))) for letter in set(letters) if letter.strip()}
    assert len(drawn) == len({letter for letter in letters if letter.strip()}), (
        "a box for each would be alike"
    )


def test_a_title_with_a_letter_that_the_fonts_lack_is_left_out() -> None:
    assert pixels(picture(EMPTY._replace(title="ประชุม"))) == pixels(picture(EMPTY))


def test_a_long_title_becomes_smaller_and_is_cut() -> None:
    assert card._title("Health for all")[0] == 60
    size, lines = card._title("Public procurement of health products and what it may do for innovation " * 3)
    assert (size, len(lines)) == (42, 4)
    assert lines[-1].endswith("…")


def test_markup_in_a_title_is_text() -> None:
    assert picture(EMPTY._replace(title='<image href="file:///etc/passwd"/> & <b>'))


def test_the_cities_of_all_zones_are_drawn() -> None:
    start, end = webinar().start, webinar().end
    names = (clock_time(start, end, pytz.timezone(zone), "zh").zone for zone in pytz.common_timezones)
    letters = {letter for name in names for letter in name if not card._has(letter)}
    drawn = {pixels(picture(EMPTY._replace(zone=letter))) for letter in letters}
    assert len(drawn) == len(letters), "none is left out, and none is a box"
    assert pixels(picture(EMPTY)) not in drawn
