"""What a relay's reply means."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from string import ascii_lowercase
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scheduler.smtp.replies import (
    LONGEST_WAIT,
    RULES,
    Reply,
    Stage,
    Verdict,
    asks_for_less,
    backoff,
    classify,
    deciding_rule,
    enhanced_code,
    log_safe,
    read_reply,
)

RETRY, PAUSE = Verdict.RETRY_MAIL, Verdict.PAUSE_RELAY
FAIL, STOP = Verdict.FAIL_ADDRESS, Verdict.STOP

STAGES: tuple[Stage, ...] = get_args(Stage)


# Replies as relays give them.
@pytest.mark.parametrize(
    ("stage", "line", "verdict"),
    [
        # This recipient only.
        ("rcpt", "550 5.1.1 <ana@example.org>: Recipient address rejected: User unknown", FAIL),
        ("rcpt", "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup", FAIL),
        ("rcpt", "550 5.1.2 <ana@example.invalid>: Recipient address rejected: Domain not found", FAIL),
        ("rcpt", "501 5.1.3 Bad recipient address syntax", FAIL),
        ("rcpt", "550 Requested action not taken: mailbox unavailable", FAIL),
        ("rcpt", "553 5.6.7 SMTPUTF8 is required, but was not offered", FAIL),
        ("rcpt", "552 5.2.2 Mailbox full", FAIL),
        ("rcpt", "554 5.7.1 <ana@example.org>: Recipient address rejected: Access denied", FAIL),
        ("rcpt", "550 #5.1.0 Address rejected", FAIL),
        ("rcpt", "550 5.4.1 Recipient address rejected: Access denied.", FAIL),
        ("rcpt", "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required", FAIL),
        ("rcpt", "550 5.2.1 The email account that you tried to reach is disabled", FAIL),
        ("rcpt", "552 5.2.2 The email account that you tried to reach is over quota", FAIL),
        ("rcpt", "504 5.5.2 <ana>: Recipient address rejected: need fully-qualified address", FAIL),
        ("rcpt", "550 Unrouteable address", FAIL),
        ("mail", "550 5.6.9 UTF-8 header message cannot be transferred to the recipient", FAIL),
        ("content", "550 5.1.1 User unknown", FAIL),
        ("content", "554 Transaction failed: Missing final '@domain'", FAIL),
        # An address that contains a rule's words is no word.
        ("rcpt", "554 5.7.1 <sender.relay@blacklist.example>: Recipient address rejected: Access denied", FAIL),
        # This mail later.
        ("rcpt", "450 4.2.0 <ana@example.org>: Recipient address rejected: Greylisted", RETRY),
        ("rcpt", "451 4.7.1 Greylisting in action, please come back later", RETRY),
        ("content", "451 4.7.1 Greylisted, too many new senders", RETRY),
        ("rcpt", "452 4.2.2 The email account that you tried to reach is over quota", RETRY),
        ("rcpt", "450 4.2.1 The user is receiving email at a rate that prevents additional messages", RETRY),
        ("rcpt", "451 4.3.0 <ana@example.org>: Temporary lookup failure", RETRY),
        ("rcpt", "450 Requested mail action not taken: mailbox busy", RETRY),
        ("content", "451 4.3.0 Error: queue file write error", RETRY),
        ("content", "552 Requested mail action aborted: exceeded storage allocation", RETRY),
        ("content", "432 4.3.2 STOREDRV.Deliver; recipient thread limit exceeded", RETRY),
        ("rcpt", "450 4.2.1 The user you are trying to contact is receiving mail too quickly", RETRY),
        ("rcpt", "550 5.2.1 The user you are trying to contact is receiving mail at a rate that prevents it", RETRY),
        ("content", "503 5.5.1 Error: need RCPT command", RETRY),
        # Policy that blames nobody must neither fail the recipient nor stop the others.
        ("rcpt", "550 5.7.1 Command rejected", RETRY),
        ("rcpt", "554 Refused", RETRY),
        # The relay wants a pause.
        ("connect", "421 4.3.2 Service not available", PAUSE),
        ("connect", "421 Too many concurrent SMTP connections", PAUSE),
        ("connect", "454 4.3.0 Try again later", PAUSE),
        ("auth", "454 4.7.0 Temporary authentication failure", PAUSE),
        ("starttls", "454 4.7.0 TLS not available due to local problem", PAUSE),
        ("auth", "454 4.7.0 Cannot authenticate due to temporary system problem. Try again later", PAUSE),
        ("auth", "432 4.7.12 A password transition is needed", PAUSE),
        ("mail", "503 5.5.1 Error: nested MAIL command", PAUSE),
        ("mail", "454 Throttling failure: Maximum sending rate exceeded.", PAUSE),
        ("mail", "452 4.3.1 Insufficient system storage", PAUSE),
        ("mail", "550 5.4.5 Daily user sending limit exceeded", PAUSE),
        ("rcpt", "452 4.5.3 Too many recipients", PAUSE),
        ("rcpt", "450 4.7.1 Error: too much mail from 192.0.2.1", PAUSE),
        ("rcpt", "451 4.7.0 Throttled, slow down", PAUSE),
        ("rcpt", "451 4.7.650 The mail server has been temporarily rate limited due to IP reputation", PAUSE),
        ("rcpt", "421 4.7.0 Try again later", PAUSE),
        ("content", "454 Throttling failure: Daily message quota exceeded.", PAUSE),
        ("content", "550 5.1.90 Your message can't be sent because you've reached your daily limit", PAUSE),
        ("content", "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", PAUSE),
        ("content", "421 4.3.0 Closing", PAUSE),
        ("rcpt", "450 4.2.1 Peak SMTP relay limit exceeded for customer. This is a temporary error.", PAUSE),
        ("rcpt", "550 5.7.1 Daily SMTP relay limit exceeded for customer.", PAUSE),
        ("rcpt", "454 4.7.1 <ana@example.org>: Relay access denied", PAUSE),
        ("rcpt", "451 4.3.5 Server configuration error", PAUSE),
        ("rcpt", "451 Could not complete sender verify callout", PAUSE),
        ("content", "432 4.3.2 Concurrent connections limit exceeded.", PAUSE),
        ("content", "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", PAUSE),
        ("content", "452 Requested action not taken: insufficient system storage", PAUSE),
        ("content", "502 5.5.2 Error: command not recognized", PAUSE),  # to BDAT, through some proxy
        # Nobody gets mail until the operator fixes it.
        ("connect", "554 5.7.1 No SMTP service here", STOP),
        ("ehlo", "550 5.7.1 Helo command rejected: Host not found", STOP),
        ("auth", "535 5.7.8 Authentication credentials invalid", STOP),
        ("auth", "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.", STOP),
        ("auth", "535 5.7.3 Authentication unsuccessful [ZR2P278CA0019.CHEP278.PROD.OUTLOOK.COM]", STOP),
        ("auth", "535 5.7.8 Username and Password not accepted.", STOP),
        ("auth", "501 5.5.124 Invalid XOAUTH2 auth data", STOP),
        ("auth", "500 5.5.6 Authentication Exchange line is too long", STOP),
        ("auth", "550 5.7.30 Basic authentication is not supported for Client Submission.", STOP),
        ("auth", "534 5.7.9 Application-specific password required", STOP),
        ("mail", "530 5.7.0 Must issue a STARTTLS command first", STOP),
        ("mail", "530 5.7.57 Client not authenticated to send mail.", STOP),
        ("rcpt", "530 5.7.1 Authentication required", STOP),
        ("mail", "553 5.7.1 <webinar@example.org>: Sender address rejected: not owned by user x", STOP),
        ("mail", "552 5.3.4 Message size exceeds fixed limit", STOP),
        ("rcpt", "553 5.7.1 <webinar@example.org>: Sender address rejected: not owned by user x", STOP),
        ("rcpt", "550 5.1.0 <webinar@example.org>: Sender address rejected: User unknown", STOP),
        ("rcpt", "550 5.1.8 <webinar@example.org>: Sender address rejected: Domain not found", STOP),
        ("rcpt", "554 5.7.1 <ana@example.org>: Relay access denied", STOP),
        ("rcpt", "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", STOP),
        ("rcpt", "550 5.7.1 Relaying denied", STOP),
        ("rcpt", "550 5.7.1 Our policy does not let this sender write here", STOP),  # listmonk #1221
        ("rcpt", "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", STOP),
        ("rcpt", "550 5.7.23 <ana@example.org>: Recipient address rejected: SPF fail", STOP),
        ("content", "550 5.7.26 Unauthenticated email is not accepted due to the domain's DMARC policy", STOP),
        ("content", "554 5.7.1 Message rejected as spam", STOP),
        ("content", "554 Message rejected: Email address is not verified.", STOP),
        ("content", "552 5.3.4 Message too big for system", STOP),
        ("content", "552 Message size exceeds fixed maximum message size", STOP),
        ("content", "554 5.2.252 SendAsDenied; not allowed to send as", STOP),
        ("content", "550 5.7.60 SMTP; Client does not have permissions to send as this sender", STOP),
        ("data", "554 5.7.0 Refused", STOP),
        ("content", "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException", STOP),
        ("content", "552 5.2.3 Your message exceeded Google's message size limits.", STOP),
        ("content", "552 5.7.0 This message was blocked because its content presents a security issue", STOP),
        ("rcpt", "550 5.7.1 Our system has detected an unusual rate of unsolicited mail from your IP address", STOP),
        ("rcpt", "550 5.7.1 Invalid credentials for relay [192.0.2.1].", STOP),
        ("rcpt", "550 5.7.0 Mail sending denied.", STOP),
        ("rcpt", "504 5.5.2 <box>: Helo command rejected: need fully-qualified hostname", STOP),
        ("rcpt", "550 relay not permitted", STOP),
        ("content", "554 Access denied: User `arn:x` is not authorized to perform `ses:SendRawEmail'", STOP),
    ],
)  # fmt: skip
def test_what_relays_say_is_told_apart(stage: Stage, line: str, verdict: Verdict) -> None:
    assert classify(read_reply(stage, int(line[:3]), line[4:])) is verdict


@pytest.mark.parametrize(
    ("stage", "text", "verdict"),
    [
        ("connect", "Timed out connecting to relay.test on port 587", PAUSE),
        ("connect", "certificate verify failed: certificate has expired", STOP),
        ("starttls", "the relay does not offer STARTTLS; nothing was sent to it", STOP),
        ("auth", "a password is never sent in the clear", STOP),
        ("auth", "the token endpoint refuses: invalid_grant (AADSTS70008)", STOP),
        ("auth", "the token endpoint does not answer: certificate verify failed", STOP),
        ("auth", "the token endpoint does not answer: All connection attempts failed", PAUSE),
        ("auth", "the token endpoint fails temporarily: HTTP status 503", PAUSE),
        ("auth", "the token endpoint's response has no token", PAUSE),
        ("mail", "Connection lost", PAUSE),
        ("data", "Connection lost", PAUSE),
        ("content", "Connection lost", RETRY),  # one mail that kills connections must not hold up all others
    ],
)
def test_silence_is_told_apart_by_where_it_fell(stage: Stage, text: str, verdict: Verdict) -> None:
    assert classify(Reply(stage, 0, "", text)) is verdict


# Fewer at a time, please.
@pytest.mark.parametrize(
    ("stage", "line"),
    [
        ("connect", "421 Too many concurrent SMTP connections"),
        ("connect", "421 4.3.2 The maximum number of concurrent connections has exceeded a limit"),
        ("mail", "421 4.7.0 Try again later, closing connection."),
        ("mail", "450 4.7.1 Error: too much mail from 192.0.2.1"),
        ("mail", "452 4.4.5 Messages per second limit exceeded"),
        ("mail", "454 Throttling failure: Maximum sending rate exceeded."),
        ("rcpt", "421 4.7.28 Our system has detected an unusual rate of unsolicited mail"),
        ("rcpt", "450 too frequent connects from 192.0.2.1, please try again later."),
        ("rcpt", "450 4.2.1 Peak SMTP relay limit exceeded for customer."),
        ("rcpt", "451 4.7.500 Server busy. Please try again later."),
        ("rcpt", "452 4.5.3 Too many recipients"),
        ("content", "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded"),
        ("content", "452 4.3.1 Insufficient system storage"),
        ("content", "454 Throttling failure: Maximum sending rate exceeded."),
    ],
)
def test_a_relay_that_wants_fewer_mails_at_a_time_is_understood(stage: Stage, line: str) -> None:
    reply = read_reply(stage, int(line[:3]), line[4:])
    assert asks_for_less(reply)
    assert classify(reply) is PAUSE


@pytest.mark.parametrize(
    ("stage", "line"),
    [
        ("connect", "421 4.3.2 Service not available"),
        ("content", "421 4.4.2 Timeout exceeded"),
        ("auth", "454 4.7.0 Temporary authentication failure"),
        ("rcpt", "450 4.2.1 The user you are trying to contact is receiving mail too quickly"),
        ("rcpt", "451 4.7.1 Greylisted, too many new senders"),
        ("rcpt", "550 5.4.5 Daily user sending limit exceeded"),  # no fewer at a time: none for today
        ("rcpt", "550 5.1.1 User unknown"),
        ("content", "554 5.7.1 Message rejected as spam"),
    ],
)
def test_other_trouble_is_no_reason_to_slow_down(stage: Stage, line: str) -> None:
    assert not asks_for_less(read_reply(stage, int(line[:3]), line[4:]))


def test_only_a_relay_that_is_to_be_paused_is_slowed_down() -> None:
    assert {rule.verdict for rule in RULES if rule.slows} == {PAUSE}


ANY_CODE = st.integers(-1, 999)


def replies(
    stages: tuple[Stage, ...] = STAGES, codes: st.SearchStrategy[int] = ANY_CODE
) -> st.SearchStrategy[Reply]:
    enhanced = st.from_regex(r"([245]\.\d{1,3}\.\d{1,3})?", fullmatch=True)
    return st.builds(Reply, st.sampled_from(stages), codes, enhanced, st.text(max_size=60))


@given(replies())
def test_every_reply_gets_a_verdict(reply: Reply) -> None:
    assert classify(reply) in Verdict


@given(replies(codes=st.integers(400, 499)))
def test_a_refusal_for_now_never_fails_an_address(reply: Reply) -> None:
    assert classify(reply) in {RETRY, PAUSE}


@given(replies(stages=("connect", "ehlo", "starttls", "auth", "mail")))
@example(Reply("mail", 550, "5.1.1", "User unknown"))
def test_before_a_recipient_was_named_no_recipient_is_to_blame(reply: Reply) -> None:
    # SMTPUTF8 at MAIL is the exception: it is asked for the recipient's sake.
    assert classify(reply) is not FAIL or reply.enhanced == "5.6.7"


@given(st.sampled_from(STAGES), st.text(max_size=40))
def test_421_always_pauses_the_relay(stage: Stage, text: str) -> None:
    assert classify(read_reply(stage, 421, text)) is PAUSE


def test_every_rule_says_where_it_comes_from_and_the_last_fits_all() -> None:
    assert all(rule.source for rule in RULES)
    assert deciding_rule(Reply("rcpt", 777, "", "")) is RULES[-1]


# Reading.
@pytest.mark.parametrize(
    ("code", "text", "enhanced"),
    [
        (550, "5.1.1 User unknown", "5.1.1"),
        (550, "5.7.708 Service unavailable", "5.7.708"),
        (550, "#5.1.0 Address rejected", "5.1.0"),
        (553, "(#5.7.1) sorry", "5.7.1"),
        (550, "5.1.1", "5.1.1"),
        (550, "4.2.2 a class that contradicts the code", ""),
        (550, "User unknown 5.1.1", ""),
        (550, "5.1 is no enhanced code", ""),
        (550, "192.0.2.1 is no enhanced code", ""),
        (250, "5.1.1.1 neither", ""),
        (0, "5.1.1 no reply", ""),
    ],
)
def test_the_enhanced_code_is_what_the_text_begins_with(code: int, text: str, enhanced: str) -> None:
    assert enhanced_code(code, text) == enhanced


def test_the_lines_of_a_reply_become_one_without_their_codes() -> None:
    reply = read_reply("rcpt", 550, "5.1.1 The address that you tried\n5.1.1 to reach does not exist.\n")
    assert reply == Reply("rcpt", 550, "5.1.1", "The address that you tried to reach does not exist.")
    assert str(reply) == "rcpt: 550 5.1.1 The address that you tried to reach does not exist."


@given(st.text(st.characters(codec=None), max_size=3000))
@example("\udcff\x00\x1b[31m")
def test_a_reply_can_be_stored_and_printed_whatever_the_relay_sends(text: str) -> None:
    kept = read_reply("content", 554, text).text
    assert kept.encode("utf-8").decode("utf-8") == kept
    assert len(kept) <= 1000
    assert all(char.isprintable() or char.isspace() or ord(char) > 0x9F for char in kept)
    assert "\x00" not in kept


# Logs.
@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("<ana@example.org>: Recipient address rejected", "<address>: Recipient address rejected"),
        ("no mailbox here by that name: ana@example.org.", "no mailbox here by that name: <address>"),
        ('"ana maria"@example.org is unknown', "<address> is unknown"),
        ("see https://relay.test/?to=ana%40example.org", "see https:<address>"),
        ("SRS0=x=org=ana@relay.test refused", "<address> refused"),
        ("用户@例子.测试 is unknown", "<address> is unknown"),
        ("ana＠example.org is unknown", "<address> is unknown"),
        ("too many mails from 192.0.2.1", "too many mails from 192.0.2.1"),
    ],
)
def test_addresses_are_removed_for_the_log(text: str, safe: str) -> None:
    assert log_safe(text) == safe


def test_the_part_before_the_at_goes_as_well_when_the_address_is_known() -> None:
    assert log_safe("User Ana.Silva unknown", "ana.silva@example.org") == "User <address> unknown"
    assert log_safe("banana", "ana@example.org") == "banana"


@pytest.mark.parametrize("length", [9, 40])
@pytest.mark.parametrize("path", ["r/{}/unsubscribe", "j/{}", "d/{}", "r/{}", "c/{}#x"])
def test_a_filter_that_repeats_a_link_gives_no_key_away(path: str, length: int) -> None:
    key = "0123456789abcdef0123456789abcdef01234567"[:length]
    said = f"550 5.7.1 blocked by URIBL: https://webinars.who.int/{path.format(key)} is listed"
    assert key not in log_safe(said)
    assert log_safe(said).startswith("550 5.7.1 blocked by URIBL: https://webinars.who.int/")


def test_whatever_python_takes_for_a_letter_of_ascii_is_found_in_a_reply_in_ascii() -> None:
    """Patterns that ignore case know more such letters than `str.lower` does."""
    alike = re.findall("[a-z]", "".join(map(chr, range(sys.maxunicode))), re.IGNORECASE)
    letters = [
        (one, low) for one in alike for low in ascii_lowercase if re.fullmatch(low, one, re.IGNORECASE)
    ]
    assert len(letters) > 52, "there are such letters beyond ASCII"
    for one, low in letters:
        assert log_safe(f"user an{low}x unknown", f"an{one}x@example.org") == "user <address> unknown"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("no mailbox for Maya Li Shrestha here", "no mailbox for <name> here"),
        ("no mailbox for SHRESTHA, Maya", "no mailbox for <name>, <name>"),
        ("Limayan is no part of it", "Limayan is no part of it"),
    ],
)
def test_whom_a_mailbox_belongs_to_goes_as_well(text: str, safe: str) -> None:
    assert log_safe(text, "m@example.org", "Maya Li Shrestha") == safe


@given(
    st.emails(),
    st.sampled_from(["<{}>: unknown", "{}: unknown", "no ({}) here", "to={},", "[{}]", "mailto:{}?x", "{}"]),
)
def test_no_address_survives(address: str, sentence: str) -> None:
    safe = log_safe(sentence.format(address), address)
    assert address not in safe
    assert "@" not in safe
    assert log_safe(safe) == safe


# Backoff.
@given(st.integers(1, 10**9), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_at_most_an_hour_and_near_its_nominal_length(attempt: int, jitter: float) -> None:
    wait = backoff(attempt, jitter)
    nominal = min(timedelta(seconds=60) * 2 ** min(attempt - 1, 10), LONGEST_WAIT / 1.2)
    assert 0.79 * nominal <= wait <= 1.21 * nominal
    assert timedelta(seconds=48) <= wait <= timedelta(hours=1)


@given(st.integers(1, 10**6), st.floats(0, 1, exclude_max=True))
def test_a_later_attempt_never_waits_less(attempt: int, jitter: float) -> None:
    assert backoff(attempt + 1, jitter) >= backoff(attempt, jitter)


@given(st.integers(1, 100))
def test_waits_are_spread_even_at_the_longest(attempt: int) -> None:
    assert backoff(attempt, 0.9) > 1.3 * backoff(attempt, 0.1)


def test_the_first_wait_is_about_a_minute() -> None:
    assert backoff(1, 0.5) == timedelta(seconds=60)


@pytest.mark.parametrize(("attempt", "jitter"), [(0, 0.5), (-1, 0.5), (1, 1.0), (1, -0.1), (1, float("nan"))])
def test_what_is_no_attempt_or_no_jitter_is_refused(attempt: int, jitter: float) -> None:
    with pytest.raises(ValueError, match="attempt"):
        backoff(attempt, jitter)
