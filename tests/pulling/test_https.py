"""What is read over HTTPS, from whom, and how far."""

from __future__ import annotations

import gzip
import io
import socket
import ssl
import threading
from typing import Any

import pytest

from scheduler.database.engine import Database
from scheduler.pulling import content, https
from scheduler.pulling.content import Content, SourceFails
from scheduler.pulling.https import is_public, read_url
from tests.pulling.https_server import https_server, ok, redirect
from tests.pulling.scene import ANA, BO, Pulled, rows
from tests.smtp_server import HOST, ca_file

PEOPLE = rows(f"{ANA},Ana", f"{BO},Bo")


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", ca_file())


def read(url: str, *hosts: str) -> bytes:
    into = Content(io.BytesIO())
    read_url(url, into, hosts=hosts)
    into.file.seek(0)
    return into.file.read()


def refused(url: str, *hosts: str) -> str:
    with pytest.raises(SourceFails) as refused:
        read(url, *hosts)
    return str(refused.value)


def test_a_file_at_an_address(sqlite_url: str) -> None:
    with https_server(lambda path, head: ok(PEOPLE)) as url:
        database = Database(sqlite_url)
        pulled = Pulled(database, f'url = "{url}/people.csv?event=7"', hosts=(HOST,))
        pulled.pull()
        assert set(pulled.people) == {ANA, BO}
        database.close()


def test_an_address_with_a_secret_stands_in_the_environment(sqlite_url: str) -> None:
    heads = []

    def answer(path: str, head: str) -> bytes:
        heads.append(head)
        return ok(PEOPLE) if "token=hush" in path else b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"

    with https_server(answer) as url:
        database = Database(sqlite_url)
        environ = {"SOURCE_CRM": url.replace("//", "//user:pass@") + "/export?token=hush"}
        pulled = Pulled(database, 'from = "crm"', environ=environ)
        pulled.pull()
        assert set(pulled.people) == {ANA, BO}
        assert "Authorization: Basic dXNlcjpwYXNz" in heads[0]
        environ["SOURCE_CRM"] = f"{url}/export?token=wrong-hush"
        trouble = pulled.pull().trouble
        assert "403" in trouble
        assert "hush" not in trouble
        assert set(pulled.people) == {ANA, BO}
        database.close()


GARBLED: dict[str, tuple[bytes, str]] = {
    "not there": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "HTTP status 404"),
    "needs a token": (b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", "is the token, or the password, right?"),
    "a page": (ok("<html>sign in</html>", "Content-Type: text/html; charset=utf-8"), "ask for a sign-in?"),
    "shorter than it says": (ok(PEOPLE, length=1000), "cut off"),
    "longer than it says, as it counts letters": (ok("email,name\nzoe@example.org,Zoë\n", length=31), "sends more"),
    "a chunk that is cut": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\nemail\nana@", "cut off"
    ),
    "no last chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nemail\n\r\n", "cut off"),
    "compressed": (ok(gzip.compress(PEOPLE.encode()), "Content-Encoding: gzip"), "compressed"),
    "no HTTP": (b"220 mail.test ESMTP\r\n", "not HTTP"),
    "nothing": (b"", "cut off"),
    "a header without end": (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000, "not HTTP"),
    "a redirect without https": (redirect(f"http://{HOST}/people.csv"), "without https"),
    "a redirect to no address": (redirect("https://[::1"), "invalid address"),
    "a redirect that is words to a reader": (redirect("https://Call us, at +41 22.test/"), "to an invalid address"),
    "a redirect that is long": (redirect(f"https://{'a.' * 4000}test/"), "to an invalid address"),
    "a redirect that colours a terminal": (redirect("https://\x1b[31mevil.test/"), "invalid address"),
    "a redirect to a file": (redirect("file:///etc/passwd"), "without https"),
    "redirects in a circle": (redirect("/again"), "more than 5 redirects"),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "words"), GARBLED.values(), ids=GARBLED)
def test_an_answer_that_is_none(answer: bytes, words: str) -> None:
    with https_server(lambda path, head: answer) as url:
        trouble = refused(f"{url}/people.csv?token=hush", HOST)
    assert words in trouble
    assert "hush" not in trouble
    assert "people.csv" not in trouble


def test_an_answer_without_length_ends_with_its_connection() -> None:
    with https_server(lambda path, head: b"HTTP/1.0 200 OK\r\n\r\n" + PEOPLE.encode()) as url:
        assert read(url, HOST) == PEOPLE.encode()


def test_redirects_are_followed_without_the_password() -> None:
    heads: list[str] = []

    def answer(path: str, head: str) -> bytes:
        heads.append(head)
        return ok(PEOPLE) if path == "/there" else redirect(f"{other}/there")

    with https_server(answer, "localhost", HOST) as url:
        other = url.replace(HOST, "localhost")
        assert read(f"{url.replace('//', '//a:b@')}/here", HOST, "localhost") == PEOPLE.encode()
    assert ["Authorization" in head for head in heads] == [True, False]


def test_a_password_is_for_where_it_began() -> None:
    """Also where a redirect to the same server does not repeat it; and for no other port of that host."""
    heads: list[str] = []

    def answer(path: str, head: str) -> bytes:
        heads.append(head)
        return ok(PEOPLE) if path == "/there" else redirect(f"{places.pop()}/there")

    with https_server(answer) as one, https_server(answer) as other:
        places = [other.replace("//", "//evil:evil@"), other, one]
        for _ in range(3):
            assert read(f"{one.replace('//', '//a:b@')}/here", HOST) == PEOPLE.encode()
    assert ["Authorization: Basic YTpi" in head for head in heads] == [True, True, True, False, True, False]
    assert "evil" not in "".join(heads)


def test_an_address_is_asked_for_as_it_is_typed() -> None:
    """Letters and blanks in a path that an operator wrote, or that a server redirects to."""
    asked: list[str] = []

    def answer(path: str, head: str) -> bytes:
        asked.append(path)
        return ok(PEOPLE) if len(asked) > 1 else redirect("/März 2.csv?a=b%20c")

    with https_server(answer) as url:
        assert read(f"{url}/Anmeldungen März.csv?token=a+b/c=", HOST) == PEOPLE.encode()
    assert asked == ["/Anmeldungen%20M%C3%A4rz.csv?token=a+b/c=", "/M%C3%A4rz%202.csv?a=b%20c"]


def test_a_server_that_keeps_the_connection_open_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(https, "AFTER_SECONDS", 0.05)
    read_it = threading.Event()
    with https_server(lambda path, head: ok(PEOPLE), open_until=read_it) as url:
        assert read(url, HOST) == PEOPLE.encode()
        read_it.set()


def test_a_redirect_leads_into_no_private_network() -> None:
    with https_server(lambda path, head: redirect("https://localhost/people.csv")) as url:
        assert "localhost is within a private network" in refused(url, HOST)


def test_the_connection_goes_to_the_address_that_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that means a public address when it is looked at, and this machine when it is connected to."""
    asked: list[str] = []
    connected: list[Any] = []

    def getaddrinfo(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return [(0, 0, 0, "", ("93.184.215.14" if len(asked) == 1 else HOST, 443))]

    def create_connection(address: Any, *_: Any, **__: Any) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket, "create_connection", create_connection)
    assert refused("https://rebinding.test/people.csv") == "rebinding.test: connection refused"
    assert (asked, connected) == (["rebinding.test"], [("93.184.215.14", 443)])


def test_a_certificate_must_be_that_of_the_name() -> None:
    with https_server(lambda path, head: ok(PEOPLE), "elsewhere.test") as url:
        assert "its certificate is not valid" in refused(url, HOST)


def test_a_certificate_must_be_of_a_trusted_authority(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with https_server(lambda path, head: ok(PEOPLE)) as url:
        assert "its certificate is not valid" in refused(url, HOST)


def test_no_more_is_read_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MOST_OCTETS", 2**20)
    with https_server(lambda path, head: ok(b"a" * 2**21)) as url:
        assert "more than 1 MB" in refused(url, HOST)


def test_an_answer_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(https, "SECONDS", 0.3)
    context = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", context)
    with socket.create_server((HOST, 0)) as silent:
        url = f"https://{HOST}:{silent.getsockname()[1]}/"
        assert refused(url, HOST) == f"{HOST}: no answer in time"


ADDRESSES = {
    "93.184.215.14": True,
    "2606:2800:21f:cb07:6820:80da:af6b:8b2c": True,
    "127.0.0.1": False,
    "127.9.9.9": False,
    "0.0.0.0": False,
    "10.1.2.3": False,
    "172.16.0.1": False,
    "172.31.255.255": False,
    "172.32.0.1": True,
    "192.168.1.1": False,
    "169.254.169.254": False,  # metadata of clouds
    "100.64.0.1": False,
    "100.100.100.200": False,
    "192.0.0.192": False,
    "192.0.2.1": False,
    "198.18.0.1": False,
    "224.0.0.1": False,
    "240.0.0.1": False,
    "255.255.255.255": False,
    "::1": False,
    "::": False,
    "fe80::1%eth0": False,
    "fc00::1": False,
    "fd00:ec2::254": False,
    "ff02::1": False,
    "::ffff:127.0.0.1": False,
    "::ffff:169.254.169.254": False,
    "::ffff:93.184.215.14": True,
    "64:ff9b::7f00:1": False,
    "64:ff9b::a9fe:a9fe": False,
    "64:ff9b:1::1": False,
    "2002:7f00:1::": False,
    "2002:a9fe:a9fe::1": False,
    "2001:0:4136:e378:8000:63bf:3fff:fdd2": False,
    "2001:db8::1": False,
    "::7f00:1": False,
}


@pytest.mark.parametrize(("address", "public"), ADDRESSES.items())
def test_whether_everybody_may_ask_an_address(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize(
    "host", ["localhost", "127.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "0"]
)
def test_this_machine_however_it_is_written(host: str) -> None:
    assert "within a private network" in refused(f"https://{host}/people.csv")
