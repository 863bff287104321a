"""Against a real Exim: STARTTLS, AUTH, mails in groups and in chunks, SMTPUTF8, SIZE, 8BITMIME."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.smtp.any_server import AnyServer
from tests.smtp.mail_servers import Relay, exim

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    with exim() as running:
        yield running


class TestExim(AnyServer):
    pass
