"""Pairs to be tried: each text alone, and with each webinar that sends it. Pure.

A pair is identified by a digest of everything that its trial reads, so edits of a rule, the status or another text do
not change it.
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

UNSEEN = frozenset(
    {"alert_to", "again", "capacity", "consent", "doors_open", "join_link", "keep_days", "notice_after", "on_broken",
     "on_doubt", "questions", "registration", "status"}
)  # fmt: skip
"""The fields of a webinar that no trial reads; of its messages a trial reads only their purposes."""
_WORDS = frozenset({"title", "about", "how_to_join", "organizers", "host", "translations"})
_PACKAGES = ("babel", "css-inline", "jinja2", "markdown-it-py", "markupsafe", "pydantic")
CODE = ("mail", "input", "zones", "child_process.py", "problem.py", "webinar")
"""The modules of this program that take part in a trial."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A text and a webinar for which it is filled in; None: the text alone is parsed."""

    key: Key
    webinar: Webinar | None
    digest: str
    concerns: str
    """The id of the webinar that the pair's problems concern; "": all that use the text."""


@dataclass(frozen=True)
class Verdicts:
    """The known results of trials, by text."""

    problems: Mapping[Key, tuple[Problem, ...]] = field(default_factory=dict)
    """The mistakes of each unsound text. Only the first of each kind: one cause shows with every webinar."""
    only_with: Mapping[Key, Mapping[str, tuple[Problem, ...]]] = field(default_factory=dict)
    """For texts that can be parsed and are unsound with some webinars: the mistakes by webinar."""
    untried: frozenset[Key] = frozenset()
    """Texts with a pair that has not been tried."""
    sound: frozenset[Key] = frozenset()
    """Texts that are sound with every webinar that uses them."""
    begun: frozenset[Key] = frozenset()
    """Texts that are sound with at least one webinar."""
    fixed_with: Mapping[Key, frozenset[str]] = field(default_factory=dict)
    """For texts with untried pairs, which do not govern yet: the webinars with which a mistake is fixed."""
    why_untried: str = ""

    def problems_with(self, webinar: str, key: Key) -> tuple[Problem, ...]:
        """The mistakes of a text that concern this webinar."""
        return problems_with(self.problems, self.only_with, webinar, key)


def pairs_of(sources: Mapping[Key, str], webinars: Sequence[Webinar], layout: Layout) -> list[Pair]:
    """Every text alone, then with the webinars that use it, the next to start first. A text that no webinar uses
    is tried with some webinar, since it may be written before it is used."""
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
    """The part of a webinar that a trial in this language reads."""
    rest = webinar.model_dump_json(exclude={*UNSEEN, *_WORDS, "messages"})
    return f"{rest}\0{webinar.words(language).model_dump_json()}"


def _layout_digest(layout: Layout) -> str:
    pictures = {name: sha256(content).hexdigest() for name, content in layout.images.items()}
    return _digest(layout.page, json.dumps([sorted(layout.pieces.items()), sorted(pictures.items())]))


def _digest(*parts: str) -> str:
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


@cache
def program() -> str:
    """A digest of what runs the trial: this program's code, its packages and the tz database."""
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
    """The verdict on each text from the pairs whose result is `known`, by digest. A mistake from `before` stays until
    its pair has been tried: an edit alone does not show that it is fixed."""
    collected = _Collected(before)
    for pair in pairs:
        problems = known.get(pair.digest)
        collected.add(pair, None if problems is None else tuple(_placed(one, root) for one in problems))
    return collected.verdicts()


def untried(pairs: Sequence[Pair], known: Mapping[str, tuple[Problem, ...]]) -> list[Pair]:
    """The pairs that are still to be tried. A text that cannot be parsed is not tried with webinars."""
    unreadable = {pair.key for pair in pairs if pair.webinar is None and known.get(pair.digest)}
    return [pair for pair in pairs if pair.digest not in known and pair.key not in unreadable]


class _Collected:
    """Collects the results of pairs into verdicts by text."""

    def __init__(self, before: Verdicts) -> None:
        self._before = before
        self._texts: set[Key] = set()
        self._general: dict[Key, tuple[Problem, ...]] = {}
        self._only_with: dict[Key, dict[str, tuple[Problem, ...]]] = {}
        self._untried: set[Key] = set()
        self._begun: set[Key] = set()
        self._fixed_with: dict[Key, set[str]] = {}

    def add(self, pair: Pair, problems: tuple[Problem, ...] | None) -> None:
        """Add a pair's problems; None: it has not been tried."""
        key = pair.key
        self._texts.add(key)
        if pair.webinar and key in self._general:
            return
        if problems is None:
            self._untried.add(key)
            problems = self._as_before(pair)
        elif pair.webinar and not problems:
            self._begun.add(key)
            if self._was_wrong(pair):
                self._fixed_with.setdefault(key, set()).add(pair.concerns)
        if problems and pair.concerns:
            self._only_with.setdefault(key, {})[pair.concerns] = problems
        elif problems:
            self._general[key] = problems

    def _was_wrong(self, pair: Pair) -> bool:
        fixed = self._before.fixed_with.get(pair.key, frozenset())
        return bool(self._before.problems_with(pair.concerns, pair.key)) or pair.concerns in fixed

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
        fixed = {key: frozenset(ids) for key, ids in self._fixed_with.items() if key in self._untried}
        return Verdicts(
            problems,
            self._only_with,
            frozenset(self._untried),
            frozenset(sound),
            frozenset(self._begun),
            fixed_with=fixed,
        )


def _placed(problem: Problem, root: Path) -> Problem:
    """The problem with its place below `root`, the service's own folder."""
    return Problem(str(root / problem.place), problem.found, problem.allowed, problem.hint)
