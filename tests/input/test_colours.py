"""The organizers' colour: on it white letters can be read."""

from __future__ import annotations

import pytest

from scheduler.input.colours import contrast
from scheduler.webinar.model import WebinarProblems, read_webinar
from tests.mail.samples import TOML, facts, shipped


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#777777", "#ffffff", 4.48),
        ("#767676", "#ffffff", 4.54),
        ("#fff000", "#fff000", 1.0),
    ],
)
def test_contrast_is_wcags(one: str, other: str, found: float) -> None:
    assert contrast(one, other) == pytest.approx(found, abs=0.01)
    assert contrast(other, one) == contrast(one, other)


def test_a_mail_is_in_the_organizers_colour() -> None:
    red = read_webinar(TOML.replace("alert_to =", 'colour = "#A01020"\nalert_to ='), "w.toml")
    html = shipped("confirmation", "en").render(facts(webinar=red)).html

    assert html.count("#a01020") > 5
    assert "#0b5a9d" not in html


@pytest.mark.parametrize("colour", ["#ffcc00", "red", "#fff", "#0b5a9d; x: y", "{{ name }}"])
def test_a_colour_that_is_none_or_too_light_is_a_mistake(colour: str) -> None:
    with pytest.raises(WebinarProblems, match="colour"):
        read_webinar(TOML.replace("alert_to =", f'colour = "{colour}"\nalert_to ='), "w.toml")
