"""Registrants: rows that others write, and the registrations that the planner makes of them."""
