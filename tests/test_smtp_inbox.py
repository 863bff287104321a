"""The SMTP server of a rehearsal, spoken to by Python's own client and by hand."""

from __future__ import annotations

import asyncio
import smtplib
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from scheduler.smtp_inbox import Inbox, smtp_inbox

MAIL = b"Subject: Hi\r\nMessage-ID: <1@who.int>\r\n\r\n"
ENVELOPE = b"MAIL FROM:<a@who.int>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"


def inbox(folder: Path, talk: Callable[[int], None]) -> Inbox:
    """What has arrived after a client talked to this port."""

    async def run() -> Inbox:
        async with smtp_inbox(folder) as (found, port):
            await asyncio.to_thread(talk, port)
            return found

    return asyncio.run(run())


def codes(folder: Path, *pieces: bytes) -> tuple[list[int], Inbox]:
    """The codes of the replies to what is sent in these pieces, each at once."""
    said = bytearray()

    def talk(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in (*pieces, b"QUIT\r\n"):
                client.sendall(piece)
            while more := client.recv(1 << 16):
                said.extend(more)

    found = inbox(folder, talk)
    return [int(line[:3]) for line in said.decode().splitlines() if line[3] == " "][1:-1], found


@pytest.mark.parametrize(
    "body",
    [b"one\r\n", b"", b".\r\n", b"..\r\n.hidden\r\n...\r\n", b"\r\n\r\n", "Zürich, 会议\r\n".encode()],
    ids=["a line", "nothing", "a dot", "lines with dots", "empty lines", "8-bit"],
)
def test_a_mail_is_kept_exactly_as_it_was_sent(tmp_path: Path, body: bytes) -> None:
    def talk(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="client") as client:
            assert client.sendmail("a@who.int", ["b@example.org"], MAIL + body) == {}

    found = inbox(tmp_path, talk)
    assert found.message_ids == {tmp_path / "0001.eml": "<1@who.int>"}
    assert (tmp_path / "0001.eml").read_bytes() == MAIL + body


def test_contents_and_commands_may_come_in_one_piece_or_byte_by_byte(tmp_path: Path) -> None:
    two = b"EHLO client\r\n" + 2 * (ENVELOPE + MAIL + b"one\r\n.\r\n")
    for name, pieces in (("at once", [two]), ("by byte", [bytes([one]) for one in two])):
        (tmp_path / name).mkdir()
        replies, found = codes(tmp_path / name, *pieces)
        assert replies == [250, *2 * [250, 250, 354, 250]]
        assert [path.read_bytes() for path in found.received] == 2 * [MAIL + b"one\r\n"]


@pytest.mark.parametrize(
    ("said", "replies", "kept"),
    [
        (b"DATA\r\n", [503], 0),
        (b"MAIL FROM:<a@who.int>\r\nDATA\r\n", [250, 503], 0),
        (b"MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nRSET\r\nDATA\r\n", [250, 250, 250, 503], 0),
        (b"VRFY b\r\n\r\nNOOP\r\nehlo client\r\n", [502, 502, 250, 250], 0),
        (ENVELOPE + MAIL + b"x" * 998 + b"\r\n.\r\n", [250, 250, 354, 250], 1),
        (ENVELOPE + MAIL + b"x" * 999 + b"\r\n.\r\n", [250, 250, 354, 500], 0),
        (ENVELOPE + MAIL + b"cut off", [250, 250, 354], 0),
    ],
)
def test_what_is_no_mail_is_refused(tmp_path: Path, said: bytes, replies: list[int], kept: int) -> None:
    found, arrived = codes(tmp_path, said) if not said.endswith(b"off") else cut_off(tmp_path, said)
    assert found == replies
    assert len(arrived.received) == len(list(tmp_path.iterdir())) == kept


def cut_off(folder: Path, said: bytes) -> tuple[list[int], Inbox]:
    """As `codes`, for a client that closes its side in the middle of a mail."""
    heard = bytearray()

    def talk(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(said)
            client.shutdown(socket.SHUT_WR)
            while more := client.recv(1 << 16):
                heard.extend(more)

    found = inbox(folder, talk)
    return [int(line[:3]) for line in heard.decode().splitlines()][1:], found


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"Message-ID: <1@who.int>", "<1@who.int>"),
        (b"message-id:<1@who.int>", "<1@who.int>"),
        (b"Message-ID:\r\n <1@who.int>", "<1@who.int>"),
        (b"Subject: Message-ID: <2@who.int>\r\nMessage-ID: <1@who.int>", "<1@who.int>"),
        (b"Subject: none\r\n\r\nMessage-ID: <1@who.int>", ""),
    ],
)
def test_a_mail_is_known_by_its_message_id(tmp_path: Path, head: bytes, name: str) -> None:
    found = Inbox(tmp_path)
    found.keep(head + b"\r\n\r\nbody\r\n")
    assert list(found.message_ids.values()) == [name]


def test_a_disk_that_keeps_no_mail_refuses_it_for_now(tmp_path: Path) -> None:
    replies, found = codes(tmp_path / "gone", ENVELOPE + MAIL + b".\r\n")
    assert (replies, found.received) == ([250, 250, 354, 452], [])
