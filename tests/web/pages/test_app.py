"""Headers, refusals and assets of the registrants' pages."""

from __future__ import annotations

import re
import time
from base64 import b64encode
from hashlib import sha256

import httpx
import pytest

from scheduler.web.pages.words import LANGUAGES, page_words
from tests.support import webinar
from tests.web.pages.serving import served
from tests.web.pages.support import Site

pytestmark = pytest.mark.engines("sqlite")


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_not_there_is_said_in_the_browsers_language(site: Site, language: str) -> None:
    answer = site.get("/nothing", language)
    assert answer.status_code == 404
    assert f'lang="{language}"' in answer.text
    assert ('dir="rtl"' in answer.text) == (language == "ar")
    assert page_words(language).refusal.not_found_title in answer.text


def test_a_page_stays_with_its_reader(site: Site) -> None:
    headers = site.get("/nothing").headers
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-robots-tag"] == "noindex, nofollow"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "strict-transport-security" in headers
    assert "set-cookie" not in headers


def test_no_answer_depends_on_the_host(site: Site) -> None:
    key = site.register()
    for path in ("/nothing", f"/r/{key}", f"/r/{key}/", f"/r/{key}/unsubscribe"):
        elsewhere = site.get(path, host="elsewhere.example", **{"x-forwarded-host": "elsewhere.example"})
        assert elsewhere.text == site.get(path).text
        assert "location" not in elsewhere.headers
    answer = site.post(f"/r/{key}/withdraw", headers={"host": "elsewhere.example"})
    assert answer.headers["location"] == f"/r/{key}?done=withdraw"


def test_scripts_are_kept_until_they_change(site: Site) -> None:
    answer = site.get("/assets/pages.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "immutable" in answer.headers["cache-control"]
    assert site.get("/assets/_page.html").status_code == 404
    assert site.get("/assets/..%2fapp.py").status_code == 404


def test_the_stylesheet_stands_in_the_page_and_no_other_one_has_any_effect(site: Site) -> None:
    answer = site.get("/nothing")
    (style,) = re.findall("<style>(.*?)</style>", answer.text, re.DOTALL)
    assert "--accent:" in style, "with the tokens of all pages"
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}';" in answer.headers["content-security-policy"]


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize("place", ["header", "query"])
def test_a_language_that_is_as_long_as_a_request_may_be_keeps_nobody_waiting(site: Site, place: str) -> None:
    tag = "a" + "-a" * 25_000
    site.ledger.govern(webinar(registration="open"))
    with served(site) as url:
        before = time.process_time()
        asked = {"headers": {"accept-language": tag}} if place == "header" else {"params": {"language": tag}}
        answer = httpx.get(f"{url}/w/w", **asked)  # type: ignore[arg-type]
        assert time.process_time() - before < 1.0
    assert answer.status_code == 200
