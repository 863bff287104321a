"""The difference of two versions of a text, line by line, and by words in lines that resemble each other. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest

Piece = tuple[str, str]
"""Words that both versions have (" "), the former one ("-") or the later one ("+")."""
Row = tuple[str, tuple[Piece, ...]]
"""A line: in both versions (" "), changed ("~"), in one of them ("-", "+"), or a gap ("@")."""

_AROUND = 2  # lines of context around those that differ
_MOST_SHOWN = 400  # lines of a difference
_MOST_COMPARED = 250_000
"""Pairs of lines between the first and the last difference (about 500 lines in each text), and pairs of words."""
_ALIKE = 0.4
_WORD = re.compile(r"\{[{%][^{}\n]{0,300}[}%]\}|[⺀-鿿]|[^\W⺀-鿿]+|\s+|.")


def difference(before: str, after: str) -> list[Row]:
    """The lines that differ, with context. At most `_MOST_SHOWN`.

    difflib takes quadratic time, so only the lines between the first and the last difference are compared; if there
    are too many, all are shown as removed and added.
    """
    old, new = before.splitlines(), after.splitlines()
    start = _common_lines(old, new)
    end = _common_lines(old[start:][::-1], new[start:][::-1])
    old_middle, new_middle = old[start : len(old) - end], new[start : len(new) - end]
    if not old_middle and not new_middle:
        return []
    above = [_row(" ", line) for line in old[max(start - _AROUND, 0) : start]]
    below = [_row(" ", line) for line in old[len(old) - end :][:_AROUND]]
    found = [_row("@", "…"), *above, *_compared(old_middle, new_middle), *below]
    if len(found) <= _MOST_SHOWN:
        return found
    return [*found[:_MOST_SHOWN], _row("@", f"… and {len(found) - _MOST_SHOWN} more lines")]


def _row(mark: str, line: str) -> Row:
    return mark, ((mark if mark in "+-" else " ", line),)


def _common_lines(one: Sequence[str], other: Sequence[str]) -> int:
    """The number of lines with which both begin."""
    return next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _compared(old: list[str], new: list[str]) -> Iterator[Row]:
    """The difference of two pieces whose first and last lines differ."""
    if len(old) * len(new) > _MOST_COMPARED:
        yield from (_row("-", line) for line in old)
        yield from (_row("+", line) for line in new)
        return
    words_left = _MOST_COMPARED
    groups = SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(_AROUND)
    for number, group in enumerate(groups):
        if number:
            yield _row("@", "…")
        for what, a, b, c, d in group:
            if what == "equal":
                yield from (_row(" ", line) for line in old[a:b])
                continue
            for was, now in zip_longest(old[a:b], new[c:d]):
                if was is not None and now is not None and (pieces := _by_words(was, now, words_left)):
                    words_left -= len(was) * len(now) // 16  # a word and its blank have some four characters
                    yield "~", pieces
                    continue
                if was is not None:
                    yield _row("-", was)
                if now is not None:
                    yield _row("+", now)


def _by_words(was: str, now: str, most: int) -> tuple[Piece, ...]:
    """The words of both lines in their order; empty if the lines hardly resemble each other, or are too long."""
    if len(was) * len(now) // 16 > most:
        return ()
    old, new = _WORD.findall(was), _WORD.findall(now)
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    if matcher.ratio() < _ALIKE:
        return ()
    pieces: list[Piece] = []
    for what, a, b, c, d in matcher.get_opcodes():
        if what == "equal":
            pieces.append((" ", "".join(old[a:b])))
            continue
        if a < b:
            pieces.append(("-", "".join(old[a:b])))
        if c < d:
            pieces.append(("+", "".join(new[c:d])))
    return tuple(pieces)
