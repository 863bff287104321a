"""Trials of texts without the child process, which tests/mail/trial/test_runner.py tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from scheduler.mail.text.layout import Layout
from scheduler.mail.texts import Key
from scheduler.mail.trial.pairs import Pair
from scheduler.mail.trial.runner import KNOWN, Found
from scheduler.problem import Problem

IsBroken = Callable[[str, Layout, Pair], bool]


@contextmanager
def quick_trials(monkeypatch: pytest.MonkeyPatch, is_broken: IsBroken) -> Iterator[list[Pair]]:
    """What is broken is known at once. Yields the pairs that were tried; what is known before counts as unknown."""
    tried: list[Pair] = []

    def try_pairs(
        pairs: Sequence[Pair],
        sources: Mapping[Key, str],
        layout: Layout,
        record: Callable[[str, Found], None],
        *_: Any,
        **__: Any,
    ) -> None:
        for pair in pairs:
            tried.append(pair)
            message, language = pair.key
            problem = Problem(f"{message}/{language}.md", "broken")
            broken = is_broken(sources[pair.key], layout, pair)
            record(pair.digest, (problem,) if broken else ())

    before = dict(KNOWN)
    KNOWN.clear()
    monkeypatch.setattr("scheduler.governing.trials.try_pairs", try_pairs)
    yield tried
    KNOWN.clear()
    KNOWN.update(before)
