"""Other people's mail servers, each started for a test with a configuration of its own: Postfix and Exim.

Both need root, take mail for example.com into a Maildir, refuse nobody@example.com, offer STARTTLS with a certificate
of the tests' authority, and let USER sign in with PASSWORD, in TLS only: Postfix by PLAIN, Exim by LOGIN.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.smtp_server import authority

HOST = "127.0.0.1"
USER, PASSWORD = "webinar", "a password"
REFUSED = "nobody@example.com"
LARGEST = 1_000_000  # bytes
MEMORY = "/dev/shm"  # where there is one: its queue costs the server no time
_NOBODY = 65534


@dataclass(frozen=True)
class Relay:
    """A server that runs. What it has taken lies in `box`, one file a mail."""

    port: int
    box: Path

    def taken(self, marker: bytes, number: int, within: float = 60.0) -> list[bytes]:
        """The mails with `marker` in them, in CRLF lines, once there are so many, or after `within` seconds."""
        end = time.monotonic() + within
        while True:
            files = list((self.box / "new").glob("*"))
            found = [mail for file in files if marker in (mail := file.read_bytes().replace(b"\n", b"\r\n"))]
            if len(found) >= number or time.monotonic() > end:
                return found
            time.sleep(0.1)


def not_run(why: str) -> None:
    """What can't start is a failure, never a skip."""
    pytest.fail(f"NOT RUN: {why}", pytrace=False)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        port: int = found.getsockname()[1]
        return port


def _certificate(directory: Path) -> tuple[Path, Path]:
    """Certificate and key in PEM, for this machine's address."""
    issued = authority().issue_cert(HOST, "localhost")
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    issued.private_key_pem.write_to_path(key)
    for number, part in enumerate(issued.cert_chain_pems):
        part.write_to_path(certificate, append=number > 0)
    key.chmod(0o600)
    return certificate, key


def wait_for_banner(port: int, log: Path = Path("log")) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=5) as found:
            if found.recv(3) == b"220":
                return
        time.sleep(0.05)
    not_run(f"it does not answer: {log.read_text()[-2000:] if log.exists() else 'no log'}")


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    """Not pytest's, into which only root may go: these servers change to users of their own."""
    directory = Path(
        tempfile.mkdtemp(prefix="mail-server-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None)
    )
    directory.chmod(0o755)
    box = directory / "box"
    box.mkdir()
    os.chown(box, _NOBODY, _NOBODY)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


_MASTER = """
{host}:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""

_MAIN = """
compatibility_level = 3.6
queue_directory = {directory}/queue
data_directory = {directory}/data
maillog_file = {directory}/log
maillog_file_prefixes = {directory}
myhostname = postfix.test
inet_interfaces = {host}
inet_protocols = ipv4
mynetworks = {host}/32
mydestination =
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = example.com
virtual_mailbox_base = {directory}
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:{nobody}
virtual_gid_maps = static:{nobody}
virtual_mailbox_limit = 0
virtual_transport = {transport}
message_size_limit = {largest}
smtputf8_enable = yes
smtpd_recipient_restrictions =
    check_recipient_access inline:{{ {{ {refused} = 550 5.1.1 no such user }} }},
    permit_mynetworks, reject
smtpd_data_restrictions = reject_unauth_pipelining
smtpd_forbid_unauth_pipelining = yes
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_sasl_auth_enable = yes
smtpd_sasl_path = smtpd
"""


@contextlib.contextmanager
def postfix(transport: str = "virtual") -> Iterator[Relay]:
    """Postfix as Debian packages it (postfix, libsasl2-modules). `transport`: "discard" throws away what it took."""
    if not shutil.which("postfix") or os.geteuid():
        not_run("needs root and Postfix (apt-get install --no-install-recommends postfix libsasl2-modules)")
    with (
        _directory() as directory,
        _password_checker(directory / "config" / "sasl"),
    ):  # where Debian's looks for it
        certificate, key = _certificate(directory)
        port, config = _free_port(), directory / "config"
        for name in ("queue", "data"):
            (directory / name).mkdir()
        shutil.chown(directory / "data", "postfix")
        values = {"host": HOST, "port": port, "directory": directory, "certificate": certificate, "key": key}
        values |= {"nobody": _NOBODY, "largest": LARGEST, "refused": REFUSED, "transport": transport}
        (config / "main.cf").write_text(_MAIN.format(**values))
        (config / "master.cf").write_text(_MASTER.format(**values))
        started = subprocess.run(
            ["postfix", "-c", config, "start"], capture_output=True, text=True, check=False
        )
        try:
            if started.returncode:
                not_run(f"Postfix does not start: {started.stderr[-2000:]}")
            wait_for_banner(port, directory / "log")
            yield Relay(port, directory / "box")
        finally:
            subprocess.run(["postfix", "-c", config, "stop"], capture_output=True, check=False)


@contextlib.contextmanager
def _password_checker(directory: Path) -> Iterator[None]:
    """A saslauthd: four counted strings in (user, password, service, realm), "OK" or "NO" out, counted too."""
    directory.mkdir(parents=True)
    (directory / "smtpd.conf").write_text(
        f"pwcheck_method: saslauthd\nsaslauthd_path: {directory}/mux\nmech_list: PLAIN\n"
    )
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(directory / "mux"))
    (directory / "mux").chmod(0o777)
    listener.listen()

    def answer() -> None:
        while True:
            try:
                asked, _ = listener.accept()
            except OSError:
                return
            with asked, asked.makefile("rb") as stream:
                words = [stream.read(struct.unpack("!H", stream.read(2))[0]).decode() for _ in range(4)]
                verdict = b"OK" if words[:2] == [USER, PASSWORD] else b"NO"
                asked.sendall(struct.pack("!H", len(verdict)) + verdict)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


_EXIM = """
exim_path = {program}
primary_hostname = exim.test
spool_directory = {directory}/spool
log_file_path = {directory}/log/%slog
pid_file_path = {directory}/pid
local_interfaces = {host}
daemon_smtp_ports = {port}
domainlist local_domains = example.com
message_size_limit = {largest}
chunking_advertise_hosts = *
pipelining_advertise_hosts = *
accept_8bitmime = true
smtputf8_advertise_hosts = *
tls_advertise_hosts = *
tls_certificate = {certificate}
tls_privatekey = {key}
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}
acl_smtp_rcpt = rcpt
acl_smtp_data = data
deliver_drop_privilege = true
smtp_accept_max = 50
smtp_accept_queue_per_connection = 10000
smtp_receive_timeout = 1m

begin acl
rcpt:
  deny recipients = {refused}
       message = no such user
  accept domains = +local_domains
  deny message = relay not permitted
data:
  accept

begin routers
all:
  driver = accept
  transport = box

begin transports
box:
  driver = appendfile
  maildir_format
  directory = {directory}/box

begin authenticators
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${{if and{{{{eq{{$auth1}}{{{user}}}}}{{eq{{$auth2}}{{{password}}}}}}}}}
  server_set_id = $auth1
"""


@contextlib.contextmanager
def exim() -> Iterator[Relay]:
    """Exim as Debian packages it (exim4-daemon-light); EXIM names the program where it is not on the PATH."""
    program = os.environ.get("EXIM") or shutil.which("exim4")
    if not program or os.geteuid():
        not_run("needs root and Exim 4 (exim4-daemon-light) on the PATH, or its path in EXIM")
        return
    with _directory() as directory:
        certificate, key = _certificate(directory)
        port = _free_port()
        for name in ("spool", "log", "box"):
            (directory / name).mkdir(exist_ok=True)
            shutil.chown(directory / name, "Debian-exim", "Debian-exim")
        for file in (certificate, key):
            shutil.chown(file, "Debian-exim")
        config = directory / "exim.conf"
        values = {"host": HOST, "port": port, "directory": directory, "certificate": certificate, "key": key}
        values |= {
            "program": program,
            "largest": LARGEST,
            "refused": REFUSED,
            "user": USER,
            "password": PASSWORD,
        }
        config.write_text(_EXIM.format(**values))
        with subprocess.Popen([program, "-C", config, "-bdf", "-q1m"], stderr=subprocess.DEVNULL) as process:
            try:
                wait_for_banner(port, directory / "log" / "mainlog")
                yield Relay(port, directory / "box")
            finally:
                process.send_signal(signal.SIGTERM)
