"""Lets the services of a Python process that has this folder on its PYTHONPATH judge each other within seconds, and not
wait for people who were lost in a restore."""

from scheduler.database import watch
from scheduler.ledger import loading

watch.BEAT_SECONDS, watch.GONE_SECONDS, watch.LEASE_SECONDS = 0.5, 2.0, 5.0
loading.SECONDS = 0.0
