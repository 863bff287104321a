"""Normalizes names for comparison: case, accents, punctuation, HTML entities. Pure."""

from __future__ import annotations

import html
import re
import unicodedata

LONGEST = 200
"""Characters of the longest name that is read; the longest that any system writes has about 90."""

_ASCII_WORD = re.compile("[0-9a-z]+")
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−﹣-"), "-")


def tidy(text: str) -> str:
    """The text as a person reads it: HTML entities decoded, one kind of dash and of blank, no invisible characters, no
    quotation marks around it. "" for a text that is too long to be a name."""
    if len(text) > LONGEST:
        return ""
    plain = unicodedata.normalize("NFKC", html.unescape(html.unescape(text)))
    seen = "".join(c for c in plain if unicodedata.category(c) not in ("Cf", "Cc") or c.isspace())
    return " ".join(seen.translate(_DASHES).split()).strip("\"'`“”«»„ ")


def fold(text: str) -> str:
    """The words of a text, case-folded, separated by single blanks, without accents and punctuation."""
    text = text.replace("&", " and ").replace("’", "'")
    if text.isascii():  # as half of the names in the tables are
        return " ".join(_ASCII_WORD.findall(text.lower()))
    decomposed = unicodedata.normalize("NFKD", text)
    plain = "".join(c for c in decomposed if unicodedata.category(c) != "Mn").casefold()
    return " ".join(
        "".join(c if c.isalnum() or unicodedata.category(c) == "Mc" else " " for c in plain).split()
    )
