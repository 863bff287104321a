"""An organizer's day at the editor, in a real browser, on a service that runs."""

from __future__ import annotations

import os
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
from playwright.sync_api import Browser, Page, expect

from tests.browsing import axe, chromium
from tests.endtoend.support import free_port
from tests.rehearsed import ROOT, WEBINAR

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
        "EDITOR_PORT": str(port),
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
    end = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            assert time.monotonic() < end, "the editor does not answer"
            time.sleep(0.1)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
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
            "console", lambda message: complaints.append(message.text) if "409" not in message.text else None
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
        re.compile("Nothing is wrong, for any reader|^0 wrong"), timeout=15_000
    )
    return page


def mail(page: Page) -> Any:
    return page.frame_locator("#frame").locator("body")


def test_the_day_of_an_organizer(sign_in: Callable[..., Page], service: Service) -> None:
    page = opened(sign_in(), service, "reminder-day", "ar")
    expect(mail(page)).to_contain_text("تبدأ الندوة غدًا")
    source = page.locator("#source")
    before = source.input_value()

    source.fill(before + "\nمرحبا بكم\n")
    expect(mail(page)).to_contain_text("مرحبا بكم")

    source.fill(before + "\n{{ nmae }}\n")
    expect(page.locator("#problems")).to_contain_text("did you mean `name`?")
    expect(page.locator("#stale")).to_be_visible()
    page.get_by_role("button", name=re.compile("^Line")).first.click()
    chosen = "(area) => area.value.slice(area.selectionStart, area.selectionEnd)"
    assert source.evaluate(chosen) == "{{ nmae }}"

    page.get_by_role("button", name="Save").click()
    expect(page.locator("#said")).to_contain_text("Saved as a draft", timeout=15_000)
    source.fill(before + "\nمرحبا بكم\n")
    page.get_by_label("What you changed").fill("a welcome")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#said")).to_have_text("Saved. It goes out from now on.", timeout=15_000)
    assert service.file("reminder-day", "ar").read_text("utf-8") == before + "\nمرحبا بكم\n"

    page.get_by_role("button", name="Send me this").click()
    expect(page.locator("#said")).to_have_text("Sent to ada@who.int.", timeout=15_000)

    page.get_by_role("link", name="Earlier versions").click()
    expect(page.locator("main")).to_contain_text("a welcome")
    expect(page.locator(".added").first).to_contain_text("مرحبا بكم")
    page.get_by_role("link", name=re.compile("Go back to this version")).last.click()
    expect(page.locator("#restored")).to_be_visible()
    expect(page.locator("#source")).to_have_value(before)
    page.on("dialog", lambda dialog: dialog.accept())


def test_leaving_with_unsaved_text_asks(sign_in: Callable[..., Page], service: Service) -> None:
    page = opened(sign_in(), service, "follow-up", "en")
    asked: list[str] = []

    def answer(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", answer)
    page.locator("#source").press_sequentially("x")
    page.get_by_role("link", name="Texts").click()
    expect(page.get_by_role("heading", name="Texts")).to_be_visible()
    assert asked == ["beforeunload"]


def test_a_second_editor_gets_a_conflict_and_both_texts(
    sign_in: Callable[..., Page], service: Service
) -> None:
    ada = opened(sign_in("ada@who.int"), service, "reminder-hour", "fr")
    bob = opened(sign_in("bob@who.int"), service, "reminder-hour", "fr")
    before = ada.locator("#source").input_value()
    ada.locator("#source").fill(before + "\nDe la part d’Ada.\n")
    ada.get_by_role("button", name="Save").click()
    expect(ada.locator("#said")).to_contain_text("Saved.", timeout=15_000)
    bob.locator("#source").fill(before + "\nDe la part de Bob.\n")
    bob.get_by_role("button", name="Save").click()
    expect(bob.locator("#said")).to_contain_text("Somebody else has changed this text")
    expect(bob.locator("#difference .gone")).to_contain_text("De la part d’Ada.")
    expect(bob.locator("#source")).to_have_value(re.compile("De la part de Bob"))
    bob.get_by_role("button", name="Take theirs, and lose mine").click()
    expect(bob.locator("#source")).to_have_value(before + "\nDe la part d’Ada.\n")
    bob.locator("#source").fill(before + "\nDe la part d’Ada et de Bob.\n")
    bob.get_by_role("button", name="Save", exact=True).click()
    expect(bob.locator("#said")).to_contain_text("Saved.", timeout=15_000)
    assert service.file("reminder-hour", "fr").read_text("utf-8").endswith("d’Ada et de Bob.\n")


def test_a_file_that_changes_underneath_appears_and_is_never_overwritten(
    sign_in: Callable[..., Page], service: Service
) -> None:
    page = opened(sign_in(), service, "follow-up", "fr")
    file, before = service.file("follow-up", "fr"), page.locator("#source").input_value()
    file.write_text(before + "\nPar git.\n", "utf-8")
    page.locator("#source").fill(before + "\nIci.\n")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#said")).to_contain_text("Nothing was saved")
    assert file.read_text("utf-8").endswith("Par git.\n")
    page.get_by_role("button", name="Save mine over theirs").click()
    expect(page.locator("#said")).to_contain_text("Saved.", timeout=15_000)
    assert file.read_text("utf-8").endswith("Ici.\n")


def test_by_keyboard_alone(sign_in: Callable[..., Page], service: Service) -> None:
    page = opened(sign_in(), service, "reminder-hour", "es")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the content"
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    for name in (
        "source",
        "note",
        "save",
        "webinar",
        "zone",
        "name",
        "registrant",
        "send",
        "Plain text",
        "Sign out",
    ):
        assert name in seen, (name, seen)
    page.locator("#source").focus()
    page.keyboard.press("Control+End")
    page.keyboard.type("\nGracias.\n")
    page.keyboard.press("Control+s")
    expect(page.locator("#said")).to_contain_text("Saved.", timeout=15_000)


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(
    sign_in: Callable[..., Page], service: Service, width: int, scheme: str
) -> None:
    page = sign_in(color_scheme=scheme, viewport={"width": width, "height": 900}, bypass_csp=True)
    for path in ("", "/confirmation/en", "/reminder-day/ar", "/reminder-day/ar/history", "/sign-in"):
        if path == "/sign-in":
            page.context.clear_cookies()
        page.goto(service.url + path)
        page.wait_for_timeout(1000 if path.count("/") == 2 else 100)
        page.evaluate(axe())
        found = page.evaluate("axe.run(document, {iframes: false})")
        told = [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found["violations"]]
        assert told == [], path
        overflow = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert overflow <= 0, path


def test_who_may_only_look_sees_all_and_saves_nothing(sign_in: Callable[..., Page], service: Service) -> None:
    page = opened(sign_in("eve@who.int"), service, "confirmation", "ru")
    expect(page.get_by_text("Your account may look at the texts")).to_be_visible()
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    assert not page.locator("#source").is_editable()
