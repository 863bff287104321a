"""E-mail addresses: the form in which they are compared, and why something is none that a mail can carry."""

from __future__ import annotations

import re
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
"""Most are such: a look at each letter by tables of Unicode takes a hundred times as long."""
_SPECIAL = tuple(SPECIAL_USE_DOMAIN_NAMES)
_LONGEST_PART = 63  # of a label (RFC 1035, 2.3.1); one more than that in front of the @
# In quotation marks, programs on the way lose blanks and what is not ASCII.
_QUOTED_LOCAL = re.compile(r'"(?:[!#-\[\]-~]|\\[!-~])+"')
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def fold(address: str) -> str:
    """The form in which addresses are compared, everywhere.

    The local part in lower case, although only its own server may say that case does not matter (RFC 5321, 2.4). The
    domain in A-labels by UTS 46, non-transitional: straße.de and strasse.de are two, ｗｈｏ.int and who.int are one.
    A domain that is none, as with an underscore, in ASCII lower case. Nothing else: `a.b` and `ab`, `"a"` and `a`,
    two ways to write é, example.org with and without a dot behind it (which no mail can carry) are two.
    """
    address = address.strip()
    if address.isascii():  # nearly all are, and this is asked for each row: the domain is in A-labels already
        return address.lower()
    local, at, domain = address.rpartition("@")
    return f"{local.lower()}{at}{fold_domain(domain)}"


def spellings(address: str) -> tuple[str, str, str]:
    """The ways in which others most likely write an address: as it is, its domain in A-labels, and in U-labels."""
    folded = fold(address)
    local, at, domain = folded.rpartition("@")
    try:
        in_unicode = idna.decode(domain) if "xn--" in domain else domain
    except UnicodeError:  # IDNAError is one
        in_unicode = domain
    return address, folded, f"{local}{at}{in_unicode}"


def fold_domain(domain: str) -> str:
    """A domain, or a label of one, as `fold` has it."""
    if domain.isascii():  # A-labels stay what they are: no look into IDNA's tables, and nothing to remember
        return domain.lower()
    return domain.translate(_ASCII_LOWER) if len(domain) > LONGEST else _mapped(domain)


@lru_cache(maxsize=4096)  # few domains have most registrants
def _mapped(domain: str) -> str:
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except UnicodeError:  # IDNAError is one
        return domain.translate(_ASCII_LOWER)


def _is_plain(address: str) -> bool:
    """Whether this is an address such as most people have: by a quick look, which may miss some of them."""
    if not (found := _PLAIN.fullmatch(address)):
        return False
    is_long = len(address) > _LONGEST_PART and max(map(len, found.groups())) > _LONGEST_PART
    return not (is_long or address.lower().endswith(_SPECIAL))


@lru_cache(maxsize=8)  # a row of a file is asked about when it is read, and again when it is judged
def why_no_address(address: str) -> str:
    """Why this can't be an e-mail address (RFC 5321, 5322, 6531) that a mail can carry, or ''."""
    if not address:
        return "email is empty"
    if _is_plain(address):
        return ""
    if _CONTROL.search(address):
        return "email has a control character"
    if "\ufffd" in address:  # in place of NUL, or of what is no UTF-8
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
    # An encoded word: mail programs decode it, wherever it stands (RFC 2047).
    encoded = "?=" in local.partition("=?")[2]
    return NOT_CARRIED if quoted or encoded else ""


@lru_cache(maxsize=4096)
def _is_domain(domain: str) -> bool:
    return _is_address(f"a@{domain}")


def _is_address(address: str) -> bool:
    try:
        validate_email(address, check_deliverability=False, test_environment=True, allow_quoted_local=True)
    except ValueError:  # EmailNotValidError is one
        return False
    return True
