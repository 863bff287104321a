"""What is tried: each text alone and with each webinar that sends it. A pair is known by a digest of all that counts.

Pure. The digest is over what the trial reads, so that an edit of a rule, of the status or of another text leaves it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from scheduler.mail.text.layout import Layout
from scheduler.mail.texts import Key, problems_with
from scheduler.problem import Problem
from scheduler.webinar.model import Webinar
from scheduler.zones.wall import tz_version

UNSEEN = frozenset({"alert_to", "again", "keep_days", "notice_after", "on_broken", "on_doubt", "status"})
"""What of a webinar no trial reads; of its messages it reads the kinds."""
_WORDS = frozenset({"title", "about", "how_to_join", "organizers", "host", "translations"})
_PACKAGES = ("babel", "css-inline", "jinja2", "markdown-it-py", "markupsafe", "pydantic")
CODE = ("mail", "input", "zones", "child_process.py", "problem.py", "webinar")
"""Our modules that take part in a trial."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A text, and a webinar that it is filled in for; None: the text alone, whether it can be read at all."""

    key: Key
    webinar: Webinar | None
    digest: str
    concerns: str
    """The id of the webinar that its problems concern; "": whoever uses the text."""


@dataclass(frozen=True)
class Verdicts:
    """What is known of each text."""

    problems: Mapping[Key, tuple[Problem, ...]] = field(default_factory=dict)
    """Of each text with mistakes; the first of each kind is enough, for one cause shows with every webinar."""
    only_with: Mapping[Key, Mapping[str, tuple[Problem, ...]]] = field(default_factory=dict)
    """The same by webinar, where a text can be read and its mistakes show with these."""
    untried: frozenset[Key] = frozenset()
    """Texts of which not everything is known."""
    sound: frozenset[Key] = frozenset()
    """Texts that are sound with every webinar that uses them."""
    begun: frozenset[Key] = frozenset()
    """Texts that are sound with one at least."""
    why_untried: str = ""

    def problems_with(self, webinar: str, key: Key) -> tuple[Problem, ...]:
        """What is wrong with a text where this webinar sends it."""
        return problems_with(self.problems, self.only_with, webinar, key)


def pairs_of(sources: Mapping[Key, str], webinars: Sequence[Webinar], layout: Layout) -> list[Pair]:
    """Every text alone, then with the webinars that use it, the next to begin first. One that nobody uses is tried with
    some webinar: it may be written before it is used."""
    around = f"{program()}\0{_layout_digest(layout)}"
    texts = {key: _digest(around, *key, source) for key, source in sources.items()}
    alone = [Pair(key, None, digest, "") for key, digest in sorted(texts.items())]
    left, used = dict(texts), []
    for webinar in sorted(webinars, key=lambda one: (one.start, one.id)):
        for key, digest in _digests_with(webinar, texts):
            used.append(Pair(key, webinar, digest, webinar.id))
            left.pop(key, None)
    stand_in = min(webinars, key=lambda one: (one.start, one.id), default=None)
    if stand_in is None:
        return alone
    unused = [
        Pair(key, stand_in, _digest_with(stand_in, key, left[key], _seen_of(stand_in, key[1])), "")
        for key in sorted(left, key=lambda key: (key[1], key[0]))
    ]
    return [*alone, *used, *unused]


def _digests_with(webinar: Webinar, texts: Mapping[Key, str]) -> Iterator[tuple[Key, str]]:
    messages = webinar.text_names
    for language in webinar.languages:
        seen = ""
        for message in messages:
            if (key := (message, language)) in texts:
                seen = seen or _seen_of(webinar, language)
                yield key, _digest_with(webinar, key, texts[key], seen)


def _digest_with(webinar: Webinar, key: Key, text: str, seen: str) -> str:
    return _digest(text, *(webinar.demands_of(key[0]) or key[:1]), seen)


def _seen_of(webinar: Webinar, language: str) -> str:
    """What a trial in this language reads of a webinar."""
    rest = webinar.model_dump_json(exclude={*UNSEEN, *_WORDS, "messages"})
    return f"{rest}\0{webinar.words(language).model_dump_json()}"


def _layout_digest(layout: Layout) -> str:
    pictures = {name: sha256(content).hexdigest() for name, content in layout.images.items()}
    return _digest(layout.page, json.dumps([sorted(layout.pieces.items()), sorted(pictures.items())]))


def _digest(*parts: str) -> str:
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


@cache
def program() -> str:
    """Who tries: our own code, and the packages and the tz database that it works with."""
    digest = sha256(repr((sys.version_info[:2], tz_version(), *map(version, _PACKAGES))).encode())
    root = Path(__file__).parents[2]
    for place in CODE:
        paths = [root / place] if place.endswith(".py") else sorted((root / place).rglob("*"))
        for path in paths:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"\0{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def verdicts_of(
    pairs: Sequence[Pair],
    known: Mapping[str, tuple[Problem, ...]],
    root: Path,
    before: Verdicts = Verdicts(),
) -> Verdicts:
    """What follows for each text from what is `known` by digest. What was wrong `before` stays so until that pair has
    been tried: an edit is no sign that it is right again."""
    collected = _Collected(before)
    for pair in pairs:
        problems = known.get(pair.digest)
        collected.add(pair, None if problems is None else tuple(_placed(one, root) for one in problems))
    return collected.verdicts()


def untried(pairs: Sequence[Pair], known: Mapping[str, tuple[Problem, ...]]) -> list[Pair]:
    """Those that are still to be tried. A text that can't be read need not be tried with webinars."""
    unreadable = {pair.key for pair in pairs if pair.webinar is None and known.get(pair.digest)}
    return [pair for pair in pairs if pair.digest not in known and pair.key not in unreadable]


class _Collected:
    """The verdicts of pairs, put together for each text."""

    def __init__(self, before: Verdicts) -> None:
        self._before = before
        self._texts: set[Key] = set()
        self._general: dict[Key, tuple[Problem, ...]] = {}
        self._only_with: dict[Key, dict[str, tuple[Problem, ...]]] = {}
        self._untried: set[Key] = set()
        self._begun: set[Key] = set()

    def add(self, pair: Pair, problems: tuple[Problem, ...] | None) -> None:
        """A pair with what is wrong with it; None: nothing is known of it."""
        key = pair.key
        self._texts.add(key)
        if pair.webinar and key in self._general:
            return
        if problems is None:
            self._untried.add(key)
            problems = self._as_before(pair)
        elif pair.webinar and not problems:
            self._begun.add(key)
        if problems and pair.concerns:
            self._only_with.setdefault(key, {})[pair.concerns] = problems
        elif problems:
            self._general[key] = problems

    def _as_before(self, pair: Pair) -> tuple[Problem, ...]:
        if pair.concerns:
            return self._before.problems_with(pair.concerns, pair.key)
        return () if pair.key in self._before.only_with else self._before.problems.get(pair.key, ())

    def verdicts(self) -> Verdicts:
        problems = dict(self._general)
        for key, by_webinar in self._only_with.items():
            kinds: dict[str, Problem] = {}
            for problem in (one for found in by_webinar.values() for one in found):
                kinds.setdefault(problem.found, problem)
            problems[key] = tuple(kinds.values())
        sound = self._texts - problems.keys() - self._untried
        return Verdicts(
            problems, self._only_with, frozenset(self._untried), frozenset(sound), frozenset(self._begun)
        )


def _placed(problem: Problem, root: Path) -> Problem:
    """With the folder's place in front, which each service has for itself."""
    return Problem(str(root / problem.place), problem.found, problem.allowed, problem.hint)
