"""Every metric of the service, for Prometheus: declared here, counted where it happens. No label names a person.

The values of labels are bounded: relays, states, kinds, and of webinars those that are live (`monitor`).
"""

from __future__ import annotations

import ssl
from asyncio import BaseTransport
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from time import monotonic
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    pass

CERTIFICATE_SEEN_SECONDS = 7 * 86400.0
TOKEN_FAILED_SECONDS = 3600.0  # since the last try
"""For which the certificate that was seen last is exported: a relay that is seldom used may have another one since."""

REGISTRY = CollectorRegistry()
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_UNTIL_HOURS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 10800, 21600)
_OF_WORK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for each counter, which nobody reads


class Table(Collector):
    """A gauge whose series are replaced all at once, so that no old series stays."""

    def __init__(self, name: str, help_: str, labels: Sequence[str]) -> None:
        self._name, self._help, self._labels = f"webinar_{name}", help_, labels
        self._values: Mapping[tuple[str, ...], float] = {}
        REGISTRY.register(self)

    def replace(self, values: Mapping[tuple[str, ...], float]) -> None:
        """Replace all series, keyed by the labels' values in their order."""
        self._values = dict(values)

    def describe(self) -> Iterable[Metric]:
        return [GaugeMetricFamily(self._name, self._help, labels=self._labels)]

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(self._name, self._help, labels=self._labels)
        for labels, value in self._values.items():
            family.add_metric(labels, value)
        return [family]


def _counter(name: str, help_: str, labels: Sequence[str] = ()) -> Counter:
    return Counter(name, help_, labels, namespace="webinar", registry=REGISTRY)


def _gauge(name: str, help_: str, labels: Sequence[str] = ()) -> Gauge:
    return Gauge(name, help_, labels, namespace="webinar", registry=REGISTRY)


def _histogram(name: str, help_: str, buckets: Sequence[float], labels: Sequence[str] = ()) -> Histogram:
    return Histogram(name, help_, labels, namespace="webinar", registry=REGISTRY, buckets=buckets)


# The ledger, the same from every replica

DELIVERIES = Table("deliveries", "Deliveries of live webinars.", ("webinar", "message", "state"))
HELD = Table("held", "Deliveries of live webinars that wait for a person.", ("webinar", "reason"))
UNKNOWN_ADDRESS = Table(
    "unknown_address_skipped",
    "Deliveries of live webinars that are skipped since a relay refused the address as unknown.",
    ("webinar", "message"),
)
OLDEST_DUE = Table(
    "oldest_due_seconds", "Age of the oldest mail that is due and has not left.", ("webinar", "message")
)
ALERTS = Table("alerts_standing", "Alerts that organizers are notified of, by kind.", ("kind",))
SOURCE_LATE = Table(
    "source_late_seconds",
    "For how long the source of a live webinar was to be read again and was not, or could not be.",
    ("webinar",),
)
IN_DOUBT = _gauge("in_doubt", "Mails in doubt that are still useful.")
RECENT_DOUBTS = _gauge("recent_doubts", "Attempts that ended in doubt in the last 15 minutes.")
ROWS_SET_ASIDE = _gauge("rows_set_aside", "Rows of registrants that can't be used.")
PLANNING_LAG = _gauge("planning_lag_seconds", "For how long rows, or an edited webinar, wait to be planned.")
LEDGER_SEEN = _gauge("ledger_seen_timestamp_seconds", "When this service last looked what is due.")
COUNTED = _gauge("counted_timestamp_seconds", "When this service last counted how much there is.")

# Mails

LATENESS = _histogram("lateness_seconds", "From due to begun, of first tries.", _UNTIL_HOURS)
RELAY = _histogram(
    "relay_seconds", "From begun to the relay's reply, or to the loss of it.", _UNTIL_HOURS, ("relay",)
)
ATTEMPTS = _counter(
    "attempts",
    "Tries of mails: sent; deferred; refused, for this recipient; in_doubt; relay, in trouble for all mails.",
    ("relay", "verdict"),
)
STALLED = _gauge("stalled_seconds", "For how long mails are due and no relay has accepted any; 0 if not.")

# Relays

RELAY_UP = _gauge("relay_up", "Whether it takes mail, as far as is known.", ("relay",))
RELAY_STOPPED = _gauge(
    "relay_stopped", "Whether it refuses all mail for a reason that only its operator can change.", ("relay",)
)
RELAY_PACE = _gauge("relay_pace_per_second", "Mails that may begin; +Inf without a limit.", ("relay",))
CERTIFICATE_EXPIRY = _gauge(
    "relay_certificate_expiry_timestamp_seconds",
    "End of its certificate, as last seen, within a week.",
    ("relay",),
)
TOKEN_EXPIRY = _gauge("relay_token_expiry_timestamp_seconds", "End of the OAuth token.", ("relay",))
TOKEN_FAILED = _gauge("relay_token_failed", "Whether no new OAuth token was to be had.", ("relay",))

# This service

READY = _gauge("ready", "Whether /readyz answers 200.")
WEB_UP = _gauge("web_up", "Whether the web process gives signs of life; 1 where there is to be none.")
WEB_ENDS = _counter("web_ends", "Ends of the web process, none of which the service asked for.")
TICK_AGE = _gauge("tick_age_seconds", "Since the last tick that planned to its end, or the start.")
CLOCK_WRONG = _gauge("clock_wrong", "Whether the system's clock was set and is not followed yet.")
CLOCK_OFFSET = _gauge(
    "clock_offset_seconds", "Of this machine's clock, ahead of the database's (PostgreSQL)."
)
DISK_FREE = _gauge("disk_free_bytes", "Free where the database or the state is.", ("of",))
DISK_FREE_RATIO = _gauge("disk_free_ratio", "The same, as a share of the file system.", ("of",))
LOOP_DELAY = _histogram("event_loop_delay_seconds", "By how much a timer came late.", _OF_WORK)
PLANNING = _histogram("planning_seconds", "Transactions that take rows in or plan people.", _OF_WORK)
CLAIMING = _histogram("claiming_seconds", "Transactions that claim what is due.", _OF_WORK)
RECORDING = _histogram("recording_seconds", "Transactions that record starts and outcomes.", _OF_WORK)
TRYING = _histogram("trying_texts_seconds", "Trials of texts.", (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900))
BUILD = _gauge("build_info", "1; the program's version and its schema are labels.", ("version", "schema"))
TZ = _gauge("tz_database_info", "1; the version of the tz database is a label.", ("version",))
ProcessCollector(namespace="webinar", registry=REGISTRY)

_ticked_at = monotonic()
_certificates_seen_at: dict[str, float] = {}
_tokens_failed_at: dict[str, float] = {}
WEB_UP.set(1)
TICK_AGE.set_function(lambda: monotonic() - _ticked_at)


def exposition() -> bytes:
    """All metrics in Prometheus' text format. Takes milliseconds for each thousand series."""
    return generate_latest(REGISTRY)


def identify(schema: str, tz_database: str) -> None:
    """Set the version metrics of this program."""
    BUILD.labels(version("webinar-scheduler"), schema).set(1)
    TZ.labels(tz_database).set(1)
    for one in (LEDGER_SEEN, COUNTED):
        one.set_to_current_time()  # and not in 1970


def know(relays: Iterable[str]) -> None:
    """Start the counters of these relays at 0: Prometheus sees no increase in a counter that starts at 1."""
    for relay in relays:
        for verdict in ("sent", "deferred", "refused", "in_doubt", "relay"):
            ATTEMPTS.labels(relay, verdict)


def forget_disk(of: str) -> None:
    """Remove the metrics of a disk that does not answer."""
    for one in (DISK_FREE, DISK_FREE_RATIO):
        with suppress(KeyError):
            one.remove(of)


def ticked() -> None:
    """Record a successful tick."""
    global _ticked_at  # noqa: PLW0603 (as any metric, one for the process)
    _ticked_at = monotonic()


def secured(relay: str, transport: BaseTransport | None) -> None:
    """Record when the relay's certificate expires, for a connection in TLS."""
    tls = transport.get_extra_info("ssl_object") if transport else None
    if tls and (certificate := tls.getpeercert()):
        CERTIFICATE_EXPIRY.labels(relay).set(ssl.cert_time_to_seconds(certificate["notAfter"]))
        _certificates_seen_at[relay] = monotonic()


def forget_old() -> None:
    """Export no certificate any more that was not seen for a week, and no failure to get a token that nobody has tried
    again for an hour: a relay that is seldom used may well work by now."""
    for gauge, seen_at, seconds in (
        (CERTIFICATE_EXPIRY, _certificates_seen_at, CERTIFICATE_SEEN_SECONDS),
        (TOKEN_FAILED, _tokens_failed_at, TOKEN_FAILED_SECONDS),
    ):
        for relay, at in list(seen_at.items()):
            if monotonic() - at > seconds:
                del seen_at[relay]
                gauge.remove(relay)


def token(relay: str, ends_at: float | None, *, failed: bool) -> None:
    """Record when the access token expires (seconds since 1970). `failed`: the last request for a new one failed."""
    TOKEN_FAILED.labels(relay).set(failed)
    _tokens_failed_at.pop(relay, None)
    if failed:
        _tokens_failed_at[relay] = monotonic()
    if ends_at is not None:
        TOKEN_EXPIRY.labels(relay).set(ends_at)
