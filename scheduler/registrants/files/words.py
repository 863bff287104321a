"""The words of `words.toml`, which systems and people write in files of registrants, in many languages. Pure."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache, wraps
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

_LONGEST_REMEMBERED = 100  # characters
_MARKS = re.compile("[\u0300-\u036f\u064b-\u0652\u0640]")
_PUNCTUATION = re.compile(r"[_\-.\s*?:;,!'’`´\"“”«»&]+")
_ARABIC = str.maketrans("أإآىة", "ااايه")


def folded(text: str) -> str:
    """The form in which words are compared: without case, accents, punctuation and width."""
    if text.isascii():  # a shortcut for most rows
        return _PUNCTUATION.sub(" ", text.lower()).strip().replace(" / ", "/")
    text = unicodedata.normalize("NFKC", text)
    if not text.isprintable():  # it may have letters of category Cf
        text = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    text = unicodedata.normalize("NFD", text.casefold().replace("ı", "i"))
    text = unicodedata.normalize("NFC", _MARKS.sub("", text)).translate(_ARABIC)
    return _PUNCTUATION.sub(" ", text).strip().replace(" / ", "/")


def remembered(most: int) -> Callable[[Callable[[str], T]], Callable[[str], T]]:
    """A decorator that caches a function's results for the `most` texts used last. Long texts are not cached, as they
    would take too much memory."""

    def remembering(function: Callable[[str], T]) -> Callable[[str], T]:
        known = lru_cache(maxsize=most)(function)

        @wraps(function)
        def ask(text: str) -> T:
            return known(text) if len(text) <= _LONGEST_REMEMBERED else function(text)

        return ask

    return remembering


@cache
def _read() -> Mapping[str, Any]:
    return tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8"))


def table(*names: str) -> Mapping[str, Any]:
    """A table of the file."""
    found: Any = _read()
    for name in names:
        found = found[name]
    return dict(found)


def words_of(*names: str) -> Iterator[str]:
    """All words of a list, or of all lists of a table (its languages), in order."""
    *above, last = names
    found = table(*above)[last]
    for words in (found,) if isinstance(found, list) else found.values():
        yield from words


def folded_words(*names: str) -> frozenset[str]:
    return frozenset(map(folded, words_of(*names)))
