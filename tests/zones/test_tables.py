"""The data about zones has a version, so that stored zones are resolved again when it changes."""

from __future__ import annotations

from hashlib import sha256

from scheduler.zones import tables

DIGEST = "42efc9c78173184d"


def test_changed_tables_need_a_new_version() -> None:
    """VERSION is among them: the digest is that of what is known now."""
    constants = {
        name: value for name, value in vars(tables).items() if name.isupper() and not name.startswith("_")
    }
    spelt = {
        name: sorted(value) if isinstance(value, frozenset) else value for name, value in constants.items()
    }
    digest = sha256(repr(sorted(spelt.items())).encode()).hexdigest()[:16]
    assert digest == DIGEST, "raise VERSION in scheduler/zones/tables.py, and put the new digest here"
