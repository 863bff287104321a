"""Cleans registrants' names for display.

A stranger's input ends up in a mail that a secretariat signs. So a name keeps every letter of every script, and
nothing that a mail program could read as an address, a link, markup or a command.
"""

from __future__ import annotations

import re
import unicodedata

from scheduler.input.placeholders import holds_placeholder

LONGEST = 200
"""Code points; longer names are cut. The longest real names are half as long."""

_FSI, _PDI = "\u2068", "\u2069"
_JOINERS = "\u200c\u200d"  # ZWNJ and ZWJ: Persian, Hindi and many others need them inside a word
_DOTS = (
    "\u3002\uff0e\uff61\u2024\ufe52"  # characters that resolvers (UTS #46) or readers take for a full stop
)
_UNSAFE = frozenset('<>{}[]|\\`^~*_#@:;"=%/$\uff20\uff1a\uff0f\ufe6b\ufe55\u2044\u2215')
_L = "A-Za-zÀ-ÖØ-öø-ž"
_ORDINARY = re.compile(f"[{_L}][{_L}0-9]*(?:(?:\\. |, | & |[ '’-])[{_L}0-9]+)*")
"""Names that `clean_name` does not change, as most; checking each character would take ten times as long."""
_QUOTED = re.compile(r'"([^"]{1,80})"')  # Ann "Annie" Lee
_SON_OF = re.compile(r"(?<=\b[A-Za-z])/(?=[A-Za-z]\b)")  # Devi a/p Raman: no address has such a slash
_JOINING_DOT = re.compile(r"\.(?=[^\W_])(?![^\W\d_](?:[.\s]|$))")  # of evil.com, not of J.R.R. Tolkien
_MARKS_IN_A_ROW = 4  # Vietnamese, Thai and Hebrew need three; more would overlap the lines above


def clean_name(raw: str) -> str:
    """`raw` on one line of at most 200 characters, without controls, markup, or anything that becomes a link.

    Letters of all scripts stay, and what people write between them: O'Neil; Anna & Ben; Smith, Ann “Annie”; J.R.R.
    Tolkien. "evil.com" becomes "evil. com", "http://x" becomes "http x". A name without a letter, or with another
    tool's placeholder ("{first_name}"), becomes "", and mails greet without a name. Idempotent.
    """
    if len(raw) <= LONGEST and _ORDINARY.fullmatch(raw):
        return raw
    if holds_placeholder(raw[:LONGEST]):
        return ""
    raw = _QUOTED.sub("“\\1”", unicodedata.normalize("NFC", raw))
    text = "/".join("".join(map(_kept, part)) for part in _SON_OF.split(raw))
    text = unicodedata.normalize("NFC", _without_towers(_without_stray_joiners(text)))
    text = " ".join(_JOINING_DOT.sub(". ", text).split())
    if len(text) > LONGEST:
        text = text[:LONGEST].rstrip(" .,-" + _JOINERS)
    return text if any(character.isalpha() for character in text) else ""


def isolated(name: str, right_to_left: bool = False) -> str:
    """`name` between FSI and PDI (UAX 9) if its direction differs from that of the text around it."""
    if name.isascii() and not right_to_left:
        return name
    against = {"L"} if right_to_left else {"R", "AL", "AN"}
    if any(unicodedata.bidirectional(character) in against for character in name):
        return f"{_FSI}{name}{_PDI}"
    return name


def _kept(character: str) -> str:
    category = unicodedata.category(character)
    if character in _JOINERS:
        return character
    if character in _DOTS:
        return "."
    if category[0] in "CZ" or character in _UNSAFE:
        return " " if category in {"Cc", "Zs", "Zl", "Zp"} or character in _UNSAFE else ""
    return character


def _without_towers(text: str) -> str:
    """`text` with at most four combining marks in a row."""
    kept: list[str] = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character) in {"Mn", "Me"} else 0
        if marks <= _MARKS_IN_A_ROW:
            kept.append(character)
    return "".join(kept)


def _without_stray_joiners(text: str) -> str:
    """`text` with joiners only between letters or marks; elsewhere they only hide something."""
    kept = [
        character
        for before, character, after in zip(" " + text, text, text[1:] + " ", strict=False)
        if character not in _JOINERS or (_in_word(before) and _in_word(after))
    ]
    return "".join(kept)


def _in_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LM"
