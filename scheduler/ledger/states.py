"""The states of a delivery, its transitions, and the reasons for them as people read them."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    IN_DOUBT = "in_doubt"
    FAILED = "failed"
    EXPIRED = "expired"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    HELD = "held"


class Transition(NamedTuple):
    """A possible change of a delivery's state. `before` is None when the delivery is planned."""

    before: State | None
    event: str
    after: State


def _transitions() -> tuple[Transition, ...]:
    pending, sending, sent, in_doubt, failed, expired, skipped, cancelled, held = State
    rows: tuple[tuple[tuple[State | None, ...], str, State], ...] = (
        ((None,), "planned, and still ahead", pending),
        ((None,), "planned, and never to be sent", skipped),
        ((pending,), "its mail may go on the wire", sending),
        ((pending,), "nothing sound to send, or nobody may be written to", held),
        ((sending,), "accepted", sent),
        ((sending,), "refused for this recipient", failed),
        ((sending,), "refused for now, the relay's trouble, or its turn in the window did not come", pending),
        ((sending,), "the connection broke in the middle of its content, or its sender is gone", in_doubt),
        ((in_doubt,), "the policy is `resend`, and it is still useful", pending),
        ((in_doubt,), "the policy is `hold`, and it is still useful", held),
        ((pending, sending, in_doubt), "the database was set back to an earlier state: it may have gone out since",
         held),
        ((held,), "what held it is fixed, and it is still useful", pending),
        ((held,), "the database was set back, and an operator or the service's log says that it went out", sent),
        ((pending, held), "it is no longer useful", expired),
        ((pending, held), "its row was deleted, its message removed or unwanted, its webinar cancelled, its address "
                          "suppressed, its person withdrew or was forgotten, or a later edition takes its place",
         cancelled),
        ((cancelled,), "what cancelled it is undone, and it is still useful", pending),
        ((skipped, expired), "an edit or another zone puts its time ahead, its address counts as corrected, or its "
                             "person wants it after all", pending),
        ((pending, held, cancelled), "an edit or another zone puts its time where it is never sent, or its address was "
                                     "refused as unknown", skipped),
        ((failed,), "the registrant's address was corrected, or others were refused alike in a row, and it is still "
                    "useful", pending),
    )  # fmt: skip
    return tuple(Transition(before, event, after) for befores, event, after in rows for before in befores)


TRANSITIONS = _transitions()


class Why(StrEnum):
    """Reasons of skipped, cancelled, expired and held deliveries."""

    DUE_BEFORE_PLANNED = "due before it was planned"
    USELESS_WHEN_PLANNED = "no longer useful when it was planned"
    CONFIRMED_ELSEWHERE = "confirmed by another system"
    NO_LONGER_USEFUL = "no longer useful"
    ROW_DELETED = "the registrant's row was deleted"
    SUPPRESSED = "the address is suppressed"
    UNSUBSCRIBED = "its reader wants no more mails of this webinar"
    UNWANTED = "its reader does not want this message"
    WITHDRAWN = "its reader does not come"
    FORGOTTEN = "its person was forgotten"
    MESSAGE_REMOVED = "the message was taken out of the webinar"
    WEBINAR_CANCELLED = "the webinar is cancelled"
    REGISTERED_BEFORE = "registered before this message was due on registration"
    SUPERSEDED = "a later edition takes its place"
    TAKES_PLACE = "the webinar takes place after all"
    UP_TO_DATE = "what the person last read is still true"
    CONFIRMATION_SAYS_IT = "the confirmation is still to go, and says it"
    UNKNOWN_ADDRESS = "the address was refused as unknown"
    WENT_OUT = "it went out for this start already"
    TEMPLATE = "template"
    DATA = "data"
    DOUBT = "doubt"
    CONFIG = "config"
    RESTORED = "restored"
    SENT_BY_WORD = "it went out before the database was set back, as an operator says"
    SENT_BY_LOG = "it went out before the database was set back, as the service's log says"


REFUSED = "refused: "
"""Prefix of a failed delivery's reason; the reply's code and enhanced status code (RFC 3463) follow."""
UNKNOWN = (" 5.1.1", " 5.1.10", ", unknown address")
"""Suffixes of that reason where the relay does not know the address."""
THEN_CORRECTED = ", then corrected"
"""Suffix of that reason once the address was corrected."""


def why_refused(code: int, enhanced: str, *, unknown: bool) -> str:
    """The reason of a delivery that a relay refused for this recipient. `unknown`: it does not know the address."""
    why = f"{REFUSED}{code} {enhanced}".rstrip()
    return f"{why}{UNKNOWN[-1]}" if unknown and not why.endswith(UNKNOWN) else why
