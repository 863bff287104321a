"""What can become of a mail, or of a connection to a relay, but acceptance."""

from __future__ import annotations

from scheduler.smtp.replies import Reply, Stage, log_safe, read_reply


class RelayFailure(Exception):
    """A mail was not accepted. `reply` has the relay's words, the exception's own text is safe to log."""

    def __init__(self, reply: Reply, recipient: str = "") -> None:
        super().__init__(log_safe(str(reply), recipient))
        self.reply = reply


class Refused(RelayFailure):
    """The relay said no; nothing is in doubt."""


class Unreachable(RelayFailure):
    """No way to the relay, or it broke off before the first byte of the content: nothing is in doubt."""


class Doubtful(RelayFailure):
    """Broken off after content could have gone out: the mail may have been accepted (RFC 1047)."""


class NotBegun(RelayFailure):
    """It was not sent, for it may not go now, or the connection ended by a mail before it: nobody is to blame, and
    nothing is in doubt."""

    def __init__(self) -> None:
        super().__init__(Reply("mail", 0, "", "not begun"))


def unreachable(stage: Stage, text: str) -> Unreachable:
    return Unreachable(read_reply(stage, 0, text))
