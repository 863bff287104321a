"""The meaning of a registration's status: whether the person attends. Pure.

Unknown words are asked about, never guessed.
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
    """The status in a cell. "нет" counts as empty in a column of names; here it is an answer."""
    return clean_cell(cell) or (word if folded(word := tidy(cell)) in _DOES_NOT else "")


@lru_cache(maxsize=1024)
def why_not(word: str, *, codes: bool = False) -> str | None:
    """Why a person of this status does not attend; '' if they do, None if unknown. `codes`: pretix's letters."""
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
    """Whether a cell may say that a person does not attend, in a column that may not be a status. `meaning`: of its
    header: "status" ("Attending": No), "cancelled" ("Cancelled by": host), or "" ("Outcome": rejected)."""
    if meaning == "cancelled":
        return is_cancelled(word)
    name = folded(word)
    return name in _REFUSAL or (meaning == "status" and bool(name) and name in _NO)


def is_codes(words: frozenset[str]) -> bool:
    """Whether these are pretix's abbreviations."""
    return bool(words) and words <= _PRETIX.keys()


def is_cancelled(cell: str) -> bool:
    """Whether a cell of a column such as “Cancelled” says yes, or a time."""
    return bool(cell.strip()) and folded(cell) not in _NO


def is_flag(cell: str) -> bool:
    """Whether a cell fits a column such as “Cancelled”: yes, no, or a time."""
    return folded(cell) in _YES or folded(cell) in _NO or any(letter.isdecimal() for letter in cell)


def role_of(word: str) -> str:
    """ "host", "panelist" or "attendee"; any other word unchanged."""
    return _ROLES.get(folded(word), word)
