"""Detects the encoding of a text file: from its bytes, else by the codec in which its header has known words."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from scheduler.problem import Problem, Problems

SAVE_AS = "save it as “CSV UTF-8”"
_CHUNK = 2**20  # bytes
_OLD = ("cp1250", "cp1251", "cp1254", "cp1256", "gb18030", "cp932", "big5", "cp949")
"""Codecs in which spreadsheets save a CSV, by the language of Windows, besides UTF-8 and Windows-1252."""
_NAMES = {
    "utf-8": "UTF-8",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "cp1252": "Windows-1252",
    "cp1250": "Windows-1250",
    "cp1251": "Windows-1251",
    "cp1254": "Windows-1254",
    "cp1256": "Windows-1256",
    "gb18030": "GB 18030",
    "cp932": "Shift JIS",
    "big5": "Big5",
    "cp949": "Korean (949)",
}
_CENTRAL_EUROPEAN = re.compile(
    b"[A-Za-z][\xb3\xb9\xbf\x9c\x9f\xbe\xba\xf0\x9d][a-z\xe0-\xff]|[\xa3\xaf\x8c\x8f\xbc\x8d][a-z\xe0-\xff]"
)
"""Letters of Polish, Czech, Slovak, Hungarian or Romanian in Windows-1250 that are symbols in Windows-1252."""
_WESTERN = re.compile(b"[A-Za-z][\xe0\xe5\xe3\xef\xf0\xfe][a-z]")
_EITHER = re.compile(b"[\xe8\xe6\xea\xec\xf1\xf2\xf5\xf8\xf9\xfb\xa5\xc6\xc8\xca\xcf\xd1\xd5\xd8\xd9\xdb]")
"""Bytes that occur in text of either encoding, and decide nothing."""
_RUN = re.compile(b"[\x80-\xff]{4,}")

Known = Callable[[str], int]


@dataclass(frozen=True)
class Encoding:
    """A codec, its common name, and whether it is only a guess."""

    codec: str
    name: str
    doubtful: bool = False


@dataclass
class _Seen:
    octets: int = 0
    zeros: int = 0
    even_zeros: int = 0
    lines: int = 0
    not_utf8: int = 0  # the first line that is not UTF-8
    central: int = 0
    western: int = 0
    either: int = 0
    runs: int = 0  # bytes in runs too long for a word in these encodings


def encoding_of(file: IO[bytes], place: str, known_headers: Known) -> Encoding:
    """The encoding of a file. `known_headers`: counts the known headers of a text. Raises Problems if none fits."""
    file.seek(0)
    begin = file.read(_CHUNK)
    if begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _utf_16("utf-16-le" if begin.startswith(codecs.BOM_UTF16_LE) else "utf-16-be")
    seen = _look(file)
    if seen.zeros * 3 > seen.octets:
        return _utf_16("utf-16-be" if seen.even_zeros * 2 > seen.zeros else "utf-16-le")
    if not seen.not_utf8:
        return Encoding("utf-8-sig", _NAMES["utf-8"])
    head = begin[: begin.rfind(b"\n") + 1] or begin
    known = {codec: known_headers(text) for codec in _OLD if (text := _decoded(head, codec)) is not None}
    best = max(known, key=lambda codec: known[codec], default="")
    if best and known[best] > known_headers(head.decode("cp1252", "replace")) and _decodes(file, best):
        return Encoding(best, _NAMES[best])
    if seen.runs > max(16, seen.octets // 200):
        where = f"{place}, line {seen.not_utf8}"
        raise Problems(
            [Problem(where, "the file is not UTF-8, nor in another encoding that is known", "UTF-8", SAVE_AS)]
        )
    central = seen.central > seen.western
    codec = "cp1250" if central else "cp1252"
    doubtful = bool(seen.either) and not (seen.central or seen.western)
    return (
        Encoding(codec, _NAMES[codec], doubtful)
        if _decodes(file, codec)
        else Encoding("latin-1", "ISO 8859-1")
    )


def _utf_16(codec: str) -> Encoding:
    return Encoding(codec, _NAMES[codec])


def _look(file: IO[bytes]) -> _Seen:
    file.seek(0)
    decoder, seen = codecs.getincrementaldecoder("utf-8")(), _Seen()
    while True:
        chunk = file.read(_CHUNK)
        if not seen.not_utf8:
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                seen.not_utf8 = seen.lines + error.object.count(b"\n", 0, error.start) + 1
        if not chunk:
            return seen
        seen.octets += len(chunk)
        seen.zeros += chunk.count(0)
        seen.even_zeros += chunk[::2].count(0)
        seen.lines += chunk.count(b"\n")
        if seen.not_utf8:
            seen.central += len(_CENTRAL_EUROPEAN.findall(chunk))
            seen.western += len(_WESTERN.findall(chunk))
            seen.either += len(_EITHER.findall(chunk))
            seen.runs += sum(map(len, _RUN.findall(chunk)))


def _decoded(raw: bytes, codec: str) -> str | None:
    try:
        return raw.decode(codec)
    except UnicodeDecodeError:
        return None


def _decodes(file: IO[bytes], codec: str) -> bool:
    file.seek(0)
    decoder = codecs.getincrementaldecoder(codec)()
    try:
        while chunk := file.read(_CHUNK):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
