"""What one network or one registrant may ask for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scheduler.http.counts import Counts
from scheduler.web.pages import limits
from tests.web.pages.support import Site

pytestmark = pytest.mark.engines("sqlite")


def test_a_network_that_tries_many_keys_is_told_to_wait_and_its_neighbours_with_a_key_are_not(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UNKNOWN", (3, 6, 12))
    key = site.register()
    answers = [site.get(f"/r/{number:040x}") for number in range(4)]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 429]
    assert answers[-1].headers["retry-after"] == "900"
    assert "fifteen minutes" in answers[-1].text
    assert site.get(f"/r/{key}").status_code == 200
    assert site.ask("GET", f"/r/{0:040x}", computer="198.51.100.7").status_code == 404, "another network"


def test_a_registrant_may_send_so_many_forms(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OF_KEY", 2)
    key, other = site.register(), site.register("amina@who.int")
    answers = [site.post(f"/r/{key}/language", {"language": "fr"}).status_code for _ in range(3)]
    assert answers == [303, 303, 429]
    assert site.post(f"/r/{other}/language", {"language": "fr"}).status_code == 303


def test_networks_of_others_that_fill_the_counts_keep_nobody_with_a_key_from_anything(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def few(within: float, clock: Callable[[], float], most: float = 9) -> Counts:
        return Counts(within, clock, most)

    monkeypatch.setattr(limits, "Counts", few)
    site.pages.limits = limits.PageLimits()
    keys = [site.register(f"p{number}@who.int") for number in range(12)]
    strangers = [f"2001:db8:{number:x}::1" for number in range(5)]
    for path in (f"/r/{0:040x}/unsubscribe", f"/c/{0:040x}", "/c/short"):
        assert [site.post(path, {"id": "1"}, computer=one).status_code for one in strangers][-1] == 429
    one_click = {"List-Unsubscribe": "One-Click"}
    for key in keys:
        assert site.post(f"/r/{key}/unsubscribe", one_click, computer="2001:db8:ffff::1").status_code == 200
        assert site.post(f"/r/{key}/withdraw").status_code == 303


def test_a_form_that_is_too_large_is_refused_before_it_is_read(site: Site) -> None:
    key = site.register()
    answer = site.post(f"/r/{key}/zone", {"zone": "x" * 20_000})
    assert answer.status_code == 413
    assert "larger than" in answer.text
