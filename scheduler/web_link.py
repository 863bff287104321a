"""The protocol between the service and its web process: settings, signs of life, and the reason of an end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scheduler.settings import DatabaseAddress, Settings

LOOPBACK = ("127.0.0.1", "localhost", "::1")
BEAT = b"."  # what the web process says: that it is alive
WHY = b"!"  # what it says: why it can't go on, up to the end
BEAT_SECONDS = 1.0


@dataclass(frozen=True)
class WebSettings:
    """The settings of the web process, and no others: it is the part that an attacker reaches first."""

    database: DatabaseAddress
    templates_dir: Path
    host: str
    port: int
    public_url: str
    proxies: tuple[str, ...]
    log_level: str


def web_settings(settings: Settings) -> WebSettings:
    """The settings of the web process, from the service's."""
    return WebSettings(
        settings.address("database_url"),
        settings.templates_dir.absolute(),
        settings.editor_host,
        settings.editor_port,
        settings.public_url,
        settings.trusted_proxies,
        settings.log_level,
    )
