"""Whether the next mail would go out, and if not, why: values of `/readyz` and `webinar status`.

Words hold no personal data. Rows of `registrants` are named by their id.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, unique

_START = "start it: `webinar run`, under whatever keeps processes alive, or the containers"


@unique
class Kind(Enum):
    """What a reason is about: whether it stops mails, and how it is fixed."""

    def __init__(self, stops: bool, fix: str) -> None:
        self.stops = stops
        """Whether mails wait because of it, and `/readyz` answers 503; otherwise it is a note."""
        self.fix = fix

    @property
    def id(self) -> str:
        """Its name in JSON."""
        return self.name.lower()

    # fmt: off
    RELAY = True, (
        "the relay's words say who can fix it: its operator, or you, by SMTP_* in the environment; it is retried"
        " automatically")
    NOT_ACCEPTED = True, (
        "see the service's log, and ask the relay's operator what it does with our mails; they go once it takes them")
    FILE = True, "edit the file; it is read again automatically"
    FOLDER = True, (
        "start the service where the folder is, or give its whole path in CONFIG_DIR (webinars) or TEMPLATES_DIR"
        " (texts), and let the service's user read it; it is read again automatically")
    DATABASE = True, "start the database; the service goes on automatically"
    SIGN_IN = True, (
        "let DATABASE_URL (or its file, which is read again) have the user name and password that the server takes; the"
        " service goes on automatically")
    DATABASE_FILE = True, (
        "put the file, or its last backup, back there; the service goes on automatically, and holds what may have gone"
        " out since the backup")
    LEDGER = True, "see whether the database's disk is full, or its server down; it is retried automatically"
    PRESENCE = True, "see whether it reaches the database, and the service's log; it goes on automatically"
    TZ_DATABASE = True, "bring every service to the same version"
    CLOCK_SET = True, "set it right, by NTP; if it is right now, wait"
    CLOCK_OFF = True, "set both clocks right, by NTP; it goes on automatically"
    COLUMNS = True, "give the column its name and type back; the rows that came meanwhile are taken in then"
    TRIGGER = True, "run the SQL that it names; new rows are found once a minute until then"
    INDEX = True, "run the SQL that it names; where it fails, delete one of the rows that share an address first"
    NOT_PLANNED = True, "see the service's log, and restart it"
    LOADING = True, "load the people again who were lost; the wait ends automatically"
    NOT_HELD = True, "`webinar restored --hold`, or start a service with this STATE_DIR"
    STATE_OF_ANOTHER = True, (
        "correct DATABASE_URL or STATE_DIR; or `webinar restored --new`, if this database is meant to be another one")
    STATE_UNREADABLE = True, "let the service's user read and write STATE_DIR and all files in it"
    STARTING = True, "ask again in a minute"
    NO_SERVICE = True, "start it with `webinar run`, or call this where it runs (HEALTH_HOST and HEALTH_PORT say where)"
    NEVER_RUN = True, _START
    FAILURE = True, "see the service's log, and report it"

    NOTHING_LIVE = False, _START
    RESTORED = False, (
        "`webinar restored` shows what is held; with --log and the service's log it records what went out, with --sent"
        " or --send it decides about the rest")
    NOTICE = False, "nothing, if it is meant: it goes automatically at that time"
    RETENTION = False, "nothing, if it is meant; a larger `keep_days` in the webinar's file keeps them longer"
    ROW = False, "correct the row, or delete it; it is read again automatically"
    FORGOTTEN = False, "if they did, `webinar import --registered-again`; else leave it, or have its owner delete it"
    SOURCE = False, (
        "see what keeps its system, its file or its network; it is read again automatically, and registrants stay as"
        " they were last read")
    WEBINAR_DIFFERS = False, "let all replicas share one folder of webinars (CONFIG_DIR), or give each the same files"
    TEXT_DIFFERS = False, "let all replicas share one folder of texts (TEMPLATES_DIR), or give each the same files"
    FOLDER_SLOW = False, "see its disk or network share, and how much it holds; it is read again automatically"
    NOT_TRIED = False, "see the service's log; they are tried again automatically"
    SECRETS = False, "correct the file or the setting that it names; files are read again automatically"
    STATE = False, (
        "let the service's user read and write STATE_DIR and the files in it, and see the service's log; it is retried"
        " automatically")
    WEB = False, "see the service's log; it is restarted automatically, and mails go out all the same"
    WEB_PORT = False, (
        "end the program that has the port (`ss -ltnp` names it), or set EDITOR_PORT to another one and restart the"
        " service; mails go out all the same")
    WATCHING = False, "see the service's log"
    # fmt: on


@dataclass(frozen=True)
class Reason:
    """One thing that somebody should know about, in a sentence."""

    kind: Kind
    words: str

    def __str__(self) -> str:
        return self.words


def reasons(kind: Kind, words: Iterable[str]) -> tuple[Reason, ...]:
    """A reason of this kind for each sentence that is not empty."""
    return tuple(Reason(kind, one) for one in words if one)


@dataclass(frozen=True)
class Readiness:
    """Whether the next mail would go out, and what is late."""

    found: tuple[Reason, ...] = ()
    late: tuple[tuple[str, str, float], ...] = ()
    """Webinar, message, and the age in seconds of its oldest mail that is due, the oldest first."""

    @property
    def ready(self) -> bool:
        """Whether nothing that was found stops mails."""
        return not self.stopping

    @property
    def stopping(self) -> tuple[Reason, ...]:
        """Why the next mail would not go out; each reason once."""
        return tuple(dict.fromkeys(one for one in self.found if one.kind.stops))

    @property
    def noted(self) -> tuple[Reason, ...]:
        """What somebody should know though mails go out; each reason once."""
        return tuple(dict.fromkeys(one for one in self.found if not one.kind.stops))

    @property
    def reasons(self) -> tuple[str, ...]:
        """`stopping`, in words."""
        return tuple(one.words for one in self.stopping)

    @property
    def notes(self) -> tuple[str, ...]:
        """`noted`, in words."""
        return tuple(one.words for one in self.noted)
