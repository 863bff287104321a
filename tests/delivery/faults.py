"""What must become of mails when a relay misbehaves: the table, cell by cell. `ScriptedServer` does the deeds.

Where a fault comes "first", the mail concerned is the first one over its connection, and another follows it. Where it
comes "middle", mails went over that connection before; the mail concerned has one before it and one behind it which
are on their way together with it: over BDAT in the same write, over DATA with their envelopes.

A cell has a letter for each of these mails: S sent, R refused, U unreachable (nothing in doubt), D in doubt. Behind the
dot is what the reply to the mail concerned means: r try this mail again, p pause the relay, f fail the address, s stop.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

from scheduler.smtp.replies import Verdict
from tests.smtp.scripted import Deed, Fault, Stage

Way = Literal["plain", "groups", "chunks"]
Place = Literal["first", "middle"]

_DEEDS = "4xx 5xx 421 reset silence garbage half long twice close"

# What aiosmtplib speaks before any mail, in STARTTLS; a second reply to STARTTLS is thrown away with all that came in
# the clear (RFC 3207, 4.2).
_OPENING = """
banner     RS.p   RS.s   RS.p   US.p   US.p   US.p   US.p   US.p   US.p   US.p
ehlo       RS.p   RS.s   RS.p   US.p   US.p   US.p   US.p   US.p   US.p   US.p
starttls   RS.p   RS.s   RS.p   US.p   US.p   US.p   US.p   US.p   SS     US.p
auth       RS.p   RS.s   RS.p   US.p   US.p   US.p   US.p   US.p   US.p   US.p
"""

# Command by command or in groups (and before BDAT: the first mail goes by DATA): nothing is in doubt before 354.
_FIRST = """
mail       RS.p   RS.s   RS.p   US.p   US.p   US.p   US.p   US.p   US.p   US.p
rcpt       RS.r   RS.f   RS.p   US.p   US.p   US.p   US.p   US.p   US.p   US.p
data       RS.r   RS.s   RS.p   US.p   US.p   US.p   US.p   US.p   US.p   US.p
midway     RS.r   RS.s   RS.p   DS.r   DS.r   DS.r   DS.r   DS.r   SS     DS.r
content    RS.r   RS.s   RS.p   DS.r   DS.r   DS.r   DS.r   DS.r   SS     DS.r
"""

# On a connection that carried mails, what breaks before 354 is sent again at once, over a new one.
_MIDDLE_PLAIN = """
mail       SRS.p  SRS.s  SRS.p  SSS    SSS    SSS    SSS    SSS    SSS    SSS
rcpt       SRS.r  SRS.f  SRS.p  SSS    SSS    SSS    SSS    SSS    SSS    SSS
data       SRS.r  SRS.s  SRS.p  SSS    SSS    SSS    SSS    SSS    SSS    SSS
midway     SRS.r  SRS.s  SRS.p  SDS.r  SDS.r  SDS.r  SDS.r  SDS.r  SSS    SDS.r
content    SRS.r  SRS.s  SRS.p  SDS.r  SDS.r  SDS.r  SDS.r  SDS.r  SSS    SDS.r
"""

_MIDDLE_GROUPS = f"""
rset       SSS    SSS    SRS.p  SSS    SSS    SSS    SSS    SSS    SSS    SSS
{_MIDDLE_PLAIN}"""

# Whole mails in one write: what breaks leaves every mail in doubt that has no reply of its own yet.
_MIDDLE_CHUNKS = """
rset       SDD.r  SDD.r  SRD.p  SDD.r  SDD.r  SDD.r  SDD.r  SDD.r  SDD.r  SDD.r
mail       SRS.p  SRS.s  SRD.p  SDD.r  SDD.r  SDD.r  SDD.r  SDD.r  SDD.r  SDD.r
rcpt       SRS.r  SRS.f  SRD.p  SDD.r  SDD.r  SDD.r  SDD.r  SDD.r  SDD.r  SDD.r
midway     SRS.r  SRS.s  SRD.p  SDD.r  SDD.r  SDD.r  SDD.r  SDD.r  SSD    SDD.r
content    SRS.r  SRS.s  SRD.p  SDD.r  SDD.r  SDD.r  SDD.r  SDD.r  SSD    SDD.r
"""

_LEAVING = """
quit       SS     SS     SS     SS     SS     SS     SS     SS     SS     SS
"""

_VERDICTS = {
    "": None,
    "r": Verdict.RETRY_MAIL,
    "p": Verdict.PAUSE_RELAY,
    "f": Verdict.FAIL_ADDRESS,
    "s": Verdict.STOP,
}


@dataclass(frozen=True)
class Cell:
    """One cell of the table. `results`: a letter for each mail but those that went before."""

    way: Way
    place: Place
    stage: Stage
    deed: Deed
    results: str
    verdict: Verdict | None

    def __str__(self) -> str:
        return f"{self.way}-{self.place}-{self.stage}-{self.deed.value}"

    @property
    def before(self) -> int:
        """How many mails are accepted before those that `results` is about."""
        return 1 if self.place == "middle" else 0

    @property
    def concerned(self) -> int:
        """The place of the mail concerned, among all mails from 0 on."""
        return 2 if self.place == "middle" else 0

    @property
    def fault(self) -> Fault:
        """What a server must do when these mails, and no others, come in their order over one connection."""
        once = self.stage in ("banner", "ehlo", "starttls", "auth", "quit")
        nth = 1 if once else self.concerned + (self.stage != "rset")  # no RSET before the first mail
        return Fault(self.stage, self.deed, nth)


def _cells(way: Way, place: Place, table: str) -> Iterator[Cell]:
    for row in filter(None, table.splitlines()):
        stage, *entries = row.split()
        for deed, entry in zip(_DEEDS.split(), entries, strict=True):
            results, _, verdict = entry.partition(".")
            yield Cell(way, place, cast(Stage, stage), Deed(deed), results, _VERDICTS[verdict])


CELLS: tuple[Cell, ...] = (
    *_cells("plain", "first", _OPENING),
    *_cells("plain", "first", _FIRST),
    *_cells("groups", "first", _FIRST),
    *_cells("plain", "middle", _MIDDLE_PLAIN),
    *_cells("groups", "middle", _MIDDLE_GROUPS),
    *_cells("chunks", "middle", _MIDDLE_CHUNKS),
    *_cells("plain", "first", _LEAVING),
    *_cells("groups", "first", _LEAVING),
    *_cells("chunks", "first", _LEAVING),
)
