"""Every time that a mail shows, in every language and zone, read back by a parser of its own (`received.clocks`)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import pytz

from scheduler.mail.words.variables import variables
from tests.mail.samples import facts, shipped, shipped_sources, text
from tests.received import MONTHS, WEEKDAYS, Page, clocks

WEBINAR = (datetime(2025, 7, 3, 11, tzinfo=UTC), datetime(2025, 7, 3, 13, tzinfo=UTC))


def instants(words: str, language: str) -> list[tuple[datetime, datetime]]:
    """What `words` says, each date with the weekday that it has."""
    found = clocks(words.replace("\u00a0", " ").replace("\u202f", " "), language)
    for clock in found:
        named = [WEEKDAYS[language][day.weekday()] for day in dict.fromkeys(clock.days)]
        assert list(dict.fromkeys(clock.weekdays)) == named
    return [clock.instants for clock in found]


@pytest.mark.parametrize(
    ("language", "apart"), [("ar", 8), *(pytest.param(one, 1, marks=pytest.mark.full) for one in MONTHS)]
)
def test_in_every_zone_a_mail_says_the_webinars_instants(language: str, apart: int) -> None:
    one = text("{{ times }}", subject="{{ your_time }}", preheader="{{ webinar_time }}", language=language)
    for name in pytz.common_timezones[::apart]:
        rendered = one.fill(variables(facts(name), language))
        page = Page(rendered.html)
        said = instants(rendered.text, language)
        assert said in ([WEBINAR], [WEBINAR, WEBINAR]), name
        assert instants(page.text, language) == said, name
        assert instants(rendered.subject, language) == instants(page.preheader, language) == [WEBINAR], name


@pytest.mark.full  # each text in each zone of the sample takes some time
@pytest.mark.parametrize(("message", "language"), sorted(shipped_sources()))
@pytest.mark.parametrize(
    "zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu", "America/St_Johns"]
)
def test_every_shipped_text_says_them(message: str, language: str, zone: str) -> None:
    rendered = shipped(message, language).render(facts(zone, zone_assumed=True))

    assert instants(rendered.text, language) == [WEBINAR, WEBINAR]
    assert set(instants(rendered.preheader, language)) <= {WEBINAR}
