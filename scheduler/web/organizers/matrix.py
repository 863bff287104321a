"""The list of texts as a matrix: messages in the order in which they leave, beside languages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from scheduler.governing.saving import ListedText
from scheduler.reports.timeline import rule_in_words
from scheduler.webinar.model import CANCELLATION, CHANGE, NOTICES, Message, Webinar
from scheduler.webinar.timing import timings

_NAMES = {CHANGE: "Notice of a change", CANCELLATION: "Notice of cancellation"}
STATES = {"draft": "draft", "held": "broken", "missing": "missing"}
"""What a text that is not sound is called."""
_BAD = ("broken", "draft")


def meanwhile(state: str, *, rehearsed: bool) -> str:
    """What happens to the mails of a text with mistakes, a draft or held, until it is fixed. A rehearsal begins
    without earlier versions."""
    if rehearsed:
        return "the next rehearsal keeps its mails back"
    return {"draft": "the last sound version goes out", "held": "its mails wait until it is fixed"}[state]


@dataclass(frozen=True)
class Cell:
    """A text in one language: its state in words, and details below it."""

    language: str
    state: str
    details: tuple[str, ...] = ()

    @property
    def look(self) -> str:
        """The class of the state's colour."""
        return "sent" if self.state == "reviewed" else "bad" if self.state in _BAD else "wait"


@dataclass(frozen=True)
class TextRow:
    """The texts of one message in all languages."""

    text: str
    name: str
    """As people say it: "Reminder, 1 day before at 09:00 on the reader’s clock"."""
    used_by: tuple[str, ...]
    """The titles of the webinars that send it."""
    cells: tuple[Cell | None, ...]
    """By language; None where no webinar that sends it is in that language."""


@dataclass(frozen=True)
class Matrix:
    languages: tuple[str, ...]
    rows: tuple[TextRow, ...]


def matrix_of(webinars: Sequence[Webinar], texts: Iterable[ListedText], *, rehearsed: bool = False) -> Matrix:
    """The matrix of these texts. `rehearsed`: it is shown beside a rehearsal."""
    by_key = {(one.message, one.language): one for one in texts}
    languages = sorted({language for _, language in by_key}, key=lambda tag: (tag != "en", tag))
    senders = _senders(webinars)
    names = sorted({text for text, _ in by_key}, key=lambda text: _place(text, senders.get(text, [])))
    rows = (
        TextRow(
            text,
            _name(text, senders.get(text, [])),
            tuple(dict.fromkeys(webinar.title for webinar, _ in senders.get(text, []))),
            tuple(_cell(by_key.get((text, language)), rehearsed) for language in languages),
        )
        for text in names
    )
    return Matrix(tuple(languages), tuple(rows))


def name_of(text: str, webinars: Sequence[Webinar]) -> str:
    """The name of a text in words."""
    return _name(text, _senders(webinars).get(text, []))


def _senders(webinars: Sequence[Webinar]) -> Mapping[str, list[tuple[Webinar, Message | None]]]:
    """The webinars that send each text, with the message that has it; None for a notice."""
    senders: dict[str, list[tuple[Webinar, Message | None]]] = {}
    for webinar in webinars:
        for message in webinar.messages:
            senders.setdefault(message.text_name, []).append((webinar, message))
        for notice in NOTICES:
            senders.setdefault(notice, []).append((webinar, None))
    return senders


def _place(text: str, senders: Sequence[tuple[Webinar, Message | None]]) -> tuple[int, timedelta, str]:
    """The key by which texts stand in the order of leaving: the sequence, the notices, texts that no webinar sends."""
    if offsets := [_offset(webinar, message) for webinar, message in senders if message]:
        return 0, min(offsets), text
    return (1 if text in NOTICES else 2), timedelta(), text


def _offset(webinar: Webinar, message: Message) -> timedelta:
    """When the message leaves in the webinar's zone, counted from the start; a confirmation leaves first."""
    due = next(one.due_at for one in timings(webinar, webinar.tz) if one.message == message.id)
    return due - webinar.start if due else timedelta.min


def _name(text: str, senders: Sequence[tuple[Webinar, Message | None]]) -> str:
    """The name of a text in words. Where webinars send it by different rules, the rules are left out."""
    messages = [message for _, message in senders if message]
    if not messages:
        return _NAMES.get(text) or text.replace("-", " ").capitalize()
    kinds = dict.fromkeys(message.kind.capitalize() for message in messages)
    rules = {rule_in_words(message) for message in messages if not message.on_registration}
    called = " or ".join(kinds)
    return f"{called}, {rules.pop()}" if len(rules) == 1 else called


def _cell(text: ListedText | None, rehearsed: bool) -> Cell | None:
    if text is None:
        return None
    state = STATES.get(text.state) or ("reviewed" if text.reviewed_by else "not reviewed")
    if text.state == "sound" and text.older:
        state = "older than English"
    details = [text.problems[0].found] if text.problems else []
    if len(text.problems) > 1:
        details.append(f"and {len(text.problems) - 1} more")
    if state in _BAD:
        details.append(meanwhile(text.state, rehearsed=rehearsed))
    if text.state == "missing":
        details.append("another language stands in")
    if text.waiting:
        details.append(f"waiting now: {text.waiting}")
    return Cell(text.language, state, tuple(details))
