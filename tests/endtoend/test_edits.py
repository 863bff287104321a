"""What organizers do to texts and webinars while the service runs."""

from __future__ import annotations

import shutil
from email.message import Message
from pathlib import Path

import pytest

from tests.endtoend.support import on_the_real_clock, people, scene, until


def text_of(mail: Message) -> str:
    """The plain text, decoded: on the wire a line may break within a word."""
    return _part(mail, "text/plain")


def html_of(mail: Message) -> str:
    return _part(mail, "text/html")


def _part(mail: Message, kind: str) -> str:
    return next(
        bytes(part.get_payload(decode=True)).decode()
        for part in mail.walk()
        if part.get_content_type() == kind
    )


@pytest.mark.full  # several seconds of waiting
@on_the_real_clock
async def test_a_text_is_broken_and_fixed(tmp_path: Path, database_url: str) -> None:
    """By default the last sound text goes out; a webinar that says "hold" waits. The organizer has two mails."""
    async with scene(tmp_path, database_url) as here:
        here.webinar()
        here.webinar("strict", on_broken="hold")
        text = here.templates / "confirmation" / "en.md"
        sound = text.read_text(encoding="utf-8")
        service = await here.run()
        await service.ready()

        here.write(text, sound.replace("{{ join_button }}", "{{ join_buton }}"))
        reason = await service.unready("confirmation/en.md")
        assert "did you mean `join_button`?" in reason
        first, second, third = people(3)
        here.sql.register([first])
        here.sql.register([second], webinar="strict")
        await until(lambda: here.relay.to(first), "the last sound text")
        await until(lambda: here.sql.states() == {"sent": 1, "held": 1}, "the other one held")
        await until(lambda: here.relay.told, "the organizer told")

        here.write(text, sound.replace("Thank you for registering", "Welcome, and thank you for registering"))
        await until(lambda: here.relay.to(second), "what was held")
        here.sql.register([third])
        await until(lambda: here.sql.states() == {"sent": 3}, "everything sent")
        await service.ready()
        await until(lambda: len(here.relay.told) == 2, "the organizer told again")

        welcomed = {one.to: "Welcome, and" in text_of(one.mail) for one in here.relay.of("confirmation")}
        assert welcomed == {first: False, second: True, third: True}
        assert here.relay.told == ["Action needed: text confirmation/en", "Resolved: text confirmation/en"]
        assert here.relay.counts().total() == 5


@pytest.mark.full  # several seconds of waiting
@on_the_real_clock
async def test_the_folder_of_texts_is_not_mounted_when_the_service_starts_again(
    tmp_path: Path, database_url: str
) -> None:
    """Nothing is held back: texts and layout go on as they were. Then it is mounted, and its layout is broken."""
    async with scene(tmp_path, database_url) as here:
        here.webinar(on_broken="hold")
        first, second, third, fourth = people(4)
        service = await here.run()
        await service.ready()
        here.sql.register([first])
        await until(lambda: here.relay.to(first), "a confirmation")
        service.terminate()
        assert await service.exited() == 0

        away = here.templates.rename(tmp_path / "away")
        here.templates.mkdir()
        service = await here.run()
        assert "the folder is empty" in await service.unready(str(here.templates))
        here.sql.register([second])
        await until(lambda: here.relay.to(second), "a confirmation without any file")

        layout = away / "_layout" / "layout.html"
        sound = layout.read_text(encoding="utf-8")
        here.write(layout, "<p>no place for the text</p>")
        here.templates.rmdir()
        away.rename(here.templates)
        layout = here.templates / "_layout" / "layout.html"
        await service.unready("layout.html")
        here.sql.register([third])
        await until(lambda: here.relay.to(third), "a confirmation within the last sound layout")
        here.write(layout, sound.replace("<title>", "<title>New: "))
        await service.ready()
        here.sql.register([fourth])
        await until(lambda: here.relay.to(fourth), "a confirmation within the new layout")
        await until(lambda: len(here.relay.told) == 2, "the organizer told twice")

        mails = here.relay.of("confirmation")
        assert ["<title>New: " in html_of(one.mail) for one in mails] == [False, False, False, True]
        assert len({text_of(one.mail).replace(one.to[:3], "") for one in mails}) == 1, "the same words"
        assert [one.partition(": ")[2] for one in here.relay.told] == ["layout", "layout"]
        await until(lambda: here.sql.states() == {"sent": 4}, "all on record")


@pytest.mark.full
@on_the_real_clock
async def test_two_replicas_with_different_files_send_the_same_text(
    tmp_path: Path, postgresql_url: str
) -> None:
    """Also when the one with the older files starts again."""
    async with scene(tmp_path, postgresql_url) as here:
        here.webinar()
        older = shutil.copytree(here.templates, tmp_path / "older")
        one = await here.run()
        await one.ready()
        other = await here.run(TEMPLATES_DIR=str(older))
        await other.ready()
        text = here.templates / "confirmation" / "en.md"
        sound = text.read_text(encoding="utf-8")
        here.write(text, sound.replace("Thank you for registering", "Welcome, and thank you for registering"))
        count = "SELECT count(*) FROM text_revision WHERE message = 'confirmation'"
        await until(lambda: here.sql(count) == [(2,)], "the new text governs")
        other.terminate()
        assert await other.exited() == 0
        other = await here.run(TEMPLATES_DIR=str(older))
        await other.ready()
        one.terminate()
        assert await one.exited() == 0
        here.sql.register(people(3))
        await here.relay.took(3)
        assert all("Welcome, and" in text_of(one.mail) for one in here.relay.of("confirmation"))
        await until(lambda: any(event["event"] == "sent" for event in other.events), "said to have sent them")
        assert here.sql(count) == [(2,)]


@pytest.mark.full  # several seconds of waiting
@on_the_real_clock
async def test_a_webinars_file_is_broken_doubled_and_renamed(tmp_path: Path) -> None:
    async with scene(tmp_path, f"sqlite:///{tmp_path}/webinar.db") as here:
        file = here.webinar()
        here.webinar("other", alert_to="other-organizer@who.int")
        service = await here.run()
        await service.ready()
        first, second, third, fourth = people(4)
        here.sql.register([first])
        await until(lambda: here.relay.to(first), "a confirmation")

        sound = file.read_text(encoding="utf-8")
        here.write(file, sound.replace("Africa/Nairobi", "Africa/Nairobbi"))
        assert "may be meant: Africa/Nairobi" in await service.unready("webinars/w.toml, line")
        here.sql.register([second])
        here.sql.register([third], webinar="other")
        await until(lambda: here.relay.to(third), "the other webinar's confirmation")
        await until(lambda: here.relay.to(second), "a confirmation by the last sound file")
        await until(lambda: here.relay.told, "the organizer told")
        here.write(file, sound)
        await service.ready()

        copy = here.write(file.with_name("copy.toml"), sound)
        await service.unready("webinars/w.toml, id: ")
        await service.unready("webinars/copy.toml, id: ")
        copy.unlink()
        await service.ready()

        file.rename(file.with_name("renamed.toml"))
        here.sql.register([fourth])
        await until(lambda: here.relay.to(fourth), "a confirmation by the renamed file")
        await service.ready()
        assert sorted(one.to for one in here.relay.of("confirmation")) == [first, second, third, fourth]
        await until(lambda: len(here.relay.told) >= 2, "the organizer told again")
        assert here.relay.told[:2] == [
            f"Action needed: webinar file {file}",
            f"Resolved: webinar file {file}",
        ]
        assert not here.relay.to("other-organizer@who.int")
