"""Preview of an import: the people as the service would see them, rows that are left out, and odd values."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from scheduler.problem import Problem
from scheduler.registrants.files.importing import Oddities
from scheduler.registrants.files.judging import LOST, Grouped, Import, Judgement, Kind, judged
from scheduler.registrants.files.reading import FileRow, RegistrantFile
from scheduler.webinar.model import Webinar
from scheduler.zones.wall import ResolvedZone, Zone, zone_of

FIRST = 10  # people shown
_GROUPED = ("status", "unknown status")


@dataclass
class Preview:
    """The result that an import of this file would have. `counts`: number of rows by kind; `first`: the first people,
    with their zones; `problems`: why other rows do not count."""

    file: RegistrantFile
    asked: Import
    webinars: Mapping[str, Webinar]
    counts: Counter[Kind] = field(default_factory=Counter)
    first: list[dict[str, object]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)

    @property
    def loses(self) -> bool:
        """Whether people may be missing by mistake."""
        return any(self.counts[kind] for kind in LOST)

    @property
    def left_out(self) -> int:
        return self.counts.total() - self.counts["counts"]

    def look(self, each: Callable[[Judgement], None] = lambda judgement: None) -> None:
        """Read the file once. `each` is called for each row."""
        oddities = Oddities(self.asked.place, self.webinars, self.asked.default_webinar)
        grouped = Grouped(self.asked.place)
        with closing(judged(self.file.rows, self.asked)) as judgements:
            for judgement in judgements:
                self.counts[judgement.kind] += 1
                each(judgement)
                if judgement.kind == "counts":
                    oddities.look_at(judgement.row)
                    if len(self.first) < FIRST:
                        self.first.append(self.person(judgement.row))
                elif judgement.kind in _GROUPED:
                    grouped.add(judgement)
                elif len(self.problems) < FIRST:
                    self.problems.append(judgement.problem(self.asked.place))
        self.problems += grouped.problems()
        self.notes = [*self.file.notes(), *oddities.problems()]

    def person(self, row: FileRow) -> dict[str, object]:
        said = row.values
        webinar = self.webinars[said.get("webinar", self.asked.default_webinar)]
        evidence = _zone(said.get("timezone", ""), said.get("country", ""), webinar.tz, webinar.start)
        return {
            "line": row.line,
            "email": said["email"],
            "name": said.get("name", ""),
            "timezone": said.get("timezone", ""),
            "zone": evidence.zone,
            "zone_known_by": evidence.known_by,
            "country": said.get("country", ""),
            "language": said.get("language", ""),
            "status": row.status,
            "role": row.role,
            "join_url": said.get("join_url", ""),
        }

    def json(self) -> Generator[str]:
        """The whole preview as pieces of JSON; memory does not grow with the file."""
        with (
            tempfile.TemporaryFile("w+", encoding="utf-8") as left_out,
            tempfile.TemporaryFile("w+", encoding="utf-8") as rows,
        ):

            def write(judgement: Judgement) -> None:
                if judgement.kind == "counts":
                    rows.write(_json(self.person(judgement.row)) + "\n")
                else:
                    left_out.write(_json({"line": judgement.row.line, "reason": judgement.told}) + "\n")

            self.look(write)
            columns = [
                {"header": one.header, "read_as": one.read_as, "because": one.because}
                for one in self.file.columns
            ]
            yield f'{{"system": {_json(self.file.system)},\n"table": {_json(self.file.table)},\n'
            yield "".join(('"columns": [\n', ",\n".join(map(_json, columns)), "],\n"))
            for name, lines in (("rows", rows), ("left_out", left_out)):
                yield f'"{name}": ['
                lines.seek(0)
                yield from _between(line.rstrip("\n") for line in lines)
                yield "],\n"
            yield f'"notes": {_json([str(note) for note in self.notes])}}}\n'


def _between(lines: Iterator[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f",\n{line}" if number else f"\n{line}"


def _json(value: object) -> str:
    """JSON on one line; invisible characters and those that change the direction of writing are escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return (
        text
        if text.isprintable()
        else "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)
    )


@lru_cache(maxsize=4096)
def _zone(timezone: str, country: str, fallback: Zone, at: datetime) -> ResolvedZone:
    return zone_of(timezone, country, fallback, at)
