"""Recognizes the system that wrote a file, by headers that no other one writes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from scheduler.registrants.files.words import folded, folded_words, table

_SIGNS = {name: [frozenset(map(folded, sign)) for sign in signs] for name, signs in table("systems").items()}
_GOOGLE = folded_words("google_forms")
_ZOOM = ("Attendee Details", "Host Details", "Panelist Details", "Registrant Details")


def system_of(headers: Iterable[Collection[str]], titles: Collection[str]) -> str:
    """The name of the system, or "" if unknown. `headers`: of each table."""
    for header in headers:
        said = [folded(cell) for cell in header]
        for name, signs in _SIGNS.items():
            if any(sign <= set(said) for sign in signs):
                return name
        if said and said[0] in _GOOGLE:
            return "Google Forms"
    return "Zoom" if any(title in titles for title in _ZOOM) else ""
