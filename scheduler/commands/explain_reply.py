"""`webinar explain-reply`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import get_args

import click

from scheduler.commands.common import mistakes_reported
from scheduler.problem import Problem, Problems
from scheduler.reports.json_text import json_text
from scheduler.smtp.moments import named_moment
from scheduler.smtp.replies import Reply, Stage, Verdict, classify, deciding_rule, read_reply

STAGES: tuple[Stage, ...] = get_args(Stage)
_CODE_AND_WORDS = re.compile(r"(\d\d\d)(?:[ -](.*))?$")
_MEANS = {
    Verdict.RETRY_MAIL: "this mail is tried again later; the others go on",
    Verdict.PAUSE_RELAY: "no mail goes out over this relay for a while; then this one is tried again",
    Verdict.FAIL_ADDRESS: "this recipient cannot be reached, and gets no mail; the others go on",
    Verdict.STOP: "no mail goes out over this relay until its operator changes something; one is tried every 5 minutes",
}


@click.command("explain-reply")
@click.argument("stage", metavar="STAGE", type=click.Choice(STAGES, case_sensitive=False))
@click.argument("reply")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def explain_reply(stage: Stage, reply: str, as_json: bool) -> None:
    """Show what the service makes of a relay's REPLY at STAGE: mail, rcpt (the recipient), data (the command), content.

    REPLY is as the relay gave it, with its code, in one line or several. Nothing is stored or sent. Exit code 2 when it
    is no SMTP reply, or no refusal.
    """
    with mistakes_reported():
        read = read_lines(stage, reply)
    verdict, because = classify(read), why(read)
    if as_json:
        click.echo(json_text({"verdict": verdict.value, "because": because}))
    else:
        click.echo(f"{verdict.value}: {_MEANS[verdict]}")
        click.echo(f"because: {because}")


def why(reply: Reply) -> str:
    """The source of the rule that decides, and for how long the reply says to wait from now on."""
    because, now = deciding_rule(reply).source, datetime.now(UTC)
    named = named_moment(reply.text, now)
    return f"{because}; it says to wait for {(named - now).total_seconds():.0f} s" if named else because


def read_lines(stage: Stage, lines: str) -> Reply:
    """Parse a pasted refusal. Raises Problems."""
    said = [
        _CODE_AND_WORDS.match(line.strip())
        for line in lines.replace("\\n", "\n").splitlines()
        if line.strip()
    ]
    codes = {found[1] for found in said if found}
    if not all(said) or len(codes) != 1:
        allowed = 'lines that begin with the same code, as in "550 5.1.1 …"'
        raise Problems([Problem("REPLY", "is no SMTP reply", allowed)])
    (code,) = codes
    if code[0] not in "45":
        raise Problems([Problem("REPLY", f"{code} is no refusal", "a code from 400 to 599")])
    return read_reply(stage, int(code), "\n".join(found[2] or "" for found in said if found))
