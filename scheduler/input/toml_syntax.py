"""TOML as people write it, and its syntax errors explained to people who do not know TOML."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from typing import Any

from scheduler.input.toml_lines import key_lines
from scheduler.problem import Problem

_POSITION = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_MINUTES = re.compile(
    r"(?P<until>[^=#\n]{1,200}=[ \t]*(?:\d{4}-\d\d-\d\d[Tt ])?\d\d:\d\d)"
    r"(?P<rest>(?:[Zz]|[+-]\d\d:\d\d)?[ \t]*(?:#[^\n]*)?\r?)"
)
_CURLY = "“”„‟″«»‹›‘’‚‛′＂＇"
_QUOTED_VALUE = re.compile(
    rf"[ \t]*(?P<key>[\w.-]{{1,64}})[ \t]*=[ \t]*"
    rf"[\"{_CURLY}]{{1,3}}(?P<text>[^\"{_CURLY}]{{0,300}})[\"{_CURLY}]{{1,3}}[ \t]*\r?\Z"
)
_QUOTES = 'put text in straight quotes: title = "My webinar"'
_A_DATE = "write a date and time as 2025-07-03T13:00:00"
_HINTS = (
    (
        re.compile(r"=\s*(True|False|Yes|No|TRUE|FALSE|yes|no)\s*(#|$)"),
        "write true or false, in small letters",
    ),
    (
        re.compile(r"=\s*(\d{4}-\d\d-\d\d)[T ](\d):(\d\d)(?::\d\d)?\s*(#|$)"),
        r"write the hour with two digits: \1T0\2:\3:00",
    ),
    (
        re.compile(r"=\s*(\d{4}-\d\d-\d\d)[T ](\d\d)[.h](\d\d)\b"),
        r"write a colon between hour and minute: \1T\2:\3:00",
    ),
    (
        re.compile(r"=\s*(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(?::\d\d)?\s*([A-Za-z(][^#\n]{0,40})"),
        r"leave out \3, which `zone` says: \1T\2:00",
    ),
    (re.compile(r"=\s*\d{1,2}:\d\d"), 'put a time of day in quotes: at = "09:00"'),
    (re.compile(r"=\s*\d{4}-\d\d-\d\d[T ]"), "write a date that exists, as 2025-07-03T13:00:00"),
    (re.compile(r"=\s*\d{1,2}[./]\d{1,2}[./]\d{4}"), _A_DATE),
    (re.compile(r"=\s*$"), "write a value after the =, or remove the line"),
    (re.compile(r"^\s*(start|end)\s*="), _A_DATE),
    (re.compile(r"=\s*[^\s\"'\[{\d+-]"), _QUOTES),
    (re.compile(r"^[^=\[]*$"), 'a line is a key, an equals sign and a value: title = "My webinar"'),
)
_PLAIN = {
    "Cannot overwrite a value": ("the same key a second time", "remove one of the two"),
    "Unterminated string": ("a text that is not closed", 'close it with the quotes that begin it, " or """'),
    "Illegal character '\\n'": ("a text that is not closed", 'close it with the quote (") that begins it'),
    "Unclosed array": ("a list that is not closed", "close it with ]"),
    "Unescaped '\\' in a string": ("a single backslash in a text", "write it twice: \\\\"),
}


def load_toml(source: str) -> dict[str, Any]:
    """The parsed file. A time may lack its seconds (TOML 1.1). Raises ValueError and RecursionError, like tomllib."""
    try:
        return tomllib.loads(source)
    except ValueError:
        if (edited := _with_seconds(source)) == source:
            raise
    return tomllib.loads(edited)


def _with_seconds(source: str) -> str:
    lines = source.split("\n")
    for number in set(key_lines(source).values()):
        if found := _MINUTES.fullmatch(lines[number - 1]):
            lines[number - 1] = f"{found['until']}:00{found['rest']}"
    return "\n".join(lines)


def syntax_problem(source: str, place: str, error: Exception) -> Problem:
    """The problem behind tomllib's error, with line, column and the likeliest fix."""
    lines = source.replace("\r\n", "\n").split("\n")
    if not (position := _POSITION.fullmatch(str(error))):
        found = (
            "lists or tables are nested too deeply" if isinstance(error, RecursionError) else "a huge number"
        )
        return Problem(place, found, "a file in TOML")
    message = position[1]
    last = max(len(source.rstrip().replace("\r\n", "\n").split("\n")), 1)
    number, column = int(position[2] or last), int(position[3] or len(lines[last - 1]) + 1)
    where, line = f"{place}, line {number}, column {column}", lines[number - 1]
    if odd := _odd_character(line, column):
        return _named(where, line, odd)
    found, hint = _PLAIN.get(message, (f"not valid TOML ({message[:1].lower()}{message[1:]})", ""))
    if not hint:
        hint = next((match.expand(text) for pattern, text in _HINTS if (match := pattern.search(line))), "")
    return Problem(where, found, "", hint)


def _odd_character(line: str, column: int) -> str:
    """The character here that TOML does not allow, such as a typographic quote or a no-break space; or ""."""
    here = line[column - 1 : column]
    if here and not here.isascii():
        return here
    before = line[: column - 1].rstrip()[-1:]  # a text that begins with " and ends with ”
    return before if before in _CURLY and before else ""


def _named(where: str, line: str, odd: str) -> Problem:
    name = unicodedata.name(odd, "a character without a name").lower()
    seen = f"{odd} " if odd.isprintable() and not odd.isspace() else ""
    found = f"the character {seen}(U+{ord(odd):04X}, {name})"
    if odd not in _CURLY:
        return Problem(
            where,
            found,
            "plain ASCII letters, digits and blanks in keys and around values",
            "type the line again",
        )
    quoted = _QUOTED_VALUE.fullmatch(line)
    fix = f'{quoted["key"]} = "{quoted["text"].strip()}"' if quoted else 'title = "My webinar"'
    return Problem(where, found, 'straight quotes ("), not those of a word processor', f"write {fix}")
