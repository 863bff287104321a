"""How to reach a relay, as the environment says (`smtp_settings` reads it)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class OAuthSettings:
    """Where tokens come from. With a refresh token they are for the mailbox whose owner allowed it (RFC 6749, 6),
    without one for the client itself (4.4)."""

    token_url: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    scope: str = ""


@dataclass(frozen=True)
class RelaySettings:
    """How to reach a relay. `timeout` in seconds, for opening and for each command but the mail's content.

    With `ca_file` (PEM) only the authorities in it are trusted, without it the system's. `client_name` is
    what we call ourselves in EHLO; empty: the machine's full name, or its address if it has none.
    `pipelining` and `chunking`: whether they are used where offered. `mails_per_connection`: after so many
    a connection is closed; 0: never. `oauth`: sign in by XOAUTH2 instead of `password`. `per_minute`, `per_day`:
    how many mails it takes; None: no limit.
    """

    host: str
    port: int
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    username: str = ""
    password: str = field(default="", repr=False)
    connections: int = 4
    timeout: float = 60.0
    ca_file: str | None = None
    client_name: str = ""
    pipelining: bool = True
    chunking: bool = True
    mails_per_connection: int = 0
    oauth: OAuthSettings | None = None
    per_minute: int | None = None
    per_day: int | None = None
    secrets_from: tuple[str, ...] = field(default=(), compare=False, repr=False)
    """The settings that say who signs in and by what, for people: SMTP_PASSWORD_FILE."""
    files: tuple[Path, ...] = field(default=(), compare=False)
    """The files that secrets and certificates come from."""
    read_again: Callable[[], RelaySettings] | None = field(default=None, repr=False, compare=False)
    """Reads the same settings from these files as they are now. Raises Problems, which name no content."""

    @property
    def name(self) -> str:
        """For people and logs."""
        return f"{self.host}:{self.port}"

    @property
    def account(self) -> str:
        """What limits belong to: the relay and, where we sign in, who we are there, which nobody needs to read."""
        who = hashlib.sha256(self.username.encode()).hexdigest()[:12]
        return f"{self.name} {who}" if self.username else self.name
