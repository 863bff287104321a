"""Whatever is sent to a registrant's page, it is answered: no failure, and nothing of anybody else changes."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.routing import Route

from tests.web.pages.support import Site

pytestmark = pytest.mark.engines("sqlite")

BODIES = st.one_of(
    st.binary(max_size=300),
    st.lists(
        st.tuples(
            st.sampled_from(
                ["zone", "language", "from", "want-reminder-day", "want-\0", "List-Unsubscribe", ""]
            ),
            st.one_of(
                st.sampled_from(
                    ["Africa/Nairobi", "fr", "all", "none", "webinar", "on", "%00", "%ED%A0%80", "%"]
                ),
                st.text(max_size=40).map(lambda text: quote(text.encode("utf-8", "surrogatepass"))),
            ),
        ),
        max_size=5,
    ).map(lambda fields: "&".join(f"{quote(name)}={value}" for name, value in fields).encode()),
)
TYPES = st.sampled_from(
    ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "x"]
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_every_form_takes_whatever_is_sent(site: Site, data: st.DataObject) -> None:
    key = _someone(site)
    site.pages.limits.__init__()  # type: ignore[misc]
    forms = [
        route.path
        for route in site.app.routes
        if isinstance(route, Route) and "POST" in (route.methods or ())
    ]
    path = data.draw(st.sampled_from([form for form in forms if form.startswith("/r/{key}/")]))
    answer = site.ask(
        "POST",
        path.replace("{key}", key),
        content=data.draw(BODIES),
        headers={"content-type": data.draw(TYPES)},
    )
    assert answer.status_code in (200, 303, 400), (path, answer.status_code)
    if answer.status_code == 303:
        assert answer.headers["location"].startswith(f"/r/{key}")
    assert site.get(f"/r/{key}").status_code == 200


@pytest.mark.engines("sqlite")
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(["zone", "done", "refused", "as", "x"]), st.text(max_size=60), max_size=3)
)
def test_every_question_is_answered(site: Site, query: dict[str, str]) -> None:
    key = _someone(site)
    asked = "&".join(
        f"{name}={quote(value.encode('utf-8', 'surrogatepass'))}" for name, value in query.items()
    )
    assert site.get(f"/r/{key}?{asked}").status_code == 200


def _someone(site: Site) -> str:
    if not site.ledger.sql("SELECT 1 FROM registrants"):
        site.register()
    return site.key_of("maya@who.int")


@pytest.mark.engines("sqlite")
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["/j/{}", "/d/{}", "/d/{}.json", "/d/{}/forget", "/r/{}/calendar.ics"]),
    st.one_of(
        st.text(min_size=1, max_size=60),
        st.text("0123456789abcdef", min_size=40, max_size=40),
        st.just("0" * 39 + "٣"),
    ),
)
def test_no_key_or_token_opens_anything_by_chance(site: Site, path: str, token: str) -> None:
    site.pages.limits.__init__()  # type: ignore[misc]
    written = path.format(quote(token.encode("utf-8", "surrogatepass"), safe=""))
    assert site.get(written).status_code == 404
    assert site.post(written).status_code in (404, 405)
