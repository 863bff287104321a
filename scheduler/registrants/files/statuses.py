"""What a status of a registration means: whether this person comes. Pure.

A word that is not known is asked about, never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from scheduler.registrants.files.cells import clean_cell, tidy
from scheduler.registrants.files.words import folded, folded_words, words_of

_PRETIX: Mapping[str, str] = {"p": "", "n": "not paid yet", "e": "expired", "c": "cancelled"}
_COMES = folded_words("status", "comes")
_DOES_NOT = folded_words("status", "not_yet") | folded_words("status", "not")
_YES, _NO = folded_words("flag", "yes"), folded_words("flag", "no")
_REFUSAL = folded_words("refusal")
_ROLES = {folded(word): role for role in ("host", "panelist", "attendee") for word in words_of("role", role)}


def is_status(word: str) -> bool:
    return why_not(word) is not None


def status_in(cell: str) -> str:
    """The status in a cell. "нет" is nothing in a column of names; here it is an answer."""
    return clean_cell(cell) or (word if folded(word := tidy(cell)) in _DOES_NOT else "")


@lru_cache(maxsize=1024)
def why_not(word: str, *, codes: bool = False) -> str | None:
    """Why somebody of this status does not come, '' if they do, None if nobody knows. `codes`: pretix's letters."""
    name = folded(word)
    if codes and name in _PRETIX:
        return _PRETIX[name] and f"status “{word}” ({_PRETIX[name]})"
    whole = " ".join(name.replace("(", " ").replace(")", " ").split())
    for said in (whole, name.partition("(")[0].strip()):  # "Cancelled (by host)", "Cancelled (on 3 May)"
        if said in _DOES_NOT:
            return f"status “{word}”"
        if said in _COMES:
            return ""
    return None


def may_not_come(word: str, meaning: str) -> bool:
    """Whether a column that is no status for certain may say so of somebody. `meaning`: what its header says: "status"
    ("Attending": No), "cancelled" ("Cancelled by": host), or nothing ("Outcome": rejected)."""
    if meaning == "cancelled":
        return is_cancelled(word)
    name = folded(word)
    return name in _REFUSAL or (meaning == "status" and bool(name) and name in _NO)


def is_codes(words: frozenset[str]) -> bool:
    """Whether these are pretix's abbreviations."""
    return bool(words) and words <= _PRETIX.keys()


def is_cancelled(cell: str) -> bool:
    """What a column such as “Cancelled” says: yes, no, or when it was."""
    return bool(cell.strip()) and folded(cell) not in _NO


def is_flag(cell: str) -> bool:
    """Whether a column such as “Cancelled” may say this: yes, no, or a moment."""
    return folded(cell) in _YES or folded(cell) in _NO or any(letter.isdecimal() for letter in cell)


def role_of(word: str) -> str:
    """ "host", "panelist" or "attendee"; what is none of them as it is."""
    return _ROLES.get(folded(word), word)
