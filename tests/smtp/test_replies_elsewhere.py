"""What we make of replies, beside what ZoneMTA makes of them: those that its table quotes (config/bounces.txt of npm's
zone-mta), each as a reply to RCPT and to a mail's content.

Its categories say who is to blame: the recipient, us, or neither. A verdict is *right* where it says the same, *tried
again* where it blames nobody, and *wrong* where it does the opposite: somebody is given up for our fault, or all wait
for one address. None is, but for those that are named with the reason.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

from scheduler.smtp.replies import Stage, Verdict, classify, read_reply

pytestmark = pytest.mark.full

RULES = Path(__file__).parents[2] / "node_modules/zone-mta/config/bounces.txt"
STAGES: tuple[Stage, ...] = ("rcpt", "content")
RECIPIENT = {"recipient", "envelope", "capacity"}
US = {"blacklist", "block", "spam", "rate", "policy", "message", "config", "auth", "dmarc", "virus"}
OTHERWISE = {
    "550-Your message was rejected by this user and was not delivered -  mips space": "it says that one user did so",
    "553 sorry, that domain isn't in my list of allowed rcpthosts; no valid cert for gatewaying (#5.7.1)": (
        "qmail does not relay for us: everybody would be given up"
    ),
    "421 mwinf5c63 ME Trop de connexions, veuillez verifier votre configuration. Too many connections, slow down."
    " OFR005_104 [104]": "too many connections are ours, and no recipient's",
}


class Case(NamedTuple):
    category: str
    reply: str
    stage: Stage

    @property
    def judgement(self) -> Literal["right", "tried again", "wrong"]:
        verdict = classify(read_reply(self.stage, int(self.reply[:3]), self.reply[4:]))
        if self.category in US:
            right = {Verdict.PAUSE_RELAY, Verdict.STOP}
        elif self.category in RECIPIENT:
            right = {Verdict.FAIL_ADDRESS} | ({Verdict.RETRY_MAIL} if self.reply[0] == "4" else set())
        else:
            right = {Verdict.RETRY_MAIL, Verdict.PAUSE_RELAY}
        if verdict in right:
            return "right"
        return "tried again" if verdict is Verdict.RETRY_MAIL else "wrong"


def cases() -> list[Case]:
    """Above each rule of the table stand replies that it fits, as comments."""
    found: list[Case] = []
    quoted: list[str] = []
    for line in RULES.read_text("utf-8").splitlines():
        if reply := re.match(r"#\s*([245]\d\d[ -].*)", line):
            quoted.append(reply[1].strip())
        elif line.strip() and not line.startswith("#"):
            category = line.split(",")[2]
            found += [Case(category, reply, stage) for reply in quoted for stage in STAGES]
            quoted = []
    return found


def test_what_others_know_of_replies() -> None:
    figures = Counter(case.judgement for case in cases())
    wrong = {case.reply for case in cases() if case.judgement == "wrong"}
    print(
        f"of {figures.total()}: {dict(figures)}, of the wrong ones {len(wrong & OTHERWISE.keys())} for a reason"
    )
    assert wrong == OTHERWISE.keys(), "0 that are wrong without a reason, and no reason for what is right"
    assert figures["right"] >= 0.9 * figures.total() > 190
