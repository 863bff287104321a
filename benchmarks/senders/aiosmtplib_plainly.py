"""aiosmtplib as its documentation shows it: an EmailMessage for each mail, a connection kept open for each task.

python aiosmtplib_plainly.py PORT COUNT CONNECTIONS MAIL.json      # prints the seconds
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

import aiosmtplib
import icalendar


def build(words: dict[str, str], number: int) -> EmailMessage:
    """The mail of one person."""
    name, address = f"Person {number}", f"person-{number}@example.com"
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = words["sender"], f"{name} <{address}>", words["subject"]
    mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain="who.int")
    mail.set_content(words["text"].replace("@NAME@", name))
    mail.add_alternative(words["html"].replace("@NAME@", name), subtype="html")
    calendar = icalendar.Calendar()
    calendar.add("prodid", "-//benchmark//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "REQUEST")
    event = icalendar.Event()
    start = datetime(2025, 7, 3, 11, tzinfo=UTC)
    event.add("uid", f"{number}@who.int")
    event.add("dtstamp", datetime.now(UTC))
    event.add("dtstart", start)
    event.add("dtend", start + timedelta(hours=2))
    event.add("summary", words["subject"])
    event.add("description", words["text"].replace("@NAME@", name)[:1000])
    event.add("organizer", f"mailto:{words['sender']}")
    event.add("attendee", f"mailto:{address}")
    calendar.add_component(event)
    mail.add_alternative(calendar.to_ical(), "text", "calendar", params={"method": "REQUEST"})
    return mail


async def send(port: int, words: dict[str, str], numbers: list[int]) -> None:
    """Over one connection, until no number is left."""
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False)
    async with client:
        while numbers:
            await client.send_message(build(words, numbers.pop()))


async def main() -> None:
    port, count, connections = map(int, sys.argv[1:4])
    words = json.loads(Path(sys.argv[4]).read_text("utf-8"))  # noqa: ASYNC240
    numbers = list(range(count))
    begin = time.monotonic()
    await asyncio.gather(*(send(port, words, numbers) for _ in range(connections)))
    print(time.monotonic() - begin)


asyncio.run(main())
