"""Which text a reader gets: the current one of a message in the nearest language."""

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
    """The id of its revision; 0: none governs yet, and this is the file's text, sound with some webinars so far."""


@dataclass(frozen=True)
class Texts:
    """Every text that may go out, and the problems of the files in this service's folder."""

    current: Mapping[Key, CurrentText] = field(default_factory=dict)
    problems: Mapping[Key, tuple[Problem, ...]] = field(default_factory=dict)
    only_with: Mapping[Key, Mapping[str, tuple[Problem, ...]]] = field(default_factory=dict)
    """For texts that are unsound only with some webinars: the problems by webinar."""
    fixed_with: Mapping[Key, frozenset[str]] = field(default_factory=dict)
    """For texts whose fixed file does not govern yet: the webinars with which it was unsound."""

    def find(self, webinar: Webinar, message: str, wanted: str) -> CurrentText | None:
        """The text for a reader who wants this language; None: the delivery must be held."""
        key = self._key(webinar, message, wanted)
        return None if key is None or self.waits(webinar, key) else self.current[key]

    def problems_with(self, webinar: Webinar, key: Key) -> tuple[Problem, ...]:
        """The problems of a text's file that concern this webinar."""
        return problems_with(self.problems, self.only_with, webinar.id, key)

    def waits(self, webinar: Webinar, key: Key) -> bool:
        """Whether mails wait for a sound text: there never was one, or the file is not sound with this webinar,
        which says `on_broken = "hold"`. Then they wait for the fixed text, not for the one before the mistake."""
        text = self.current.get(key)
        if text is None:
            return True
        if webinar.on_broken == "hold" and webinar.id in self.fixed_with.get(key, ()):
            return True
        return (webinar.on_broken == "hold" or not text.revision) and bool(self.problems_with(webinar, key))

    def _key(self, webinar: Webinar, message: str, wanted: str) -> Key | None:
        asked = webinar.languages, webinar.text_of.get(message, message), wanted
        if asked in self._keys:
            return self._keys[asked]
        key = text_key(webinar, message, wanted, (*self.current, *self.problems))
        if wanted in webinar.languages:  # strangers may have typed anything, which must not fill the cache
            self._keys[asked] = key
        return key

    @cached_property
    def _keys(self) -> dict[tuple[Sequence[str], str, str], Key | None]:
        """A cache of `_key`, which is called for each mail."""
        return {}


def text_key(webinar: Webinar, message: str, wanted: str, existing: Iterable[Key]) -> Key | None:
    """The existing text that a reader who wants this language gets; None: there is none in any language."""
    text = webinar.text_of.get(message, message)
    languages = {key[1] for key in existing if key[0] == text}
    available = [language for language in webinar.languages if language in languages]
    return (text, text_language(wanted, available, webinar.languages[0])) if available else None


Key = tuple[str, str]  # message, language


def problems_with(
    problems: Mapping[Key, tuple[Problem, ...]],
    only_with: Mapping[Key, Mapping[str, tuple[Problem, ...]]],
    webinar: str,
    key: Key,
) -> tuple[Problem, ...]:
    """The problems of a text that concern this webinar."""
    return only_with[key].get(webinar, ()) if key in only_with else problems.get(key, ())
