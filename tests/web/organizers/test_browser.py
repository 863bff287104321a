"""An organizer's day at the editor, in a real browser, on a service that runs."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browsing import axe, chromium
from tests.endtoend.support import free_port
from tests.rehearsed import ROOT, WEBINAR
from tests.web.organizers.test_documents import written

pytestmark = pytest.mark.full

PASSWORD = "four words make one"


@dataclass
class Service:
    url: str
    templates: Path

    def file(self, message: str, language: str) -> Path:
        return self.templates / message / f"{language}.md"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    shutil.copytree(ROOT / "config", folder / "config")
    shutil.copytree(ROOT / "templates", folder / "templates")
    for file in (folder / "config" / "webinars").glob("*.toml"):  # or they have ended
        file.write_text(file.read_text(encoding="utf-8").replace("= 2025-07", "= 2036-07"), encoding="utf-8")
    (folder / "password").write_text(PASSWORD)
    port, health, relay_port = free_port(), free_port(), free_port()
    env = {
        "PATH": os.environ["PATH"], "DATABASE_URL": f"sqlite:///{folder}/webinar.db", "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(relay_port), "SMTP_TLS": "none", "HEALTH_HOST": "127.0.0.1", "HEALTH_PORT": str(health),
        "EDITOR_PORT": str(port), "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }  # fmt: skip
    relay = [sys.executable, "-m", "aiosmtpd", "--nosetuid", "--listen", f"127.0.0.1:{relay_port}"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen([*relay, "--class", "aiosmtpd.handlers.Sink"]) as sink,
        subprocess.Popen([WEBINAR, "run"], cwd=folder, env=env, stderr=log) as run,
    ):
        try:
            _wait_for(f"http://127.0.0.1:{port}/templates/sign-in")
            for address, role in (("ada@who.int", "edit"), ("bob@who.int", "edit"), ("eve@who.int", "view")):
                command = [
                    WEBINAR,
                    "user",
                    "add",
                    address,
                    "--role",
                    role,
                    "--password-file",
                    folder / "password",
                ]
                subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True)
            yield Service(f"http://127.0.0.1:{port}/templates", folder / "templates")
        finally:
            run.terminate()
            sink.kill()


def _wait_for(url: str) -> None:
    end = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            assert time.monotonic() < end, "the editor does not answer"
            time.sleep(0.1)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=20_000)
    with chromium() as browser:
        yield browser


@pytest.fixture
def sign_in(browser: Browser, service: Service) -> Iterator[Callable[..., Page]]:
    """Sign somebody in, in a browser of their own; whatever its pages complain about fails the test."""
    contexts, complaints = [], []

    def sign_in(address: str = "ada@who.int", **given: Any) -> Page:
        context = browser.new_context(**({"viewport": {"width": 1400, "height": 1000}} | given))
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text) if not re.search("409|503", message.text) else None
            ),
        )
        page.on(
            "request",
            lambda request: complaints.append(request.url) if "127.0.0.1" not in request.url else None,
        )
        page.goto(service.url)
        page.get_by_label("Address").fill(address)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Texts")).to_be_visible()
        return page

    yield sign_in
    for context in contexts:
        context.close()
    assert complaints == []


def opened(page: Page, service: Service, message: str, language: str) -> Page:
    page.goto(f"{service.url}/{message}/{language}")
    expect(page.locator("#problems-head")).to_have_text(
        re.compile("Nothing is wrong, for any reader|^0 mistakes"), timeout=90_000
    )
    return page


def mail(page: Page) -> Any:
    return page.frame_locator("#frame").locator("body")


def body(page: Page) -> Locator:
    return page.locator("#body .cm-content")


def write(page: Page, words: str) -> None:
    """Type at the end of the text."""
    body(page).focus()
    page.keyboard.press("Control+End")
    page.keyboard.type(words)


def save(page: Page, note: str = "") -> None:
    page.get_by_label("What you changed").fill(note)
    page.locator("#save").click()


def is_said(page: Page, words: str) -> None:
    expect(page.locator("#said")).to_contain_text(words)


def test_the_day_of_an_organizer(sign_in: Callable[..., Page], service: Service) -> None:
    page = opened(sign_in(), service, "reminder-day", "ar")
    expect(mail(page)).to_contain_text("تبدأ الندوة غدًا")
    before = service.file("reminder-day", "ar").read_text("utf-8")

    write(page, "\nمرحبا بكم")
    expect(mail(page)).to_contain_text("مرحبا بكم")
    expect(page.locator("#state")).to_have_text("Not saved")

    write(page, " {{ nmae }}")
    expect(page.locator("#problems")).to_contain_text("unknown variable `nmae`")
    expect(page.locator("#stale")).to_be_visible()
    expect(page.locator("#body .mistake")).to_have_text("nmae")
    page.get_by_role("button", name="Show it").first.click()
    assert page.evaluate("getSelection().toString()") == "nmae"

    save(page)
    is_said(page, "Saved as a draft")
    expect(page.locator("#state")).to_have_text("Draft")
    page.get_by_role("button", name="Write Reader’s name instead").click()
    expect(page.locator("#problems-head")).to_have_text(re.compile("^(Nothing|0) "))
    expect(page.locator("#state")).to_have_text("Not saved")
    save(page, "a welcome")
    is_said(page, "Saved. It goes out from now on.")
    after = before + "\nمرحبا بكم {{ name }}"
    assert service.file("reminder-day", "ar").read_text("utf-8") == after

    body(page).focus()
    page.keyboard.press("Control+z")
    expect(page.locator("#state")).to_have_text("Not saved")
    page.keyboard.press("Control+y")
    expect(page.locator("#state")).to_have_text("Saved")

    page.get_by_role("button", name="Send me this").click()
    expect(page.locator("#sent")).to_have_text("Sent to ada@who.int.")

    page.get_by_role("link", name="Earlier versions").click()
    expect(page.locator("main")).to_contain_text("a welcome")
    expect(page.locator("ins").last).to_contain_text("مرحبا بكم")
    page.get_by_role("link", name=re.compile("Go back to this version")).last.click()
    expect(page.locator("#restored")).to_be_visible()
    expect(page.locator("#state")).to_have_text("Not saved")
    expect(body(page)).not_to_contain_text("مرحبا بكم")
    page.on("dialog", lambda dialog: dialog.accept())


def choose(page: Page) -> None:
    """Take the first of what is offered, which can be done a moment after it appears."""
    expect(page.get_by_role("listbox")).to_be_visible()
    page.wait_for_timeout(200)
    page.keyboard.press("Enter")
    expect(page.get_by_role("listbox")).to_be_hidden()


def test_words_and_pieces_are_inserted_as_somebody_would_type_them(
    sign_in: Callable[..., Page], service: Service
) -> None:
    page = opened(sign_in(), service, "follow-up", "es")
    before = service.file("follow-up", "es").read_text("utf-8")
    offers = page.get_by_role("listbox")
    write(page, "\nHola /reader")
    expect(offers.get_by_role("option").first).to_contain_text("Sample Registrant")
    choose(page)
    expect(page.locator("#body .chip").last).to_have_text("Reader’s name")
    page.keyboard.type(" y {{ time_l")
    choose(page)
    page.keyboard.type("\n/calendar")
    choose(page)
    expect(page.locator("#body .picture").last).to_contain_text("Google")
    page.keyboard.type("\n/there is: link to sl")
    choose(page)
    page.keyboard.type("negrita")
    page.keyboard.press("Shift+Control+ArrowLeft")
    page.keyboard.press("Control+b")
    save(page)
    is_said(page, "Saved")
    assert service.file("follow-up", "es").read_text("utf-8") == before + (
        "\nHola {{ name }} y {{ time_left }}\n\n{{ calendar_links }}\n\n"
        "{% if webinar.materials_url %}**negrita**{% endif %}"
    )


def test_the_subject_is_a_field_and_its_line_is_all_that_changes(
    sign_in: Callable[..., Page], service: Service
) -> None:
    file = service.file("confirmation", "es")
    odd = file.read_text("utf-8").replace("subject: ", "# what readers see first\nsubject:   ")
    file.write_bytes(odd.replace("\n", "\r\n").encode())
    page = opened(sign_in(), service, "confirmation", "es")
    subject = page.get_by_role("textbox", name="Subject")
    subject.focus()
    page.keyboard.press("Home")
    page.keyboard.type("¡Hola! ")
    expect(page.locator("#shown-subject")).to_contain_text("¡Hola!")
    expect(page.locator("#count-subject")).to_contain_text("a phone shows about 40")
    page.get_by_label("Reviewed by").fill("Ana")
    save(page)
    is_said(page, "Saved.")
    expected = odd.replace("subject:   ", "subject:   ¡Hola! ").replace("reviewed_by:", "reviewed_by: Ana")
    assert file.read_bytes().decode() == expected.replace("\n", "\r\n")
    subject.focus()
    for _ in range(20):
        page.keyboard.press("Control+z")
    save(page)
    is_said(page, "Saved.")
    assert file.read_bytes().decode() == odd.replace("\n", "\r\n")


def test_odd_texts_that_are_opened_and_saved_are_the_same(
    sign_in: Callable[..., Page], service: Service
) -> None:
    page = sign_in()
    file, chance = service.file("cancellation", "ru"), random.Random(7)
    page.on("dialog", lambda dialog: dialog.accept())
    for _ in range(12):
        page.goto("about:blank")
        source = written(chance)
        file.write_bytes(source.encode())
        with page.expect_request("**/try") as asked:
            page.goto(f"{service.url}/cancellation/ru")
        assert asked.value.post_data_json["source"] == source
        with page.expect_request("**/try") as asked:
            page.get_by_role("button", name="As it is written").click()
            write(page, "x")
        assert asked.value.post_data_json["source"] == f"{source}x"
        with page.expect_request("**/try") as asked:
            page.keyboard.press("Control+z")
        assert asked.value.post_data_json["source"] == source


def test_the_mail_in_every_view_and_in_all_languages(sign_in: Callable[..., Page], service: Service) -> None:
    page = opened(sign_in(), service, "reminder-day", "en")
    page.get_by_label("Read by").select_option("a name of 60 letters")
    page.get_by_label("in", exact=True).fill("tokyo")
    expect(mail(page)).to_contain_text("Wolfeschlegel")
    expect(mail(page)).to_contain_text("Tokyo")
    page.get_by_role("button", name="Plain text").click()
    expect(page.locator("#part-text")).to_contain_text("Wolfeschlegel")
    page.get_by_role("button", name="Source").click()
    expect(page.locator("#part-source")).to_contain_text("multipart/alternative")
    page.get_by_role("button", name="Phone").click()
    expect(page.locator("#frame")).to_have_css("width", "375px")
    page.get_by_role("button", name="All languages").click()
    frames = page.locator("#part-all iframe")
    expect(frames).to_have_count(6)
    expect(frames.nth(1).content_frame.locator("html")).to_have_attribute("dir", "rtl")
    page.get_by_role("button", name="Desktop").click()
    expect(body(page)).to_be_visible()


def test_on_a_phone_the_text_and_the_mail_take_turns(sign_in: Callable[..., Page], service: Service) -> None:
    page = opened(sign_in(viewport={"width": 390, "height": 844}), service, "reminder-day", "en")
    expect(body(page)).to_be_visible()
    expect(page.locator("#frame")).to_be_hidden()
    page.get_by_role("button", name="Mail", exact=True).click()
    expect(mail(page)).to_contain_text("See you tomorrow")
    expect(body(page)).to_be_hidden()
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_in_viewport()


def test_the_mail_is_as_dark_as_the_screen(sign_in: Callable[..., Page], service: Service) -> None:
    page = opened(sign_in(color_scheme="dark"), service, "reminder-day", "en")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = mail(page).evaluate(background)
    page.get_by_role("button", name="Dark").click()
    expect(page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "false")
    expect(mail(page)).not_to_have_css("background-color", dark)


def test_a_page_with_its_mail_is_small(sign_in: Callable[..., Page], service: Service) -> None:
    page = sign_in()
    sizes: list[int] = []
    page.on("response", lambda response: sizes.append(len(response.body())))
    opened(page, service, "confirmation", "fr")
    page.wait_for_load_state("networkidle")
    assert sum(sizes) < 400_000, sizes


def test_leaving_with_unsaved_text_asks(sign_in: Callable[..., Page], service: Service) -> None:
    page = opened(sign_in(), service, "follow-up", "en")
    asked: list[str] = []

    def answer(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", answer)
    write(page, "x")
    page.get_by_role("link", name="Texts").click()
    expect(page.get_by_role("heading", name="Texts")).to_be_visible()
    assert asked == ["beforeunload"]


def test_a_second_editor_gets_a_conflict_and_both_texts(
    sign_in: Callable[..., Page], service: Service
) -> None:
    ada = opened(sign_in("ada@who.int"), service, "reminder-hour", "fr")
    bob = opened(sign_in("bob@who.int"), service, "reminder-hour", "fr")
    write(ada, "\nDe la part d’Ada.")
    save(ada)
    is_said(ada, "Saved.")
    write(bob, "\nDe la part de Bob.")
    save(bob)
    is_said(bob, "Somebody else has changed this text")
    expect(bob.locator("#state")).to_have_text("Conflict")
    expect(bob.locator("#difference del")).to_contain_text("Ada")
    expect(bob.locator("#difference ins")).to_contain_text("Bob")
    expect(body(bob)).to_contain_text("De la part de Bob")
    bob.get_by_role("button", name="Take theirs, and lose mine").click()
    expect(body(bob)).to_contain_text("De la part d’Ada.")
    expect(body(bob)).not_to_contain_text("Bob")
    expect(bob.locator("#state")).to_have_text("Saved")
    write(bob, " Et de Bob.")
    save(bob)
    is_said(bob, "Saved.")
    assert service.file("reminder-hour", "fr").read_text("utf-8").endswith("d’Ada. Et de Bob.")


def test_a_file_that_changes_underneath_appears_and_is_never_overwritten(
    sign_in: Callable[..., Page], service: Service
) -> None:
    page = opened(sign_in(), service, "follow-up", "fr")
    file = service.file("follow-up", "fr")
    file.write_text(file.read_text("utf-8") + "\nPar git.\n", "utf-8")
    write(page, "\nIci.")
    save(page)
    is_said(page, "Nothing was saved")
    assert file.read_text("utf-8").endswith("Par git.\n")
    page.get_by_role("button", name="Save mine over theirs").click()
    is_said(page, "Saved.")
    assert file.read_text("utf-8").endswith("Ici.")


def test_by_keyboard_alone(sign_in: Callable[..., Page], service: Service) -> None:
    page = opened(sign_in(), service, "reminder-hour", "es")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the content"
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                "(one => one.id || one.getAttribute('aria-labelledby') || one.ariaLabel || one.textContent.trim())"
                "(document.activeElement)"
            )
        )
    for name in (
        "l-subject",
        "l-preheader",
        "reviewed_by",
        "Bold",
        "as-written",
        "h-text",
        "note",
        "save",
        "who",
        "zone",
        "dark",
        "send",
        "Plain text",
        "Sign out",
    ):
        assert name in seen, (name, seen)
    write(page, "\nGracias.\n")
    page.keyboard.press("Control+s")
    is_said(page, "Saved.")


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(
    sign_in: Callable[..., Page], service: Service, width: int, scheme: str
) -> None:
    page = sign_in(color_scheme=scheme, viewport={"width": width, "height": 900}, bypass_csp=True)
    page.on("dialog", lambda dialog: dialog.accept())
    for path in ("", "/confirmation/en", "/reminder-day/ar", "/reminder-day/ar/history", "/sign-in"):
        if path == "/sign-in":
            page.context.clear_cookies()
        page.goto(service.url + path)
        if path.count("/") == 2:  # with a mistake, a chip, and what is offered
            page.wait_for_timeout(1000)
            write(page, "\n- **{{ name }}** {{ nmae }} /")
            expect(page.locator("#body .mistake")).to_be_visible()
            expect(page.get_by_role("listbox")).to_be_visible()
        page.evaluate(axe())
        found = page.evaluate("axe.run(document, {iframes: false})")
        told = [
            (one["id"], node["html"][:200])
            for one in found["violations"]
            for node in one["nodes"]
            # The keys of the text move through what is offered (aria-activedescendant).
            if not (one["id"] == "scrollable-region-focusable" and 'role="listbox"' in node["html"])
        ]
        assert told == [], path
        overflow = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert overflow <= 0, path


def test_who_may_only_look_sees_all_and_saves_nothing(sign_in: Callable[..., Page], service: Service) -> None:
    page = opened(sign_in("eve@who.int"), service, "confirmation", "ru")
    expect(page.get_by_text("Your account may look at the texts")).to_be_visible()
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    assert not body(page).is_editable()
    assert not page.get_by_role("textbox", name="Subject").is_editable()
