"""Ends of the service, gentle and not: nothing is lost, and nothing is doubled but what the ledger had in doubt."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.endtoend.support import Process, Scene, on_the_real_clock, people, scene, until

TWO_AT_ONCE = """
[[messages]]
id = "confirmation"
on_registration = true

[[messages]]
id = "reminder-day"
on_registration = true
invitation = "none"
"""


@pytest.mark.parametrize(
    ("many", "kills"),
    [
        (40, ()),
        pytest.param(120, (110,), marks=pytest.mark.full),
        pytest.param(120, (40, 110), marks=pytest.mark.full),
    ],
)
@on_the_real_clock
async def test_killed_in_a_burst_again_and_again(
    tmp_path: Path, database_url: str, many: int, kills: tuple[int, ...]
) -> None:
    """When so many mails have come, and once more with mails on the wire and others ahead."""
    async with scene(tmp_path, database_url) as here:
        here.webinar(sequence=TWO_AT_ONCE)
        service = await here.run()
        await service.ready()
        here.sql.register(people(many))
        for accepted in kills:
            await here.relay.took(accepted)
            service = await _killed_and_restarted(here, service)
        await here.relay.took(2 * many - 60)
        here.relay.answering.clear()
        await until(lambda: here.relay.unanswered == 4, "a mail on each connection without an answer")
        cut_off = {(one.to, one.message) for one in here.relay.arrivals[-4:]}
        service = await _killed_and_restarted(here, service)
        here.relay.answering.set()
        await until(lambda: here.sql.states() == {"sent": 2 * many}, "everything sent", within=40)
        service.terminate()
        assert await service.exited() == 0

        kinds = ("confirmation", "reminder-day")
        assert here.relay.counts().keys() == {(to, kind) for to in people(many) for kind in kinds}
        doubled = here.doubled()
        assert cut_off <= doubled, "what has no answer is sent once more"
        assert here.sql.in_doubt().total() <= 4 * (len(kills) + 1), (
            "no more is in doubt than what was on the wire"
        )
        for to, message in doubled:
            same = [one for one in here.relay.to(to) if one.message == message]
            assert len({one.mail["Message-ID"] for one in same}) == 1, "a receiver can drop the second copy"


async def _killed_and_restarted(here: Scene, service: Process) -> Process:
    await service.kill()
    assert here.sql.states().keys() != {"sent"}, "too late to lose anything"
    return await here.run()


@pytest.mark.full  # several seconds of waiting
@on_the_real_clock
async def test_a_gentle_end_waits_for_the_mails_on_the_wire_and_begins_no_new_one(
    tmp_path: Path, database_url: str
) -> None:
    async with scene(tmp_path, database_url) as here:
        here.webinar()
        service = await here.run(SMTP_CONNECTIONS="2")
        await service.ready()
        here.relay.answering.clear()
        here.sql.register(people(8))
        await until(lambda: here.relay.unanswered == 2, "two mails on the wire")
        service.terminate()
        await until(lambda: '"stopping"' in service.stderr, "the signal has come")
        here.relay.answering.set()
        assert await service.exited() == 0
        assert here.relay.begun == 2
        assert here.sql.states() == {"sent": 2, "pending": 6}
        assert here.sql("SELECT count(*) FROM delivery WHERE lease_token IS NOT NULL") == [(0,)]

        here.relay.answering.clear()
        service = await here.run(SMTP_CONNECTIONS="2", DRAIN_SECONDS="0.3")
        await until(lambda: here.relay.unanswered == 2, "two more on the wire")
        service.terminate()
        assert await service.exited() == 0
        assert here.relay.begun == 4
        assert here.sql.states() == {"sent": 2, "in_doubt": 2, "pending": 4}
        left = {(one.to, one.message) for one in here.relay.arrivals[2:]}
        assert here.sql.in_doubt().keys() == left

        here.relay.answering.set()
        await here.run()
        await until(lambda: here.sql.states() == {"sent": 8}, "everything sent after the restart")
        assert here.relay.counts().keys() == {(to, "confirmation") for to in people(8)}
        assert here.doubled() == left
