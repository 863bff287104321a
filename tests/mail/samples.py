"""A webinar, its readers and the shipped texts, for the tests of this folder."""

from __future__ import annotations

import struct
import zlib
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path

import pytz

from scheduler.mail.text.layout import Layout, read_layout
from scheduler.mail.text.templates import Text, parse_text
from scheduler.mail.words.variables import Facts
from scheduler.webinar.model import Webinar, read_webinar

TEMPLATES = Path(__file__).parents[2] / "templates"
JOIN = "https://webinar.example.org/j/8f3a2c?a=1&b=2"

TOML = """
id = "procurement"
title = "Buying medicines: Q&A"
about = "How governments buy."
how_to_join = "Open the link early."
organizers = ["WHO", "WIPO", "WTO"]
host = "WHO"
held_in = "en"
zone = "Geneva time"
start = 2025-07-03T13:00:00
end = 2025-07-03T15:00:00
languages = ["en", "fr"]
join_url = "https://webinar.example.org/all"
materials_url = "https://www.example.org/slides"
sender = "Trilateral, Cooperation (WHO) <webinar@example.org>"
reply_to = "Le secrétariat <team@example.org>"
alert_to = "ops@example.org"

[translations.fr]
title = "Acheter des médicaments"
about = "Comment les États achètent."

[[messages]]
id = "confirmation"
on_registration = true

[[messages]]
id = "reminder-hour"
before_start = "1h"

[[messages]]
id = "follow-up"
after_end = "1d"
"""


def webinar(**changes: str) -> Webinar:
    """The sample webinar, with keys of its file changed to other TOML values."""
    lines = []
    for line in TOML.splitlines():
        key = line.partition(" = ")[0]
        lines.append(f"{key} = {changes.pop(key)}" if key in changes else line)
    assert not changes, "a key that the sample does not have"
    return read_webinar("\n".join(lines), "procurement.toml")


def facts(zone: str = "Africa/Nairobi", **changes: object) -> Facts:
    """Amina in Nairobi, a day before the webinar, unless changed."""
    values: dict[str, object] = {
        "webinar": webinar(),
        "name": "Amina Wanjiru",
        "zone_assumed": False,
        "now": datetime(2025, 7, 2, 6, tzinfo=UTC),
        "join_url": JOIN,
    }
    return Facts(zone=pytz.timezone(zone), **{**values, **changes})  # type: ignore[arg-type]


@cache
def layout() -> Layout:
    return read_layout(TEMPLATES)


@lru_cache(50)
def text(body: str, subject: str = "Hello", preheader: str = "Soon", language: str = "en") -> Text:
    """A text with this body."""
    source = f"---\nsubject: {subject}\npreheader: {preheader}\n---\n{body}"
    return parse_text(source, f"templates/test/{language}.md", layout())


@cache
def shipped(message: str, language: str) -> Text:
    path = TEMPLATES / message / f"{language}.md"
    return parse_text(path.read_text("utf-8"), str(path), layout())


def shipped_sources() -> dict[tuple[str, str], str]:
    """Every text of the project by message and language."""
    return {
        (path.parent.name, path.stem): path.read_text("utf-8")
        for path in sorted(TEMPLATES.glob("[a-z]*/*.md"))
    }


def png(width: int = 8) -> bytes:
    """A small white picture."""
    return _png(width, 8, 0, (b"\0" + b"\xff" * width) * 8)


def rgba(colours: list[tuple[int, int, int, int]], width: int, how: int) -> bytes:
    """A picture of these pixels with their opacity, each line filtered in one way (ISO 15948, 9.2: 0 to 4)."""
    above, lines = [0] * (4 * width), b""
    for start in range(0, len(colours), width):
        line = [sample for colour in colours[start : start + width] for sample in colour]
        left, corner = [0] * 4 + line, [0] * 4 + above
        guesses = [_guess(how, *known) for known in zip(left, above, corner, strict=False)]
        lines += bytes([how, *((one - guess) % 256 for one, guess in zip(line, guesses, strict=True))])
        above = line
    return _png(width, len(colours) // width, 6, lines)


def _guess(how: int, left: int, up: int, corner: int) -> int:
    order = (abs(up - corner), abs(left - corner), abs(left + up - 2 * corner))
    paeth = left if order[0] == min(order) else up if order[1] == min(order) else corner
    return (0, left, up, (left + up) // 2, paeth)[how]


def _png(width: int, height: int, colours: int, lines: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))

    head = struct.pack("!2I5B", width, height, 8, colours, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
