"""What may be meant by a name that is no zone."""

from __future__ import annotations

import pytest

from scheduler.zones.names import UnknownZone, registrant_zone, webinar_zone


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Nairobi time", ("Africa/Nairobi",)),
        ("Nairobi, Kenya", ("Africa/Nairobi",)),
        ("Nairobi (Kenya)", ("Africa/Nairobi",)),
        ("Nairobbi", ("Africa/Nairobi",)),
        ("Sao Paulo local time", ("America/Sao_Paulo",)),
        ("Kenya time", ()),
        ("tomorrow", ()),
    ],
)
def test_the_city_in_it_or_one_that_is_spelt_alike(name: str, meant: tuple[str, ...]) -> None:
    for zone_of in (registrant_zone, webinar_zone):
        with pytest.raises(UnknownZone) as unknown:
            zone_of(name)
        assert unknown.value.candidates == meant
