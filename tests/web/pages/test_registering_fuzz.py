"""Whatever is typed into the form of a registration page or sent in its place: an answer, and no fault of ours."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support import SEQUENCE
from tests.web.pages.registering_support import QUESTIONS, open_page
from tests.web.pages.support import Site

pytestmark = pytest.mark.engines("sqlite")

FIELDS = (
    "name", "address", "language", "zone", "zone-choice", "country", "organization", "consent", "stamp", "comments",
    "answer-role", "answer-first", "answer-ask", "answer-", "id", "",
)  # fmt: skip
LIKELY = st.sampled_from(
    [
        "ana@who.int", "ana@wörld.example", "用户@例子.广告", '"a b"@who.int', "a@who.int\nbcc: b@who.int", "Ana", "fr",
        "xx", "Africa/Nairobi", "Etc/GMT+14", "UTC+25:99", "+5", "CST", "Kenya", "🇰🇪", "0", "1", "-1", "yes", "no",
        "é", "\u202e\u2066", "\ufdd0", "a" * 5000, "{{ 7 * 7 }}", "</textarea><script>", "' OR 1=1 --", "%00", "\0",
    ]
)  # fmt: skip
ANYTHING = LIKELY | st.text(max_size=60)
PAIRS = st.lists(st.tuples(st.sampled_from(FIELDS) | st.text(max_size=9), ANYTHING), max_size=14)
BODIES = st.binary(max_size=300) | PAIRS.map(
    lambda pairs: "&".join(f"{_quoted(name)}={_quoted(said)}" for name, said in pairs).encode()
)


def _quoted(said: str) -> str:
    return quote(said.encode("utf-8", "replace"), safe="")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, path=st.sampled_from(["/w/w", "/w/asks", "/w/w?language=ar"]), number=st.integers(0, 250))
@example(body=b"name=%ff%fe&address=%c3%28&zone=%80", path="/w/w", number=0)
@example(body=b"&".join([b"a=b"] * 5000), path="/w/w", number=0)
def test_the_form_takes_anything(site: Site, body: bytes, path: str, number: int) -> None:
    site.ledger.govern()
    form = open_page(site, SEQUENCE + QUESTIONS, consent="I agree.")
    open_page(site, id="asks", registration="confirm")
    stamp = form.stamp()
    site.clock.at += timedelta(minutes=1)
    for sent in (body, body + f"&stamp={stamp}&consent=yes&answer-role=1".encode()):
        answer = site.ask("POST", path, f"192.0.2.{number}", content=sent)
        assert answer.status_code in (200, 303, 413, 422, 429)
    site.ledger.plan(site.clock.at)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(ANYTHING.map(_quoted), min_size=1, max_size=2),
    query=st.dictionaries(st.sampled_from(["language", "zone", "done", "x"]), ANYTHING, max_size=3),
    kind=st.sampled_from("wc"),
    method=st.sampled_from(["GET", "HEAD", "POST", "OPTIONS"]),
)
def test_the_addresses_take_anything(
    site: Site, parts: list[str], query: dict[str, str], kind: str, method: str
) -> None:
    open_page(site)
    for path in ("/w/w", f"/{kind}/{'/'.join(parts)}"):
        encoded = {name: said.encode("utf-8", "replace") for name, said in query.items()}
        answer = site.ask(method, path, params=encoded, content=b"id=1")
        assert answer.status_code < 500
