"""Every message in every language on phone and desktop, light and dark, as pages and, by Chromium, as pictures."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import pytz

from scheduler.mail.received import read_mail
from scheduler.mail.text.layout import text_path
from scheduler.mail.text.templates import parse_text, read_layout
from scheduler.mail.texts import CurrentText, Key
from scheduler.mail.writing.sample import compose_sample, sample_reader
from scheduler.reports.browser import Browser
from scheduler.webinar.model import Webinar

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ZONE = "Pacific/Auckland"  # the webinar crosses midnight there: the longest times


@dataclass(frozen=True)
class Screen:
    """A kind of screen: width and height of one mail on it, and how many stand in a row; CSS pixels."""

    name: str
    width: int
    height: int
    in_row: int


SCREENS = (Screen("phone", 390, 2000, 6), Screen("desktop", 700, 1560, 3))
SCHEMES = ("light", "dark")


def gallery(webinar: Webinar, root: Path, sources: Mapping[Key, str], out: Path) -> Iterator[Path]:
    """Write the gallery of this webinar's messages into the folder `out`; yields each picture as it is made.

    Without a browser there are no pictures, and the pages show the mails themselves. Raises Problems for a text that
    can't be read, OSError, and subprocess.SubprocessError for a browser that makes none.
    """
    (out / "mails").mkdir(parents=True, exist_ok=True)
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    with Browser(program) if program else nullcontext() as browser:
        yield from _write(webinar, root, sources, out, browser)


def _write(
    webinar: Webinar, root: Path, sources: Mapping[Key, str], out: Path, browser: Browser | None
) -> Iterator[Path]:
    pictures: dict[str, list[Path]] = {}
    for message in webinar.message_ids:
        languages = [
            language for language in webinar.languages if (webinar.text_of[message], language) in sources
        ]
        for language in languages:
            page = _mail(webinar, message, language, root, sources[webinar.text_of[message], language])
            (out / "mails" / f"{message}.{language}.html").write_bytes(page)
        for screen in SCREENS:
            sheet = out / f"{message}.{screen.name}.html"
            sheet.write_text(_sheet(message, languages, screen), "utf-8")
            if browser is None:
                continue
            taken = browser.pictures(sheet, *_size(screen, len(languages)), SCHEMES)
            for scheme, content in zip(SCHEMES, taken, strict=True):
                picture = out / f"{message}.{screen.name}.{scheme}.png"
                picture.write_bytes(content)
                pictures.setdefault(message, []).append(picture)
                yield picture
    (out / "index.html").write_text(_index(webinar, pictures), "utf-8")


def _mail(webinar: Webinar, message: str, language: str, root: Path, source: str) -> bytes:
    text = parse_text(source, str(text_path(root, message, language)), read_layout(root))
    reader = replace(sample_reader(webinar), language=language, zone=ZONE, zone_known_by="assumed")
    mail = compose_sample(
        webinar, message, reader, pytz.timezone(ZONE), CurrentText(text, language, revision=0)
    )
    return read_mail(mail).html.encode()  # with the logo that goes along


def _sheet(message: str, languages: list[str], screen: Screen) -> str:
    """All languages of a message side by side, each mail in a frame of the screen's width."""
    frames = "\n".join(
        f'<iframe title="{message}, {language}" src="mails/{message}.{language}.html" lang="{language}" '
        f'width="{screen.width}" height="{screen.height}"></iframe>'
        for language in languages
    )
    style = (
        "body{margin:0;display:grid;gap:10px;color-scheme:light dark;background:#888;"
        f"grid-template-columns:repeat({screen.in_row},{screen.width}px)}}iframe{{border:0;background:Canvas}}"
    )
    return _page(f"{message}, {screen.name}", style, frames)


def _index(webinar: Webinar, pictures: Mapping[str, list[Path]]) -> str:
    parts = [f"<h1>{escape(webinar.title)}</h1>"]
    for message in webinar.message_ids:
        sheets = " · ".join(f'<a href="{message}.{one.name}.html">{one.name}</a>' for one in SCREENS)
        parts.append(f"<h2>{message}</h2>\n<p>{sheets}</p>")
        parts += [
            f'<p><a href="{one.name}"><img src="{one.name}" alt="{one.stem.replace(".", ", ")}" loading="lazy"></a></p>'
            for one in pictures.get(message, [])
        ]
    style = "body{margin:2rem;font-family:sans-serif;color-scheme:light dark}img{max-width:100%;height:auto}"
    return _page("Gallery", style, "\n".join(parts))


def _page(title: str, style: str, body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _size(screen: Screen, mails: int) -> tuple[int, int]:
    """Width and height of a sheet with so many mails."""
    in_row = min(screen.in_row, max(mails, 1))
    rows = -(-max(mails, 1) // in_row)
    return in_row * (screen.width + 10) - 10, rows * (screen.height + 10) - 10
