"""Makes the same mails as `rendering.render`, many times faster: a stencil is cut once and filled in for each reader.

Stencils are cut from the output of the plain way with stand-ins for a reader's values (`mail_stencil`,
`invitation_stencil`). One stencil serves all readers whose mails have the same shape (`zone_words`). They are correct
because:

- only a text that prints a reader's own values unchanged is cut (`jinja_use`);
- a stencil is used only if, filled in for its first reader, it equals the plain mail;
- unusual addresses, links and texts go the plain way.
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
from scheduler.mail.words.variables import shown_name, time_left, zone_variables
from scheduler.mail.writing.composing import wire_address
from scheduler.mail.writing.invitation import invitation
from scheduler.mail.writing.invitation_stencil import InvitationStencil, cut_invitation
from scheduler.mail.writing.mail_stencil import (
    MailStencil,
    Personal,
    cut_frame,
    cut_mail,
    cut_words,
    encoding,
)
from scheduler.mail.writing.rendering import RenderedMail, Sheet, Written, render, write
from scheduler.mail.writing.zone_words import ZoneWords, can_be_filled_in, zone_words
from scheduler.webinar.model import Webinar
from scheduler.webinar.told import Told

MOST = 20_000_000
"""Bytes kept of each kind. A stencil takes 14 to 21 kB, about the size of its mail without the invitation, and a text
needs about a dozen; the words of a zone take 7 kB, and a reminder in six languages needs those of 2,400."""
_ENTRY = 1000
"""Bytes that a cache entry takes in addition to its value."""

_BOX = r"[\w!#$%&'*+/=?^`{|}~.-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
_MAILBOX = re.compile(_BOX, re.ASCII)
_MESSAGE_ID = re.compile(f"<{_BOX}>", re.ASCII)
_LINK = re.compile("https://[!-~]+")
_KEY = re.compile("[0-9a-f]+")

T = TypeVar("T")


class Stencils:
    """Renders mails, and caches the stencils that it cuts for them."""

    def __init__(self, most: int = MOST) -> None:
        """`most`: bytes to keep of each kind."""
        self._mails = _Recent[MailStencil | None](most, lambda made: len(made.mail) if made else 0)
        self._zones = _Recent[ZoneWords](most, lambda made: made.octets)
        self._frames = _Recent[bytes | None](most, lambda made: len(made or b""))
        self._invitations = _Recent[InvitationStencil | None](most, lambda made: made.octets if made else 0)

    def render(
        self,
        claimed: Claimed,
        webinar: Webinar,
        current: CurrentText,
        last: Version | None,
        now: datetime,
        relay: str,
        *,
        eight_bit: bool = False,
        told: Told | None = None,
        pages_url: str = "",
    ) -> RenderedMail:
        """Render a mail as `rendering.render` does, with the same result or exception.

        `eight_bit`: write words in UTF-8 (8BITMIME, RFC 6152) unless a line would be too long for it; a mail that
        goes the plain way is quoted-printable in any case.
        """
        if not _is_ordinary(claimed):
            return render(claimed, webinar, current, last, now, relay, told=told, pages_url=pages_url)
        by = partial(self._write, eight_bit=eight_bit)
        return render(
            claimed, webinar, current, last, now, relay, by, self._write_invitation,
            told=told, pages_url=pages_url,
        )  # fmt: skip

    def _write(self, sheet: Sheet, *, eight_bit: bool) -> Written:
        facts, current, webinar = sheet.facts, sheet.current, sheet.facts.webinar
        use = use_of(current.text.jinja)
        if not use.prints_only:
            return write(sheet)
        of_zone = (facts.zone, facts.zone_assumed, facts.over, facts.difference if use.says_changes else None)
        zone = self._zones.get(
            (webinar, current),
            (*of_zone, eight_bit),
            lambda: zone_words(zone_variables(facts, current.language), use, encoding(eight_bit)),
        )
        left = time_left(facts, current.language) if use.left else ""
        computed = left if use.left == "computed" or not can_be_filled_in(left) else ""
        own = Personal(
            name=shown_name(facts.name, current.language),
            link=facts.join_url if facts.join_url != webinar.join_url else "",
            left="" if computed else left,
            page=facts.page_url,
            zone=zone,
        )
        https = own.page[:6]  # decides whether there are headers for one click
        frame = (sheet.message, current.language, sheet.calendar_as, sheet.method, https, eight_bit)
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

        stencil = self._mails.get((webinar, current), key, cut)
        if stencil and (mail := stencil.fill(sheet, own)):
            return mail
        return self._write(sheet, eight_bit=False) if eight_bit else write(sheet)

    def _write_invitation(self, **arguments: Any) -> bytes:
        webinar = arguments["webinar"]
        own_link = arguments["join_url"] != webinar.join_url
        key = (arguments["language"], arguments["method"], own_link)
        stencil = self._invitations.get((webinar,), key, lambda: cut_invitation(arguments, own_link=own_link))
        return stencil.fill(arguments) if stencil else invitation(**arguments)


class _Recent(Generic[T]):
    """A least-recently-used cache of values, limited by their bytes."""

    def __init__(self, most: int, octets: Callable[[T], int]) -> None:
        self._left, self._octets = most, octets
        self._made: OrderedDict[Hashable, tuple[T, object]] = OrderedDict()

    def get(self, of: tuple[object, ...], key: tuple[Hashable, ...], make: Callable[[], T]) -> T:
        """The value made of the objects `of` (by identity; kept alive) under `key`, or a new one from `make`."""
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
    """Whether this registrant's values except the name are usual ones, which need no quoting or encoding."""
    try:
        address = wire_address(claimed.address)
    except ValueError:
        return False
    return bool(
        _MAILBOX.fullmatch(address)
        and _MAILBOX.fullmatch(claimed.uid)
        and (not claimed.message_id or _MESSAGE_ID.fullmatch(claimed.message_id))
        and (not claimed.join_url or _LINK.fullmatch(claimed.join_url))
        and (not claimed.key or _KEY.fullmatch(claimed.key))
    )
