"""Entries of the ledger as values: leases, mails about to be sent, and their outcomes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from scheduler.ledger.states import State
from scheduler.webinar.told import Told


@dataclass(frozen=True)
class Lease:
    """A lease on one delivery, with what recording its outcome needs and no personal data. `due_at` is in UTC."""

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
    revision_id: int  # the webinar's revision that governed when this delivery was claimed
    urgency: int = 1  # 0: due on registration
    key: str = ""  # of the registration, in the addresses of its pages
    told: Told | None = None  # for a notice: what this person was told before


def personal(lease: Lease) -> tuple[str, str]:
    """The recipient's address and name, to be removed from replies; empty where they are no longer known."""
    return (lease.address, lease.name) if isinstance(lease, Claimed) else ("", "")


@dataclass(frozen=True)
class Version:
    """A version of an invitation, stored by `outcomes.begin` before it first goes out."""

    uid: str
    sequence: int
    method: str
    dtstamp: datetime
    says: str
    calendar: bytes
    stored: bool = False
    registration_id: int | None = None  # the registration for which it was stored


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
    """The facts that the mail tells its reader."""
    invitation: Version | None = None


OutcomeState = Literal[State.SENT, State.PENDING, State.FAILED, State.HELD, State.IN_DOUBT]


@dataclass(frozen=True)
class Outcome:
    """The result of one attempt. `state` is the delivery's next one: pending (tried again at `again_at`) or failed,
    which becomes pending where the refusal turns out not to be about its recipient (`refusals`)."""

    claimed: Lease
    state: OutcomeState
    at: datetime
    attempt: str  # outcome of the attempt: sent, deferred, refused, in_doubt, not_sent
    reason: str = ""
    again_at: datetime | None = None
    counts: bool = True  # False: a fault of the relay, which does not count as an attempt
    stage: str = ""
    code: int = 0
    enhanced: str = ""
    reply: str = ""


@dataclass(frozen=True)
class AttemptKey:
    """One attempt of a delivery to the holder of a UID: the key of table `told`."""

    uid: str
    delivery_id: int
    lease_token: str


@dataclass(frozen=True)
class ToldEntry:
    """A mail that is about to go out, and the facts that it tells its reader."""

    mail: AttemptKey
    told: Told
    invited: bool
    """Whether it carries an invitation or is a notice: later mails that are neither do not replace its facts."""
