"""Reads a webinar's source of any kind into a temporary file."""

from __future__ import annotations

import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from scheduler.input.environment import read_variables
from scheduler.pulling.content import Content, SourceFails
from scheduler.pulling.databases import check_database, read_database
from scheduler.pulling.https import read_url
from scheduler.pulling.paths import read_path
from scheduler.redaction import keep_secret
from scheduler.settings import Settings
from scheduler.webinar.source import Source

SECONDS = 180.0  # for one read of a source
NO_FOLDER = "environment variable SOURCES_DIR is not set: the operator names the folder there"


@dataclass(frozen=True)
class Access:
    """Access that the operator grants to sources: a folder, hosts in private networks, and named addresses."""

    folder: Path | None = None
    hosts: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, settings: Settings, environ: Mapping[str, str]) -> Access:
        return cls(settings.sources_dir, settings.sources_hosts, environ)

    def address(self, source: Source) -> str:
        """The address in a source's variable, including secrets. Raises SourceFails."""
        name = source.variable
        given = read_variables(
            {one: self.environ.get(one, "") for one in (name, f"{name}_FILE")}, (), (name,)
        )
        if given.problems:
            raise SourceFails(str(given.problems[0]))
        address = self.environ.get(name) or given.values.get(name, "")
        if not address.strip():
            raise SourceFails(f"environment variable {name} is not set: the operator puts the address there")
        return address.strip()

    def why_not(self, source: Source) -> str:
        """Why the operator's settings do not allow to read it; or "". Opens no connection."""
        try:
            if source.path and self.folder is None:
                return NO_FOLDER
            if source.path and self.folder and not (self.folder / source.path).exists():
                return f"{source.path}: no such file in SOURCES_DIR"
            if source.variable and not is_https(address := self.address(source)):
                check_database(address, source)
        except SourceFails as error:
            return str(error)
        return ""


@contextmanager
def content_of(source: Source, access: Access) -> Iterator[Content]:
    """The current content of a source. Raises SourceFails. Call it outside of transactions."""
    with tempfile.TemporaryFile() as file:
        content = Content(file, repr(source))
        with _in_time():
            _read(source, access, content)
        yield content


@contextmanager
def _in_time() -> Iterator[None]:
    """Raises SourceFails after SECONDS, by an alarm. Has no effect outside of the main thread, nor during a system call
    that can't be interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def give_up(number: int, frame: object) -> None:
        raise SourceFails(f"it was not read within {SECONDS:g} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _read(source: Source, access: Access, content: Content) -> None:
    if source.path:
        if access.folder is None:
            raise SourceFails(NO_FOLDER)
        read_path(access.folder, source.path, content)
    elif source.url:
        read_url(source.url, content, hosts=access.hosts)
    else:
        _read_named(source, access, content)


def is_https(address: str) -> bool:
    return address.lower().startswith("https:")


def _read_named(source: Source, access: Access, content: Content) -> None:
    address = access.address(source)
    if not is_https(address):
        read_database(address, source, content)
        return
    keep_secret(address)
    if source.query:
        raise SourceFails(f"{source.variable} is an https address, and [source] has a query")
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        raise SourceFails(f"{source.variable} is not a valid address (not shown)") from None
    read_url(address, content, hosts=(*access.hosts, host))  # the operator named this host
