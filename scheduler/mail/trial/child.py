"""The child that tries texts, under limits of the kernel.

Jinja2's sandbox does not bound time and memory (`'a' * 10**8`, loops in loops), and rendering cannot be interrupted
from inside. So each pair of a text and a webinar has 1 s of CPU, whatever else the machine does meanwhile, and 256 MB
more than the child had before it.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scheduler.child_process import MEMORY, let_timer_end_it, limit_memory
from scheduler.mail.text.layout import Layout
from scheduler.mail.trial.cases import Case, cases
from scheduler.mail.trial.checks import problems_of
from scheduler.problem import Problem
from scheduler.webinar.model import Webinar

if TYPE_CHECKING:
    pass

CPU_SECONDS = 1.0  # a pair


@dataclass(frozen=True)
class TrialJob:
    """What the child gets on stdin. Pickled: it comes from ourselves, and a webinar is not read twice the same from
    JSON."""

    layout: Layout
    texts: Sequence[tuple[str, str, str]]
    """Message, language, source."""
    webinars: Sequence[Webinar]
    pairs: Sequence[tuple[int, int | None]]
    """A text and a webinar by their places; None: the text alone."""
    niceness: int = 0


def main() -> None:
    """On stdout a line of JSON before and after each pair."""
    job: TrialJob = pickle.loads(sys.stdin.buffer.read())  # noqa: S301
    with suppress(OSError):
        os.nice(job.niceness)
    let_timer_end_it()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    trier = _Trier(job)
    for number in range(len(job.pairs)):
        trier.try_(number)


class _Trier:
    """Tries one pair after the other."""

    def __init__(self, job: TrialJob) -> None:
        self._job = job
        self._unreadable: set[int] = set()
        self._of: tuple[int, str] | None = None
        self._cases: Sequence[Case] = ()  # of that webinar and language, the last that were asked for

    def try_(self, number: int) -> None:
        index, webinar = self._job.pairs[number]
        message, language, source = self._job.texts[index]
        if index in self._unreadable:
            return
        try:
            fillings = () if webinar is None else self._fillings(webinar, language)
            self._limit()
        except Exception as fault:  # ours: it says nothing about the text
            _say(fault=f"{type(fault).__name__}: {fault}", pair=number)
            return
        place = f"{message}/{language}.md"
        _say(begun=number)
        try:
            found = problems_of(source, place, message, self._job.layout, fillings)
        except MemoryError:
            found = (Problem(place, "filling it in took too much memory", f"{MEMORY // 2**20} MB"),)
        signal.setitimer(signal.ITIMER_PROF, 0)
        if webinar is None and found:
            self._unreadable.add(index)
        _say(pair=number, problems=[vars(problem) for problem in found])

    def _fillings(self, webinar: int, language: str) -> Sequence[Case]:
        if self._of != (webinar, language):
            self._cases = list(cases(self._job.webinars[webinar], language))
            self._of = (webinar, language)
        return self._cases

    def _limit(self) -> None:
        """The timer ends a pair. No RLIMIT_CPU: it counts from the beginning of the process in ticks, of which no clock
        tells how many there were."""
        limit_memory()
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)


def _say(**words: Any) -> None:
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    main()
