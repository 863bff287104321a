"""How names are compared: without regard to case, accents, punctuation, and what only HTML sees. Pure."""

from __future__ import annotations

import html
import re
import unicodedata

LONGEST = 200
"""Characters of the longest name that is read at all; the longest that any system writes has about 90."""

_ASCII_WORD = re.compile("[0-9a-z]+")
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−﹣-"), "-")


def tidy(text: str) -> str:
    """The text as a person reads it: entities of HTML as what they stand for, one kind of dash and of blank, nothing
    invisible, no quotation marks around it. "" for a text that is too long to be a name: it is never cut into one."""
    if len(text) > LONGEST:
        return ""
    plain = unicodedata.normalize("NFKC", html.unescape(html.unescape(text)))
    seen = "".join(c for c in plain if unicodedata.category(c) not in ("Cf", "Cc") or c.isspace())
    return " ".join(seen.translate(_DASHES).split()).strip("\"'`“”«»„ ")


def fold(text: str) -> str:
    """Its words in lower case, with one blank between them, without accents and punctuation."""
    text = text.replace("&", " and ").replace("’", "'")
    if text.isascii():  # half of some hundred thousand names that the tables are made of
        return " ".join(_ASCII_WORD.findall(text.lower()))
    decomposed = unicodedata.normalize("NFKD", text)
    plain = "".join(c for c in decomposed if unicodedata.category(c) != "Mn").casefold()
    return " ".join(
        "".join(c if c.isalnum() or unicodedata.category(c) == "Mc" else " " for c in plain).split()
    )
