"""Networks by which connections and passwords are counted."""

from __future__ import annotations

import pytest

from scheduler.http.networks import is_in, networks_of


@pytest.mark.parametrize(
    ("computer", "networks"),
    [
        ("192.0.2.7", ("192.0.2.7",)),
        ("2001:db8:1:2:3:4:5:6", ("2001:db8:1:2::/64", "2001:db8:1::/56", "2001:db8:1::/48")),
        ("fe80::1%eth0", ("fe80::/64", "fe80::/56", "fe80::/48")),
        ("::ffff:192.0.2.7", ("192.0.2.7",)),
        ("", ("",)),
        ("unix:", ("unix:",)),
    ],
)
def test_a_network_is_what_one_person_has_addresses_of_at_will(
    computer: str, networks: tuple[str, ...]
) -> None:
    assert networks_of(computer) == networks


@pytest.mark.parametrize(
    ("computer", "inside"),
    [
        ("10.1.2.3", True),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("::1", True),
        ("::2", False),
        ("", False),
    ],
)
def test_a_proxy_is_known_by_its_address_or_its_network(computer: str, inside: bool) -> None:
    assert is_in(computer, ["10.0.0.0/8", "192.0.2.7", "::1"]) is inside
