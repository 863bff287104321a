"""Stores outcomes that could not be recorded before the service had to end, in a file of STATE_DIR, for the next start
or another service that shares the folder.

Each line is a checksum and a JSON object; the first one names the ledger. Entries have ids of deliveries and leases,
and no personal data. They are recorded by their lease, so that a second time changes nothing. A file with entries of
another ledger, or damaged ones, is renamed and kept aside.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import Connection

from scheduler.database.engine import as_list, execute, listed
from scheduler.ledger import restored
from scheduler.ledger.entries import Lease, Outcome, OutcomeState, personal
from scheduler.ledger.restored import Identity
from scheduler.ledger.states import State
from scheduler.smtp.replies import log_safe
from scheduler.state_dir import FULL, StateDir

log = structlog.get_logger()

PREFIX, ASIDE = "spool-", "aside-"  # of the names of files
NAME = re.compile(rf"{PREFIX}[0-9a-f]{{8}}-\d{{8}}T\d{{12}}")
OF_ANOTHER = "of another database, or of this one before it was set back"
NOT_WHOLE = "damaged"


@dataclass(frozen=True)
class Spool:
    """One file: its outcomes for this ledger, and why the rest is kept aside ("": there is no rest)."""

    file: str
    outcomes: Sequence[Outcome]
    rest: str


def write(state: StateDir, holder: int, ledger: Identity, outcomes: Iterable[Outcome]) -> str:
    """Write these outcomes to a new file. Returns its name. Raises OSError."""
    entries = [_entry(one) for one in outcomes]
    head = {
        "ledger": ledger.name,
        "restorations": ledger.restorations,
        "entries": len(entries),
        "at": datetime.now(UTC).isoformat(),
    }
    file = f"{PREFIX}{holder:08x}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    content = b"".join(_line(one) for one in (head, *entries))
    try:
        state.write(file, content)
    except OSError as error:
        if error.errno not in FULL:
            raise
        state.write_in_reserve(file, content)
    return file


def read(state: StateDir) -> dict[str, bytes | Exception]:
    """The content of each spool in the folder, or the error if it can't be read."""
    found: dict[str, bytes | Exception] = {}
    for file in sorted(path.name for path in state.folder.glob(f"{PREFIX}*") if NAME.fullmatch(path.name)):
        try:
            content = state.read(file)
        except (OSError, ValueError) as error:
            found[file] = error
        else:
            if content is not None:  # otherwise another service was first
                found[file] = content
    return found


def compare(conn: Connection, contents: Mapping[str, bytes | Exception]) -> list[Spool]:
    """Parse the contents of these files and compare them with this ledger."""
    ledger = restored.identity(conn)
    found = []
    for file, content in contents.items():
        try:
            found.append(_spool(conn, ledger, file, content))
        except (ValueError, KeyError, TypeError, RecursionError):  # written by another version
            found.append(Spool(file, (), NOT_WHOLE))
    return found


def put_away(state: StateDir, spool: Spool) -> None:
    """Remove a spool whose outcomes are on record, or keep its rest aside. Raises OSError."""
    if not spool.rest:
        state.remove(spool.file)
        return
    path = state.path(spool.file)
    with suppress(FileNotFoundError):
        path.rename(state.path(f"{ASIDE}{spool.file}"))
        log.error("spool kept aside", file=f"{ASIDE}{spool.file}", why=spool.rest)


def kept_aside(state: StateDir) -> tuple[str, ...]:
    """A note for each file that is kept aside."""
    files = sorted(path.name for path in state.folder.glob(f"{ASIDE}{PREFIX}*"))
    return tuple(
        f"{file} in STATE_DIR has outcomes of mails that do not belong to this database" for file in files
    )


def _spool(conn: Connection, ledger: Identity, file: str, content: bytes | Exception) -> Spool:
    if isinstance(content, Exception):
        return Spool(file, (), f"{NOT_WHOLE}: {type(content).__name__}")
    whole = list(_whole(content.splitlines()))
    head = whole[0] if whole else {}
    if "ledger" not in head:
        return Spool(file, (), NOT_WHOLE)
    if (head["ledger"], head["restorations"]) != (ledger.name, ledger.restorations):
        return Spool(file, (), OF_ANOTHER)
    outcomes = [_outcome(one) for one in whole[1:]]
    known = _known(conn, outcomes)
    ours = [one for one in outcomes if (one.claimed.id, one.claimed.token) in known]
    rest = OF_ANOTHER if len(ours) < len(outcomes) else ""
    if len(outcomes) < head["entries"]:
        rest = (
            f"{NOT_WHOLE}: {head['entries'] - len(outcomes)} of its {head['entries']} entries can't be read"
        )
    return Spool(file, ours, rest)


def _known(conn: Connection, outcomes: Sequence[Outcome]) -> set[tuple[int, str]]:
    """Those of these leases (delivery, token) that the ledger has, or once had."""
    ids = as_list(conn, {one.claimed.id for one in outcomes})
    rows = execute(
        conn,
        f"SELECT delivery_id, lease_token FROM attempt WHERE delivery_id IN {listed(conn, 'ids')}"
        f" UNION SELECT id, lease_token FROM delivery WHERE id IN {listed(conn, 'ids')}",
        ids=ids,
    )
    known = {(row.delivery_id, row.lease_token) for row in rows}
    deliveries = {number for number, _ in known}
    # A mail that was not begun has no attempt: without its lease there is nothing to record.
    never_begun = {(one.claimed.id, one.claimed.token) for one in outcomes if one.attempt == "not_sent"}
    return known | {one for one in never_begun if one[0] in deliveries}


def _line(entry: dict[str, Any]) -> bytes:
    text = json.dumps(entry, ensure_ascii=True)
    return f"{zlib.crc32(text.encode()):08x} {text}\n".encode()


def _whole(lines: Iterable[bytes]) -> Iterable[dict[str, Any]]:
    """The entries before the first line that is cut off or changed."""
    for line in lines:
        checksum, _, text = line.partition(b" ")
        if checksum != f"{zlib.crc32(text):08x}".encode():
            return
        yield json.loads(text)


def _entry(one: Outcome) -> dict[str, Any]:
    return {
        "delivery": one.claimed.id, "token": one.claimed.token, "registration": one.claimed.registration_id,
        "uid": one.claimed.uid, "webinar": one.claimed.webinar, "due_at": one.claimed.due_at.isoformat(),
        "state": one.state.value, "at": one.at.isoformat(), "attempt": one.attempt,
        "reason": one.reason, "again_at": one.again_at.isoformat() if one.again_at else None, "counts": one.counts,
        "stage": one.stage, "code": one.code, "enhanced": one.enhanced,
        "reply": log_safe(one.reply, *personal(one.claimed)),
    }  # fmt: skip


_STATES: dict[str, OutcomeState] = {
    "sent": State.SENT, "pending": State.PENDING, "failed": State.FAILED, "held": State.HELD,
    "in_doubt": State.IN_DOUBT,
}  # fmt: skip


def _outcome(entry: dict[str, Any]) -> Outcome:
    due_at, again_at = datetime.fromisoformat(entry["due_at"]), entry["again_at"]
    return Outcome(
        Lease(entry["delivery"], entry["token"], entry["registration"], entry["uid"], entry["webinar"], due_at),
        _STATES[entry["state"]], datetime.fromisoformat(entry["at"]), entry["attempt"], entry["reason"],
        datetime.fromisoformat(again_at) if again_at else None, entry["counts"],
        entry["stage"], entry["code"], entry["enhanced"], entry["reply"],
    )  # fmt: skip
