"""Finds out whether texts may go out: a child process (`child`) fills each in for every kind of reader of each webinar.

Results are remembered by the pair's digest (`pairs`), so that nothing is tried twice. Only the text's own behaviour is
a verdict: a child that starves or is killed from outside says nothing about it.
"""

from __future__ import annotations

import json
import os
import pickle
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, cast

from scheduler.child_process import MEMORY, child_environment
from scheduler.mail.text.layout import Layout, read_layout, text_path
from scheduler.mail.texts import Key
from scheduler.mail.trial.child import CPU_SECONDS, TrialJob
from scheduler.mail.trial.pairs import Pair, Verdicts, pairs_of, untried, verdicts_of
from scheduler.problem import Problem
from scheduler.webinar.model import Webinar

Found = tuple[Problem, ...]
"""The mistakes that a trial found; places are relative to the templates folder."""

KNOWN: dict[str, Found] = {}
"""The verdicts that this process knows, by digest."""
MOST_KNOWN = 100_000
PATIENCE = 60.0  # seconds without output until the child counts as stopped, or the machine as too busy
FEW_PAIRS, BRIEF_SECONDS = 100, 5.0  # tried at least, and how long, while somebody waits
_STOPPED_COUNTS = 20  # a pair that hit a limit counts as this number of pairs
_LONGER = 15.0  # additional seconds for the first FEW_PAIRS
_LOOK_SECONDS = 0.2  # between two calls of `enough`
_LIMITS = f"{CPU_SECONDS:g} s of processor time and {MEMORY // 2**20} MB"
_KILLED = "the child process for trials was killed from outside"
_MOST_KILLED = 3  # children in one call


class NotTried(RuntimeError):
    """Texts could not be tried now, for a reason that says nothing about them. Its words are for the operator."""


def remember(found: Mapping[str, Found]) -> None:
    """Add verdicts to KNOWN."""
    KNOWN.update(found)


def trim_known(used: Iterable[str]) -> None:
    """Forget all verdicts but the used ones if there are more than MOST_KNOWN."""
    if len(KNOWN) > MOST_KNOWN:
        for digest in KNOWN.keys() - set(used):
            del KNOWN[digest]


def check_texts(
    sources: Mapping[Key, str],
    webinars: Sequence[Webinar],
    root: Path,
    layout: Layout | None = None,
    *,
    ask: Callable[[Sequence[str]], Mapping[str, Found]] = lambda digests: {},
    seconds: float = BRIEF_SECONDS,
) -> Verdicts:
    """The verdicts on the texts of the folder `root`, from at least FEW_PAIRS new trials, and more for `seconds`.
    Pairs beyond that are reported as untried.

    `layout`: the layout around the texts; None: that of the folder. Then this raises TextProblems if it is unsound.
    `ask`: returns verdicts that are stored elsewhere, by digest.
    """
    layout = layout or read_layout(root)
    pairs = pairs_of(sources, webinars, layout)
    if left := untried(pairs, KNOWN):
        remember(ask([pair.digest for pair in left]))
    tried, why = 0, "it takes long; `webinar run` tries them"
    end = time.monotonic() + seconds

    def record(digest: str, found: Found) -> None:
        nonlocal tried
        remember({digest: found})
        tried += _STOPPED_COUNTS if any(_was_stopped(one) for one in found) else 1

    try:
        try_pairs(
            untried(pairs, KNOWN),
            sources,
            layout,
            record,
            lambda: time.monotonic() > end + (0 if tried >= FEW_PAIRS else _LONGER),
        )
    except NotTried as reason:
        why = str(reason)
    found = verdicts_of(pairs, KNOWN, root)
    return replace(found, why_untried=why) if found.untried else found


def try_pairs(
    pairs: Sequence[Pair],
    sources: Mapping[Key, str],
    layout: Layout,
    record: Callable[[str, Found], None],
    enough: Callable[[], bool] = lambda: False,
    *,
    niceness: int = 0,
) -> None:
    """Try pairs one after the other until all are tried or `enough` returns True. `record` gets each verdict at once.

    A pair at which a child crashed is tried last; if it crashes again, that is a mistake of the text. `niceness`: by
    how much other programs go first (nice(2)). Blocks. Raises NotTried.
    """
    known: dict[str, Found] = {}
    crashes: Counter[str] = Counter()
    put_off: dict[str, str] = {}
    while not enough() and (left := [one for one in untried(pairs, known) if one.digest not in put_off]):
        left.sort(key=lambda pair: crashes[pair.digest])
        came = False
        for pair, outcome in _outcomes(left, _job(left, sources, layout, niceness), enough):
            came = True
            if isinstance(outcome, _PutOff):
                put_off[pair.digest] = outcome.why
            elif isinstance(outcome, tuple):
                known[pair.digest] = outcome
            else:
                crashes[pair.digest] += 1
                if crashes[pair.digest] > 1:
                    known[pair.digest] = _stopped(pair, f"filling it in crashed its process: {outcome.how}")
            if pair.digest in known:
                record(pair.digest, known[pair.digest])
        if not came and not enough():
            raise NotTried("the child process for trials printed nothing")
        if sum(why == _KILLED for why in put_off.values()) > _MOST_KILLED:
            break
    if put_off:
        raise NotTried(next(iter(put_off.values())))


@dataclass(frozen=True)
class _Crash:
    """The child ended by itself."""

    how: str


@dataclass(frozen=True)
class _PutOff:
    """The pair could not be tried, which says nothing about the text."""

    why: str


def _outcomes(
    pairs: Sequence[Pair], job: TrialJob, enough: Callable[[], bool]
) -> Iterator[tuple[Pair, Found | _Crash | _PutOff]]:
    """The outcomes from one child; the last is that of the pair at which it ended early, if so. Raises NotTried."""
    begun: Pair | None = None
    with (
        TemporaryFile() as given,
        TemporaryFile() as errors,
    ):  # files: a pipe to a child that is stopped would block
        given.write(pickle.dumps(job))
        given.seek(0)
        command = [sys.executable, "-m", "scheduler.mail.trial.child"]
        with subprocess.Popen(  # noqa: S603
            command, stdin=given, stdout=subprocess.PIPE, stderr=errors, env=child_environment()
        ) as child:
            try:
                for line in _lines(child, enough):
                    word: dict[str, Any] = json.loads(line)
                    if "begun" in word:
                        begun = pairs[word["begun"]]
                    elif "fault" in word:
                        yield pairs[word["pair"]], _PutOff(word["fault"])
                    else:
                        begun = None
                        yield pairs[word["pair"]], tuple(Problem(**one) for one in word["problems"])
                if child.poll() is None:  # `enough` returned True
                    return
            finally:
                child.kill()
        errors.seek(0)
        how = errors.read().decode(errors="replace").strip().rpartition("\n")[2]
    if child.returncode == 0:
        return
    how = f"exit {child.returncode}: {how}" if child.returncode > 0 else f"signal {-child.returncode}"
    if begun is None:
        raise NotTried(f"the child process for trials could not start: {how}")
    yield begun, _ended_at(begun, -child.returncode, how)


def _ended_at(pair: Pair, number: int, how: str) -> Found | _Crash | _PutOff:
    if number == signal.SIGPROF:
        return _stopped(pair, "filling it in took too much processor time")
    if number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        return _PutOff(_KILLED)  # by a person, or by the kernel for want of memory
    return _Crash(how)


def _was_stopped(problem: Problem) -> bool:
    return problem.allowed == _LIMITS


def _stopped(pair: Pair, found: str) -> Found:
    place = str(text_path(Path(), *pair.key))
    return (Problem(place, found, _LIMITS),)


def _job(pairs: Sequence[Pair], sources: Mapping[Key, str], layout: Layout, niceness: int) -> TrialJob:
    keys = {key: number for number, key in enumerate(dict.fromkeys(pair.key for pair in pairs))}
    webinars = {id(pair.webinar): pair.webinar for pair in pairs if pair.webinar}
    places = {name: number for number, name in enumerate(webinars)}
    return TrialJob(
        layout,
        [(*key, sources[key]) for key in keys],
        list(webinars.values()),
        [(keys[pair.key], places[id(pair.webinar)] if pair.webinar else None) for pair in pairs],
        niceness,
    )


def _lines(child: subprocess.Popen[bytes], enough: Callable[[], bool]) -> Iterator[bytes]:
    """The child's lines, until it ends or `enough` returns True. Raises NotTried after PATIENCE without output."""
    out = cast(IO[bytes], child.stdout)
    rest, heard = b"", time.monotonic()
    while not enough():
        if not select.select([out], [], [], _LOOK_SECONDS)[0]:
            if time.monotonic() - heard > PATIENCE:
                raise NotTried(f"the child process for trials printed nothing for {PATIENCE:g} s")
            continue
        if not (more := os.read(out.fileno(), 65536)):
            child.wait()
            return
        heard = time.monotonic()
        *lines, rest = (rest + more).split(b"\n")
        yield from lines
