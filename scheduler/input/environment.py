"""Environment variables as text: values from the variables themselves or from files, and misspelt names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from scheduler.aside import Hangs
from scheduler.problem import Problem

HANGS = "is it on a network that is down, or a pipe that nobody writes into?"
_LONGEST_SECRET = 65_536  # bytes
# Kubernetes sets these for each of its services, so also for one called "smtp".
_KUBERNETES = re.compile(r"SMTP2?_(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP)(_\w+)?)")
_OURS = re.compile(r"SMTP2?_")
_OTHERS_READ = {"LOG_LEVEL": "LOGLEVEL"}  # not misspelt, but the variable of another program


def place_of(variable: str) -> str:
    """A variable as the place of a problem."""
    return f"environment variable {variable}"


@dataclass
class Given:
    """The variables that are set: the text of each, the variable that it came from, and the problems."""

    values: dict[str, str] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_variables(
    environ: Mapping[str, str],
    names: Sequence[str],
    secrets: Sequence[str],
    read: Callable[[Path], str] | None = None,
) -> Given:
    """The variables that are not empty. A secret may be in the file that `NAME_FILE` names; `read` reads it
    (`file_text`, or the same with a timeout).

    Problems show neither a secret nor the path of its file: somebody may have put the secret itself there.
    """
    given = Given(problems=list(_misspelt(environ, names, [f"{name}_FILE" for name in secrets])))
    for name in names:
        if value := environ.get(name):
            given.values[name], given.origin[name] = value, name
    for name in secrets:
        variable = f"{name}_FILE"
        if not (path := environ.get(variable)):
            continue
        if name in given.values:
            problem = Problem(place_of(variable), f"is set, and so is {name}", "only one of the two")
            given.problems.append(problem)
            continue
        given.origin[name] = variable
        try:
            given.values[name] = (read or file_text)(Path(path))
        except Hangs as error:
            problem = Problem(
                place_of(variable), why_unreadable(error), "the path of a file that can be read", HANGS
            )
            given.problems.append(problem)
        except OSError as error:
            found = f"its file: {why_unreadable(error)}"
            given.problems.append(Problem(place_of(variable), found, "the path of a file that can be read"))
        except ValueError as error:
            given.problems.append(Problem(place_of(variable), str(error), "a text file with the value in it"))
    return given


def why_unreadable(error: OSError) -> str:
    """Why a file could not be read, without its path."""
    return (error.strerror or "cannot be read").lower()


def file_text(path: Path) -> str:
    """A file's text without the line end that editors put at its end. Raises OSError; ValueError for other content."""
    with path.open("rb") as opened:
        content = opened.read(_LONGEST_SECRET + 1)
    if len(content) > _LONGEST_SECRET:
        raise ValueError("its file is too long")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("its file is not UTF-8") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError("its file is empty")
    return text


def _misspelt(environ: Mapping[str, str], names: Sequence[str], files: Sequence[str]) -> Iterator[Problem]:
    """Problems of unknown variables that begin with SMTP_ or SMTP2_, or that differ in one character from a
    setting that is not set. Other variables belong to other programs."""
    known = (*names, *files)
    unset = [name for name in known if not environ.get(name)]
    for name in sorted(name for name, value in environ.items() if value and name not in known):
        likely = [
            right for right in unset if _one_slip(name.upper(), right) and _OTHERS_READ.get(right) != name
        ]
        if (prefix := _OURS.match(name.upper())) and not _KUBERNETES.fullmatch(name):
            ours = [right for right in known if right.startswith(prefix[0])]
            likely = likely or get_close_matches(name.upper(), ours, n=1, cutoff=0.8)
            yield _unknown(name, ", ".join(ours), likely)
        elif likely:
            yield _unknown(name, "", likely)


def _unknown(name: str, allowed: str, likely: Sequence[str]) -> Problem:
    return Problem(
        place_of(name), "no such setting", allowed, f"did you mean `{likely[0]}`?" if likely else ""
    )


def _one_slip(typed: str, right: str) -> bool:
    """Whether at most one character was left out, added, replaced or swapped with its neighbour."""
    pairs = zip(typed, right, strict=False)
    start = next((i for i, (one, other) in enumerate(pairs) if one != other), min(len(typed), len(right)))
    rest, wanted = typed[start:], right[start:]
    swapped = rest[1::-1] + rest[2:]
    return wanted in (rest, rest[1:], swapped) or wanted[1:] in (rest, rest[1:])
