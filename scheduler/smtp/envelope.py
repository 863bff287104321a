"""A mail in SMTP: checked addresses, the MAIL command, the dot-stuffed content. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import idna

from scheduler.smtp.failures import Refused
from scheduler.smtp.replies import Reply, Stage

# Lenient where real addresses are (double dots), strict where a command could be broken open.
_LOCAL = r'[^\x00-\x20\x7f-\xa0\s"(),:;<>@\[\\\]]+|"(?:[^"\\\x00-\x1f\x7f-\x9f\u2028\u2029]|\\[\x20-\x7e])*"'


_ADDRESS = re.compile(rf'({_LOCAL})@([^\x00-\x20\x7f-\xa0\s"(),:;<>@\[\\\]]+|\[[0-9A-Za-z.:]+\])')


def _mailbox(address: str, whose: str) -> str:
    """The address for SMTP, with its domain in A-labels (RFC 5890). Raises ValueError, without the address."""
    found = _ADDRESS.fullmatch(address)
    if not found:
        raise ValueError(f"the {whose}'s address is not one that SMTP can carry")
    local, domain = found[1], found[2]
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except idna.IDNAError:
            raise ValueError(f"the domain of the {whose}'s address is no valid host name") from None
    return f"{local}@{domain}"


class Extensions(Protocol):
    """The SMTP extensions that a relay offers."""

    def offers(self, extension: str) -> bool:
        """Whether the machine at the other end offers this extension."""

    def elsewhere_offers(self, extension: str) -> bool:
        """Whether any machine of the relay offered it."""


@dataclass(frozen=True)
class Mail:
    """One mail for one recipient, checked: it cannot inject SMTP commands."""

    sender: str
    recipient: str
    content: bytes
    plain_lines: bool = False
    """Each line is known to end in CRLF and not to begin with a dot."""
    in_7_bits: Callable[[], tuple[bytes, bool]] | None = field(default=None, compare=False, repr=False)
    """Renders the same mail without 8-bit content; returns its bytes and `plain_lines`."""
    may_go: Callable[[bool], bool] = field(default=lambda _: True, compare=False, repr=False)
    """Whether it may go out now: called before its envelope, and again (True) before its content."""

    @classmethod
    def checked(
        cls,
        sender: str,
        recipient: str,
        content: bytes,
        plain_lines: bool = False,
        in_7_bits: Callable[[], tuple[bytes, bool]] | None = None,
    ) -> Mail:
        """Check the addresses and line ends. Raises ValueError for a bare CR or LF (RFC 5321, 2.3.8) or an invalid
        address."""
        if not plain_lines and not content.count(b"\r\n") == content.count(b"\r") == content.count(b"\n"):
            raise ValueError("the mail's content has a bare CR or LF")
        if not content.endswith(b"\r\n"):
            content += b"\r\n"
        path = _mailbox(sender, "sender") if sender else ""
        return cls(path, _mailbox(recipient, "recipient"), content, plain_lines, in_7_bits)

    def as_accepted_by(self, relay: Extensions) -> Mail:
        """This mail, without 8-bit content if this machine does not accept it (RFC 6152): behind the relay's name there
        may be other machines than the one for which the mail was rendered."""
        if self.in_7_bits is None or relay.offers("8BITMIME") or self.content.isascii():
            return self
        content, plain_lines = self.in_7_bits()
        seven = Mail.checked(self.sender, self.recipient, content, plain_lines)
        return replace(seven, may_go=self.may_go)

    @property
    def on_the_wire(self) -> bytes:
        """The content with its dots stuffed and its end marked (RFC 5321, 4.5.2)."""
        if self.plain_lines:
            return self.content + b".\r\n"
        stuffed = self.content.replace(b"\r\n.", b"\r\n..")
        return b"%s%s.\r\n" % (b"." if stuffed.startswith(b".") else b"", stuffed)

    def mail_command(self, relay: Extensions) -> bytes:
        """MAIL with the parameters that this mail needs. Raises Refused if the relay does not offer them."""
        words = [b"MAIL", f"FROM:<{self.sender}>".encode()]
        if relay.offers("SIZE"):  # RFC 1870
            words.append(b"SIZE=%d" % len(self.content))
        if not self.content.isascii():  # RFC 6152
            if not relay.offers("8BITMIME"):
                raise Refused(
                    Reply("mail", 554, "5.6.3", "the mail has 8-bit content, which the relay does not accept")
                )
            words.append(b"BODY=8BITMIME")
        if not (self.sender + self.recipient).isascii():  # RFC 6531
            if not relay.offers("SMTPUTF8"):
                whose: Stage = "rcpt" if self.sender.isascii() else "mail"
                if relay.elsewhere_offers("SMTPUTF8"):
                    text = "the address is not ASCII, and this machine of the relay does not offer SMTPUTF8"
                    raise Refused(Reply(whose, 450, "4.6.7", text))
                text = "the address is not ASCII, and the relay does not offer SMTPUTF8"
                raise Refused(Reply(whose, 553, "5.6.7" if whose == "rcpt" else "5.1.7", text))
            words.append(b"SMTPUTF8")
        return b" ".join(words)
