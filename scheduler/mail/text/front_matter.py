"""The front matter of a text, between two lines of `---` at its top: subject and preheader."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.problem import Problem, nearest

KEYS = ("subject", "preheader", "reviewed_by")
_REQUIRED = ("subject", "preheader")


@dataclass(frozen=True)
class FrontMatter:
    """The values by key with the line of each, and the body with its first line."""

    values: dict[str, str]
    lines: dict[str, int]
    body: str
    body_line: int


def read_front_matter(source: str, place: str) -> tuple[FrontMatter, list[Problem]]:
    """Split `source` (line ends as LF). Each line is `key: value`, the value unchanged to the end of the line."""
    lines = source.split("\n")
    if lines[0].strip() != "---":
        return _broken(
            f"{place}, line 1", f"begins with `{lines[0][:60]}`", "a line `---`, then `subject: …`"
        )
    ends = [number for number, line in enumerate(lines[1:], 1) if line.strip() == "---"]
    if not ends:
        return _broken(f"{place}, line 1", "the second line `---` is missing", "one after `preheader: …`")
    values: dict[str, str] = {}
    numbers: dict[str, int] = {}
    problems: list[Problem] = []
    for number, line in enumerate(lines[1 : ends[0]], 2):
        key, colon, value = line.partition(":")
        key = key.strip()
        where = f"{place}, line {number}"
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not colon or line[0].isspace():
            problems.append(Problem(where, f"`{line.strip()[:60]}`", "`key: value`, each on one line"))
        elif key not in KEYS:
            problems.append(Problem(where, f"unknown key `{key}`", ", ".join(KEYS), nearest(key, KEYS)))
        elif key in values:
            problems.append(
                Problem(where, f"`{key}` a second time", f"once; the first is in line {numbers[key]}")
            )
        else:
            values[key], numbers[key] = _unquoted(value.strip()), number
    for key in _REQUIRED:
        if not values.get(key) and not any(f"`{key}`" in problem.hint for problem in problems):
            found = f"`{key}` is empty" if key in values else f"`{key}` is missing"
            problems.append(Problem(f"{place}, line {numbers.get(key, 1)}", found, f"`{key}: …` in one line"))
    return FrontMatter(values, numbers, "\n".join(lines[ends[0] + 1 :]), ends[0] + 2), problems


def _broken(where: str, found: str, allowed: str) -> tuple[FrontMatter, list[Problem]]:
    return FrontMatter({}, {}, "", 1), [Problem(where, found, allowed)]


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value
