"""Reads a file over HTTPS from the address in an organizer's file, without giving access to the operator's networks: a
name is resolved once, each of its addresses is checked, and the connection goes to one of them.
"""

from __future__ import annotations

import base64
import re
import socket
import ssl
import time
from collections.abc import Collection
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from scheduler.pulling.content import A_PAGE, Content, SourceFails

SECONDS = 120.0  # for the whole read
SILENCE_SECONDS = 20.0
AFTER_SECONDS = 1.0  # to wait for bytes behind the end of an answer, if the connection stays open
MOST_REDIRECTS = 5
_HOST = re.compile(r"[A-Za-z0-9_.:-]{1,253}")
_UNCHANGED = "%!$&'()*+,;=:@/?~"  # allowed in a path and a query, RFC 3986
_REDIRECTS = (301, 302, 303, 307, 308)
_NAT64 = ip_network("64:ff9b::/96")
_PRIVATE = (ip_network("100.64.0.0/10"), ip_network("192.0.0.0/24"))
"""Networks that some Python versions count as public: shared (RFC 6598), and special (RFC 6890)."""


def read_url(url: str, into: Content, *, hosts: Collection[str]) -> None:
    """Read a URL into `into`. `hosts`: hosts that the operator allows in any network. Raises SourceFails, whose message
    holds only the host of the address."""
    deadline, further, first = time.monotonic() + SECONDS, url, None
    for _ in range(MOST_REDIRECTS + 1):
        try:
            url = urljoin(url, further)
            parts = urlsplit(url)
            host, port = _ascii(parts.hostname or ""), parts.port or 443
        except ValueError:
            raise SourceFails("it redirects to an invalid address") from None
        if parts.scheme != "https" or not host:
            raise SourceFails(f"{host or 'it'} redirects to an address without https")
        first = first or _First(host, port, parts)
        connection = _Connection(host, port, _checked(host, port, hosts), deadline)
        try:
            further = _read(connection, parts, into, first.sign_in_at(host, port))
        except (OSError, HTTPException, ValueError) as error:
            raise SourceFails(f"{host}: {_why(error)}") from None
        finally:
            connection.close()
        if not further:
            return
    raise SourceFails(f"{host}: more than {MOST_REDIRECTS} redirects")


def _ascii(host: str) -> str:
    """A host's name in ASCII. Raises ValueError if it is not one: a redirect may hold any text, also one that is meant
    for a reader."""
    if not host.isascii():
        host = host.encode("idna").decode()
    if host and not _HOST.fullmatch(host):
        raise ValueError
    return host


class _First:
    """The first host, the only one to get the user name and the password: never the target of a redirect."""

    def __init__(self, host: str, port: int, parts: SplitResult) -> None:
        self._origin, self._sign_in = (host, port), ""
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self._sign_in = f"Basic {base64.b64encode(pair).decode()}"

    def sign_in_at(self, host: str, port: int) -> str:
        return self._sign_in if (host, port) == self._origin else ""


class _Connection(HTTPSConnection):
    """A connection to one of these addresses, without resolving `host` again; its certificate must be for `host`."""

    def __init__(self, host: str, port: int, addresses: Collection[str], deadline: float) -> None:
        self._tls = ssl.create_default_context()
        super().__init__(host, port, timeout=SILENCE_SECONDS, context=self._tls)
        self._addresses, self._deadline = addresses, deadline

    def connect(self) -> None:
        for number, address in enumerate(self._addresses, 1):
            try:
                plain = socket.create_connection((address, self.port), self.patience())
                break
            except OSError:
                if number == len(self._addresses):
                    raise
        try:
            # A cut connection must raise: without Content-Length it would look like the end of the answer.
            self.tls = self._tls.wrap_socket(plain, server_hostname=self.host, suppress_ragged_eofs=False)
            self.sock = self.tls
        except BaseException:
            plain.close()
            raise

    def patience(self) -> float:
        """Seconds to wait for the next piece. Raises TimeoutError."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(left, SILENCE_SECONDS)


def _read(connection: _Connection, parts: SplitResult, into: Content, sign_in: str) -> str:
    """Read the answer. Returns the address it redirects to, or ""."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "webinar-scheduler", "Accept": "*/*"}
    headers |= {"Connection": "close"} | ({"Authorization": sign_in} if sign_in else {})
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection.request("GET", quote(target, safe=_UNCHANGED), headers=headers)
    answer = connection.getresponse()
    if answer.status in _REDIRECTS and (where := answer.headers.get("Location")):
        return quote(where.encode("latin-1"), safe=_UNCHANGED + "[]#")
    host = connection.host
    if answer.status != 200:
        hint = ": is the token, or the password, right?" if answer.status in (401, 403) else ""
        raise SourceFails(f"{host} answers with HTTP status {answer.status}{hint}")
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise SourceFails(f"{host} sends it compressed, though it was not asked to")
    if answer.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise SourceFails(f"{host} answers with {A_PAGE}")
    _copy(connection, answer, into)
    return ""


def _copy(connection: _Connection, answer: HTTPResponse, into: Content) -> None:
    length, answer.length = answer.length, None  # else bytes beyond Content-Length are not read
    while True:
        whole = length is not None and into.octets >= length
        connection.tls.settimeout(min(connection.patience(), AFTER_SECONDS if whole else SILENCE_SECONDS))
        try:
            piece = answer.read1(2**16)
        except OSError:
            if not whole:
                raise
            break
        if not piece:
            break
        into.add(piece)
    if length is not None and into.octets < length:
        raise SourceFails(f"{connection.host}: the answer was cut off")
    if length is not None and into.octets > length:
        raise SourceFails(
            f"{connection.host} sends more bytes than its Content-Length, which may count characters"
        )


def _checked(host: str, port: int, hosts: Collection[str]) -> list[str]:
    """The addresses of a host. Raises SourceFails if one is not public and the host is not in `hosts`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise SourceFails(f"{host}: the name cannot be resolved") from None
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    if host.lower() not in hosts and not all(map(is_public, addresses)):
        hint = "if this is intended, the operator lists it in SOURCES_HOSTS"
        raise SourceFails(f"{host} is within a private network: {hint}")
    return addresses


def is_public(address: str) -> bool:
    """Whether an address is public: not private, loopback or link-local, also if embedded in an IPv6 address."""
    found = ip_address(address.partition("%")[0])
    inner = _inner(found) if isinstance(found, IPv6Address) else None
    if inner is not None:
        return is_public(str(inner))
    special = found.is_multicast or found.is_reserved or any(found in network for network in _PRIVATE)
    return found.is_global and not special


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address to which packets to this address may be translated."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo:
        return IPv4Address("127.0.0.1")  # obsolete: refused
    return address.ipv4_mapped or address.sixtofour


def _why(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "no answer in time"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not valid ({error.verify_message})"
        case ssl.SSLError() | HTTPException() | ValueError():
            return f"the answer was cut off, or is not HTTP ({type(error).__name__})"
        case OSError():
            return (error.strerror or "cannot be reached").lower()
    return type(error).__name__
