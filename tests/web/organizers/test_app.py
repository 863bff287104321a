"""The editor as a browser meets it: who may do what, and what becomes of the files."""

from __future__ import annotations

import asyncio
import functools
import itertools
import re
import threading
from collections.abc import Awaitable, Callable
from email import message_from_bytes
from email.policy import default

import httpx
import pytest
from sqlalchemy import insert

from scheduler.aside import Aside
from scheduler.database.models import Registration, table
from scheduler.governing.proposals import digest
from scheduler.mail.received import read_invitation, read_mail
from scheduler.mail.text.layout import read_layout
from scheduler.outbox import TooMany
from scheduler.problem import Problem
from scheduler.web import accounts
from scheduler.web.guard import MOST_WAITING, OF_BOTH
from tests.support import until, webinar
from tests.web.organizers.conftest import HOST, NOW, PASSWORD, Room

TEXT = "/templates/confirmation/en"


def in_loop(test: Callable[[Room], Awaitable[None]]) -> Callable[[Room, asyncio.Runner], None]:
    @functools.wraps(test)
    def run(room: Room, loop: asyncio.Runner) -> None:
        loop.run(test(room))  # type: ignore[arg-type]

    del run.__wrapped__  # pytest looks there for what a test wants
    return run


async def ask(
    room: Room, client: httpx.AsyncClient, what: str, text: str = TEXT, **said: str
) -> httpx.Response:
    return await client.post(f"{text}/{what}", json=said, headers={"X-CSRF": room.csrf(client)})


# Signing in


@in_loop
async def test_nobody_sees_a_text_without_signing_in(room: Room) -> None:
    async with room.browser() as client:
        for path in ("/templates", TEXT, f"{TEXT}/history", "/templates/shown/x"):
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, "/templates/sign-in"), path
        for what in ("try", "save", "send"):
            assert (await client.post(f"{TEXT}/{what}", json={})).status_code == 401, what


@in_loop
async def test_who_signs_in_sees_the_list_and_who_signs_out_does_not(room: Room) -> None:
    async with room.browser(room.account()) as client:
        page = await client.get("/templates")
        assert page.status_code == 200
        assert "French" in page.text
        cookie = next(iter(client.cookies.jar))
        assert cookie.has_nonstandard_attr("HttpOnly")
        assert cookie.get_nonstandard_attr("SameSite").lower() == "strict"
        token = client.cookies["session"]
        out = await client.post("/templates/sign-out", data={"csrf": room.csrf(client)})
        assert out.status_code == 303
        client.cookies.set("session", token, domain="127.0.0.1")
        assert (await client.get("/templates")).status_code == 303, "the token is of no use any more"


@in_loop
async def test_a_session_ends_by_itself_and_with_its_account(room: Room) -> None:
    async with room.browser(room.account()) as client:
        room.later(hours=11, minutes=59)
        assert (await client.get("/templates")).status_code == 200
        room.later(minutes=2)
        assert (await client.get("/templates")).status_code == 303
    async with room.browser("ada@who.int") as client:
        room.account()  # a new password
        assert (await client.get("/templates")).status_code == 303


@in_loop
async def test_a_wrong_password_and_a_wrong_address_are_told_alike_and_not_for_ever(room: Room) -> None:
    room.account()
    async with room.browser() as client:

        async def sign_in(address: str, password: str) -> httpx.Response:
            return await client.post("/templates/sign-in", data={"address": address, "password": password})

        wrong, nobody = await sign_in("ada@who.int", "wrong"), await sign_in("eve@who.int", PASSWORD)
        assert wrong.status_code == nobody.status_code == 403
        assert wrong.text == nobody.text
        for _ in range(OF_BOTH - 1):
            await sign_in("ada@who.int", "wrong")
        last = await sign_in("ada@who.int", PASSWORD)
        assert last.status_code == 429
        assert "15 minutes" in last.text


@in_loop
async def test_of_many_passwords_at_once_no_more_are_tried_than_one_after_the_other(room: Room) -> None:
    room.account()
    async with room.browser() as client:
        tries = [{"address": "ada@who.int", "password": f"wrong {n}"} for n in range(99)]
        right = {"address": "ada@who.int", "password": PASSWORD}
        asked = [client.post("/templates/sign-in", data=one) for one in [*tries, right]]
        found = [answer.status_code for answer in await asyncio.gather(*asked)]
    assert found.count(403) == OF_BOTH
    assert found.count(429) == 100 - OF_BOTH


@in_loop
async def test_failing_in_an_editors_name_does_not_lock_out_the_browser_that_they_know(room: Room) -> None:
    """OWASP, "Slow Down Online Guessing Attacks with Device Cookies"."""
    right = {"address": room.account(), "password": PASSWORD}
    guess = right | {"password": "guessed again"}
    async with room.browser(right["address"]) as theirs, room.browser() as attacker:
        theirs.cookies.delete("session")
        while (await attacker.post("/templates/sign-in", data=guess)).status_code != 429:
            pass
        assert (await attacker.post("/templates/sign-in", data=right)).status_code == 429
        attacker.cookies.set("known", f"0{theirs.cookies['known']}", domain="127.0.0.1")
        assert (await attacker.post("/templates/sign-in", data=right)).status_code == 429, "forged"
        assert (await theirs.post("/templates/sign-in", data=right)).status_code == 303


@in_loop
async def test_a_flood_of_guesses_from_everywhere_does_not_lock_out_the_browser_that_they_know(
    room: Room,
) -> None:
    right, flooding, full = {"address": room.account(), "password": PASSWORD}, True, asyncio.Event()
    app, networks = room.editor.app, itertools.count(256)

    async def guess() -> None:
        while flooding:
            come_from = httpx.ASGITransport(app, client=(f"2001:db8:{next(networks):x}::1", 1))
            async with httpx.AsyncClient(transport=come_from, base_url=f"http://{HOST}") as client:
                answer = await client.post("/templates/sign-in", data=right | {"password": "guessed"})
                if answer.status_code == 429:
                    full.set()

    async with room.browser(right["address"]) as theirs:
        flood = [asyncio.create_task(guess()) for _ in range(MOST_WAITING + 5)]
        try:
            async with asyncio.timeout(30):
                await full.wait()
            for _ in range(3):
                theirs.cookies.delete("session")
                answer = await theirs.post("/templates/sign-in", data=right)
                assert (answer.status_code, answer.text) == (303, "")
        finally:
            flooding = False
            await asyncio.gather(*flood)


@in_loop
async def test_a_password_that_was_not_compared_does_not_count(room: Room) -> None:
    """Where too many wait."""
    right = {"address": room.account(), "password": PASSWORD}
    async with room.browser() as client:
        for _ in range(2):
            asked = [
                client.post("/templates/sign-in", data={"address": f"{n}@who.int", "password": "guessed"})
                for n in range(20)
            ]
            found = [answer.status_code for answer in await asyncio.gather(*asked)]
            assert {403, 429} == set(found)
        assert (await client.post("/templates/sign-in", data=right)).status_code == 303


@in_loop
async def test_who_waits_for_a_password_to_be_compared_is_answered_when_the_editor_stops(room: Room) -> None:
    goes_on = threading.Event()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounts, "verify_password", lambda password, hash_: goes_on.wait(30) and False)
        await _stops_while_passwords_wait(room, goes_on)


async def _stops_while_passwords_wait(room: Room, goes_on: threading.Event) -> None:
    async with room.browser() as client:
        asked = [
            asyncio.create_task(client.post("/templates/sign-in", data={"address": f"{n}@who.int"}))
            for n in range(5)
        ]
        signing = room.editor._signing
        await until(lambda: len(signing._hashing._others) > 1)
        signing.stop()
        goes_on.set()
        found = {answer.status_code for answer in await asyncio.gather(*asked)}
        assert found <= {403, 429}
        assert 429 in found
        assert (await client.post("/templates/sign-in")).status_code == 429


@in_loop
async def test_over_https_browsers_are_told_to_stay_there(room: Room) -> None:
    room.editor._desk.https = True
    room.editor._hosts.add("texts.who.int")
    async with room.browser() as client:
        for host in ("texts.who.int", "Texts.WHO.int:443"):
            answer = await client.get("/templates/sign-in", headers={"Host": host})
            assert answer.status_code == 200, host
            assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert (await client.get("/", headers={"Host": "texts.who.int:8443"})).status_code == 421


@in_loop
async def test_a_page_by_its_own_name_is_its_own_whether_or_not_a_proxy_adds_the_port(room: Room) -> None:
    """Browsers leave the usual port out of Origin (RFC 6454, 6.2); not every proxy leaves it out of Host."""
    room.editor._desk.https = True
    room.editor._hosts.add("texts.who.int")
    data = {"address": room.account(), "password": PASSWORD}
    async with room.browser() as client:
        for host in ("texts.who.int", "Texts.WHO.int:443"):
            for origin, status in (
                ("https://texts.who.int", 303),
                ("https://texts.who.int:8443", 403),
                ("null", 403),
            ):
                headers = {"Host": host, "Origin": origin}
                answer = await client.post("/templates/sign-in", data=data, headers=headers)
                assert answer.status_code == status, headers


@in_loop
async def test_a_page_elsewhere_changes_nothing(room: Room) -> None:
    async with room.browser(room.account()) as client:
        before = room.file().read_text()
        said = {"source": "x", "began_with": digest(before)}
        for headers in (
            {},
            {"X-CSRF": "guessed"},
            {"X-CSRF": room.csrf(client), "Origin": "https://evil.example"},
        ):
            answer = await client.post(f"{TEXT}/save", json=said, headers=headers)
            assert answer.status_code == 403, headers
        assert room.file().read_text() == before


@in_loop
async def test_a_page_elsewhere_signs_nobody_in(room: Room) -> None:
    data = {"address": room.account(), "password": PASSWORD}
    async with room.browser() as client:
        answer = await client.post(
            "/templates/sign-in", data=data, headers={"Origin": "https://evil.example"}
        )
        assert answer.status_code == 403
        assert not client.cookies


@in_loop
async def test_it_answers_to_its_own_names_only(room: Room) -> None:
    async with room.browser() as client:
        for host in ("evil.example", "evil.example:8090", "127.0.0.1", ""):
            answer = await client.get("/templates/sign-in", headers={"Host": host})
            assert answer.status_code == 421, host
        answer = await client.get("/templates/sign-in")
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


@in_loop
async def test_nothing_but_texts_can_be_opened(room: Room) -> None:
    async with room.browser(room.account()) as client:
        for path in ("/templates/layout/html", "/templates/..%2f..%2fetc/passwd", "/templates/confirmation/xx",
                     "/templates/files/app.py", "/templates/_layout/en"):  # fmt: skip
            assert (await client.get(path)).status_code == 404, path


# As they type


@in_loop
async def test_the_mail_is_shown_as_it_is_typed(room: Room) -> None:
    source = room.file("reminder-day", "fr").read_text()
    async with room.browser(room.account()) as client:
        text = "/templates/reminder-day/fr"
        answer = await ask(room, client, "try", text, source=source, zone="Asia/Kathmandu", whole="yes")
        said = answer.json()
        assert said["problems"] == []
        assert "16:45" in said["mail"]["text"]
        assert said["mail"]["invitation"] is None
        frame = await client.get(said["mail"]["frame"])
        assert "Katmandou" in frame.text
        assert "sandbox" in frame.headers["content-security-policy"]
        assert said["values"]["webinar.title"] == "Buying health products"
        text, source = "/templates/change/en", room.file("change").read_text()
        changed = (await ask(room, client, "try", text, source=source, whole="yes")).json()
        assert changed["problems"] == []
        assert changed["values"]["what_changed"] == "New time and link"
        assert changed["mail"]["subject"] == "New time and link: Buying health products"
        assert "13:00–15:00, was 12:00–14:00" in changed["mail"]["text"]
        invited = (await ask(room, client, "try", source=room.file().read_text())).json()["mail"][
            "invitation"
        ]
        assert invited["start"].startswith("2025-07-03T11:00:00")


@pytest.mark.parametrize(
    ("written", "line", "found", "hint", "wrong"),
    [
        ("{{ nmae }}", 1, "unknown variable `nmae`", "did you mean `name`?", True),
        ("{% if name %}", 1, "", "", True),
        ("at 15:00", 1, "`15:00`: a fixed hour", "{{ times }}", False),
        ("13:00 CET", 1, "`CET`: on that date the webinar's clock shows CEST", "{{ times }}", True),
        ("Friday, 3 July", 1, "Friday", "{{ times }}", True),
        ("![](https://who.int/a.png)", 1, "a picture without a description", "what it shows", False),
        ("[here](http://who.int)", 1, "a link to `http://who.int`", "https://…", True),
    ],
)
def test_a_mistake_is_named_with_its_line_and_how_to_fix_it(
    room: Room, loop: asyncio.Runner, written: str, line: int, found: str, hint: str, wrong: bool
) -> None:
    @in_loop
    async def run(room: Room) -> None:
        source = room.file().read_text().rstrip("\n")
        where = source.count("\n") + 2 + line
        async with room.browser(room.account()) as client:
            said = (await ask(room, client, "try", source=f"{source}\n\n{written}\n")).json()
        close = [one for one in said["problems"] if found in one["found"] and one["wrong"] == wrong]
        assert close, said["problems"]
        assert hint in close[0]["hint"]
        assert close[0]["line"] in (where, 0) if not found else close[0]["line"] == where

    run(room, loop)


@pytest.mark.parametrize(
    ("written", "old", "new"),
    [
        ("{{ nmae }}", "nmae", "name"),
        ("{{ webinar.tittle }}", "webinar.tittle", "webinar.title"),
        ("Dear *|FNAME|*,", "*|FNAME|*", "{{ name }}"),
        ("[here](http://who.int/a)", "http://who.int/a", "https://who.int/a"),
    ],
)
def test_a_mistake_comes_with_the_change_that_fixes_it_where_there_is_one(
    room: Room, loop: asyncio.Runner, written: str, old: str, new: str
) -> None:
    @in_loop
    async def run(room: Room) -> None:
        source = room.file().read_text()
        async with room.browser(room.account()) as client:
            said = (await ask(room, client, "try", source=f"{source}\n{written}\n", whole="yes")).json()
            (problem,) = said["problems"]
            assert problem["fix"] == {"old": old, "new": new}
            fixed = f"{source}\n{written.replace(old, new)}\n"
            said = (await ask(room, client, "try", source=fixed, whole="yes")).json()
            assert said["problems"] == []

    run(room, loop)


@in_loop
async def test_a_mail_without_its_link_or_times_comes_with_the_block_that_says_them(room: Room) -> None:
    source = room.file().read_text()
    async with room.browser(room.account()) as client:
        for block in ("{{ join_button }}", "{{ times }}"):
            lacking = source.replace(f"{block}\n", "")
            said = (await ask(room, client, "try", source=lacking, whole="yes")).json()
            assert {"old": "", "new": block} in [one["fix"] for one in said["problems"]], said["problems"]


@in_loop
async def test_the_source_of_a_mail_is_shown_where_somebody_asks_for_it(room: Room) -> None:
    source = room.file().read_text()
    async with room.browser(room.account()) as client:
        raw = (await ask(room, client, "try", source=source, raw="yes")).json()["mail"]["source"]
        assert "multipart/alternative" in raw
        assert not (await ask(room, client, "try", source=source)).json()["mail"]["source"]


@in_loop
async def test_a_question_without_a_text_is_about_the_one_in_the_folder(room: Room) -> None:
    async with room.browser(room.account()) as client:
        french = (await ask(room, client, "try", "/templates/confirmation/fr")).json()
    assert "confirmée" in french["mail"]["subject"]


@in_loop
async def test_a_file_keeps_the_bytes_that_nobody_changed(room: Room) -> None:
    """The ends of its lines, and a byte order mark."""
    written = b"\xef\xbb\xbf" + room.file().read_bytes().replace(b"\n", b"\r\n")
    room.file().write_bytes(written)
    source = written.decode("utf-8-sig")
    async with room.browser(room.account()) as client:
        said = (await ask(room, client, "save", source=source, began_with=digest(source))).json()
        assert (said["sound"], said["difference"]) == (True, [])
        assert room.file().read_bytes() == written
        more = f"{source}More.\r\n"
        await ask(room, client, "save", source=more, began_with=said["began_with"])
        assert room.file().read_bytes() == written + b"More.\r\n"


@in_loop
async def test_a_text_that_no_webinar_sends_yet_is_shown_too(room: Room) -> None:
    room.file("thank-you").parent.mkdir()
    room.file("thank-you").write_text(room.file("follow-up").read_text())
    async with room.browser(room.account()) as client:
        said = (
            await ask(
                room, client, "try", "/templates/thank-you/en", source=room.file("thank-you").read_text()
            )
        ).json()
    assert said["mail"]["subject"], said["problems"]


@in_loop
async def test_a_reminder_without_the_link_is_named_for_every_reader(room: Room) -> None:
    source = room.file("reminder-day").read_text().replace("{{ join_button }}", "")
    async with room.browser(room.account()) as client:
        said = (
            await ask(room, client, "try", "/templates/reminder-day/en", source=source, whole="yes")
        ).json()
    assert any("the link to join" in one["found"] for one in said["problems"])


@in_loop
async def test_a_text_that_never_ends_is_stopped_and_the_next_one_is_shown(room: Room) -> None:
    good = room.file().read_text()
    heavy = good + "\n" + "{{ name | replace('', 'x' * 9999) | replace('x', 'y' * 9999) }}\n"
    async with room.browser(room.account()) as client:
        said = (await ask(room, client, "try", source=heavy)).json()
        assert said["mail"] is None
        assert said["problems"]
        assert (await ask(room, client, "try", source=good)).json()["mail"]


@in_loop
async def test_somebody_of_the_list_a_very_long_name_and_a_zone_that_is_a_guess(room: Room) -> None:
    source = room.file().read_text()
    with room.database.transaction() as conn:
        conn.exec_driver_sql(
            "INSERT INTO registrants (webinar, email, name, timezone)"
            " VALUES ('w', 'maya@who.int', 'Maya', 'Asia/Tokyo')"
        )
    async with room.browser(room.account()) as client:
        maya = (await ask(room, client, "try", source=source, registrant="maya@who.int")).json()["mail"]
        assert "Maya" in maya["text"]
        assert "20:00" in maya["text"]
        nobody = (await ask(room, client, "try", source=source, registrant="eve@who.int")).json()
        assert "nobody with that address" in nobody["problems"][0]["found"]
        long = (await ask(room, client, "try", source=source, name="long")).json()["mail"]
        assert "Wolfeschlegel" in long["text"]
        guess = (await ask(room, client, "try", source=source, assumed="yes", zone="Asia/Tokyo")).json()[
            "mail"
        ]
        sure = (await ask(room, client, "try", source=source, zone="Asia/Tokyo")).json()["mail"]
        assert guess["text"] != sure["text"]
        lost = (await ask(room, client, "try", source=source, zone="Atlantis")).json()
        assert lost["problems"][0]["found"]


# Saving


@in_loop
async def test_what_is_saved_is_in_the_file_and_on_record(room: Room) -> None:
    before = room.file().read_text()
    after = before + "\nSee you there.\n"
    async with room.browser(room.account()) as client:
        said = (
            await ask(room, client, "save", source=after, began_with=digest(before), note="a last line")
        ).json()
        assert said["sound"]
        assert ["+", [["+", "See you there."]]] in said["difference"]
        assert room.file().read_text() == after
        assert [one.name for one in room.file().parent.iterdir() if one.name.startswith(".")] == []
        page = (await client.get(f"{TEXT}/history")).text
        assert "ada@who.int" in page
        assert "a last line" in page
        again = after + "Really.\n"
        await ask(room, client, "save", source=again, began_with=said["began_with"])
        newer, oldest = re.findall(r"revision=(\d+)", (await client.get(f"{TEXT}/history")).text)
        page = (await client.get(f"{TEXT}?revision={newer}")).text
        assert "It is not saved yet" in page
        assert "See you there." in page
        assert "Really." not in page
        assert "See you there." not in (await client.get(f"{TEXT}?revision={oldest}")).text


@in_loop
async def test_two_editors_at_once_lose_nothing(room: Room) -> None:
    before = room.file().read_text()
    async with room.browser(room.account()) as ada, room.browser(room.account("bob@who.int")) as bob:
        said = {"began_with": digest(before)}
        assert (await ask(room, ada, "save", source=before + "Ada's.\n", **said)).status_code == 200
        answer = await ask(room, bob, "save", source=before + "Bob's.\n", **said)
        assert answer.status_code == 409
        conflict = answer.json()
        assert conflict["theirs"].endswith("Ada's.\n")
        assert ["~", [["-", "Ada"], ["+", "Bob"], [" ", "'s."]]] in conflict["difference"]
        assert room.file().read_text().endswith("Ada's.\n")
        both = before + "Ada's.\nBob's.\n"
        assert (
            await ask(room, bob, "save", source=both, began_with=conflict["theirs_began_with"])
        ).status_code == 200
        assert room.file().read_text() == both


@in_loop
async def test_a_file_that_git_changed_underneath_is_a_conflict_too(room: Room) -> None:
    before = room.file().read_text()
    async with room.browser(room.account()) as client:
        room.file().write_text(before + "By hand.\n")
        answer = await ask(room, client, "save", source=before + "Mine.\n", began_with=digest(before))
        assert answer.status_code == 409
        assert room.file().read_text() == before + "By hand.\n"


@in_loop
async def test_an_unsound_text_is_kept_as_a_draft(room: Room) -> None:
    before = room.file().read_text()
    async with room.browser(room.account()) as client:
        said = (
            await ask(room, client, "save", source=before + "{{ nmae }}\n", began_with=digest(before))
        ).json()
        assert not said["sound"]
        assert "nmae" in said["problems"][0]["found"]
    room.problems = {("confirmation", "en"): (Problem("x", "unknown variable `nmae`"),)}
    async with room.browser("ada@who.int") as client:
        page = (await client.get("/templates")).text
        assert ">draft<" in page
        assert "unknown variable `nmae`" in page
        assert "the last sound version goes out" in page
        room.current = set()
        page = (await client.get("/templates")).text
        assert "its mails wait until it is fixed" in page
    room.current, room.webinars = {("confirmation", "en")}, {"w": webinar(on_broken="hold")}
    async with room.browser("ada@who.int") as client:
        assert ">broken<" in (await client.get("/templates")).text


@in_loop
async def test_the_editor_says_of_mistakes_what_the_list_says(room: Room) -> None:
    async with room.browser(room.account()) as client:
        page = (await client.get(TEXT)).text
        assert 'data-if-mistaken="draft" data-meanwhile="the last sound version goes out"' in page
        room.current = set()
        page = (await client.get(TEXT)).text
        assert 'data-if-mistaken="broken" data-meanwhile="its mails wait until it is fixed"' in page


@in_loop
async def test_only_mistakes_keep_a_text_from_going_out(room: Room) -> None:
    source = room.file().read_text()
    async with room.browser(room.account()) as client:
        for written, stops in (("{{ nmae }}", True), ("It is on Monday 3 July 2025.", False)):
            said = (await ask(room, client, "try", source=f"{source}\n{written}\n", whole="yes")).json()
            assert [one["stops"] for one in said["problems"]] == [stops], said["problems"]


# The timeline


@in_loop
async def test_a_running_service_has_the_timeline_with_the_people_of_each_zone(room: Room) -> None:
    with room.database.transaction() as conn:
        for number in (1, 2):
            values = {"webinar": "w", "address_folded": f"{number}@example.org", "zone": "Asia/Kathmandu"}
            conn.execute(insert(table(Registration)), {**values, "first_seen_at": NOW})
    async with room.browser(room.account()) as client:
        page = await client.get("/templates/timeline?webinar=w")
        assert page.status_code == 200
        assert "Kathmandu" in page.text
        assert "2 people" in page.text
        assert '<a href="/templates/timeline" aria-current="page">' in page.text
        assert 'href="/">Inbox' not in page.text, "there is an inbox in a rehearsal only"
        picture = await client.get("/templates/timeline/w.svg")
        assert picture.headers["content-type"] == "image/svg+xml"
        assert "Kathmandu" in picture.text
        policy = picture.headers["content-security-policy"]
        assert "style-src 'unsafe-inline'" in policy
        assert "script-src" not in policy
        assert "sandbox" in policy
        assert "'unsafe-inline'" not in page.headers["content-security-policy"]
        for path in ("/templates/timeline?webinar=other", "/templates/timeline/other.svg"):
            assert (await client.get(path)).status_code == 404
    async with room.browser() as client:
        for path in ("/templates/timeline", "/templates/timeline/w.svg"):
            assert (await client.get(path)).status_code == 303


@in_loop
async def test_without_people_the_timeline_shows_zones_around_the_world_and_webinars_to_choose(
    room: Room,
) -> None:
    room.webinars = {"w": webinar(), "v": webinar(id="v", title="Another")}
    async with room.browser(room.account()) as client:
        page = (await client.get("/templates/timeline")).text
        assert "Kathmandu" in page
        assert re.findall(r'<option value="(\w)"', page) == ["v", "w"]
        room.webinars = {}
        assert "There is no webinar yet" in (await client.get("/templates/timeline")).text


@in_loop
async def test_a_text_without_javascript_is_shown_as_it_is_written(room: Room) -> None:
    async with room.browser(room.account()) as client:
        (shown,) = re.findall(r"<noscript>.*?</noscript>", (await client.get(TEXT)).text, re.DOTALL)
        assert "{{ join_button }}" in shown


@in_loop
async def test_a_text_is_tried_with_the_layout_that_governs_and_saved_even_without_one(room: Room) -> None:
    before, source = room.file().read_text(), room.file().read_text() + "A last line.\n"
    governing = read_layout(room.root)
    (room.root / "_layout/layout.html").write_text("<p>no place for the text</p>")
    async with room.browser(room.account()) as client:
        said = (await ask(room, client, "save", source=source, began_with=digest(before))).json()
        assert not said["sound"]
        assert "layout.html" in said["problems"][0]["found"]
        room.layout = governing
        said = (await ask(room, client, "save", source=before, began_with=said["began_with"])).json()
        assert said["sound"]


@in_loop
async def test_who_may_only_look_and_a_folder_that_can_only_be_read(room: Room) -> None:
    before = room.file().read_text()
    async with room.browser(room.account("eve@who.int", "view")) as client:
        assert "may look at the texts" in (await client.get(TEXT)).text
        answer = await ask(room, client, "save", source="x", began_with=digest(before))
        assert answer.status_code == 403
        assert (await ask(room, client, "try", source=before)).json()["mail"], "they see it all the same"
    assert room.file().read_text() == before


@in_loop
async def test_a_text_that_is_missing_begins_with_the_english_one(room: Room) -> None:
    room.webinars = {"w": webinar(languages=["en", "de"])}
    async with room.browser(room.account()) as client:
        assert "missing" in (await client.get("/templates")).text
        text = "/templates/confirmation/de"
        assert "the English one, to be translated" in (await client.get(text)).text
        source = room.file().read_text()
        assert (
            await ask(room, client, "save", text, source=source, began_with=digest(""))
        ).status_code == 200
        assert room.file(language="de").read_text() == source


@in_loop
async def test_what_a_registrant_or_a_text_says_is_never_markup_of_the_page(room: Room) -> None:
    hostile = '</textarea><script>alert(1)</script>"><img src=x onerror=alert(1)>'
    before = room.file().read_text()
    async with room.browser(room.account()) as client:
        await ask(room, client, "save", source=before + hostile, began_with=digest(before), note=hostile)
        for page in (TEXT, f"{TEXT}/history"):
            text = (await client.get(page)).text
            assert "<script>alert" not in text
            assert "<img" not in text
        for size in (300_000, 3_000_000):
            huge = await ask(room, client, "try", source="x" * size)
            assert huge.status_code == 413


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"[" * 100_000, 400, id="deep"),
        pytest.param(b'{"source": "\\ud800"}', 400, id="a lone surrogate"),
        pytest.param(b'{"source": "\\u0000"}', 400, id="NUL"),
        pytest.param(b'{"registrant": "a\\u0000@who.int"}', 400, id="NUL in an address"),
        pytest.param(b'{"source": {"a": 1}, "zone": ["x"], "webinar": 7}', 200, id="no texts"),
        pytest.param(b"\xff\xfe", 400, id="no UTF-8"),
        pytest.param(b"null", 400, id="null"),
        pytest.param(b"NaN", 400, id="NaN"),
        pytest.param(b'{"zone": "Mars/Base", "source": "x"}', 200, id="an unknown zone"),
    ],
)
def test_whatever_is_asked_is_no_fault_of_ours(
    room: Room, loop: asyncio.Runner, body: bytes, status: int
) -> None:
    async def asked() -> int:
        async with room.browser(room.account()) as client:
            answer = await client.post(f"{TEXT}/try", content=body, headers={"X-CSRF": room.csrf(client)})
            return answer.status_code

    assert loop.run(asked()) == status


@pytest.mark.full  # several seconds of computing
@in_loop
async def test_a_text_that_computes_for_ever_keeps_no_page_waiting(room: Room) -> None:
    """A view account is enough to type it."""
    bomb = f"---\nsubject: x\n---\n{'a{{' * 60_000}"
    async with room.browser(room.account("eve@who.int", "view")) as eve, room.browser(room.account()) as ada:
        hers = [asyncio.ensure_future(ask(room, eve, "try", source=bomb, whole="yes")) for _ in range(4)]
        async with asyncio.timeout(10):
            assert (await ada.get("/templates")).status_code == 200, "a page needs no child"
        assert (await ask(room, ada, "try", source=room.file().read_text())).json()["mail"]
        assert all(answer.status_code == 200 for answer in await asyncio.gather(*hers))


@in_loop
async def test_beyond_a_number_of_texts_that_wait_it_says_so(room: Room) -> None:
    async with room.browser(room.account()) as client:
        source = room.file().read_text()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("scheduler.web.organizers.trial.MOST_WAITING", 2)
            answers = await asyncio.gather(*(ask(room, client, "try", source=source) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {200, 503}
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)


@in_loop
async def test_one_account_takes_no_more_than_its_share_and_a_save_that_is_not_tried_yet_is_one(
    room: Room,
) -> None:
    source = room.file().read_text()
    async with room.browser(room.account("eve@who.int", "view")) as eve, room.browser(room.account()) as ada:
        hers = [asyncio.ensure_future(ask(room, eve, "try", source=source)) for _ in range(20)]
        await asyncio.sleep(0)
        assert (await ask(room, ada, "try", source=source)).json()["mail"], (
            "who types much keeps nobody else waiting"
        )
        assert {one.status_code for one in await asyncio.gather(*hers)} == {200, 503}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("scheduler.web.organizers.trial.MOST_WAITING", 0)
            saved = await ask(room, ada, "save", source=source + "\nMore.\n", began_with=digest(source))
        assert (saved.status_code, saved.json()["sound"]) == (200, None)
        assert room.file().read_text() == source + "\nMore.\n"
        again = await ask(room, ada, "save", source=source, began_with=saved.json()["began_with"])
        assert again.json()["sound"], "and it is no conflict"


@pytest.mark.full  # seconds of computing
@in_loop
async def test_a_mail_that_loops_make_huge_is_named_and_not_kept(room: Room) -> None:
    loops = "{% for a in name %}" * 4 + "{{ name }}" + "{% endfor %}" * 4
    async with room.browser(room.account()) as client:
        huge = {"source": f"---\nsubject: x\npreheader: y\n---\n{loops}\n", "name": "long"}
        said = (await ask(room, client, "try", **huge)).json()
        assert said["mail"] is None
        assert said["problems"]
        assert (await ask(room, client, "try", source=room.file().read_text())).json()["mail"]


@in_loop
async def test_a_folder_that_hangs_says_so_and_costs_no_stack(room: Room) -> None:
    released, look = threading.Event(), room.look
    async with room.browser(room.account()) as client:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(room.editor._desk, "files", Aside("the folder of texts", 0.1, 4))
            patch.setattr(room, "look", lambda: (released.wait(20), look())[1])
            answers = await asyncio.gather(*(client.get("/templates") for _ in range(6)))
            assert {(one.status_code, one.text) for one in answers} == {
                (503, "The folder of texts does not answer. Try again.")
            }
            assert (await client.get("/templates/sign-in")).status_code == 303, "the rest goes on"
        released.set()
        assert (await client.get("/templates")).status_code == 200


# Sending oneself a mail


@in_loop
async def test_who_may_only_look_sends_nothing_and_who_sends_too_much_hears_it(room: Room) -> None:
    source = room.file().read_text()
    async with room.browser(room.account("eve@who.int", "view")) as client:
        assert "Send me this" not in (await client.get(TEXT)).text
        assert (await ask(room, client, "send", source=source)).status_code == 403
    async with room.browser(room.account()) as client:
        room.refusal = TooMany()
        answer = await ask(room, client, "send", source=source)
        assert answer.status_code == 429
        assert "in an hour" in answer.json()["error"]


@in_loop
async def test_send_me_this_is_marked_and_has_a_uid_of_its_own(room: Room) -> None:
    async with room.browser(room.account()) as client:
        said = (await ask(room, client, "send", source=room.file().read_text(), zone="Asia/Tokyo")).json()
        assert said == {"sent_to": "ada@who.int"}
        await ask(room, client, "send", source=room.file().read_text())
        room.refusal = "rcpt: 550 5.1.1 no such user"
        refused = await ask(room, client, "send", source=room.file().read_text())
        assert refused.status_code == 502
        assert "no such user" in refused.json()["error"]
    uids = set()
    for address, content in room.sent[:2]:
        mail = message_from_bytes(content, policy=default)
        assert address == mail["To"] == "ada@who.int"
        assert mail["Subject"].startswith("[TEST] ")
        calendar = read_mail(content).calendar
        event = read_invitation(calendar)
        assert event
        assert event.summary.startswith("[TEST] ")
        uids.add(re.search(r"UID:(\S+)", calendar)[1])  # type: ignore[index]
    assert len(uids) == 2
