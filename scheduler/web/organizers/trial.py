"""Tries a text as it is typed: warm child processes under limits fill it in for one reader.

Jinja2's sandbox bounds neither time nor memory, so the process that serves pages never fills in or parses a text that
is not known to be sound (`mail.trial`). A child answers within some 50 ms; the system ends one that computes for more
than a second, or takes 256 MB more than at its start, and the next text gets a new one.
"""

from __future__ import annotations

import asyncio
import base64
import json
import pickle
import signal
import struct
import sys
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import PurePath
from typing import Any, cast

import pytz

from scheduler.child_process import child_environment, kill, let_timer_end_it, limit_memory
from scheduler.mail.received import in_scheme, read_invitation, read_mail
from scheduler.mail.text.layout import Layout, TextProblems
from scheduler.mail.text.templates import parse_text
from scheduler.mail.texts import CurrentText
from scheduler.mail.trial.advice import advice
from scheduler.mail.trial.cases import cases
from scheduler.mail.trial.checks import problems_of
from scheduler.mail.trial.child import CPU_SECONDS
from scheduler.mail.words.variables import VARIABLES, Facts, variables
from scheduler.mail.writing.sample import SAMPLE_KEY, Reader, compose_sample, sample_told, sent_at
from scheduler.problem import Problem
from scheduler.webinar.links import page_of, told_link
from scheduler.webinar.model import WITHDRAWAL, Webinar

CHILDREN = 2
MOST_WAITING, MOST_OF_ONE = 20, 5
LARGEST_MAIL = 400_000  # bytes
LARGEST_ANSWER = 8 * LARGEST_MAIL
MOST_SOURCE = 200_000  # characters of a mail's source that are shown
MOST_PROBLEMS = 200
PATIENCE = 20.0  # seconds of real time, as the machine may be busy; what computes is ended long before
_LENGTH = struct.Struct("!I")


class Busy(Exception):
    """Too many texts wait to be tried."""


@dataclass(frozen=True)
class Trial:
    """A text to try. `whole`: for every kind of reader, too, which takes longer. `dark`: shown as in a dark client.
    `raw`: shown with its source as it goes on the wire."""

    source: str
    place: str
    message: str
    layout: Layout
    webinar: Webinar
    reader: Reader
    whole: bool = False
    dark: bool = False
    raw: bool = False
    pages_url: str = ""


@dataclass(frozen=True)
class Tried:
    """The result of a trial; `mail` is empty where none can be made."""

    mail: bytes = b""
    problems: tuple[Problem, ...] = ()
    advice: tuple[tuple[bool, Problem], ...] = ()
    """Each with whether it is wrong, or only likely to be."""
    values: dict[str, str] = field(default_factory=dict)
    """Of each variable, for this reader."""
    shown: dict[str, Any] = field(default_factory=dict)
    """The mail as an editor sees it: subject, preheader, from, date, text, html, bytes, invitation, source."""


class Trier:
    """Tries texts, two at a time."""

    def __init__(self, children: int = CHILDREN) -> None:
        self._idle: list[asyncio.subprocess.Process] = []
        self._slots = asyncio.Semaphore(children)
        self._waiting: Counter[str] = Counter()

    async def try_(self, trial: Trial, whose: str = "") -> Tried:
        """Try a text. Mistakes in it are returned, not raised. Raises Busy, for everybody or for `whose` it is."""
        if self._waiting.total() >= MOST_WAITING or self._waiting[whose] >= MOST_OF_ONE:
            raise Busy
        self._waiting[whose] += 1
        try:
            async with self._slots:
                return await self._in_child(trial)
        finally:
            self._waiting[whose] -= 1
            self._waiting += Counter()  # without those of whom none waits

    async def _in_child(self, trial: Trial) -> Tried:
        child = self._idle.pop() if self._idle else await _new_child()
        answered = False
        try:
            async with asyncio.timeout(PATIENCE):
                tried = _tried(await _ask(child, pickle.dumps(trial)))
            answered = True
        except TimeoutError:
            found = f"could not be tried within {PATIENCE:g} s: the machine is busy"
            return Tried(problems=(Problem(trial.place, found, hint="try again"),))
        except (OSError, ValueError, asyncio.IncompleteReadError):
            found = "filling it in was stopped: it computes too long or takes too much memory"
            return Tried(
                problems=(Problem(trial.place, found, f"{CPU_SECONDS:g} s", "is there a loop in it?"),)
            )
        finally:
            if answered:
                self._idle.append(child)
            else:  # also where nobody waits for the answer any more
                await _end(child)
        return tried

    async def stop(self) -> None:
        """End the children."""
        while self._idle:
            await _end(self._idle.pop())


async def _new_child() -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "scheduler.web.organizers.trial",
        stdin=pipe,
        stdout=pipe,
        stderr=asyncio.subprocess.DEVNULL,
        env=child_environment(),
    )


async def _ask(child: asyncio.subprocess.Process, job: bytes) -> dict[str, Any]:
    """Raises OSError, IncompleteReadError; ValueError for what is no answer."""
    to, back = cast(asyncio.StreamWriter, child.stdin), cast(asyncio.StreamReader, child.stdout)
    to.write(_LENGTH.pack(len(job)) + job)
    await to.drain()
    (length,) = _LENGTH.unpack(await back.readexactly(_LENGTH.size))
    if length > LARGEST_ANSWER:
        raise ValueError("the answer is too long")
    answer: dict[str, Any] = json.loads(await back.readexactly(length))
    return answer


async def _end(child: asyncio.subprocess.Process) -> None:
    kill(child)
    await child.wait()


def _tried(answer: dict[str, Any]) -> Tried:
    problems = tuple(Problem(**one) for one in answer["problems"])
    advised = tuple((wrong, Problem(**one)) for wrong, one in answer["advice"])
    mail = base64.b64decode(answer["mail"])
    return Tried(mail, problems, advised, answer["values"], answer["shown"])


# The child


def main() -> None:
    """Entry point of the child: pickled trials on stdin (from the service itself), JSON on stdout, each after its
    length."""
    let_timer_end_it()
    limit_memory()
    while head := sys.stdin.buffer.read(_LENGTH.size):
        trial: Trial = pickle.loads(sys.stdin.buffer.read(*_LENGTH.unpack(head)))  # noqa: S301
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS * (2 if trial.whole else 1))
        answer = json.dumps(answer_to(trial)).encode()
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.buffer.write(_LENGTH.pack(len(answer)) + answer)
        sys.stdout.buffer.flush()


def answer_to(trial: Trial) -> dict[str, Any]:
    """Runs in the child: the mail and how it is shown, or why there is none, and advice on both."""
    language = PurePath(trial.place).stem
    problems: list[Problem] = []
    stopped = False
    doubts: tuple[Problem, ...] = ()
    filling = variables(_facts(trial), language)
    answer: dict[str, Any] = {"mail": "", "values": _values(filling), "shown": {}}
    try:
        text = parse_text(trial.source, trial.place, trial.layout)
        doubts = text.doubts
        words = text.fill(filling)
        zone = pytz.timezone(trial.reader.zone)
        current = CurrentText(text, language, 0)
        mail = compose_sample(trial.webinar, trial.message, trial.reader, zone, current, trial.pages_url)
        if len(mail) > LARGEST_MAIL:
            found, allowed = f"the mail has {len(mail) // 1000:,} kB", f"at most {LARGEST_MAIL // 1000:,} kB"
            stopped = True
            problems.append(Problem(trial.place, found, allowed, "is there a loop in it?"))
        else:
            shown = {"subject": words.subject, "preheader": words.preheader, **_shown(mail, trial)}
            answer |= {"mail": base64.b64encode(mail).decode(), "shown": shown}
    except TextProblems as error:
        problems += error.problems
    except MemoryError:
        stopped = True
        problems.append(Problem(trial.place, "filling it in took too much memory"))
    except Exception as error:
        problems.append(Problem(trial.place, f"cannot be filled in: {error}"))
    if trial.whole and not stopped:
        fillings = list(cases(trial.webinar, language))
        name = trial.webinar.text_of.get(trial.message, trial.message)
        own = [case for case in fillings if name in case.texts]
        known = {problem.found for problem in problems}
        others = problems_of(trial.source, trial.place, name, trial.layout, own or fillings)
        problems += [problem for problem in others if problem.found not in known]
    answer["problems"] = [vars(problem) for problem in problems[:MOST_PROBLEMS]]
    subject, html = answer["shown"].get("subject", ""), answer["shown"].get("html", "")
    advised = advice(trial.source, trial.place, language, trial.webinar, subject, html)
    fixed = {problem.old for problem in problems if problem.old}
    advised = chain(((False, doubt) for doubt in doubts), (one for one in advised if one[1].old not in fixed))
    answer["advice"] = [(wrong, vars(problem)) for wrong, problem in islice(advised, MOST_PROBLEMS)]
    return answer


def _shown(mail: bytes, trial: Trial) -> dict[str, Any]:
    read = read_mail(mail)
    invitation = read_invitation(read.calendar) if read.calendar else None
    return {
        "from": read.sender,
        "date": read.date,
        "text": read.text,
        "html": in_scheme(read.html, "dark" if trial.dark else "light"),
        "bytes": len(mail),
        "source": mail.decode("utf-8", "replace")[:MOST_SOURCE] if trial.raw else "",
        "invitation": invitation
        and {
            "title": invitation.summary,
            "where": invitation.location,
            "start": invitation.start and invitation.start.isoformat(),
            "end": invitation.end and invitation.end.isoformat(),
            "zone": trial.reader.zone,
        },
    }


def _facts(trial: Trial) -> Facts:
    reader, webinar = trial.reader, trial.webinar
    return Facts(
        webinar=webinar,
        name=reader.name,
        zone=pytz.timezone(reader.zone),
        zone_assumed=reader.zone_known_by in ("assumed", "webinar"),
        now=sent_at(webinar, trial.message, reader, pytz.timezone(reader.zone)),
        join_url=told_link(webinar, reader.join_url, SAMPLE_KEY, trial.pages_url),
        told=sample_told(webinar, trial.message),
        page_url=page_of(SAMPLE_KEY, trial.pages_url),
        withdrawn=trial.message == WITHDRAWAL,
    )


def _values(filling: dict[str, Any]) -> dict[str, str]:
    """The value of each variable, and what the editor's picture of each block shows."""
    values = {}
    for name in VARIABLES:
        value: Any = filling
        for part in name.split("."):
            value = value[part] if isinstance(value, dict) else getattr(value, part, "")
        values[name] = str(value)
    words, leaf, changes = filling["phrases"], filling["times"].yours.leaf, filling["changes"]
    pictures = {
        "changes": changes.what if changes else "",
        "times": f"{leaf.month} {leaf.day}",
        "join_button": words.join if filling["join_url"] else words.no_link_yet,
        "calendar_links": f"{words.google} · {words.outlook} · {words.microsoft}",
    }
    return values | pictures


if __name__ == "__main__":
    main()
