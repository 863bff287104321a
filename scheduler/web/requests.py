"""Request bodies, read strictly and within limits."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

from scheduler.governing import saving

LARGEST_FORM = 10_000  # bytes
LARGEST_QUESTION = 4 * saving.LARGEST + 10_000
_CONTROL = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)  # PostgreSQL takes no NUL, and no text needs the others


async def form(request: Request, most: int = LARGEST_FORM) -> dict[str, str]:
    """The fields of a form of at most so many bytes."""
    fields = parse_qsl((await _body(request, most)).decode("utf-8", "replace"))
    return {name: _CONTROL.sub("", value) for name, value in fields}


async def _body(request: Request, most: int) -> bytes:
    """The body of a request. Raises HTTPException before more than `most` bytes are read."""
    body = bytearray()
    async for some in request.stream():
        body += some
        if len(body) > most:
            raise HTTPException(413, f"At most {most:,} bytes are taken.")
    return bytes(body)


async def question(request: Request) -> dict[str, str]:
    """The fields of a JSON request: a flat object of strings that can be written to a file. Raises HTTPException."""
    try:
        asked = json.loads(await _body(request, LARGEST_QUESTION))
        said = {str(name): value for name, value in asked.items() if isinstance(value, str)}
        for value in said.values():
            value.encode()  # no lone surrogate
    except (ValueError, AttributeError, RecursionError):
        raise HTTPException(400, "This is no question that the editor's page asks.") from None
    if any(_CONTROL.search(value) for value in said.values()):
        raise HTTPException(400, "There is a control character in what was sent. Remove it.")
    return said
