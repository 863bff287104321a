"""The words of a mail that depend on its reader's time zone, computed once for all readers there and filled into
stencils.

A text prints most of them as they are; those are filled in. The rest is the *shape* of the mail: which of those words
there are, whether the webinar crosses midnight there, and the values that a text compares or computes with.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, is_dataclass
from functools import cache, cached_property, lru_cache
from typing import Any

from markupsafe import escape

from scheduler.mail.text.jinja_use import OF_ZONE, Use

MARK = "\ufdd5"
"""A noncharacter on both sides of a word's number in a stencil."""
_PRINTABLE = dict.fromkeys(map(ord, "\u00a0\u2009\u202f\u2068\u2069\u200c\u200d"))
"""Characters of many languages that `str.isprintable` refuses: no-break blanks, isolates, joiners."""
_FILLED_IN = object()
"""Stands in a shape for words that are filled in."""


@dataclass(frozen=True)
class ZoneWords:
    """The words of one zone, ready to be filled in."""

    shape: tuple[Hashable, ...]
    """Equal for zones that one stencil serves."""
    words: Mapping[str, str]
    """The words by their index in `Use.printed`."""
    encoded: Mapping[bytes, bytes]
    """The words as encoded in the parts of a mail, by "text 3", "html 3"."""

    @cached_property
    def widest(self) -> int:
        """Octets of the longest word."""
        return max(map(len, self.encoded.values()), default=0)

    @property
    def octets(self) -> int:
        """The approximate memory that it uses, in bytes."""
        return sum(100 + len(one) for one in (*self.encoded.values(), *self.words.values()))


def zone_words(values: Mapping[str, Any], use: Use, encode: Callable[[str], bytes]) -> ZoneWords:
    """The zone words of a text with this use of its variables, whose values are from `variables.zone_variables`."""
    shape: list[Hashable] = [_value(values, path) for path in sorted(use.computed)]
    words: dict[str, str] = {}
    for number, path in enumerate(use.printed):
        value = _value(values, path)
        is_words = isinstance(value, str) or "__str__" in vars(type(value))
        if is_words and can_be_filled_in(str(value)):
            words[str(number)] = str(value)
            value = _FILLED_IN
        elif is_dataclass(value) and not is_words:
            value = _FILLED_IN
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
    """The names of a word's holes in the plain text and in the HTML."""
    return f"text {number}".encode(), f"html {number}".encode()


@lru_cache(maxsize=1000)
def can_be_filled_in(words: str) -> bool:
    """Whether a text prints these words unchanged (`sandbox.plain`) and on one line that does not begin with a
    dot. Stand-ins, which are noncharacters, are not printable."""
    as_it_is = words == words.strip() and "  " not in words and not words.startswith(".")
    return bool(words) and as_it_is and words.translate(_PRINTABLE).isprintable()


def with_stand_ins(values: Mapping[str, Any], use: Use, words: Mapping[str, str]) -> dict[str, Any]:
    """`values` with a mark in place of each of these words."""
    marks = {path: f"{MARK}{number}{MARK}" for number, path in enumerate(use.printed) if str(number) in words}
    return {name: _marked(value, name, marks, use) for name, value in values.items() if name in OF_ZONE}


def _marked(value: Any, path: str, marks: Mapping[str, str], use: Use) -> Any:
    if path in use.computed:
        return value
    return _Marked(value, path, marks, use) if is_dataclass(value) else marks.get(path, value)


class _Marked:
    """A value with attributes, such as `times`, with marks in place of its words."""

    def __init__(self, value: Any, path: str, marks: Mapping[str, str], use: Use) -> None:
        self._value, self._path, self._marks, self._use = value, path, marks, use

    def __getattr__(self, name: str) -> Any:
        return _marked(getattr(self._value, name), f"{self._path}.{name}", self._marks, self._use)

    def __str__(self) -> str:
        return self._marks.get(self._path) or str(self._value)


def _value(values: Mapping[str, Any], path: str) -> Any:
    """The value at this path; a tuple of the last value before it leaves our dataclasses, as for a string's
    method."""
    name, *attributes = path.split(".")
    value = values[name]
    for attribute in attributes:
        if not is_dataclass(value):
            return (value,)
        value = getattr(value, attribute, None)
    return value
