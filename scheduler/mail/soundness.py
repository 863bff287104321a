"""Whether a text may go out: it is filled in for every kind of reader, in a child process under limits.

Jinja2's sandbox does not bound time and memory (`'a' * 10**8`, loops in loops), and rendering cannot be interrupted
from inside. So texts are tried in a child that the kernel stops: 1 s of CPU a text, and 256 MB more than it began
with. A child that is killed marks the text that it was at; another one goes on with the rest.
"""

from __future__ import annotations

import json
import pickle
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scheduler.mail.layout import Layout, read_layout, text_path
from scheduler.mail.matrix import Case, cases
from scheduler.mail.sound import problems_of
from scheduler.problem import Problem
from scheduler.webinar import Webinar

Key = tuple[str, str]  # message, language

CPU_SECONDS = 1.0  # a text
MEMORY = 256 * 2**20  # bytes, on top of what Python and the modules take
_PATIENCE = 60.0  # seconds for a whole child, in real time: the machine may be busy, but not dead


@dataclass(frozen=True)
class _Job:
    """What a child gets. Pickled: it comes from ourselves, and a webinar is not read twice the same from JSON."""

    layout: Layout
    texts: tuple[tuple[str, str, str, str], ...]
    """Message, language, place, source."""
    webinars: tuple[Webinar, ...]


def check_texts(
    sources: Mapping[Key, str], webinars: Sequence[Webinar], root: Path, layout: Layout | None = None
) -> dict[Key, tuple[Problem, ...]]:
    """What is wrong with each text of the folder `root`, by (message, language); nothing for a sound one.

    `layout`: the one around the texts; None: that of the folder. Then this raises TextProblems where it is unsound,
    for nothing can be said. Blocks for a second or two.
    """
    layout = layout or read_layout(root)
    left = {key: str(text_path(root, *key)) for key in sorted(sources)}
    result: dict[Key, tuple[Problem, ...]] = {}
    while left:
        job = _Job(layout, tuple((*key, place, sources[key]) for key, place in left.items()), tuple(webinars))
        for key, problems in _results(job):
            result[key] = problems
            del left[key]
    return result


def _results(job: _Job) -> Iterator[tuple[Key, tuple[Problem, ...]]]:
    """The verdicts of one child; the last one is that of the text which killed it, if one did."""
    begun: Key | None = None
    output, ended = _run_child(pickle.dumps(job))
    for line in output.splitlines():
        word: dict[str, Any] = json.loads(line)
        key = (word["message"], word["language"])
        if "problems" in word:
            begun = None
            yield key, tuple(Problem(**problem) for problem in word["problems"])
        else:
            begun = key
    if begun is None and ended:
        raise RuntimeError(f"texts could not be checked: {ended}")
    if begun is not None:
        place = next(text[2] for text in job.texts if text[:2] == begun)
        found = f"filling it in was stopped ({ended})"
        yield begun, (Problem(place, found, f"{CPU_SECONDS:g} s of computing and {MEMORY // 2**20} MB"),)


def _run_child(job: bytes) -> tuple[str, str]:
    """The child's output, and why it ended early ("" if it did not)."""
    command = [sys.executable, "-m", "scheduler.mail.soundness"]
    try:
        done = subprocess.run(command, input=job, capture_output=True, timeout=_PATIENCE, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(), f"no end after {_PATIENCE:g} s"
    if done.returncode in {-signal.SIGPROF, -signal.SIGXCPU}:
        return done.stdout.decode(), "too much computing"
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return done.stdout.decode(), f"exit {done.returncode}: {last}"
    return done.stdout.decode(), ""


def main() -> None:
    """The child: a job on stdin, a line of JSON on stdout before and after each text."""
    job: _Job = pickle.loads(sys.stdin.buffer.read())  # noqa: S301
    fillings: dict[str, Sequence[Case]] = {}
    for _, language, _, _ in job.texts:
        if language not in fillings:
            fillings[language] = [case for webinar in job.webinars for case in cases(webinar, language)]
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    _limit(len(job.texts))
    for message, language, place, source in job.texts:
        _say(message=message, language=language)
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        try:
            own = [case for case in fillings[language] if message in case.messages]
            found = problems_of(source, place, message, job.layout, own or fillings[language])
        except MemoryError:
            found = (Problem(place, "filling it in took too much memory", f"{MEMORY // 2**20} MB"),)
        signal.setitimer(signal.ITIMER_PROF, 0)
        _say(message=message, language=language, problems=[vars(problem) for problem in found])


def _limit(texts: int) -> None:
    """The timer ends a text, to the millisecond; RLIMIT_CPU, in whole seconds, ends what would outlive it."""
    cpu = int(time.process_time() + CPU_SECONDS * texts) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    limit_memory()


def limit_memory() -> None:
    """Let this process take MEMORY more than it has now."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    statm = Path("/proc/self/statm")
    # Elsewhere than on Linux nothing tells how much is taken, and RLIMIT_AS counts differently.
    if statm.exists():
        taken = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))


def _say(**words: Any) -> None:
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    main()
