"""Services, their folders, the table of registrants and a relay, in one process and on a clock that the test moves.

What the services do is done by the functions of a tick, in their transactions; what people got is what the relay took.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from scheduler.database.engine import Database, execute
from scheduler.governing import proposals
from scheduler.governing.notices import Notice, notices
from scheduler.governing.revisions import Revisions, bring_up_to_date
from scheduler.governing.webinars import Catalogue, decide_again, propose_webinars
from scheduler.ledger import claims, outcomes
from scheduler.ledger.entries import Claimed, Outcome, Start, Version
from scheduler.ledger.states import State
from scheduler.ledger.told import Told
from scheduler.webinar.model import NOTICES, WITHDRAWAL
from scheduler.webinar.told import facts_of
from tests.support import settle_and_plan, toml, utc

ROOT = Path("config")
RETURN = timedelta(hours=24)


@dataclass(frozen=True)
class Got:
    """A mail that the relay took."""

    at: datetime
    claimed: Claimed
    says: Told

    @property
    def address(self) -> str:
        return self.claimed.address

    @property
    def message(self) -> str:
        return self.claimed.message


@dataclass
class Replica:
    """One service: what it has read, and what it holds in memory."""

    holder: int
    files: dict[str, str]
    revisions: Revisions = field(default_factory=Revisions)
    catalogue: Catalogue = field(default_factory=Catalogue)
    read: dict[str, str] | None = None


class History:
    """Everything around one or more services."""

    def __init__(self, database: Database, now: str = "2025-06-12 08:00") -> None:
        self.database = database
        self.now = utc(now)
        self.mailbox: list[Got] = []
        self.replicas: list[Replica] = []
        self._tokens = self._entries = 0

    # What others do

    def sql(self, statement: str, **values: Any) -> list[Any]:
        with self.database.transaction() as conn:
            result = execute(conn, statement, **values)
            return list(result.all()) if result.returns_rows else []

    def register(self, *addresses: str, **columns: Any) -> None:
        for address in addresses:
            values = {"webinar": "w", "email": address} | columns
            names = ", ".join(values)
            binds = ", ".join(f":{name}" for name in values)
            self.sql(f"INSERT INTO registrants ({names}) VALUES ({binds})", **values)

    def ask(self, request: Callable[..., None], address: str, *values: Any, **keys: Any) -> None:
        """As a person asks on their page, if they have one. What the first service has read governs."""
        found = self.sql(
            "SELECT id FROM registration WHERE address = :address ORDER BY id DESC", address=address
        )
        with self.database.transaction() as conn:
            governing = self.replicas[0].revisions.governing(conn).get("w")
            if found and governing:
                request(conn, self.now, governing, found[0].id, *values, **keys)

    def wait(self, **time: float) -> None:
        self.now += timedelta(**time)

    # The services

    def start(self, text: str | None = None, **keys: Any) -> Replica:
        """Start a service whose folder holds this webinar."""
        replica = Replica(len(self.replicas) + 1, {"webinars/w.toml": text or toml(**keys)})
        self.replicas.append(replica)
        with self.database.transaction() as conn:
            proposals.reset_holder(conn, replica.holder)
        return replica

    def edit(self, replica: Replica | None = None, **keys: Any) -> None:
        """Save the webinar's file, with these keys changed from what it says by default."""
        (replica or self.replicas[0]).files = {"webinars/w.toml": toml(**keys)}

    def tick(self, replica: Replica | None = None) -> None:
        """One tick of a service, without sending."""
        one = replica or self.replicas[0]
        with self.database.transaction() as conn:
            proposals.mark_running(conn, one.holder)
        if one.read != one.files:
            one.read = dict(one.files)
            raw = {name: text.encode() for name, text in one.files.items()}
            with self.database.transaction() as conn:
                one.catalogue = propose_webinars(conn, self.now, ROOT, raw, one.revisions, one.holder, RETURN)
        more = True
        while more:
            with self.database.transaction() as conn:
                decide_again(conn, self.now, one.revisions, one.catalogue, one.holder, RETURN)
                bring_up_to_date(conn, self.now, one.revisions)
                more = settle_and_plan(conn, self.now, one.revisions.governing(conn), RETURN)

    def claim(self, most: int = 1000, live: bool = True) -> list[Claimed]:
        self._tokens += 1
        with self.database.transaction() as conn:
            return claims.claim(conn, self.now, f"{self._tokens:032}", most, most)

    def begin(self, claimed: list[Claimed]) -> list[Start]:
        """Render these by the revision by which they were claimed. Returns those that may go on the wire."""
        with self.database.transaction() as conn:
            webinars = {
                one: self.replicas[0].revisions.get(conn, one) for one in {c.revision_id for c in claimed}
            }
            starts = []
            for one in claimed:
                webinar = webinars[one.revision_id]
                assert webinar is not None
                link = one.join_url or webinar.join_url
                told = facts_of(webinar, link, withdrawn=one.message == WITHDRAWAL)
                start = Start(one, f"<{one.id}@who.int>", "relay", "en", 1, self.now, told)
                starts.append(replace(start, invitation=self._entry(conn, one)))
            begun = outcomes.begin(conn, starts)
        return [start for start in starts if start.claimed.id in begun]

    def _entry(self, conn: Connection, one: Claimed) -> Version | None:
        """The calendar entry of a confirmation that somebody asked for: it replaces what notices told. Others go
        without, so that each mail tells what it says."""
        asked = execute(conn, "SELECT asked_by FROM delivery WHERE id = :id", id=one.id).scalar_one()
        if one.message != "confirmation" or not asked:
            return None
        self._entries += 1
        return Version(one.uid, self._entries, "REQUEST", self.now, "", b"")

    def conclude(self, starts: list[Start], how: str = "sent") -> None:
        """The relay's answer: sent, refused, deferred, or lost (`sent` and `lost` reached their reader)."""
        state = {
            "sent": State.SENT,
            "refused": State.FAILED,
            "deferred": State.PENDING,
            "lost": State.IN_DOUBT,
        }[how]
        if how in ("sent", "lost"):
            self.mailbox += [Got(self.now, one.claimed, one.told) for one in starts]
        again = self.now + timedelta(minutes=1)
        with self.database.transaction() as conn:
            outcomes.conclude(
                conn, [Outcome(one.claimed, state, self.now, how, again_at=again) for one in starts]
            )

    def send(self, how: str = "sent", most: int = 1000) -> list[Got]:
        """Send what is due. Returns what people got."""
        before = len(self.mailbox)
        self.conclude(self.begin(self.claim(most)), how)
        return self.mailbox[before:]

    def run(self, replica: Replica | None = None) -> list[Got]:
        """A tick, and what is due is sent."""
        self.tick(replica)
        got = self.send()
        self.tick(replica)
        return got

    def live_on(self, **time: float) -> list[Got]:
        """Let time pass, with all services ticking at each instant for which the ledger waits, and some in between."""
        before, span = len(self.mailbox), timedelta(**time)
        end, step = self.now + span, max(span / 10, timedelta(hours=6))
        while self.now < end:
            self.now = min(end, self._next_instant() or end, self.now + step)
            for replica in self.replicas:
                self.run(replica)
        return self.mailbox[before:]

    def _next_instant(self) -> datetime | None:
        with self.database.transaction() as conn:
            return claims.next_wake(conn, self.now)

    def crash(self) -> None:
        """Every service is killed: what was on the wire is in doubt."""
        with self.database.transaction() as conn:
            claims.end_leases(conn, self.now)

    # What is seen

    def waiting(self) -> list[Notice]:
        with self.database.transaction() as conn:
            return list(notices(conn, self.now, self.replicas[0].revisions, RETURN))

    def states(self, address: str | None = None) -> dict[str, str]:
        rows = self.sql(
            "SELECT d.message, d.edition, d.state, r.address FROM delivery d"
            " JOIN registration r ON r.id = d.registration_id ORDER BY d.id"
        )
        return {
            row.message + (f"#{row.edition}" if row.edition else ""): row.state
            for row in rows
            if address in (None, row.address)
        }


def kinds(got: list[Got]) -> Counter[str]:
    """How many of each message."""
    return Counter(one.message for one in got)


def notified(got: list[Got]) -> Counter[str]:
    """How many notices each address got."""
    return Counter(one.address for one in got if one.message in NOTICES)
