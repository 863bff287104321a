"""Classifies a relay's reply: its meaning for the mail, its address and the relay. Pure, except for the known secrets.

A reply is classified by its stage in the conversation, its code (RFC 5321, 4.2), its enhanced code (RFC 3463) and,
where relays use one code for different things, its words. The first of the `RULES` that matches decides.

Two mistakes must never be made. A fault of ours (sender, password, reputation) must not count against the registrants,
or all of them end as failed. And one odd address must not stop the mails of everybody else. So a mail is tried again
after a refusal that does not clearly blame either side.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Literal

from scheduler.redaction import redact
from scheduler.smtp import reply_words as words

Stage = Literal["connect", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "content"]

_LONGEST_TEXT = 1000


class Verdict(StrEnum):
    """The action after a reply that is not a success."""

    RETRY_MAIL = "retry-mail"
    """Try this mail again later, with backoff; the others go on."""
    PAUSE_RELAY = "pause-relay"
    """Send nothing through this relay for a while; try this mail again later."""
    FAIL_ADDRESS = "fail-address"
    """Give up this recipient; the others go on."""
    STOP = "stop"
    """Stop and alert: no mail can be sent until the operator fixes something."""


@dataclass(frozen=True)
class Reply:
    """A relay's reply or, with code 0, the reason in our own words why there is none.

    `enhanced` is the code of RFC 3463 ("5.1.1") or empty, `text` the rest as one line without control or format
    characters (U+202E), and without our secrets. It often repeats the recipient's address: it may be kept, never
    logged (`log_safe`).
    """

    stage: Stage
    code: int
    enhanced: str
    text: str

    def __str__(self) -> str:
        words = (str(self.code) if self.code else "", self.enhanced, self.text)
        return f"{self.stage}: {' '.join(word for word in words if word)}"


# "5.1.1", also as qmail ("(#5.7.1)") and Cisco ("#5.1.0") write it, at the start of each line (RFC 2034, 4).
_ENHANCED = re.compile(r"\s*\(?#?([245])\.(\d{1,3})\.(\d{1,3})\)?:?(?=\s|$)")
# Unsafe in a database, a terminal or a log line: control characters, and the surrogates of undecodable bytes.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def _printable(text: str) -> str:
    """`text` on one line, without invisible characters that turn or hide others (Unicode category Cf)."""
    text = _UNPRINTABLE.sub(" ", text)
    return text if text.isascii() else "".join(one for one in text if unicodedata.category(one) != "Cf")


def enhanced_code(code: int, text: str) -> str:
    """The enhanced status code that a reply's text begins with ("5.1.1"), or an empty string.

    A code whose class contradicts the reply's code does not count (RFC 2034, 4).
    """
    found = _ENHANCED.match(text)
    if not found or found[1] != str(code)[:1]:
        return ""
    return ".".join(found.groups())


def read_reply(stage: Stage, code: int, text: str) -> Reply:
    """Parse a reply: join its lines, split off the enhanced code, cut the text to 1,000 characters.

    Of a reply to AUTH only the codes are kept, as its text may repeat secrets."""
    enhanced = enhanced_code(code, text)
    if stage == "auth" and code:
        return Reply(stage, code, enhanced, "")
    lines = [line for line in redact(text).splitlines() if line.strip()]
    if enhanced:
        lines = [_without_code(line) if enhanced_code(code, line) else line for line in lines]
    words = redact(_printable(" ".join(line.strip() for line in lines)))
    return Reply(stage, code, enhanced, words.strip()[:_LONGEST_TEXT])


def _without_code(line: str) -> str:
    found = _ENHANCED.match(line)
    return line[found.end() :] if found else line


_AT = r"(?:@|＠|﹫|%40|=40|&#64;|&commat;)"
_QUOTED_ADDRESS = re.compile(rf'"[^"]*"{_AT}\S+', re.IGNORECASE)
_WORD = re.compile(r"[^\s<>(),;:\[\]]+")
_HAS_AT = re.compile(_AT, re.IGNORECASE)
REMOVED, REMOVED_NAME, REMOVED_KEY = "<address>", "<name>", "<key>"
_KEY_IN_LINK = re.compile(r"(?<=/[cdjr]/)[\w-]{9,}")
SHORTEST_NAME = 3  # letters: shorter words of a name occur in too many sentences
_BRACKETED = re.compile(r"(?<!<)<+address>+")


def log_safe(text: str, address: str = "", name: str = "") -> str:
    """`text` on one line, without mail addresses and the keys of registrants' pages, which a filter may repeat from a
    link in the mail: registrants' data is never logged.

    Some relays repeat only the local part or the owner's name: these are removed as well, given the recipient's
    `address` and `name`, and so is each longer word of the name.
    """
    text = _printable(text)[: 2 * _LONGEST_TEXT]
    local = address.rpartition("@")[0].strip('"')
    for personal in (address, local):
        if len(personal) > 1:
            text = _without(personal, REMOVED, text)
    for personal in (name, *(word for word in re.split(r"\W+", name) if len(word) >= SHORTEST_NAME)):
        if len(personal) > 1:
            text = _without(personal, REMOVED_NAME, text)
    text = _KEY_IN_LINK.sub(REMOVED_KEY, text)
    text = _QUOTED_ADDRESS.sub(REMOVED, text)
    text = _WORD.sub(lambda word: REMOVED if _HAS_AT.search(word[0]) else word[0], text)
    return _BRACKETED.sub(REMOVED, text)


_LIKE_ASCII = str.maketrans("\u0130\u0131\u017f\u212a", "iisk")
"""Characters that a pattern that ignores case matches with ASCII: dotted I, dotless i, long s, kelvin sign."""


def _without(personal: str, mark: str, text: str) -> str:
    # To compile a pattern for each person takes longer than all other work on a reply.
    if text.isascii() and personal.translate(_LIKE_ASCII).lower() not in text.lower():
        return text
    return re.sub(rf"(?<!\w){re.escape(personal)}(?!\w)", mark, text, flags=re.IGNORECASE)


OPENING: tuple[Stage, ...] = ("connect", "ehlo", "starttls", "auth")
MAIL: tuple[Stage, ...] = ("mail",)
RCPT: tuple[Stage, ...] = ("rcpt",)
BODY: tuple[Stage, ...] = ("data", "content")  # BDAT with its chunk is "content"
ONE: tuple[Stage, ...] = (*RCPT, *BODY)  # after MAIL a reply may be about the recipient
OPEN: tuple[Stage, ...] = (*MAIL, *ONE)
ANY: tuple[Stage, ...] = (*OPENING, *OPEN)


@dataclass(frozen=True)
class Rule:
    """A row of the table. Patterns of codes match the whole code, those of words any part; an empty one matches all."""

    stages: tuple[Stage, ...]
    code: str
    enhanced: str
    words: str
    verdict: Verdict
    source: str
    slows: bool = False
    """Whether the relay asks for fewer mails at a time."""
    unknown: bool = False
    """Whether the mailbox does not exist."""


_R, _P, _F, _S = Verdict.RETRY_MAIL, Verdict.PAUSE_RELAY, Verdict.FAIL_ADDRESS, Verdict.STOP

RULES: tuple[Rule, ...] = (
    # No reply at all: `text` has our own words.
    Rule(ANY, "0", "", r"certificate|does not offer|in the clear", _S, "only the operator can fix it"),
    Rule(("auth",), "0", "", r"token endpoint refuses", _S, "RFC 6749 5.2: invalid_grant, invalid_client"),
    Rule(("content",), "0", "", "", _R, "in doubt; one mail that breaks connections must not hold up others"),
    Rule(ANY, "0", "", "", _P, "the relay (or the token endpoint) cannot be reached, or went silent"),
    # At any stage.
    Rule(ANY, "421", "", words.LIMIT, _P, "SES: 421 Too many concurrent SMTP connections; Gmail: 4.7.28", slows=True),
    Rule(ANY, "421", r"4\.3\.2|4\.4\.2", "", _P, "RFC 5321 3.8: it is shut down; RFC 3463 3.5: it waited too long"),
    Rule(OPEN, "421", "", "", _P, "RFC 5321 4.2.2: not available; Gmail: 421 4.7.0 Try again later", slows=True),
    Rule(ANY, "421", "", "", _P, "RFC 5321 3.1: not available"),
    Rule(ANY, "530", "", "", _S, "RFC 4954 6: sign in first; RFC 3207 4: STARTTLS first"),
    Rule(ANY, "53[458]", "", "", _S, "RFC 4954 6: credentials wrong, mechanism too weak, TLS needed"),
    # Opening, securing, signing in, naming the sender: the same for every mail.
    Rule(OPENING, "4..", "", "", _P, "RFC 4954 6: 454 4.7.0 for now; RFC 3207 4: 454 TLS not available"),
    Rule(OPENING, "5..", "", "", _S, "RFC 5321 3.1: 554 no service here; Microsoft 365: 501 5.5.124, 550 5.7.30"),
    Rule(MAIL, "4..", "", words.LIMIT, _P, "SES: 454 Throttling failure: Maximum sending rate exceeded", slows=True),
    Rule(MAIL, "45[02]", "", "", _P, "Postfix: 452 4.3.1 insufficient storage, 450 4.7.1", slows=True),
    Rule(MAIL, "4..", "", "", _P, "RFC 5321 4.3.2: 451, 455 to MAIL"),
    Rule(MAIL, "5..", r"5\.6\.[79]", "", _F, "RFC 6531 3.5: SMTPUTF8, asked for this recipient's sake"),
    Rule(MAIL, "552", "", "", _S, "RFC 1870 6.1: too big by its SIZE=, and our mails are alike"),
    Rule(MAIL, "5..", "", words.LIMIT, _P, "Gmail: 550 5.4.5 daily user sending limit exceeded"),
    Rule(MAIL, "503", "", "", _P, "RFC 5321 4.1.4: out of step, on this connection"),
    Rule(MAIL, "5..", "", "", _S, "RFC 5321 4.3.2: 550, 553, 555 to MAIL; the sender is refused"),
    # Temporary.
    Rule(ONE, "4..", "", r"relay limit", _P, "Gmail: 450 4.2.1 Peak SMTP relay limit exceeded", slows=True),
    Rule(ONE, "4..", "", words.OF_OURS + r".{0,20}\blimit", _P, "450 4.2.1 Daily sending limit exceeded", slows=True),
    Rule(ONE, "4..", r"4\.2\.\d+", "", _R, "RFC 3463 3.3: 4.2.2 mailbox full; Gmail: 4.2.1 gets too much"),
    Rule(ONE, "4..", "", r"gr[ea]y[- ]?list", _R, "RFC 6647: greylisting, 450 or 451 4.7.1"),
    Rule(ONE, "4..", "", words.GETS_TOO_MUCH, _R, "Exchange: 432 4.3.2 recipient thread limit exceeded"),
    Rule(ONE, "4..", "", words.OUR_LIMIT, _P, "450 Mail send limit exceeded; SES: 454 Throttling failure", slows=True),
    Rule(ONE, "4..", "", words.FULL, _R, "452 Mailbox full, 450 over quota: this recipient's storage"),
    Rule(ONE, "4..", r"4\.5\.3", "", _P, "RFC 5321 4.5.3.1.10; Exchange: 452 4.5.3 too many recipients", slows=True),
    Rule(ONE, "432", "", "", _P, "Exchange: 432 4.3.2 Concurrent connections limit, sender thread limit", slows=True),
    Rule(ONE, "452", r"4\.3\.1|", "", _P, "RFC 5321 4.2.2: insufficient system storage", slows=True),
    Rule(ONE, "4..", r"4\.3\.[125]", "", _P, "RFC 3463 3.4: disk full, no mail now; Postfix: 451 4.3.5 misconfigured"),
    Rule(ONE, "4..", r"4\.7\.([5-7]\d\d|2[3-9])", "", _P,
         "Exchange: 451 4.7.500 busy, 4.7.650 our reputation; Gmail: 4.7.24 SPF", slows=True),
    Rule(ONE, "4..", r"4\.1\.[78]", "", _P, "RFC 3463 3.2; Postfix: the sender is not found or verified for now"),
    Rule(ONE, "4..", "", r"sender (verify|address rejected)", _P, "Exim: 451 Could not complete sender verify callout"),
    Rule(ONE, "4..", "", words.LIMIT, _P, "Postfix: 450 4.7.1 too much mail from; SES: 454 Throttling", slows=True),
    Rule(ONE, "4..", "", words.OUR_REPUTATION, _P, "Postfix: 450 4.7.1 Client host rejected: no reverse hostname"),
    Rule(ONE, "4..", "", r"helo command", _P, "Postfix: 450 4.7.1 Helo command rejected: Host not found"),
    Rule(ONE, "4..", "", words.NO_RELAYING, _P, "Postfix: 454 4.7.1 Relay access denied (defer_unauth_destination)"),
    Rule(ONE, "4..", "", "", _R, "RFC 5321 4.2.1: the same again later may succeed"),
    # Permanent, because of us, though code or words may seem to be about the recipient.
    Rule(ONE, "5..", r"5\.1\.90|5\.7\.23[23]", "", _P, "Microsoft 365: the day's recipients are used up"),
    Rule(ONE, "5..", r"5\.4\.5", "", _P, "Gmail: 550 5.4.5 daily user sending limit exceeded"),
    Rule(ONE, "5..", "", r"submission.{0,100}submissionquota", _P, "Exchange: 554 5.2.0 SubmissionQuotaExceeded"),
    Rule(ONE, "5..", "", r"STOREDRV\.Submission|outbound ?spam", _S,
         "Exchange: 554 5.2.0 OutboundSpamException, 5.2.2 the sender's own mailbox is full"),
    Rule(ONE, "5..", "", r"send ?as ?denied", _S, "Exchange: 554 5.2.0 or 5.2.252 SendAsDenied, 550 5.7.60"),
    Rule(ONE, "5..", "", r"^\W*(<address>\W*)?sender|sender verify|sender address rejected", _S,
         "Postfix: 5.1.0 Sender address rejected; Exim: 550 Sender verify failed"),
    Rule(ONE, "5..", "", words.OF_THE_SENDER, _S, "550 your mailbox is over quota; 550 Return-path does not exist"),
    Rule(ONE, "5..", r"(5\.[01]\.[01])?", words.BEGINS_UNKNOWN, _F,
         "its first words: 550 Unknown user (…)", unknown=True),
    Rule(ONE, "5..", "", words.WHAT_ONE_SENDS, _P, "552 5.2.2 the limit of emails that can be sent per day"),
    Rule(ONE, "5..", "", r"relaying disallowed", _S, "Zoho: 553 Relaying disallowed, whatever code stands beside it"),
    Rule(ONE, "5..", "", r"mailbox unavailable.{0,40}policy", _R, "GMX: policy, which may be about either side"),
    Rule(ONE, "5..", r"5\.1\.[78]", "", _S, "RFC 3463 3.2: the sender's address is bad"),
    Rule(ONE, "552", r"5\.2\.3", r"Google", _S, "Gmail: 552 5.2.3 exceeded Google's message size limits"),
    # Permanent, by the recipient's choice; or temporary, by their mailbox.
    Rule(ONE, "5..", r"5\.2\.12[12]", "", _R, "Microsoft 365: the recipient gets too much for now"),
    Rule(ONE, "5..", "", words.GETS_TOO_MUCH, _R, "Gmail: 550 5.2.1, gets too much for now"),
    Rule(ONE, "5..", r"5\.7\.(12[49]|13[346]|50[45])", "", _F, "Exchange: takes mail from its own people only"),
    Rule(ONE, "5..", "", r"RESOLVER\.(ADR|RST)", _F, "Exchange: the recipient's own restrictions"),
    Rule(ONE, "5..", r"5\.7\.(507|513)", "", _R, "Exchange: our address, in one recipient's own list"),
    Rule(ONE, "5..", "", r"\bip address.{0,40}by (the )?recipient", _R, "our address, in one recipient's own list"),
    Rule(ONE, "5..", "", words.THEIR_CHOICE, _F, "SES: 554 Message rejected: Address blacklisted"),
    Rule(ONE, "55[04]", "", r"missing final|(illegal|invalid) address|illegal char|local address contains", _F,
         "SES: 554 Transaction failed: Local address contains control or whitespace"),
    Rule(ONE, "55[04]", "", r"account or domain may not exist", _F, "GoDaddy: 550, whatever else may be the cause"),
    # Permanent, because of us, whatever the code.
    Rule(ONE, "5..", "", words.NO_RELAYING, _S, "Postfix: 554 5.7.1 Relay access denied; qmail: 553 allowed rcpthosts"),
    Rule(ONE, "5..", "", words.BLOCKED_SENDING, _S, "Zoho: 550 5.4.6 Unusual sending activity; Exchange: HipNotify"),
    Rule(ONE, "5..", "", words.OUR_REPUTATION, _S, "554 5.7.1 Client host blocked using a list; 550 no PTR record"),
    Rule(ONE, "5..", "", words.OUR_LIMIT, _P, "Gmail: 550 5.7.1 Daily SMTP relay limit exceeded"),
    # Permanent, because of the recipient.
    Rule(ONE, "5..", "", words.FULL, _F, "552 5.2.2 Mailbox full, 550 Mail quota exceeded: this recipient's storage"),
    Rule(ONE, "5..", "", words.LIMIT, _P, "cPanel: 550 Domain … has exceeded the max emails per hour (200/200)"),
    Rule(ONE, "5..", r"5\.1\.(1|10)", "", _F, "RFC 3463 3.2, RFC 7505: no such mailbox", unknown=True),
    Rule(ONE, "5..", r"5\.1\.[2-6]|5\.2\.([1-9]\d*)", "", _F, "RFC 3463 3.2, 3.3: no such mailbox, or full"),
    Rule(ONE, "5..", r"5\.4\.(1|4|310)|5\.7\.1[78]", "", _F,
         "RFC 3463 3.5: no route; Exchange: 5.4.1 no such recipient; RFC 7293: another owner"),
    # Permanent, because of us.
    Rule(ONE, "5..", r"5\.7\.13", r"recipient", _F, "525 5.7.13 Disabled recipient address"),
    Rule(ONE, "5..", r"5\.7\.13", "", _S, "RFC 5248 2.4: the account that signed in is disabled"),
    Rule(ONE, "5..", "", words.SIZE, _S, "RFC 1870 6.1: too big, and our mails are alike"),
    Rule(ONE, "5..", r"5\.6\.[79]", "", _F, "RFC 6531 3.5: this relay cannot write to such an address"),
    Rule(ONE, "5..", r"5\.3\.4", "", _S, "RFC 3463 3.4: too big, and our mails are alike"),
    Rule(ONE, "5..", "", words.OUR_FAULT, _S, "Postfix: 553 5.7.1 Sender address rejected: not owned by user"),
    Rule(ONE, "5..", r"5\.7\.([5-9]\d\d|57|60|2\d)", "", _S, "Exchange: 5.7.57, 5.7.7xx; Gmail: 5.7.26"),
    Rule(ONE, "5..", "", words.OUR_CONTENT, _S, "filters: 550 or 554 5.7.1 looks like spam"),
    # Permanent, because of the recipient, by words alone.
    Rule(ONE, "5..", "", words.UNKNOWN, _F, "Postfix, Exim, Sendmail, qmail: 550 User unknown", unknown=True),
    Rule(ONE, "5..", "", words.CLOSED, _F, "Postfix: 554 5.7.1 Recipient address rejected: Access denied"),
    Rule(ONE, "5..", r"5\.1\.0", r"address rejected", _F, "Cisco: 550 #5.1.0 Address rejected"),
    Rule(RCPT, "552", "", r"storage", _F, "RFC 5321 4.2.2: the recipient's storage"),
    # Permanent, without a clear cause.
    Rule(ONE, "503", "", "", _R, "RFC 5321 4.1.4: out of step, on this connection"),
    Rule(BODY, "50[0-24]", "", "", _P, "RFC 5321 4.2.4: DATA or BDAT (RFC 3030), not this mail, is not understood"),
    Rule(BODY, "55.", r"5\.[67]\.\d+", "", _S, "RFC 3463 3.7, 3.8: content or policy, and our mails are alike"),
    Rule(ONE, "5..", "", "", _R, "no reason that is understood: neither side is blamed"),
    Rule(ANY, "", "", "", _R, "nothing that SMTP knows here"),
)  # fmt: skip
_COMPILED = tuple(
    (
        rule,
        re.compile(rule.code or ".*"),
        re.compile(rule.enhanced or ".*"),
        re.compile(rule.words, re.IGNORECASE),
    )
    for rule in RULES
)


_QUEUE_ID = re.compile(
    r"\bqueued as (?P<postfix>\S+)"  # and SendGrid
    r"|\bid=(?P<exim>\S+)"
    r"|\bInternalId=(?P<exchange>\d+)"
    r"|(?<!\S)(?P<gmail>\S+) - gsmtp$",
    re.IGNORECASE,
)
_LONGEST_ID = 100


def queue_id(text: str, address: str, name: str = "") -> str:
    """The relay's queue id of an accepted mail, by which the operator finds it in the relay's log; "" if there is none.
    `text`: the reply. `address` and `name`: the recipient's, which are never part of the result."""
    text = log_safe(text, address, name)
    found, last = _QUEUE_ID.search(text), text.rpartition(" ")[2]  # replies of SES and others end with it
    word = next(filter(None, found.groups()), "") if found else last if re.search(r"\d", last) else ""
    if REMOVED in word or REMOVED_NAME in word:
        return ""
    known = re.match(r"[\w.:+/=-]+", word.strip("<>()[]\"'"), re.ASCII)
    return known[0][:_LONGEST_ID].rstrip(".:") if known else ""


@lru_cache(maxsize=32)  # used several times for each reply; a hostile one takes up to 10 ms
def deciding_rule(reply: Reply) -> Rule:
    """The first rule of the table that matches, by the text without addresses."""
    code, text = str(reply.code), log_safe(reply.text)
    return next(
        rule
        for rule, codes, enhanced, text_words in _COMPILED
        if reply.stage in rule.stages
        and codes.fullmatch(code)
        and enhanced.fullmatch(reply.enhanced)
        and text_words.search(text)
    )


def classify(reply: Reply) -> Verdict:
    """The verdict about a reply that is not a success. Never raises."""
    return deciding_rule(reply).verdict


def asks_for_less(reply: Reply) -> bool:
    """Whether the relay asks for fewer mails at a time (`Pace.slow_down`). Never raises."""
    return deciding_rule(reply).slows


def says_unknown(reply: Reply) -> bool:
    """Whether the reply says that the mailbox does not exist. Never raises."""
    return deciding_rule(reply).unknown


FIRST_WAIT = timedelta(seconds=60)
LONGEST_WAIT = timedelta(hours=1)
_SPREAD = 0.2


def backoff(attempt: int, jitter: float) -> timedelta:
    """The wait after failed attempt number `attempt` (1 is the first), in real time.

    Doubles from 60 s up to an hour; `jitter` in [0, 1) spreads it over -20 % to +20 %, also at an hour, so that mails
    that failed together do not return together.
    """
    if attempt < 1 or not 0 <= jitter < 1:
        raise ValueError(f"attempt {attempt} (1 or more), jitter {jitter} (0 or more, below 1)")
    doubled = FIRST_WAIT * (1 << min(attempt - 1, 10))
    return min(doubled, LONGEST_WAIT / (1 + _SPREAD)) * (1 - _SPREAD + 2 * _SPREAD * jitter)
