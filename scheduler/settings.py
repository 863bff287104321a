"""What the operator decides, from the environment.

A variable that is set to nothing counts as not set. Secrets may come from files (`SMTP_PASSWORD_FILE`), and
their values appear in no error, log or repr.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, SecretStr, ValidationError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from scheduler.environment import place_of, read_variables, reason
from scheduler.problem import Problem, Problems
from scheduler.validation import Mistake, mistake, mistakes, shown

if TYPE_CHECKING:
    from scheduler.delivery.relay import RelaySettings

Tls = Literal["starttls", "implicit", "none"]
PORTS: dict[str, int] = {"starttls": 587, "implicit": 465, "none": 25}
SECRETS = ("DATABASE_URL", "SMTP_USERNAME", "SMTP_PASSWORD")  # each may be given as *_FILE instead


def _database_url(value: object) -> object:
    """SQLAlchemy's form of an address; nothing of it is ever shown, as it may hold a password anywhere."""
    try:
        url = make_url(str(value))
    except (ArgumentError, ValueError):
        raise mistake("not the address of a database (not shown)") from None
    if url.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return f"postgresql+psycopg{str(value).removeprefix(url.drivername)}"
    if url.drivername != "sqlite":
        raise mistake("another kind of database, or another driver (not shown)")
    if url.database in (None, "", ":memory:") or "mode=memory" in str(value):
        raise mistake("a database in memory, which a restart would lose", hint="name a file")
    return str(value)


def _secret(value: object) -> object:
    if not str(value).isprintable():
        raise mistake("control characters or more than one line (not shown)")
    return value


def _host(value: object) -> object:
    if not re.fullmatch(r"[\w.-]+|[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*", str(value)):
        # What stands before an @ may be a password.
        raise mistake("more than a host (not shown)" if "@" in str(value) else shown(value))
    return value


def _folder(value: object) -> object:
    if not Path(str(value)).is_dir():
        raise mistake(f"{shown(value)}, which is no folder")
    return value


def _certificates(value: object) -> object:
    try:
        ssl.create_default_context(cafile=str(value))
    except ssl.SSLError:
        raise mistake(f"{shown(value)}, which holds no certificates in PEM form") from None
    except OSError as error:
        raise mistake(f"{shown(value)}: {reason(error)}") from None
    return value


def _patterns(value: object) -> object:
    patterns = [part.strip() for part in str(value).split(",")]
    if not any(patterns):
        raise mistake(shown(value), hint="remove the variable to let everybody have mail")
    for pattern in filter(None, patterns):
        if not re.fullmatch(r"[^@\s,<>]+@[^@\s,<>]+", pattern):
            likely = f"did you mean `*@{pattern.lstrip('@*')}`?" if "." in pattern else ""
            raise mistake(shown(pattern), hint=likely)
    return tuple(filter(None, patterns))


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


Secret = Annotated[SecretStr, BeforeValidator(_secret)]
Host = Annotated[str, BeforeValidator(_host)]
Folder = Annotated[Path, BeforeValidator(_folder)]


class Settings(BaseModel, frozen=True, extra="forbid", hide_input_in_errors=True):
    """The service's settings; each field is the environment variable of that name in capitals."""

    database_url: Annotated[SecretStr, BeforeValidator(_database_url)] = Field(
        default=SecretStr("sqlite:///data/webinar.db"),
        description="sqlite:///FOLDER/FILE or postgresql://USER:PASSWORD@HOST/DATABASE",
    )
    config_dir: Folder = Field(default=Path("config"), description="a folder that exists")
    templates_dir: Folder = Field(default=Path("templates"), description="a folder that exists")
    smtp_host: Host = Field(default="localhost", description="a host name or an IP address, without a port")
    smtp_tls: Annotated[Tls, BeforeValidator(_lower)] = Field(
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
    smtp_username: Secret | None = Field(default=None, description="one line of text")
    smtp_password: Secret | None = Field(default=None, description="one line of text")
    smtp_connections: int = Field(default=4, ge=1, le=50, description="a number, 1 to 50")
    smtp_per_minute: int | None = Field(default=None, ge=1, le=1_000_000, description="mails, 1 to 1000000")
    smtp_timeout: float = Field(default=300, ge=1, le=3600, description="seconds, 1 to 3600")
    drain_seconds: float = Field(default=30, ge=0, le=3600, description="seconds, 0 to 3600")
    health_host: Host = Field(default="0.0.0.0", description="an IP address or a host name")  # noqa: S104
    health_port: int = Field(
        default=8080, ge=0, le=65535, description="a number, 1 to 65535, or 0 for any free port"
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        default="info", description="debug, info, warning or error"
    )
    only_to: Annotated[tuple[str, ...], BeforeValidator(_patterns)] = Field(
        default=(), description="addresses with * for any characters, separated by commas: *@who.int"
    )
    return_hours: float = Field(default=24, ge=0, le=720, description="hours, 0 to 720")
    poll_seconds: float = Field(default=1, ge=0.05, le=60, description="seconds, 0.05 to 60")

    @property
    def return_within(self) -> timedelta:
        """A row that comes back within this time is the same registration."""
        return timedelta(hours=self.return_hours)

    @property
    def relay(self) -> RelaySettings:
        """How to reach the relay, its secrets in the clear."""
        from scheduler.delivery.relay import RelaySettings

        return RelaySettings(
            host=self.smtp_host,
            port=self.smtp_port,
            tls=self.smtp_tls,
            username=self.smtp_username.get_secret_value() if self.smtp_username else "",
            password=self.smtp_password.get_secret_value() if self.smtp_password else "",
            connections=self.smtp_connections,
            timeout=self.smtp_timeout,
            ca_file=str(self.smtp_ca_file) if self.smtp_ca_file else None,
        )

    def only_to_allows(self, address: str) -> bool:
        """Whether this service may write to an address; without ONLY_TO, to every one."""
        return not self.only_to or any(one.fullmatch(_folded(address)) for one in self._only_to)

    @cached_property
    def _only_to(self) -> tuple[re.Pattern[str], ...]:
        return tuple(
            re.compile("[^@]*".join(re.escape(part) for part in _folded(pattern).split("*")))
            for pattern in self.only_to
        )


VARIABLES = tuple(name.upper() for name in Settings.model_fields)


class SettingsProblems(Problems):
    """Every mistake of the environment."""


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings that an environment gives. Raises SettingsProblems with all that is wrong with it.

    Looks at the files and folders that the variables name, and at nothing else.
    """
    given = read_variables(environ, VARIABLES, SECRETS)
    values = {name.lower(): value for name, value in given.values.items()}
    settings, found = None, list(_together(values, given.origin))
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        found += [_explained(one) for one in mistakes(error, Settings)]
    for one in found:
        variable = str(one.loc[0]).upper()
        place = place_of(given.origin.get(variable, variable))
        given.problems.append(Problem(place, one.found, one.allowed, one.hint))
    if given.problems or settings is None:
        raise SettingsProblems(given.problems)
    return settings


def _together(given: Mapping[str, str], origin: Mapping[str, str]) -> Iterator[Mistake]:
    """Settings that are sound one by one and not together."""
    host, tls = given.get("smtp_host", "localhost"), _lower(given.get("smtp_tls", "starttls"))
    port = str(given.get("smtp_port", "")).strip()
    if tls == "none" and not _is_loopback(host):
        if "SMTP_USERNAME" in origin or "SMTP_PASSWORD" in origin:
            yield Mistake(("smtp_tls",), "none, with a user name or password that all could read on the way",
                          "starttls or implicit")  # fmt: skip
        elif given.get("smtp_allow_plaintext", "no").lower() not in ("yes", "true", "1", "on", "y", "t"):
            yield Mistake(("smtp_tls",), "none, with a relay on another machine", "starttls or implicit",
                          "SMTP_ALLOW_PLAINTEXT=yes lets mails be sent for all to read")  # fmt: skip
    if port == "465" and tls in ("starttls", "none"):
        yield Mistake(("smtp_port",), f"465 with SMTP_TLS={tls}, where a relay speaks TLS from the first byte", "",
                      "set SMTP_TLS=implicit")  # fmt: skip
    if port == "587" and tls == "implicit":
        yield Mistake(("smtp_port",), "587 with SMTP_TLS=implicit, where a relay begins without TLS", "",
                      "set SMTP_TLS=starttls")  # fmt: skip
    for one, other in (("smtp_username", "smtp_password"), ("smtp_password", "smtp_username")):
        if one.upper() in origin and other.upper() not in origin:
            yield Mistake((one,), f"is set without {other.upper()}", "both or neither")


def _explained(one: Mistake) -> Mistake:
    if one.loc == ("smtp_port",) and one.found.startswith('"tcp://'):
        return one._replace(
            hint="Kubernetes sets it for a service called smtp: use enableServiceLinks: false"
        )
    if one.loc == ("smtp_host",) and (with_port := re.fullmatch(r'"([\w.-]+):(\d+)"', one.found)):
        return one._replace(hint=f"set SMTP_HOST={with_port[1]} and SMTP_PORT={with_port[2]}")
    return one


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _folded(address: str) -> str:
    """An address for comparison: without case, its domain as A-labels where it can be."""
    local, _, domain = address.strip().casefold().rpartition("@")
    with suppress(UnicodeError):
        domain = domain.encode("idna").decode("ascii")
    return f"{local}@{domain}"
