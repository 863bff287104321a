"""What a relay says, cut into replies."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.smtp.answers import LONGEST_LINE, LONGEST_REPLY, Answer, Answers, OutOfStep


def read(*pieces: bytes) -> list[Answer]:
    answers = Answers()
    return [answer for piece in pieces for answer in answers.feed(piece)]


@pytest.mark.parametrize(
    ("said", "answers"),
    [
        (b"250 2.1.0 Ok\r\n", [(250, b"2.1.0 Ok")]),
        (b"250\r\n", [(250, b"")]),
        (b"250 Ok\n354 Go\n", [(250, b"Ok"), (354, b"Go")]),
        (b"250-11975 byte chunk\r\n250 OK id=1x\r\n", [(250, b"11975 byte chunk\nOK id=1x")]),
        (b"550-5.1.1 Nobody\r\n550-5.1.1\r\n550 5.1.1 here\r\n", [(550, b"5.1.1 Nobody\n5.1.1\n5.1.1 here")]),
        (b"25", []),
        (b"250-more\r\n", []),
    ],
)  # fmt: skip
def test_replies_of_one_line_and_of_many(said: bytes, answers: list[tuple[int, bytes]]) -> None:
    assert read(said) == answers


LINES = st.lists(
    st.binary(max_size=20).map(lambda words: words.translate(None, b"\r\n")), min_size=1, max_size=3
)
REPLIES = st.lists(st.tuples(st.integers(200, 599), LINES), max_size=5)


@given(REPLIES, st.lists(st.integers(0, 200)))
def test_however_they_are_torn_to_pieces(replies: Sequence[tuple[int, list[bytes]]], cuts: list[int]) -> None:
    said = b"".join(
        b"%d%s%s\r\n" % (code, b"-" if number < len(lines) else b" ", line)
        for code, lines in replies
        for number, line in enumerate(lines, 1)
    )
    ends = [0, *sorted(min(cut, len(said)) for cut in cuts), len(said)]
    pieces = [said[start:end] for start, end in itertools.pairwise(ends)]
    assert read(*pieces) == [(code, b"\n".join(lines)) for code, lines in replies]


@pytest.mark.parametrize(
    "said",
    [
        b"hello\r\n",
        b"\r\n",
        b"\x00\xff 250 ok\r\n",
        b"150 too low\r\n",
        b"650 too high\r\n",
        b"25 ok\r\n",
        b"2500 ok\r\n",
        b"250_ok\r\n",
        b"250-one\r\n251 another\r\n",
        b"250 " + b"x" * LONGEST_LINE + b"\r\n",
        b"x" * (LONGEST_LINE + 1),
        b"250-" + b"x" * LONGEST_LINE,
        (b"250-" + b"x" * 1000 + b"\r\n") * (LONGEST_REPLY // 1000 + 1),
    ],
)
def test_what_is_no_reply_or_does_not_end_is_out_of_step_and_what_came_before_counts(said: bytes) -> None:
    found: list[Answer] = []

    def take() -> None:
        for answer in Answers().feed(b"250 2.0.0 taken\r\n" + said):
            found.append(answer)  # one by one: what comes before the error stays

    with pytest.raises(OutOfStep):
        take()
    assert found == [(250, b"2.0.0 taken")]


def test_a_long_reply_of_the_size_that_relays_have_is_none_of_these() -> None:
    said = b"250-" + b"x" * 500 + b"\r\n"
    assert len(read(said * 100 + b"250 end\r\n")) == 1


def test_words_that_are_not_text_become_text() -> None:
    (answer,) = read(b"550 5.1.1 \xff\x00no\r\n")
    reply = answer.to("rcpt")
    assert (reply.stage, reply.code, reply.enhanced, reply.text) == ("rcpt", 550, "5.1.1", "no")
