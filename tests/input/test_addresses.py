"""Addresses that a mail can carry, and addresses that are equal."""

from __future__ import annotations

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.input.addresses import NOT_CARRIED, fold, spellings, why_no_address


@pytest.mark.parametrize(
    "address",
    [
        "a@example.org",
        "A.B+tag@sub.example.org",
        "o'brien@example.org",
        "élodie@example.org",
        "用户@例子.广告",
        "a@xn--fiqs8s.example",
        '"a..b"@docomo.example.jp',
        '"a@b"@example.org',
        f"{'a' * 64}@example.org",
        "somebody@webinar.test",
    ],
)
def test_addresses_that_mail_can_go_to(address: str) -> None:
    assert why_no_address(address) == ""


@pytest.mark.parametrize(
    "address",
    [
        "a",
        "@example.org",
        "a@",
        "a@b@example.org",
        "a b@example.org",
        "a@example..org",
        "a@-example.org",
        ".a@example.org",
        "<a@example.org>",
        "Anna <a@example.org>",
        "a@example.org, b@example.org",
        "mailto:a@example.org,",
        "a@exa_mple.org",
        "a@\ud800.org",
    ],
)
def test_invalid_addresses(address: str) -> None:
    assert why_no_address(address) == "email is not an address"


@pytest.mark.parametrize("evil", ["\n", "\r\nBcc: x@example.org", "\0", "\x7f", "\u2028", "\u0085"])
def test_no_address_smuggles_a_header_in(evil: str) -> None:
    assert why_no_address(f"a{evil}@example.org") == "email has a control character"
    assert why_no_address(f"a@example.org{evil}") == "email has a control character"


@pytest.mark.parametrize(
    "address",
    [
        '"a b"@example.org',
        '" "@example.org',
        '"é"@example.org',
        '"a\\é"@example.org',
        "=?utf-8?q?a?=@example.org",
        "x=?utf-8?b?YQ==?=@straße.de",
    ],
)
def test_addresses_that_no_mail_can_carry(address: str) -> None:
    """Tried: a blank ends an address, and readers decode what looks like an encoded word."""
    assert why_no_address(address) == NOT_CARRIED


def test_an_address_is_at_most_254_octets() -> None:
    domain = ".".join(["d" * 60] * 3) + ".org"  # 186 octets
    assert why_no_address("é" * 30 + "@" + domain) == ""
    assert why_no_address("é" * 40 + "@" + domain) == "email is longer than 254 octets"


def test_the_length_counts_as_on_the_wire() -> None:
    assert why_no_address(f"{'a' * 64}@{'ü.' * 20}org") == ""  # 65 octets and 163
    assert why_no_address(f"{'a' * 64}@{'ü.' * 24}org") == "email is longer than 254 octets"


@given(st.emails())
def test_an_address_is_folded_once_and_for_all(address: str) -> None:
    assert fold(fold(address)) == fold(address) == fold(f"  {address.upper().lower()} ")


@given(st.text(), st.text())
def test_whatever_stands_in_a_row_is_folded_once_and_for_all(local: str, domain: str) -> None:
    folded = fold(f"{local}@{domain}")
    assert fold(folded) == folded


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Anna@Example.ORG", " anna@example.org\n"),
        ("ÉLODIE@example.org", "élodie@example.org"),
        ("a@ｗｈｏ.int", "a@who.int"),
        ("a@WHO。int", "a@who.int"),
        ("a@münchen.de", "a@XN--MNCHEN-3YA.de"),
        ("a@MÜNCHEN.de", "a@münchen.de"),
        ("a@mu\u0308nchen.de", "a@münchen.de"),
        ("a@STRAẞE.de", "a@straße.de"),
        ("a@Foo_Bar.example", "a@foo_bar.example"),
    ],
)
def test_addresses_that_are_one(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a@example.org", "b@example.org"),
        ("a@straße.de", "a@strasse.de"),
        ("straße@example.org", "strasse@example.org"),
        ("a@βόλος.gr", "a@βόλοσ.gr"),
        ("a.b@example.org", "ab@example.org"),
        ("a+b@example.org", "a@example.org"),
        ("a@example.org", "a@example.org."),
        ("a@Ｆoo_bar.example", "a@foo_bar.example"),
    ],
)
def test_addresses_that_are_two(one: str, other: str) -> None:
    assert fold(one) != fold(other)


def test_the_domain_is_compared_as_it_goes_on_the_wire() -> None:
    assert fold("Ärzte@Straße.DE") == "ärzte@xn--strae-oqa.de"
    assert fold("a@例子.广告") == "a@xn--fsqu00a.xn--4rr70v"


def test_invalid_addresses_can_be_compared() -> None:
    assert fold("") == ""
    assert fold(" Nobody ") == "nobody"
    assert fold("A@" + "Ü" * 1000) == "a@" + "Ü" * 1000  # of no domain IDNA's tables are asked for long
    assert fold("a@\ud800.ORG") == "a@\ud800.org"


@pytest.mark.parametrize("examples", [30, pytest.param(100, marks=pytest.mark.full)])
def test_a_domain_that_is_judged_once_is_judged_as_with_each_address(examples: int) -> None:
    @settings(max_examples=examples)
    @given(
        st.from_regex(r"[A-Za-z0-9.+'_-]{1,66}@[a-z0-9.-]{1,20}(\.org|\.test|\.local|\.c)?", fullmatch=True)
        | st.builds(
            "{}@{}".format, st.text("aé.'\"+ ", max_size=8), st.sampled_from(["example.org", "-a.org", "a"])
        )
    )
    def holds(address: str) -> None:
        try:
            validate_email(
                address, check_deliverability=False, test_environment=True, allow_quoted_local=True
            )
        except EmailNotValidError:
            assert why_no_address(address) == "email is not an address"
        else:
            assert why_no_address(address) in ("", NOT_CARRIED)

    holds()


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("A@Example.ORG", {"A@Example.ORG", "a@example.org"}),
        ("a@straße.de", {"a@straße.de", "a@xn--strae-oqa.de"}),
        ("a@xn--strae-oqa.de", {"a@straße.de", "a@xn--strae-oqa.de"}),
        ("a@xn--.de", {"a@xn--.de"}),
    ],
)
def test_the_ways_to_write_an_address(address: str, written: set[str]) -> None:
    assert set(spellings(address)) == written


_LABEL = st.from_regex(r"[a-zA-Z0-9-]{1,4}", fullmatch=True) | st.sampled_from(["xn--a", "a" * 63, "a" * 64])
_TOP = st.sampled_from(["org", "ORG", "o1", "1", "local", "Local", "test", "arpa", "c", "a-b", ""])


@settings(max_examples=300)
@given(st.from_regex(r"[a-z.'+_-]{1,4}", fullmatch=True), st.lists(_LABEL, max_size=4), _TOP)
def test_a_quick_look_takes_nothing_that_a_closer_one_refuses(
    local: str, labels: list[str], top: str
) -> None:
    address = f"{local}@{'.'.join([*labels, top])}"
    if why_no_address(address) == "":
        validate_email(address, check_deliverability=False, test_environment=True)
