"""E-mail addresses: the form in which they are compared, and why a text is not an address that a mail can carry."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import lru_cache
from string import ascii_lowercase, ascii_uppercase

import idna
from email_validator import SPECIAL_USE_DOMAIN_NAMES, validate_email

LONGEST = 254  # octets (RFC 5321, 4.5.3.1.3, without its angle brackets)
NOT_CARRIED = "email is an address that a mail cannot carry"
_TOO_LONG = f"email is longer than {LONGEST} octets"

_ASCII_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
_ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_ORDINARY_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")  # a dot-atom (RFC 5322, 3.2.3)
_PLAIN = re.compile(
    r"([A-Za-z0-9_+'-]+(?:\.[A-Za-z0-9_+'-]+)*)@((?:[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*\.)+[A-Za-z]{2,})"
)
"""Most addresses match; checking them by Unicode's tables takes a hundred times as long."""
_SPECIAL = tuple(SPECIAL_USE_DOMAIN_NAMES)
_LONGEST_PART = 63  # octets of a label (RFC 1035, 2.3.1); a local part may have 64
# In a quoted local part, relays lose blanks and characters beyond ASCII.
_QUOTED_LOCAL = re.compile(r'"(?:[!#-\[\]-~]|\\[!-~])+"')
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def fold(address: str) -> str:
    """The form in which addresses are compared, everywhere.

    The local part is in lower case, although strictly only its own server may ignore case (RFC 5321, 2.4). The domain
    is in A-labels by UTS 46, non-transitional: straße.de and strasse.de differ, ｗｈｏ.int and who.int are equal. An
    invalid domain, such as one with an underscore, is in ASCII lower case. Nothing else is changed: `a.b` and `ab`,
    `"a"` and `a`, two encodings of é, example.org with and without a final dot (which no mail can carry) differ.
    """
    address = address.strip()
    if address.isascii():  # nearly all are, and this is asked for each row: the domain is in A-labels already
        return address.lower()
    local, at, domain = address.rpartition("@")
    return f"{local.lower()}{at}{fold_domain(domain)}"


def spellings(address: str) -> tuple[str, str, str]:
    """The most likely spellings of an address: as given, with its domain in A-labels, and in U-labels."""
    folded = fold(address)
    local, at, domain = folded.rpartition("@")
    try:
        in_unicode = idna.decode(domain) if "xn--" in domain else domain
    except UnicodeError:  # the base of IDNAError
        in_unicode = domain
    return address, folded, f"{local}{at}{in_unicode}"


def fold_domain(domain: str) -> str:
    """A domain, or one label of it, in the form that `fold` uses."""
    if domain.isascii():  # A-labels do not change, so neither IDNA's tables nor the cache are needed
        return domain.lower()
    return domain.translate(_ASCII_LOWER) if len(domain) > LONGEST else _mapped(domain)


@lru_cache(maxsize=4096)  # most registrants share few domains
def _mapped(domain: str) -> str:
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except UnicodeError:  # the base of IDNAError
        return domain.translate(_ASCII_LOWER)


def _is_plain(address: str) -> bool:
    """Whether this is an ordinary address. A quick test that accepts most valid ones, and only valid ones."""
    if not (found := _PLAIN.fullmatch(address)):
        return False
    is_long = len(address) > _LONGEST_PART and max(map(len, found.groups())) > _LONGEST_PART
    return not (is_long or address.lower().endswith(_SPECIAL))


@lru_cache(maxsize=8)  # a row of a file is asked about when it is read, and again when it is judged
def why_no_address(address: str) -> str:
    """Why this is not an e-mail address (RFC 5321, 5322, 6531) that a mail can carry; "" if it is one."""
    if not address:
        return "email is empty"
    if _is_plain(address):
        return ""
    if _CONTROL.search(address):
        return "email has a control character"
    if "\ufffd" in address:  # replaces NUL and invalid UTF-8
        return "email has a character that cannot be read"
    if len(address.encode("utf-8", "replace")) > LONGEST:
        return _TOO_LONG
    local, _, domain = address.rpartition("@")
    ordinary = _ORDINARY_LOCAL.fullmatch(local) and len(local) <= 64
    sound = _is_domain(domain) if ordinary else _is_address(address)
    return _why_not_carried(local, domain) if sound else "email is not an address"


def _why_not_carried(local: str, domain: str) -> str:
    if len(local.encode()) + 1 + len(fold_domain(domain)) > LONGEST:  # A-labels are longer
        return _TOO_LONG
    quoted = local.startswith('"') and not _QUOTED_LOCAL.fullmatch(local)
    # An encoded word, which mail programs decode wherever it stands (RFC 2047).
    encoded = "?=" in local.partition("=?")[2]
    return NOT_CARRIED if quoted or encoded else ""


@lru_cache(maxsize=4096)
def _is_domain(domain: str) -> bool:
    return _is_address(f"a@{domain}")


def _is_address(address: str) -> bool:
    try:
        validate_email(address, check_deliverability=False, test_environment=True, allow_quoted_local=True)
    except ValueError:  # the base of EmailNotValidError
        return False
    return True


BIG_DOMAINS = (
    "gmail.com", "googlemail.com", "yahoo.com", "yahoo.fr", "yahoo.co.uk", "hotmail.com", "hotmail.fr", "outlook.com",
    "outlook.fr", "live.com", "icloud.com", "msn.com", "aol.com", "protonmail.com", "gmx.de", "gmx.net", "web.de",
    "orange.fr", "wanadoo.fr", "free.fr", "bluewin.ch", "mail.ru", "yandex.ru", "qq.com", "163.com", "who.int",
    "wipo.int", "wto.org",
)  # fmt: skip


def likely_domain(domain: str) -> str:
    """The big domain of which this one is a likely misspelling, or ""."""
    if domain in BIG_DOMAINS:
        return ""
    close = get_close_matches(domain, BIG_DOMAINS, n=1, cutoff=0.85)
    return close[0] if close and abs(len(close[0]) - len(domain)) <= 1 else ""
