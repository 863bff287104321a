"""Mistakes in something that a person wrote, with the words they need to fix them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches


@dataclass(frozen=True)
class Problem:
    """A mistake: where it is, what was found there, what is allowed, and a way to fix it.

    `place` is a path with line and key ("config/webinars/a.toml, line 12, messages[2].at"), the name of an
    environment variable, or a row's id; never anything that a registrant typed.
    """

    place: str
    found: str
    allowed: str = ""
    hint: str = ""
    old: str = ""
    new: str = ""
    """A change that fixes it: `new` in place of `old`, in the line that `place` names. Where `old` is empty, `new`
    stands on a line of its own. Both are empty where a person has to decide."""

    def __str__(self) -> str:
        parts = [f"{self.place}: {self.found}"]
        if self.allowed:
            parts.append(f"allowed: {self.allowed}")
        if self.hint:
            parts.append(self.hint)
        return "; ".join(parts)

    def below(self, place: str) -> Problem:
        """The same mistake with `place` put before its own: a folder, or a file before ", line 12"."""
        return replace(self, place=place + self.place)


def too_long(source: str, place: str, longest: int) -> Problem | None:
    """The problem of a file with more than `longest` characters, or None."""
    if len(source) <= longest:
        return None
    return Problem(place, f"more than {longest:,} characters", f"at most {longest:,}")


class Problems(ValueError):
    """All mistakes of one input."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def nearest(name: str, allowed: Iterable[str], likeness: float = 0.6) -> str:
    """A hint with the most similar allowed name ("did you mean `days_before`?"), or ""."""
    by_folded = {candidate.casefold(): candidate for candidate in allowed}
    close = get_close_matches(name.casefold(), by_folded, n=1, cutoff=likeness)
    return f"did you mean `{by_folded[close[0]]}`?" if close else ""
