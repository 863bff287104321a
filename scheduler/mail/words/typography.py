"""Blanks as each language sets them: where a line must not break, and where there is no blank. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markdown_it.token import Token

_NBSP = "\u00a0"
_WIDE = "\u2e80-\u303f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uff60"
"""Wide characters (UAX 11) of scripts without blanks. Hangul is excluded: it has blanks."""
_WIDE_MARKS = "、。，．：；！？（）「」『』【】《》〈〉"
_FRENCH = re.compile(
    r"(?:(?<=\S)|\A) (?=[:;?!»])|(?<=«) "  # marks of two parts, and guillemets
    r"|(?<=\d) (?=[%€](?!\})|(?:h|min|s|km|kg|g|m|ans|heures|minutes)\b)"  # a number and its unit
    r"|(?<=\bn[°º]) (?=\d)"
)
_RUSSIAN = re.compile(r"(?<=\S) (?=—(?:\s|$))|(?<=№) (?=\d)")
_EAST_ASIAN = re.compile(rf"(?<=[{_WIDE_MARKS}]) ++(?=\S)|(?<=[{_WIDE}]) ++(?=[{_WIDE_MARKS}])")
_WIDE_END, _WIDE_BEGIN = re.compile(rf"[{_WIDE}]\Z"), re.compile(rf"[{_WIDE}]")


def typeset(text: str, language: str) -> str:
    """`text` with the blanks of its language (BCP 47): in French no-break blanks before `: ; ? ! »` and after `«`, in
    Russian before a dash; in Chinese and Japanese no blanks beside a full-width mark.

    Also for Markdown with Jinja2: only blanks within a line change.
    """
    match language.partition("-")[0].lower():
        case "fr":
            return _FRENCH.sub(_NBSP, text)
        case "ru":
            return _RUSSIAN.sub(_NBSP, text)
        case "zh" | "ja":
            return _EAST_ASIAN.sub("", text)
    return text


def joined_lines(children: Sequence[Token]) -> list[Token]:
    """A paragraph's tokens without line breaks between wide characters, which show as blanks (CSS Text 4, 4.1.3)."""
    kept: list[Token] = []
    before = ""
    for number, token in enumerate(children):
        if token.type == "softbreak" and _WIDE_END.search(before):
            after = next((one.content for one in children[number + 1 :] if one.content), "")
            if _WIDE_BEGIN.match(after):
                continue
        before = token.content or before
        kept.append(token)
    return kept
