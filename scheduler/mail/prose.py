"""An organizer's Markdown, with Jinja2 in it, as HTML and as plain text. The Jinja stays hidden in holes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

from scheduler.mail.facts import BLOCKS
from scheduler.mail.holes import HOLE, Hole, Holes, statements_as_comments
from scheduler.mail.plain_text import plain_text
from scheduler.problem import Problem

STATEMENTS = ("if", "elif", "else", "endif", "for", "endfor", "set")
ADDRESSES = ("join_url", "webinar.materials_url")
"""Variables that may be the address of a link: with any other, a registrant's name could become one."""

_VOID = frozenset({"br", "hr"})
_OPEN, _MIDDLE, _CLOSE = {"if", "for"}, {"elif", "else"}, {"endif", "endfor"}
_PART = re.compile(rf"{HOLE.pattern}|<(?P<close>/?)(?P<tag>[a-z][a-z0-9]*+)[^<>]*+>")
_BLOCK = {name: re.compile(rf"(?<![.\w]){re.escape(name)}\b") for name in BLOCKS}
_MARKDOWN = MarkdownIt("commonmark", {"html": True})  # only to find HTML and refuse it


@dataclass(frozen=True)
class Prose:
    """A body, converted. Jinja is still hidden: in HTML statements are comments."""

    html: str
    text: str


def convert(source: str, first_line: int, place: str, holes: Holes) -> tuple[Prose, list[Problem]]:
    """The Markdown `source`, which begins at line `first_line` of the file `place`, and its mistakes.

    Raises jinja2.TemplateSyntaxError.
    """
    document = _Document.read(holes.hide(source, first_line), first_line, place, holes)
    tokens = document.pieces()
    html = statements_as_comments(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}))
    problems = [*document.markup(), *document.statements(), *document.blocks(), *document.links()]
    if not problems:
        problems += document.nesting(html)
    return Prose(html, plain_text(tokens)), problems


@dataclass
class _Document:
    place: str
    holes: Holes
    lines: list[int]
    """The file's line of each line that Markdown saw."""
    tokens: list[Token] = field(default_factory=list)

    @classmethod
    def read(cls, hidden: str, first_line: int, place: str, holes: Holes) -> _Document:
        """A line of nothing but a block or statements is a paragraph of its own, without blank lines around too."""
        lines: list[tuple[int, str]] = []
        for number, line in enumerate(hidden.split("\n"), first_line):
            apart = not line.startswith((" ", "\t")) and _is_piece(holes.alone(line))
            lines += [(number, ""), (number, line), (number, "")] if apart else [(number, line)]
        document = cls(place, holes, [number for number, _ in lines])
        document.tokens = _MARKDOWN.parse("\n".join(line for _, line in lines))
        return document

    def pieces(self) -> list[Token]:
        """The tokens; a paragraph that is nothing but a block or statements has lost its `<p>`, and a bare
        `{{ join_url }}` has become a link."""
        result: list[Token] = []
        for token in self.tokens:
            result.append(token)
            if token.type == "inline":
                token.children = list(self._linked(token.children or []))
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
                    # Also among Arabic words a link reads from left to right.
                    attrs: dict[str, str | int | float] = {"href": match[0], "dir": "ltr"}
                    yield Token("link_open", "a", 1, attrs=attrs, info="auto", markup="autolink")
                    yield _text(match[0])
                    yield Token("link_close", "a", -1, info="auto", markup="autolink")
                    done = match.end()
            yield _text(token.content[done:])

    def markup(self) -> Iterator[Problem]:
        """HTML and pictures, which a text may not have."""
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
        """Blocks that do not stand alone on a line."""
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
                yield self._problem(line, f"a link to `{shown}`", allowed)

    def nesting(self, html: str) -> Iterator[Problem]:
        """Statements that begin in one paragraph, list or emphasis and end in another: half a mail would be bold."""
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
        """Every token with its line in the file; a token inside a paragraph by the line breaks before it."""
        for token in self.tokens:
            line = token.map[0] if token.map else 0
            yield self.lines[line], token
            for child in token.children or []:
                line += child.type in {"softbreak", "hardbreak"}
                yield self.lines[min(line, len(self.lines) - 1)], child

    def _problem(self, line: int, found: str, allowed: str, hint: str = "") -> Problem:
        return Problem(f"{self.place}, line {line}", found, allowed, hint)


def _is_piece(holes: Sequence[Hole]) -> bool:
    """Whether a paragraph of just these is no paragraph: statements, or one block."""
    if len(holes) == 1 and holes[0].expression in BLOCKS:
        return True
    return bool(holes) and all(hole.is_statement for hole in holes)


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
