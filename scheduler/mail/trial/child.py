"""The child process that tries texts, under limits of the kernel.

Jinja2's sandbox limits neither time nor memory (`'a' * 10**8`, nested loops), and rendering cannot be interrupted
from inside. So each pair of a text and a webinar has 1 s of CPU time, however busy the machine is, and 256 MB in
addition to what the child used before it.
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
from typing import Any

from scheduler.child_process import MEMORY, let_timer_end_it, limit_memory
from scheduler.mail.text.layout import Layout
from scheduler.mail.trial.cases import Case, cases
from scheduler.mail.trial.checks import problems_of
from scheduler.problem import Problem
from scheduler.webinar.model import Webinar

CPU_SECONDS = 1.0  # for each pair


@dataclass(frozen=True)
class TrialJob:
    """The child's input on stdin. Pickled, since the parent is trusted and JSON cannot reproduce a webinar exactly."""

    layout: Layout
    texts: Sequence[tuple[str, str, str]]
    """(message, language, source)"""
    webinars: Sequence[Webinar]
    pairs: Sequence[tuple[int, int | None]]
    """Indexes of a text and a webinar; None: the text alone."""
    niceness: int = 0


def main() -> None:
    """Try all pairs; writes a line of JSON to stdout before and after each."""
    job: TrialJob = pickle.loads(sys.stdin.buffer.read())  # noqa: S301
    with suppress(OSError):
        os.nice(job.niceness)
    let_timer_end_it()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    trier = _Trier(job)
    for number in range(len(job.pairs)):
        trier.try_(number)


class _Trier:
    """Tries pairs one after the other."""

    def __init__(self, job: TrialJob) -> None:
        self._job = job
        self._unreadable: set[int] = set()
        self._of: tuple[int, str] | None = None
        self._cases: Sequence[Case] = ()  # of that webinar and language, cached for the next pair

    def try_(self, number: int) -> None:
        index, webinar = self._job.pairs[number]
        message, language, source = self._job.texts[index]
        if index in self._unreadable:
            return
        try:
            fillings = () if webinar is None else self._fillings(webinar, language)
            self._limit()
        except Exception as fault:  # a bug of this program, which says nothing about the text
            _report(fault=f"{type(fault).__name__}: {fault}", pair=number)
            return
        place = f"{message}/{language}.md"
        _report(begun=number)
        try:
            found = problems_of(source, place, message, self._job.layout, fillings)
        except MemoryError:
            found = (Problem(place, "filling it in took too much memory", f"{MEMORY // 2**20} MB"),)
        signal.setitimer(signal.ITIMER_PROF, 0)
        if webinar is None and found:
            self._unreadable.add(index)
        _report(pair=number, problems=[vars(problem) for problem in found])

    def _fillings(self, webinar: int, language: str) -> Sequence[Case]:
        if self._of != (webinar, language):
            self._cases = list(cases(self._job.webinars[webinar], language))
            self._of = (webinar, language)
        return self._cases

    def _limit(self) -> None:
        """Limit the next pair's memory and CPU time. A timer, not RLIMIT_CPU, which counts from the start of the
        process, in ticks that no clock reports exactly."""
        limit_memory()
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)


def _report(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    main()
