"""Secrets that change while the service runs: readiness and the commands name the same file, and say the same of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from scheduler.cli import main
from scheduler.clock import VirtualClock
from scheduler.database.engine import Database
from scheduler.service.service import Service
from scheduler.settings import read_settings
from tests.smtp_server import MailServer, ca_file, in_loop
from tests.support import Ledger, copy_texts, toml, utc

pytestmark = pytest.mark.engines("sqlite")
NOW = utc("2025-06-20 08:00")


@in_loop
async def test_a_password_that_is_rotated_wrongly_and_then_rightly(
    tmp_path: Path, database: Database
) -> None:
    (tmp_path / "webinars").mkdir()
    (tmp_path / "webinars" / "w.toml").write_text(toml(languages=["en"]), encoding="utf-8")
    copy_texts(tmp_path / "templates", "en")
    password = tmp_path / "password"
    password.write_text("first")
    async with MailServer(tls="starttls", users={"webinar": "second"}) as server:
        environ = {
            "DATABASE_URL": database.engine.url.render_as_string(hide_password=False),
            "CONFIG_DIR": str(tmp_path), "TEMPLATES_DIR": str(tmp_path / "templates"),
            "STATE_DIR": str(tmp_path / "state"),
            "SMTP_HOST": server.host, "SMTP_PORT": str(server.port), "SMTP_CA_FILE": ca_file(),
            "SMTP_USERNAME": "webinar", "SMTP_PASSWORD_FILE": str(password),
        }  # fmt: skip

        async def said_by(*command: str) -> str:
            result = await asyncio.to_thread(CliRunner().invoke, main, command, env=environ)
            assert "Traceback" not in result.output
            return " ".join(result.output.split())

        service, ledger = Service(read_settings(environ), database, VirtualClock(NOW)), Ledger(database)
        await service.start()
        ledger.register("a@people.test")
        await service.tick(NOW)
        await service.settled()
        await service.tick(NOW)
        await service.settled()
        readiness = service.readiness()
        assert "the relay takes no mail: auth: 535 5.7.8" in readiness.reasons
        assert "can't sign in with SMTP_USERNAME and SMTP_PASSWORD_FILE: auth: 535 5.7.8" in readiness.notes
        assert "auth: 535 5.7.8" in await said_by("check")
        assert "auth: 535 5.7.8" in json.loads(await said_by("status", "--json"))["alerts"][0]["words"]

        password.write_text("")
        await service.tick(NOW)
        await service.settled()
        (note,) = [note for note in service.readiness().notes if "empty" in note]
        assert "SMTP_PASSWORD_FILE: its file is empty" in note
        for command in ("check", "status"):
            assert "SMTP_PASSWORD_FILE: its file is empty" in await said_by(command)

        password.write_text("second")
        await service.tick(NOW)
        await service.settled()
        await service.tick(NOW)
        await service.settled()
        assert ledger.states("a@people.test")["confirmation"] == "sent", "at once, at the same instant"
        assert service.readiness().ready
        assert not [note for note in service.readiness().notes if "SMTP" in note]
        assert [mail.recipients for mail in server.mails] == [("a@people.test",)], (
            "no organizer read of a stop"
        )
        assert "takes mail" in await said_by("check")
        assert json.loads(await said_by("status", "--json"))["alerts"] == []
        await service.stop()
