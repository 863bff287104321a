"""What a mail says of its reader's time zone, computed once for all readers there, to be filled into a stencil.

A text prints most of it as it is: such words are filled in. All else is the *shape* of the mail: which of those words
there are, whether the webinar crosses midnight there, and whatever a text compares or computes with.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, is_dataclass
from functools import cache, cached_property, lru_cache
from typing import Any

from markupsafe import escape

from scheduler.mail.text.jinja_use import OF_ZONE, Use

MARK = "\ufdd5"
"""A noncharacter around the number of a word, where one goes in."""
_NO_ODDITY = dict.fromkeys(map(ord, "\u00a0\u2009\u202f\u2068\u2069\u200c\u200d"))
"""Not printable to Python, and yet in the words of many languages: blanks that do not break, isolates, joiners."""
_THERE = object()
"""In a shape, in place of words that are filled in."""


@dataclass(frozen=True)
class ZoneWords:
    """The words of one zone, ready to be filled in."""

    shape: tuple[Hashable, ...]
    """Equal for zones that one stencil serves."""
    words: Mapping[str, str]
    """By their numbers in `Use.printed`."""
    encoded: Mapping[bytes, bytes]
    """As they stand in the parts of a mail: by "text 3", "html 3"."""

    @cached_property
    def widest(self) -> int:
        """Octets of the longest."""
        return max(map(len, self.encoded.values()), default=0)

    @property
    def octets(self) -> int:
        """About how much memory it takes."""
        return sum(100 + len(one) for one in (*self.encoded.values(), *self.words.values()))


def zone_words(said: Mapping[str, Any], use: Use, encode: Callable[[str], bytes]) -> ZoneWords:
    """What a text that makes this use of its variables fills in, of what is `said` in one zone (`facts.of_zone`)."""
    shape: list[Hashable] = [_value(said, path) for path in sorted(use.computed)]
    words: dict[str, str] = {}
    for number, path in enumerate(use.printed):
        value = _value(said, path)
        is_words = isinstance(value, str) or "__str__" in vars(type(value))
        if is_words and can_be_filled_in(str(value)):
            words[str(number)] = str(value)
            value = _THERE
        elif is_dataclass(value) and not is_words:
            value = _THERE
        shape.append(value)
    encoded: dict[bytes, bytes] = {}
    for name, one in words.items():
        in_text, in_html = _holes(name)
        encoded[in_text] = encoded[in_html] = encode(one)
        if (escaped := escape(one)) != one:
            encoded[in_html] = encode(escaped)
    return ZoneWords(tuple(shape), words, encoded)


@cache
def _holes(number: str) -> tuple[bytes, bytes]:
    """What a word with this number goes by in the plain text and in the HTML."""
    return f"text {number}".encode(), f"html {number}".encode()


@lru_cache(maxsize=1000)
def can_be_filled_in(words: str) -> bool:
    """Whether a text shows these as they are wherever it prints them (`sandbox.plain`), in one line that does not begin
    with a dot. Noncharacters, and therefore stand-ins, are not printable."""
    as_it_is = words == words.strip() and "  " not in words and not words.startswith(".")
    return bool(words) and as_it_is and words.translate(_NO_ODDITY).isprintable()


def with_stand_ins(said: Mapping[str, Any], use: Use, words: Mapping[str, str]) -> dict[str, Any]:
    """`said` with a mark where each of these words goes."""
    marks = {path: f"{MARK}{number}{MARK}" for number, path in enumerate(use.printed) if str(number) in words}
    return {name: _marked(value, name, marks, use) for name, value in said.items() if name in OF_ZONE}


def _marked(value: Any, path: str, marks: Mapping[str, str], use: Use) -> Any:
    if path in use.computed:
        return value
    return _Marked(value, path, marks, use) if is_dataclass(value) else marks.get(path, value)


class _Marked:
    """A value with attributes, as `times`, in which marks stand for the words."""

    def __init__(self, value: Any, path: str, marks: Mapping[str, str], use: Use) -> None:
        self._value, self._path, self._marks, self._use = value, path, marks, use

    def __getattr__(self, name: str) -> Any:
        return _marked(getattr(self._value, name), f"{self._path}.{name}", self._marks, self._use)

    def __str__(self) -> str:
        return self._marks.get(self._path) or str(self._value)


def _value(said: Mapping[str, Any], path: str) -> Any:
    """What stands there; a tuple of the last value on the way if that is none of ours, as in the path to a method of a
    string."""
    name, *attributes = path.split(".")
    value = said[name]
    for attribute in attributes:
        if not is_dataclass(value):
            return (value,)
        value = getattr(value, attribute, None)
    return value
