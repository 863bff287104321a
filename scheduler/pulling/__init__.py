"""Registrants that are read from another database, a file or an address, again and again."""
