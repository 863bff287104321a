"""The SMTP server of a rehearsal (RFC 5321): takes every mail, and keeps each in a file exactly as received."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

_REPLIES = {
    b"EHLO": b"250-inbox.localhost\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES",
    b"HELO": b"250 inbox.localhost",
    b"MAIL": b"250 2.1.0 OK",
    b"RCPT": b"250 2.1.5 OK",
    b"DATA": b"503 5.5.1 RCPT first",
    b"RSET": b"250 2.0.0 OK",
    b"NOOP": b"250 2.0.0 OK",
    b"QUIT": b"221 2.0.0 Bye",
}
_END = b"\r\n.\r\n"
_LONGEST_LINE = 1000  # octets, its end included (RFC 5321, 4.5.3.1.6)
_MESSAGE_ID = re.compile(rb"\r\nMessage-ID:\s?(?:\r\n )?([^\r]*)", re.IGNORECASE)


@dataclass
class Inbox:
    """What has arrived: the files in `folder`, in the order of arrival, each with its mail's Message-ID."""

    folder: Path
    message_ids: dict[Path, str] = field(default_factory=dict)

    @property
    def received(self) -> list[Path]:
        return list(self.message_ids)

    def keep(self, content: bytes) -> None:
        """Raises OSError."""
        path = self.folder / f"{len(self.message_ids) + 1:04d}.eml"
        path.write_bytes(content)
        head, _, _ = content.partition(b"\r\n\r\n")
        found = _MESSAGE_ID.search(b"\r\n" + head)
        self.message_ids[path] = found[1].strip().decode("utf-8", "replace") if found else ""


@asynccontextmanager
async def smtp_inbox(folder: Path) -> AsyncIterator[tuple[Inbox, int]]:
    """An inbox into `folder`, and the port of this machine at which its server listens."""
    inbox = Inbox(folder)
    server = await asyncio.get_running_loop().create_server(lambda: _Session(inbox), "127.0.0.1", 0)
    try:
        yield inbox, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


class _Session(asyncio.Protocol):
    """One connection. Commands and contents are taken as they come, several at once where the client pipelines."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._unread = b""
        self._recipients = 0
        self._in_content = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(b"220 inbox.localhost ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._unread += data
        replies: list[bytes] = []
        while (reply := self._content() if self._in_content else self._command()) is not None:
            replies.append(reply)
        self._transport.write(b"".join(one + b"\r\n" for one in replies))
        if replies and replies[-1].startswith(b"221"):
            self._transport.close()

    def _command(self) -> bytes | None:
        """The reply to the next command; None where it is not whole yet."""
        line, end, rest = self._unread.partition(b"\r\n")
        if not end:
            return None
        self._unread = rest
        verb = line[:4].upper()
        if verb == b"DATA" and self._recipients:
            self._in_content, self._unread = True, b"\r\n" + rest  # so that a dot may come first
            return b"354 End data with <CR><LF>.<CR><LF>"
        if verb in (b"MAIL", b"RSET"):
            self._recipients = 0
        self._recipients += verb == b"RCPT"
        return _REPLIES.get(verb, b"502 5.5.1 not known here")

    def _content(self) -> bytes | None:
        content, end, rest = self._unread.partition(_END)
        if not end:
            return None
        self._in_content, self._recipients, self._unread = False, 0, rest
        content = content.replace(b"\r\n.", b"\r\n")[2:] + b"\r\n"  # RFC 5321, 4.5.2
        if max(map(len, content.split(b"\r\n"))) + 2 > _LONGEST_LINE:
            return b"500 5.6.0 a line is too long"
        try:
            self._inbox.keep(content)
        except OSError:  # another program's disk would be full as well
            return b"452 4.3.1 can't be kept"
        return b"250 2.0.0 kept"
