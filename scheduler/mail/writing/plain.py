"""A mail in plain text to one person, outside of a webinar's sequence: a link that they asked for."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime

from scheduler.mail.writing.composing import begun_mail, mark_as_automatic
from scheduler.webinar.model import Webinar


def plain_mail(
    webinar: Webinar, language: str, to: str, subject: str, paragraphs: Iterable[str], now: datetime
) -> bytes:
    """The mail, from the webinar's sender. Raises ValueError for an address that no mail can carry."""
    sender = webinar.sender_in(language)
    message_id = f"<{secrets.token_hex(16)}@{sender.domain}>"
    mail = begun_mail(subject, sender, webinar.reply_to_in(language), to, message_id, now)
    mark_as_automatic(mail)
    mail.set_content("\n\n".join(paragraphs) + "\n", charset="utf-8", cte="quoted-printable")
    mail["Content-Language"] = language
    return mail.as_bytes()
