"""`webinar receive`: a test relay, whose mails a browser shows."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path

import click

from scheduler.commands.common import mistakes_reported
from scheduler.logs import set_up_logs
from scheduler.problem import Problem, Problems

PAUSE = 0.5  # seconds, in which further mails may arrive before the pages are written again
TITLE = "Mails that arrived here"


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=2525, show_default=True, help="For SMTP.")
@click.option("--inbox-port", type=click.IntRange(0, 65535), default=8025, show_default=True)
def receive(port: int, inbox_port: int) -> None:
    """Take mail on this machine, send none on, and show it in a browser. Ctrl-C ends it, and the mails are gone."""
    set_up_logs("ERROR")
    with (
        mistakes_reported(),
        tempfile.TemporaryDirectory(prefix="received-") as folder,
        suppress(KeyboardInterrupt),
    ):
        asyncio.run(_receive(Path(folder), port, inbox_port))


async def _receive(out: Path, port: int, inbox_port: int) -> None:
    from scheduler.http.server import WebServer
    from scheduler.receiver import Receiver, receiving
    from scheduler.web.inbox.app import inbox_app

    (out / "mails").mkdir()
    arrived = asyncio.Event()
    receiver = Receiver(out / "mails", arrived.set)
    _write(out, [])
    server = WebServer(inbox_app(out), "127.0.0.1", inbox_port, setting="--inbox-port")
    try:
        await server.start()
        async with receiving(receiver, port) as taken:
            click.echo(f"SMTP_HOST=127.0.0.1 SMTP_PORT={taken} SMTP_TLS=none")
            click.echo(f"Open {server.url} in a browser. Ctrl-C ends this, and the mails are gone.")
            while True:
                await arrived.wait()
                await asyncio.sleep(PAUSE)
                arrived.clear()
                await asyncio.to_thread(_write, out, receiver.received)
    except OSError as error:
        raise Problems([Problem("--port", error.strerror or str(error), "a port that is free")]) from None
    finally:
        await server.stop()


def _write(out: Path, mails: list[Path]) -> None:
    """Write the inbox's pages."""
    from scheduler.web.inbox.arrived import arrived_deliveries
    from scheduler.web.inbox.pages import write_inbox

    deliveries = arrived_deliveries((path, path.read_bytes()) for path in mails)
    write_inbox(out, TITLE, deliveries, mails, rehearsed=False)
