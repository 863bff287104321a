"""Settings of a relay, as `smtp_settings` reads them from the environment."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class OAuthSettings:
    """How to get access tokens: with a refresh token for the mailbox whose owner granted it (RFC 6749, 6), without
    one for the client itself (4.4)."""

    token_url: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    scope: str = ""


@dataclass(frozen=True)
class RelaySettings:
    """How to reach a relay, and its limits.

    `timeout`: seconds, for opening a connection and for each command except the mail's content. `ca_file` (PEM): the
    only trusted authorities; None: the system's. `client_name`: the name in EHLO; "": the machine's full name, or its
    address if it has none. `pipelining`, `chunking`: whether to use them where offered. `mails_per_connection`: a
    connection is closed after this number; 0: never. `oauth`: sign in by XOAUTH2 instead of `password`. `per_minute`,
    `per_day`: mails that the relay accepts; None: no limit.
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
    """The names of the settings with the user name and secrets, for people: SMTP_PASSWORD_FILE."""
    files: tuple[Path, ...] = field(default=(), compare=False)
    """The files from which secrets and certificates are read."""
    read_again: Callable[[], RelaySettings] | None = field(default=None, repr=False, compare=False)
    """Reads the same settings from the present content of these files. Raises Problems, which show no content."""

    @property
    def name(self) -> str:
        """ "host:port", for people and logs."""
        return f"{self.host}:{self.port}"

    @property
    def account(self) -> str:
        """The key of the relay's limits: its name and, if we sign in, a digest of the user name."""
        who = hashlib.sha256(self.username.encode()).hexdigest()[:12]
        return f"{self.name} {who}" if self.username else self.name
