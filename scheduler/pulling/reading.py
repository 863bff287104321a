"""Reads a webinar's source, whatever it is, into a file without a name."""

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

SECONDS = 180.0  # for reading it, once
NO_FOLDER = "environment variable SOURCES_DIR is not set: the operator names the folder there"


@dataclass(frozen=True)
class Access:
    """What the operator lets sources reach: a folder, hosts within private networks, and addresses by name."""

    folder: Path | None = None
    hosts: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, settings: Settings, environ: Mapping[str, str]) -> Access:
        return cls(settings.sources_dir, settings.sources_hosts, environ)

    def address(self, source: Source) -> str:
        """The address that a source names, with its secrets. Raises SourceFails."""
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
        """Why it can't be read with what the operator has set; or "". Asks nobody for it."""
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
    """All that it holds now. Raises SourceFails. No transaction of ours is open meanwhile."""
    with tempfile.TemporaryFile() as file:
        content = Content(file, repr(source))
        with _in_time():
            _read(source, access, content)
        yield content


@contextmanager
def _in_time() -> Iterator[None]:
    """Raises SourceFails where it takes longer than SECONDS, whatever is waited for: but for the kernel itself, out of
    which only the end of the process leads, and in another thread than the first."""
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
        raise SourceFails(f"{source.variable} is no address (not shown)") from None
    read_url(address, content, hosts=(*access.hosts, host))  # which the operator names
