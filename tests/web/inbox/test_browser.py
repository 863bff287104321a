"""The inbox in a real browser, opened as files and served."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Browser, Page, Request, expect

from scheduler.http.server import WebServer
from scheduler.web.inbox.app import inbox_app
from scheduler.web.inbox.pages import write_inbox
from tests.browsing import axe, chromium
from tests.web.inbox.samples import HOSTILE, JOIN, START, TITLE, Rehearsal, mail, rehearsal

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


class Watched:
    """A page, and everything that it complains about or asks others for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", self._failed)
        page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))

    def _failed(self, request: Request) -> None:
        # A reader who goes on before a frame has loaded ends its request: nothing to complain about.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"failed: {request.url} {request.failure}")


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Watched]]:
    contexts = []

    def open_page(width: int, scheme: str = "light", script: bool = True) -> Watched:
        contexts.append(
            browser.new_context(
                viewport={"width": width, "height": 844},
                color_scheme="dark" if scheme == "dark" else "light",
                java_script_enabled=script,
            )
        )
        return Watched(contexts[-1].new_page())

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def index(tmp_path: Path) -> str:
    made = rehearsal(tmp_path)
    return write_inbox(tmp_path, TITLE, made.deliveries, made.mails).as_uri()


@contextmanager
def served(out: Path) -> Iterator[str]:
    """The inbox on a free port, in a thread with a loop of its own: Playwright keeps this one's."""
    with start_blocking_portal() as portal:
        server = WebServer(inbox_app(out), "127.0.0.1", 0)
        portal.call(server.start)
        try:
            yield server.url
        finally:
            portal.call(server.stop)


def read_somebody(page: Page) -> None:
    """From the list to a registrant, to one of their mails, and through its parts."""
    page.locator("#list a.wide", has_text="Anna Müller").click()
    person = page.frame_locator("#person")
    expect(person.locator("h1")).to_have_text("Anna Müller")
    person.locator("a.wide", has_text="Confirmation").click()
    mail = person.frame_locator("li:has(h2:has-text('Confirmation')) .panel iframe")
    body = mail.frame_locator(".html iframe")
    expect(body.locator("h1")).to_be_visible()
    expect(body.locator("body")).to_contain_text("Thursday 3 July 2025, 13:00")
    mail.get_by_role("radio", name="Phone").check()
    expect(mail.locator(".html iframe")).to_have_css("width", "390px")
    mail.get_by_role("radio", name="Desktop").check()
    mail.get_by_role("radio", name="Text").check()
    expect(mail.locator("section.text")).to_contain_text("Dear Anna Müller")
    expect(mail.locator("section.html")).to_be_hidden()
    mail.get_by_role("radio", name="Source").check()
    expect(mail.locator("section.source")).to_contain_text("Message-ID: <1@example.org>")
    mail.get_by_role("radio", name="Invitation").check()
    expect(mail.locator("article")).to_contain_text("13:00–15:00 Thursday, 3 July 2025 Zurich")
    expect(mail.locator("section.invitation > pre")).to_contain_text("DTSTART:20250703T110000Z")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_by_file_every_part_of_a_mail_opens_without_a_complaint(
    open_page: Callable[..., Watched], index: str, scheme: str
) -> None:
    watched = open_page(1280, scheme)
    watched.page.goto(index)
    read_somebody(watched.page)
    assert watched.complaints == []


def test_by_file_it_reads_the_same_without_script(open_page: Callable[..., Watched], index: str) -> None:
    watched = open_page(1280, script=False)
    watched.page.goto(index)
    read_somebody(watched.page)
    expect(watched.page.locator("#filter")).to_be_hidden()


def test_served_it_reads_the_same(open_page: Callable[..., Watched], tmp_path: Path) -> None:
    made = rehearsal(tmp_path)
    write_inbox(tmp_path, TITLE, made.deliveries, made.mails)
    watched = open_page(1280)
    with served(tmp_path) as url:
        watched.page.goto(url)
        read_somebody(watched.page)
    assert watched.complaints == []


def test_on_a_phone_list_registrant_and_mail_are_screens_with_a_way_back(
    open_page: Callable[..., Watched], index: str
) -> None:
    watched = open_page(390)
    page = watched.page
    page.goto(index)
    for leads_to, click in (("/people/", "Anna Müller"), ("/views/", "Confirmation")):
        page.locator("a.narrow", has_text=click).click()
        page.wait_for_url(re.compile(leads_to))
        assert page.evaluate("document.documentElement.scrollWidth") == 390
    expect(page.frame_locator(".html iframe").locator("h1")).to_be_visible()
    page.get_by_text("Messages", exact=True).click()
    page.get_by_text("All registrants", exact=True).click()
    page.wait_for_url(index)
    assert watched.complaints == []


def test_the_filter_finds_names_zones_and_states(open_page: Callable[..., Watched], index: str) -> None:
    page = open_page(1280).page
    page.goto(index)
    shown = page.locator("#list > li:visible")
    for typed, count in (
        ("kiritimati", 1),
        ("held", 1),
        ("skipped cairo", 1),
        ("anna zurich", 1),
        ("nobody else", 0),
        ("", 7),
    ):
        page.locator("#filter").fill(typed)
        expect(shown).to_have_count(count)


def test_an_address_with_a_number_opens_that_registrant(
    open_page: Callable[..., Watched], index: str
) -> None:
    page = open_page(1280).page
    page.goto(f"{index}#0004")
    expect(page.frame_locator("#person").locator("h1")).to_have_text("Tekoaua Ioane")


def test_a_hostile_mail_does_nothing_and_asks_nobody(
    open_page: Callable[..., Watched], tmp_path: Path
) -> None:
    made = Rehearsal(tmp_path)
    html = f'{HOSTILE}<img src="https://tracker.example.org/x.png"><form action="https://x"><button>B</button></form>'
    made.sent(mail(HOSTILE, "bobby@example.org", HOSTILE, f"<body>{html}</body>"), START, name=HOSTILE)
    index = write_inbox(tmp_path, HOSTILE, made.deliveries, made.mails)
    watched = open_page(1280)
    # Requests that the page's policy stops are told too, with that as their end.
    answered: list[str] = []
    refused: dict[str, str | None] = {}
    watched.page.on("response", lambda response: answered.append(response.url))
    watched.page.on("requestfailed", lambda request: refused.update({request.url: request.failure}))
    watched.page.goto(index.as_uri())
    body = watched.page.frame_locator("#person").frame_locator(".panel iframe").frame_locator(".html iframe")
    expect(body.locator("button")).to_be_visible()
    body.locator("button").click()
    expect(watched.page.frame_locator("#person").locator("h1")).to_have_text(HOSTILE)
    assert [url for url in answered if not url.startswith(("file:", "data:"))] == []
    outside = {url: why for url, why in refused.items() if not url.startswith("file:")}
    assert outside == {"https://tracker.example.org/x.png": "csp"}
    # What the browser tells is that it refused, and no alert().
    assert [told for told in watched.complaints if told in ("1", "2")] == []


def test_a_link_in_a_mail_opens_outside_without_an_opener(
    open_page: Callable[..., Watched], index: str, tmp_path: Path
) -> None:
    watched = open_page(1280)
    watched.page.context.route(f"{JOIN}*", lambda route: route.fulfill(body="<p>Joined"))
    watched.page.goto((tmp_path / "views" / "0001.html").as_uri())
    with watched.page.expect_popup() as popup:
        watched.page.frame_locator(".html iframe").locator("a").click()
    expect(popup.value.locator("p")).to_have_text("Joined")
    assert popup.value.evaluate("window.opener") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_on_any_page_of_the_inbox(
    browser: Browser, tmp_path: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    made = rehearsal(tmp_path)
    write_inbox(tmp_path, TITLE, made.deliveries, made.mails)
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    with served(tmp_path) as url:
        for path in ("index.html", "people/0001.html", "views/0001.html"):
            page.goto(f"{url}/{path}")
            page.evaluate(axe())
            # A mail in its frame is judged by itself, in tests/mail/test_judges.py.
            found = page.evaluate("axe.run(document, {iframes: false})")["violations"]
            assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == [], path
    context.close()
