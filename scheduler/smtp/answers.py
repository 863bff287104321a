"""Parses the bytes from a relay into replies (RFC 5321, 4.2). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from scheduler.smtp.replies import Reply, Stage, read_reply

LONGEST_LINE = 8_192  # bytes; RFC 5321, 4.5.3.1.5 asks for 512
LONGEST_REPLY = 65_536
_LINE = re.compile(rb"([2-5]\d\d)(?:([ -])(.*))?", re.DOTALL)


class Broken(Exception):
    """The connection was lost, or the relay is silent."""


class OutOfStep(Broken):
    """The bytes from the relay are not exactly one reply to each command."""


class Answer(NamedTuple):
    """A reply that is not matched to a command yet."""

    code: int
    words: bytes

    def to(self, stage: Stage) -> Reply:
        return read_reply(stage, self.code, self.words.decode("utf-8", "surrogateescape"))

    def __str__(self) -> str:
        return f"{self.code} {self.words[:200].decode('utf-8', 'replace')}"


class Answers:
    """Incremental parser of replies, which may be split anywhere (RFC 5321, 4.2.1)."""

    def __init__(self) -> None:
        self._line = b""  # the incomplete last line
        self._code = b""
        self._lines: list[bytes] = []  # of the incomplete last reply

    def feed(self, data: bytes) -> Iterator[Answer]:
        """Yield the replies that are complete. Raises OutOfStep after them for bytes that are no reply or too long."""
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            found = _LINE.fullmatch(line.removesuffix(b"\r"))
            if not found or len(line) > LONGEST_LINE or (self._lines and found[1] != self._code):
                raise OutOfStep(f"not an SMTP reply: {line[:200].decode('utf-8', 'replace')}")
            self._code, more, words = found.groups()
            self._lines.append(words or b"")
            if more != b"-":
                yield Answer(int(self._code), b"\n".join(self._lines))
                self._lines = []
            elif sum(map(len, self._lines)) > LONGEST_REPLY:
                raise OutOfStep("a reply that does not end")
        if len(self._line) > LONGEST_LINE:
            raise OutOfStep("a line that does not end")
