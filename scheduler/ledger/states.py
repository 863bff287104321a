"""The states of a delivery and the reasons for them, in the words that people read in tables and JSON."""

from __future__ import annotations

from enum import StrEnum


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


class Why(StrEnum):
    """Reasons of skipped, cancelled, expired and held deliveries."""

    DUE_BEFORE_PLANNED = "due before it was planned"
    USELESS_WHEN_PLANNED = "no longer of use when it was planned"
    CONFIRMED_ELSEWHERE = "confirmed by another system"
    NO_LONGER_OF_USE = "no longer of use"
    ROW_DELETED = "the registrant's row was deleted"
    SUPPRESSED = "the address is suppressed"
    MESSAGE_REMOVED = "the message was taken out of the webinar"
    CALLED_OFF = "the webinar is called off"
    REGISTERED_BEFORE = "registered before this message was due on registration"
    SUPERSEDED = "a later edition takes its place"
    TAKES_PLACE = "the webinar takes place after all"
    TEMPLATE = "template"
    DATA = "data"
    DOUBT = "doubt"
    CONFIG = "config"
