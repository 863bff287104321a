"""`webinar receive`: a relay for trials whose mails a browser shows."""

from __future__ import annotations

import re
import smtplib
import socket
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage

import httpx
import pytest

from tests.endurance.place import wait_until


@pytest.fixture
def relay() -> Iterator[tuple[int, str]]:
    """The port for SMTP, and the inbox's address."""
    command = [sys.executable, "-m", "scheduler.cli", "receive", "--port", "0", "--inbox-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        port = int(re.findall(r"SMTP_PORT=(\d+)", process.stdout.readline())[0])
        (url,) = re.findall(r"http://\S+", process.stdout.readline())
        yield port, url
        process.terminate()


def _mail(to: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "webinar@who.int", to, "Starts tomorrow"
    mail["Date"], mail["Message-ID"] = "Wed, 02 Jul 2025 07:00:00 +0000", "<1@who.int>"
    mail["Feedback-ID"] = "reminder-day:trilateral-2025:fr:webinars"
    mail.set_content("Bonjour")
    return mail


def test_a_mail_that_arrives_is_shown_by_its_recipient(relay: tuple[int, str]) -> None:
    port, url = relay
    with smtplib.SMTP("127.0.0.1", port) as smtp:
        smtp.send_message(_mail("lea@example.org"))

    def index() -> str:
        return httpx.get(f"{url}/index.html").text

    assert wait_until(lambda: "lea@example.org" in index(), 20)
    assert "Reminder day" in index(), "a page is written whole"
    assert "1 recipient · 1 mail" in index()
    assert "Rehearsal" not in index()
    assert 'href="/templates"' not in index(), "no editor is served here"
    assert "Time zone" not in httpx.get(f"{url}/people/0001.html").text
    assert httpx.get(f"{url}/mails/0001.eml").text.endswith("Bonjour\r\n")
    assert "Starts tomorrow" in httpx.get(f"{url}/mails.html").text


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "scheduler.cli", "receive", "--port", port, "--inbox-port", "0"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr
