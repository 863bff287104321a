"""The meaning of a column's header, in the words of the systems that export it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, get_args

from scheduler.registrants.files.words import folded, folded_words, words_of

Meaning = Literal[
    "email",
    "name",
    "first_name",
    "last_name",
    "middle_name",
    "language",
    "timezone",
    "country",
    "join_url",
    "registered_at",
    "webinar",
    "status",
    "cancelled",
    "role",
]
Whose = Literal["attendee", "", "buyer", "other"]

_SOMEBODY: tuple[Whose, ...] = ("attendee", "buyer", "other")
OURS = ("email", "name", "language", "timezone", "country", "join_url", "registered_at", "webinar")


@dataclass(frozen=True)
class Named:
    """The meaning of a header. `rank`: a lower one is more certain. `whose`: the person whom the column is about.
    `whole_or_part`: a full name, or the part of it that no other column holds."""

    meaning: Meaning
    rank: int
    whose: Whose = ""
    whole_or_part: bool = False


_NUMBERED = re.compile(r"\d{1,3}[.): -]\s*")
_BRACKETS = re.compile(r"\([^()]{0,80}\)|（[^（）]{0,80}）|\[[^\[\]]{0,80}\]")
_PARTS = re.compile(r"[/|\n•·]| [–—-] ")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")  # registrationStatus, as APIs write it
_BRACKETED = 500  # added to the rank of a header with brackets: "Email (second contact)"
_LITTLE = 1000  # added to the rank of a less specific header


def _entries() -> Iterator[tuple[str, Named]]:
    weak, whole = folded_words("weak"), folded_words("whole_or_part")
    for meaning in get_args(Meaning):
        for rank, word in enumerate(words_of("headers", meaning)):
            name = folded(word)
            yield name, Named(meaning, rank + _LITTLE * (name in weak), "", name in whole)


_NAMES: dict[str, Named] = {}
for _word, _meant in _entries():
    _NAMES.setdefault(_word, _meant)
_NOT_NEEDED = folded_words("not_needed")
_BEFORE: dict[str, list[str]] = {}  # by the first letter: a file may have thousands of columns
for _word in sorted(folded_words("asking", "before"), key=len, reverse=True):
    _BEFORE.setdefault(_word[0], []).append(_word)
_BEHIND = tuple(folded_words("asking", "behind"))
_OF: dict[str, Whose] = {folded(word): whose for whose in _SOMEBODY for word in words_of("whose", whose)}
_LONGEST_OF = max(len(who.split()) for who in _OF)


@lru_cache(maxsize=1 << 15)
def meaning_of(header: str) -> Named | None:
    """The meaning of a header, or None."""
    if len(header) > 200:
        return None
    shorter = _BRACKETS.sub(" ", header)
    if numbered := _NUMBERED.match(shorter):
        shorter = shorter[numbered.end() :]
    if found := _named(folded(header)) or _named(folded(_CAMEL.sub(" ", header))):
        return found
    if found := _named(folded(shorter)):
        return replace(found, rank=found.rank + _BRACKETED)
    return _in_several_languages([_named(folded(part)) for part in _PARTS.split(shorter) if folded(part)])


def _in_several_languages(parts: Sequence[Named | None]) -> Named | None:
    """ "Courriel / Email", "Nom / Last name": the meaning that all parts share."""
    meant = [one for one in parts if one]
    sure = [one for one in meant if not one.whole_or_part] or meant
    agree = len(parts) > 1 and len(meant) == len(parts) and len({one.meaning for one in sure}) == 1
    return sure[0] if agree else None


def is_known(header: str) -> bool:
    """Whether some system writes this header, even one that is not needed."""
    if len(header) > 200:
        return False
    return meaning_of(header) is not None or folded(_BRACKETS.sub(" ", header)) in _NOT_NEEDED


_WORD = re.compile(r"\w+")
_MARKS = "?？؟"
_MOST_WORDS = 8  # of a question: longer ones are not interpreted
_ATTENDING, _ATTENDING_WORD = (
    tuple(folded_words("question", "attending")),
    folded_words("question", "attending_word"),
)
_NOT_ATTENDING = folded_words("question", "not_attending")
_NOT_ATTENDING_PART = tuple(folded_words("question", "not_attending_part"))
_COUNTRY, _NOT_COUNTRY = (
    tuple(folded_words("question", "country")),
    tuple(folded_words("question", "not_country")),
)


def may_ask_who_comes(header: str) -> bool:
    """Whether this may be a form's question whether somebody will attend. Rows that answer no are asked about."""
    words = _words(header)
    return (
        any(mark in header for mark in _MARKS)
        and (_begins(words, _ATTENDING) or not _ATTENDING_WORD.isdisjoint(words))
        and _NOT_ATTENDING.isdisjoint(words)
        and not any(part in word for word in words for part in _NOT_ATTENDING_PART)
    )


def may_ask_for_the_country(header: str) -> bool:
    """Whether this may be the question where somebody is. It is one if the column holds countries."""
    words = _words(header)
    return _begins(words, _COUNTRY) and not _begins(words, _NOT_COUNTRY)


def _words(header: str) -> list[str]:
    """The words of a header; none if it is too long to interpret."""
    words = _WORD.findall(folded(header)) if len(header) <= 100 else []
    return words if len(words) <= _MOST_WORDS else []


def _begins(words: Sequence[str], stems: Sequence[str]) -> bool:
    return any(
        stem in word if stem >= "\u3000" else word.startswith(stem) for word in words for stem in stems
    )


def _named(name: str) -> Named | None:
    if found := _NAMES.get(name):
        return found
    for before in _BEFORE.get(name[:1], ()):
        rest = name.removeprefix(before if before >= "\u3000" else f"{before} ").strip()
        if rest != name and (found := _NAMES.get(rest) or _of_somebody(rest)):
            return replace(found, rank=found.rank + _LITTLE)
    for behind in _BEHIND:
        rest = name.removesuffix(behind).strip()
        if rest != name and (found := _NAMES.get(rest)):
            return replace(found, rank=found.rank + _LITTLE)
    return _of_somebody(name)


def _of_somebody(name: str) -> Named | None:
    """ "attendee email", "email of the buyer", "order e-mail"."""
    words = name.split(" ")
    held, _, behind = name.rpartition(" of the ")
    pairs = [(behind, held)] if held else []
    for count in range(min(_LONGEST_OF, len(words) - 1), 0, -1):
        mine = words[count + 1 :] if words[count] == "s" else words[count:]
        pairs.append((" ".join(words[:count]), " ".join(mine)))
    for who, rest in pairs:
        if (
            (whose := _OF.get(who))
            and (found := _NAMES.get(rest))
            and found.meaning not in ("role", "webinar")
        ):
            return replace(found, whose=whose)
    return None
