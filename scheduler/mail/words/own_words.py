"""A webinar's own words as mails show them: typeset for their language, isolated where their direction differs."""

from __future__ import annotations

from scheduler.mail.words.typography import typeset
from scheduler.mail.words.wording import right_to_left
from scheduler.webinar.model import Webinar, Wording

_FSI, _PDI = "\u2068", "\u2069"


def own_words(webinar: Webinar, language: str) -> Wording:
    """`webinar.words` as mails in `language` show it. A French title's colon never begins a line. Untranslated English
    words in an Arabic mail are isolated (FSI and PDI, UAX 9), so that neither their punctuation nor that around them
    moves."""
    own = webinar.words(language)

    def shown(key: str, text: str) -> str:
        tag = webinar.language_of(key, language)
        set_right = typeset(text, tag)
        against = right_to_left(tag) != right_to_left(language)
        return f"{_FSI}{set_right}{_PDI}" if text and against else set_right

    return Wording(
        title=shown("title", own.title),
        about=shown("about", own.about),
        how_to_join=shown("how_to_join", own.how_to_join),
        organizers=tuple(shown("organizers", one) for one in own.organizers),
        host=shown("host", own.host),
        sender_name=shown("sender_name", own.sender_name),
    )
