"""Input that a regular expression may be slow on, derived from the expression itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from re import _constants as code  # type: ignore[attr-defined]  # the parser that `re` itself uses
from re import _parser as parser
from typing import Any

_CATEGORIES = {
    code.CATEGORY_DIGIT: "1", code.CATEGORY_NOT_DIGIT: "a", code.CATEGORY_SPACE: " ",
    code.CATEGORY_NOT_SPACE: "a", code.CATEGORY_WORD: "a", code.CATEGORY_NOT_WORD: "-",
}  # fmt: skip
_REPEATS = (code.MAX_REPEAT, code.MIN_REPEAT, code.POSSESSIVE_REPEAT)
_USUAL = "a1 -\n"  # for whatever a negated set or a dot lets pass
_MOST_CHARACTERS = 8
_TAILS = ("", "\0", "\n!")  # the latter two end in what few patterns match


def hostile(pattern: re.Pattern[str] | re.Pattern[bytes], length: int) -> Iterator[str]:
    """Texts of about `length` characters: what the pattern matches or nearly matches, repeated; each of its
    repeated parts, repeated, behind what it expects before; its characters, alone and in pairs."""
    source = pattern.pattern
    text = source if isinstance(source, str) else source.decode("latin-1")
    tree = parser.parse(text, pattern.flags & ~(re.UNICODE | re.DEBUG))
    seen: set[str] = set()
    for start, unit in _pumps(tree):
        whole = start + unit * max(1, (length - len(start)) // max(len(unit), 1))
        for tail in _TAILS:
            if whole + tail not in seen:
                seen.add(whole + tail)
                yield whole + tail
    characters = list(dict.fromkeys((*_characters(tree), *_USUAL)))[:_MOST_CHARACTERS]
    for one, other in combinations(characters, 2):
        yield one * (length // 2) + other * (length // 2)
        yield other * (length // 2) + one * (length // 2)


def _pumps(tree: Any) -> Iterator[tuple[str, str]]:
    """(start, what is repeated behind it)."""
    shortest = _shortest(tree)
    characters = list(dict.fromkeys((*_characters(tree), *_USUAL)))[:_MOST_CHARACTERS]
    yield "", shortest or "a"
    yield "", shortest[:-1] or "a"
    yield shortest, "a"
    for one in characters:
        yield "", one
        yield shortest, one
        yield "", shortest + one
        yield "", shortest[:-1] + one
    for one, other in permutations(characters, 2):
        yield "", one + other
    for before, body in _repeated(tree, ""):
        for unit in _bodies(body):
            yield before, unit
            yield "", before + unit
            yield before + unit * 3, before or unit


def _shortest(tree: Sequence[Any]) -> str:
    return "".join(_shortest_of(op, arg) for op, arg in tree)


def _shortest_of(op: Any, arg: Any) -> str:  # noqa: PLR0911
    if op is code.LITERAL:
        return chr(arg)
    if op is code.NOT_LITERAL:
        return next(one for one in _USUAL if ord(one) != arg)
    if op is code.ANY:
        return "a"
    if op is code.IN:
        return _members(arg)[0]
    if op in _REPEATS:
        return _shortest(arg[2]) * arg[0]
    if op is code.SUBPATTERN:
        return _shortest(arg[3])
    if op is code.ATOMIC_GROUP:
        return _shortest(arg)
    if op is code.BRANCH:
        return min((_shortest(one) for one in arg[1]), key=len)
    return ""  # positions, assertions, references


def _members(items: Sequence[Any]) -> list[str]:
    """Some characters of a set; of a negated one, those of the usual that it has."""
    if items[0][0] is code.NEGATE:
        out = set(_members(items[1:]))
        return [one for one in (*_USUAL, "x", ":", "\u3042") if one not in out][:3] or ["x"]
    found = []
    for op, arg in items:
        if op is code.LITERAL:
            found.append(chr(arg))
        elif op is code.RANGE:
            found.append(chr(arg[1]))
        elif op is code.CATEGORY:
            found.append(_CATEGORIES[arg])
    return found


def _characters(tree: Sequence[Any]) -> Iterator[str]:
    """A few characters for each place of the pattern, in its order."""
    for op, arg in tree:
        if op is code.IN:
            yield from _members(arg)[:4]
        elif op in (code.LITERAL, code.NOT_LITERAL, code.ANY):
            yield _shortest_of(op, arg)
        else:
            for inner in _inside(op, arg):
                yield from _characters(inner)


def _repeated(tree: Sequence[Any], before: str) -> Iterator[tuple[str, Any]]:
    """Each repeated part, with the shortest text that leads to it."""
    for op, arg in tree:
        if op in _REPEATS:
            yield before, arg[2]
        for inner in _inside(op, arg):
            yield from _repeated(inner, before)
        before += _shortest_of(op, arg)


def _bodies(body: Any) -> Iterator[str]:
    yield _shortest(body) or "a"
    for op, arg in body:
        if op is code.IN:
            yield from _members(arg)[1:3]


def _inside(op: Any, arg: Any) -> list[Any]:
    if op in _REPEATS:
        return [arg[2]]
    if op is code.SUBPATTERN:
        return [arg[3]]
    if op is code.BRANCH:
        return list(arg[1])
    if op in (code.ASSERT, code.ASSERT_NOT):
        return [arg[1]]
    return [arg] if op is code.ATOMIC_GROUP else []
