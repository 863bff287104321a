"""Texts are tried as the child tries them, without its process and its limits: it takes half a second to start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from unittest.mock import patch

from scheduler.mail.text.layout import Layout
from scheduler.mail.texts import Key
from scheduler.mail.trial import runner
from scheduler.mail.trial.cases import cases
from scheduler.mail.trial.checks import problems_of
from scheduler.mail.trial.pairs import Pair
from scheduler.mail.trial.runner import Found


def without_a_child() -> AbstractContextManager[object]:
    """For commands and `check_texts`; tests/mail/trial/test_runner.py is about the child."""
    return patch.object(runner, "try_pairs", _try_here)


def _try_here(
    pairs: Sequence[Pair],
    sources: Mapping[Key, str],
    layout: Layout,
    told: Callable[[str, Found], None],
    enough: Callable[[], bool],
) -> None:
    for pair in pairs:
        message, language = pair.key
        fillings = list(cases(pair.webinar, language)) if pair.webinar else ()
        told(
            pair.digest, problems_of(sources[pair.key], f"{message}/{language}.md", message, layout, fillings)
        )
