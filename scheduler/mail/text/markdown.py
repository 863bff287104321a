"""Markdown as organizers mean it: CommonMark without the constructs that people type by accident.

A line that begins with a date is not a list item, numbered items keep their numbers, a row of hyphens below words
does not make them a heading, an indented line is not code, an asterisk between letters or digits is literal, and a
bare address is a link. Intended lists, headings, quotes, bold and links work as in CommonMark.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Delimiter
from markdown_it.token import Token

from scheduler.mail.text.said_times import month_names

Lines = list[tuple[int, str]]
"""The lines of a text, each with its number in the file; several may have the same number."""

_INDENT = ("    ", "\t")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_NUMBERED = re.compile(r"(\s{0,8}(?:[-+*] {1,3})?\d{1,9})([.)])(\s{1,4})(\S.{0,60})?")
_NUMBERS_OF_DATE = re.compile(r"\d{1,2}(?:[./-]|\s{0,3}[./-]?\s{0,3}\d{4})")
_WORD = re.compile(r"(?:de |d')?([^\W\d_]{2,20})", re.IGNORECASE)
_ITEM = re.compile(r"\s{0,8}(?:[-+*]|\d{1,9}[.)])\s")
_WHEN = re.compile(
    r"\s{0,8}(?:[-+*] )?(?:\d{1,2}(?:[:.h]\d\d\b|[\s\u00a0]?(?:h|Uhr|[ap]\.?m)\b|[点點时時：])"
    r"|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d{4}-\d\d-\d\d)"
)
_UNDERLINE = re.compile(r" {0,3}(-{1,200}|={1,200})\s*\Z")
_RANGE_ENDS = re.compile(r"\s{0,3}[-+] +\d{1,2}[:.h]?\d{0,2}\b")
_PHONE = re.compile(r"(\s{0,3})(\+ +\d[\d ()/.-]{4,30})\Z")
_MORE_THAN = re.compile(r"(\s{0,3})(> ?\d)")
_NOTE = re.compile(r"\s{0,3}\* (?!\*)")
_MARKER = re.compile(r"\A(\s{0,3})([-+*] )")
_NOTE_MARK = re.compile(r"[^\W_]\*(?=[\s,.;:)]|\Z)")
_OPENS = re.compile(r"(?<!\S)\*{1,3}(?=\S)")
_SHARE = re.compile(r"(?<!\S)\\\\(?=\w)")
_DEFINITION = re.compile(r" {0,3}\[([^\[\]]{1,100})\]:\s?\S")
_WEB_ADDRESS = re.compile(r"(?<![\w<(\"'=/`\[])https://[^\s<>\"`{}|\\^]{1,2000}")
_AFTER_ADDRESS = re.compile(r"[.,;:!?*_'’»”)\]。，；：！？）」』》】،؛؟]{1,20}\Z")
_CODE_SPAN = re.compile(r"(?<!`)(`{1,3})(?!`)[^`\n]{1,300}\1(?!`)")
_WIDE = re.compile(
    "[\u2e80-\u303f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]"
)
_CJK = re.compile(
    "[\u2e80-\u303f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef]"
)  # without Hangul, which is written with blanks


def parse(lines: Lines, language: str) -> tuple[list[Token], list[int]]:
    """The tokens of a text, and the line in the file of each line that they count."""
    as_meant = _Escaper(lines, language).done
    tokens = _PARSER.parse("\n".join(line for _, line in as_meant))
    _keep_numbers(tokens)
    for token in tokens:
        _without_blanks_between_ideographs(token.children or [])
    return tokens, [number for number, _ in as_meant]


def render(tokens: Sequence[Token]) -> str:
    """Tokens as HTML."""
    return str(_PARSER.renderer.render(tokens, _PARSER.options, {}))


class _Escaper:
    """Escapes accidental Markdown with backslashes, and adds one where a line end is to stay a line break."""

    def __init__(self, lines: Lines, language: str) -> None:
        self._lines, self._language = lines, language
        self._words = "\n".join(line for _, line in lines).casefold()
        self._has_notes = any(_NOTE_MARK.search(line) and not _OPENS.search(line) for _, line in lines)
        self.done: Lines = []
        self._fence = ""  # the open one
        self._in_paragraph = self._in_list = False
        for index, (number, line) in enumerate(lines):
            after = lines[index + 1][1] if index + 1 < len(lines) else ""
            if not self._in_code(number, line):
                self._add(number, line, after)

    def _in_code(self, number: int, line: str) -> bool:
        fence = _FENCE.match(line)
        if not self._fence and not fence:
            return False
        if fence and (not self._fence or fence[1].startswith(self._fence)):
            self._fence = "" if self._fence else fence[1]
        self.done.append((number, line))
        self._in_paragraph = False
        return True

    def _add(self, number: int, line: str, after: str) -> None:
        before = self.done[-1][1] if self.done else ""
        if self._in_paragraph and (underline := _UNDERLINE.match(line)):
            self._add_underline(number, line, underline[1], before, after)
            return
        edited = self._escaped(line, before, after)
        is_indented = line.startswith(_INDENT)
        self._in_list = bool(_ITEM.match(edited)) or (self._in_list and (is_indented or not line.strip()))
        stays_apart = is_indented and before.startswith(_INDENT) and not self._in_list
        if self._in_paragraph and (stays_apart or _starts_new_line(line, before, edited)):
            self._end_line()
        self.done.append((number, _with_links(edited)))
        self._in_paragraph = bool(line.strip()) and not line.lstrip().startswith(("#", ">"))

    def _add_underline(self, number: int, line: str, row: str, before: str, after: str) -> None:
        """Add a row of hyphens or equals signs below words: the underline of a heading, a rule, or literal."""
        if _is_meant_as_heading(before, row):
            self.done.append((number, line))
        elif row.startswith("---"):
            self.done += [(number, ""), (number, line)]
        else:
            self._end_line()
            self.done.append((number, f"\\{row}" + ("\\" if after.strip() else "")))
        self._in_paragraph = row[0] != "=" and len(row) < 3

    def _escaped(self, line: str, before: str, after: str) -> str:
        """A line with a backslash before what looks like Markdown and is not."""
        alone = not (_ITEM.match(before) or _ITEM.match(after))
        quoted = before.lstrip().startswith(">") or after.lstrip().startswith(">")
        if is_date(line, self._language):
            counted = any(_counts_with(line, one, self._language) for one in (before, after))
            return line if counted else _NUMBERED.sub(_as_words, line, count=1)
        if _PHONE.match(line):
            return _PHONE.sub(r"\1\\\2", line)
        if _MORE_THAN.match(line) and not quoted:
            return _MORE_THAN.sub(r"\1\\\2", line)
        if alone and (
            (self._in_paragraph and _RANGE_ENDS.match(line)) or (self._has_notes and _NOTE.match(line))
        ):
            return _MARKER.sub(r"\1\\\2", line)
        if (defined := _DEFINITION.match(line)) and self._words.count(f"[{defined[1].casefold()}]") < 2:
            return line.replace("[", "\\[", 1)
        return _SHARE.sub(r"\\\\\\\\", line)

    def _end_line(self) -> None:
        number, line = self.done[-1]
        if line.strip() and not line.endswith(("\\", "  ")):
            self.done[-1] = number, line.rstrip() + "\\"


def _as_words(item: re.Match[str]) -> str:
    return f"{item[1]}\\{item[2]}{item[3]}{item[4]}"


def is_date(line: str, language: str) -> bool:
    """Whether a line begins with a date that looks like a list item: "18. September", "17. 07. 2025"."""
    if not (item := _NUMBERED.match(line)) or not item[4]:
        return False
    if _NUMBERS_OF_DATE.match(item[4]):
        return True
    word = _WORD.match(item[4])
    return word is not None and word[1].casefold() in month_names(language)


def _counts_with(line: str, neighbour: str, language: str) -> bool:
    """Whether two lines are items of one list after all: "1. May we ask" and "2. Could you"."""
    one, other = _NUMBERED.match(line), _NUMBERED.match(neighbour)
    if not (one and other) or is_date(neighbour, language):
        return False
    return abs(int(one[1].strip(" \t-+*")) - int(other[1].strip(" \t-+*"))) == 1


def _starts_new_line(line: str, before: str, edited: str) -> bool:
    """Whether a line of a paragraph stays on a line of its own, as one of several that begin with a time or date."""
    if edited != line and (_NUMBERED.match(line) or _NOTE.match(line) or _PHONE.match(line)):
        return True
    return bool(_WHEN.match(line)) and bool(_WHEN.match(before) or before.rstrip("\\ ").endswith((":", "：")))


def _is_meant_as_heading(words: str, underline: str) -> bool:
    """Whether a row makes the line above a heading: hyphens of its length, within two, or equals signs."""
    if underline[0] == "=":
        return len(underline) >= 3
    return (
        len(underline) >= 4 and abs(len(words.strip()) - len(underline)) <= 2 and any(map(str.isalpha, words))
    )


def _with_links(line: str) -> str:
    """The line with bare addresses in angle brackets, which Markdown turns into links unchanged."""
    if "https://" not in line or _DEFINITION.match(line):
        return line
    code = [match.span() for match in _CODE_SPAN.finditer(line)]

    def linked(match: re.Match[str]) -> str:
        before = line[: match.start()]
        if before.count("[") > before.count("]") or any(begin < match.start() < end for begin, end in code):
            return match[0]
        address, behind = match[0], ""
        if tail := _AFTER_ADDRESS.search(address):
            closing = tail[0].find(")")
            keep = tail.start() + (closing + 1 if closing == 0 and "(" in address else 0)
            address, behind = address[:keep], address[keep:]
        return f"<{address}>{behind}"

    return _WEB_ADDRESS.sub(linked, line)


def _emphasis(state: StateInline, silent: bool) -> bool:
    """Parse `*` and `_` as in CommonMark, with two exceptions. An asterisk between letters or digits is literal
    (4*5*6). One next to punctuation opens or closes even before a letter, as needed in Chinese (commonmark-spec #650)
    and after a colon."""
    marker = state.src[state.pos]
    if silent or marker not in "*_":
        return False
    scanned = state.scanDelims(state.pos, marker == "*")
    behind = state.pos + scanned.length
    before = state.src[state.pos - 1] if state.pos else " "
    after = state.src[behind] if behind < state.posMax else " "
    opens, closes = scanned.can_open, scanned.can_close
    if marker == "*":
        if _joins(before, after, scanned.length):
            opens = closes = False
        elif scanned.length > 1 or _WIDE.match(before) or _WIDE.match(after):
            opens, closes = opens or not after.isspace(), closes or not before.isspace()
    for _ in range(scanned.length):
        token = state.push("text", "", 0)
        token.content = marker
        where = len(state.tokens) - 1
        state.delimiters.append(Delimiter(ord(marker), scanned.length, where, -1, opens, closes))
    state.pos = behind
    return True


def _joins(before: str, after: str, length: int) -> bool:
    """Whether asterisks between these characters are literal: 4*5, a*b, 2**10. Emphasis may begin inside a word in
    scripts without blanks, and in those that join short words to the next."""
    if not (before.isalnum() and after.isalnum()):
        return False
    if before.isdigit() and after.isdigit():
        return True
    return length == 1 and _LATIN.match(before) is not None and _LATIN.match(after) is not None


_LATIN = re.compile("[0-9A-Za-z\u00c0-\u024f\u0370-\u052f]")


def _keep_numbers(tokens: Sequence[Token]) -> None:
    """Keep the numbers of numbered items as typed. If all are 1, Markdown counts them."""
    lists: list[list[Token]] = []
    for token in tokens:
        if token.type in ("ordered_list_open", "bullet_list_open"):
            lists.append([])
        elif token.type == "list_item_open":
            lists[-1].append(token)
        elif token.type in ("ordered_list_close", "bullet_list_close"):
            items = [one for one in lists.pop() if one.info.isascii() and one.info.isdigit()]
            if {one.info for one in items} == {"1"}:
                continue
            for last, one in pairwise(items):
                if int(one.info) != int(last.info) + 1:
                    one.attrs["value"] = int(one.info)


def _without_blanks_between_ideographs(children: Sequence[Token]) -> None:
    """Remove line breaks between two ideographs, which would show as blanks."""
    for (before, token), (_, after) in pairwise(pairwise(children)):
        if token.type == "softbreak" and _CJK.match(before.content[-1:]) and _CJK.match(after.content[:1]):
            token.type, token.content = "text", ""


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": True}).disable("code")  # HTML is parsed only to be refused
    parser.inline.ruler.at("emphasis", _emphasis)
    return parser


_PARSER = _parser()
