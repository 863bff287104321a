"""What a verdict depends on: a pair with a known digest is not tried again."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import scheduler
from scheduler.mail.text.layout import Layout
from scheduler.mail.trial import pairs
from scheduler.mail.trial.cases import cases
from scheduler.mail.trial.checks import problems_of
from scheduler.mail.trial.pairs import UNSEEN, Verdicts, pairs_of, verdicts_of
from scheduler.problem import Problem
from scheduler.webinar.model import Webinar
from tests.mail.samples import layout, png, shipped_sources, webinar

KEY = ("confirmation", "en")
ROOT = Path("texts")


def digest(one: Webinar, around: Layout | None = None, source: str = "Hello", key: Any = KEY) -> str:
    return next(
        pair.digest for pair in pairs_of({key: source}, [one], around or layout()) if pair.concerns == one.id
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"status": "live"},
        {"alert_to": "others@example.org"},
        {"on_broken": "hold"},
        {"messages": webinar().messages[:1]},
    ],
)
def test_what_no_trial_reads_leaves_the_verdict(changed: dict[str, Any]) -> None:
    assert digest(webinar().model_copy(update=changed)) == digest(webinar())


def test_a_trial_reads_nothing_else_of_a_webinar_than_its_digest_has() -> None:
    seen = {name: value for name, value in vars(webinar()).items() if name not in UNSEEN}
    partial = Webinar.model_construct(**seen)
    for name in UNSEEN:
        partial.__dict__.pop(name, None)
    with pytest.raises(AttributeError):
        _ = partial.status
    source = shipped_sources()[KEY]
    assert (
        problems_of(source, "confirmation/en.md", "confirmation", layout(), list(cases(partial, "en"))) == ()
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"title": '"Another title"'},
        {"start": "2025-07-03T13:30:00"},
        {"zone": '"Africa/Nairobi"'},
        {"join_url": '""'},
        {"sender": '"webinar@example.org"'},
        {"how_to_join": '"Come early."'},
        {"id": '"another"'},
    ],
)
def test_what_a_trial_reads_asks_for_a_new_one(changed: dict[str, str]) -> None:
    assert digest(webinar(**changed)) != digest(webinar())


def test_the_words_of_one_language_concern_its_texts_alone() -> None:
    french = webinar().translations["fr"].model_copy(update={"title": "Un autre titre"})
    edited = webinar().model_copy(update={"translations": {"fr": french}})
    assert digest(edited) == digest(webinar())
    key = ("confirmation", "fr")
    assert digest(edited, key=key) != digest(webinar(), key=key)


def test_the_text_the_layout_its_pictures_and_the_program_count(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(webinar())
    with_picture = replace(layout(), images={"logo.png": png()})
    with_another = replace(layout(), images={"logo.png": png(16)})
    other_page = replace(layout(), page=layout().page + " ")
    found = {
        before,
        digest(webinar(), source="Hello you"),
        digest(webinar(), with_picture),
        digest(webinar(), with_another),
        digest(webinar(), other_page),
    }
    monkeypatch.setattr(pairs, "program", lambda: "another")
    assert len({*found, digest(webinar())}) == 6


def test_all_our_code_that_tries_is_part_of_the_digest() -> None:
    script = "import json, sys, scheduler.mail.trial.child; print(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    ours = [name for name in json.loads(done.stdout) if name.startswith("scheduler.")]
    root = Path(scheduler.__file__).parent
    known = {(root / place).with_suffix("") for place in pairs.CODE}
    assert [
        name for name in ours if not {path := root.parent / name.replace(".", "/"), *path.parents} & known
    ] == []


def test_a_text_is_tried_with_the_webinars_that_use_it_and_with_some_where_none_does() -> None:
    first = webinar()
    second = webinar(id='"second"', start="2025-07-03T13:30:00").model_copy(update={"languages": ("en",)})
    sources = {("confirmation", "en"): "a", ("confirmation", "fr"): "b", ("confirmation", "ru"): "c"}
    found = [(pair.key[1], pair.webinar and pair.webinar.id, pair.concerns) for pair in
             pairs_of(sources, [second, first], layout())]  # fmt: skip
    assert found == [
        ("en", None, ""),
        ("fr", None, ""),
        ("ru", None, ""),
        ("en", "procurement", "procurement"),
        ("fr", "procurement", "procurement"),
        ("en", "second", "second"),
        ("ru", "procurement", ""),
    ]


WRONG = Problem("confirmation/en.md", "broken")
PLACED = Problem("texts/confirmation/en.md", "broken")


def three(*found: tuple[Problem, ...] | None, before: Verdicts = Verdicts()) -> Verdicts:  # noqa: B008
    """What follows of a text alone, with a webinar and with another one; None: not tried."""
    both = [webinar(), webinar(id='"zebra"')]
    all_ = pairs_of({KEY: "Hello"}, both, layout())
    known = {pair.digest: one for pair, one in zip(all_, found, strict=True) if one is not None}
    return verdicts_of(all_, known, ROOT, before)


def test_a_mistake_that_shows_with_one_webinar_concerns_that_one() -> None:
    found = three((), (), (WRONG,))
    assert found.problems == {KEY: (PLACED,)}
    assert found.problems_with("procurement", KEY) == ()
    assert found.problems_with("zebra", KEY) == (PLACED,)
    assert found.begun == {KEY}
    assert found.sound == found.untried == frozenset()


def test_a_text_that_cannot_be_read_concerns_all_and_is_tried_with_none() -> None:
    found = three((WRONG,), None, None)
    assert found.problems_with("procurement", KEY) == found.problems_with("zebra", KEY) == (PLACED,)
    assert found.untried == frozenset()
    assert pairs.untried(pairs_of({KEY: "Hello"}, [webinar()], layout()), {}) != []


def test_what_was_wrong_stays_so_until_it_is_tried() -> None:
    before = three((), (), (WRONG,))
    waiting = three((), None, None, before=before)
    assert waiting.problems_with("procurement", KEY) == ()
    assert waiting.problems_with("zebra", KEY) == (PLACED,)
    assert waiting.untried == {KEY}
    assert three((), (), (), before=waiting).sound == {KEY}
    unreadable = three((WRONG,), None, None)
    assert three(None, None, None, before=unreadable).problems == {KEY: (PLACED,)}


def test_a_fixed_text_is_waited_for_until_it_is_tried_with_all_webinars() -> None:
    """Until then the text from before the mistake governs, which `on_broken = "hold"` keeps from going out."""
    broken = three((WRONG,), None, None)
    fixing = three((), (), None, before=broken)
    assert fixing.problems_with("procurement", KEY) == ()
    assert fixing.fixed_with == {KEY: {"procurement"}}
    assert three((), (), None, before=fixing).fixed_with == fixing.fixed_with, "at each look"
    assert three((), (), (), before=fixing).fixed_with == {}
    assert three((), (), None).fixed_with == {}, "nothing was wrong before"


def test_an_untried_pair_has_no_verdict() -> None:
    found = three(None, None, None)
    assert found == Verdicts(untried=frozenset({KEY}))
