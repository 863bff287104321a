"""The operator's settings, read from the environment.

An empty variable counts as not set. Secrets may come from files (`SMTP_PASSWORD_FILE`); their values never appear in
an error, log or repr.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property, partial
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import BeforeValidator, Field, PrivateAttr, SecretStr, ValidationError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from scheduler.aside import Beside, Hangs
from scheduler.input.addresses import fold, fold_domain
from scheduler.input.environment import HANGS, Given, file_text, place_of, read_variables
from scheduler.input.smtp_settings import Host, Origin, SmtpSettings, conflicts, lower, with_hint
from scheduler.input.validation import Mistake, mistake, mistakes, shown
from scheduler.problem import Problem, Problems

if TYPE_CHECKING:
    from scheduler.input.relay_settings import RelaySettings

M = TypeVar("M", bound=SmtpSettings)

FILE_SECONDS = 5.0  # timeout at the start for each file and folder that a setting names
AGAIN_SECONDS = 1.0  # timeout for reading DATABASE_URL_FILE again: a connection waits for it


def _database_url(value: object) -> object:
    """The address in SQLAlchemy's form. No part of it is ever shown: a password may stand anywhere in it."""
    if str(value).partition("://")[2].partition("/")[0].count("@") > 1:
        raise mistake("more than one @ before the host (not shown)", hint="in a password write it as %40")
    try:
        url = make_url(str(value))
    except (ArgumentError, ValueError):
        raise mistake("not the address of a database (not shown)") from None
    if url.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return f"postgresql+psycopg{str(value).removeprefix(url.drivername)}"
    if url.drivername != "sqlite":
        raise mistake("an unsupported database or driver (not shown)")
    if url.host:
        raise mistake(
            "two slashes before the path of its file (not shown)", hint="write sqlite:///, with three"
        )
    if url.database in (None, "", ":memory:") or "mode=memory" in str(value):
        raise mistake("a database in memory, which a restart would lose", hint="name a file")
    return str(value)


def _folder(value: object) -> object:
    if not Path(str(value)).is_dir():
        raise mistake(f"{shown(value)}, which is not a folder")
    return value


def _folder_to_be(value: object) -> object:
    path = Path(str(value))
    if path.exists() and not path.is_dir():
        raise mistake(f"{shown(value)}, which is not a folder")
    return value


def _patterns(value: object) -> object:
    patterns = [part.strip() for part in str(value).split(",")]
    if not any(patterns):
        raise mistake(shown(value), hint="remove the variable to allow every address")
    for pattern in filter(None, patterns):
        if not re.fullmatch(r"[^@\s,<>]+@[^@\s,<>]+", pattern):
            likely = f"did you mean `*@{pattern.lstrip('@*')}`?" if "." in pattern else ""
            raise mistake(shown(pattern), hint=likely)
        if any("*" in label and not label.isascii() for label in pattern.rpartition("@")[2].split(".")):
            raise mistake(shown(pattern), hint="in a domain, `*` and letters beyond ASCII need a dot between")
    return tuple(filter(None, patterns))


def _public_url(value: object) -> object:
    try:
        address = urlsplit(str(value))
    except ValueError:
        raise mistake(shown(value)) from None
    with_more = address.path not in ("", "/") or address.username or address.query or address.fragment
    if address.scheme != "https" or not address.hostname or with_more or not _is_port(address):
        raise mistake(shown(value))
    host, port = fold_domain(address.hostname), address.port
    return f"https://{f'[{host}]' if ':' in host else host}{'' if port in (None, 443) else f':{port}'}"


def _pages_url(value: object) -> object:
    """As `_public_url`; a trial on this computer needs no proxy, and so no https."""
    try:
        address = urlsplit(str(value))
    except ValueError:
        raise mistake(shown(value)) from None
    whole = f"http://{address.hostname}:{address.port}" if _is_port(address) and address.port else ""
    if address.hostname in LOOPBACK and str(value).removesuffix("/").lower() == whole:
        return whole
    return _public_url(value)


def _is_published(pages_url: str) -> bool:
    """Whether registrants reach the pages at this address, mistakes in it or not, rather than a trial on this
    computer."""
    return bool(pages_url) and not re.match(
        r"http://(127\.0\.0\.1|localhost)(?![^:/])", pages_url, re.IGNORECASE
    )


def _is_port(address: SplitResult) -> bool:
    try:
        return address.port != 0
    except ValueError:
        return False


def _networks(value: object) -> object:
    parts = [part.strip() for part in str(value).split(",") if part.strip()]
    for part in parts:
        try:
            ip_network(part, strict=False)
        except ValueError:
            raise mistake(shown(part)) from None
    return tuple(parts)


def _hosts(value: object) -> object:
    parts = [part.strip().lower().strip("[]") for part in str(value).split(",") if part.strip()]
    for part in parts:
        if not re.fullmatch(r"[a-z0-9:._-]+", part):
            raise mistake(shown(part), hint="without https://, port or path")
    return tuple(parts)


@dataclass
class DatabaseAddress:
    """The address of a database in the clear, and the file that it was read from, if any."""

    url: str = field(repr=False)
    file: Path | None = None
    _files: Beside = field(
        default_factory=lambda: Beside("the file", AGAIN_SECONDS), repr=False, compare=False
    )

    def now(self) -> str:
        """The address with the user name and password that its file holds now. If the file cannot be used, the address
        stays as it is; the next connection reads the file again."""
        if self.file is None:
            return self.url
        try:
            found = make_url(str(_database_url(self._files.run(partial(file_text, self.file)))))
        except (OSError, ValueError):  # `mistake` is a ValueError
            return self.url
        if found.username:
            url = make_url(self.url).set(username=found.username, password=found.password)
            self.url = url.render_as_string(hide_password=False)
        return self.url


LOOPBACK = ("127.0.0.1", "localhost")


Folder = Annotated[Path, BeforeValidator(_folder)]


class Settings(SmtpSettings, frozen=True, extra="forbid", hide_input_in_errors=True):
    """The service's settings; each field is the environment variable of that name in capitals."""

    database_url: Annotated[SecretStr, BeforeValidator(_database_url)] = Field(
        default=SecretStr("sqlite:///data/webinar.db"),
        description="sqlite:///FOLDER/FILE or postgresql://USER:PASSWORD@HOST/DATABASE",
    )
    database_direct_url: Annotated[SecretStr, BeforeValidator(_database_url)] | None = Field(
        default=None,
        description="the address of the same database without a pooler, postgresql://USER:PASSWORD@HOST/DATABASE",
    )
    config_dir: Folder = Field(default=Path("config"), description="a folder that exists")
    templates_dir: Folder = Field(default=Path("templates"), description="a folder that exists")
    state_dir: Annotated[Path, BeforeValidator(_folder_to_be)] = Field(
        default=Path("data"), description="a folder; it is created if it does not exist"
    )
    drain_seconds: float = Field(default=30, ge=0, le=3600, description="seconds, 0 to 3600")
    health_host: Host = Field(default="127.0.0.1", description="an IP address or a host name")
    health_port: int = Field(
        default=8080, ge=0, le=65535, description="a number, 1 to 65535, or 0 for any free port"
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(lower)] = Field(
        default="info", description="debug, info, warning or error"
    )
    only_to: Annotated[tuple[str, ...], BeforeValidator(_patterns)] = Field(
        default=(), description="addresses with * for any characters, separated by commas: *@who.int"
    )
    return_hours: float = Field(default=24, ge=0, le=720, description="hours, 0 to 720")
    poll_seconds: float = Field(default=1, ge=0.05, le=60, description="seconds, 0.05 to 60")
    editor: Annotated[Literal["on", "off"], BeforeValidator(lower)] = Field(
        default="on", description="on or off"
    )
    editor_host: Host = Field(default="127.0.0.1", description="an IP address or a host name")
    editor_port: int = Field(
        default=8090, ge=0, le=65535, description="a number, 1 to 65535, or 0 for any free port"
    )
    public_url: Annotated[str, BeforeValidator(_public_url)] = Field(
        default="", description="https:// and the name by which browsers reach the editor, without a path"
    )
    pages_host: Host = Field(default="127.0.0.1", description="an IP address or a host name")
    pages_port: int = Field(
        default=8070, ge=0, le=65535, description="a number, 1 to 65535, or 0 for any free port"
    )
    pages_url: Annotated[str, BeforeValidator(_pages_url)] = Field(
        default="",
        description="https:// and the name by which registrants reach their pages, without a path; for a trial on this"
        " computer http://127.0.0.1:PORT",
    )
    trusted_proxies: Annotated[tuple[str, ...], BeforeValidator(_networks)] = Field(
        default=(), description="IP addresses or networks, separated by commas: 10.0.0.0/8, 192.0.2.7"
    )
    sources_dir: Path | None = (
        Field(  # checked only when a source is read: a folder that hangs delays no start
            default=None, description="the folder that `path` in [source] is below"
        )
    )
    sources_hosts: Annotated[tuple[str, ...], BeforeValidator(_hosts)] = Field(
        default=(), description="names of hosts, separated by commas: files.intranet.example, 10.0.0.7"
    )
    _url_files: dict[str, Path] = PrivateAttr(default_factory=dict)  # by field
    second: SmtpSettings | None = None
    """The second relay: SMTP2_… in the environment; its fields have the names of the first one's."""

    @property
    def return_within(self) -> timedelta:
        """How long a row may be gone and still be the same registration when it comes back."""
        return timedelta(hours=self.return_hours)

    def address(self, name: Literal["database_url", "database_direct_url"]) -> DatabaseAddress:
        """This setting in the clear. Without DATABASE_DIRECT_URL the direct address is DATABASE_URL."""
        if getattr(self, name) is None:
            return self.address("database_url")
        secret: SecretStr = getattr(self, name)
        return DatabaseAddress(secret.get_secret_value(), self._url_files.get(name))

    @property
    def relays(self) -> tuple[RelaySettings, ...]:
        """The relays in order of preference, their secrets in the clear."""
        return (self.relay, self.second.relay) if self.second else (self.relay,)

    def only_to_allows(self, address: str) -> bool:
        """Whether ONLY_TO lets this service write to an address; without ONLY_TO every address is allowed."""
        return not self.only_to or any(one.fullmatch(fold(address)) for one in self._only_to)

    @cached_property
    def _only_to(self) -> tuple[re.Pattern[str], ...]:
        return tuple(_glob(_folded(pattern)) for pattern in self.only_to)


VARIABLES = tuple(name.upper() for name in Settings.model_fields if name != "second")
"""All variables but those of the second relay, which are the first one's with SMTP2_ in place of SMTP_."""
FIRST, SECOND = "SMTP_", "SMTP2_"
_OF_SECOND = tuple(name.upper().replace(FIRST, SECOND) for name in SmtpSettings.model_fields)
_SECRETS = ("SMTP_USERNAME", "SMTP_PASSWORD", "SMTP_OAUTH_CLIENT_SECRET", "SMTP_OAUTH_REFRESH_TOKEN")
SECRETS = (
    "DATABASE_URL",
    "DATABASE_DIRECT_URL",
    *_SECRETS,
    *(name.replace(FIRST, SECOND) for name in _SECRETS),
)
"""Variables that may be given as *_FILE instead."""


class SettingsProblems(Problems):
    """All mistakes of the environment."""


_UNKNOWN_PROXY = Problem(
    place_of("PAGES_URL"),
    "is set without TRUSTED_PROXIES, so all registrants would come from one address and share one limit",
    "both, or neither",
    "name the proxy that publishes the pages in TRUSTED_PROXIES, such as 10.0.0.7 or 10.0.0.0/8",
)


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings in `environ`. Raises SettingsProblems with every mistake.

    Reads the files and folders that the variables name, and nothing else.
    """
    given = read_variables(environ, (*VARIABLES, *_OF_SECOND), SECRETS, _text_in_time)
    if hanging := list(_hanging(given)):  # validation would wait for them for ever
        raise SettingsProblems([*given.problems, *hanging])
    (first, problems), second = _validated(Settings, given, FIRST), None
    if any(name in given.origin for name in _OF_SECOND):
        second, others = _validated(SmtpSettings, given, SECOND)
        second, problems = second and second.with_origin(_origin(environ, given, SECOND)), problems + others
    if first and second and first.relay.account == second.relay.account:
        place = place_of("SMTP2_HOST")
        problems.append(Problem(place, "the same relay as the first", "another relay, or another user name"))
    if _is_published(environ.get("PAGES_URL", "").strip()) and not environ.get("TRUSTED_PROXIES", "").strip():
        problems.append(_UNKNOWN_PROXY)
    if given.problems or problems or first is None:
        raise SettingsProblems([*given.problems, *problems])
    settings = first.with_origin(_origin(environ, given, FIRST)).model_copy(update={"second": second})
    for name in ("DATABASE_URL", "DATABASE_DIRECT_URL"):
        if given.origin.get(name, name) != name:
            settings._url_files[name.lower()] = Path(environ[given.origin[name]]).absolute()
    return settings


def _text_in_time(file: Path) -> str:
    return Beside("its file", FILE_SECONDS).run(partial(file_text, file))


def _first_byte(file: str) -> bytes:
    with Path(file).open("rb") as opened:
        return opened.read(1)


def _is_folder(path: str) -> bool:
    return Path(path).is_dir()


_PROBES: dict[str, Callable[[str], object]] = {
    "CONFIG_DIR": _is_folder, "TEMPLATES_DIR": _is_folder, "STATE_DIR": _is_folder,
    "SMTP_CA_FILE": _first_byte, "SMTP2_CA_FILE": _first_byte,
}  # fmt: skip


def _hanging(given: Given) -> Iterator[Problem]:
    """Problems of the files and folders that do not answer in FILE_SECONDS; validation finds everything else."""
    for name, probe in _PROBES.items():
        if not (path := given.values.get(name)):
            continue
        try:
            Beside("it", FILE_SECONDS).run(partial(probe, path))
        except Hangs:
            allowed = Settings.model_fields[name.lower().replace("smtp2_", "smtp_")].description or ""
            yield Problem(place_of(name), f"{shown(path)}, which does not answer", allowed, HANGS)
        except (OSError, ValueError):
            continue


def read_relay(environ: Mapping[str, str], prefix: str) -> RelaySettings:
    """The settings of one relay only. Raises SettingsProblems."""
    names = tuple(name.upper().replace(FIRST, prefix) for name in SmtpSettings.model_fields)
    secrets = tuple(name.replace(FIRST, prefix) for name in _SECRETS)
    ours = {
        name: value
        for name, value in environ.items()
        if name.removesuffix("_FILE") in secrets or name in names
    }
    given = read_variables(ours, names, secrets)
    found, problems = _validated(SmtpSettings, given, prefix)
    if given.problems or problems or found is None:
        raise SettingsProblems([*given.problems, *problems])
    return found.with_origin(_origin(ours, given, prefix)).relay


def _origin(environ: Mapping[str, str], given: Given, prefix: str) -> Origin:
    origins = [given.origin[name] for one in _SECRETS if (name := one.replace(FIRST, prefix)) in given.origin]
    paths = [environ.get(name, "") for name in (*origins, f"{prefix}CA_FILE") if name.endswith("_FILE")]
    files = tuple(Path(path) for path in paths if path)
    kept = dict(environ)  # the content of the files may change, their names do not
    return Origin(tuple(origins), files, (lambda: read_relay(kept, prefix)) if files else None)


def _validated(model: type[M], given: Given, prefix: str) -> tuple[M | None, list[Problem]]:
    """The validated part of `given` that belongs to `model`, and its mistakes; None if it is not valid. The
    variables of its relay begin with `prefix`."""
    names = {field: field.upper().replace(FIRST, prefix) for field in model.model_fields if field != "second"}
    set_fields = {field: given.values.get(name, "") for field, name in names.items() if name in given.origin}
    found, valid = list(conflicts(set_fields)), None
    if prefix == SECOND and "smtp_host" not in set_fields:
        found.append(Mistake((next(iter(set_fields)),), "is set without SMTP_HOST"))
    try:
        valid = model.model_validate({field: value for field, value in set_fields.items() if value})
    except ValidationError as error:
        found += [with_hint(one) for one in mistakes(error, model)]
    problems = []
    for one in found:
        name = names[str(one.loc[0])]
        words = (text.replace(FIRST, prefix) for text in (one.found, one.allowed, one.hint))
        problems.append(Problem(place_of(given.origin.get(name, name)), *words))
    return valid, problems


def _glob(pattern: str) -> re.Pattern[str]:
    """The regular expression for a pattern of ONLY_TO, in which `*` matches anything without an @. Atomic groups try
    the text between two `*` at its first occurrence only, so matching takes linear time."""
    first, *others = (re.escape(part) for part in pattern.split("*"))
    if not others:
        return re.compile(first)
    between = "".join(f"(?>[^@]*?{part})" for part in others[:-1])
    return re.compile(f"{first}{between}[^@]*{others[-1]}")


def _folded(pattern: str) -> str:
    """A pattern in the form in which addresses are compared; label by label, since IDNA has no `*`."""
    local, at, domain = pattern.rpartition("@")
    return fold(local + at) + ".".join(map(fold_domain, domain.split(".")))
