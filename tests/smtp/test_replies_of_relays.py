# ruff: noqa: E501 (a reply is one line)
"""Replies of relays that people have, from their documentation and public reports: who is to blame."""

from __future__ import annotations

import pytest

from scheduler.smtp.replies import Stage, Verdict, asks_for_less, classify, read_reply, says_unknown

RETRY, PAUSE = Verdict.RETRY_MAIL, Verdict.PAUSE_RELAY
FAIL, STOP = Verdict.FAIL_ADDRESS, Verdict.STOP
ONE: tuple[Stage, ...] = ("rcpt", "content")

OURS = """
STOP  550 5.4.6 Unusual sending activity detected. Please try after sometime                      # Zoho
STOP  550 Verification failed for <webinar@example.org> The mail server could not deliver mail to webinar@example.org. The account or domain may not exist, they may be blacklisted, or missing the proper dns entries. Sender verify failed  # cPanel, Exim
STOP  553 failed,5.1.1 (bad destination mailbox address),smtp;553 Relaying disallowed,mx.zoho.com
STOP  550 the mailbox of the originator is unavailable
STOP  550 Return-path address does not exist
STOP  550 callout verification failed: reverse path mailbox not found
STOP  550 Mailbox webinar@example.org of sender over quota
STOP  552 5.2.2 Your mailbox is over quota; delete mail before sending
STOP  550 5.1.1 Your account does not exist
STOP  550 Access denied: user account disabled for sending
STOP  550 Trial expired: recipient not allowed, upgrade your plan
PAUSE 552 5.2.2 This user has exceeded the limit of emails that can be sent per day
PAUSE 550 5.2.2 Mailbox webinar@example.org: sending quota exceeded
PAUSE 550 Votre quota d'envoi est dépassé
PAUSE 550 Das Versandlimit für Ihr Konto wurde erreicht
PAUSE 550 Límite de envío excedido
STOP  554 5.1.8 Email Outgoing Blocked                                                            # Zoho
STOP  553 Sender is not allowed to relay emails                                                   # Zoho
STOP  554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; Failed to process message due to a permanent exception with message WASCL UserAction verdict is not None. Actual verdict is HipNotify, ShowTierUpgrade.  # Exchange
STOP  554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; WASCL UserAction verdict is not None. Actual verdict is RefuseQuota, ShowTierUpgrade.
STOP  550 5.1.8 Access denied, bad outbound sender. AS(42003)
STOP  550 5.7.705 Access denied, tenant has exceeded threshold
STOP  550 5.7.501 Access denied, spam abuse detected
STOP  550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP
PAUSE 550 Domain example.org has exceeded the max emails per hour (200/200 (100%)) allowed. Message discarded.  # cPanel
PAUSE 550 Domain example.org has exceeded the max defers and failures per hour (5/5 (100%)) allowed. Message discarded.
PAUSE 550 Outgoing mail from "webinar@example.org" has exceeded the hourly limit
PAUSE 550 5.4.5 Daily user sending quota exceeded
PAUSE 550 User webinar@example.org has exceeded its 24-hour sending limit. Messages to 25 recipients out of 25 allowed  # GoDaddy
PAUSE 554 5.7.0 Your message could not be sent. The limit on the number of allowed outgoing messages was exceeded. Try again later.  # Plesk
PAUSE 550 5.7.232 Your message can't be sent because your trial tenant has exceeded its daily limit for sending email
PAUSE 554 5.7.1 You have exceeded your daily sending quota
PAUSE 550 You have reached your hourly limit of messages
PAUSE 550 Maximum credits exceeded                                                                # SendGrid
PAUSE 450 Mail send limit exceeded
PAUSE 450 4.2.1 Daily sending limit exceeded for this mailbox                                    # it sends
PAUSE 451 4.7.1 Ratelimit "user" exceeded                                                         # mailcow
PAUSE 454 Throttling failure: Daily message quota exceeded.                                       # SES
PAUSE 451 4.4.2 Message submission rate for this client has exceeded the configured limit
PAUSE 450 4.7.1 Error: too many recipients from 192.0.2.1
PAUSE 452 4.5.3 Your message has too many recipients
PAUSE 450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]
PAUSE 451 4.7.24 The SPF record of the sending domain has one or more suspicious entries
STOP  553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)                      # qmail
STOP  550 5.7.1 Relaying denied. IP name lookup failed [192.0.2.1]                                # Sendmail
STOP  550 5.7.1 <ana@example.org>... Relaying denied. Proper authentication required.
STOP  550 5.7.367 Remote server returned not permitted to relay
STOP  550 All mail servers must have a PTR record with a valid Reverse DNS entry
STOP  550 5.7.25 The IP address sending this message does not have a PTR record setup
STOP  550 5.7.1 [192.0.2.1] Our system has detected that this message is likely unsolicited mail
STOP  550 5.7.515 Access denied, sending domain EXAMPLE.ORG doesn't meet the required authentication level
STOP  554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org
STOP  553 5.3.0 flph825 DNSBL:ATTRBL 521< 192.0.2.1 >_is_blocked
STOP  550 5.2.1 Mailbox unavailable. Your IP address 192.0.2.1 is blacklisted using SPAMHAUS-XBL
STOP  550 5.1.1 192.0.2.1 is on our block list
STOP  550 5.7.1 Unauthenticated email from example.org is not accepted due to domain's DMARC policy
STOP  554 Message rejected: Email address is not verified. The following identities failed the check in region EU-WEST-1  # SES
STOP  554 Message rejected: Sending paused for this account.
STOP  550 Unauthenticated senders not allowed                                                     # SendGrid
STOP  550 The from address does not match a verified Sender Identity
STOP  550 5.7.1 Sending domain not verified
STOP  550 Please turn on SMTP Authentication in your mail client                                  # Exim, cPanel
STOP  550 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)
STOP  550 Mail from webinar@example.org rejected: your account is suspended
STOP  554 5.7.1 <ana@example.org>: Sender address rejected: not logged in
STOP  553 5.7.1 Sender address rejected: not owned by user webinar                                # OVH, Gandi
STOP  550 SPF: 192.0.2.1 is not allowed to send mail from example.org
STOP  550 5.7.13 User account disabled
STOP  552 5.3.4 Message size exceeds fixed limit
STOP  550 Message contained unsafe content
"""

THEIRS = """
FAIL  550 Unknown user: ana (sender webinar@example.org)
FAIL  550 5.1.1 Mailbox does not exist (blacklist check skipped)
FAIL  554 Message rejected: Address blacklisted                                                   # SES
FAIL  554 Transaction failed: Local address contains control or whitespace
FAIL  554 Transaction failed: Missing final '@domain'
FAIL  550 User unknown
FAIL  550 Mail quota exceeded
FAIL  550 5.1.1 The email account that you tried to reach does not exist. Please try double-checking the recipient's email address for typos
FAIL  550 5.2.1 The email account that you tried to reach is inactive
FAIL  552 5.2.2 The recipient's inbox is out of storage space and inactive
FAIL  550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient ana@example.org not found by SMTP address lookup
FAIL  550 5.4.1 Recipient address rejected: Access denied.
FAIL  550 5.7.129 RESOLVER.RST.RestrictedToRecipientsPermission; not authorized to send to recipient
FAIL  550 5.7.505 Access denied, banned recipient
FAIL  550 Invalid Recipient - https://community.mimecast.com/docs/DOC-1369#550                     # Mimecast
FAIL  550 #5.1.0 Address rejected.                                                                # Cisco
FAIL  550 5.1.1 unknown or illegal alias: ana@example.org                                         # Apple
FAIL  552 1 Requested mail action aborted, mailbox not found                                      # Yahoo
FAIL  554 delivery error: dd This user doesn't have a yahoo.com account (ana@example.org) [0]
FAIL  550 Mailbox not found                                                                       # 163, QQ
FAIL  550 Message was not accepted -- invalid mailbox. Local mailbox ana@example.org is unavailable: user not found  # Mail.ru
FAIL  550 5.7.1 No such user!                                                                     # Yandex
FAIL  550 Requested action not taken: mailbox unavailable
FAIL  550 sorry, no mailbox here by that name (#5.1.1)                                            # qmail
FAIL  550-5.1.1 <ana@example.org>... User unknown                                                 # Sendmail
FAIL  550 No Such User Here                                                                       # Exim, cPanel
FAIL  550 Unrouteable address
FAIL  550 5.1.1 Adresse d au moins un destinataire invalide. Invalid recipient. OFR_416 [416]     # Orange
FAIL  552 5.1.1 Boite du destinataire pleine. Recipient overquota. OFR_417 [417]
FAIL  554 5.7.1 <ana@example.org>: Recipient address rejected: Access denied
FAIL  550 5.7.1 <ana@example.org>: Recipient address rejected: User unknown in virtual mailbox table
FAIL  550 5.1.2 Host unknown
FAIL  556 5.1.10 Recipient address has null MX
FAIL  550 Account disabled mailbox is inactive
FAIL  550 You have been blocked by the recipient
FAIL  550 5.2.2 Mailbox full
FAIL  550 ana@example.org mailbox has exceeded its disk space limit
RETRY 452 4.2.2 The recipient's inbox is out of storage space
RETRY 450 4.2.2 Mailbox is full
RETRY 452 Mailbox full
RETRY 452 Mail quota exceeded
RETRY 451 4.2.2 user over quota
RETRY 450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages from being delivered
RETRY 550 5.2.121 Recipient's per hour message receive limit from specific sender exceeded
RETRY 451 4.7.1 Greylisting in action, please come back later
RETRY 450 4.7.1 <ana@example.org>: Recipient address rejected: Greylisted for 299 seconds
RETRY 450 4.1.2 <ana@example.org>: Recipient address rejected: Domain not found
RETRY 451 Temporary local problem - please try later                                              # Exim
"""

NOBODYS = """
RETRY 550 Failure sending mail. Try again later.
RETRY 554 Refused
RETRY 550 Denied by policy
RETRY 550 Address rejected
RETRY 550 5.0.0 Command rejected
RETRY 554 5.4.6 Too many hops
RETRY 550 5.7.507 Access denied, rejected by recipient
RETRY 554 5.3.0 Mailer error
RETRY 542 ana@example.org Rejected
RETRY 550 Go away
"""


def table(text: str) -> list[tuple[Verdict, str]]:
    lines = [line.partition("  #")[0].split(None, 1) for line in text.splitlines() if line]
    return [
        ({"STOP": STOP, "PAUSE": PAUSE, "FAIL": FAIL, "RETRY": RETRY}[word], reply.strip())
        for word, reply in lines
    ]


@pytest.mark.parametrize("stage", ONE)
@pytest.mark.parametrize(("verdict", "line"), table(OURS))
def test_nobody_is_given_up_for_our_fault(verdict: Verdict, line: str, stage: Stage) -> None:
    assert classify(read_reply(stage, int(line[:3]), line[4:])) is verdict


@pytest.mark.parametrize("stage", ONE)
@pytest.mark.parametrize(("verdict", "line"), table(THEIRS))
def test_nobody_else_waits_for_one_address(verdict: Verdict, line: str, stage: Stage) -> None:
    assert classify(read_reply(stage, int(line[:3]), line[4:])) is verdict


@pytest.mark.parametrize("stage", ONE)
@pytest.mark.parametrize(("verdict", "line"), table(NOBODYS))
def test_what_is_not_understood_is_held_against_nobody(verdict: Verdict, line: str, stage: Stage) -> None:
    assert classify(read_reply(stage, int(line[:3]), line[4:])) is verdict


def test_a_relay_that_must_rest_is_given_fewer_mails_then() -> None:
    assert asks_for_less(read_reply("rcpt", 450, "Mail send limit exceeded"))


@pytest.mark.parametrize(
    ("line", "unknown"),
    [
        ("550 5.1.1 no", True),
        ("550 5.1.10 no", True),
        ("550 User unknown", True),
        ("550 sorry, no mailbox here by that name (#5.1.1)", True),
        ("552 5.2.2 Mailbox full", False),
        ("552 5.1.1 Boite du destinataire pleine", False),
        ("550 5.2.1 The email account that you tried to reach is disabled", False),
        ("554 Message rejected: Address blacklisted", False),
        ("550 5.1.2 Host unknown", False),
        ("450 4.1.1 User unknown", False),
    ],
)
def test_an_unknown_address_is_told_from_one_that_takes_no_mail(line: str, unknown: bool) -> None:
    assert says_unknown(read_reply("rcpt", int(line[:3]), line[4:])) is unknown
