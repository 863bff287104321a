"""Where the editor listens, and when it must not."""

from __future__ import annotations

import pytest

from scheduler.web.child import why_off
from scheduler.settings import SettingsProblems, read_settings

HERE = {"CONFIG_DIR": "config", "TEMPLATES_DIR": "templates"}


@pytest.mark.parametrize(
    ("given", "off"),
    [
        ({}, ""),
        ({"EDITOR_HOST": "localhost"}, ""),
        ({"EDITOR_HOST": "0.0.0.0"}, "EDITOR_HOST is not this machine alone"),
        ({"EDITOR_HOST": "192.0.2.7", "PUBLIC_URL": "https://texts.who.int"}, "TRUSTED_PROXIES"),
        ({"PUBLIC_URL": "https://texts.who.int"}, "PUBLIC_URL is set without TRUSTED_PROXIES"),
        (
            {"EDITOR_HOST": "0.0.0.0", "TRUSTED_PROXIES": "10.0.0.0/8"},
            "EDITOR_HOST is not this machine alone",
        ),
        (
            {
                "EDITOR_HOST": "0.0.0.0",
                "PUBLIC_URL": "https://Texts.WHO.int",
                "TRUSTED_PROXIES": "10.0.0.0/8, ::1",
            },
            "",
        ),
    ],
)
def test_it_is_on_for_this_machine_alone_or_behind_a_proxy_with_https(
    given: dict[str, str], off: str
) -> None:
    found = why_off(read_settings(HERE | given))
    assert off in found
    assert bool(off) == bool(found)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_URL", "http://texts.who.int"),
        ("PUBLIC_URL", "https://texts.who.int/path"),
        ("PUBLIC_URL", "https://user:secret@texts.who.int"),
        ("PUBLIC_URL", "texts.who.int"),
        ("TRUSTED_PROXIES", "10.0.0.0/99"),
        ("TRUSTED_PROXIES", "proxy.who.int"),
        ("EDITOR_PORT", "70000"),
    ],
)
def test_a_mistake_in_its_settings_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsProblems) as raised:
        read_settings(HERE | {name: value})
    (problem,) = raised.value.problems
    assert name in problem.place
    assert problem.allowed
