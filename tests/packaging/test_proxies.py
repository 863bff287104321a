"""The editor and the registrants' pages behind the proxies that packaging/ has blocks for, over TLS, as browsers do.

`full`: needs Debian's nginx-light and caddy.
"""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from scheduler.database.engine import Database
from scheduler.web import accounts
from scheduler.web.guard import OF_BOTH
from tests.endtoend.support import HOST, Scene, free_port, on_the_real_clock, scene, until
from tests.smtp_server import authority, ca_file
from tests.support import utc

pytestmark = pytest.mark.full

NAME, PAGES = "texts.who.int", "webinars.who.int"
URL = f"https://{NAME}"
EDITOR, PASSWORD = "ada@who.int", "four words make one"
WRONG = {"address": EDITOR, "password": "not the four words"}
SIGN_IN = "/templates/sign-in"


def nginx(folder: Path, https: int, http: int, editor: int, pages: int, certificate: Path) -> list[str]:
    """nginx with our block, its ports and files changed."""
    block = Path("packaging/nginx.conf").read_text("utf-8")
    for old, new in {
        "    listen [::]:443 ssl http2;\n": "", "    listen [::]:80;\n": "",
        "listen 443 ": f"listen {HOST}:{https} ", "listen 80;": f"listen {HOST}:{http};",
        "127.0.0.1:8090": f"{HOST}:{editor}", "127.0.0.1:8070": f"{HOST}:{pages}",
        "/etc/ssl/webinars.who.int.pem": str(certificate),
        "/etc/ssl/private/webinars.who.int.key": str(certificate),
        "/etc/ssl/texts.who.int.pem": str(certificate), "/etc/ssl/private/texts.who.int.key": str(certificate),
    }.items():  # fmt: skip
        assert old in block
        block = block.replace(old, new)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off;\nuser root;\npid {folder}/pid;\nerror_log {folder}/errors;\nworker_processes 1;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}{block}}}\n"
    )
    return ["nginx", "-p", str(folder), "-e", f"{folder}/errors", "-c", f"{folder}/nginx.conf"]


def caddy(folder: Path, https: int, http: int, editor: int, pages: int, certificate: Path) -> list[str]:
    """Caddy with our file, its ports changed, and with a certificate that it need not ask anybody for."""
    file = Path("packaging/Caddyfile").read_text("utf-8")
    ports = f"admin off\n\thttp_port {http}\n\thttps_port {https}\n\tstorage file_system {folder}/caddy"
    for old, new in {
        "\n{\n": f"\n{{\n\t{ports}\n",
        f"\n{NAME} {{\n": f"\n{NAME} {{\n\ttls {certificate} {certificate}\n",
        f"\n{PAGES} {{\n": f"\n{PAGES} {{\n\ttls {certificate} {certificate}\n",
        "127.0.0.1:8090": f"{HOST}:{editor}", "127.0.0.1:8070": f"{HOST}:{pages}",
    }.items():  # fmt: skip
        assert old in file
        file = file.replace(old, new)
    (folder / "Caddyfile").write_text(file)
    return ["caddy", "run", "--adapter", "caddyfile", "--config", f"{folder}/Caddyfile"]


class Behind:
    """The editor behind a proxy."""

    def __init__(self, here: Scene, https: int, http: int) -> None:
        self.here, self.https, self.http = here, https, http
        self._trusting = ssl.create_default_context(cafile=ca_file())

    def browser(self, address: str = HOST, host: str = NAME) -> httpx.AsyncClient:
        """At the computer with that address; it comes by the editor's name, which no name server knows here."""

        async def by_name(request: httpx.Request) -> None:
            request.extensions["sni_hostname"] = host.partition(":")[0]

        return httpx.AsyncClient(
            base_url=f"https://{HOST}:{self.https}", headers={"Host": host, "Origin": URL}, timeout=30,
            transport=httpx.AsyncHTTPTransport(verify=self._trusting, local_address=address),
            event_hooks={"request": [by_name]},
        )  # fmt: skip


@asynccontextmanager
async def behind(made: Callable[..., list[str]], folder: Path) -> AsyncIterator[Behind]:
    """A whole service, its editor behind that proxy, and an account there."""
    if not shutil.which(made.__name__):
        pytest.fail(f"NOT RUN: no {made.__name__} (apt-get install nginx-light caddy)", pytrace=False)
    certificate = folder / "certificate.pem"
    authority().issue_cert(NAME, PAGES).private_key_and_cert_chain_pem.write_to_path(certificate)
    https, http, port, pages = free_port(), free_port(), free_port(), free_port()
    async with scene(folder, f"sqlite:///{folder}/webinar.db") as here:
        here.webinar()
        await here.run(
            EDITOR="on", EDITOR_PORT=str(port), PUBLIC_URL=URL, TRUSTED_PROXIES="127.0.0.1",
            PAGES_PORT=str(pages), PAGES_URL=f"https://{PAGES}",
        )  # fmt: skip
        with (folder / "proxy.log").open("wb") as log:
            command = made(folder, https, http, port, pages, certificate)
            proxy = await asyncio.create_subprocess_exec(
                *command, stdout=log, stderr=log, env={"PATH": "/usr/sbin:/usr/bin", "HOME": str(folder)}
            )
        there = Behind(here, https, http)
        try:

            async def answers() -> bool:
                assert proxy.returncode is None, (folder / "proxy.log").read_text()
                async with there.browser() as browser:
                    try:
                        return (await browser.get(SIGN_IN)).status_code == 200
                    except httpx.TransportError:
                        return False

            await until(answers, "the editor answers through the proxy", within=60)
            database = Database(here.sql.url)
            with database.transaction() as conn:
                accounts.save_account(conn, utc("2025-06-20 08:00"), EDITOR, PASSWORD, "edit")
            database.close()
            yield there
        finally:
            if proxy.returncode is None:
                proxy.terminate()
            await proxy.wait()


@pytest.mark.parametrize("proxy", [nginx, caddy])
@on_the_real_clock
async def test_a_browser_behind_it(tmp_path: Path, proxy: Callable[..., list[str]]) -> None:
    async with behind(proxy, tmp_path) as there:
        await signs_in_and_saves(there)
        await comes_by_the_name_with_its_port(there)
        await sends_too_much(there)
        await is_led_to_https(there)
        await is_counted_by_its_own_address(there)
        await finds_the_pages_and_nothing_of_the_editor_by_their_name(there, tmp_path)


async def signs_in_and_saves(there: Behind) -> None:
    async with there.browser() as browser:
        answer = await browser.post(SIGN_IN, data={"address": EDITOR, "password": PASSWORD})
        assert (answer.status_code, answer.headers["location"]) == (303, "/templates")
        assert answer.headers.get_list("strict-transport-security") == ["max-age=31536000"]
        cookies = {cookie.name: cookie for cookie in browser.cookies.jar}
        assert cookies.keys() == {"__Host-session", "__Host-known"}
        assert all(cookie.secure and cookie.path == "/" for cookie in cookies.values())
        assert not any(cookie.domain_specified for cookie in cookies.values())
        assert "confirmation" in (await browser.get("/templates")).text
        csrf = {"X-CSRF": accounts.Editor("", "edit", cookies["__Host-session"].value or "").csrf}
        said = {"source": "---\nsubject: Hello\n---\nText.\n"}
        text = "/templates/confirmation/en"
        assert (await browser.post(f"{text}/try", json=said, headers=csrf)).status_code == 200
        elsewhere = csrf | {"Origin": "https://elsewhere.example"}
        assert (await browser.post(f"{text}/try", json=said, headers=elsewhere)).status_code == 403


async def comes_by_the_name_with_its_port(there: Behind) -> None:
    async with there.browser(host=f"{NAME}:443") as browser:
        assert (await browser.get(SIGN_IN)).status_code == 200
        answer = await browser.post(SIGN_IN, data={"address": EDITOR, "password": PASSWORD})
        assert answer.status_code == 303


async def sends_too_much(there: Behind) -> None:
    """Announced, and not: the proxy refuses both, though the editor would."""

    async def unannounced() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b"a" * 10_000

    async with there.browser() as browser:
        assert (await browser.post(SIGN_IN, content=b"a" * 3_000_000)).status_code == 413
        # Its status alone: where the editor's refusal comes first, Caddy cuts the words of it off.
        async with browser.stream("POST", SIGN_IN, content=unannounced()) as answer:
            assert answer.status_code == 413
        answer = await browser.post(SIGN_IN, content=b"a" * 100_000)
        assert (answer.status_code, answer.text) == (413, "At most 10,000 bytes are taken."), (
            "the editor's own"
        )


async def is_led_to_https(there: Behind) -> None:
    async with httpx.AsyncClient() as browser:
        answer = await browser.get(f"http://{HOST}:{there.http}/templates", headers={"Host": NAME})
        assert answer.status_code in (301, 308)
        assert answer.headers["location"].startswith(URL)


async def is_counted_by_its_own_address(there: Behind) -> None:
    """Whatever it says about itself: of five wrong passwords the sixth is not looked at, and who is elsewhere is not
    concerned."""
    async with there.browser("127.0.0.2") as guessing, there.browser("127.0.0.3") as other:
        for number in range(OF_BOTH):
            says = {"X-Forwarded-For": f"192.0.2.{number}", "Forwarded": f"for=192.0.2.{number}"}
            assert (await guessing.post(SIGN_IN, data=WRONG, headers=says)).status_code == 403
        for says in ({}, {"X-Forwarded-For": "192.0.2.99"}, {"X-Real-IP": "192.0.2.99"}):
            assert (await guessing.post(SIGN_IN, data=WRONG, headers=says)).status_code == 429
        assert (await other.post(SIGN_IN, data=WRONG)).status_code == 403


async def finds_the_pages_and_nothing_of_the_editor_by_their_name(there: Behind, folder: Path) -> None:
    key = "0123456789" * 4
    async with there.browser(host=PAGES) as browser:
        unknown = await browser.get(f"/r/{key}")
        assert unknown.status_code == 404
        assert unknown.headers["referrer-policy"] == "no-referrer"
        assert (await browser.get(SIGN_IN)).status_code == 404
        assert (await browser.get("/api/openapi.json")).status_code == 200
    assert _files_with(key, folder) == [], "no log has the key"


def _files_with(words: str, folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and words.encode() in path.read_bytes()]
