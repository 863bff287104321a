"""Every message in every language on phone and desktop, light and dark, as pages and, by Chromium, as pictures."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from html import escape
from itertools import product
from pathlib import Path
from typing import Literal, NamedTuple

import pytz

from scheduler.mail.layout import Layout, read_layout, text_path
from scheduler.mail.pairs import Key
from scheduler.mail.templates import parse_text
from scheduler.organizers.texts import LiveText
from scheduler.problem import Problem, Problems
from scheduler.reports.browser import Browser
from scheduler.reports.previewing import composed, made_up
from scheduler.web.received import in_scheme, read_mail
from scheduler.webinar import Webinar

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ZONE = "Pacific/Auckland"  # the webinar crosses midnight there: the longest times


@dataclass(frozen=True)
class Screen:
    """A kind of screen: width and height of one mail on it, and how many stand in a row; CSS pixels."""

    name: str
    width: int
    height: int
    in_row: int


Scheme = Literal["light", "dark"]
SCREENS = (Screen("phone", 390, 2000, 6), Screen("desktop", 700, 1560, 3))
SCHEMES: tuple[Scheme, ...] = ("light", "dark")


class _Sheet(NamedTuple):
    """A page with a message in all its languages, on one screen and in one scheme."""

    message: str
    languages: list[str]
    screen: Screen
    scheme: Scheme

    @property
    def name(self) -> str:
        return f"{self.message}.{self.screen.name}.{self.scheme}"

    def frames(self, more: str = "") -> str:
        """Each mail in a frame of the screen's width."""
        return "\n".join(
            f'<iframe title="{self.message}, {language}" src="mails/{self.message}.{language}.{self.scheme}.html"'
            f' lang="{language}" width="{self.screen.width}" height="{self.screen.height}"{more}></iframe>'
            for language in self.languages
        )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the page."""
        mails, screen = max(len(self.languages), 1), self.screen
        in_row = min(screen.in_row, mails)
        return in_row * (screen.width + 10) - 10, -(-mails // in_row) * (screen.height + 10) - 10


def gallery(
    webinar: Webinar, root: Path, sources: Mapping[Key, str], out: Path, *, pictures: bool = False
) -> Iterator[Path]:
    """Write the gallery of this webinar's messages into the folder `out`; yields each picture as it is made, where
    pictures are wanted. The pages show the mails themselves.

    Raises Problems for a text that can't be read or where no browser is there, OSError, and subprocess.SubprocessError
    for a browser that makes no picture.
    """
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if pictures and program is None:
        raise Problems([Problem("--pictures", "no browser is on the PATH", f"one of {', '.join(BROWSERS)}")])
    (out / "mails").mkdir(parents=True, exist_ok=True)
    sheets = list(_write_pages(webinar, root, sources, out))
    taken = {one.name for one in sheets} if pictures else set()
    (out / "index.html").write_text(_index(webinar, sheets, taken), "utf-8")
    with Browser(program) if pictures and program else nullcontext() as browser:
        for sheet in sheets:
            if browser is None:
                return
            picture = out / f"{sheet.name}.png"
            picture.write_bytes(browser.picture(out / f"{sheet.name}.html", *sheet.size))
            yield picture


def _write_pages(webinar: Webinar, root: Path, sources: Mapping[Key, str], out: Path) -> Iterator[_Sheet]:
    layout = read_layout(root)
    for message in webinar.message_ids:
        text = webinar.text_of[message]
        languages = [language for language in webinar.languages if (text, language) in sources]
        for language in languages:
            html = _mail(webinar, message, language, root, layout, sources[text, language])
            for scheme in SCHEMES:
                page = in_scheme(html, scheme)
                (out / "mails" / f"{message}.{language}.{scheme}.html").write_text(page, "utf-8")
        for screen, scheme in product(SCREENS, SCHEMES):
            sheet = _Sheet(message, languages, screen, scheme)
            (out / f"{sheet.name}.html").write_text(_page_of(sheet), "utf-8")
            yield sheet


def _mail(webinar: Webinar, message: str, language: str, root: Path, layout: Layout, source: str) -> str:
    text = parse_text(source, str(text_path(root, message, language)), layout)
    reader = replace(made_up(webinar), language=language, zone=ZONE, zone_known_by="assumed")
    mail = composed(webinar, message, reader, pytz.timezone(ZONE), LiveText(text, language, revision=0))
    return read_mail(mail).html  # with the logo that goes along


def _page_of(sheet: _Sheet) -> str:
    style = (
        f"body{{margin:0;display:grid;gap:10px;background:#888;"
        f"grid-template-columns:repeat({sheet.screen.in_row},{sheet.screen.width}px)}}iframe{{border:0}}"
    )
    return _page(f"{sheet.message}, {sheet.screen.name}, {sheet.scheme}", style, sheet.frames())


def _index(webinar: Webinar, sheets: list[_Sheet], pictures: set[str]) -> str:
    """All sheets below each other: their mails, or the pictures of them."""
    parts = [f"<h1>{escape(webinar.title)}</h1>"]
    for sheet in sheets:
        if sheet.screen is SCREENS[0] and sheet.scheme == SCHEMES[0]:
            parts.append(f"<h2>{sheet.message}</h2>")
        parts.append(f'<h3><a href="{sheet.name}.html">{sheet.screen.name}, {sheet.scheme}</a></h3>')
        if sheet.name in pictures:
            shown = f'<img src="{sheet.name}.png" alt="{sheet.name.replace(".", ", ")}" loading="lazy">'
            parts.append(f'<p><a href="{sheet.name}.png">{shown}</a></p>')
        else:
            frames = sheet.frames(' loading="lazy"')
            parts.append(f"<div>\n{frames}\n</div>")
    style = (
        "body{margin:2rem;font-family:sans-serif;color-scheme:light dark}img{max-width:100%;height:auto}"
        "div{display:flex;flex-wrap:wrap;gap:10px}iframe{border:1px solid #888}"
    )
    return _page("Gallery", style, "\n".join(parts))


def _page(title: str, style: str, body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
