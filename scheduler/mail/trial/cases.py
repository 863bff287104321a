"""The kinds of reader and moment with which every text must work, for one webinar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from itertools import cycle
from typing import Any

import pytz

from scheduler.mail.words.names import LONGEST
from scheduler.mail.words.variables import Facts, Times, variables
from scheduler.webinar.model import Webinar
from scheduler.webinar.told import Told
from scheduler.zones.wall import Zone, to_local

_NAMES = ("", "Amina Wanjiru", "م" * LONGEST, "W" * LONGEST)
_DAY = timedelta(days=1)
_PAGE = "https://webinars.example.org/r/0123456789abcdef0123456789abcdef01234567"
_STAND_IN = "https://webinar.example.org/join/0123456789abcdef?a=1&b=2"


@dataclass(frozen=True)
class Case:
    """One set of values with which a text is filled in."""

    webinar: str
    kind: str
    """As problems name it: "for a reader in Asia/Kolkata, during the webinar"."""
    filling: dict[str, Any]
    texts: Mapping[str, tuple[str, ...]]
    """The webinar's texts, each with the purposes of its messages (`Webinar.demands_of`)."""

    @property
    def times(self) -> Times:
        times: Times = self.filling["times"]
        return times


def cases(webinar: Webinar, language: str) -> Iterator[Case]:
    """Cases for each kind of zone before, during and after the webinar, in which names and links alternate."""
    names, assumed, attached = cycle(_NAMES), cycle((False, True, True)), cycle((True, False))
    told, pages = cycle(_told(webinar).items()), cycle(("", _PAGE, _PAGE, "", _PAGE, "", _PAGE))
    texts = {text: webinar.demands_of(text) for text in webinar.text_names}
    moments = {
        "days before the start": webinar.start - timedelta(days=3),
        "an hour before the start": webinar.start - timedelta(hours=1),
        "during the webinar": webinar.start + (webinar.end - webinar.start) / 2,
        "after the end": webinar.end + timedelta(days=1),
    }
    for zone in _zones(webinar):
        for moment, now in moments.items():
            knew, before = next(told)
            facts = Facts(
                webinar=webinar,
                name=next(names),
                zone=zone,
                zone_assumed=next(assumed),
                now=now,
                join_url=webinar.join_url or _STAND_IN,
                invitation_attached=next(attached),
                told=before,
                page_url=next(pages),
            )
            kind = f"for a reader in {zone}, {moment}{knew}"
            yield Case(webinar.id, kind, variables(facts, language), texts)


def _told(webinar: Webinar) -> dict[str, Told | None]:
    """Facts that readers may have been told before, by the words with which a problem describes them. The number of
    entries is coprime to those of moments, names and so on, so that all combinations occur."""
    start, end, link, earlier = webinar.start, webinar.end, webinar.join_url or _STAND_IN, timedelta(hours=1)
    return {
        "": None,
        ", after a new time": Told(start - earlier, end - earlier, link),
        ", after a new date and link": Told(start - 180 * _DAY, end - 180 * _DAY, f"{link}0"),
        ", after a new link": Told(start, end, ""),
        ", after a cancellation that was undone": Told(None, None, "", cancelled=True),
    }


def _zones(webinar: Webinar) -> list[Zone]:
    """The webinar's zone; another zone with the same time; and for each oddity a zone that has it at that moment."""
    start, end, home = webinar.start, webinar.end, webinar.tz
    here = to_local(start, home)

    def same_time(zone: Zone) -> bool:
        return str(zone) != str(home) and to_local(start, zone).utcoffset() == here.utcoffset()

    def other_date(zone: Zone) -> bool:
        return to_local(start, zone).date() != here.date()

    def half_hour(zone: Zone) -> bool:
        return to_local(start, zone).minute != here.minute

    def over_midnight(zone: Zone) -> bool:
        return to_local(start, zone).date() != to_local(end, zone).date()

    oddities: list[Callable[[Zone], bool]] = [same_time, other_date, half_hour, over_midnight]
    found = (next((zone for zone in _all_zones() if oddity(zone)), None) for oddity in oddities)
    return [home, *(zone for zone in found if zone is not None)]


@lru_cache(maxsize=1)
def _all_zones() -> tuple[Zone, ...]:
    """All zones, well-known ones first, so that problems name familiar places."""
    known = [
        "Europe/Paris",
        "Asia/Kolkata",
        "America/New_York",
        "Asia/Tokyo",
        "Pacific/Auckland",
        "Pacific/Pago_Pago",
    ]
    return tuple(pytz.timezone(name) for name in (*known, *pytz.common_timezones))
