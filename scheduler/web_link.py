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
    editor: bool
    """Whether the editor is on; pages_url: whether the registrants' pages are."""
    pages_host: str
    pages_port: int
    pages_url: str
    proxies: tuple[str, ...]
    log_level: str


def why_editor_off(settings: Settings) -> str:
    """Why the editor must stay off with these settings, or "": passwords must not cross a network unencrypted."""
    if settings.editor == "off":
        return "EDITOR=off"
    if settings.public_url and settings.trusted_proxies:
        return ""
    if settings.editor_host not in LOOPBACK:
        return "EDITOR_HOST is not this machine alone; set PUBLIC_URL (https) and TRUSTED_PROXIES"
    return "PUBLIC_URL is set without TRUSTED_PROXIES" if settings.public_url else ""


def web_settings(settings: Settings) -> WebSettings:
    """The settings of the web process, from the service's."""
    return WebSettings(
        settings.address("database_url"),
        settings.templates_dir.absolute(),
        settings.editor_host,
        settings.editor_port,
        settings.public_url,
        not why_editor_off(settings),
        settings.pages_host,
        settings.pages_port,
        settings.pages_url,
        settings.trusted_proxies,
        settings.log_level,
    )
