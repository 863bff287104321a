"""Mistakes in how the keys of a webinar's file go together.

They are found in the parsed file rather than in the validated models: pydantic skips model validators once a key is
wrong, and an organizer wants to see every mistake at once. So nothing here relies on the type of a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from scheduler.input.placeholders import placeholders_in
from scheduler.input.validation import Location, Mistake, shown
from scheduler.problem import nearest
from scheduler.webinar.questions import question_mistakes
from scheduler.webinar.source import source_mistakes

RULES = ("on_registration", "before_start", "after_end", "days_before", "days_after")
MOST_LANGUAGES = 200
MARKUP = re.compile(
    r"\*\*[^*\n]{1,100}\*\*|\[[^\[\]\n]{1,100}\]\([^()\n]{1,200}\)|</?(?:b|i|u|em|strong|br|p|a|span|div|ul|li)\b[^<>\n]{0,200}>"
    r"|&(?:#\d{1,6}|#x[0-9a-fA-F]{1,6}|[A-Za-z]{2,8}\d?);",
    re.IGNORECASE,
)
"""Markdown and HTML. In plain text readers see its characters."""
_ONE_RULE = f"exactly one of {', '.join(RULES)}"
_PLACEHOLDER = re.compile(
    r"(?<![\w.-])(?:(?:[\w-]+\.)*(?:example\.(?:org|com|net)|[\w-]+\.(?:example|invalid)|localhost)"
    r"|127(?:\.\d+){3}|\[::1\])(?![\w-]|\.\w)",
    re.IGNORECASE,
)


def mistakes_together(raw: Mapping[str, Any]) -> Iterator[Mistake]:
    """The mistakes of a parsed file that concern more than one key."""
    messages = raw.get("messages")
    tables = messages if isinstance(messages, list) else []
    first: dict[str, int] = {}
    for index, message in enumerate(tables):
        if not isinstance(message, dict):
            continue
        for one in _rule_mistakes(message):
            yield one._replace(loc=("messages", index, *one.loc))
        name = message.get("id")
        if isinstance(name, str) and first.setdefault(name, index) != index:
            found = f"{shown(name)}, also the id of messages[{first[name] + 1}]"
            yield Mistake(("messages", index, "id"), found, "an id of its own")
    yield from _language_mistakes(raw)
    yield from _unfilled(raw)
    yield from source_mistakes(raw)
    yield from question_mistakes(raw)
    if raw.get("status") == "live":  # [source] is not in any mail
        yield from placeholder_mistakes({key: value for key, value in raw.items() if key != "source"})


def placeholder_mistakes(texts: Mapping[str, Any]) -> Iterator[Mistake]:
    """Content that must not go out: an empty join link, and names reserved for examples (RFC 2606).

    Domains under .test are allowed, so that a live webinar can be tried out.
    """
    if not texts.get("join_url"):
        yield Mistake(("join_url",), "is empty", "a link, as status is live")
    for loc, text in _strings(texts):
        if found := _PLACEHOLDER.search(text):
            yield Mistake(loc, f"the placeholder {found[0]}", "the real value before it is live")


WORDS = ("title", "about", "how_to_join", "organizers", "host")
"""The keys whose words mails quote."""


def _unfilled(raw: Mapping[str, Any]) -> Iterator[Mistake]:
    """Placeholders that nothing fills in: the words of this file go out as they are."""
    own = {key: raw[key] for key in (*WORDS, "sender", "reply_to") if key in raw}
    for loc, text in _strings({**own, "translations": raw.get("translations", {})}):
        for one in placeholders_in(text):
            if one.certain:
                yield Mistake(
                    loc,
                    f"`{one.words}`, which would go out as it is",
                    "words; only the texts in templates/ are filled in",
                    "leave it out here",
                )


def doubtful_words(webinar: Mapping[str, Any]) -> Iterator[Mistake]:
    """Likely mistakes in the file's own words, each of which mails show as plain text."""
    own = {key: webinar[key] for key in (*WORDS, "translations") if key in webinar}
    for loc, text in _strings(own):
        for one in placeholders_in(text):
            if not one.certain:
                yield Mistake(
                    loc,
                    f"`{one.words}`, which goes out as it is",
                    "",
                    "does something still have to be filled in?",
                )
        for match in MARKUP.finditer(text):
            found = f"`{match[0]}`, which readers see as typed: these words are neither Markdown nor HTML"
            yield Mistake(loc, found, "plain words")


def _rule_mistakes(message: Mapping[str, Any]) -> Iterator[Mistake]:
    given = [rule for rule in RULES if message.get(rule, False) is not False]
    if len(given) != 1:
        found = f"{len(given)} rules: {', '.join(given)}" if given else "no rule that says when it is due"
        yield Mistake((), found, _ONE_RULE)
    by_day = [rule for rule in ("days_before", "days_after") if rule in given]
    if by_day and "at" not in message:
        yield Mistake(("at",), "is missing", f'a time in 24-hour form with {by_day[0]}, such as "09:00"')
    for key in ("at", "clock"):
        if key in message and given and not by_day:
            yield Mistake((key,), f"is set with {given[0]}", "only with days_before or days_after")
    if message.get("also_for_registered") is True and given and "on_registration" not in given:
        yield Mistake(("also_for_registered",), f"is set with {given[0]}", "only with on_registration = true")


def _language_mistakes(raw: Mapping[str, Any]) -> Iterator[Mistake]:
    languages, translations = raw.get("languages"), raw.get("translations")
    tags = [tag for tag in languages if isinstance(tag, str)] if isinstance(languages, list) else []
    if len(tags) > MOST_LANGUAGES:
        yield Mistake(("languages",), f"{len(tags)} languages", f"at most {MOST_LANGUAGES}")
        return
    known = [tag.casefold() for tag in tags]
    if twice := [tag for tag in tags if known.count(tag.casefold()) > 1]:
        yield Mistake(("languages",), f"{shown(twice[-1])} twice", "each language once")
    others = ", ".join(tags[1:])
    for tag in translations if isinstance(translations, dict) and tags else ():
        if tag.casefold() == known[0]:
            found = f"{shown(tag)} is the first of languages: its texts belong at the top of the file"
            yield Mistake(("translations", tag), found, others)
        elif tag.casefold() not in known:
            hint = nearest(tag, tags) or "add it to languages, or remove its texts"
            yield Mistake(("translations", tag), f"{shown(tag)} is not one of languages", others, hint)


def _strings(value: Any, loc: Location = ()) -> Iterator[tuple[Location, str]]:
    if isinstance(value, str):
        yield loc, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _strings(inner, (*loc, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _strings(inner, (*loc, index))
