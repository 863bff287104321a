"""Who is written to in a benchmark: one zone and language, or the world."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytz

LANGUAGES = {"en": 52, "fr": 15, "es": 13, "ar": 8, "ru": 6, "zh": 6}
"""By how many of a hundred readers want it."""
ZONES = 400


@dataclass(frozen=True)
class Crowd:
    """People by zone and language."""

    name: str
    languages: tuple[str, ...]
    zones: int
    evenly: bool

    def people(self, count: int, seed: int = 17) -> list[tuple[str, str]]:
        """Zone and language of each of so many people."""
        zones = pytz.common_timezones[: self.zones]
        random.Random(17).shuffle(zones)
        if self.evenly:
            weights, shares = [1.0] * len(zones), [1] * len(self.languages)
        else:  # a few zones have most people, as in a list of the world's countries by population
            weights = [1 / (rank + 1) for rank in range(len(zones))]
            shares = [LANGUAGES[one] for one in self.languages]
        chance = random.Random(seed)
        chosen = chance.choices(zones, weights, k=count)
        return list(zip(chosen, chance.choices(self.languages, shares, k=count), strict=True))


ONE = Crowd("one zone, one language", ("en",), 1, evenly=True)
WORLD = Crowd("400 zones x 6 languages, by weight", tuple(LANGUAGES), ZONES, evenly=False)
WORLD_EVENLY = Crowd("400 zones x 6 languages, evenly", tuple(LANGUAGES), ZONES, evenly=True)
CROWDS = (ONE, WORLD, WORLD_EVENLY)
