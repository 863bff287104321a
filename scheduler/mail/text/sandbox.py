"""The two Jinja2 environments in which texts and layout are compiled and rendered. Sandboxed, strict."""

from __future__ import annotations

import unicodedata

from jinja2 import StrictUndefined, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

_INVISIBLE_BUT_MEANT = "\u2068\u2069\u200c\u200d"  # the isolates around a name, and the joiners inside a word


def readable(value: object) -> object:
    """A value as it is. Raises TypeError for what says nothing to a reader: a function, a list, an inside of Jinja2."""
    says_something = hasattr(value, "__html__") or "__str__" in vars(type(value))
    if value is None or says_something or isinstance(value, str | int | float | Undefined):
        return value
    raise TypeError(
        f"`{{{{ … }}}}` prints a {type(value).__name__.replace('_', ' ')} of the program, not words"
    )


def plain(value: object) -> str:
    """A value where there is no markup (subject, preheader, plain text): in one line, and without anything that
    steers a header, a terminal or the direction of the text around it."""
    if readable(value) is None:
        return ""
    kept = []
    for character in str(value):
        category = unicodedata.category(character)
        if category in {"Cc", "Zl", "Zp"}:
            kept.append(" ")
        elif category not in {"Cf", "Cs"} or character in _INVISIBLE_BUT_MEANT:
            kept.append(character)
    return "".join(kept)


def _environment(*, html: bool) -> ImmutableSandboxedEnvironment:
    """Jinja2 without its globals (`range`, `lipsum`, `namespace`): a text needs the facts of its mail only."""
    made = ImmutableSandboxedEnvironment(
        autoescape=html,
        undefined=StrictUndefined,
        finalize=readable if html else plain,
        keep_trailing_newline=True,
        auto_reload=False,
        cache_size=0,
    )
    made.globals.clear()
    return made


HTML = _environment(html=True)
PLAIN = _environment(html=False)
