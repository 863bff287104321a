"""A short mail that is no message of a sequence: a few sentences and one link, for whoever asked for it on a page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from markupsafe import Markup, escape

from scheduler.mail.text.templates import Rendered
from scheduler.mail.words.wording import right_to_left
from scheduler.mail.writing.composing import compose
from scheduler.webinar.model import Webinar

_HTML = Markup("""\
<!DOCTYPE html>
<html lang="{language}" dir="{direction}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{subject}</title></head>
<body style="margin: 0; padding: 24px 16px; font: 16px/25px -apple-system, 'Segoe UI', Roboto, Arial, sans-serif;">
<div style="max-width: 560px; margin: 0 auto;">
{before}
<p style="margin: 28px 0;"><a href="{link}" style="display: inline-block; padding: 12px 24px; border-radius: 8px; \
background-color: {colour}; color: #ffffff; font-weight: 600; text-decoration: none;">{label}</a></p>
{after}
</div>
</body>
</html>
""")


class Letter(NamedTuple):
    """The words of a mail: sentences before and after a link, and the link with its label."""

    subject: str
    before: Sequence[str]
    label: str
    link: str
    after: Sequence[str]


def write_letter(
    letter: Letter, webinar: Webinar, language: str, to: str, *, message_id: str, now: datetime
) -> bytes:
    """The letter as a mail of the webinar's sender. `message_id`: without angle brackets. Raises ValueError for an
    address that is invalid."""
    html = _HTML.format(
        language=language,
        direction="rtl" if right_to_left(language) else "ltr",
        subject=letter.subject,
        before=_paragraphs(letter.before),
        link=letter.link,
        colour=webinar.colour,
        label=letter.label,
        after=_paragraphs(letter.after),
    )
    parts = (*letter.before, f"{letter.label}:\n{letter.link}", *letter.after)
    text = "\n\n".join(parts) + "\n"
    return compose(
        rendered=Rendered(letter.subject, "", str(html), text, "", ""),
        language=language,
        sender=webinar.sender_in(language),
        reply_to=webinar.reply_to_in(language),
        to=to,
        message_id=f"<{message_id}>",
        date=now,
    )


def _paragraphs(sentences: Sequence[str]) -> Markup:
    return Markup("\n").join(Markup('<p style="margin: 0 0 18px;">{}</p>').format(escape(one)) for one in sentences)
