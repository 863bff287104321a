"""The line of each key in a TOML file, which the standard library's parser does not return."""

from __future__ import annotations

import re
from collections.abc import Mapping

Path = tuple[str | int, ...]

_COMMENT = r"\#[^\n]*"
_STRING = r'"""(?:\\[\s\S]|[^\\])*?"{3,5}|\'\'\'[\s\S]*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\''
_KEY = r"""(?:"(?:\\.|[^"\\\n])*"|'[^'\n]*'|[A-Za-z0-9_-]+)"""
_KEYS = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
_NEXT_KEY = re.compile(rf"[ \t]*(?:\.[ \t]*)?({_KEY})")
_STATEMENT = re.compile(
    rf"(?P<blank>\s+|{_COMMENT})"
    rf"|\[\[[ \t]*(?P<array>{_KEYS})[ \t]*\]\]"
    rf"|\[[ \t]*(?P<table>{_KEYS})[ \t]*\]"
    rf"|(?P<key>{_KEYS})[ \t]*="
)
_IN_VALUE = re.compile(rf"(?P<string>{_STRING})|{_COMMENT}|(?P<open>[\[{{])|(?P<close>[\]}}])|(?P<end>\n)|.")


def key_lines(source: str) -> dict[Path, int]:
    """The line, from 1, of every key and table heading of valid TOML; tables in an array count from 0.

    `{("messages",): 8, ("messages", 0): 8, ("messages", 0, "at"): 9}`. Keys inside a value (an inline table) are not
    listed. In invalid TOML the lines before the mistake are right.
    """
    source = source.replace("\r\n", "\n")
    lines: dict[Path, int] = {}
    lengths: dict[Path, int] = {}  # of the arrays of tables
    table: Path = ()
    position, line = 0, 1
    while position < len(source) and (found := _STATEMENT.match(source, position)):
        end = found.end()
        if heading := found["array"] or found["table"]:
            table = _resolved(_parts(heading), lengths)
            if found["array"]:
                lengths[table] = lengths.get(table, 0) + 1
                table = (*table, lengths[table] - 1)
            _note(table, line, lines)
        elif found["key"]:
            _note((*table, *_parts(found["key"])), line, lines)
            end = _end_of_value(source, end)
        line += source.count("\n", position, end)
        position = end
    return lines


def line_of(path: Path, lines: Mapping[Path, int]) -> int | None:
    """The line of `path`, or of the nearest enclosing key; None if nothing of it is in the file."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path)


def _note(path: Path, line: int, lines: dict[Path, int]) -> None:
    """Record a path's line, also for parents without one: `[translations.fr]` may begin `translations`."""
    for size in range(1, len(path) + 1):
        lines.setdefault(path[:size], line)


def _parts(dotted: str) -> Path:
    parts: list[str] = []
    position = 0
    while found := _NEXT_KEY.match(dotted, position):
        parts.append(found[1].strip("\"'"))
        position = found.end()
    return tuple(parts)


def _resolved(path: Path, lengths: Mapping[Path, int]) -> Path:
    """A heading's path in which each array of tables stands for its latest table: `[messages.x]`."""
    resolved: Path = ()
    for part in path[:-1]:
        resolved = (*resolved, part)
        if resolved in lengths:
            resolved = (*resolved, lengths[resolved] - 1)
    return (*resolved, *path[-1:])


def _end_of_value(source: str, position: int) -> int:
    """The position after the value at `position`: the first line end outside strings and brackets."""
    depth = 0
    while position < len(source) and (found := _IN_VALUE.match(source, position)):
        if found["end"] and depth == 0:
            break
        depth += bool(found["open"]) - bool(found["close"])
        position = found.end()
    return position
