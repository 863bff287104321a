"""Exceptions for a mail that was not accepted, or a connection that could not be opened."""

from __future__ import annotations

from scheduler.smtp.replies import Reply, Stage, log_safe, read_reply


class RelayFailure(Exception):
    """A mail was not accepted. `reply` has the relay's words; the text of the exception is safe to log."""

    def __init__(self, reply: Reply, recipient: str = "") -> None:
        super().__init__(log_safe(str(reply), recipient))
        self.reply = reply


class Refused(RelayFailure):
    """The relay refused; nothing is in doubt."""


class Unreachable(RelayFailure):
    """No connection, or it broke before the first byte of the content; nothing is in doubt."""


class Doubtful(RelayFailure):
    """The connection broke after content may have gone out: the mail may have been accepted (RFC 1047)."""


class NotBegun(RelayFailure):
    """The mail was not sent: it may no longer go out, or an earlier mail ended the connection. Nothing is in doubt."""

    def __init__(self) -> None:
        super().__init__(Reply("mail", 0, "", "not begun"))


def unreachable(stage: Stage, text: str) -> Unreachable:
    return Unreachable(read_reply(stage, 0, text))
