"""An HTTPS server that answers as a test says, in a thread of its own."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.smtp_server import HOST, server_context

Answers = Callable[[str, str], bytes]
"""From a path and the whole head of a request: all that is sent."""


def ok(body: str | bytes, *headers: str, length: int | None = None) -> bytes:
    content = body if isinstance(body, bytes) else body.encode()
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(content) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + content


def redirect(where: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode()


@contextmanager
def https_server(answers: Answers, *names: str, open_until: threading.Event | None = None) -> Iterator[str]:
    """Its address, without a slash at the end. `open_until`: it closes no connection before."""
    context = server_context(*(names or (HOST, "localhost")))
    with socket.create_server((HOST, 0)) as listening:
        threading.Thread(target=_serve, args=(listening, context, answers, open_until), daemon=True).start()
        yield f"https://{HOST}:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def _serve(
    listening: socket.socket, context: ssl.SSLContext, answers: Answers, open_until: threading.Event | None
) -> None:
    while True:
        try:
            plain, _ = listening.accept()
        except OSError:
            return
        try:
            with context.wrap_socket(plain, server_side=True) as connection:
                head = b""
                while b"\r\n\r\n" not in head and (piece := connection.recv(65536)):
                    head += piece
                text = head.decode()
                if text:
                    connection.sendall(answers(text.split(" ")[1], text))
                    if open_until:
                        open_until.wait(20)
                    connection.unwrap()
        except (OSError, ValueError):
            plain.close()
