"""What is wrong with a file that is not TOML, for people who don't know what TOML is."""

from __future__ import annotations

import re

from scheduler.problem import Problem

_POSITION = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_QUOTES = 'put text in straight quotes: title = "My webinar"'
_HINTS = (
    (
        re.compile(r"=\s*(True|False|Yes|No|TRUE|FALSE|yes|no)\s*(#|$)"),
        "write true or false, in small letters",
    ),
    (re.compile(r"[“”„«»‘’]"), 'use straight quotes (") around text'),
    (re.compile(r"=\s*\d{4}-\d\d-\d\d[T ]\d\d:\d\d\s*(#|$)"), "write the seconds too: 2025-07-03T13:00:00"),
    (re.compile(r"=\s*\d{1,2}:\d\d"), 'put a time of day in quotes: at = "09:00"'),
    (re.compile(r"=\s*\d{4}-\d\d-\d\d[T ]"), "write a date that the calendar has, as 2025-07-03T13:00:00"),
    (re.compile(r"=\s*\d{1,2}[./]\d{1,2}[./]\d{4}"), "write a date and time as 2025-07-03T13:00:00"),
    (re.compile(r"=\s*$"), "write a value behind the =, or remove the line"),
    (re.compile(r"^\s*(start|end)\s*="), "write a date and time as 2025-07-03T13:00:00"),
    (re.compile(r"=\s*[^\s\"'\[{\d+-]"), _QUOTES),
    (re.compile(r"^[^=\[]*$"), 'a line is a key, an equals sign and a value: title = "My webinar"'),
)
_SAID = {
    "Cannot overwrite a value": ("a key that is there already", "remove one of the two"),
    "Unterminated string": ("a text without an end", 'close it with the quotes that begin it, " or """'),
    "Illegal character '\\n'": ("a text without an end", 'close it with the quote (") that begins it'),
    "Unclosed array": ("a list without an end", "close it with ]"),
    "Unescaped '\\' in a string": ("a single backslash in a text", "write it twice: \\\\"),
}


def syntax_problem(source: str, place: str, error: Exception) -> Problem:
    """The problem behind tomllib's error, with line, column and the likeliest way to fix it."""
    lines = source.replace("\r\n", "\n").split("\n")
    if not (position := _POSITION.fullmatch(str(error))):
        found = (
            "lists or tables are nested too deeply" if isinstance(error, RecursionError) else "a huge number"
        )
        return Problem(place, found, "a file in TOML")
    said = position[1]
    last = max(len(source.rstrip().replace("\r\n", "\n").split("\n")), 1)
    number, column = int(position[2] or last), int(position[3] or len(lines[last - 1]) + 1)
    found, hint = _SAID.get(said, (f"not valid TOML ({said[:1].lower()}{said[1:]})", ""))
    if not hint:
        hint = next((text for pattern, text in _HINTS if pattern.search(lines[number - 1])), "")
    return Problem(f"{place}, line {number}, column {column}", found, "", hint)
