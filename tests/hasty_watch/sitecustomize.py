"""Lets the services of a Python process that has this folder on its PYTHONPATH judge each other within seconds."""

from scheduler.database import watch

watch.BEAT_SECONDS, watch.GONE_SECONDS, watch.LEASE_SECONDS = 0.5, 2.0, 5.0
