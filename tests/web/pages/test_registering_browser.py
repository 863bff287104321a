"""The registration page in a real browser: by keyboard alone, without JavaScript, in Arabic, on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from scheduler.database.engine import Database
from scheduler.web.pages.words import LANGUAGES, page_words
from scheduler.webinar.model import read_webinar
from tests.browsing import axe, chromium
from tests.rehearsed import ROOT
from tests.web.pages.browsing import Visit, press_enter, tab_to, visiting
from tests.web.pages.registering_support import QUESTIONS
from tests.web.pages.serving import served
from tests.web.pages.support import NOW, Site

pytestmark = pytest.mark.full

SAYS = page_words("en").register
PHONE = {
    "viewport": {"width": 360, "height": 740},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}


class Running:
    """A clock ten times as fast as a wall's: nobody waits for three seconds."""

    def __init__(self) -> None:
        self._began = datetime.now(UTC)

    def now(self) -> datetime:
        return NOW + 10 * (datetime.now(UTC) - self._began) + timedelta()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def site(sqlite_url: str) -> Iterator[Site]:
    database = Database(sqlite_url)
    site = Site(database)
    site.pages.clock = Running()
    source = (
        (ROOT / "config/webinars/trilateral-2025.toml").read_text("utf-8").replace("example.org", "who.int")
    )
    source = source.replace('id = "trilateral-2025"', 'id = "w"\nconsent = "I agree."')
    source = source.replace('registration = "closed"', 'registration = "open"')
    site.ledger.govern(
        read_webinar(source.replace('status = "draft"', 'status = "live"') + QUESTIONS, "w.toml")
    )
    yield site
    database.close()


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Visit]:
    with served(site) as url, visiting(browser, url) as visit:
        yield visit


def findings(page: Page) -> list[tuple[str, list[str]]]:
    """What axe-core finds, with the elements."""
    found = page.evaluate(axe() + ";axe.run()")["violations"]
    return [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]


def stored(site: Site) -> list[tuple[str, ...]]:
    return [
        tuple(row) for row in site.ledger.sql("SELECT address, name, timezone, country, language FROM signup")
    ]


def test_by_keyboard_alone(site: Site, visit: Visit) -> None:
    page = visit("/w/w")
    expect(page.locator(".yours .hours")).to_have_text("16:45–18:45")
    expect(page.locator(".yours .zone")).to_contain_text("Nepal Time, \u2068UTC+5:45")
    tab_to(page, SAYS.address)
    page.keyboard.type("ana@who")
    press_enter(page)
    expect(page.locator("#wrong")).to_be_focused()
    assert page.title().startswith(SAYS.wrong_title)
    tab_to(page, SAYS.name_missing)
    page.keyboard.press("Enter")
    expect(page.locator("#name")).to_be_focused()
    page.keyboard.type("Ana Ruiz")
    tab_to(page, SAYS.address)
    page.keyboard.press("Control+a")
    page.keyboard.type("ana@who.int")
    tab_to(page, SAYS.country)
    page.keyboard.type("Nepal")
    page.keyboard.press("Escape")
    tab_to(page, "Procurement")
    page.keyboard.press("ArrowDown")
    tab_to(page, "I agree.")
    page.keyboard.press("Space")
    page.wait_for_timeout(400)
    tab_to(page, SAYS.button)
    press_enter(page)
    expect(page.locator("h1")).to_have_text(SAYS.done_title)
    expect(page.locator("h1")).to_be_focused()
    assert stored(site) == [("ana@who.int", "Ana Ruiz", "Asia/Kathmandu", "NP", "en")]


def test_both_clocks_of_an_arabic_page_have_one_calendar(site: Site, visit: Visit) -> None:
    page = visit("/w/w", locale="ar")
    expect(page.locator(".yours .day")).to_contain_text("تموز/يوليو")
    expect(page.locator(".yours .day")).to_have_text(page.locator(".theirs .day").inner_text())
    address = page.locator("footer .address").bounding_box()
    assert address
    assert address["height"] < 30, "on one line"
    align = page.locator("h1").evaluate("one => getComputedStyle(one).textAlign")
    assert align in ("right", "start")
    assert findings(page) == []


def test_who_has_no_zone_but_utc_is_asked_for_a_city(site: Site, visit: Visit) -> None:
    page = visit("/w/w", timezone_id="UTC")
    expect(page.locator(".yours")).to_be_hidden()
    page.get_by_label(SAYS.find_label).fill("Dakar")
    page.get_by_role("button", name=SAYS.find_button).click()
    expect(page.locator(".yours .hours")).to_have_text("11:00–13:00")
    assert findings(page) == []


def test_without_javascript(site: Site, visit: Visit) -> None:
    page = visit("/w/w", java_script_enabled=False, locale="fr", **PHONE)
    words = page_words("fr").register
    expect(page.locator(".yours")).to_be_hidden()
    page.get_by_label(words.find_label).fill("Dakar")
    page.get_by_role("button", name=words.find_button).click()
    expect(page.locator(".yours .hours")).to_have_text("11:00–13:00")
    page.get_by_label(words.name).fill("Aïcha Diop")
    page.get_by_label(words.address).fill("aicha@who.int")
    page.get_by_label("Achats").check()
    page.get_by_label("I agree.").check()
    page.wait_for_timeout(400)
    page.get_by_role("button", name=words.button).click()
    expect(page.locator("h1")).to_have_text(words.done_title)
    assert stored(site) == [("aicha@who.int", "Aïcha Diop", "Africa/Dakar", "", "fr")]


def test_the_browsers_zone_is_correctable(site: Site, visit: Visit) -> None:
    page = visit("/w/w")
    expect(page.locator("#zone")).to_have_value("Asia/Katmandu")  # as Chromium says it
    expect(page.locator("#zone-hint")).to_have_text(SAYS.zone_known)
    page.fill("#name", "Ana")
    page.fill("#address", "ana@who.int")
    page.fill("#zone", "San Juan")
    page.get_by_role("radio", name="Procurement").check()
    page.check("#consent")
    page.wait_for_timeout(400)
    page.click("#register button")
    assert findings(page) == []
    page.get_by_role("radio", name="Puerto Rico").check()
    page.click("#register button")
    expect(page.locator("h1")).to_have_text(SAYS.done_title)
    assert stored(site)[0][2] == "America/Puerto_Rico"


def test_whose_clock_is_genevas_sees_one_time(visit: Visit) -> None:
    page = visit("/w/w", timezone_id="Europe/Paris")
    expect(page.locator(".yours")).to_be_hidden()
    expect(page.locator(".theirs .hours")).to_have_text("13:00–15:00")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_everybody_can_use_the_page(visit: Visit, language: str, colours: str) -> None:
    page = visit("/w/w", locale=language, color_scheme=colours, **PHONE)
    assert page.locator("html").get_attribute("dir") == ("rtl" if language == "ar" else "ltr")
    assert findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360, "nothing stands beside the screen"
    page.click("#register button")
    assert findings(page) == []
    page.goto(page.url + "&done=1")
    assert findings(page) == []


def test_the_page_is_small_and_runs_no_script_but_ours(visit: Visit) -> None:
    sizes: list[int] = []
    page = visit("/w/w?language=ar", timezone_id="Africa/Cairo")
    page.on("response", lambda response: sizes.append(len(response.body())))
    page.reload(wait_until="networkidle")
    assert 0 < sum(sizes) < 60_000
    assert page.evaluate(
        "JSON.parse(document.querySelector('script[type=\"application/ld+json\"]').text)['@type']"
    ) == ("Event")
