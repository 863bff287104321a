"""A text tried as it is typed: filled in for one reader by a child process that is kept warm and under limits.

Jinja2's sandbox bounds neither time nor memory, so what is not known to be sound is never filled in by the service
itself (`mail.soundness`). The child answers within some 50 ms; one that computes for longer than a second, or takes
256 MB more than it began with, is ended by the system, and the next text gets a new one.
"""

from __future__ import annotations

import asyncio
import base64
import json
import pickle
import signal
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, cast

import pytz

from scheduler.mail.facts import BLOCKS, VARIABLES, Facts, variables
from scheduler.mail.layout import Layout, TextProblems
from scheduler.mail.matrix import cases
from scheduler.mail.sound import problems_of
from scheduler.mail.templates import parse_text
from scheduler.mail.trying import CPU_SECONDS, child_environment, let_timer_end_it, limit_memory
from scheduler.organizers.texts import LiveText
from scheduler.problem import Problem
from scheduler.reports.previewing import Reader, composed, moment, told_before
from scheduler.webinar import Webinar

PATIENCE = 20.0  # seconds of real time, as the machine may be busy; what computes is ended long before
_LENGTH = struct.Struct("!I")


@dataclass(frozen=True)
class Trial:
    """What to try. `whole`: for every kind of reader, too, which takes longer."""

    source: str
    place: str
    message: str
    layout: Layout
    webinar: Webinar
    reader: Reader
    whole: bool = False


@dataclass(frozen=True)
class Tried:
    """What came of it; `mail` is empty where it can't be made."""

    mail: bytes = b""
    subject: str = ""
    preheader: str = ""
    problems: tuple[Problem, ...] = ()
    values: dict[str, str] = field(default_factory=dict)
    """Of each variable, for this reader."""


class Trier:
    """Tries one text at a time."""

    def __init__(self) -> None:
        self._child: asyncio.subprocess.Process | None = None
        self._one_by_one = asyncio.Lock()

    async def try_(self, trial: Trial) -> Tried:
        """Never raises for what is in the text."""
        async with self._one_by_one:
            if self._child is None or self._child.returncode is not None:
                self._child = await _new_child()
            try:
                async with asyncio.timeout(PATIENCE):
                    return _tried(await _ask(self._child, pickle.dumps(trial)))
            except TimeoutError:
                await _end(self._child)
                self._child = None
                found = f"could not be tried within {PATIENCE:g} s: the machine is busy"
                return Tried(problems=(Problem(trial.place, found, hint="try again"),))
            except (OSError, asyncio.IncompleteReadError):
                await _end(self._child)
                self._child = None
        found = "filling it in was stopped: it computes too long or takes too much memory"
        return Tried(problems=(Problem(trial.place, found, f"{CPU_SECONDS:g} s", "is there a loop in it?"),))

    async def stop(self) -> None:
        """End the child."""
        if self._child:
            await _end(self._child)


async def _new_child() -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "scheduler.editor.trial",
        stdin=pipe,
        stdout=pipe,
        stderr=asyncio.subprocess.DEVNULL,
        env=child_environment(),
    )


async def _ask(child: asyncio.subprocess.Process, job: bytes) -> dict[str, Any]:
    to, back = cast(asyncio.StreamWriter, child.stdin), cast(asyncio.StreamReader, child.stdout)
    to.write(_LENGTH.pack(len(job)) + job)
    await to.drain()
    (length,) = _LENGTH.unpack(await back.readexactly(_LENGTH.size))
    answer: dict[str, Any] = json.loads(await back.readexactly(length))
    return answer


async def _end(child: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        child.kill()
    await child.wait()


def _tried(answer: dict[str, Any]) -> Tried:
    problems = tuple(Problem(**one) for one in answer["problems"])
    mail = base64.b64decode(answer["mail"])
    return Tried(mail, answer["subject"], answer["preheader"], problems, answer["values"])


# The child


def main() -> None:
    """Pickled trials on stdin (they come from the service itself), JSON on stdout, each with its length before it."""
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
    """In the child: the mail, or why there is none."""
    language = PurePath(trial.place).stem
    problems: list[Problem] = []
    filling = variables(_facts(trial), language)
    answer: dict[str, Any] = {"mail": "", "subject": "", "preheader": "", "values": _values(filling)}
    try:
        text = parse_text(trial.source, trial.place, trial.layout)
        words = text.fill(filling)
        mail = composed(
            trial.webinar,
            trial.message,
            trial.reader,
            pytz.timezone(trial.reader.zone),
            LiveText(text, language, 0),
        )
        answer |= {
            "mail": base64.b64encode(mail).decode(),
            "subject": words.subject,
            "preheader": words.preheader,
        }
    except TextProblems as error:
        problems += error.problems
    except MemoryError:
        problems.append(Problem(trial.place, "filling it in took too much memory"))
    except Exception as error:
        problems.append(Problem(trial.place, f"cannot be filled in: {error}"))
    if trial.whole and not problems:
        fillings = list(cases(trial.webinar, language))
        own = [case for case in fillings if trial.message in case.messages]
        problems += problems_of(trial.source, trial.place, trial.message, trial.layout, own or fillings)
    answer["problems"] = [vars(problem) for problem in problems]
    return answer


def _facts(trial: Trial) -> Facts:
    reader, webinar = trial.reader, trial.webinar
    return Facts(
        webinar=webinar,
        name=reader.name,
        zone=pytz.timezone(reader.zone),
        zone_assumed=reader.zone_known_by in ("assumed", "webinar"),
        now=moment(webinar, trial.message, reader, pytz.timezone(reader.zone)),
        join_url=reader.join_url or webinar.join_url,
        told=told_before(webinar, trial.message),
    )


def _values(filling: dict[str, Any]) -> dict[str, str]:
    """What each variable becomes; of a block, that it is one."""
    values = {}
    for name in VARIABLES:
        value: Any = filling
        for part in name.split("."):
            value = value[part] if isinstance(value, dict) else getattr(value, part, "")
        values[name] = str(value)
    return values | dict.fromkeys(BLOCKS, "")


if __name__ == "__main__":
    main()
