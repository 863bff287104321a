"""Changes one value of a webinar's file and leaves every other character as it is. Pure."""

from __future__ import annotations

import re

from scheduler.input.toml_lines import key_lines
from scheduler.input.toml_syntax import load_toml

_LINE = re.compile(
    r"""\A(?P<key>[ \t]*(?:status|"status"|'status')[ \t]*=[ \t]*)"""
    r"""(?P<value>"[^"\\\r\n]*"|'[^'\r\n]*'|[^\s#"']+)(?P<rest>.*)""",
    re.DOTALL,
)


class NotEditable(ValueError):
    """The value is written in a form that only a person should change."""


def with_status(source: str, status: str) -> str:
    """The text of a webinar's file, valid TOML, with another `status`.

    If there is none yet, a line is added below that of `id`, so above any heading. Raises NotEditable.
    """
    start = "\ufeff" if source.startswith("\ufeff") else ""
    lines = source.removeprefix(start).split("\n")
    found = key_lines(source.removeprefix(start))
    if number := found.get(("status",)):
        lines[number - 1] = _LINE.sub(rf'\g<key>"{status}"\g<rest>', lines[number - 1], count=1)
    elif number := found.get(("id",)):
        carriage_return = "\r" if lines[number - 1].endswith("\r") else ""
        lines.insert(number, f'status = "{status}"{carriage_return}')
    edited = start + "\n".join(lines)
    if not _differs_only_in_status(source, edited, status):
        raise NotEditable(f'set status = "{status}" in it by hand')
    return edited


def _differs_only_in_status(source: str, edited: str, status: str) -> bool:
    try:
        before, after = (load_toml(text.removeprefix("\ufeff")) for text in (source, edited))
    except ValueError:
        return False
    return after == before | {"status": status}
