"""Which text a reader gets: of each message and language the current one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from scheduler.mail.text.templates import Text
from scheduler.mail.words.wording import text_language
from scheduler.problem import Problem
from scheduler.webinar.model import Webinar


@dataclass(frozen=True)
class CurrentText:
    """A text that goes out, ready to render."""

    text: Text
    language: str
    revision: int
    """The one that governs; 0: none does yet, and this is the file's, sound with some webinars so far."""


@dataclass(frozen=True)
class Texts:
    """Every text that may go out, and what is wrong with the files of our folder."""

    live: Mapping[Key, CurrentText] = field(default_factory=dict)
    problems: Mapping[Key, tuple[Problem, ...]] = field(default_factory=dict)
    only_with: Mapping[Key, Mapping[str, tuple[Problem, ...]]] = field(default_factory=dict)
    """The problems of those texts that are unsound with some webinars, by these."""

    def find(self, webinar: Webinar, message: str, wanted: str) -> CurrentText | None:
        """The text for a reader who wants this language; None: the delivery must be held."""
        key = self._key(webinar, message, wanted)
        return None if key is None or self.waits(webinar, key) else self.live[key]

    def problems_with(self, webinar: Webinar, key: Key) -> tuple[Problem, ...]:
        """What is wrong with the file of a text where this webinar sends it."""
        return problems_with(self.problems, self.only_with, webinar.id, key)

    def waits(self, webinar: Webinar, key: Key) -> bool:
        """Whether mails wait for a sound text: there never was one, or its file is not sound with this webinar, which
        says `on_broken = "hold"`."""
        live = self.live.get(key)
        if live is None:
            return True
        return (webinar.on_broken == "hold" or not live.revision) and bool(self.problems_with(webinar, key))

    def _key(self, webinar: Webinar, message: str, wanted: str) -> Key | None:
        asked = webinar.languages, webinar.text_of.get(message, message), wanted
        if asked in self._keys:
            return self._keys[asked]
        key = text_key(webinar, message, wanted, (*self.live, *self.problems))
        if wanted in webinar.languages:  # not whatever strangers may have typed
            self._keys[asked] = key
        return key

    @cached_property
    def _keys(self) -> dict[tuple[Sequence[str], str, str], Key | None]:
        """What was asked for before: it is asked for each mail."""
        return {}


def text_key(webinar: Webinar, message: str, wanted: str, there: Iterable[Key]) -> Key | None:
    """Which of the texts that are `there` a reader who wants this language gets; None: there is none for anybody."""
    text = webinar.text_of.get(message, message)
    languages = {key[1] for key in there if key[0] == text}
    available = [language for language in webinar.languages if language in languages]
    return (text, text_language(wanted, available, webinar.languages[0])) if available else None


Key = tuple[str, str]  # message, language


def problems_with(
    problems: Mapping[Key, tuple[Problem, ...]],
    only_with: Mapping[Key, Mapping[str, tuple[Problem, ...]]],
    webinar: str,
    key: Key,
) -> tuple[Problem, ...]:
    """What is wrong with a text where this webinar sends it."""
    return only_with[key].get(webinar, ()) if key in only_with else problems.get(key, ())
