"""Pulling: registrants are read regularly from another database, a file or an HTTPS address."""
