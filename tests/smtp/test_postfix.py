"""Against a real Postfix: STARTTLS, AUTH, mails in groups and in chunks, SMTPUTF8, SIZE, 8BITMIME."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.smtp.any_server import AnyServer
from tests.smtp.mail_servers import Relay, postfix

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    with postfix() as running:
        yield running


class TestPostfix(AnyServer):
    pass
