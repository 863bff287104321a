"""SMTP: connections to relays, mails over them, and what replies mean. Knows no ledger."""
