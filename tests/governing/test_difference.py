"""The difference of two versions of a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.governing.difference import difference


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("\n" * 200_000, "\n" * 199_999 + "a"), ("a\nb\n" * 50_000, "b\na\n" * 50_000),
        ("x\n" + "a\nb\nc\n" * 33_000, "y\n" + "c\na\n" * 50_000), ("a" * 200_000, "b" * 200_000),
    ],
)  # fmt: skip
def test_any_two_texts_are_compared_at_once_and_few_lines_are_shown(before: str, after: str) -> None:
    """difflib alone would take minutes, or never come back."""
    assert 0 < len(difference(before, after)) <= 401


def test_a_difference_shows_the_lines_around_it() -> None:
    before = [f"line {number}" for number in range(20)]
    after = [*before[:5], "fifth", *before[6:15], "fifteenth", *before[16:]]
    found = difference("\n".join(before), "\n".join(after))
    assert [(mark, "".join(words for _, words in pieces)) for mark, pieces in found] == [
        ("@", "…"), (" ", "line 3"), (" ", "line 4"), ("-", "line 5"), ("+", "fifth"), (" ", "line 6"), (" ", "line 7"),
        ("@", "…"), (" ", "line 13"), (" ", "line 14"), ("-", "line 15"), ("+", "fifteenth"), (" ", "line 16"),
        (" ", "line 17"),
    ]  # fmt: skip
    assert difference("one", "one") == []


@pytest.mark.parametrize(
    ("before", "after", "pieces"),
    [
        (
            "Kind regards, all of us",
            "Warm regards, all of us",
            [("-", "Kind"), ("+", "Warm"), (" ", " regards, all of us")],
        ),
        (
            "It starts {{ time_left }}.",
            "It starts at {{ your_time }}.",
            [(" ", "It starts "), ("-", "{{ time_left }}"), ("+", "at {{ your_time }}"), (" ", ".")],
        ),
        ("明天开始的研讨会", "今天开始的研讨会", [("-", "明"), ("+", "今"), (" ", "天开始的研讨会")]),
    ],
)
def test_lines_that_resemble_each_other_differ_by_words(
    before: str, after: str, pieces: list[tuple[str, str]]
) -> None:
    assert difference(before, after) == [("@", ((" ", "…"),)), ("~", tuple(pieces))]


@given(st.text("ab \n{}", max_size=60), st.text("ab \n{}", max_size=60))
def test_a_difference_lacks_no_word_of_either_version(before: str, after: str) -> None:
    found = [row for row in difference(before, after) if row[0] != "@"]
    for marks, version in ((" -", before), (" +", after)):
        rows = [
            [words for kind, words in pieces if kind in marks]
            for mark, pieces in found
            if mark in f"~{marks}"
        ]
        assert [line for line in map("".join, rows) if line not in version.splitlines()] == []
