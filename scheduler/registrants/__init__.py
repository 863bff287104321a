"""Registrants: rows that other systems write, and the registrations derived from them."""
