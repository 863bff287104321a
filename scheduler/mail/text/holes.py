"""Hides Jinja from converters of Markdown, HTML and CSS, and puts it back afterwards.

A converter must neither escape `{{ name }}`, nor percent-encode it in a link's address, nor move `{% if %}` out of a
table. So each expression becomes a word of letters and digits; each statement becomes such a word in Markdown and a
comment in HTML. Text that looks like Jinja after the conversion is an organizer's words, and is written literally.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from scheduler.mail.text.sandbox import HTML

HOLE = re.compile(r"(?:<!--)?qJz([ES])(\d+)Z(?:-->)?")
_ENDS = {"variable_end", "block_end", "comment_end", "raw_end"}
_BEGINS = {"variable_begin", "block_begin", "comment_begin"}


@dataclass(frozen=True)
class Hole:
    """A `{{ … }}` or `{% … %}` as written, and the line of the file at which it begins."""

    source: str
    line: int

    @property
    def is_statement(self) -> bool:
        return self.source.startswith("{%")

    @property
    def keyword(self) -> str:
        """ "if", "endif", … of a statement; "" of an expression."""
        found = re.match(r"\{%[-+]?\s*(\w+)", self.source)
        return found[1] if found else ""

    @property
    def expression(self) -> str:
        """The content of `{{ … }}`."""
        return re.sub(r"^\{\{[-+]?|[-+]?\}\}$", "", self.source).strip()


@dataclass
class Holes:
    """The Jinja of one document."""

    found: list[Hole] = field(default_factory=list)

    def hide(self, source: str, first_line: int = 1) -> str:
        """`source` with a word in place of each piece of Jinja, and blanks in place of comments.

        Raises jinja2.TemplateSyntaxError, with lines counted from 1 in `source`.
        """
        parts: list[str] = []
        inside: list[str] = []
        begun = 0
        for line, kind, value in HTML.lex(source):
            if kind in _BEGINS:
                inside, begun = [value], line
            elif kind == "raw_begin":
                parts.append(self._word(value.strip(), first_line + line - 1))
            elif kind in _ENDS:
                whole = "".join([*inside, value])
                newlines = "\n" * (len(value) - len(value.rstrip("\n")))  # which `-%}` removes
                word = "" if kind == "comment_end" else self._word(whole.strip(), first_line + begun - 1)
                parts.append(word + ("\n" * whole.count("\n") if kind == "comment_end" else newlines))
                inside = []
            elif inside:
                inside.append(value)
            else:
                parts.append(value)
        return "".join(parts)

    def _word(self, source: str, line: int) -> str:
        hole = Hole(source, line)
        self.found.append(hole)
        return f"qJz{'S' if hole.is_statement else 'E'}{len(self.found) - 1}Z"

    def each(self, text: str) -> list[Hole]:
        """The holes in `text`, in order."""
        return [self.found[int(match[2])] for match in HOLE.finditer(text)]

    def alone(self, text: str) -> list[Hole]:
        """The holes in `text` if it contains nothing else; otherwise none."""
        return [] if HOLE.sub("", text).strip() else self.each(text)

    def fill(self, text: str, by: Callable[[Hole], str | None]) -> str:
        """`text` with the result of `by` in place of each hole; where it is None the hole stays."""

        def filled(match: re.Match[str]) -> str:
            replacement = by(self.found[int(match[2])])
            return match[0] if replacement is None else replacement

        return HOLE.sub(filled, text)

    def put_back(self, text: str) -> str:
        """`text` as a Jinja template: the source of each hole, and everything else literally."""
        literal = re.sub(r"\{(?=[{%#])", "{{ '{' }}", text)
        return self.fill(literal, lambda hole: hole.source)


def statements_as_comments(html: str) -> str:
    """`html` with statements as HTML comments, which an HTML parser leaves where they are."""
    return HOLE.sub(lambda match: f"<!--{match[0].strip('<!->')}-->" if match[1] == "S" else match[0], html)
