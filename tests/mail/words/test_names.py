"""A registrant's name keeps its letters, and can be nothing but a name."""

from __future__ import annotations

import re
import unicodedata
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scheduler.mail.words import names
from scheduler.mail.words.names import LONGEST, clean_name, isolated

ORDINARY = [
    "Amina Wanjiru",
    "Zoë Müller-Lüdenscheidt",
    "Seán O'Brien",
    "Nguyễn Thị Ánh",
    "محمد علي",
    "李小龍",
    "Александр Пушкин",
    "می\u200cخواهم",  # Persian, with the ZWNJ that its spelling needs
    "क्\u200dष",  # Hindi, with a ZWJ
    "Smith (WHO), PhD",
    "Anna & Ben Berg",
    "O'Neil, Ann",
    "J.R.R. Tolkien",
    "Devi a/p Raman",
    "Siti binti S/O",
    "Nguyễn Phúc Bảo Quý " * 6 + "An",  # 122 letters
    "Ng",
]


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_name_stays_as_it_is(name: str) -> None:
    assert clean_name(name) == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("evil.com", "evil. com"),
        ("Go to www.evil.com/win now", "Go to www. evil. com win now"),
        ("http://evil.example", "http evil. example"),
        ("hTTps:evil。com", "hTTps evil. com"),
        ("win@evil.com", "win evil. com"),
        ("Ａ＠evil．com", "Ａ evil. com"),
        ("[click](https://evil.com)", "click (https evil. com)"),
        ("<b>Bob</b>", "b Bob b"),
        ("<script>alert(1)</script>", "script alert(1) script"),
        ("{{ 7*7 }}{% raw %}", ""),
        ("{first_name}", ""),
        ("*|FNAME|*", ""),
        ("J.Smith", "J. Smith"),
        ('Robert "Bob" Smith', "Robert “Bob” Smith"),
        ("win/now", "win now"),
        ("a/b.com", "a/b. com"),
        ("Ann\r\nBcc: all@example.org", "Ann Bcc all example. org"),
        ("  Ann \t  Lee ", "Ann Lee"),
        ("Ann\u202egpj.exe", "Anngpj. exe"),
        ("Ann\u200b\u2060\ufeffLee", "AnnLee"),
        ("\u200dAnn\u200c", "Ann"),
        ("Ann\u2028Lee", "Ann Lee"),
        ("H" + "\u0301" * 30 + "i", "H" + "\u0301" * 4 + "i"),
        ("12345", ""),
        ("...", ""),
        ("", ""),
    ],
)
def test_characters_that_no_name_has_are_removed(typed: str, shown: str) -> None:
    assert clean_name(typed) == shown


def test_a_long_name_is_cut() -> None:
    assert clean_name("W" * 500) == "W" * LONGEST


_LINK = re.compile(r"://|www\.\w|@|\w\.[^\W_]{2}", re.IGNORECASE)
_HOSTILE = st.text(st.sampled_from("ab1é.:/@<>{}%#\r\n\u202e\u200b\u200d\u0301。 -_w'\"م"), max_size=120)


@settings(deadline=None)
@given(st.one_of(st.text(max_size=200), _HOSTILE))
@example("a._b")
@example("a\u200d.b")
@example("a\u0301.b")
@example("a.\u200bb")
@example("." * 79 + "ab.com")
def test_whatever_is_typed_becomes_one_harmless_line(typed: str) -> None:
    name = clean_name(typed)

    assert clean_name(name) == name
    assert len(name) <= LONGEST
    assert not _LINK.search(name)
    assert not set(name) & set('<>{}[]|\\`*_#@:;"=%\r\n')
    assert "//" not in name
    assert all(unicodedata.category(character) not in {"Cc", "Cs", "Zl", "Zp"} for character in name)
    assert all(unicodedata.category(character) != "Cf" or character in "\u200c\u200d" for character in name)


def test_a_name_is_isolated_only_against_the_direction_of_the_text() -> None:
    assert isolated("Amina") == "Amina"
    assert isolated("محمد") == "\u2068محمد\u2069"
    assert isolated("محمد", right_to_left=True) == "محمد"
    assert isolated("Amina", right_to_left=True) == "\u2068Amina\u2069"


@given(st.text("aZé žÀ'’-. ,&/09" + "1\u0301_", max_size=90))
def test_a_name_that_is_ordinary_at_a_glance_is_what_a_closer_look_leaves(name: str) -> None:
    with patch.object(names, "_ORDINARY", re.compile("(?!)")):
        looked_at = clean_name(name)
    assert clean_name(name) == looked_at
