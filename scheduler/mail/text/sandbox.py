"""The two Jinja2 environments that compile and render texts and layouts. Sandboxed and strict."""

from __future__ import annotations

import unicodedata

from jinja2 import StrictUndefined, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

_KEPT_INVISIBLE = "\u2068\u2069\u200c\u200d"  # isolates around a name, and joiners inside a word


def readable(value: object) -> object:
    """The value itself. Raises TypeError if it has no text for a reader: a function, a list, an object of Jinja2."""
    has_text = hasattr(value, "__html__") or "__str__" in vars(type(value))
    if value is None or has_text or isinstance(value, str | int | float | Undefined):
        return value
    raise TypeError(
        f"`{{{{ … }}}}` prints an internal object ({type(value).__name__.replace('_', ' ')}), not words"
    )


def plain(value: object) -> str:
    """A value as plain text (subject, preheader, text part): on one line, without characters that could affect a
    header, a terminal or the direction of the text around it."""
    if readable(value) is None:
        return ""
    kept = []
    for character in str(value):
        category = unicodedata.category(character)
        if category in {"Cc", "Zl", "Zp"}:
            kept.append(" ")
        elif category not in {"Cf", "Cs"} or character in _KEPT_INVISIBLE:
            kept.append(character)
    return "".join(kept)


def _environment(*, html: bool) -> ImmutableSandboxedEnvironment:
    """Jinja2 without its globals (`range`, `lipsum`, `namespace`), which no text needs."""
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
