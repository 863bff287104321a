"""A mail as it goes on the wire: headers, parts, line ends. Pure; reads no clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime
from pathlib import PurePath
from typing import Any, Literal, cast

import idna

from scheduler.input.values import Mailbox
from scheduler.mail.text.layout import PICTURES
from scheduler.mail.text.templates import Rendered

CalendarAs = Literal["request", "attachment", "none"]
Method = Literal["REQUEST", "CANCEL"]


class _WirePolicy(EmailPolicy):
    """Folds the headers that Python would change.

    Python turns a long link into encoded words, in which no program finds it, and removes the quotes of a long name,
    so that a comma splits it and parentheses hide it (cpython gh-100900). It also loses a blank of a subject between
    two encoded words, where blanks are not shown (RFC 2047, 6.2).
    """

    def fold(self, name: str, value: Any) -> str:
        match name.lower():
            case (
                "list-unsubscribe"
            ):  # each link whole, and on a line of its own: 998 octets hold any (RFC 5322, 2.1.1)
                return f"{name}: {value.replace(', ', f',{self.linesep} ')}{self.linesep}"
            case "message-id" | "references":
                return f"{name}: {value}{self.linesep}"
            case "from" | "reply-to" | "to":
                (address,) = value.addresses
                return f"{name}: {_address_on_the_wire(address)}{self.linesep}"
            case "subject" if not value.isascii() or any(len(word) > _LONGEST_WORD for word in value.split()):
                encoded = Header(value, "utf-8", maxlinelen=75, header_name=name).encode(linesep=self.linesep)
                return f"{name}: {encoded}{self.linesep}"
        return str(super().fold(name, value))

    def fold_binary(self, name: str, value: Any) -> bytes:
        return self.fold(name, value).encode("utf-8" if self.utf8 else "ascii")


_LONGEST_WORD = 60  # characters of a word in an ASCII subject: before a longer one Python leaves a line empty
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_POLICY = _WirePolicy(linesep="\r\n", max_line_length=76)  # quoted-printable allows no more (RFC 2045, 6.7)


def _address_on_the_wire(address: Address) -> str:
    name, mailbox = address.display_name, f"{address.username}@{address.domain}"
    if not name:
        return mailbox
    if name.isascii() and len(name) <= 60:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        shown = name if re.fullmatch(r"[\w !#$%&'*+/=?^`{|}~-]+", name) else f'"{quoted}"'
    else:
        shown = Header(name, "utf-8", maxlinelen=75, header_name="Reply-To").encode(linesep="\r\n")
    last = shown.rpartition("\n")[2]
    return f"{shown}\r\n <{mailbox}>" if len(last) + len(mailbox) > 60 else f"{shown} <{mailbox}>"


def compose(
    *,
    rendered: Rendered,
    language: str,
    sender: Mailbox,
    reply_to: Mailbox,
    to: str,
    message_id: str,
    date: datetime,
    thread: str = "",
    feedback_id: str = "",
    unsubscribe: Sequence[str] = (),
    one_click: bool = False,
    logo: tuple[str, bytes] | None = None,
    calendar: bytes | None = None,
    calendar_as: CalendarAs = "none",
    method: Method = "REQUEST",
) -> bytes:
    """A mail to one address, with CRLF line ends throughout.

    `logo`: the name of a picture and its bytes, embedded for the HTML, which refers to it as `cid:NAME` (RFC 2392).
    `calendar`: the bytes of the invitation; with "request" they are the last alternative and also the attachment
    `invite.ics`, with "attachment" only the latter. `message_id`, and `thread`, to which all mails of one
    registration refer, have angle brackets. `feedback_id`: Gmail counts complaints by it. `unsubscribe`: the links of
    List-Unsubscribe (RFC 2369), the preferred one first; `one_click`: a POST to the https link among them unsubscribes
    (RFC 8058). `date`: aware.

    The bytes are ASCII unless the local part of an address is not; then the headers are UTF-8 (RFC 6532), and the
    relay must offer SMTPUTF8. Raises ValueError for an invalid address.
    """
    mail = begun_mail(rendered.subject, sender, reply_to, to, message_id, date)
    if thread:
        mail["References"] = thread
    if feedback_id:
        mail["Feedback-ID"] = feedback_id
    if unsubscribe:
        mail["List-Unsubscribe"] = ", ".join(f"<{link}>" for link in unsubscribe)
    if one_click:
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mark_as_automatic(mail)
    mail.set_content(rendered.text, charset="utf-8", cte="quoted-printable")
    mail.add_alternative(rendered.html, subtype="html", charset="utf-8", cte="quoted-printable")
    if logo:
        name, picture = logo
        html = cast(EmailMessage, mail.get_payload()[-1])  # type: ignore[index]
        kind = PICTURES[PurePath(name).suffix.lower()]
        html.add_related(picture, "image", kind, cid=f"<{name}>", disposition="inline", filename=name)
    if calendar is not None and calendar_as == "request":
        # Last, and without a disposition: Thunderbird hides an inline one. As bytes: a str would lose its CRLFs.
        part = EmailMessage(mail.policy)
        part.set_content(
            calendar, "text", "calendar", cte="base64", params={"method": method, "charset": "UTF-8"}
        )
        del part["MIME-Version"]
        mail.attach(part)
    if calendar is not None and calendar_as != "none":
        mail.add_attachment(calendar, "application", "ics", cte="base64", filename="invite.ics")
    mail["Content-Language"] = language  # set last: set earlier, it would move into the first part
    return mail.as_bytes()


def begun_mail(
    subject: str, sender: Mailbox, reply_to: Mailbox, to: str, message_id: str, date: datetime
) -> EmailMessage:
    """A mail with the headers that every mail has. Raises ValueError for an invalid address."""
    addresses = [sender.address, reply_to.address, to]
    is_ascii = all(address.rpartition("@")[0].isascii() for address in addresses)
    mail = EmailMessage(_POLICY if is_ascii else _POLICY.clone(utf8=True))
    mail["Subject"] = subject
    mail["From"] = _mailbox(sender)
    mail["To"] = _address("", to)
    mail["Reply-To"] = _mailbox(reply_to)
    mail["Date"] = format_datetime(date.astimezone(UTC))
    mail["Message-ID"] = message_id
    return mail


def mark_as_automatic(mail: EmailMessage) -> None:
    """Keep automatic replies away (RFC 3834; Exchange's own header)."""
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"


def subject_line(subject: str) -> bytes:
    """The Subject header as `compose` writes it, folded, with its CRLF."""
    return _POLICY.fold_binary(*_POLICY.header_store_parse("Subject", subject))


def wire_address(address: str) -> str:
    """`address` as SMTP needs it: the domain in A-labels (RFC 5890). Raises ValueError if it is not an address."""
    local, _, domain = address.rpartition("@")
    if not local or not domain or _CONTROL.search(address):
        raise ValueError("not an address")
    if domain.isascii():
        return f"{local}@{domain}"
    return f"{local}@{idna.encode(domain, uts46=True).decode()}"  # IDNAError is a ValueError (UnicodeError)


def _mailbox(mailbox: Mailbox) -> Address:
    return _address(" ".join(mailbox.name.split()), mailbox.address)


def _address(name: str, address: str) -> Address:
    # In two parts, since Python refuses a whole address whose local part is not ASCII.
    local, _, domain = wire_address(address).rpartition("@")
    return Address(display_name=name, username=local, domain=domain)
