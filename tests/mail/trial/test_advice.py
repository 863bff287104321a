"""Advice about sound texts for their editors."""

from __future__ import annotations

import pytest

from scheduler.mail.text.templates import LARGEST_HTML
from scheduler.mail.trial.advice import advice
from scheduler.mail.writing.sample import sample_reader
from scheduler.web.organizers.trial import Trial, answer_to
from tests.mail.samples import layout
from tests.support import webinar

TITLE = "Buying health products"


def _told(subject: str = "Soon", html: str = "") -> list[str]:
    return [str(problem) for _, problem in advice("Hello\n", "x/en.md", "en", webinar(), subject, html)]


@pytest.mark.parametrize(
    ("subject", "long"),
    [
        (f"Starts tomorrow: {TITLE}", False),
        (f"{TITLE}: your link to join, and what to do if it does not work", True),
        ("x" * 40, False),
        ("x" * 41, True),
    ],
)
def test_a_subject_whose_own_words_a_telephone_cuts_off_is_named(subject: str, long: bool) -> None:
    assert bool(_told(subject)) == long


def test_a_mail_that_gmail_would_cut_off_is_named() -> None:
    assert _told(html="x" * (LARGEST_HTML - 1)) == []
    assert "Gmail" in _told(html="ü" * (LARGEST_HTML // 2))[0]


def test_what_likely_is_not_meant_is_said_beside_the_mail() -> None:
    source = "---\nsubject: Soon\npreheader: Soon\n---\nSee the [link].\n\nWHO\nAvenue Appia 20\n"
    trial = Trial(
        source, "follow-up/en.md", "follow-up", layout(), webinar(), sample_reader(webinar()), False, False
    )
    answer = answer_to(trial)
    assert answer["problems"] == []
    assert [(wrong, one["place"], one["found"]) for wrong, one in answer["advice"]] == [
        (False, "follow-up/en.md, line 5", "`[link]`, a placeholder of another tool"),
        (False, "follow-up/en.md, line 7", "a short line, which the mail joins with the next one"),
    ]
