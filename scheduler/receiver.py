"""An SMTP server that takes mail, keeps each one as a file and sends none on: a rehearsal's relay, and a test relay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from email.policy import default
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class Receiver:
    """An SMTP server's handler that writes each mail to a file, exactly as received. `arrived` is called after each."""

    folder: Path
    arrived: Callable[[], None] = lambda: None
    message_ids: dict[Path, str] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, received: Iterable[Path]) -> Receiver:
        """A receiver that has these mails already."""
        known = {path: _message_id(path.read_bytes()) for path in received}
        return cls(folder, message_ids=known)

    @property
    def received(self) -> list[Path]:
        """The files, in the order of arrival."""
        return list(self.message_ids)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        path = self.folder / f"{len(self.message_ids) + 1:04d}.eml"
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
        path.write_bytes(content)
        self.message_ids[path] = _message_id(content)
        self.arrived()
        return "250 2.0.0 kept"


def _message_id(content: bytes) -> str:
    head = content[: content.find(b"\r\n\r\n") + 2]
    return str(BytesHeaderParser(policy=default).parsebytes(head)["Message-ID"]).strip()


@asynccontextmanager
async def receiving(receiver: Receiver, port: int = 0) -> AsyncIterator[int]:
    """Receive on this machine alone; yields the port. Raises OSError if it can't be had."""
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(receiver, enable_SMTPUTF8=True, hostname="inbox.localhost"), "127.0.0.1", port
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
