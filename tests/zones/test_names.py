"""Suggestions for names of no zone."""

from __future__ import annotations

import pytest

from scheduler.zones.names import UnknownZone, registrant_zone, webinar_zone


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Nairobi, Atlantis", ("Africa/Nairobi",)),
        ("Nairobbi", ("Africa/Nairobi",)),
        ("Paris, Texas", ("Europe/Paris",)),
        ("Pacfic Time", ("America/Los_Angeles",)),
        ("tomorrow", ()),
    ],
)
def test_the_city_in_it_or_one_that_is_spelt_alike(name: str, meant: tuple[str, ...]) -> None:
    for zone_of in (registrant_zone, webinar_zone):
        with pytest.raises(UnknownZone) as unknown:
            zone_of(name)
        assert unknown.value.candidates[:1] == meant
