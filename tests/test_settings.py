"""The operator's settings, from the environment."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from scheduler.input.relay_settings import OAuthSettings, RelaySettings
from scheduler.settings import VARIABLES, Settings, SettingsProblems, read_settings

SECRET = "c0rrect-h0rse"


def test_nothing_set() -> None:
    settings = read_settings({})

    assert settings.database_url.get_secret_value() == "sqlite:///data/webinar.db"
    assert (settings.config_dir, settings.templates_dir) == (Path("config"), Path("templates"))
    assert (settings.smtp_host, settings.smtp_port, settings.smtp_tls) == ("localhost", 587, "starttls")
    assert (settings.smtp_connections, settings.smtp_timeout, settings.drain_seconds) == (4, 300, 30)
    assert (settings.smtp_per_minute, settings.smtp_per_day, settings.smtp_auth) == (None, None, "password")
    assert settings.relays == (settings.relay,)
    assert (settings.health_host, settings.health_port) == ("127.0.0.1", 8080)
    assert (settings.log_level, settings.only_to) == ("info", ())
    assert (settings.return_hours, settings.poll_seconds) == (24, 1)


def test_set_to_nothing_is_not_set() -> None:
    assert read_settings(dict.fromkeys([*VARIABLES, "SMTP_PASSWORD_FILE", "SMTP_HOTS"], "")) == read_settings(
        {}
    )


@pytest.mark.parametrize(
    ("tls", "port"), [("starttls", 587), ("implicit", 465), ("none", 25), ("STARTTLS", 587)]
)
def test_the_port_follows_from_tls(tls: str, port: int) -> None:
    assert read_settings({"SMTP_TLS": tls}).smtp_port == port
    assert read_settings({"SMTP_TLS": tls, "SMTP_PORT": "2525"}).smtp_port == 2525


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_is_reached_by_psycopg(scheme: str) -> None:
    settings = read_settings({"DATABASE_URL": f"{scheme}://me:p%40ss@db:5433/webinar?sslmode=require"})

    url = settings.database_url.get_secret_value()
    assert url == "postgresql+psycopg://me:p%40ss@db:5433/webinar?sslmode=require"


def test_a_database_behind_a_socket() -> None:
    url = read_settings({"DATABASE_URL": "postgresql://postgres:@/postgres?host=/tmp/pg"}).database_url
    assert url.get_secret_value() == "postgresql+psycopg://postgres:@/postgres?host=/tmp/pg"


@pytest.mark.parametrize("line_end", ["", "\n", "\r\n"])
def test_secrets_from_files(tmp_path: Path, line_end: str) -> None:
    for name, secret in (("url", "postgresql://a:b@c/d"), ("user", "me"), ("password", f" {SECRET} ")):
        (tmp_path / name).write_bytes((secret + line_end).encode())

    settings = read_settings(
        {
            "DATABASE_URL_FILE": str(tmp_path / "url"),
            "SMTP_USERNAME_FILE": str(tmp_path / "user"),
            "SMTP_PASSWORD_FILE": str(tmp_path / "password"),
        }
    )

    assert settings.database_url.get_secret_value() == "postgresql+psycopg://a:b@c/d"
    assert settings.relay.username == "me"
    assert settings.relay.password == f" {SECRET} "


def test_secrets_are_in_no_text_of_the_settings() -> None:
    settings = read_settings(
        {
            "DATABASE_URL": f"postgresql://a:{SECRET}@c/d",
            "SMTP_USERNAME": f"{SECRET}1",
            "SMTP_PASSWORD": SECRET,
            "SMTP2_HOST": "second",
            "SMTP2_AUTH": "xoauth2",
            "SMTP2_USERNAME": f"{SECRET}1",
            "SMTP2_OAUTH_TOKEN_URL": "https://login.example.org/token",
            "SMTP2_OAUTH_CLIENT_ID": "client",
            "SMTP2_OAUTH_CLIENT_SECRET": SECRET,
            "SMTP2_OAUTH_REFRESH_TOKEN": SECRET,
        }
    )

    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert SECRET not in repr(settings.relays).replace(f"{SECRET}1", "")


def test_a_relay_is_described_completely() -> None:
    relay = read_settings(
        {
            "SMTP_HOST": "relay",
            "SMTP_USERNAME": "me",
            "SMTP_PASSWORD": "secret",
            "SMTP_CONNECTIONS": "10",
            "SMTP_MAILS_PER_CONNECTION": "100",
            "SMTP_PER_MINUTE": "800",
            "SMTP_PER_DAY": "50000",
            "SMTP_PIPELINING": "off",
            "SMTP_CHUNKING": "off",
            "SMTP_TIMEOUT": "60",
        }
    ).relay

    assert relay == RelaySettings(
        host="relay", port=587, username="me", password="secret", connections=10, mails_per_connection=100,
        per_minute=800, per_day=50_000, pipelining=False, chunking=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    "scheme",
    ["https://login.example.org", "https://login.example.org:8443", "http://[::1]:8080", "http://localhost"],
)
def test_signing_in_by_oauth(scheme: str, tmp_path: Path) -> None:
    (tmp_path / "refresh").write_text("r3fresh\n")
    relay = read_settings(
        {
            "SMTP_AUTH": "XOAUTH2",
            "SMTP_USERNAME": "webinar@who.int",
            "SMTP_OAUTH_TOKEN_URL": f"{scheme}/tenant/token",
            "SMTP_OAUTH_CLIENT_ID": "client",
            "SMTP_OAUTH_REFRESH_TOKEN_FILE": str(tmp_path / "refresh"),
            "SMTP_OAUTH_SCOPE": "https://outlook.office.com/SMTP.Send offline_access",
        }
    ).relay

    assert (relay.username, relay.password) == ("webinar@who.int", "")
    assert relay.oauth == OAuthSettings(
        token_url=f"{scheme}/tenant/token",
        client_id="client",
        refresh_token="r3fresh",
        scope="https://outlook.office.com/SMTP.Send offline_access",
    )


def test_a_file_that_hangs_later_keeps_no_connection_to_the_database_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.settings.AGAIN_SECONDS", 0.1)
    file = tmp_path / "url"
    file.write_text("postgresql://me:first@db/webinar")
    address = read_settings({"DATABASE_URL_FILE": str(file)}).address("database_url")
    file.unlink()
    os.mkfifo(file)
    before = threading.active_count()
    assert [address.now() for _ in range(5)] == [address.url] * 5
    assert threading.active_count() == before + 1
    os.close(os.open(file, os.O_RDWR | os.O_NONBLOCK))  # whoever waits for a writer goes on


@pytest.mark.parametrize(("prefix", "number"), [("SMTP_", 0), ("SMTP2_", 1)])
def test_each_relay_is_read_again_from_its_own_files(tmp_path: Path, prefix: str, number: int) -> None:
    environ = {"SMTP_HOST": "one", "SMTP2_HOST": "two", "HEALTH_PORT": "1", "SMTP_HOTEL": ""}
    for name in ("USERNAME", "PASSWORD"):
        (tmp_path / name).write_text("before\n")
        environ[f"{prefix}{name}_FILE"] = str(tmp_path / name)
    relay = read_settings(environ).relays[number]
    environ.clear()  # what it was, not what it is
    assert relay.secrets_from == (f"{prefix}USERNAME_FILE", f"{prefix}PASSWORD_FILE")
    assert relay.read_again
    (tmp_path / "PASSWORD").write_text(SECRET)
    again = relay.read_again()
    assert (again.host, again.username, again.password) == (relay.host, "before", SECRET)
    assert again.read_again
    assert SECRET not in repr(again)
    (tmp_path / "PASSWORD").write_text("")
    with pytest.raises(SettingsProblems, match=f"{prefix}PASSWORD_FILE: its file is empty"):
        relay.read_again()


def test_without_files_there_is_nothing_to_read_again() -> None:
    relay = read_settings({"SMTP_USERNAME": "me", "SMTP_PASSWORD": SECRET}).relay
    assert (relay.files, relay.read_again) == ((), None)
    assert relay.secrets_from == ("SMTP_USERNAME", "SMTP_PASSWORD")


def test_a_second_relay_has_settings_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("second secret\n")
    settings = read_settings(
        {
            "SMTP_HOST": "first",
            "SMTP_PER_MINUTE": "30",
            "SMTP2_HOST": "second",
            "SMTP2_TLS": "implicit",
            "SMTP2_USERNAME": "me",
            "SMTP2_PASSWORD_FILE": str(tmp_path / "password"),
            "SMTP2_PER_DAY": "1000",
        }
    )

    first, second = settings.relays
    assert first == settings.relay
    assert (first.name, first.per_minute, first.per_day) == ("first:587", 30, None)
    assert (second.name, second.per_minute, second.per_day) == ("second:465", None, 1000)
    assert (second.username, second.password) == ("me", "second secret")


def test_two_accounts_at_one_relay_are_two_relays() -> None:
    environ = {"SMTP_HOST": "relay", "SMTP_USERNAME": "one", "SMTP_PASSWORD": "x"}
    environ |= {"SMTP2_HOST": "relay", "SMTP2_USERNAME": "other", "SMTP2_PASSWORD": "x"}
    assert len({relay.account for relay in read_settings(environ).relays}) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", f"mysql://me:{SECRET}@db/x"),
        ("DATABASE_URL", f"postgresql://me:{SECRET}@db:port/x"),
        ("DATABASE_URL", SECRET),
        ("SMTP_PASSWORD", f"{SECRET}\nx"),
        ("SMTP_USERNAME", f"{SECRET}\0"),
        ("SMTP_HOST", f"smtp://me:{SECRET}@relay"),
        ("SMTP_PASSWORD_FILE", SECRET),
        ("SMTP_PASSWORT", SECRET),
        ("SMTP2_PASSWORD", f"{SECRET}\nx"),
        ("SMTP2_PASSWORT", SECRET),
        ("SMTP2_HOST", f"smtp://me:{SECRET}@relay"),
        ("SMTP_OAUTH_CLIENT_SECRET", SECRET),
        ("SMTP_OAUTH_REFRESH_TOKEN_FILE", SECRET),
        ("SMTP_OAUTH_TOKEN_URL", f"https://me:{SECRET}@login.example.org"),
        ("DATABSE_URL", SECRET),
    ],
)
def test_secrets_are_in_no_problem(name: str, value: str) -> None:
    with pytest.raises(SettingsProblems) as error:
        read_settings({name: value, "SMTP_TLS": "none"})

    assert SECRET not in f"{error.value} {error.value!r} {error.value.__cause__!r}"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "::1"])
def test_without_tls_only_on_this_machine(host: str) -> None:
    environ = {"SMTP_TLS": "none", "SMTP_HOST": host, "SMTP_USERNAME": "a", "SMTP_PASSWORD": "b"}
    assert read_settings(environ).relay.tls == "none"


def test_without_tls_elsewhere_only_on_request() -> None:
    environ = {"SMTP_TLS": "none", "SMTP_HOST": "mailpit"}
    with pytest.raises(SettingsProblems):
        read_settings(environ)

    assert read_settings({**environ, "SMTP_ALLOW_PLAINTEXT": "yes"}).relay.host == "mailpit"


def test_certificates_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))

    assert read_settings({"SMTP_CA_FILE": str(file)}).relay.ca_file == str(file)


@pytest.mark.parametrize(
    "name",
    ["PATH", "LOGLEVEL", "DATABASE_NAME", "TEST_DATABASE_URL", "SQLALCHEMY_DATABASE_URL", "PGHOST", "XDG_CONFIG_DIRS",
     "HEALTHCHECK_PORT", "CONFIG", "SMTP_SERVICE_HOST", "SMTP_SERVICE_PORT", "SMTP_PORT_25_TCP_ADDR",
     "SMTP_SERVICE_PORT_SUBMISSION", "SMTP2_SERVICE_HOST", "SMTP3_HOSTS", "TZ", "http_proxy", "HOST",
     "PORT", "RETURN", "POLL"],
)  # fmt: skip
def test_variables_of_others_are_none_of_our_business(name: str) -> None:
    assert read_settings({name: "x"}) == read_settings({})


def test_a_near_miss_beside_the_right_name_is_anothers() -> None:
    url = "sqlite:///a.db"
    assert read_settings({"DATABASE_URL": url, "DATABASE_URI": "x"}).database_url.get_secret_value() == url


@given(st.data())
def test_one_slip_in_a_name_is_found(data: st.DataObject) -> None:
    right = data.draw(st.sampled_from([name for name in VARIABLES if name != "LOG_LEVEL"]))
    at = data.draw(st.integers(0, len(right) - 2))
    slip = data.draw(
        st.sampled_from(
            [
                right[:at] + right[at + 1 :],
                right[:at] + "X" + right[at:],
                right[:at] + "X" + right[at + 1 :],
                right[:at] + right[at + 1] + right[at] + right[at + 2 :],
            ]
        )
    )
    if slip == right:
        return
    with pytest.raises(SettingsProblems) as error:
        read_settings({slip: "x"})
    assert str(error.value).endswith(f"did you mean `{right}`?")


@pytest.mark.parametrize(
    ("patterns", "address", "allowed"),
    [
        ("*@who.int", "a.b@who.int", True),
        ("*@who.int", "A.B@WHO.INT", True),
        ("*@who.int", "a@who.int.example.org", False),
        ("*@who.int", "a@sub.who.int", False),
        ("*@who.int", "a@xwho.int", False),
        ("*@who.int", "a@whoxint", False),
        ("*@who.int", "a@example.org\n@who.int", False),
        ("*@*.who.int", "a@sub.who.int", True),
        (" *@who.int , me@wto.org ", "me@wto.org", True),
        ("*@who.int,me@wto.org", "you@wto.org", False),
        ("*@müller.example", "a@xn--mller-kva.example", True),
        ("*@*.müller.example", "a@sub.xn--mller-kva.example", True),
        ("*@ｗｈｏ.int", "a@who.int", True),
        ("*@strasse.example", "a@straße.example", False),
        ("*@straße.example", "a@strasse.example", False),
        ("Élodie.*@who.int", "élodie.b@who.int", True),
        ("test+*@who.int", "test+1@who.int", True),
        ("test+*@who.int", "testt1@who.int", False),
        ("[a]@who.int", "a@who.int", False),
        ("*@who.int", "", False),
    ],
)
def test_only_to(patterns: str, address: str, allowed: bool) -> None:
    assert read_settings({"ONLY_TO": patterns}).only_to_allows(address) is allowed


def test_without_only_to_everybody_may_have_mail() -> None:
    assert read_settings({}).only_to_allows("a@example.org")


def test_pages_need_to_know_their_proxy() -> None:
    pages = {"PAGES_URL": "https://webinars.who.int/"}
    with pytest.raises(SettingsProblems) as caught:
        read_settings(pages)
    (problem,) = caught.value.problems
    assert problem.place == "environment variable PAGES_URL"
    assert "without TRUSTED_PROXIES" in problem.found

    settings = read_settings(pages | {"TRUSTED_PROXIES": "10.0.0.7"})
    assert settings.pages_url == "https://webinars.who.int"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_pages_of_a_trial_on_this_computer_need_neither_https_nor_a_proxy(host: str) -> None:
    assert read_settings({"PAGES_URL": f"http://{host}:8070/"}).pages_url == f"http://{host}:8070"


@pytest.mark.parametrize(
    "address", ["http://webinars.who.int", "http://localhost.evil.com:8070", "http://127.0.0.1@evil.com:1"]
)
def test_pages_for_others_need_both(address: str) -> None:
    with pytest.raises(SettingsProblems) as caught:
        read_settings({"PAGES_URL": address})
    scheme, proxy = caught.value.problems
    assert "https://" in scheme.allowed
    assert "without TRUSTED_PROXIES" in proxy.found


@pytest.mark.parametrize(
    "address", ["http://localhost", "http://127.0.0.1:8070/path", "http://a:b@127.0.0.1:8070"]
)
def test_the_address_of_a_trial_has_a_port_and_nothing_more(address: str) -> None:
    with pytest.raises(SettingsProblems, match="PAGES_URL"):
        read_settings({"PAGES_URL": address})


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().smtp_host = "x"  # type: ignore[misc]
