"""Whether a logo is visible on the background that mails give it. Pure; reads PNG (RFC 2083, ISO 15948)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from scheduler.input.colours import contrast

GROUND = "#ffffff"
"""The layout's background of a logo, in light and dark mode."""
SEEN = 3.0
"""Minimum contrast of a graphic with its background (WCAG 2.2, 1.4.11)."""
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_MOST = 2_000_000  # bytes of pixels; a logo has far fewer


def visible_share(picture: bytes) -> float | None:
    """The share of a PNG's opaque pixels, 0 to 1, with enough contrast to GROUND. None for a picture with a background
    of its own, and for one that is too large or of another format."""
    try:
        colours = [colour for colour, alpha in _pixels(picture) if alpha >= 128]
    except (ValueError, KeyError, struct.error, zlib.error, IndexError):
        return None
    if not colours:
        return None
    known = {colour: contrast(f"#{bytes(colour).hex()}", GROUND) >= SEEN for colour in set(colours)}
    return sum(known[colour] for colour in colours) / len(colours)


def _pixels(picture: bytes) -> Iterator[tuple[tuple[int, int, int], int]]:
    """Each pixel's colour and opacity, 0 to 255. Raises ValueError for an opaque picture and for any format but 8 bits
    a sample without interlacing; for a broken picture also the other exceptions that `visible_share` catches."""
    chunks = dict.fromkeys((b"IHDR", b"PLTE", b"tRNS", b"IDAT"), b"")
    if not picture.startswith(_SIGNATURE):
        raise ValueError("not PNG")
    at = len(_SIGNATURE)
    while at < len(picture):
        length, kind = struct.unpack_from("!I4s", picture, at)
        if kind in chunks:
            chunks[kind] += picture[at + 8 : at + 8 + length]
        at += 12 + length
    width, height, depth, kind_of_colour, _, _, interlaced = struct.unpack("!2I5B", chunks[b"IHDR"])
    channels = _CHANNELS[kind_of_colour]
    size = height * (1 + width * channels)
    palette = kind_of_colour == 3 and chunks[b"tRNS"]
    if depth != 8 or interlaced or not 0 < size <= _MOST or not (palette or kind_of_colour in (4, 6)):
        raise ValueError("opaque, or in another form")
    data = zlib.decompressobj().decompress(chunks[b"IDAT"], size)
    for line in _lines(data, width * channels, channels):
        for start in range(0, len(line), channels):
            yield _colour(line[start : start + channels], chunks[b"PLTE"], chunks[b"tRNS"])


def _colour(sample: bytearray, palette: bytes, opacities: bytes) -> tuple[tuple[int, int, int], int]:
    match tuple(sample):
        case (index,):
            red, green, blue = palette[3 * index : 3 * index + 3]
            return (red, green, blue), opacities[index] if index < len(opacities) else 255
        case (grey, alpha):
            return (grey, grey, grey), alpha
        case (red, green, blue, alpha):
            return (red, green, blue), alpha
    raise ValueError("no pixel")


def _lines(data: bytes, width: int, channels: int) -> Iterator[bytearray]:
    """The lines of samples with their filters undone (ISO 15948, 9)."""
    above = bytearray(width)
    for start in range(0, len(data) - width, width + 1):
        how, line = data[start], bytearray(data[start + 1 : start + 1 + width])
        for place in range(width) if how else ():
            left = line[place - channels] if place >= channels else 0
            corner = above[place - channels] if place >= channels else 0
            line[place] = (line[place] + _predicted(how, left, above[place], corner)) & 255
        yield line
        above = line


def _predicted(how: int, left: int, up: int, corner: int) -> int:
    match how:
        case 1:
            return left
        case 2:
            return up
        case 3:
            return (left + up) // 2
        case 4:
            guess = left + up - corner
            return min(
                (left, up, corner), key=lambda one: abs(guess - one)
            )  # the first of equals: Paeth's order
    raise ValueError("no such filter")
