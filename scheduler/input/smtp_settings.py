"""The environment's settings of one relay: SMTP_… for the first, SMTP2_… for the second."""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, PrivateAttr, SecretStr

from scheduler.input.environment import why_unreadable
from scheduler.input.validation import Mistake, mistake, shown

if TYPE_CHECKING:
    from scheduler.input.relay_settings import RelaySettings

PORTS: dict[str, int] = {"starttls": 587, "implicit": 465, "none": 25}


def _line(value: object) -> object:
    if not str(value).isprintable():
        raise mistake("control characters or more than one line (not shown)")
    return value


def _host(value: object) -> object:
    if not re.fullmatch(r"[\w.-]+|[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*", str(value)):
        # The part before an @ may be a password.
        raise mistake("more than a host (not shown)" if "@" in str(value) else shown(value))
    return value


def _certificates(value: object) -> object:
    try:
        ssl.create_default_context(cafile=str(value))
    except ssl.SSLError:
        raise mistake(f"{shown(value)}, which holds no certificates in PEM form") from None
    except OSError as error:
        raise mistake(f"{shown(value)}: {why_unreadable(error)}") from None
    return value


def _token_url(value: object) -> object:
    if any(sign in str(value) for sign in "@?#"):  # these may come with a secret
        raise mistake("more than scheme, host, port and path (not shown)")
    found = re.fullmatch(r"(https?)://([A-Za-z0-9.-]+|\[[0-9A-Fa-f.:]+\])(?::(\d+))?(/[!-~]*)?", str(value))
    if not found or not 1 <= int(found[3] or 443) <= 65535:
        raise mistake(shown(value))
    if found[1] == "http" and not is_loopback(found[2].strip("[]")):
        raise mistake(f"{shown(value)}, which would send the secrets unencrypted")
    return value


def lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


Line = Annotated[str, BeforeValidator(_line)]
Secret = Annotated[SecretStr, BeforeValidator(_line)]
Host = Annotated[str, BeforeValidator(_host)]


@dataclass(frozen=True)
class Origin:
    """The sources of one relay's settings that matter while the service runs."""

    secrets: tuple[str, ...] = ()
    """The variables with the user name and secrets."""
    files: tuple[Path, ...] = ()
    """The files with secrets and certificates, whose content may change."""
    read_again: Callable[[], RelaySettings] | None = field(default=None, compare=False, repr=False)
    """Reads the settings again. Raises Problems."""


class SmtpSettings(BaseModel, frozen=True, extra="forbid", hide_input_in_errors=True):
    """One relay's settings; each field is the environment variable of that name in capitals."""

    smtp_host: Host = Field(default="localhost", description="a host name or an IP address, without a port")
    smtp_tls: Annotated[Literal["starttls", "implicit", "none"], BeforeValidator(lower)] = Field(
        default="starttls", description="starttls, implicit or none"
    )
    smtp_port: int = Field(
        default_factory=lambda data: PORTS[data["smtp_tls"]],
        ge=1,
        le=65535,
        description="a number, 1 to 65535",
    )
    smtp_allow_plaintext: bool = Field(default=False, description="yes or no")
    smtp_ca_file: Annotated[Path, BeforeValidator(_certificates)] | None = Field(
        default=None, description="a file with certificates in PEM form"
    )
    smtp_auth: Annotated[Literal["password", "xoauth2"], BeforeValidator(lower)] = Field(
        default="password", description="password or xoauth2"
    )
    smtp_username: Secret | None = Field(default=None, description="one line of text")
    smtp_password: Secret | None = Field(default=None, description="one line of text")
    smtp_oauth_token_url: Annotated[str, BeforeValidator(_token_url)] | None = Field(
        default=None, description="an https address"
    )
    smtp_oauth_client_id: Line = Field(default="", description="one line of text")
    smtp_oauth_client_secret: Secret | None = Field(default=None, description="one line of text")
    smtp_oauth_refresh_token: Secret | None = Field(default=None, description="one line of text")
    smtp_oauth_scope: Line = Field(default="", description="one line of text")
    smtp_connections: int = Field(default=4, ge=1, le=50, description="a number, 1 to 50")
    smtp_mails_per_connection: int = Field(
        default=0, ge=0, le=1_000_000, description="mails, 1 to 1000000, or 0 for any number"
    )
    smtp_per_minute: int | None = Field(default=None, ge=1, le=1_000_000, description="mails, 1 to 1000000")
    smtp_per_day: int | None = Field(default=None, ge=1, le=100_000_000, description="mails, 1 to 100000000")
    smtp_pipelining: bool = Field(default=True, description="on or off")
    smtp_chunking: bool = Field(default=True, description="on or off")
    smtp_timeout: float = Field(default=300, ge=1, le=3600, description="seconds, 1 to 3600")
    _origin: Origin = PrivateAttr(default_factory=Origin)

    def with_origin(self, origin: Origin) -> Self:
        """A copy of these settings that knows its origin."""
        copy = self.model_copy()
        copy._origin = origin
        return copy

    @property
    def relay(self) -> RelaySettings:
        """The relay's settings as one value, its secrets in the clear."""
        from scheduler.input.relay_settings import OAuthSettings, RelaySettings

        oauth = OAuthSettings(
            token_url=self.smtp_oauth_token_url or "",
            client_id=self.smtp_oauth_client_id,
            client_secret=_text(self.smtp_oauth_client_secret),
            refresh_token=_text(self.smtp_oauth_refresh_token),
            scope=self.smtp_oauth_scope,
        )
        return RelaySettings(
            host=self.smtp_host,
            port=self.smtp_port,
            tls=self.smtp_tls,
            username=_text(self.smtp_username),
            password=_text(self.smtp_password),
            oauth=oauth if self.smtp_auth == "xoauth2" else None,
            connections=self.smtp_connections,
            timeout=self.smtp_timeout,
            ca_file=str(self.smtp_ca_file) if self.smtp_ca_file else None,
            pipelining=self.smtp_pipelining,
            chunking=self.smtp_chunking,
            mails_per_connection=self.smtp_mails_per_connection,
            per_minute=self.smtp_per_minute,
            per_day=self.smtp_per_day,
            secrets_from=self._origin.secrets,
            files=self._origin.files,
            read_again=self._origin.read_again,
        )


def _text(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""


def conflicts(given: Mapping[str, str]) -> Iterator[Mistake]:
    """Settings of one relay that are valid individually but not together. `given`: the set values, by field."""
    yield from _conflicts_of_tls(given)
    by_token = lower(given.get("smtp_auth", "password")) == "xoauth2"
    yield from _conflicts_of_tokens(given) if by_token else _conflicts_of_passwords(given)


def _conflicts_of_tls(given: Mapping[str, str]) -> Iterator[Mistake]:
    relay, tls = given.get("smtp_host", "localhost"), lower(given.get("smtp_tls", "starttls"))
    port = given.get("smtp_port", "").strip()
    if tls == "none" and not is_loopback(relay):
        if "smtp_username" in given or "smtp_password" in given:
            yield Mistake(("smtp_tls",), "none, which would send the user name and password unencrypted",
                          "starttls or implicit")  # fmt: skip
        elif given.get("smtp_allow_plaintext", "no").lower() not in ("yes", "true", "1", "on", "y", "t"):
            yield Mistake(("smtp_tls",), "none, although the relay is on another machine", "starttls or implicit",
                          "SMTP_ALLOW_PLAINTEXT=yes allows sending mails unencrypted")  # fmt: skip
    if port == "465" and tls in ("starttls", "none"):
        yield Mistake(("smtp_port",), f"465 with SMTP_TLS={tls}: on this port relays begin with TLS", "",
                      "set SMTP_TLS=implicit")  # fmt: skip
    if port == "587" and tls == "implicit":
        yield Mistake(("smtp_port",), "587 with SMTP_TLS=implicit: on this port relays begin without TLS", "",
                      "set SMTP_TLS=starttls")  # fmt: skip


def _conflicts_of_passwords(given: Mapping[str, str]) -> Iterator[Mistake]:
    for one, other in (("smtp_username", "smtp_password"), ("smtp_password", "smtp_username")):
        if one in given and other not in given:
            yield Mistake((one,), f"is set without {other.upper()}", "both or neither")
    for name in given:
        if name.startswith("smtp_oauth_"):
            yield Mistake((name,), "is set without SMTP_AUTH=xoauth2", "", "set it to sign in by OAuth")


def _conflicts_of_tokens(given: Mapping[str, str]) -> Iterator[Mistake]:
    needed = ["smtp_username", "smtp_oauth_token_url", "smtp_oauth_client_id"]
    if "smtp_oauth_refresh_token" not in given:
        needed.append("smtp_oauth_client_secret")
    for name in needed:
        if name not in given:
            or_token = " or SMTP_OAUTH_REFRESH_TOKEN" if name == "smtp_oauth_client_secret" else ""
            yield Mistake(("smtp_auth",), f"xoauth2 without {name.upper()}{or_token}")
    if "smtp_password" in given:
        yield Mistake(
            ("smtp_password",), "is set, and SMTP_AUTH=xoauth2 signs in without one", "only one of the two"
        )


def with_hint(one: Mistake) -> Mistake:
    """The mistake with a way to fix it, if there is an obvious one."""
    if one.loc == ("smtp_port",) and one.found.startswith('"tcp://'):
        return one._replace(
            hint="Kubernetes sets it for a service called smtp: use enableServiceLinks: false"
        )
    if one.loc == ("smtp_host",) and (with_port := re.fullmatch(r'"([\w.-]+):(\d+)"', one.found)):
        return one._replace(hint=f"set SMTP_HOST={with_port[1]} and SMTP_PORT={with_port[2]}")
    return one


def is_loopback(name: str) -> bool:
    """Whether a host name or address is this machine's own."""
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
