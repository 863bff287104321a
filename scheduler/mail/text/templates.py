"""A text (`templates/<message>/<language>.md`), parsed once and filled in for each mail.

Pure: takes its source, returns a `Text` or raises every mistake. Files and revisions are read elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import PurePath
from typing import Any

from jinja2 import Template, TemplateSyntaxError

from scheduler.input.placeholders import HIDDEN, placeholders_in
from scheduler.mail.text.front_matter import read_front_matter
from scheduler.mail.text.holes import HOLE, Holes
from scheduler.mail.text.jinja_check import check_jinja
from scheduler.mail.text.layout import LARGEST_TEXT, Layout, TextProblems, read_layout
from scheduler.mail.text.prose import Prose, convert, placeholder_problem
from scheduler.mail.text.sandbox import HTML, PLAIN
from scheduler.mail.words.typography import typeset
from scheduler.mail.words.variables import BLOCKS, VARIABLES, Facts, variables
from scheduler.problem import Problem, too_long
from scheduler.webinar.consistency import MARKUP

__all__ = ["Facts", "Layout", "Rendered", "Text", "TextProblems", "parse_text", "read_layout"]

_LINE_STATEMENTS = ("if", "elif", "else", "endif")
LARGEST_HTML = 90_000
"""Bytes. Gmail cuts a mail off at 102 kB, and how to unsubscribe stands at its end."""
FOOTER = "\n\n___\n\n"
"""Stands in plain text between the organizer's text and the layout's footer."""
_LONGEST_LINE = 300  # characters of a subject or preheader as written


@dataclass(frozen=True)
class Rendered:
    """The words of one mail. `html` is a whole page; `subject` and `preheader` are plain lines."""

    subject: str
    preheader: str
    html: str
    text: str
    stop_url: str
    """The link with which the reader unsubscribes: a page, or `stop_mailto` if there is none."""
    stop_mailto: str
    """The link that writes the mail by which the reader unsubscribes."""


@dataclass(frozen=True)
class Text:
    """A text of one message in one language, ready to be filled in."""

    place: str
    language: str
    reviewed_by: str
    parts: Mapping[str, str]
    """Its Jinja2 and the layout's, by part of the mail."""
    images: Mapping[str, bytes]
    """The layout's pictures, by file name."""
    doubts: tuple[Problem, ...]
    """Likely mistakes, which may be intended."""
    source: str
    """The file with blank lines in place of its front matter, to find the line at which rendering fails."""
    says_held_in: bool = False
    """It says in which language the webinar is held, so the footer does not."""

    @cached_property
    def jinja(self) -> str:
        """All its Jinja2, with the layout's, for `use_of`."""
        return "\n".join(self.parts.values())

    @cached_property
    def _templates(self) -> dict[str, Template]:
        """Compiled at the first mail: most processes read all texts and fill in few."""
        return {name: _compiled(part, is_html=name == "html") for name, part in self.parts.items()}

    def render(self, facts: Facts) -> Rendered:
        """The words for one registrant at one moment.

        Raises TextProblems if the text cannot be filled in, or a part is empty. Nothing that a registrant typed is in
        them.
        """
        filling = variables(facts, self.language)
        try:
            return self.fill(filling)
        except TextProblems:
            raise
        except Exception as error:
            raise TextProblems(
                [Problem(self.place, f"cannot be filled in ({type(error).__name__})")]
            ) from None

    def fill(self, filling: dict[str, Any]) -> Rendered:
        """`render` with given variables. Raises whatever Jinja2 raises."""
        parts = self._templates
        embedded = str(filling.get("logo", ""))
        if embedded.startswith("cid:") and embedded.removeprefix("cid:") not in self.images:
            filling = filling | {"logo": ""}  # a mail without its logo is better than no mail
        if self.says_held_in:
            filling = filling | {"held_in": ""}
        subject = _line(parts["subject"].render(filling))
        preheader = _line(parts["preheader"].render(filling))
        body, footer = (_paragraphs(parts[name].render(filling)) for name in ("body", "footer"))
        for name, part in (("subject", subject), ("preheader", preheader), ("text", body)):
            if not part:
                raise TextProblems([Problem(self.place, f"the {name} is empty after it is filled in")])
        return Rendered(
            subject=subject,
            preheader=preheader,
            html=parts["html"].render({**filling, "subject": subject, "preheader": preheader}),
            text=f"{body}{FOOTER}{footer}\n",
            stop_url=filling["stop_url"],
            stop_mailto=filling["stop_mailto"],
        )


@lru_cache(maxsize=512)  # all texts share the layout's footer, and an edit changes one part
def _compiled(part: str, *, is_html: bool) -> Template:
    return (HTML if is_html else PLAIN).from_string(part)


@lru_cache(maxsize=256)  # the same files are parsed again and again
def parse_text(source: str, place: str, layout: Layout) -> Text:
    """Parse the text `source`, the content of the file `place`, which is named after its language ("…/fr.md").

    Raises TextProblems with all its mistakes.
    """
    name = PurePath(place).name
    try:
        text = _parse(source, name, layout)
        doubts = tuple(one.below(place.removesuffix(name)) for one in text.doubts)
        return replace(text, place=place, doubts=doubts)
    except TextProblems as error:
        raise TextProblems(one.below(place.removesuffix(name)) for one in error.problems) from None


@lru_cache(maxsize=256)  # shared by all folders
def _parse(source: str, place: str, layout: Layout) -> Text:
    if large := too_long(source, place, LARGEST_TEXT):
        raise TextProblems([large])
    source = source.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    language = PurePath(place).stem
    front, problems = read_front_matter(_with_plain_blanks(typeset(source, language)), place)
    doubts: list[Problem] = []
    for key, line in front.lines.items():
        wrong, doubtful = _check_line(key, front.values[key], place, line)
        problems, doubts = [*problems, *wrong], [*doubts, *doubtful]
    holes, prose = Holes(), Prose("", "")
    if front.body.strip():
        problems += check_jinja(front.body, place, [*VARIABLES, *BLOCKS], front.body_line)
        try:
            prose, found = convert(front.body, front.body_line, place, holes)
            problems += [*found, *_lacking(layout, holes, place)]
        except TemplateSyntaxError:  # check_jinja has reported it, but only the first one
            others = _line_by_line(front.body, front.body_line, place)
            problems += [one for one in dict.fromkeys(others) if one not in problems]
    elif front.values:
        where = f"{place}, line {front.body_line}"
        problems.append(Problem(where, "there is no text", "the mail's text below the second `---`"))
    if problems:
        raise TextProblems(problems)
    says_held_in = any("held_in" in hole.source for hole in holes.found)
    parts = {
        "subject": front.values["subject"],
        "preheader": front.values["preheader"],
        "html": layout.html(prose, holes),
        "body": layout.text(prose, holes),
        "footer": layout.footer,
    }
    return Text(
        place=place,
        language=language,
        reviewed_by=front.values.get("reviewed_by", ""),
        parts=parts,
        images=layout.images,
        doubts=(*doubts, *prose.doubts),
        source="\n" * (front.body_line - 1) + front.body,
        says_held_in=says_held_in,
    )


def _line_by_line(body: str, first_line: int, place: str) -> Iterator[Problem]:
    """The other mistakes of a text that is not valid Jinja2: those of each tag, and other tools' placeholders."""
    for number, line in enumerate(body.split("\n"), start=first_line):
        for tag in _TAG.findall(line):
            if tag.startswith("{{"):
                yield from check_jinja(tag, place, [*VARIABLES, *BLOCKS], number)
            elif tag.removeprefix("{%").lstrip("-+ ").startswith("if "):
                yield from check_jinja(f"{tag}{{% endif %}}", place, [*VARIABLES, *BLOCKS], number)
        for one in placeholders_in(_TAG.sub(HIDDEN, line), markdown=True):
            if one.certain and not one.words.startswith("{{"):  # this one is Jinja2's
                yield placeholder_problem(f"{place}, line {number}", one)


_TAG = re.compile(r"\{[{%][^{}\n]{0,300}[%}]\}")
_ODD_BLANKS = str.maketrans(
    dict.fromkeys("\u00a0\u2007\u2009\u202f\u3000", " ") | dict.fromkeys("\u200b\u2060\ufeff", "")
)


def _with_plain_blanks(source: str) -> str:
    """`source` with the special blanks of word processors between braces replaced by ordinary ones."""
    return _TAG.sub(lambda tag: tag[0].translate(_ODD_BLANKS), source)


def too_large(place: str, size: int) -> Problem | None:
    """The problem of a mail whose HTML has LARGEST_HTML bytes or more, or None."""
    if size < LARGEST_HTML:
        return None
    hint = "shorten it: Gmail cuts a mail off at 102 kB, before the link to unsubscribe"
    return Problem(
        place, f"the HTML of its mail has {size // 1000} kB", f"less than {LARGEST_HTML // 1000} kB", hint
    )


def _check_line(key: str, value: str, place: str, line: int) -> tuple[list[Problem], list[Problem]]:
    """The mistakes and doubts of a value of the front matter: one line with variables and {% if %}, without
    blocks."""
    where = f"{place}, line {line}"
    if key == "reviewed_by":
        return [], []
    if len(value) > _LONGEST_LINE:
        return [Problem(where, f"`{key}` has {len(value)} characters", f"at most {_LONGEST_LINE}")], []
    problems, doubts = check_jinja(value, place, VARIABLES, line), list[Problem]()
    holes = Holes()
    with suppress(TemplateSyntaxError):
        plain = HOLE.sub(HIDDEN, holes.hide(value))
        for match in MARKUP.finditer(plain):
            found = f"`{match[0].replace(HIDDEN, '…')}`, which readers see as typed in a plain line"
            doubts.append(Problem(where, found, "plain words"))
        for one in placeholders_in(plain):
            (problems if one.certain else doubts).append(placeholder_problem(where, one))
    for hole in holes.found:
        if hole.is_statement and hole.keyword not in _LINE_STATEMENTS:
            problems.append(Problem(where, f"`{hole.source}`", "{% … %} with " + ", ".join(_LINE_STATEMENTS)))
    return problems, doubts


def _lacking(layout: Layout, holes: Holes, place: str) -> Iterator[Problem]:
    for hole in holes.found:
        if layout.lacks(hole):
            found = f"`{hole.source}`, for which the layout has no piece"
            pieces = " and ".join(f'`<template id="{hole.expression}{suffix}">`' for suffix in ("", ".txt"))
            yield Problem(f"{place}, line {hole.line}", found, f"{pieces} in the layout")


def _line(rendered: str) -> str:
    return re.sub(r"[ \t\n]+", " ", rendered).strip()  # a blank that may not break stays one


def _paragraphs(rendered: str) -> str:
    """`rendered` without trailing blanks, and with one blank line where statements left several."""
    lines = "\n".join(line.rstrip() for line in rendered.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", lines).strip()
