"""Converts an organizer's Markdown with Jinja2 to HTML and plain text. The Jinja stays hidden in holes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from urllib.parse import urlsplit

from markdown_it.token import Token

from scheduler.input.placeholders import HIDDEN, Placeholder, placeholders_in
from scheduler.mail.text import markdown
from scheduler.mail.text.holes import HOLE, Hole, Holes, statements_as_comments
from scheduler.mail.text.plain_text import plain_text
from scheduler.mail.words.typography import joined_lines
from scheduler.mail.words.variables import BLOCKS
from scheduler.problem import Problem

STATEMENTS = ("if", "elif", "else", "endif", "for", "endfor", "set")
ADDRESSES = ("join_url", "page_url", "webinar.materials_url")
"""Variables that may be a link's address: any other could contain a registrant's name."""

_VOID = frozenset({"br", "hr"})
_OPEN, _MIDDLE, _CLOSE = {"if", "for"}, {"elif", "else"}, {"endif", "endfor"}
_PART = re.compile(rf"{HOLE.pattern}|<(?P<close>/?)(?P<tag>[a-z][a-z0-9]*+)[^<>]*+>")
_BLOCK = {name: re.compile(rf"(?<![.\w]){re.escape(name)}\b") for name in BLOCKS}


@dataclass(frozen=True)
class Prose:
    """A converted body. Jinja is still hidden; in HTML, statements are comments."""

    html: str
    text: str
    doubts: tuple[Problem, ...] = ()
    """Likely mistakes, which may be intended."""


def convert(source: str, first_line: int, place: str, holes: Holes) -> tuple[Prose, list[Problem]]:
    """Convert the Markdown `source`, which begins at line `first_line` of the file `place`. Returns its mistakes, too.

    Raises jinja2.TemplateSyntaxError.
    """
    document = _Document.read(holes.hide(source, first_line), first_line, place, holes)
    doubts, problems = document.placeholders()
    tokens = document.pieces()
    html = statements_as_comments(markdown.render(tokens))
    named = {problem.place for problem in problems}
    problems += [problem for problem in document.markup() if problem.place not in named]
    problems += [*document.statements(), *document.blocks(), *document.links()]
    problems += document.leftovers()
    if not problems:
        problems += document.nesting(html)
    return Prose(html, plain_text(tokens), (*doubts, *document.doubts())), problems


@dataclass
class _Document:
    place: str
    holes: Holes
    source: list[tuple[int, str]]
    """The lines with their numbers in the file."""
    lines: list[int] = field(default_factory=list)
    """The line in the file of each line that Markdown counts."""
    tokens: list[Token] = field(default_factory=list)

    @classmethod
    def read(cls, hidden: str, first_line: int, place: str, holes: Holes) -> _Document:
        """Parse a text. A line of only a block or statements is a paragraph even without blank lines around it."""
        source = list(enumerate(hidden.split("\n"), first_line))
        lines: markdown.Lines = []
        for number, line in source:
            apart = not line.startswith((" ", "\t")) and _is_piece(holes.alone(line))
            lines += [(number, ""), (number, line), (number, "")] if apart else [(number, line)]
        document = cls(place, holes, source)
        document.tokens, document.lines = markdown.parse(lines, PurePath(place).stem)
        return document

    def pieces(self) -> list[Token]:
        """The tokens; paragraphs of only a block or statements lose their `<p>`, a bare `{{ join_url }}` becomes a
        link."""
        result: list[Token] = []
        for token in self.tokens:
            result.append(token)
            if token.type == "inline":
                token.children = list(self._linked(joined_lines(token.children or [])))
            if token.type == "paragraph_close" and _is_piece(self.holes.alone(result[-2].content)):
                result[-3:] = [
                    Token("html_block", "", 0, content=result[-2].content + "\n", map=result[-2].map)
                ]
        return result

    def _linked(self, children: Sequence[Token]) -> Iterator[Token]:
        depth = 0
        for token in children:
            depth += token.nesting if token.type.startswith("link_") else 0
            if token.type != "text" or depth:
                yield token
                continue
            done = 0
            for match in HOLE.finditer(token.content):
                if self.holes.found[int(match[2])].expression in ADDRESSES:
                    yield _text(token.content[done : match.start()])
                    # A link reads from left to right in Arabic text, too.
                    attrs: dict[str, str | int | float] = {"href": match[0], "dir": "ltr"}
                    yield Token("link_open", "a", 1, attrs=attrs, info="auto", markup="autolink")
                    yield _text(match[0])
                    yield Token("link_close", "a", -1, info="auto", markup="autolink")
                    done = match.end()
            yield _text(token.content[done:])

    def markup(self) -> Iterator[Problem]:
        """Problems of HTML and pictures, which a text may not contain."""
        for line, token in self._flat():
            if token.type in {"html_inline", "html_block"}:
                shown = self.holes.fill(token.content.strip(), lambda hole: hole.source).partition("\n")[0]
                comment = shown.startswith("<!--")
                hint = "a note to yourself is written `{# … #}`" if comment else ""
                yield self._problem(
                    line, f"HTML: `{shown}`", "Markdown: **bold**, [text](address), lists", hint
                )
            elif token.type == "image":
                yield self._problem(line, "a picture", "text, which everybody can read, and links")

    def statements(self) -> Iterator[Problem]:
        for hole in self.holes.found:
            if hole.is_statement and hole.keyword not in STATEMENTS:
                allowed = "{% … %} with " + ", ".join(STATEMENTS)
                yield self._problem(hole.line, f"`{hole.source}`", allowed)

    def blocks(self) -> Iterator[Problem]:
        """Problems of blocks that do not stand alone on a line."""
        inline = (self.holes.alone(token.content) for token in self.tokens if token.type == "inline")
        standing = {id(hole) for holes in inline if _is_piece(holes) for hole in holes if _is_piece([hole])}
        for hole in self.holes.found:
            named = [name for name, pattern in _BLOCK.items() if pattern.search(hole.source)]
            if named and not hole.is_statement and id(hole) not in standing:
                yield self._problem(hole.line, f"`{hole.source}` in the middle of a line",
                                    f"`{{{{ {named[0]} }}}}` alone on a line")  # fmt: skip

    def links(self) -> Iterator[Problem]:
        allowed = "https://…, mailto:… or one of " + ", ".join(f"`{{{{ {name} }}}}`" for name in ADDRESSES)
        for line, token in self._flat():
            if token.type != "link_open":
                continue
            address = str(token.attrs.get("href", ""))
            holes = self.holes.each(address)
            if len(holes) == 1 and self.holes.alone(address):
                right = holes[0].expression in ADDRESSES
            else:
                right = not holes and _is_address(address)
            if not right or any(
                hole.is_statement for hole in self.holes.each(str(token.attrs.get("title", "")))
            ):
                shown = self.holes.fill(address, lambda hole: hole.source)
                found = self._problem(line, f"a link to `{shown}`", allowed)
                insecure = address.lower().startswith("http://") and not holes
                yield replace(found, old=address, new=f"https{address[4:]}") if insecure else found

    def placeholders(self) -> tuple[list[Problem], list[Problem]]:
        """Placeholders of other tools: those that may be intended, and those that surely are not."""
        doubts: list[Problem] = []
        problems: list[Problem] = []
        code = {
            self.lines[line]
            for token in self.tokens
            if token.type == "fence" and token.map
            for line in range(token.map[0], token.map[1])
        }
        for number, line in self.source:
            if number in code:
                continue
            for one in placeholders_in(HOLE.sub(HIDDEN, line), markdown=True):
                problem = placeholder_problem(f"{self.place}, line {number}", one)
                (problems if one.certain else doubts).append(problem)
        return doubts, problems

    def leftovers(self) -> Iterator[Problem]:
        """Problems of malformed Markdown that readers would see as typed, and of links that cannot be clicked."""
        for token in self.tokens:
            if token.type != "inline":
                if token.type == "fence" and (number := _address_in(self.holes, token.content)) is not None:
                    yield self._problem(
                        number, "a link in code, which cannot be clicked", "the link alone on a line"
                    )
                continue
            first = token.map[0] if token.map else 0
            words = _words_of(token)
            for pattern, found, allowed in _SLIPS:
                if match := pattern.search(words):
                    line = self.lines[min(first + words.count("\n", 0, match.start()), len(self.lines) - 1)]
                    shown = self.holes.fill(match[0].replace(HIDDEN, "").strip(), lambda hole: hole.source)
                    yield self._problem(line, found.format(shown), allowed)
            for child in token.children or []:
                if (
                    child.type == "code_inline"
                    and (number := _address_in(self.holes, child.content)) is not None
                ):
                    shown = self.holes.fill(child.content, lambda hole: hole.source)
                    yield self._problem(
                        number,
                        f"`{shown}` in backticks, which cannot be clicked",
                        f"{shown} without backticks",
                    )

    def doubts(self) -> Iterator[Problem]:
        """Likely differences between how the text looks and how it was typed."""
        for token in self.tokens:
            if token.type != "inline":
                continue
            first = token.map[0] if token.map else 0
            words = _SLIPS[0][0].sub(lambda match: "\n" * match[0].count("\n"), _words_of(token))
            for child in token.children or []:
                if child.type == "code_inline" and child.content.startswith("https://"):
                    found = f"`{child.content}` in backticks, which cannot be clicked"
                    yield self._problem(self.lines[first], found, "", "leave the backticks out")
            if match := _STRAY.search(words):
                line = self.lines[min(first + words.count("\n", 0, match.start()), len(self.lines) - 1)]
                yield self._problem(
                    line, f"`{match[0].strip()}`: readers see the asterisks", "", "bold is **like this**"
                )
            yield from self._joined(token, first)

    def _joined(self, token: Token, first: int) -> Iterator[Problem]:
        """A problem of the first short line that Markdown joins with the next, as in an address or a signature."""
        breaks = [child.type for child in token.children or [] if child.type in ("softbreak", "hardbreak")]
        lines = token.content.split("\n")
        for number, (kind, line) in enumerate(zip(breaks, lines, strict=False)):
            if kind == "softbreak" and _columns(line) < _SHORT:
                hint = "a backslash at its end keeps them apart"
                yield self._problem(
                    self.lines[first + number],
                    "a short line, which the mail joins with the next one",
                    "",
                    hint,
                )
                return

    def nesting(self, html: str) -> Iterator[Problem]:
        """A problem of statements that begin and end in different paragraphs or emphasis: half a mail could be
        bold."""
        stack: list[tuple[str, Hole | None]] = []
        for match in _PART.finditer(html):
            if match["tag"]:
                if match["tag"] in _VOID:
                    continue
                if not match["close"]:
                    stack.append((match["tag"], None))
                elif stack and stack[-1][1] is None:
                    stack.pop()
                else:
                    break
                continue
            hole = self.holes.found[int(match[2])]
            if hole.keyword in _OPEN:
                stack.append((hole.keyword, hole))
            elif hole.keyword in _MIDDLE | _CLOSE:
                if not stack or stack[-1][1] is None:
                    break
                if hole.keyword in _CLOSE:
                    stack.pop()
        else:
            return
        begun = [hole for _, hole in stack if hole is not None]
        culprit = begun[-1] if begun else self.holes.found[int(match[2])]
        yield self._problem(
            culprit.line,
            f"`{culprit.source}` begins and ends in different paragraphs, list items or emphasis",
            "both in one, or each alone on a line",
        )

    def _flat(self) -> Iterator[tuple[int, Token]]:
        """Every token with its line in the file; the line breaks before it in a paragraph are counted."""
        for token in self.tokens:
            line = token.map[0] if token.map else 0
            yield self.lines[line], token
            for child in token.children or []:
                line += child.type in {"softbreak", "hardbreak"}
                yield self.lines[min(line, len(self.lines) - 1)], child

    def _problem(self, line: int, found: str, allowed: str, hint: str = "") -> Problem:
        return Problem(f"{self.place}, line {line}", found, allowed, hint)


def _is_piece(holes: Sequence[Hole]) -> bool:
    """Whether a paragraph of only these is not rendered as a paragraph: statements, or one block."""
    if len(holes) == 1 and holes[0].expression in BLOCKS:
        return True
    return bool(holes) and all(hole.is_statement for hole in holes)


_SLIPS = (
    (re.compile(r"\*\*[ \u00a0][^*\n]{1,200}\*\*|\*\*[^*\n]{1,200}[ \u00a0]\*\*(?!\w)"
                r"|(?<![*\w])\*\*(?=[^\s*])[^*\n]{1,200}\*\*"),
     "`{0}` is not bold", "**bold** without blanks inside"),
    (re.compile(r"(?<=[^\W\d])\][ \u00a0]?[(（][ \u00a0]?(?:https?:|www\.|mailto:|qJzE|\ufffc)[^\s)）]{0,200}"
                r"|\]\([^\n)]{0,200}"),
     "`{0}` is not a link", "[text](https://…) without blanks between or inside, in plain brackets"),
    (re.compile(r"\)\[(?:https?:|www\.|mailto:|qJzE)[^\s\]]{0,200}\]"), "`{0}` is not a link", "[text](https://…)"),
    (re.compile(r"^[ \t|]{0,9}:?-{2,40}:?[ \t]{0,9}\|[-|: \t]{0,200}", re.MULTILINE),
     "`{0}`: a table", "a list; mails have no tables"),
)  # fmt: skip
"""Malformed Markdown, which readers would see as typed: pattern, what was found, what is allowed."""
_STRAY = re.compile(r"(?<![*\w])\*\*(?=[^\W\d_])|(?<=[^\W\d_])\*\*(?![*\w])")
_SHORT = 45  # columns; lines that are broken by hand at a margin are longer


def _columns(line: str) -> int:
    """The width of a line in columns; an ideograph takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in line)


def _words_of(token: Token) -> str:
    """The text of a paragraph with HIDDEN in place of its links, code and so on."""
    parts = []
    for child in token.children or []:
        is_break = child.type in ("softbreak", "hardbreak")
        parts.append("\n" if is_break else child.content if child.type == "text" else HIDDEN)
    return "".join(parts)


def _address_in(holes: Holes, content: str) -> int | None:
    """The line of a link's variable inside code, or None."""
    return next((hole.line for hole in holes.each(content) if hole.expression in ADDRESSES), None)


def placeholder_problem(where: str, one: Placeholder) -> Problem:
    """The problem that reports a placeholder of another tool."""
    if one.words.startswith("{{"):
        return Problem(
            where,
            f"`{one.words}`, escaped so that it is not filled in",
            "",
            "write it without backslashes or entities",
        )
    written = one.fix.removeprefix("write `").partition("`")[0] if one.fix.startswith("write `") else ""
    found = f"`{one.words}`, a placeholder of another tool"
    return Problem(where, found, "", one.fix, old=one.words if written else "", new=written)


def _is_address(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return (parts.scheme == "https" and bool(parts.hostname)) or (
        parts.scheme == "mailto" and "@" in parts.path
    )


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)
