"""Django's mail as its documentation shows it: a backend kept open for each thread, EmailMultiAlternatives.

python django_mail.py PORT COUNT CONNECTIONS MAIL.json      # prints the seconds
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection

settings.configure(EMAIL_HOST="127.0.0.1", EMAIL_PORT=int(sys.argv[1]))


def build(words: dict[str, str], number: int, connection: Any) -> EmailMultiAlternatives:
    """The mail of one person."""
    name, address = f"Person {number}", f"person-{number}@example.com"
    text = words["text"].replace("@NAME@", name)
    mail = EmailMultiAlternatives(
        words["subject"], text, words["sender"], [f"{name} <{address}>"], connection=connection
    )
    mail.attach_alternative(words["html"].replace("@NAME@", name), "text/html")
    calendar = words["calendar"].replace("@NAME@", name).replace("@ADDRESS@", address)
    mail.attach_alternative(calendar.replace("@UID@", str(number)), "text/calendar; method=REQUEST")
    return mail


def send(words: dict[str, str], numbers: list[int]) -> None:
    """Over one connection, until no number is left."""
    connection = get_connection("django.core.mail.backends.smtp.EmailBackend")
    connection.open()
    while numbers:
        connection.send_messages([build(words, numbers.pop(), connection)])
    connection.close()


def main() -> None:
    count, connections = int(sys.argv[2]), int(sys.argv[3])
    words = json.loads(Path(sys.argv[4]).read_text("utf-8"))
    numbers = list(range(count))
    begin = time.monotonic()
    with ThreadPoolExecutor(connections) as threads:
        list(threads.map(lambda _: send(words, numbers), range(connections)))
    print(time.monotonic() - begin)


main()
