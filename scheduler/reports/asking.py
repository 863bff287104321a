"""Asks the running service for its readiness."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass

from scheduler.readiness import Kind, Reason

PATIENCE = 3.0  # seconds
LONGEST_ANSWER = 1_000_000  # bytes
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (listened on, asked here)


@dataclass(frozen=True)
class Answer:
    """The answer of a service. `answers` None: not asked, as the port is 0; False: no service of ours answers
    there."""

    address: str
    answers: bool | None
    ready: bool | None = None
    found: tuple[Reason, ...] = ()


def ask(host: str, port: int) -> Answer:
    """Ask `/readyz` of the service at this HEALTH_HOST and HEALTH_PORT. Never raises."""
    host = _ANY.get(host, host)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if not port:
        return Answer("", None)
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    try:
        connection.request("GET", "/readyz")
        said = json.loads(connection.getresponse().read(LONGEST_ANSWER))
        kinds = {one["words"]: one["kind"] for one in said.get("details", ())}
        found = [_reason(Kind.FAILURE, str(words), kinds) for words in said["reasons"]]
        found += [_reason(Kind.WATCHING, str(words), kinds) for words in said.get("notes", ())]
        return Answer(address, True, bool(said["ready"]), tuple(found))
    except (OSError, http.client.HTTPException, ValueError, TypeError, KeyError):
        return Answer(address, False)
    finally:
        connection.close()


def _reason(otherwise: Kind, words: str, kinds: Mapping[str, str]) -> Reason:
    """A reason of the kind that the service names; of `otherwise`, where its version knows other kinds."""
    try:
        kind = Kind[kinds[words].upper()]
    except KeyError:
        kind = otherwise
    return Reason(kind if kind.stops == otherwise.stops else otherwise, words)
