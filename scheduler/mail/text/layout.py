"""The HTML page around every text, and the designed pieces for its blocks (`templates/_layout/layout.html`).

The file is a page with `<main id="body"></main>` in place of the text, followed by a `<template id="…">` for each
piece: `times` (HTML) and `times.txt` (plain text), and so on, and `footer.txt`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path, PurePath

from css_inline import CSSInliner

from scheduler.mail.text.holes import Hole, Holes, statements_as_comments
from scheduler.mail.text.jinja_check import check_jinja
from scheduler.mail.text.prose import Prose
from scheduler.mail.words.variables import BLOCKS, LAYOUT_VARIABLES
from scheduler.problem import Problem, Problems, too_long

FOLDER, PAGE = "_layout", "layout.html"
FILE = f"{FOLDER}/{PAGE}"
PICTURES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif"}
LARGEST_PICTURE = 50_000  # bytes
LARGEST_TEXT = 200_000  # characters of a text, and of the layout
BODY = '<main id="body"></main>'
_PIECE = re.compile(r'<template id="([\w.-]+)">\n?([^<]*(?:<(?!/?template)[^<]*)*)</template>')
_MAY_LACK = {"changes"}
"""Blocks that older layouts of organizers lack: only a text that uses one needs it in the layout."""
_NEEDED = (
    *(f"{name}{suffix}" for name in BLOCKS if name not in _MAY_LACK for suffix in ("", ".txt")),
    "footer.txt",
)


class TextProblems(Problems):
    """All mistakes of one text, or of the layout."""


@dataclass(frozen=True)
class Layout:
    """The parts of the layout; each is Jinja2."""

    page: str
    pieces: Mapping[str, str] = field(hash=False)
    images: Mapping[str, bytes] = field(hash=False, default_factory=dict)
    """The pictures beside it, by file name; a webinar's logo may be one of them."""

    def html(self, prose: Prose, holes: Holes) -> str:
        """The HTML template of a whole mail, with inlined CSS."""
        body = holes.fill(prose.html, lambda hole: self._piece(hole, holes, ""))
        hidden = statements_as_comments(holes.hide(self.page)).replace(BODY, statements_as_comments(body))
        return holes.put_back(_inliner().inline(hidden))

    def text(self, prose: Prose, holes: Holes) -> str:
        """The plain-text template of a mail's body; the footer's is `footer`."""
        return holes.put_back(holes.fill(prose.text, lambda hole: self._piece(hole, holes, ".txt")))

    def lacks(self, hole: Hole) -> bool:
        """Whether this is a block for which this layout has no piece."""
        pieces = {hole.expression, f"{hole.expression}.txt"}
        return hole.expression in BLOCKS and not pieces <= self.pieces.keys()

    @property
    def footer(self) -> str:
        return self.pieces["footer.txt"]

    def _piece(self, hole: Hole, holes: Holes, suffix: str) -> str | None:
        return holes.hide(self.pieces[hole.expression + suffix]) if hole.expression in BLOCKS else None


def text_path(root: Path, message: str, language: str) -> Path:
    """The file of a text below the templates folder."""
    return root / message / f"{language}.md"


def read_layout(root: Path) -> Layout:
    """The layout in the templates folder. Raises TextProblems with all its mistakes, or if there is none."""
    page = root / FOLDER / PAGE
    try:
        files = {path.name: path.read_bytes() for path in (page, *_pictures(page.parent))}
    except OSError as error:
        raise TextProblems([_unreadable(page, str(error.strerror))]) from None
    return layout_of(files, root)


def layout_of(files: Mapping[str, bytes], root: Path) -> Layout:
    """The layout in these files (content by name), which are in the templates folder or were stored from there.

    Raises TextProblems with all its mistakes.
    """
    folder = root / FOLDER
    if PAGE not in files:
        raise TextProblems([_unreadable(folder / PAGE, "it is gone, or this user may not read it")])
    try:
        layout = parse_layout(files[PAGE].decode("utf-8"), str(folder / PAGE))
    except UnicodeDecodeError as error:
        raise TextProblems([_unreadable(folder / PAGE, f"byte {error.start} is not UTF-8")]) from None
    images = {name: content for name, content in files.items() if is_picture(name)}
    if too_large := [
        Problem(
            str(folder / name), f"{len(content) // 1000} kB", f"{LARGEST_PICTURE // 1000} kB, in every mail"
        )
        for name, content in images.items()
        if len(content) > LARGEST_PICTURE
    ]:
        raise TextProblems(too_large)
    return replace(layout, images=images)


def is_picture(name: str) -> bool:
    """Whether a file beside the layout is a picture, by its name."""
    return PurePath(name).suffix.lower() in PICTURES


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_picture(path.name))


def _unreadable(page: Path, reason: str) -> Problem:
    return Problem(str(page), f"cannot be read: {reason}", "a file in UTF-8")


def parse_layout(source: str, place: str) -> Layout:
    """The layout that `source`, the content of the file `place`, describes. Raises TextProblems."""
    if large := too_long(source, place, LARGEST_TEXT):
        raise TextProblems([large])
    layout, problems = _parse(source)
    if problems:
        raise TextProblems(one.below(place) for one in problems)
    return layout


@lru_cache(maxsize=16)  # it is parsed again at each change of a text
def _parse(source: str) -> tuple[Layout, tuple[Problem, ...]]:
    """The layout, and its problems with places inside the file."""
    source = source.removeprefix("\ufeff").replace("\r\n", "\n")
    pieces = {match[1]: match[2] for match in _PIECE.finditer(source)}
    page = _PIECE.sub("", source).rstrip() + "\n"
    problems = [
        Problem("", f'`<template id="{name}">` is missing', "one for each block")
        for name in _NEEDED
        if name not in pieces
    ]
    if page.count(BODY) != 1:
        problems.append(Problem("", f"{page.count(BODY)} times `{BODY}`", "once, where the text goes"))
    problems += check_jinja(source, "", LAYOUT_VARIABLES, blocks=True)
    return Layout(page, pieces), tuple(problems)


@cache
def _inliner() -> CSSInliner:
    # Rules that cannot be inlined (@media) stay in <style>; nothing is fetched.
    return CSSInliner(keep_style_tags=False, keep_at_rules=True, load_remote_stylesheets=False)
