"""Asks the running service what only it knows: its own readiness."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass

PATIENCE = 3.0  # seconds
LONGEST_ANSWER = 1_000_000  # bytes
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (listened on, asked here)


@dataclass(frozen=True)
class Answer:
    """`answers` None: not asked, as the port is any; False: nothing of ours answers there."""

    address: str
    answers: bool | None
    ready: bool | None = None
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def ask(host: str, port: int) -> Answer:
    """What `/readyz` says where a service with this HEALTH_HOST and HEALTH_PORT listens. Never raises."""
    host = _ANY.get(host, host)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if not port:
        return Answer("", None)
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    try:
        connection.request("GET", "/readyz")
        said = json.loads(connection.getresponse().read(LONGEST_ANSWER))
        ready, reasons = bool(said["ready"]), tuple(map(str, said["reasons"]))
        notes = tuple(map(str, said.get("notes", ())))  # a service of an earlier version has none
        return Answer(address, True, ready, reasons, notes)
    except (OSError, http.client.HTTPException, ValueError, TypeError, KeyError):
        return Answer(address, False)
    finally:
        connection.close()
