"""What is claimed and not sent yet."""

from __future__ import annotations

from scheduler.delivery.backlog import Backlog, Item
from scheduler.ledger.entries import Claimed
from tests.support import utc

AT = utc("2025-06-12 08:00")


def item(number: int, urgency: int = 1, token: str = "t") -> Item:
    return Claimed(
        id=number, token=token, registration_id=number, webinar="w", message="m", attempts=0, message_id="",
        due_at=AT, expires_at=AT, address="a@example.org", name="", language="en", zone="UTC", zone_known_by="",
        join_url="", uid="u", first_seen_at=AT, revision_id=1, urgency=urgency,
    ), None  # fmt: skip


def taken(backlog: Backlog) -> list[int]:
    found = []
    while one := backlog.pop():
        found.append(one[0].id)
    return found


def test_what_is_due_on_registration_comes_first_each_kind_in_its_order() -> None:
    backlog = Backlog()
    backlog.add([item(1), item(2), item(3, 0), item(4, 0)])
    backlog.add([item(5, 0)])
    assert taken(backlog) == [3, 4, 5, 1, 2]


def test_what_is_put_back_is_the_next_of_its_kind() -> None:
    backlog = Backlog()
    backlog.add([item(1), item(2), item(3, 0)])
    first, second = backlog.pop(), backlog.pop()
    assert first
    assert second
    backlog.put_back(second)
    backlog.put_back(first)
    assert taken(backlog) == [3, 1, 2]


def test_what_one_worker_waits_to_send_is_not_promised_to_another() -> None:
    backlog = Backlog()
    backlog.add([item(number) for number in range(10)])
    with backlog.reserve(8) as eight, backlog.reserve(8) as two, backlog.reserve(8) as none:
        assert (eight, two, none) == (8, 2, 0)
    assert backlog.free == 10


def test_a_lease_is_known_from_the_claim_until_its_outcome_is_on_record() -> None:
    backlog = Backlog()
    backlog.add([item(1, token="one"), item(2, token="two")])
    found = backlog.pop()
    assert found
    assert backlog.leased.keys() == {1, 2}
    backlog.discard([found[0]])
    assert backlog.leased.keys() == {2}
    assert len(backlog.pop_all()) == 1
    assert backlog.leased.keys() == {2}
