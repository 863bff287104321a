"""Durations, times, addresses, links and languages as people type them."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from scheduler.input import values
from scheduler.input.values import Mailbox


def _hint(function: Any, typed: object) -> str:
    with pytest.raises(PydanticCustomError) as error:
        function(typed)
    return str((error.value.context or {})["hint"])


@pytest.mark.parametrize(
    ("typed", "length"),
    [
        ("1h", timedelta(hours=1)),
        ("45m", timedelta(minutes=45)),
        ("1h 30m", timedelta(minutes=90)),
        ("1h30m", timedelta(minutes=90)),
        ("90s", timedelta(seconds=90)),
        ("2d", timedelta(hours=48)),
        (" 1d 2h 3m 4s ", timedelta(days=1, hours=2, minutes=3, seconds=4)),
    ],
)
def test_durations(typed: str, length: timedelta) -> None:
    assert values.duration(typed) == length


@given(st.integers(1, 10**8))
def test_every_duration_in_whole_seconds_can_be_written(seconds: int) -> None:
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)

    assert values.duration(f"{day}d {hour}h {minute}m {second}s") == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("1 hour", "did you mean `1h`?"),
        ("30 minutes", "did you mean `30m`?"),
        ("30m 1h", "did you mean `1h 30m`?"),
        ("1H", "did you mean `1h`?"),
        ("1.5h", "did you mean `1h 30m`?"),
        ("60", 'name the unit: "60m" is 60 minutes'),
        ("-1h", ""),
        ("1h 1h", ""),
        ("PT1H", ""),
        ("1w", ""),
        ("", ""),
    ],
)
def test_invalid_durations(typed: str, hint: str) -> None:
    assert _hint(values.duration, typed) == hint


@pytest.mark.parametrize(
    ("typed", "at"),
    [
        ("09:00", time(9)),
        ("09:00:30", time(9, 0, 30)),
        ("00:00", time(0)),
        (time(23, 59, 59), time(23, 59, 59)),
    ],
)
def test_times_of_day(typed: object, at: time) -> None:
    assert values.clock_time(typed) == at


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("9:00 am", "did you mean `09:00`?"),
        ("9:00 PM", "did you mean `21:00`?"),
        ("12:30 a.m.", "did you mean `00:30`?"),
        ("12 pm", "did you mean `12:00`?"),
        ("9:00", "did you mean `09:00`?"),
        ("9h30", "did you mean `09:30`?"),
        ("25:00", ""),
        ("noon", ""),
        ("٠٩:٠٠", ""),
        (9, 'write it in quotes, such as "09:00"'),
        (time(9, 0, 0, 1), ""),
    ],
)
def test_invalid_times_of_day(typed: object, hint: str) -> None:
    assert _hint(values.clock_time, typed) == hint


@pytest.mark.parametrize(
    ("typed", "box"),
    [
        ("a@who.int", Mailbox("", "a@who.int")),
        ("WHO <a@who.int>", Mailbox("WHO", "a@who.int")),
        ("WHO, WIPO and WTO <a@who.int>", Mailbox("WHO, WIPO and WTO", "a@who.int")),
        ('"WHO (Geneva)" <a@WHO.int>', Mailbox("WHO (Geneva)", "a@who.int")),
        ("日本 <a@example.org>", Mailbox("日本", "a@example.org")),
        ("a@müller.example.org", Mailbox("", "a@xn--mller-kva.example.org")),
        ("a@webinar.test", Mailbox("", "a@webinar.test")),
        ("<a@who.int>", Mailbox("", "a@who.int")),
    ],
)
def test_mailboxes(typed: str, box: Mailbox) -> None:
    assert values.mailbox(typed) == box


@pytest.mark.parametrize(
    "typed", ["a", "a@", "@who.int", "a@localhost", "a b@who.int", "WHO a@who.int", "A <a@who.int> B", "ä@who.int",
              "A <b> <a@who.int>", "a@who.int, b@who.int", "A <a@who.int\n>", 1, ["a@who.int"]],
)  # fmt: skip
def test_invalid_mailboxes(typed: object) -> None:
    with pytest.raises(PydanticCustomError):
        values.mailbox(typed)


@pytest.mark.parametrize(
    "name", ["noreply", "no-reply", "No_Reply", "donotreply", "do-not-reply", "no-reply-wto"]
)
def test_a_mailbox_that_nobody_reads_takes_no_answers(name: str) -> None:
    with pytest.raises(PydanticCustomError):
        values.answered_mailbox(f"{name}@who.int")


@pytest.mark.parametrize(
    "typed",
    ["", "https://zoom.us/j/123?pwd=a%20b#x", "https://who.int:8443/", "https://localhost/x", "https://[::1]/x",
     "https://teams.microsoft.com/l/meetup-join/19%3ameeting_x%40thread.v2/0?context=%7b%22Tid%22%3a%22a%22%7d"],
)  # fmt: skip
def test_links(typed: str) -> None:
    assert values.link(typed) == typed


@pytest.mark.parametrize(
    "typed",
    ["http://who.int", "ftp://who.int", "https://", "https:///x", "https://zoom/x", "zoom.us", "javascript:x",
     "https://who.int/<b>", "https://who.int/é", "https://a@who.int/", "https://who.int:99999/", "https://[::1/",
     "https://who.int/\r\nBcc:x", "https://.who.int/", 1],
)  # fmt: skip
def test_invalid_links(typed: object) -> None:
    with pytest.raises(PydanticCustomError):
        values.link(typed)


@pytest.mark.parametrize(
    ("typed", "tag"), [("en", "en"), ("FR", "fr"), ("pt-br", "pt-BR"), ("zh-hant", "zh-Hant"), (" ar ", "ar")]
)
def test_languages(typed: str, tag: str) -> None:
    assert values.language(typed) == tag


@pytest.mark.parametrize(
    ("typed", "hint"),
    [("french", "did you mean `fr`?"), ("Arabic", "did you mean `ar`?"), ("xx", ""), ("e", "")],
)
def test_invalid_languages(typed: str, hint: str) -> None:
    assert _hint(values.language, typed) == hint


@given(st.text())
def test_a_line_has_no_control_characters_whatever_is_typed(typed: str) -> None:
    try:
        line = values.line(typed)
    except PydanticCustomError:
        return
    assert line == typed.strip()
    assert len(f"x{line}x".splitlines()) == 1


@pytest.mark.parametrize("character", ["\r", "\n", "\t", "\0", "\x7f", "\x85", "\u2028", "\u2029", "\x1b"])
def test_a_control_character_in_a_line_is_a_mistake(character: str) -> None:
    with pytest.raises(PydanticCustomError):
        values.line(f"a{character}b")


def test_wall_times_are_naive_and_in_whole_seconds() -> None:
    assert values.wall_time(datetime(2025, 7, 3, 13)) == datetime(2025, 7, 3, 13)
    assert _hint(values.wall_time, datetime(2025, 7, 3, 13, 0, 0, 500)) == "write 2025-07-03T13:00:00"


@pytest.mark.parametrize(
    "turned",
    ["A\u202eB", "A\u202dB\u202c", "A\u2067B", "A\u202bB\u2069", "A\u2069B", "\u2066\u202bA\u2069\u202c"],
)
def test_no_line_turns_around_what_is_written_behind_it(turned: str) -> None:
    with pytest.raises(PydanticCustomError, match=r"the character U\+20"):
        values.line(turned)


@pytest.mark.parametrize("sound", ["A\u2067\u05d0\u2069", "\u202bA\u202c B", "A\u200fB", "\u2068A\u2069"])
def test_a_direction_that_ends_again_stays(sound: str) -> None:
    assert values.line(sound) == sound
