"""Registrants' pages in a real browser: by keyboard alone, without JavaScript, in six languages, on a slow phone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from scheduler.database.engine import Database
from scheduler.web.pages.words import LANGUAGES, page_words
from scheduler.webinar.model import read_webinar
from tests.browsing import axe, chromium
from tests.rehearsed import ROOT
from tests.support import utc
from tests.web.pages.browsing import Visit, press_enter, tab_to, visiting
from tests.web.pages.serving import served
from tests.web.pages.support import Site

pytestmark = pytest.mark.full

SAYS, UNSUBSCRIBE = page_words("en").mine, page_words("en").unsubscribe
STARTS, ENDS = "2025-07-03T13:00:00", "2025-07-03T15:00:00"
SLOW_PHONE = {
    "offline": False,
    "latency": 150,
    "downloadThroughput": 1.6e6 / 8,
    "uploadThroughput": 0.75e6 / 8,
}
"""As Lighthouse simulates a phone: 150 ms, 1.6 Mbit/s, and a processor a quarter as fast."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def site(sqlite_url: str) -> Iterator[Site]:
    database = Database(sqlite_url)
    yield Site(database)
    database.close()


@pytest.fixture
def url(site: Site) -> Iterator[str]:
    """The address of the pages of the shipped webinar, which has six languages."""
    source = (ROOT / "config/webinars/trilateral-2025.toml").read_text("utf-8")
    source = source.replace('id = "trilateral-2025"', 'id = "w"').replace("example.org", "who.int")
    site.ledger.govern(read_webinar(source.replace('status = "draft"', 'status = "live"'), "w.toml"))
    with served(site) as url:
        yield url


@pytest.fixture
def visitor(browser: Browser, url: str) -> Iterator[Visit]:
    with visiting(browser, url) as visit:
        yield visit


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_by_keyboard_alone(site: Site, visitor: Visit) -> None:
    page = visitor(f"/r/{site.register(timezone='Asia/Kathmandu')}")
    tab_to(page, SAYS.search_label)
    page.keyboard.type("nairobi")
    press_enter(page)
    tab_to(page, "Nairobi")
    tab_to(page, SAYS.choose)
    press_enter(page)
    expect(page.get_by_role("status")).to_have_text(SAYS.done_zone)
    expect(page.get_by_role("status")).to_be_focused()
    expect(page.locator(".hours")).to_have_text("14:00–16:00")
    tab_to(page, "Wednesday, 2 July")
    press(page, "Space")
    tab_to(page, SAYS.save)
    press_enter(page)
    expect(page.get_by_role("status")).to_have_text(SAYS.done_messages)
    assert [row.message for row in site.ledger.sql("SELECT message FROM unwanted")] == ["reminder-day"]
    tab_to(page, SAYS.withdraw_title)
    expect(page.get_by_role("button", name=SAYS.withdraw_button)).to_be_hidden()
    press(page, "Enter")
    tab_to(page, SAYS.withdraw_button)
    press_enter(page)
    expect(page.get_by_role("status")).to_have_text(SAYS.done_withdraw)
    tab_to(page, SAYS.return_button)
    press_enter(page)
    expect(page.get_by_role("status")).to_have_text(SAYS.done_return)
    tab_to(page, UNSUBSCRIBE.title)
    press_enter(page)
    tab_to(page, UNSUBSCRIBE.webinar_button)
    press_enter(page)
    expect(page.get_by_role("status")).to_have_text(UNSUBSCRIBE.done_webinar)


def test_without_javascript(site: Site, visitor: Visit) -> None:
    page = visitor(f"/r/{site.register(timezone='Asia/Kathmandu')}", java_script_enabled=False)
    expect(page.locator("form.offer")).to_be_hidden()
    page.get_by_label(SAYS.search_label).fill("Pretoria")
    page.get_by_role("button", name=SAYS.search_button).click()
    page.get_by_role("radio").first.check()
    page.get_by_role("button", name=SAYS.choose).click()
    expect(page.locator(".hours")).to_have_text("13:00–15:00")
    page.get_by_role("button", name=SAYS.again_button).click()
    expect(page.get_by_role("status")).to_contain_text("on its way to")
    page.get_by_text(SAYS.withdraw_title).click()
    page.get_by_role("button", name=SAYS.withdraw_button).click()
    page.get_by_role("button", name=SAYS.return_button).click()
    page.get_by_role("link", name=UNSUBSCRIBE.title).click()
    page.get_by_role("button", name=UNSUBSCRIBE.all_button).click()
    page.get_by_role("button", name=UNSUBSCRIBE.again_button).click()
    page.get_by_role("link", name=SAYS.title).click()
    page.get_by_label(SAYS.language_label).select_option("ar")
    page.get_by_role("button", name=SAYS.save).first.click()
    expect(page.locator("html")).to_have_attribute("dir", "rtl")


def test_the_browsers_zone_is_offered_where_its_clock_differs(site: Site, visitor: Visit) -> None:
    key = site.register(timezone="Asia/Kathmandu")
    page = visitor(f"/r/{key}", timezone_id="Africa/Nairobi")
    offer = page.locator("form.offer")
    expect(offer).to_contain_text("Nairobi, East Africa Time")
    expect(offer).to_contain_text("14:00")
    offer.get_by_role("button").click()
    expect(page.get_by_role("status")).to_have_text(SAYS.done_zone)
    expect(page.locator("form.offer")).to_be_hidden()
    assert site.ledger.sql("SELECT zone FROM registration")[0].zone == "Africa/Nairobi"


@pytest.mark.parametrize("same", ["Africa/Nairobi", "Africa/Addis_Ababa", "Etc/GMT-5", "UTC"])
def test_a_zone_with_the_same_clock_or_without_a_place_is_not_offered(
    site: Site, visitor: Visit, same: str
) -> None:
    page = visitor(f"/r/{site.register(timezone='Africa/Nairobi')}", timezone_id=same)
    expect(page.locator("#clock")).to_be_visible()
    expect(page.locator("form.offer")).to_be_hidden()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_offer_is_in_the_pages_language(site: Site, visitor: Visit, language: str) -> None:
    page = visitor(f"/r/{site.register(language=language)}", timezone_id="America/Lima")
    offer = page.locator("form.offer p")
    expect(offer).to_be_visible()
    expect(offer).to_contain_text("06:00")
    expect(offer).not_to_contain_text("{")
    if language in ("ar", "ru", "zh"):
        expect(offer).not_to_contain_text("Lima")


def places(key: str) -> list[str]:
    return [f"/r/{key}", f"/r/{key}?zone=india", f"/r/{key}?done=zone", f"/r/{key}/unsubscribe", "/r/nobody"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_nobody_is_kept_out_by_a_disability(site: Site, visitor: Visit, language: str, scheme: str) -> None:
    key = site.register(language=language, country="KE")
    page = visitor("/r/nobody", color_scheme=scheme, locale=language, bypass_csp=True)
    origin = page.url.removesuffix("/r/nobody")
    for path in places(key):
        page.goto(origin + path)
        page.add_script_tag(content=axe())
        found = page.evaluate("axe.run()")
        assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == [], path


@pytest.mark.parametrize("when", ["cancelled", "running", "over", "withdrawn", "unsubscribed"])
def test_nor_in_any_state(site: Site, visitor: Visit, when: str) -> None:
    key = site.register(country="KE")
    if when == "cancelled":
        governs = site.ledger.governing["w"].webinar
        site.ledger.govern(governs.model_copy(update={"cancelled": True}))
    elif when == "withdrawn":
        site.post(f"/r/{key}/withdraw")
    elif when == "unsubscribed":
        site.post(f"/r/{key}/unsubscribe", {"from": "all"})
    else:
        site.clock.at = utc("2025-07-03 11:30" if when == "running" else "2025-07-03 14:00")
    page = visitor(f"/r/{key}", bypass_csp=True)
    page.add_script_tag(content=axe())
    assert page.evaluate("axe.run()")["violations"] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_cut_off_on_a_small_phone(site: Site, visitor: Visit, language: str) -> None:
    key = site.register(language=language, name="Wolfeschlegelsteinhausenbergerdorff")
    page = visitor("/r/nobody", viewport={"width": 320, "height": 568}, has_touch=True, is_mobile=True)
    origin = page.url.removesuffix("/r/nobody")
    for path in places(key):
        page.goto(origin + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, path
        for pressed in page.locator("button:visible, .button:visible, select:visible, summary:visible").all():
            box = pressed.bounding_box()
            assert box
            assert box["height"] >= 44, pressed.inner_text()


def test_a_page_that_is_opened_and_not_pressed_changes_nothing(site: Site, visitor: Visit) -> None:
    key = site.register()
    before = site.dump()
    for path in places(key):
        page = visitor(path, timezone_id="America/Lima")
        page.wait_for_load_state("networkidle")
    assert site.dump() == before


def test_a_slow_phone_shows_the_page_within_a_second(site: Site, visitor: Visit) -> None:
    key = site.register(language="ru")
    page = visitor("/r/nobody")
    origin = page.url.removesuffix("/r/nobody")
    painted, weight = [], 0
    for _ in range(3):
        fresh = page.context.browser.new_context() if page.context.browser else page.context
        slow = fresh.new_page()
        session = fresh.new_cdp_session(slow)
        session.send("Network.enable")
        session.send("Network.emulateNetworkConditions", SLOW_PHONE)
        session.send("Emulation.setCPUThrottlingRate", {"rate": 4})
        slow.goto(f"{origin}/r/{key}", wait_until="load")
        slow.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
        painted.append(slow.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        weight = slow.evaluate(
            "performance.getEntries().reduce((sum, one) => sum + (one.transferSize || 0), 0)"
        )
        fresh.close()
    print(f"first paint {min(painted):.0f} ms, {weight:,} bytes")
    assert min(painted) < 1000
    assert weight < 60_000
