"""Whatever is called: no error of ours, and each answer is what the document describes."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tests.web.api.support import Api
from tests.web.pages.support import Site

pytestmark = pytest.mark.full

# A schema cannot say what an address is; parameters that nobody asked for are passed over.
NO_FAULTS = [positive_data_acceptance, negative_data_rejection]


@pytest.fixture
def system(site: Site, monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setattr("scheduler.web.api.app.MOST_CALLS", 10**9)
    monkeypatch.setattr("scheduler.web.pages.limits.UNKNOWN", (10**9,) * 3)
    return Api(site)


def test_no_call_is_an_error_of_ours(site: Site, system: Api) -> None:
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", site.app)
    for operation in schema.get_all_operations():
        _call_often(operation.ok(), system)


def _call_often(operation: Any, system: Api) -> None:
    addresses = st.sampled_from(("maya@who.int", "ben@who.int", "é@who.int")) | st.none()
    cases = operation.as_strategy() | operation.as_strategy(
        generation_mode=schemathesis.GenerationMode.NEGATIVE
    )

    @given(case=cases, address=addresses)
    @settings(max_examples=80, suppress_health_check=list(HealthCheck), deadline=None)
    def call(case: Any, address: str | None) -> None:
        case.path_parameters["webinar"] = "w"
        if address and "address" in case.path_parameters:
            case.path_parameters["address"] = address
        case.call_and_validate(headers={"Authorization": f"Bearer {system.key}"}, excluded_checks=NO_FAULTS)

    call()
