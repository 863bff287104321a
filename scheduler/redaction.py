"""Removes secrets from the texts of others: a relay or a token endpoint may repeat what it was sent.

Secrets are registered with `keep_secret`, and every reply passes `redact` before it is stored, shown or logged. Any
eight consecutive characters of a secret are removed, so that an echo that was cut off is found as well.
"""

from __future__ import annotations

import base64
import re
import sys
from collections import Counter, OrderedDict
from collections.abc import Iterator

REMOVED = "<secret>"
SHORTEST = 4  # characters; shorter secrets occur in too many words
PART = 8  # consecutive characters of a secret that are removed; a shorter secret is removed as a whole
LONG = 64  # characters of a secret, such as an access token, of which only twice as many in a row are removed
MOST = 64  # tokens that are known at a time; configured secrets are not counted

DEEPEST = 3  # levels of nested escapes that are decoded

# URLs, quoted-printable, xtext (RFC 3461, 4), Python; JSON; HTML.
_ESCAPED = re.compile(
    rb"[%=+\\]x?([0-9A-Fa-f]{2})|\\u([0-9A-Fa-f]{4})|&#[xX]([0-9A-Fa-f]{1,6});|&#([0-9]{1,7});"
)
_BLANKS = bytes.maketrans(b"+", b" ")  # as in forms (application/x-www-form-urlencoded)


class _Secrets:
    """The secrets that this process knows, with the parts of each in every form."""

    def __init__(self) -> None:
        self._parts: OrderedDict[bytes, frozenset[bytes]] = OrderedDict()
        self._stay: set[bytes] = set()
        self._by_length: dict[int, Counter[bytes]] = {}  # by length of the part: secrets with this part

    def keep(self, secret: bytes, *, stays: bool) -> None:
        if stays and len(secret) >= SHORTEST:
            self._stay.add(secret)
        if secret in self._parts:
            self._parts.move_to_end(secret)
        elif len(secret) >= SHORTEST:
            self._parts[secret] = parts = frozenset(_parts(secret))
            for part in parts:
                self._by_length.setdefault(len(part), Counter())[part] += 1
            if len(self._parts) - len(self._stay) > MOST:
                self._forget(next(one for one in self._parts if one not in self._stay))

    def _forget(self, secret: bytes) -> None:
        for part in self._parts.pop(secret):
            count = self._by_length[len(part)]
            count[part] -= 1
            if not count[part]:
                del count[part]
                if not count:
                    del self._by_length[len(part)]

    def spans(self, text: bytes) -> Iterator[tuple[int, int]]:
        """The places (start, end) of parts of secrets in `text`."""
        text = text.lower()
        for size, parts in self._by_length.items():
            for start in range(len(text) - size + 1):
                if text[start : start + size] in parts:
                    yield start, start + size


_known = _Secrets()


def keep_secret(*secrets: str) -> None:
    """Register configured secrets, to be redacted for as long as the process lives; empty ones are ignored."""
    for secret in secrets:
        _known.keep(secret.encode("utf-8", "surrogatepass"), stays=True)


def keep_token(token: str) -> None:
    """Register a token, to be redacted until MOST newer ones are registered."""
    _known.keep(token.encode("utf-8", "surrogatepass"), stays=False)


def forget_all() -> None:
    """Forget all secrets."""
    _known.__init__()  # type: ignore[misc]


def redact(text: str) -> str:
    """`text` without secrets, whether in clear, in base64 (also as part of a longer text) or escaped, as in URLs."""
    raw = text.encode("utf-8", "surrogatepass")
    spans = [*_spans(raw)]
    if b"+" in raw:
        spans += _spans(raw.translate(_BLANKS))
    if not spans:
        return text
    pieces, at = [], 0
    for start, end in _joined(spans):
        pieces.append(raw[at:start].decode("utf-8", "ignore"))
        at = end
    return REMOVED.join([*pieces, raw[at:].decode("utf-8", "ignore")])


def _spans(raw: bytes) -> Iterator[tuple[int, int]]:
    """The places of secrets in `raw`, as it is and after its escapes are decoded."""
    yield from _known.spans(raw)
    places = list(range(len(raw) + 1))
    for _ in range(DEEPEST):
        if not _ESCAPED.search(raw):
            return
        raw, within = _unescaped(raw)
        places = [places[one] for one in within]
        yield from ((places[start], places[end]) for start, end in _known.spans(raw))


def _parts(secret: bytes) -> Iterator[bytes]:
    """The parts of every form of a secret, in lower case: all runs of PART characters; of a LONG one every PARTth."""
    for form in (secret, *_in_base64(secret)):
        size = min(PART, len(form))
        for start in range(0, len(form) - size + 1, PART if len(secret) > LONG else 1):
            yield form[start : start + size].lower()


def _in_base64(secret: bytes) -> Iterator[bytes]:
    """The characters in every base64 text (RFC 4648, 4 and 5) that encodes the secret with any text around it."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + secret)
        depends_on_neighbours = (0, 2, 3)[before], (0, 3, 2)[(before + len(secret)) % 3]
        form = encoded[depends_on_neighbours[0] : len(encoded) - depends_on_neighbours[1]]
        yield form
        yield form.translate(bytes.maketrans(b"+/", b"-_"))


def _unescaped(raw: bytes) -> tuple[bytes, list[int]]:
    """`raw` with its escapes decoded; for each byte of that its place in `raw`, and the end of the last one."""
    plain, at = bytearray(), 0
    places: list[int] = []
    for found in _ESCAPED.finditer(raw):
        plain += raw[at : found.start()]
        places += range(at, found.start())
        decoded = _decoded(found)
        plain += decoded
        places += [found.start()] * len(decoded)
        at = found.end()
    plain += raw[at:]
    return bytes(plain), [*places, *range(at, len(raw) + 1)]


def _decoded(escape: re.Match[bytes]) -> bytes:
    octet, in_json, in_html, decimal = (one.decode() if one else "" for one in escape.groups())
    if octet:
        return bytes.fromhex(octet)
    number = int(decimal) if decimal else int(in_json or in_html, 16)
    return chr(number).encode("utf-8", "surrogatepass") if number <= sys.maxunicode else escape[0]


def _joined(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The spans in order; those that touch or overlap are joined."""
    first, last = (spans := sorted(spans))[0]
    for start, end in spans:
        if start > last:
            yield first, last
            first = start
        last = max(last, end)
    yield first, last
