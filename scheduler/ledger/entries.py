"""Entries of the ledger as values: what is leased, what goes on the wire, and what became of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from scheduler.ledger.states import State
from scheduler.webinar.told import Told


@dataclass(frozen=True)
class Lease:
    """A lease on one delivery: what it takes to record its outcome, without personal data."""

    id: int
    token: str
    registration_id: int
    uid: str
    webinar: str
    due_at: datetime


@dataclass(frozen=True)
class Claimed(Lease):
    """One leased delivery with everything about its registrant that a mail needs."""

    message: str
    attempts: int
    message_id: str
    expires_at: datetime
    address: str
    name: str
    language: str
    zone: str
    zone_known_by: str
    join_url: str
    first_seen_at: datetime
    revision_id: int  # of the webinar, which governed when this was claimed
    urgency: int = 1  # 0: due on registration
    told: Told | None = None  # of a notice: what this person was told before


def personal(lease: Lease) -> tuple[str, str]:
    """The recipient's address and name, to be taken out of what a relay says; "" where they are not known any more."""
    return (lease.address, lease.name) if isinstance(lease, Claimed) else ("", "")


@dataclass(frozen=True)
class Version:
    """A version of an invitation: what `begin` stores the first time that it may go out."""

    uid: str
    sequence: int
    method: str
    dtstamp: datetime
    says: str
    calendar: bytes
    stored: bool = False
    registration_id: int | None = None  # for which it was stored


@dataclass(frozen=True)
class Start:
    """A delivery about to go on the wire."""

    claimed: Claimed
    message_id: str
    relay: str
    language: str
    text_revision: int
    at: datetime
    told: Told
    """What it tells its reader."""
    invitation: Version | None = None


OutcomeState = Literal[State.SENT, State.PENDING, State.FAILED, State.HELD, State.IN_DOUBT]


@dataclass(frozen=True)
class Outcome:
    """What became of a delivery. `state` pending means: again at `again_at`; failed: not, unless it turns out that the
    refusal is not about its recipient (`refusals`)."""

    claimed: Lease
    state: OutcomeState
    at: datetime
    attempt: str  # the word for the attempt: sent, deferred, refused, in_doubt, not_sent
    reason: str = ""
    again_at: datetime | None = None
    counts: bool = True  # False: the relay's trouble, which costs the mail no attempt
    stage: str = ""
    code: int = 0
    enhanced: str = ""
    reply: str = ""
