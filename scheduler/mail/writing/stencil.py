"""The same mails as `rendering.render` makes, many times faster: a stencil is cut once, then filled for each reader.

The plain way itself cuts it, from stand-ins for what a reader brings (`mail_stencil`, `invitation_stencil`). One serves
all readers of the same text in the same zone. Three things keep it right:

- Only a text that prints a reader's own values as they are is cut (`jinja_use`).
- A stencil counts only if it makes of its first reader's values what the plain way makes of them.
- What is out of the ordinary, be it an address, a link or a text, goes the plain way.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar

from scheduler.ledger.entries import Claimed, Version
from scheduler.mail.text.jinja_use import use_of
from scheduler.mail.texts import CurrentText
from scheduler.mail.words.variables import of_zone as variables_of_zone
from scheduler.mail.words.variables import shown_name, time_left
from scheduler.mail.writing.composing import wire_address
from scheduler.mail.writing.invitation import invitation
from scheduler.mail.writing.invitation_stencil import InvitationStencil, cut_invitation
from scheduler.mail.writing.mail_stencil import MailStencil, Own, cut_frame, cut_mail, cut_words, encoding
from scheduler.mail.writing.rendering import RenderedMail, Sheet, Written, render, write
from scheduler.mail.writing.zone_words import ZoneWords, can_be_filled_in, zone_words
from scheduler.webinar.model import Webinar
from scheduler.webinar.told import Told

MOST = 20_000_000
"""Octets of what is kept of one kind. A stencil is about as large as its mail without the invitation, 14 to 21 kB, and
a text needs about a dozen; the words of a zone take 7 kB, and a reminder in six languages needs those of 2,400."""
_ENTRY = 1000
"""Octets that an entry takes beside what is kept."""

_BOX = r"[\w!#$%&'*+/=?^`{|}~.-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
_MAILBOX = re.compile(_BOX, re.ASCII)
_MESSAGE_ID = re.compile(f"<{_BOX}>", re.ASCII)
_LINK = re.compile("https://[!-~]+")

T = TypeVar("T")


class Stencils:
    """Renders mails, and keeps the stencils that it cuts for them."""

    def __init__(self, most: int = MOST) -> None:
        """`most`: how many octets to keep of each."""
        self._mails = _Recent[MailStencil | None](most, lambda made: len(made.mail) if made else 0)
        self._zones = _Recent[ZoneWords](most, lambda made: made.octets)
        self._frames = _Recent[bytes | None](most, lambda made: len(made or b""))
        self._invitations = _Recent[InvitationStencil | None](most, lambda made: made.octets if made else 0)

    def render(
        self,
        claimed: Claimed,
        webinar: Webinar,
        live: CurrentText,
        last: Version | None,
        now: datetime,
        relay: str,
        *,
        eight_bit: bool = False,
        told: Told | None = None,
    ) -> RenderedMail:
        """What `rendering.render` returns or raises.

        `eight_bit`: words as they are, in UTF-8 (8BITMIME, RFC 6152), unless a line would be too long for it. In a mail
        that goes the plain way they are quoted-printable all the same.
        """
        if not _is_ordinary(claimed):
            return render(claimed, webinar, live, last, now, relay, told=told)
        by = partial(self._write, eight_bit=eight_bit)
        return render(claimed, webinar, live, last, now, relay, by, self._write_invitation, told=told)

    def _write(self, sheet: Sheet, *, eight_bit: bool) -> Written:
        facts, live, webinar = sheet.facts, sheet.live, sheet.facts.webinar
        use = use_of(live.text.jinja)
        if not use.prints_only:
            return write(sheet)
        of_zone = (facts.zone, facts.zone_assumed, facts.over, facts.difference if use.says_changes else None)
        zone = self._zones.get(
            (webinar, live),
            (*of_zone, eight_bit),
            lambda: zone_words(variables_of_zone(facts, live.language), use, encoding(eight_bit)),
        )
        left = time_left(facts, live.language) if use.left else ""
        computed = left if use.left == "computed" or not can_be_filled_in(left) else ""
        own = Own(
            name=shown_name(facts.name, live.language),
            link=facts.join_url if facts.join_url != webinar.join_url else "",
            left="" if computed else left,
            zone=zone,
        )
        frame = (sheet.message, live.language, sheet.calendar_as, sheet.method, eight_bit)
        key = (*frame, zone.shape, computed, bool(own.name), bool(own.link), facts.over)

        def cut() -> MailStencil | None:
            words = cut_words(sheet, own)
            if not words:
                return None
            around = self._frames.get((webinar,), frame, lambda: cut_frame(sheet, words, eight_bit))
            if not around:
                return None
            made = cut_mail(words, around, eight_bit=eight_bit)
            return made if made.fill(sheet, own) else None

        stencil = self._mails.get((webinar, live), key, cut)
        if stencil and (mail := stencil.fill(sheet, own)):
            return mail
        return self._write(sheet, eight_bit=False) if eight_bit else write(sheet)

    def _write_invitation(self, **said: Any) -> bytes:
        webinar = said["webinar"]
        own_link = said["join_url"] != webinar.join_url
        key = (said["language"], said["method"], own_link)
        stencil = self._invitations.get((webinar,), key, lambda: cut_invitation(said, own_link=own_link))
        return stencil.fill(said) if stencil else invitation(**said)


class _Recent(Generic[T]):
    """What was made last, at most so many octets of it; what has not been wanted for longest goes first."""

    def __init__(self, most: int, octets: Callable[[T], int]) -> None:
        self._left, self._octets = most, octets
        self._made: OrderedDict[Hashable, tuple[T, object]] = OrderedDict()

    def get(self, of: tuple[object, ...], key: tuple[Hashable, ...], make: Callable[[], T]) -> T:
        """What was made of `of`, which goes by identity and so lives as long, under this key; `make` makes it."""
        key = (*map(id, of), *key)
        if found := self._made.get(key):
            self._made.move_to_end(key)
            return found[0]
        made = make()
        self._made[key] = made, of
        self._left -= _ENTRY + self._octets(made)
        while self._left < 0 and len(self._made) > 1:
            _, (oldest, _) = self._made.popitem(last=False)
            self._left += _ENTRY + self._octets(oldest)
        return made


def _is_ordinary(claimed: Claimed) -> bool:
    """Whether what is this registrant's own, but for the name, is as it nearly always is, and can stand where it goes
    without quotes or encoding."""
    try:
        address = wire_address(claimed.address)
    except ValueError:
        return False
    return bool(
        _MAILBOX.fullmatch(address)
        and _MAILBOX.fullmatch(claimed.uid)
        and (not claimed.message_id or _MESSAGE_ID.fullmatch(claimed.message_id))
        and (not claimed.join_url or _LINK.fullmatch(claimed.join_url))
    )
